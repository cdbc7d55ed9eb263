//! What went wrong, as the user is told it: which exit code, one line, and a hint where there is
//! something to do.

use store::blockstore::StoreError;
use store::dag::path::ResolveError;
use store::dag::{DagError, SourceError};
use store::proof::ProveError;
use store::repo::RepoError;
use store::unixfs::import::ImportError;
use store::unixfs::output::BuildError;

use crate::api::conversation::failure;
use crate::api::message::{Failure, FailureKind};
use crate::node::NodeError;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Full { .. } => failure(FailureKind::Error, message)
                .with_hint("free some space on the repo's disk; then try again, a node needs no restart. What was stored is safe"),
            StoreError::Corrupt { .. } => failure(FailureKind::Corrupt, message)
                .with_hint("check the disk; a peer that has the content mends it by `store get`"),
            StoreError::Damaged { .. } => failure(FailureKind::Corrupt, message).with_hint(DAMAGED),
            _ => failure(FailureKind::Error, message),
        }
    }
}

/// What to do about a damaged database.
pub(crate) const DAMAGED: &str = "check the disk; `store repo check` says what is damaged where the \
    repo still opens; else `store restore` makes a new one from a backup (docs/operations.md)";

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        match error {
            SourceError::NotFound { .. } => failure(FailureKind::NotFound, message).with_hint(
                "a peer that has it may be away; a link of `store share` says where to look",
            ),
            SourceError::Stalled { .. } => failure(FailureKind::Stalled, message)
                .with_hint("try again later: what came so far is kept; `--timeout` waits longer"),
            SourceError::Store(error) => error.into(),
            SourceError::Dag(error) => error.into(),
            _ => failure(FailureKind::Error, message),
        }
    }
}

impl From<DagError> for Failure {
    fn from(error: DagError) -> Self {
        failure(FailureKind::Corrupt, error.to_string())
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Source(error) => error.into(),
            other => failure(FailureKind::NotFound, other.to_string()),
        }
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Source(error) => error.into(),
            error @ ProveError::NoLeaf { .. } => failure(FailureKind::NotFound, error.to_string()),
            error => failure(FailureKind::Error, error.to_string()),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Build(BuildError::Store(error)) => error.into(),
            other => failure(FailureKind::Error, other.to_string()),
        }
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        let message = error.to_string();
        match error {
            RepoError::Store {
                error: StoreError::Damaged { .. },
                ..
            } => failure(FailureKind::Corrupt, message).with_hint(DAMAGED),
            _ => failure(FailureKind::Error, message),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        failure(FailureKind::Error, error.to_string())
    }
}
