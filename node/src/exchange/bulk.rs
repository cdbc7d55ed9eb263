//! [`Asker`]: the asking side of the swarm. Small questions go by request-response; blocks in bulk over
//! one stream to each peer, which all sessions share: a [`Lane`].
//!
//! A lane never waits for a session: each request's parts go into a queue of its own that has room for
//! all of them, so a reader that stands still holds up nobody else. What a session no longer wants is
//! cancelled when it drops its [`Parts`].

mod lane;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;
use store::wire::{Request, Response};
use tokio::sync::mpsc;

use self::lane::Order;
use super::bandwidth::Bandwidth;
use super::reputation::Reputation;
use crate::network::{Network, RequestError};

/// Orders that wait for a lane at most: sixteen requests of each of sixty-four sessions. Who finds the
/// queue full is refused.
const ORDERS: usize = 1024;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Asker {
    network: Network,
    bandwidth: Bandwidth,
    reputation: Reputation,
    lanes: Lanes,
}

/// The lanes that are open: at most one for each peer, of which there are as many as connections.
pub(super) type Lanes = Arc<Mutex<HashMap<PeerId, Lane>>>;

/// The way to one peer.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    orders: mpsc::Sender<Order>,
    next: Arc<AtomicU64>,
}

impl Asker {
    pub(super) fn new(network: Network, bandwidth: Bandwidth, reputation: Reputation) -> Self {
        Self {
            network,
            bandwidth,
            reputation,
            lanes: Arc::default(),
        }
    }

    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    pub(super) const fn reputation(&self) -> &Reputation {
        &self.reputation
    }

    /// Asks `peer` a question that has one answer. How large that is is known when it is here: it counts
    /// against the limits then, and nothing more is asked before they have room again. So no more comes
    /// unpaid than what is under way, a few answers; the rate over seconds holds.
    ///
    /// # Errors
    /// As [`Network::request`].
    pub(super) async fn request(
        &self,
        peer: PeerId,
        request: Request,
    ) -> Result<Response, RequestError> {
        let throttle = self.bandwidth.download(peer);
        throttle.ready().await;
        let response = self.network.request(peer, request).await?;
        throttle.take(response.payload_size() as u64).await;
        Ok(response)
    }

    /// Asks `peer` for leaves. Must be called within a tokio runtime.
    pub(super) fn get(&self, peer: PeerId, request: Request) -> Parts {
        let (to_parts, parts) = mpsc::channel(request.leaves() + 1);
        // Held while ordering, so that a lane that closes for want of orders has none.
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(peer).or_insert_with(|| self.open(peer));
        let id = lane.next.fetch_add(1, Ordering::Relaxed);
        let failed = to_parts.clone();
        let order = Order::Get {
            id,
            request,
            parts: to_parts,
        };
        let mut orders = Some(lane.orders.clone());
        if lane.orders.try_send(order).is_err() {
            // There is room: nothing was sent.
            let _ = failed.try_send(Err(RequestError::TooMany { limit: ORDERS }));
            orders = None;
        }
        let cancel = Cancel { orders, id };
        Parts { parts, cancel }
    }

    fn open(&self, peer: PeerId) -> Lane {
        let (orders, queue) = mpsc::channel(ORDERS);
        let lanes = Arc::clone(&self.lanes);
        let throttle = self.bandwidth.download(peer);
        let network = self.network.clone();
        tokio::spawn(lane::run(network, peer, throttle, queue, lanes));
        Lane {
            orders,
            next: Arc::new(AtomicU64::new(1)),
        }
    }
}

fn lock(lanes: &Lanes) -> MutexGuard<'_, HashMap<PeerId, Lane>> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The parts of an answer as they come; none after an error, or after the last leaf. Dropping it cancels
/// what has not come.
#[derive(Debug)]
pub(crate) struct Parts {
    parts: mpsc::Receiver<Result<Response, RequestError>>,
    cancel: Cancel,
}

impl Parts {
    /// One answer that is there already.
    #[cfg(test)]
    pub(super) fn of(result: Result<Response, RequestError>) -> Self {
        let (sender, parts) = mpsc::channel(1);
        sender.try_send(result).expect("it has room for one");
        let cancel = Cancel::of_nothing();
        Self { parts, cancel }
    }

    /// No answer, ever.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        let (sender, parts) = mpsc::channel(1);
        tokio::spawn(async move { sender.closed().await });
        let cancel = Cancel::of_nothing();
        Self { parts, cancel }
    }

    /// The next part.
    pub(super) async fn next(&mut self) -> Option<Result<Response, RequestError>> {
        self.parts.recv().await
    }

    /// What cancels the request.
    pub(super) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // One that is over has been let go by its lane.
        if !self.parts.is_closed() {
            self.cancel.from(0);
        }
    }
}

/// Cancels one request.
#[derive(Clone, Debug)]
pub(crate) struct Cancel {
    orders: Option<mpsc::Sender<Order>>,
    id: u64,
}

impl Cancel {
    #[cfg(test)]
    const fn of_nothing() -> Self {
        Self {
            orders: None,
            id: 0,
        }
    }

    /// The leaves from `from` on are not wanted any more.
    pub(super) fn from(&self, from: u32) {
        if let Some(orders) = &self.orders {
            // With no room the peer sends in vain, which costs bandwidth and nothing else.
            let _ = orders.try_send(Order::Cancel { id: self.id, from });
        }
    }
}
