//! [`Node`]: the composition root of `store run`. What it is made of starts here, in order, and ends
//! here, in the other order.

mod host;
mod inside;
mod joined;
mod joining;
mod offer;
mod ports;
mod room;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use libp2p::{Multiaddr, PeerId};
use store::repo::{Repo, RepoError};
use store_config::Config;
use tokio::runtime::{Builder, Runtime};

pub use self::host::{Host, ReachError, Reached, reach, repo_options};
pub use self::joined::Joined;
pub(crate) use self::joining::Joining;
pub(crate) use self::room::Room;
use crate::announced;
use crate::identity::IdentityError;
use crate::metrics::http;
use crate::network::{NetworkError, Role};
use crate::scrub::Scrubber;
use crate::service::Service;
use crate::swarm_key::SwarmKeyError;
use crate::upkeep::Upkeep;

/// Program and version, as peers and users are told it.
pub const AGENT: &str = concat!("store/", env!("CARGO_PKG_VERSION"));

/// How long commands that run may go on when the node is told to end. With what follows them (hanging
/// up, the swarm's goodbye, a last flush) it ends within [`SHUTDOWN`].
const COMMANDS_END: Duration = Duration::from_secs(1);
/// A node that is told to end has ended after this.
pub const SHUTDOWN: Duration = Duration::from_secs(10);
/// How long blocking tasks may take to notice the end.
const TASKS_END: Duration = Duration::from_secs(1);

/// A running node.
pub struct Node {
    host: Host,
    joined: Arc<Joined>,
    metrics: Option<http::Server>,
    upkeep: Upkeep,
    scrub: Option<Scrubber>,
    runtime: Runtime,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The repo.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The node's key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The key of its private swarm.
    #[error(transparent)]
    SwarmKey(#[from] SwarmKeyError),
    /// The swarm.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The network's name.
    #[error(transparent)]
    Name(#[from] crate::network::BadName),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] http::ServeError),
    /// The socket for commands.
    #[error("cannot listen for commands on repo `{}`: {error}", .repo.display())]
    Socket {
        /// The repo.
        repo: std::path::PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No threads.
    #[error("cannot start the node's threads: {0}")]
    Threads(io::Error),
    /// It has ended already.
    #[error("the node is ending")]
    Ending,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("joined", &self.joined)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node on `repo`: it listens, serves and announces when this returns.
    pub fn start(config: Config, repo: Repo) -> Result<Self, NodeError> {
        let repo = Arc::new(repo);
        let runtime = runtime()?;
        let lifetime = config.exchange.announce_cached.get();
        let records = |error| RepoError::Store {
            path: repo.path().to_owned(),
            error,
        };
        announced::forget_stale(&repo, lifetime).map_err(records)?;
        let joined = Arc::new(runtime.block_on(Joined::start(&config, &repo, Role::Storage))?);
        let metrics = match config.metrics.address.0 {
            Some(address) => Some(runtime.block_on(joined.serve_metrics(address))?),
            None => None,
        };
        let upkeep = Upkeep::start(Arc::clone(&repo)).map_err(NodeError::Threads)?;
        let scrub = config.storage.scrub_interval.get();
        let told = Arc::clone(&joined);
        let tell = move |rotten| {
            if let Some(replication) = told.replication() {
                told.wait_for(replication.rotten(rotten));
            }
        };
        let scrub = scrub.and_then(|every| Scrubber::start(&repo, every, joined.metrics(), tell));
        let service = Service::with_node(Arc::clone(&repo), config, Arc::clone(&joined));
        // Last: a command that gets through finds everything running.
        let host = match Host::serve(repo, service) {
            Ok(host) => host,
            Err(error) => {
                scrub.into_iter().for_each(Scrubber::stop);
                return Err(error);
            }
        };
        Ok(Self {
            host,
            joined,
            metrics,
            upkeep,
            scrub,
            runtime,
        })
    }

    /// Its peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.joined.peer_id()
    }

    /// Where it listens, with its `/p2p/PEER` at the end.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.joined.addresses()
    }

    /// Where its metrics are, if they are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(http::Server::address)
    }

    /// Waits for `end`, in the node's runtime; returns `None` if the swarm ended by itself before.
    pub fn run_until<T>(&self, end: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            tokio::select! {
                ended = end => Some(ended),
                () = self.joined.closed() => None,
            }
        })
    }

    /// Ends it within [`SHUTDOWN`]: commands, then the swarm, then the repo.
    pub fn shutdown(self) -> Result<(), NodeError> {
        let begun = Instant::now();
        let Self {
            host,
            joined,
            metrics,
            upkeep,
            scrub,
            runtime,
        } = self;
        drop((metrics, upkeep));
        scrub.into_iter().for_each(Scrubber::stop);
        let (repo, left) = host.stop_serving(COMMANDS_END);
        if left > 0 {
            tracing::info!(
                commands = left,
                "hung up on commands that were still running"
            );
        }
        runtime.block_on(joined.shutdown());
        drop(joined);
        runtime.shutdown_timeout(TASKS_END);
        host::close(repo)?;
        tracing::info!(
            elapsed_ms = begun.elapsed().as_millis(),
            "the node has ended"
        );
        Ok(())
    }
}

/// The runtime of a network.
fn runtime() -> Result<Runtime, NodeError> {
    Builder::new_multi_thread()
        .thread_name("node")
        .enable_all()
        .build()
        .map_err(NodeError::Threads)
}

#[cfg(test)]
mod tests;
