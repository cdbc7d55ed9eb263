//! [`RepoFile`]: the small files beside the database. Their users know what is in them.

/// A small file in a repo, for the owner alone to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepoFile {
    /// The node's secret key.
    Identity,
    /// The key of the private swarm that the node is of.
    SwarmKey,
    /// Whom the node stores for, and how much.
    Owners,
    /// The swarm that the node is about to leave; no part of a backup, whose node is another one.
    Draining,
}

impl RepoFile {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity.key",
            Self::SwarmKey => "swarm.key",
            Self::Owners => "owners",
            Self::Draining => "draining",
        }
    }
}
