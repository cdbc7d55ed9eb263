//! [`Joined`]: the network with all that serves it, as the blocking side of the node sees it.
//!
//! Its methods block, and are for threads outside the runtime: those of conversations.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::repo::Repo;
use store_config::Config;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::NodeError;
use super::inside::Inside;
use super::ports::same_ports;
use crate::address::peer_of;
use crate::blocking::blocking;
use crate::exchange::reputation::Reputation;
use crate::exchange::{Session, SessionOptions};
use crate::metrics::{Metrics, http};
use crate::network::{ConnectError, NetworkError, ProviderRecord, Role};
use crate::replication::Replication;
use crate::replication::pins::Pins;

/// A port that was just let go may be taken for a moment: QUIC's socket stays until its connections
/// have ended. Waited for this long.
const PORTS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is tried.
const PORTS_PAUSE: Duration = Duration::from_millis(50);

/// A place in the network.
pub struct Joined {
    handle: Handle,
    peer_id: PeerId,
    config: Config,
    role: Role,
    metrics: Metrics,
    reputation: Reputation,
    repo: Weak<Repo>,
    /// Whom a command meets first. It has just joined: no content is given up as long as one of these
    /// is still on its way.
    awaited: Vec<Multiaddr>,
    /// `None` while it moves from one swarm to another.
    place: watch::Sender<Option<Inside>>,
    /// Held by who moves it, or ends it.
    moving: Mutex<()>,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("peer_id", &self.peer_id)
            .field("place", &self.place.borrow())
            .finish_non_exhaustive()
    }
}

impl Joined {
    /// Joins: listens, serves others, and announces the repo's roots unless it is a client.
    pub async fn start(config: &Config, repo: &Arc<Repo>, role: Role) -> Result<Self, NodeError> {
        let metrics = Metrics::default();
        let awaited = match role {
            Role::Client | Role::Guest => config.network.bootstrap.iter(),
            Role::Storage => [].iter(),
        };
        let awaited = awaited.filter(|address| peer_of(address).is_some());
        let awaited = awaited.cloned().collect();
        let reputation = load_reputation(Arc::clone(repo)).await?;
        let listen = config.network.listen.clone();
        let inside = Inside::start(config, listen, repo, role, &metrics, &reputation).await?;
        reputation.keep(repo);
        Ok(Self {
            handle: Handle::current(),
            peer_id: inside.network.peer_id(),
            config: config.clone(),
            role,
            metrics,
            reputation,
            repo: Arc::downgrade(repo),
            awaited,
            place: watch::Sender::new(Some(inside)),
            moving: Mutex::new(()),
        })
    }

    /// Leaves the swarm, closing all connections, and joins the one whose key the repo keeps now (or the
    /// open one), on the same ports. Downloads that run end. What is asked for meanwhile waits.
    ///
    /// # Errors
    /// If it cannot join. It is in no swarm then, and [`Joined::closed`].
    pub fn rejoin(&self) -> Result<(), NodeError> {
        self.handle.block_on(self.change_swarm())
    }

    async fn change_swarm(&self) -> Result<(), NodeError> {
        let _moving = self.moving.lock().await;
        let left = self.place.send_replace(None);
        let left = left.expect("only who holds the lock takes it away, and puts another there");
        let had = left.network.addresses().await;
        left.network.clone().shutdown().await;
        self.metrics.forget_swarm();
        let (place, result) = match self.start_again(&had).await {
            Ok(inside) => (inside, Ok(())),
            Err(error) => (left, Err(error)),
        };
        self.place.send_replace(Some(place));
        result
    }

    async fn start_again(&self, had: &[Multiaddr]) -> Result<Inside, NodeError> {
        let repo = self.repo.upgrade().ok_or(NodeError::Ending)?;
        let deadline = Instant::now() + PORTS_WITHIN;
        loop {
            let listen = same_ports(&self.config.network.listen, had);
            let (metrics, reputation) = (&self.metrics, &self.reputation);
            let start = Inside::start(&self.config, listen, &repo, self.role, metrics, reputation);
            let start = start.await;
            let taken = matches!(
                start,
                Err(NodeError::Network(NetworkError::Listen {
                    kind: ErrorKind::AddrInUse,
                    ..
                }))
            );
            if !taken || Instant::now() > deadline {
                return start;
            }
            tokio::time::sleep(PORTS_PAUSE).await;
        }
    }

    /// Where it is; waits while it moves.
    fn inside(&self) -> Inside {
        let mut place = self.place.subscribe();
        let there = async { place.wait_for(Option::is_some).await.map(|it| it.clone()) };
        let there = self.handle.block_on(there);
        there
            .ok()
            .flatten()
            .expect("the sender is ours, and it was waited for")
    }

    /// Our peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where we listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let network = self.inside().network;
        self.handle.block_on(network.addresses())
    }

    /// Who is connected.
    #[must_use]
    pub fn peers(&self) -> Vec<crate::network::PeerInfo> {
        let network = self.inside().network;
        self.handle.block_on(network.peers())
    }

    /// The members of the swarm.
    #[must_use]
    pub fn members(&self) -> Vec<crate::members::Member> {
        let network = self.inside().network;
        self.handle.block_on(network.members()).0
    }

    /// How much of the swarm is in sight.
    #[must_use]
    pub fn sight(&self) -> crate::members::Sight {
        let network = self.inside().network;
        self.handle.block_on(network.members()).1
    }

    /// Tells the other members that this node is about to leave, or stays after all; over when those who can be
    /// reached know.
    pub(crate) fn set_leaving(&self, leaving: bool) -> impl Future<Output = ()> + use<> {
        let network = self.inside().network;
        async move { network.set_leaving(leaving).await }
    }

    /// Waits for something that happens in the node.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    /// The copies on other members; `None` in a client.
    #[must_use]
    pub fn replication(&self) -> Option<Replication> {
        self.inside().keeping.map(|it| it.replication)
    }

    /// What the swarm's owners want kept, as far as this node has heard; `None` in a client.
    #[must_use]
    pub fn pins(&self) -> Option<Arc<Pins>> {
        self.inside().keeping.map(|it| it.pins)
    }

    /// Connects; `None` when cancelled.
    pub fn connect(
        &self,
        address: Multiaddr,
        cancel: &CancellationToken,
    ) -> Option<Result<PeerId, ConnectError>> {
        let network = self.inside().network;
        self.handle
            .block_on(cancel.run_until_cancelled(network.connect(address)))
    }

    /// Looks for providers of `root` and hands out each, until the lookup ends, `timeout` has passed,
    /// `each` returns `false`, or it is cancelled.
    pub fn providers(
        &self,
        root: Cid,
        timeout: Duration,
        cancel: &CancellationToken,
        mut each: impl FnMut(ProviderRecord) -> bool,
    ) {
        let network = self.inside().network;
        let lookup = async {
            let mut found = network.providers(root).await;
            while let Some(provider) = found.recv().await {
                if !each(provider) {
                    return;
                }
            }
        };
        self.handle.block_on(async {
            // Made here: a timer needs the runtime from its beginning.
            let lookup = tokio::time::timeout(timeout, lookup);
            // How it ends does not matter: what was found has been handed out.
            let _ = cancel.run_until_cancelled(lookup).await;
        });
    }

    /// Opens a download of `root`.
    #[must_use]
    pub fn open(&self, root: Cid, mut options: SessionOptions) -> Session {
        let exchange = self.inside().exchange;
        let _runtime = self.handle.enter();
        options.addresses.extend(self.awaited.iter().cloned());
        exchange.open(root, options)
    }

    /// Announces `root`, now and from now on.
    pub fn provide(&self, root: Cid) {
        let network = self.inside().network;
        self.handle.block_on(network.provide(root));
    }

    /// Who kept their word.
    #[must_use]
    pub const fn reputation(&self) -> &Reputation {
        &self.reputation
    }

    /// Its numbers.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves metrics over HTTP.
    pub async fn serve_metrics(&self, address: SocketAddr) -> Result<http::Server, NodeError> {
        let place = self.place.subscribe();
        let up = move || {
            let place = place.borrow();
            // On its way from one swarm to another it is well.
            place.as_ref().is_none_or(|it| it.network.is_running())
        };
        Ok(http::serve(address, self.metrics.clone(), up).await?)
    }

    /// Waits for the end of the swarm; a move to another is none.
    pub async fn closed(&self) {
        let mut places = self.place.subscribe();
        loop {
            let place = places.borrow_and_update().clone();
            let closed = async {
                match place {
                    Some(inside) => inside.network.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // Never fails: the sender is ours.
                _ = places.changed() => {}
                () = closed => return,
            }
        }
    }

    /// Ends it: bounded, see [`Network::shutdown`](crate::network::Network::shutdown).
    pub async fn shutdown(&self) {
        let (reputation, repo) = (self.reputation.clone(), Weak::clone(&self.repo));
        let write = move || {
            if let Some(repo) = repo.upgrade() {
                reputation.write(&repo);
            }
        };
        // One that panicked has written nothing, which costs memories only.
        let _ = tokio::task::spawn_blocking(write).await;
        let _moving = self.moving.lock().await;
        let inside = self.place.borrow().clone();
        if let Some(inside) = inside {
            inside.network.shutdown().await;
        }
    }
}

async fn load_reputation(repo: Arc<Repo>) -> Result<Reputation, NodeError> {
    let load = move || Reputation::load(&repo).map_err(NetworkError::from);
    Ok(blocking(load).await?)
}
