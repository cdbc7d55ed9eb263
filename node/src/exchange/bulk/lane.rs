//! A lane at work: one task writes what is ordered, one reads what comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use store::wire::{Ask, Request, Response};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Lanes, lock};
use crate::exchange::bandwidth::Throttle;
use crate::exchange::codec::read_answer;
use crate::metrics::{IN, Metrics, OUT};
use crate::network::{Network, RequestError};
use crate::streams::StreamError;

/// A lane over which nothing is asked for so long is closed: an open stream holds its connection.
const IDLE: Duration = Duration::from_secs(120);

/// Requests of one lane under way at most, cancelled ones among them: sessions have 16 each.
const MAX_PENDING: usize = 1024;

/// What a lane is to do.
#[derive(Debug)]
pub(in crate::exchange) enum Order {
    Get {
        id: u64,
        request: Request,
        parts: ToParts,
    },
    Cancel {
        id: u64,
        from: u32,
    },
}

/// Where parts go: room for one for each leaf, and an error.
type ToParts = mpsc::Sender<Result<Response, RequestError>>;

/// Requests under way.
#[derive(Clone, Debug)]
pub(super) struct Pending(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    waiting: HashMap<u64, Waiting>,
    /// Why nothing more will come.
    broken: Option<RequestError>,
}

#[derive(Debug)]
struct Waiting {
    parts: ToParts,
    /// Leaves that have not come.
    left: usize,
}

/// Serves the orders of one lane until nobody has had any for a while, or the stream breaks.
pub(super) async fn run(
    network: Network,
    peer: PeerId,
    throttle: Throttle,
    mut orders: mpsc::Receiver<Order>,
    lanes: Lanes,
) {
    match network.open_bulk(peer).await {
        Ok(stream) => {
            let (reader, writer) = stream.split();
            let lane = Conversation {
                peer,
                lanes: Arc::clone(&lanes),
                metrics: network.metrics().clone(),
                idle: IDLE,
                pending: Pending::new(),
                throttle,
            };
            lane.run(reader, writer, &mut orders).await;
        }
        // It is asked the slower way.
        Err(StreamError::Unsupported) => fall_back(&network, peer, &mut orders).await,
        Err(error) => {
            let reason = error.to_string();
            tracing::debug!(%peer, reason, "no bulk stream");
            leave(peer, &lanes);
            refuse(orders, &RequestError::Broken { peer, reason });
            return;
        }
    }
    leave(peer, &lanes);
    refuse(orders, &RequestError::ConnectionClosed { peer });
}

/// The next request opens a new lane.
fn leave(peer: PeerId, lanes: &Lanes) {
    lock(lanes).remove(&peer);
}

/// Fails what was ordered too late.
fn refuse(mut orders: mpsc::Receiver<Order>, error: &RequestError) {
    orders.close();
    while let Ok(order) = orders.try_recv() {
        if let Order::Get { parts, .. } = order {
            let _ = parts.try_send(Err(error.clone()));
        }
    }
}

/// One stream's life.
#[derive(Clone)]
pub(super) struct Conversation {
    pub(super) peer: PeerId,
    pub(super) lanes: Lanes,
    pub(super) metrics: Metrics,
    /// Closed after so long without an order, when nothing is under way.
    pub(super) idle: Duration,
    pub(super) pending: Pending,
    /// How fast answers are read.
    pub(super) throttle: Throttle,
}

impl Conversation {
    /// Writes and reads until the stream is over.
    pub(super) async fn run(
        self,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send,
        orders: &mut mpsc::Receiver<Order>,
    ) {
        let over = CancellationToken::new();
        let read = {
            let (this, over) = (self.clone(), over.clone());
            let guard = over.clone().drop_guard();
            tokio::spawn(async move {
                let _ends_the_writer = guard;
                let why = over.run_until_cancelled(this.read(reader)).await;
                let peer = this.peer;
                this.pending
                    .fail(why.unwrap_or(RequestError::ConnectionClosed { peer }));
            })
        };
        let wrote = over.run_until_cancelled(self.write(writer, orders)).await;
        if let Some(Err(error)) = wrote {
            let (peer, reason) = (self.peer, error.to_string());
            self.pending.fail(RequestError::Broken { peer, reason });
        }
        over.cancel();
        // It ends at once; if it panicked, what was under way fails with it.
        if read.await.is_err() {
            let peer = self.peer;
            self.pending.fail(RequestError::ConnectionClosed { peer });
        }
    }

    /// Writes orders until there are none for a while.
    async fn write(
        &self,
        mut writer: impl AsyncWrite + Unpin + Send,
        orders: &mut mpsc::Receiver<Order>,
    ) -> std::io::Result<()> {
        loop {
            let order = if let Ok(order) = orders.try_recv() {
                order
            } else {
                writer.flush().await?;
                match tokio::time::timeout(self.idle, orders.recv()).await {
                    Ok(Some(order)) => order,
                    Ok(None) => return Ok(()),
                    Err(_) if self.closes(orders) => return Ok(()),
                    Err(_) => continue,
                }
            };
            let ask = match order {
                Order::Get { id, request, parts } => {
                    if parts.is_closed() || !self.pending.insert(id, request.leaves(), parts) {
                        continue;
                    }
                    self.metrics.swarm().chunk.all.get_or_create(&OUT).inc();
                    Ask::Get { id, request }
                }
                Order::Cancel { id, .. } if !self.pending.contains(id) => continue,
                Order::Cancel { id, from } => Ask::Cancel { id, from },
            };
            let bytes = ask.encode().map_err(std::io::Error::other)?;
            writer.write_all(&bytes).await?;
        }
    }

    /// Takes the lane away if nobody needs it.
    fn closes(&self, orders: &mpsc::Receiver<Order>) -> bool {
        // Orders are given under this lock: none is lost.
        let mut lanes = lock(&self.lanes);
        let unused = self.pending.is_empty() && orders.is_empty();
        if unused {
            lanes.remove(&self.peer);
        }
        unused
    }

    /// Reads answers until the stream ends or breaks the protocol: why it ended.
    async fn read(&self, mut reader: impl AsyncRead + Unpin + Send) -> RequestError {
        let peer = self.peer;
        let bytes_in = self.metrics.swarm().exchange_bytes.get_or_create_owned(&IN);
        loop {
            match read_answer(&mut reader, Some(&self.throttle)).await {
                Ok((id, response)) => {
                    bytes_in.inc_by(response.payload_size() as u64);
                    if let Err(reason) = self.pending.deliver(id, response) {
                        return RequestError::Malformed { peer, reason };
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    let reason = error.to_string();
                    return RequestError::Malformed { peer, reason };
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "a bulk stream ended");
                    return RequestError::ConnectionClosed { peer };
                }
            }
        }
    }
}

/// Asks by request-response; the swarm bounds how many are under way.
async fn fall_back(network: &Network, peer: PeerId, orders: &mut mpsc::Receiver<Order>) {
    while let Ok(Some(order)) = tokio::time::timeout(IDLE, orders.recv()).await {
        if let Order::Get { request, parts, .. } = order
            && !parts.is_closed()
        {
            let network = network.clone();
            tokio::spawn(async move {
                let leaves = request.leaves();
                let mut answer = network.request(peer, request).await;
                // By request-response there are no parts: it is all there, or a fault.
                if let Ok(Response::Leaves(given)) = &answer
                    && given.len() != leaves
                {
                    let reason = format!("{} leaves where {leaves} were asked", given.len());
                    answer = Err(RequestError::Malformed { peer, reason });
                }
                // Who gave up waiting does not care.
                let _ = parts.try_send(answer);
            });
        }
    }
}

impl Pending {
    pub(super) fn new() -> Self {
        let (waiting, broken) = (HashMap::new(), None);
        Self(Arc::new(Mutex::new(State { waiting, broken })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.with(|state| state.waiting.is_empty())
    }

    fn contains(&self, id: u64) -> bool {
        self.with(|state| state.waiting.contains_key(&id))
    }

    /// Notes a request; `false` if it is not to be sent.
    fn insert(&self, id: u64, left: usize, parts: ToParts) -> bool {
        self.with(|state| {
            let refusal = match &state.broken {
                Some(broken) => broken.clone(),
                None if state.waiting.len() >= MAX_PENDING => {
                    RequestError::TooMany { limit: MAX_PENDING }
                }
                None => {
                    state.waiting.insert(id, Waiting { parts, left });
                    return true;
                }
            };
            let _ = parts.try_send(Err(refusal));
            false
        })
    }

    /// Passes a part on, or says how it breaks the protocol.
    fn deliver(&self, id: u64, response: Response) -> Result<(), String> {
        self.with(|state| {
            let waiting = state.waiting.get_mut(&id);
            let waiting = waiting
                .ok_or_else(|| format!("an answer to request {id}, which is not under way"))?;
            let over = match &response {
                Response::Leaves(leaves) if leaves.is_empty() => {
                    return Err("a part without leaves".to_owned());
                }
                Response::Leaves(leaves) if leaves.len() > waiting.left => {
                    return Err(format!(
                        "{} leaves where {} are left",
                        leaves.len(),
                        waiting.left
                    ));
                }
                Response::Leaves(leaves) => {
                    waiting.left -= leaves.len();
                    waiting.left == 0
                }
                Response::Busy { .. } | Response::NotFound | Response::Refused(_) => true,
                _ => return Err("it answered another question".to_owned()),
            };
            // There is room for all parts; who gave up waiting gets none.
            let _ = waiting.parts.try_send(Ok(response));
            if over {
                state.waiting.remove(&id);
            }
            Ok(())
        })
    }

    /// Nothing more will come.
    fn fail(&self, why: RequestError) {
        self.with(|state| {
            for (_, waiting) in state.waiting.drain() {
                let _ = waiting.parts.try_send(Err(why.clone()));
            }
            state.broken.get_or_insert(why);
        });
    }
}
