//! [`Hands`]: the task that does what the queues decide.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use store::blockstore::{Blockstore, StoreError};
use store::wire::{Ask, Extent, Leaf, MAX_RETRY_MS, Part, Refusal, Request, Response, Urgency};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Surroundings;
use super::answer::Answers;
use super::queues::{Action, Bounds, Event, Order, Queues, Run, Ticket};
use super::seekers::{self, Seekers};
use super::stream::{self, Outlet, StreamId};
use crate::exchange::Serving;
use crate::metrics::{IN, OUT};
use crate::network::{Inbound, ReplyChannel};

/// Words of streams and reads that wait for the hands at most; whoever has one waits until it is taken.
const NOTES: usize = 1024;
/// Bulk streams of one peer: one, and another while the first is being closed.
const STREAMS_PER_PEER: usize = 2;
/// What a request takes in memory besides its extents, about.
const REQUEST_SIZE: usize = 512;
/// A stream for one question and one answer costs both ends about as much as 64 KiB on a stream that is
/// there: some 100 µs.
const ANSWER: usize = 64 << 10;
/// A node is some tens of index lookups, or, in a Have, up to a thousand.
const NAMED: usize = 16 << 10;
/// How often it is looked at who gave us what.
const GIVEN: Duration = Duration::from_secs(5);

/// What is heard from streams and reads.
#[derive(Debug)]
pub(super) enum Note {
    /// The far end of a stream asks.
    Ask { stream: StreamId, ask: Ask },
    /// A stream has taken so many bytes.
    Written { stream: StreamId, bytes: u64 },
    /// A stream is over.
    Closed { stream: StreamId },
    /// A read for a stream is done.
    Read {
        ticket: Ticket,
        result: Result<Vec<Leaf>, StoreError>,
    },
    /// A whole answer was made, of so many bytes, and is being sent.
    Made { ticket: Ticket, bytes: u64 },
    /// So many bytes of whole answers were sent to a peer.
    Sent { peer: PeerId, bytes: u64 },
}

/// A request under way.
#[derive(Debug)]
enum Work {
    /// Of a bulk stream.
    Parts {
        stream: StreamId,
        id: u64,
        leaves: u32,
        extents: Arc<[Extent]>,
    },
    /// One answer to one request.
    Whole {
        request: Request,
        reply: Option<ReplyChannel>,
    },
}

pub(super) struct Hands {
    surroundings: Arc<dyn Surroundings>,
    store: Arc<dyn Blockstore>,
    serving: Serving,
    answers: Arc<Answers>,
    seekers: Seekers,
    queues: Queues<PeerId>,
    /// For numbers made of nodes' names.
    names: RandomState,
    began: Instant,
    next_ticket: u64,
    works: HashMap<Ticket, (PeerId, Work)>,
    streams: HashMap<StreamId, Outlet>,
    next_stream: u64,
    notes: mpsc::Sender<Note>,
    heard: Option<mpsc::Receiver<Note>>,
}

impl Hands {
    pub(super) fn new(
        surroundings: Arc<dyn Surroundings>,
        store: Arc<dyn Blockstore>,
        serving: Serving,
    ) -> Self {
        let bounds = Bounds {
            memory: serving.memory,
            slots: serving.slots,
            ..Bounds::default()
        };
        let (notes, heard) = mpsc::channel(NOTES);
        Self {
            surroundings,
            store,
            answers: Arc::new(Answers::new(serving.hot)),
            seekers: Seekers::default(),
            queues: Queues::new(bounds, rand::random()),
            serving,
            names: RandomState::new(),
            began: Instant::now(),
            next_ticket: 0,
            works: HashMap::new(),
            streams: HashMap::new(),
            next_stream: 0,
            notes,
            heard: Some(heard),
        }
    }

    /// Until nobody can ask any more.
    pub(super) async fn run<S>(
        mut self,
        mut requests: mpsc::Receiver<Inbound>,
        mut streams: mpsc::Receiver<(PeerId, S)>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(mut heard) = self.heard.take() else {
            return;
        };
        let mut given = tokio::time::interval(GIVEN);
        let (mut no_requests, mut no_streams) = (false, false);
        while !(no_requests && no_streams) {
            let look = self.queues.next_look().map(|time| self.began + time);
            let tick = async {
                match look {
                    Some(time) => tokio::time::sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(note) = heard.recv() => self.on_note(note),
                request = requests.recv(), if !no_requests => match request {
                    Some(inbound) => self.on_request(inbound),
                    None => no_requests = true,
                },
                stream = streams.recv(), if !no_streams => match stream {
                    Some((peer, stream)) => self.on_stream(peer, stream),
                    None => no_streams = true,
                },
                () = tick => self.step(Event::Tick),
                _ = given.tick(), if self.serving.slots.is_some() => {
                    for (peer, bytes) in self.serving.reputation.take_given() {
                        self.step(Event::Gave { peer, bytes });
                    }
                }
            }
        }
    }

    fn on_stream<S>(&mut self, peer: PeerId, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let open = self.streams.values().filter(|outlet| outlet.peer == peer);
        if open.count() >= STREAMS_PER_PEER {
            // Dropping it resets it.
            tracing::debug!(%peer, "one bulk stream too many");
            return;
        }
        self.next_stream += 1;
        let id = StreamId(self.next_stream);
        let throttle = self.serving.bandwidth.upload(peer);
        let outlet = stream::open(id, peer, stream, throttle, self.notes.clone());
        self.streams.insert(id, outlet);
    }

    fn on_request(&mut self, inbound: Inbound) {
        let Inbound {
            peer,
            request,
            reply,
        } = inbound;
        // Who has gone in the meantime needs no answer.
        if !reply.is_open() {
            return;
        }
        if !matches!(request, Request::Peers { .. }) {
            self.seekers.note(*request.root(), peer, Instant::now());
        }
        let (urgency, named) = match &request {
            Request::Get {
                urgency, extents, ..
            } => (*urgency, extents.len()),
            Request::Manifest { nodes, .. } => (Urgency::Reader, nodes.len()),
            Request::Have { nodes, .. } => (Urgency::Reader, nodes.len()),
            Request::Peers { .. } => (Urgency::Reader, 0),
        };
        let runs = match &request {
            Request::Get { extents, .. } => self.runs(extents),
            _ => Arc::default(),
        };
        let order = Order {
            ticket: self.ticket(),
            urgency,
            leaves: u32::try_from(request.leaves()).unwrap_or(u32::MAX).max(1),
            runs,
            bytes: request.max_bytes() as u64,
            weight: weight(named),
            whole: Some(cost(named)),
        };
        let reply = Some(reply);
        let work = Work::Whole { request, reply };
        self.works.insert(order.ticket, (peer, work));
        self.step(Event::Asked { asker: peer, order });
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Ask { stream, ask } => self.on_ask(stream, ask),
            Note::Written { stream, bytes } => {
                if let Some(outlet) = self.streams.get_mut(&stream) {
                    outlet.unwritten -= bytes.min(outlet.unwritten);
                    let sent = &self.serving.metrics.swarm().exchange_bytes;
                    sent.get_or_create(&OUT).inc_by(bytes);
                    let asker = outlet.peer;
                    self.step(Event::Written { asker, bytes });
                }
            }
            Note::Closed { stream } => self.close(stream),
            Note::Read { ticket, result } => self.on_read(ticket, result),
            Note::Made { ticket, bytes } => {
                self.works.remove(&ticket);
                let leaves = u32::MAX;
                self.step(Event::Read {
                    ticket,
                    leaves,
                    bytes,
                });
            }
            Note::Sent { peer, bytes } => self.step(Event::Written { asker: peer, bytes }),
        }
    }

    fn on_ask(&mut self, stream: StreamId, ask: Ask) {
        let ticket = self.ticket();
        let Some(outlet) = self.streams.get_mut(&stream) else {
            return;
        };
        let asker = outlet.peer;
        match ask {
            Ask::Cancel { id, from } => {
                if let Some(ticket) = outlet.tickets.get(&id).copied() {
                    self.step(Event::Cancel { ticket, from });
                }
            }
            Ask::Get { id, request } => {
                let bytes = request.max_bytes() as u64;
                let leaves = u32::try_from(request.leaves()).unwrap_or(u32::MAX);
                let Request::Get {
                    root,
                    extents,
                    urgency,
                    ..
                } = request
                else {
                    return;
                };
                if outlet.tickets.insert(id, ticket).is_some() {
                    tracing::debug!(peer = %asker, id, "the number of a request is used twice");
                    return self.close(stream);
                }
                let requests = &self.serving.metrics.swarm().chunk.all;
                requests.get_or_create(&IN).inc();
                self.seekers.note(root, asker, Instant::now());
                let order = Order {
                    ticket,
                    urgency,
                    leaves,
                    runs: self.runs(&extents),
                    bytes,
                    weight: weight(extents.len()),
                    whole: None,
                };
                let work = Work::Parts {
                    stream,
                    id,
                    leaves,
                    extents: extents.into(),
                };
                self.works.insert(ticket, (asker, work));
                self.step(Event::Asked { asker, order });
            }
        }
    }

    fn on_read(&mut self, ticket: Ticket, result: Result<Vec<Leaf>, StoreError>) {
        let Some((_, Work::Parts { .. })) = self.works.get(&ticket) else {
            // Nobody waits for it any more.
            return self.step(Event::Failed { ticket });
        };
        match result {
            Ok(read) => {
                let leaves = u32::try_from(read.len()).unwrap_or(u32::MAX);
                let bytes = self.send(ticket, Response::Leaves(read));
                self.step(Event::Read {
                    ticket,
                    leaves,
                    bytes,
                });
            }
            Err(error) => {
                tracing::error!(%error, "a request cannot be answered");
                self.finish(ticket, Response::Refused(Refusal::Store));
                self.step(Event::Failed { ticket });
            }
        }
    }

    /// Hands a part to its stream. What it counts for in its asker's pipe.
    fn send(&mut self, ticket: Ticket, response: Response) -> u64 {
        let Some((
            _,
            Work::Parts {
                stream, id, leaves, ..
            },
        )) = self.works.get_mut(&ticket)
        else {
            return 0;
        };
        let (stream, id) = (*stream, *id);
        // When all its leaves have had an entry, it is over.
        let over = if let Response::Leaves(entries) = &response {
            *leaves -= u32::try_from(entries.len()).map_or(*leaves, |n| n.min(*leaves));
            *leaves == 0
        } else {
            true
        };
        if over {
            self.works.remove(&ticket);
        }
        let Some(outlet) = self.streams.get_mut(&stream) else {
            return 0;
        };
        if over {
            outlet.tickets.remove(&id);
        }
        match outlet.send(Part { id, response }) {
            Ok(bytes) => bytes,
            Err(reason) => {
                let peer = outlet.peer;
                tracing::debug!(%peer, reason, "a bulk stream is closed");
                self.close(stream);
                0
            }
        }
    }

    /// Ends a request with these words.
    fn finish(&mut self, ticket: Ticket, response: Response) {
        match self.works.get_mut(&ticket) {
            Some((_, Work::Parts { .. })) => {
                self.send(ticket, response);
            }
            Some((_, Work::Whole { reply, .. })) => {
                let reply = reply.take();
                self.works.remove(&ticket);
                if let Some(reply) = reply {
                    let surroundings = Arc::clone(&self.surroundings);
                    tokio::spawn(async move { surroundings.respond(reply, response).await });
                }
            }
            None => {}
        }
    }

    fn close(&mut self, stream: StreamId) {
        let Some(outlet) = self.streams.remove(&stream) else {
            return;
        };
        for ticket in outlet.tickets.values().copied() {
            self.works.remove(&ticket);
            self.step(Event::Forget { ticket });
        }
        let (asker, bytes) = (outlet.peer, outlet.unwritten);
        self.step(Event::Freed { asker, bytes });
        let streams = self.streams.values().any(|other| other.peer == asker);
        if !streams && !self.works.values().any(|(peer, _)| *peer == asker) {
            // Its slot is for others at once.
            self.step(Event::Gone(asker));
        }
    }

    fn step(&mut self, event: Event<PeerId>) {
        let now = self.began.elapsed();
        for action in self.queues.step(now, event) {
            match action {
                Action::Read {
                    asker,
                    ticket,
                    from,
                    count,
                    max_bytes,
                } => self.read(asker, ticket, from, count, max_bytes),
                Action::Busy { ticket, retry, .. } => {
                    self.serving.metrics.swarm().chunk.busy.inc();
                    let retry_ms = u32::try_from(retry.as_millis()).unwrap_or(MAX_RETRY_MS);
                    self.finish(ticket, Response::Busy { retry_ms });
                }
                Action::Cut { ticket, .. } => self.cut(ticket),
                Action::Close { asker } => {
                    tracing::info!(peer = %asker, "it takes nothing: its bulk streams are closed");
                    self.streams.retain(|_, outlet| outlet.peer != asker);
                    self.works.retain(|_, (peer, work)| {
                        *peer != asker || matches!(work, Work::Whole { reply: None, .. })
                    });
                    self.step(Event::Gone(asker));
                }
            }
        }
        let held = i64::try_from(self.queues.held()).unwrap_or(i64::MAX);
        self.serving.metrics.swarm().held.set(held);
    }

    /// The rest of a request is not read.
    fn cut(&mut self, ticket: Ticket) {
        if let Some((_, Work::Parts { leaves, .. })) = self.works.get(&ticket) {
            let cut = vec![Leaf::Cut; *leaves as usize];
            self.finish(ticket, Response::Leaves(cut));
        }
    }

    fn read(&mut self, asker: PeerId, ticket: Ticket, from: u32, count: u32, max_bytes: u64) {
        let notes = self.notes.clone();
        match self.works.get_mut(&ticket) {
            Some((_, Work::Parts { extents, .. })) => {
                let (answers, store) = (Arc::clone(&self.answers), Arc::clone(&self.store));
                let extents = Arc::clone(extents);
                tokio::spawn(async move {
                    let read = move || {
                        let places = super::piece::places(&extents, from, count);
                        answers.pieces.read(&*store, asker, &places, max_bytes)
                    };
                    let result = tokio::task::spawn_blocking(read).await;
                    let result = result.unwrap_or_else(|error| Err(failed(&error)));
                    // Fails only when the node ends.
                    let _ = notes.send(Note::Read { ticket, result }).await;
                });
            }
            Some((_, Work::Whole { request, reply })) => {
                let (request, reply) = (request.clone(), reply.take());
                let whole = Whole {
                    surroundings: Arc::clone(&self.surroundings),
                    store: Arc::clone(&self.store),
                    answers: Arc::clone(&self.answers),
                    throttle: self.serving.bandwidth.upload(asker),
                    seekers: self.seekers.of(request.root(), &asker, Instant::now()),
                };
                tokio::spawn(async move {
                    let response = whole.answer(asker, request).await;
                    let bytes = response.payload_size() as u64;
                    let _ = notes.send(Note::Made { ticket, bytes }).await;
                    whole.throttle.take(bytes).await;
                    if let Some(reply) = reply {
                        whole.surroundings.respond(reply, response).await;
                    }
                    let _ = notes.send(Note::Sent { peer: asker, bytes }).await;
                });
            }
            None => {
                // Its asker went between two steps of one action list.
                tokio::spawn(async move {
                    let result = Ok(Vec::new());
                    let _ = notes.send(Note::Read { ticket, result }).await;
                });
            }
        }
    }

    /// The places that a request names, as the queues know them.
    fn runs(&self, extents: &[Extent]) -> Arc<[Run]> {
        let run = |extent: &Extent| Run {
            node: self.names.hash_one(extent.node),
            first: extent.first,
            count: extent.count,
        };
        extents.iter().map(run).collect()
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}

/// What the answer to one whole request needs.
struct Whole {
    surroundings: Arc<dyn Surroundings>,
    store: Arc<dyn Blockstore>,
    answers: Arc<Answers>,
    throttle: crate::exchange::bandwidth::Throttle,
    seekers: Vec<PeerId>,
}

impl Whole {
    async fn answer(&self, asker: PeerId, request: Request) -> Response {
        if matches!(request, Request::Peers { .. }) {
            let known = self.surroundings.addresses_of(self.seekers.clone()).await;
            return Response::Peers(seekers::holders(known));
        }
        let (store, answers) = (Arc::clone(&self.store), Arc::clone(&self.answers));
        let make = move || {
            let now = std::time::Instant::now();
            answers.answer(&*store, asker, &request, now)
        };
        let answer = tokio::task::spawn_blocking(make).await;
        answer
            .unwrap_or_else(|error| Err(failed(&error)))
            .unwrap_or_else(|error| {
                tracing::error!(peer = %asker, %error, "a request cannot be answered");
                Response::Refused(Refusal::Store)
            })
    }
}

fn failed(error: &tokio::task::JoinError) -> StoreError {
    let reason = error.to_string();
    StoreError::Database { reason }
}

/// What an answer in one message is charged for at least, in bytes: what it takes to take the question in,
/// to look up each of so many nodes or extents, and to send it on a stream of its own.
const fn cost(named: usize) -> u64 {
    (ANSWER + named * NAMED) as u64
}

/// What a request of so many extents or nodes takes in memory, about.
const fn weight(extents: usize) -> u64 {
    (REQUEST_SIZE + extents * (size_of::<Extent>() + size_of::<Run>())) as u64
}
