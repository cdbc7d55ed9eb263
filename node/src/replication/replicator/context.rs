//! [`Context`]: what the tasks of replication share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use libp2p::identity::Keypair;
use store::blockstore::{Blockstore, RocksStore};
use store::repo::Repo;
use store::segment::SegmentId;
use store::wire::member::MemberId;
use tokio::sync::oneshot;

use crate::exchange::Exchange;
use crate::network::Network;
use crate::node::Room;
use crate::replication::pins::Pins;

/// What the tasks share.
pub(super) struct Context {
    pub(super) network: Network,
    pub(super) exchange: Exchange,
    /// Weak: a task that goes on must not keep the repo open.
    pub(super) repo: Weak<Repo>,
    pub(super) pins: Arc<Pins>,
    pub(super) key: Keypair,
    pub(super) me: MemberId,
    /// The name of the swarm.
    pub(super) swarm: String,
    /// Whether its members store for each other.
    pub(super) is_private: bool,
    /// By what all waits are divided.
    pub(super) time_scale: f64,
    pub(super) room: Arc<Room>,
    pub(super) awaited: Awaited,
}

impl Context {
    /// The blocks; `None` while the node ends.
    pub(super) fn blocks(&self) -> Option<Arc<RocksStore>> {
        Some(Arc::clone(self.repo.upgrade()?.blocks()))
    }

    /// A wait, divided by the time scale.
    pub(super) fn scaled(&self, wait: Duration) -> Duration {
        wait.div_f64(self.time_scale)
    }

    /// Does something that blocks with the blocks; `None` while the node ends.
    pub(super) async fn with_blocks<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blockstore) -> T + Send + 'static,
    ) -> Option<T> {
        let blocks = self.blocks()?;
        tokio::task::spawn_blocking(move || work(&*blocks))
            .await
            .ok()
    }
}

/// Offers that were accepted, and whose end is waited for: as many as are under way.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<HashMap<(SegmentId, MemberId), oneshot::Sender<bool>>>);

impl Awaited {
    /// Waits for the word of `member` on `segment`; a second waiter takes the place of the first, which
    /// hears that it failed.
    pub(super) fn expect(&self, segment: SegmentId, member: MemberId) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert((segment, member), sender);
        receiver
    }

    /// What became of it. Whether anybody waited.
    pub(super) fn settle(&self, segment: SegmentId, member: MemberId, is_there: bool) -> bool {
        let waits = self.lock().remove(&(segment, member));
        waits.is_some_and(|waits| waits.send(is_there).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(SegmentId, MemberId), oneshot::Sender<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
