//! What travels between the threads of an import: steps of many files together, so that small files
//! are hashed together as the chunks of a large one are.

use bytes::Bytes;

use crate::block::Block;
use crate::blockstore::FileId;
use crate::unixfs::data::Metadata;
use crate::unixfs::layout::Part;
use crate::unixfs::name::Name;
use crate::unixfs::origin::Origin;

/// The most steps in a batch: bounds what empty files and directories take.
pub(super) const MAX_STEPS: usize = 4096;

/// Consecutive steps of the tree. `L` is a leaf: its bytes, and later its block.
#[derive(Debug)]
pub(super) struct Batch<L> {
    /// Its place in the order.
    pub(super) number: u64,
    pub(super) steps: Vec<Step<L>>,
}

/// As it was read.
pub(super) type Raw = Batch<Bytes>;

/// With its leaves hashed.
pub(super) type Hashed = Batch<Leaf>;

/// A leaf and the bytes of the file in it, which are fewer than its block's in a dag-pb leaf.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) block: Block,
    pub(super) size: u64,
}

/// The beginning of a file.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: Name,
    pub(super) metadata: Metadata,
    pub(super) origin: Option<Origin>,
    /// Its first leaves, which are in the store.
    pub(super) begun: Vec<Part>,
    /// In which file its leaves are to stay.
    pub(super) refer: Option<FileId>,
}

/// An entry, or a part of one.
#[derive(Debug)]
pub(super) enum Step<L> {
    /// A directory begins.
    Dir(Name, Metadata),
    /// A file begins; its leaves follow, at least one.
    File(Box<Head>),
    /// A file that is in the store.
    Known(Name, Part),
    /// The next leaf of the open file.
    Leaf(L),
    /// The open file is complete.
    FileEnd,
    /// The open file could not be read to its end: it is left out.
    FileLost,
    /// A symlink.
    Symlink {
        name: Name,
        metadata: Metadata,
        target: Name,
    },
    /// The innermost open directory is complete.
    End,
    /// Everything was read. Without it the import came to an early end.
    Done,
}
