//! Messages about the repo's disk: what is on it, and what may go.

use serde::{Deserialize, Serialize};
use store::unixfs::Name;

/// Remove what nothing keeps. Answered by [`Item::Collected`](super::Item::Collected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gc {
    /// Only say what would be removed.
    pub dry_run: bool,
    /// Leave content that is not pinned, but whole and usable, in the cache.
    pub keep_cache: bool,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Blocks that were removed.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes on disk before.
    pub disk_before: u64,
    /// Bytes on disk now.
    pub disk: u64,
}

/// The repo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoStat {
    /// Its directory.
    pub path: Name,
    /// Its format version.
    pub format: u32,
    /// Number of blocks, those in users' files too.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the blocks that the repo itself stores, which the quota counts.
    pub stored: u64,
    /// Bytes of the blocks that lie in users' files or clones of them only.
    pub referenced: u64,
    /// Clones of users' files that the repo keeps.
    pub clones: u64,
    /// Their bytes, which are not in `disk`: they take room of their own only as far as the files that
    /// they are clones of have changed, or are gone.
    pub clone_bytes: u64,
    /// Bytes that may be stored; `None`: no limit.
    pub quota: Option<u64>,
    /// Bytes of the database's files.
    pub disk: u64,
    /// Bytes on disk for each thousand stored ones; `None` where nothing is stored.
    pub amplification_permille: Option<u64>,
    /// Number of pins.
    pub pins: u64,
    /// What keeps the stored bytes; `None` where it was not asked for.
    pub usage: Option<Usage>,
}

/// What keeps the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Kept by pins or holds, or in use.
    pub pinned: u64,
    /// Only in the cache: they go when their room is needed.
    pub cached: u64,
    /// Kept by nothing.
    pub reclaimable: u64,
}

impl From<store::gc::Usage> for Usage {
    fn from(usage: store::gc::Usage) -> Self {
        Self {
            pinned: usage.pinned,
            cached: usage.cached,
            reclaimable: usage.reclaimable,
        }
    }
}
