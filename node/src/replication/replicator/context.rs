//! [`Context`]: what the tasks of replication share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::identity::Keypair;
use store::blockstore::{Blockstore, RocksStore};
use store::repo::Repo;
use store::segment::SegmentId;
use store::wire::member::MemberId;
use store::wire::replica::{ReplicaRequest, ReplicaResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::exchange::Exchange;
use crate::network::{Network, RequestError};
use crate::node::Room;
use crate::replication::pins::Pins;

/// Our questions under way with one member at most: with as many of its own, and challenges, half of what one
/// connection carries before libp2p drops the rest.
const WITH_ONE: usize = 8;
/// And with all of them: three quarters of what the network has under way, as the rest is not asked by turns.
const WITH_ALL: usize = 96;
/// Tries to say what somebody waits for; the pauses between are half a minute in all.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);

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
    pub(super) turns: Turns,
    /// Turns for what is read to compare copies, or to show them.
    pub(super) reads: Semaphore,
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

    /// Asks a member, when it is this question's turn. What is timed is asked without.
    pub(super) async fn ask(
        &self,
        peer: PeerId,
        request: ReplicaRequest,
    ) -> Result<ReplicaResponse, RequestError> {
        let _turn = self.turns.wait(peer).await;
        self.network.ask_replica(peer, request).await
    }

    /// Says to a member what it waits for, a few times if need be. It takes what is said twice for once.
    pub(super) async fn say(&self, peer: PeerId, word: ReplicaRequest) {
        let mut pause = AGAIN;
        for _ in 0..TRIES {
            match self.ask(peer, word.clone()).await {
                Ok(ReplicaResponse::Noted | ReplicaResponse::Refused) => return,
                Ok(_) => tracing::debug!(%peer, "a member was busy, and is told again"),
                Err(error) => tracing::debug!(%peer, %error, "a member could not be told"),
            }
            tokio::select! {
                () = self.network.closed() => return,
                () = tokio::time::sleep(pause) => pause *= 2,
            }
        }
    }

    /// Reads blocks, when there is a turn for it: many segments may be one too many at the same time, and each of their
    /// copies is read to show it. `None` while the node ends.
    pub(super) async fn with_blocks<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blockstore) -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.reads.acquire().await.ok()?;
        let blocks = self.blocks()?;
        tokio::task::spawn_blocking(move || work(&*blocks))
            .await
            .ok()
    }
}

/// Whose turn it is to be asked. What waits are the tasks of questions, each as large as its question: what the planner
/// wants done at one time, and it asks again ever more seldom.
#[derive(Debug)]
pub(super) struct Turns {
    by_peer: Mutex<HashMap<PeerId, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// A question may be under way until it is dropped.
pub(super) type Turn = Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>;

impl Default for Turns {
    fn default() -> Self {
        Self {
            by_peer: Mutex::default(),
            all: Arc::new(Semaphore::new(WITH_ALL)),
        }
    }
}

impl Turns {
    async fn wait(&self, peer: PeerId) -> Turn {
        let with_peer = self.with(peer).acquire_owned().await.ok()?;
        let with_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some((with_peer, with_all))
    }

    fn with(&self, peer: PeerId) -> Arc<Semaphore> {
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        if by_peer.len() > WITH_ALL && !by_peer.contains_key(&peer) {
            // Those that nobody asks or waits for.
            by_peer.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        let turns = by_peer.entry(peer);
        Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(WITH_ONE))))
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
