//! [`Blockstore`]: blocks by CID, on disk ([`RocksStore`]) or in memory ([`MemoryStore`]).
//!
//! Blocks are found by multihash, so that CIDv0, CIDv1 and every codec of the same bytes share one
//! copy. `contract` is the suite that every implementation passes.

#[cfg(feature = "rocksdb")]
mod measure;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
pub(crate) mod schema;

#[cfg(test)]
mod contract;

use bytes::Bytes;

#[cfg(feature = "rocksdb")]
pub use measure::Measure;
pub use memory::MemoryStore;
#[cfg(feature = "rocksdb")]
pub use rocks::{
    Change, CloneError, CloneUsage, ClonesHeld, Lease, RocksStore, StoreOptions, Upgrade,
};
#[cfg(feature = "rocksdb")]
pub(crate) use rocks::{Follower, Leases, rows};

use crate::block::Block;
use crate::cid::{Cid, CidError, Key};
use crate::dag::{DagError, Link};
use crate::unixfs::Name;
use crate::unixfs::origin::Origin;

/// How a batch reaches the disk. Nothing is durable before [`Blockstore::commit`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Through the write-ahead log: cheap to commit, but each byte is written twice. For small adds.
    Logged,
    /// Past the log: each byte is written once, and a commit flushes memtables. For bulk adds and for
    /// blocks fetched from others.
    Bulk,
}

/// What a [`Blockstore::put_many`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Blocks that were not there before.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for Put {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

/// Totals of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One index entry: a block that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Its multihash.
    pub key: Key,
    /// Its size in bytes.
    pub size: u32,
}

/// The number by which a store knows a file of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(crate) u64);

/// A file of the user's in which there are blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencedFile {
    /// How it is with it.
    pub state: FileState,
    /// Where it is, and which file it was when it was looked at last.
    pub origin: Origin,
    /// Where it will go when it is whole, if it is being written.
    pub target: Option<Name>,
}

/// How it is with a file in which there are blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// As it was added or written, as far as is known.
    Whole,
    /// It is being written.
    Growing,
    /// It was found to have changed, or to be gone.
    Changed,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes on disk are not those that were written: the block counts as missing.
    #[error("block `{cid}` is corrupt on disk: {reason}")]
    Corrupt {
        /// The block.
        cid: Cid,
        /// What the check said.
        reason: String,
    },
    /// No space left on the device.
    #[error("the disk is full: {reason}")]
    Full {
        /// What the system said.
        reason: String,
    },
    /// There is no room for it, and none could be made.
    #[error(
        "the quota of {} is reached: {} are stored, and {} more are needed; unpin what is no longer \
         wanted and run `store gc`, or raise `storage.quota`",
        human(*.quota), human(*.live), human(*.needed)
    )]
    Quota {
        /// The limit in bytes.
        quota: u64,
        /// Bytes of the blocks that are stored.
        live: u64,
        /// Bytes of the blocks that were to be stored.
        needed: u64,
    },
    /// A file that blocks cannot be referred to.
    #[error("cannot refer to a file: {reason}")]
    Reference {
        /// Why.
        reason: String,
    },
    /// The database's files are not what was written.
    #[error("the block database is damaged: {reason}")]
    Damaged {
        /// What it said.
        reason: String,
    },
    /// The database failed.
    #[error("the block database failed: {reason}")]
    Database {
        /// What it said.
        reason: String,
    },
    /// A block's links could not be read.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// A CID that the store does not take.
    #[error(transparent)]
    Cid(#[from] CidError),
}

/// Bytes for people.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = (bytes.ilog2() / 10).min(5);
    // Exact enough for one decimal: no more than 53 bits of it are looked at.
    #[expect(clippy::cast_precision_loss, reason = "one decimal is printed")]
    let value = bytes as f64 / f64::from(1024_u32).powi(power.cast_signed());
    format!("{value:.1} {}", UNITS[power as usize - 1])
}

/// A keeper of blocks. All methods may be called from many threads at once, and block.
///
/// Identity CIDs are present in every store without being stored: they carry their bytes.
pub trait Blockstore: Send + Sync {
    /// The bytes of each block, in the order of `cids`; `None` where it is missing.
    ///
    /// The bytes have passed the disk's checksum only: whoever hands them to a user or takes them for
    /// a DAG makes a [`Block`] of them first.
    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The size of each block in bytes, in the order of `cids`, without reading it; `None` where it
    /// is missing.
    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError>;

    /// The links of a block, without decoding it; `None` where the block is missing. A raw block has
    /// none.
    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError>;

    /// Adds blocks. Each is there with its index entry and links, or not at all, after every crash. A
    /// block that is there already is not written again, unless it turned out to be rotten.
    fn put_many(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError>;

    /// Adds blocks whose bytes are in a file of the user's, each at its offset: they stay there, and
    /// the store knows where. One that is stored already has the file as a second place. A store that
    /// keeps no references stores them.
    fn put_referenced(
        &self,
        file: FileId,
        blocks: &[(Block, u64)],
        write: Write,
    ) -> Result<Put, StoreError> {
        let _ = file;
        let blocks: Vec<Block> = blocks.iter().map(|(block, _)| block.clone()).collect();
        self.put_many(&blocks, write)
    }

    /// Removes blocks; missing ones are not an error.
    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError>;

    /// Makes every block that any thread has put before this call durable: against kill -9 and loss
    /// of power (I2). One log sync where all writes were [`Write::Logged`], else a flush.
    fn commit(&self) -> Result<(), StoreError>;

    /// Calls `each` with every block that is there, in key order, until it returns `false`.
    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError>;

    /// Number of blocks and bytes: walks the index.
    fn totals(&self) -> Result<Totals, StoreError> {
        let mut totals = Totals::default();
        self.for_each(&mut |entry| {
            totals.blocks += 1;
            totals.bytes += u64::from(entry.size);
            true
        })?;
        Ok(totals)
    }

    /// How often blocks that were there may have gone: removed, or found rotten. Whoever keeps what
    /// [`Blockstore::sizes`] said looks again when this has grown since before he asked.
    fn removals(&self) -> u64;

    /// One block's bytes, like [`Blockstore::get_many`].
    fn get(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get_many(std::slice::from_ref(cid))?.pop().flatten())
    }

    /// Whether the block is there.
    fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self
            .sizes(std::slice::from_ref(cid))?
            .pop()
            .flatten()
            .is_some())
    }
}
