//! [`Host`]: a process that holds a repo's lock and answers the commands on it: its own, and those of
//! others that come while it runs. [`reach`] makes a command one, or the guest of one.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use store::blockstore::Blockstore;
use store::repo::{Repo, RepoError, RepoOptions};
use store_config::Config;

use super::NodeError;
use crate::api::client::{Client, ClientError};
use crate::api::server::Server;
use crate::service::Service;

/// A holder of the lock that does not listen is about to (it opens its database), or about to let go.
/// Waited for this long in all.
const HOLDER_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked for.
const HOLDER_PAUSE: Duration = Duration::from_millis(10);
/// A thread that has answered lets go of the repo a moment after it has said so. Waited for this long
/// in all.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LET_GO_PAUSE: Duration = Duration::from_micros(200);

/// A process that answers commands on its repo.
pub struct Host {
    repo: Arc<Repo>,
    service: Arc<Service>,
    server: Server,
}

/// How a command came to its repo.
#[derive(Debug)]
pub enum Reached {
    /// Another process holds it, and answers.
    Guest(Client),
    /// This process holds it.
    Host(Host),
}

/// Why a command cannot come to its repo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// It cannot be opened.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its holder cannot be talked to.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// How the settings say that a repo is opened.
#[must_use]
pub fn repo_options(config: &Config) -> RepoOptions {
    RepoOptions {
        low_memory: config.storage.low_memory,
        quota: config.storage.quota.bytes(),
    }
}

/// Opens the repo in the directory `path`, or connects to the process that has it open.
pub fn reach(path: &Path, config: &Config) -> Result<Reached, ReachError> {
    let options = repo_options(config);
    let deadline = Instant::now() + HOLDER_WITHIN;
    loop {
        let locked = match Repo::open(path, &options) {
            Ok(repo) => return Ok(Reached::Host(Host::start(config.clone(), repo)?)),
            Err(locked @ RepoError::Locked { .. }) => locked,
            Err(error) => return Err(NodeError::from(error).into()),
        };
        match Client::connect(path) {
            Ok(client) => return Ok(Reached::Guest(client)),
            Err(ClientError::Nobody { .. }) if Instant::now() < deadline => {
                thread::sleep(HOLDER_PAUSE);
            }
            Err(ClientError::Nobody { .. }) => return Err(NodeError::from(locked).into()),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Host {
    /// Answers commands on `repo` without a node.
    pub fn start(config: Config, repo: Repo) -> Result<Self, NodeError> {
        let repo = Arc::new(repo);
        let service = Service::local(Arc::clone(&repo), config);
        Self::serve(repo, service)
    }

    /// Answers commands on `repo` by `service`.
    pub(super) fn serve(repo: Arc<Repo>, service: Service) -> Result<Self, NodeError> {
        let service = Arc::new(service);
        let answering = Arc::clone(&service);
        let handler =
            Box::new(move |request, conversation: &mut _| answering.answer(request, conversation));
        let server = Server::start(repo.path(), handler).map_err(|error| NodeError::Socket {
            repo: repo.path().to_owned(),
            error,
        })?;
        Ok(Self {
            repo,
            service,
            server,
        })
    }

    /// A conversation with this same process.
    pub fn client(&self) -> Result<Client, ClientError> {
        let pair = || -> io::Result<UnixStream> {
            let (near, far) = UnixStream::pair()?;
            self.server.serve(far)?;
            Ok(near)
        };
        Client::over(pair().map_err(|error| ClientError::Frame(error.into()))?)
    }

    /// How many conversations run: with the command's own, and those of guests.
    #[must_use]
    pub fn conversations(&self) -> usize {
        self.server.conversations()
    }

    /// Takes no more guests, gives those that are there `grace` to end, hangs up, leaves the network,
    /// closes the repo. Says how many it hung up on.
    pub fn shutdown(self, grace: Duration) -> Result<usize, NodeError> {
        let (repo, left) = self.stop_serving(grace);
        close(repo)?;
        Ok(left)
    }

    pub(super) fn stop_serving(self, grace: Duration) -> (Arc<Repo>, usize) {
        let Self {
            repo,
            service,
            server,
        } = self;
        let left = server.shutdown(grace);
        service.leave();
        (repo, left)
    }
}

/// Makes durable what is there, and lets go of the repo.
pub(super) fn close(mut repo: Arc<Repo>) -> Result<(), NodeError> {
    // The process must not end while another thread is closing the database: its locks would be
    // destroyed under it.
    let deadline = Instant::now() + LET_GO_WITHIN;
    loop {
        repo = match Arc::try_unwrap(repo) {
            Ok(repo) => return Ok(repo.close()?),
            Err(shared) if Instant::now() < deadline => shared,
            Err(shared) => {
                // A task that does not end still reads; the process ends it, and the database is
                // left open under it.
                let committed = shared.blocks().commit().map_err(|error| RepoError::Store {
                    path: shared.path().to_owned(),
                    error,
                });
                std::mem::forget(shared);
                return Ok(committed?);
            }
        };
        thread::sleep(LET_GO_PAUSE);
    }
}

#[cfg(test)]
mod tests;
