//! [`Output`]: where the blocks of an import go: into a store in batches, or nowhere.

use crate::block::{Block, BlockError};
use crate::blockstore::{Blockstore, FileId, StoreError, Write};
use crate::cid::{Codec, Form};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::unixfs::name::Name;

/// Blocks are written together when they have this many bytes: enough for the store's cost of a
/// batch not to matter, little against the memory that the import takes.
pub const WRITE_BATCH: usize = 4 << 20;

/// Nor are more blocks than these written together, however small they are.
const WRITE_BATCH_BLOCKS: usize = 4096;

/// From here on blocks are written past the log. Below, one sync of the log is cheaper than a flush.
const BULK_FROM: u64 = 32 << 20;

/// Why a tree's blocks could not be made or put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A block that would be too large.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two names with the same hash.
    #[error("the names `{a}` and `{b}` have the same hash: no sharded directory can have both")]
    Collision {
        /// One.
        a: Name,
        /// The other.
        b: Name,
    },
}

/// The size that a link to a node claims: of the node's block and of all below it.
#[must_use]
pub fn tsize(node: &Node, block: &Block) -> u64 {
    block.data().len() as u64 + node.links.iter().map(|link| link.tsize).sum::<u64>()
}

/// Blocks on their way into a store. They are all there after [`Output::finish`], and not durable
/// before the caller commits.
pub struct Output<'store> {
    store: Option<&'store dyn Blockstore>,
    blocks: Vec<Block>,
    /// Blocks that stay in files of the user's: in which, and where.
    referenced: Vec<(FileId, Vec<(Block, u64)>)>,
    bytes: usize,
    written: u64,
}

impl<'store> Output<'store> {
    /// An output into `store`; without one, blocks are dropped, as for an import that only hashes.
    #[must_use]
    pub fn new(store: Option<&'store dyn Blockstore>) -> Self {
        Self {
            store,
            blocks: Vec::new(),
            referenced: Vec::new(),
            bytes: 0,
            written: 0,
        }
    }

    /// Puts a block, at the latest at [`Output::finish`].
    pub fn put(&mut self, block: Block) -> Result<(), StoreError> {
        if self.store.is_none() {
            return Ok(());
        }
        self.bytes += block.data().len();
        self.blocks.push(block);
        if self.bytes >= WRITE_BATCH || self.blocks.len() >= WRITE_BATCH_BLOCKS {
            self.finish()?;
        }
        Ok(())
    }

    /// Puts a block that stays in `file` at `offset`: the store only knows where.
    pub fn refer(&mut self, block: Block, file: FileId, offset: u64) -> Result<(), StoreError> {
        if self.store.is_none() {
            return Ok(());
        }
        self.bytes += block.data().len();
        match self.referenced.last_mut() {
            Some((last, blocks)) if *last == file => blocks.push((block, offset)),
            _ => self.referenced.push((file, vec![(block, offset)])),
        }
        if self.bytes >= WRITE_BATCH || self.referenced.len() >= WRITE_BATCH_BLOCKS {
            self.finish()?;
        }
        Ok(())
    }

    /// Puts a dag-pb node. The link that comes back has no name.
    pub fn node(&mut self, form: Form, node: &Node) -> Result<Link, BuildError> {
        let block = Block::hash(form, Codec::DagPb, node.encode())?;
        let tsize = tsize(node, &block);
        let link = Link {
            cid: *block.cid(),
            name: Name::default(),
            tsize,
        };
        self.put(block)?;
        Ok(link)
    }

    /// Hands the store what it has not got yet.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        if let (Some(store), false) = (self.store, self.blocks.is_empty()) {
            let write = if self.written < BULK_FROM {
                Write::Logged
            } else {
                Write::Bulk
            };
            self.written += store.put_many(&self.blocks, write)?.bytes;
        }
        self.blocks.clear();
        for (file, blocks) in std::mem::take(&mut self.referenced) {
            if let Some(store) = self.store {
                store.put_referenced(file, &blocks, Write::Logged)?;
            }
        }
        self.bytes = 0;
        Ok(())
    }
}
