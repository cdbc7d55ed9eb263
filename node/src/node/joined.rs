//! [`Joined`]: the network with all that serves it, as the blocking side of the node sees it.
//!
//! Its methods block, and are for threads outside the runtime: those of conversations.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::repo::Repo;
use store_config::{ByteSize, Config};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::NodeError;
use crate::address::peer_of;
use crate::exchange::bandwidth::{Bandwidth, local_minute};
use crate::exchange::reputation::Reputation;
use crate::exchange::{Exchange, ExchangeConfig, Serving, Session, SessionOptions};
use crate::identity;
use crate::metrics::{Metrics, http};
use crate::network::{
    ConnectError, Network, NetworkConfig, NetworkError, ProviderRecord, Role, inlets,
};

/// Requests of others that wait to be looked at; the swarm answers Busy beyond. The exchange's server
/// takes one within microseconds, to answer or to refuse it.
const INBOUND: usize = 256;

/// Bulk streams of others that wait to be served; they are reset beyond. Each is taken within microseconds.
const STREAMS: usize = 64;

/// Bytes of downloads in memory with `storage.low_memory`: as many as one peer may owe.
const LOW_MEMORY: ByteSize = ByteSize::mebibytes(16);

/// Bytes of hot blocks with `storage.low_memory`.
const LOW_MEMORY_HOT: usize = 8 << 20;

/// A place in the network.
#[derive(Debug)]
pub struct Joined {
    handle: Handle,
    network: Network,
    exchange: Exchange,
    metrics: Metrics,
    reputation: Reputation,
    repo: Weak<Repo>,
    /// Whom a command meets first. It has just joined: no content is given up as long as one of these
    /// is still on its way.
    awaited: Vec<Multiaddr>,
}

impl Joined {
    /// Joins: listens, serves others, and announces the repo's roots unless it is a client.
    pub async fn start(config: &Config, repo: &Arc<Repo>, role: Role) -> Result<Self, NodeError> {
        let keypair = identity::load_or_create(repo)?;
        let metrics = Metrics::default();
        let (inlets, arrivals) = inlets(INBOUND, STREAMS);
        let awaited = match role {
            Role::Client => config.network.bootstrap.iter(),
            _ => [].iter(),
        };
        let awaited = awaited.filter(|address| peer_of(address).is_some());
        let awaited = awaited.cloned().collect();
        let network = NetworkConfig {
            network: config.network.name.to_string().parse()?,
            role,
            listen: config.network.listen.clone(),
            bootstrap: config.network.bootstrap.clone(),
            mdns: config.network.mdns,
            max_connections: config.network.max_connections.get(),
            metrics: metrics.clone(),
            ..NetworkConfig::default()
        };
        let network = Network::start(network, Arc::clone(repo), keypair, inlets).await?;
        let blocks = Arc::clone(repo.blocks());
        let mut downloads = config.exchange.clone();
        if config.storage.low_memory {
            downloads.download_memory = downloads.download_memory.min(LOW_MEMORY);
        }
        let downloads = ExchangeConfig::from(&downloads);
        let reputation = load_reputation(Arc::clone(repo)).await?;
        reputation.keep(repo);
        let serving = serving(config, reputation.clone(), metrics.clone());
        let exchange = Exchange::start(network.clone(), blocks, arrivals, downloads, serving);
        Ok(Self {
            handle: Handle::current(),
            network,
            exchange,
            metrics,
            reputation,
            repo: Arc::downgrade(repo),
            awaited,
        })
    }

    /// Our peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.network.peer_id()
    }

    /// Where we listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.handle.block_on(self.network.addresses())
    }

    /// Who is connected.
    #[must_use]
    pub fn peers(&self) -> Vec<crate::network::PeerInfo> {
        self.handle.block_on(self.network.peers())
    }

    /// Connects; `None` when cancelled.
    pub fn connect(
        &self,
        address: Multiaddr,
        cancel: &CancellationToken,
    ) -> Option<Result<PeerId, ConnectError>> {
        self.handle
            .block_on(cancel.run_until_cancelled(self.network.connect(address)))
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
        let lookup = async {
            let mut found = self.network.providers(root).await;
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
        let _runtime = self.handle.enter();
        options.addresses.extend(self.awaited.iter().cloned());
        self.exchange.open(root, options)
    }

    /// Announces `root`, now and from now on.
    pub fn provide(&self, root: Cid) {
        self.handle.block_on(self.network.provide(root));
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
        Ok(http::serve(address, self.metrics.clone(), self.network.clone()).await?)
    }

    /// Waits for the end of the swarm.
    pub async fn closed(&self) {
        self.network.closed().await;
    }

    /// Ends it: bounded, see [`Network::shutdown`].
    pub async fn shutdown(&self) {
        let (reputation, repo) = (self.reputation.clone(), Weak::clone(&self.repo));
        let write = move || {
            if let Some(repo) = repo.upgrade() {
                reputation.write(&repo);
            }
        };
        // One that panicked has written nothing, which costs memories only.
        let _ = tokio::task::spawn_blocking(write).await;
        self.network.clone().shutdown().await;
    }
}

/// Beside the async threads.
async fn load_reputation(repo: Arc<Repo>) -> Result<Reputation, NodeError> {
    let load = move || Reputation::load(&repo).map_err(NetworkError::from);
    let loaded = tokio::task::spawn_blocking(load).await;
    Ok(loaded.expect("loading does not panic")?)
}

fn serving(config: &Config, reputation: Reputation, metrics: Metrics) -> Serving {
    let all = Serving {
        bandwidth: Bandwidth::new(&config.exchange, local_minute),
        reputation,
        metrics,
        slots: Some(config.exchange.upload_slots.get().into()),
        ..Serving::default()
    };
    if !config.storage.low_memory {
        return all;
    }
    Serving {
        hot: LOW_MEMORY_HOT,
        memory: LOW_MEMORY.bytes(),
        ..all
    }
}
