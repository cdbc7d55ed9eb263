//! The driver: tells the scheduler what happens and does what it says. Decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use store::blockstore::Blockstore;
use store::wire::{Request, Response, Urgency};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::asked::{Asked, Question, Reply};
use super::candidates::{others, search};
use super::deeds::Deeds;
use super::intake::{Intake, Job, look_up};
use super::rate::Rate;
use super::shared::{End, Shared};
use super::sources::Sources;
use super::{Mode, Phase, SessionProgress};
use crate::exchange::budget::Share;
use crate::exchange::landing::Landing;
use crate::exchange::outbound::Outbound;
use crate::exchange::scheduler::{
    Action, Event, Reason, RequestId, Scheduler, Standing, Task, Time,
};
use crate::network::{NetworkEvent, RequestError};

/// Notes to the driver that wait at most; their senders wait beyond.
const NOTES: usize = 256;
/// Parts that wait for the intake at most: more than blocks can be known, each of which is in one part,
/// so that handing one over never waits. Their bytes are bounded by the scheduler.
const JOBS: usize = 1 << 17;
/// How often progress is told.
const REPORT: Duration = Duration::from_millis(200);

/// What the driver hears.
#[derive(Debug)]
pub(super) enum Note {
    /// For the scheduler.
    Event(Event<PeerId>),
    /// An answer, or a part of one.
    Reply {
        request: RequestId,
        result: Result<Response, RequestError>,
    },
    /// Bytes of the whole content, as its root claims.
    Total(u64),
    /// The session is over.
    End(End),
}

pub(super) struct Driver {
    outbound: Arc<dyn Outbound>,
    store: Arc<dyn Blockstore>,
    shared: Arc<Shared>,
    task: Task,
    /// Of the memory that all sessions have together.
    share: Share,
    addresses: Vec<Multiaddr>,
    scheduler: Scheduler<PeerId>,
    began: Instant,
    /// When the scheduler wants to be woken.
    wake: Time,
    notes: mpsc::Sender<Note>,
    heard: mpsc::Receiver<Note>,
    jobs: mpsc::Sender<Job>,
    asked: Asked,
    deeds: Deeds,
    /// All that runs for the session, and ends with it.
    tasks: JoinSet<()>,
    searching: bool,
    total: Option<u64>,
    rate: Rate,
    sources: Sources,
}

impl Driver {
    pub(super) fn new(
        outbound: Arc<dyn Outbound>,
        store: Arc<dyn Blockstore>,
        (task, share): (Task, Share),
        addresses: Vec<Multiaddr>,
        landing: Option<Arc<Landing>>,
        shared: &Arc<Shared>,
    ) -> Self {
        let (notes, heard) = mpsc::channel(NOTES);
        let (jobs, queue) = mpsc::channel(JOBS);
        let shared = Arc::clone(shared);
        let intake = Intake::new(
            Arc::clone(&store),
            Arc::clone(&shared),
            task.root,
            notes.clone(),
            landing,
            task.mode != Mode::OnDemand,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn_blocking(move || intake.run(queue));
        Self {
            deeds: Deeds::new(outbound.reputation()),
            scheduler: Scheduler::new(task).known_as(outbound.local()),
            outbound,
            store,
            shared,
            task,
            share,
            addresses,
            began: Instant::now(),
            wake: Time::MAX,
            notes,
            heard,
            jobs,
            asked: Asked::new(),
            tasks,
            searching: false,
            total: None,
            rate: Rate::default(),
            sources: Sources::default(),
        }
    }

    /// Runs to the end of the session.
    pub(super) async fn run(mut self, report: watch::Sender<SessionProgress>) {
        let end = self.drive(&report).await;
        let end = match end {
            // Nobody may be told that all is here before it is durable.
            End::Finished => {
                let store = Arc::clone(&self.store);
                match tokio::task::spawn_blocking(move || store.commit()).await {
                    Ok(Ok(())) => End::Finished,
                    Ok(Err(error)) => error.into(),
                    Err(panic) => End::Database(panic.to_string()),
                }
            }
            end => end,
        };
        tracing::debug!(root = %self.task.root, ?end, "session over");
        // Whoever hears of the end may ask at once what came.
        self.report(&report);
        self.shared.end(end);
    }

    async fn drive(&mut self, report: &watch::Sender<SessionProgress>) -> End {
        let mut events = self.outbound.events();
        let mut reports = tokio::time::interval(REPORT);
        reports.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let shared = Arc::clone(&self.shared);
        let mut next = Some(Event::Tick);
        loop {
            if let Some(event) = next.take()
                && let Some(end) = self.step(event)
            {
                return end;
            }
            let wake = tokio::time::Instant::from_std(self.began)
                .checked_add(self.wake.min(Duration::from_secs(3600)));
            let wake = wake.unwrap_or_else(tokio::time::Instant::now);
            next = tokio::select! {
                Some(note) = self.heard.recv() => match self.note(note) {
                    Ok(event) => event,
                    Err(end) => return end,
                },
                () = shared.wants_changed.notified() => match self.wants() {
                    Ok(event) => Some(event),
                    Err(end) => return end,
                },
                event = events.recv() => match event {
                    // A lost connection shows by its requests; the next one is dialed again.
                    Ok(NetworkEvent::Connected(peer)) if self.searching => Some(Event::Appeared {
                        peer,
                        standing: Standing::default(),
                    }),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => None,
                    // The node is shutting down.
                    Err(broadcast::error::RecvError::Closed) => return End::Cancelled,
                },
                limits = self.share.changed() => Some(Event::Limits {
                    total_bytes: limits.total_bytes,
                    peer_bytes: limits.peer_bytes,
                }),
                _ = reports.tick() => {
                    self.report(report);
                    None
                }
                () = tokio::time::sleep_until(wake) => Some(Event::Tick),
            };
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// What readers wait for. What they were given before is known to the scheduler first: they read
    /// on from there.
    fn wants(&mut self) -> Result<Event<PeerId>, End> {
        let wants = self.shared.wants();
        for _ in 0..self.heard.len() {
            if let Ok(note) = self.heard.try_recv()
                && let Some(event) = self.note(note)?
            {
                self.step(event).map_or(Ok(()), Err)?;
            }
        }
        let bytes = self.shared.taken_ahead();
        if bytes > 0 {
            self.step(Event::Taken { bytes }).map_or(Ok(()), Err)?;
        }
        Ok(Event::Wants(wants))
    }

    fn note(&mut self, note: Note) -> Result<Option<Event<PeerId>>, End> {
        match note {
            Note::Event(event) => Ok(Some(event)),
            Note::Reply { request, result } => Ok(self.reply(request, result)),
            Note::Total(total) => {
                self.total = (self.task.mode == Mode::Whole).then_some(total);
                Ok(None)
            }
            Note::End(end) => Err(end),
        }
    }

    /// What an answer brought goes to the intake before the scheduler hears of it.
    fn reply(
        &mut self,
        request: RequestId,
        result: Result<Response, RequestError>,
    ) -> Option<Event<PeerId>> {
        let peer = self.asked.peer(request)?;
        let Reply { event, job } = self.asked.reply(request, result)?;
        if let Event::Received { bytes, .. } = event {
            self.sources.note(peer, bytes);
        }
        if let Some(job) = job {
            // It is closed only when the intake has failed, which says so by itself.
            let _ = self.jobs.try_send(job);
        }
        Some(event)
    }

    fn step(&mut self, event: Event<PeerId>) -> Option<End> {
        let mut end = None;
        for event in self.deeds.screen(event) {
            end = end.or(self.hear(event));
        }
        end
    }

    fn hear(&mut self, event: Event<PeerId>) -> Option<End> {
        let mut end = None;
        let now = self.began.elapsed();
        self.deeds.heard(now, &event);
        for action in self.scheduler.step(now, event) {
            match action {
                Action::FindPeers => self.find_peers(),
                Action::LookUp(cid) => self.look_up(cid),
                Action::Manifest {
                    request,
                    peer,
                    nodes,
                    max_bytes,
                } => {
                    self.deeds.asked(request, peer, max_bytes, now);
                    let question = Question::Manifest(nodes.clone());
                    let message = Request::Manifest {
                        root: self.task.root,
                        nodes,
                        max_bytes,
                    };
                    self.ask(request, peer, question, message);
                }
                Action::Get {
                    request,
                    peer,
                    extents,
                    leaves,
                    max_bytes,
                    urgent,
                } => {
                    self.deeds.asked(request, peer, max_bytes, now);
                    let urgency = if urgent {
                        Urgency::Reader
                    } else {
                        Urgency::default()
                    };
                    let message = Request::Get {
                        root: self.task.root,
                        extents,
                        max_bytes,
                        urgency,
                    };
                    self.get(request, peer, leaves, message);
                }
                Action::Have {
                    request,
                    peer,
                    nodes,
                } => {
                    let message = Request::Have {
                        root: self.task.root,
                        nodes: self.asked.known(peer, &nodes),
                    };
                    self.ask(request, peer, Question::Have(nodes), message);
                }
                Action::AskPeers { peer } => self.ask_peers(peer),
                Action::Cancel { request, from } => self.asked.cancel(request, from),
                Action::Drop { peer, reason } => self.drop_peer(peer, &reason),
                Action::Finished => end = Some(End::Finished),
                Action::Fail(defeat) => end = Some(End::Defeat(defeat)),
                Action::WaitUntil(time) => self.wake = time,
            }
        }
        end
    }

    fn find_peers(&mut self) {
        self.searching = true;
        let (outbound, notes) = (Arc::clone(&self.outbound), self.notes.clone());
        self.tasks.spawn(search(
            outbound,
            self.task.root,
            self.addresses.clone(),
            notes,
        ));
    }

    fn look_up(&mut self, cid: store::Cid) {
        let (store, shared, notes) = (
            Arc::clone(&self.store),
            Arc::clone(&self.shared),
            self.notes.clone(),
        );
        self.tasks.spawn_blocking(move || {
            if let Err(end) = look_up(&*store, &shared, &notes, cid) {
                let _ = notes.blocking_send(Note::End(end));
            }
        });
    }

    fn ask(&mut self, request: RequestId, peer: PeerId, question: Question, message: Request) {
        let notes = self.notes.clone();
        let answer = self.outbound.request(peer, message);
        let task = self.tasks.spawn(async move {
            let result = answer.await;
            let _ = notes.send(Note::Reply { request, result }).await;
        });
        self.asked.insert(request, peer, question, task);
    }

    fn get(&mut self, request: RequestId, peer: PeerId, leaves: Vec<store::Cid>, message: Request) {
        let notes = self.notes.clone();
        let mut parts = self.outbound.get(peer, message);
        let cancel = parts.cancel();
        let task = self.tasks.spawn(async move {
            while let Some(result) = parts.next().await {
                let _ = notes.send(Note::Reply { request, result }).await;
            }
            // Says nothing new unless the answer has broken off.
            let result = Err(RequestError::ConnectionClosed { peer });
            let _ = notes.send(Note::Reply { request, result }).await;
        });
        let question = Question::Get {
            leaves,
            answered: 0,
            cancel,
        };
        self.asked.insert(request, peer, question, task);
    }

    fn ask_peers(&mut self, peer: PeerId) {
        let (outbound, notes) = (Arc::clone(&self.outbound), self.notes.clone());
        self.tasks
            .spawn(others(outbound, peer, self.task.root, notes));
    }

    fn drop_peer(&mut self, peer: PeerId, reason: &Reason) {
        let root = self.task.root;
        if reason.is_hostile() {
            tracing::warn!(%peer, %root, %reason, "peer dropped");
        } else {
            tracing::info!(%peer, %root, %reason, "peer dropped");
        }
        self.deeds.dropped(peer, reason);
        self.asked.drop_peer(peer);
    }

    fn report(&mut self, report: &watch::Sender<SessionProgress>) {
        let now = self.began.elapsed();
        let status = self.scheduler.status(now);
        let rate = self.rate.note(now, status.bytes_fetched);
        let progress = SessionProgress {
            phase: status.phase,
            peers: status.peers,
            bytes_done: status.bytes_done,
            bytes_total_hint: self.total,
            blocks_done: status.blocks_done,
            bytes_fetched: status.bytes_fetched,
            rate: if status.phase == Phase::Done { 0 } else { rate },
            sources: self.sources.tell(now),
            strip: self.scheduler.strip(),
        };
        report.send_if_modified(|told| {
            let changed = *told != progress;
            *told = progress;
            changed
        });
    }
}
