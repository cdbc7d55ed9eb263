//! The exchange: contents from all who have them, and ours to all who ask (docs/protocol.md).
//!
//! [`Exchange::open`] makes a [`Session`], which finds peers, asks them for parts of the DAG, verifies
//! and stores what comes, and hands it to readers. What to ask of whom is decided by [`scheduler`],
//! which knows no network; `server` answers others.

pub mod bandwidth;
mod budget;
mod bulk;
pub mod codec;
#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "a measurement")]
mod crowd;
#[cfg(test)]
mod hostile;
pub mod landing;
#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "a measurement")]
mod limited;
mod outbound;
pub mod reputation;
pub mod scheduler;
pub(crate) mod server;
pub mod session;
#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "a measurement")]
pub(crate) mod whole;

use std::sync::Arc;

use store::Cid;
use store::blockstore::Blockstore;

use self::bandwidth::Bandwidth;
use self::budget::Budget;
use self::outbound::Outbound;
use self::reputation::Reputation;
use self::scheduler::Limits;
pub use self::session::{
    Mode, Session, SessionOptions, SessionProgress, SessionSource, SourceProgress,
};
use crate::metrics::Metrics;
use crate::network::{Network, Wanted};

/// Below this much memory for downloads, everything is kept small.
const LITTLE: u64 = 32 << 20;

/// How the exchange is set up.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeConfig {
    /// What all downloads may take together.
    pub limits: Limits,
}

impl From<&store_config::Exchange> for ExchangeConfig {
    fn from(config: &store_config::Exchange) -> Self {
        let total_bytes = config.download_memory.bytes();
        let limits = if total_bytes < LITTLE {
            Limits::low_memory()
        } else {
            Limits::default()
        };
        let peer_bytes = limits.peer_bytes.min(total_bytes);
        Self {
            limits: Limits {
                peer_bytes,
                total_bytes,
                ..limits
            },
        }
    }
}

/// How others are served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// How fast.
    pub bandwidth: Bandwidth,
    /// Who gave us what.
    pub reputation: Reputation,
    /// Where what was served is counted.
    pub metrics: Metrics,
    /// Upload slots; `None` in a private swarm, where everybody is served.
    pub slots: Option<usize>,
    /// Bytes of blocks that several ask for at the same time, kept in memory.
    pub hot: usize,
    /// Bytes that were read and wait to be written to their askers.
    pub memory: u64,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            bandwidth: Bandwidth::default(),
            reputation: Reputation::default(),
            metrics: Metrics::default(),
            slots: None,
            hot: 64 << 20,
            memory: 64 << 20,
        }
    }
}

/// The handle of the exchange.
#[derive(Clone)]
pub struct Exchange {
    outbound: Arc<dyn Outbound>,
    store: Arc<dyn Blockstore>,
    budget: Budget,
}

impl Exchange {
    /// Serves those who want blocks from `store` until the network ends, and stands ready for downloads. Must be
    /// called within a tokio runtime.
    #[must_use]
    pub fn start(
        network: Network,
        store: Arc<dyn Blockstore>,
        wanted: Wanted,
        config: ExchangeConfig,
        serving: Serving,
    ) -> Self {
        let (bandwidth, reputation) = (serving.bandwidth.clone(), serving.reputation.clone());
        let serve = server::serve(network.clone(), Arc::clone(&store), wanted, serving);
        tokio::spawn(serve);
        Self {
            outbound: Arc::new(bulk::Asker::new(network, bandwidth, reputation)),
            store,
            budget: Budget::new(config.limits),
        }
    }

    /// Begins a download. Must be called within a tokio runtime.
    #[must_use]
    pub fn open(&self, root: Cid, options: SessionOptions) -> Session {
        let (outbound, store) = (Arc::clone(&self.outbound), Arc::clone(&self.store));
        Session::start(outbound, store, root, options, &self.budget)
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
