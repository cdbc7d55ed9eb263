//! What a process that holds a repo is made of.

mod host;

use std::io;

use store::repo::RepoError;

pub use self::host::{Host, ReachError, Reached, reach};

/// Program and version, as peers and users are told it.
pub const AGENT: &str = concat!("store/", env!("CARGO_PKG_VERSION"));

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The repo.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The socket for commands.
    #[error("cannot listen for commands on repo `{}`: {error}", .repo.display())]
    Socket {
        /// The repo.
        repo: std::path::PathBuf,
        /// What the system said.
        error: io::Error,
    },
}
