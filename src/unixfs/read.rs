//! [`Reader`]: the bytes of a file, whole or a range, in order.
//!
//! Invariants: every byte given was verified by its block and stands where each node above it says:
//! sizes that contradict each other end the reading. Only nodes that hold bytes of the range are
//! asked for. Memory is bounded whatever the tree looks like, and so is work: a child that claims no
//! bytes is never visited, hence each visited node of a level stands for bytes of its own, and there
//! are at most [`MAX_DEPTH`] levels.

mod part;
mod stat;

use bytes::Bytes;

pub use part::FileNode;
pub use stat::{Stat, stat};

use crate::block::{Block, MAX_BLOCK_SIZE};
use crate::cid::{Cid, Codec};
use crate::dag::{BlockSource, DagError, SourceError, fetch_first, fetch_one};

/// Levels of nodes in a file. With two children each, this many hold more bytes than 64 bits count.
pub const MAX_DEPTH: usize = 64;

/// Blocks that are asked for at once: as many as the hash verifies side by side.
const WINDOW_BLOCKS: usize = 16;

/// Bytes that are asked for at once, as far as the tree says beforehand: a window of 1 MiB leaves.
const WINDOW_BYTES: u64 = 16 << 20;

/// Children that wait for their turn, 128 bytes each. A node of the largest size has 45,000; five of
/// those below each other fit, and a thousand times what any known layout needs.
const MAX_PENDING: usize = 1 << 18;

/// Which bytes of a file are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Bytes to leave out at the start. Beyond the end of the file, nothing is read.
    pub offset: u64,
    /// Bytes to read at most; to the end if absent.
    pub length: Option<u64>,
}

/// Reads a file: an iterator over its bytes, a block's worth at a time. Ends after an error.
pub struct Reader<'a> {
    source: &'a dyn BlockSource,
    size: u64,
    /// The next byte to give.
    at: u64,
    /// Where the range ends.
    end: u64,
    /// Parts of the file that are still to come, the next one last. All hold bytes of the range.
    pending: Vec<Part>,
    ready: Ready,
}

/// A part of the file.
struct Part {
    /// Where it begins in the file.
    start: u64,
    /// Its bytes, as its parent claims.
    size: u64,
    /// Nodes above it.
    depth: usize,
    what: What,
}

enum What {
    /// A node that was not asked for yet.
    Child(Cid),
    /// A node that has come, and waits for its turn.
    Block(Block),
    /// Bytes that a node carries itself.
    Bytes(Bytes),
}

/// What has come ahead of its turn.
#[derive(Default)]
struct Ready {
    blocks: usize,
    bytes: u64,
}

impl<'a> Reader<'a> {
    /// Opens the file `root`. Asks for its root only.
    pub fn open(
        source: &'a dyn BlockSource,
        root: &Cid,
        range: Range,
    ) -> Result<Self, SourceError> {
        Ok(Self::of_block(source, &fetch_one(source, root)?, range)?)
    }

    /// Opens the file whose root the caller has.
    pub fn of_block(
        source: &'a dyn BlockSource,
        root: &Block,
        range: Range,
    ) -> Result<Self, DagError> {
        let node = FileNode::decode(root)?;
        let size = node.size;
        let end = range
            .length
            .map_or(size, |length| range.offset.saturating_add(length).min(size));
        let (pending, ready) = (Vec::new(), Ready::default());
        let mut reader = Self {
            source,
            size,
            at: range.offset,
            end,
            pending,
            ready,
        };
        if reader.remaining() > 0 {
            reader.expand(root.cid(), node, 0, 0)?;
        }
        Ok(reader)
    }

    /// Bytes of the whole file, as its root claims. Reading checks it.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that are still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    fn read(&mut self) -> Result<Option<Bytes>, SourceError> {
        while let Some(part) = self.pending.pop() {
            match part.what {
                What::Bytes(bytes) => return Ok(Some(self.cut(part.start, &bytes))),
                What::Block(block) => {
                    self.ready.blocks -= 1;
                    self.ready.bytes -= block.data().len() as u64;
                    let node = FileNode::decode(&block)?;
                    check_claim(block.cid(), node.size, part.size)?;
                    self.expand(block.cid(), node, part.start, part.depth)?;
                }
                What::Child(_) => {
                    self.pending.push(part);
                    self.fetch()?;
                }
            }
        }
        Ok(None)
    }

    /// The bytes of the range out of those that begin at `start`. Never none: parts outside of the
    /// range are not pending.
    fn cut(&mut self, start: u64, bytes: &Bytes) -> Bytes {
        let index = |at: u64| usize::try_from(at - start).expect("it is inside the bytes");
        let end = self.end.min(start + bytes.len() as u64);
        let cut = bytes.slice(index(self.at)..index(end));
        self.at = end;
        cut
    }

    /// Puts what a node holds of the range in its place.
    fn expand(
        &mut self,
        cid: &Cid,
        node: FileNode,
        start: u64,
        depth: usize,
    ) -> Result<(), DagError> {
        let first = self.pending.len();
        let mut at = start;
        let bytes = (node.data.len() as u64, What::Bytes(node.data));
        let children = node
            .children
            .into_iter()
            .map(|(cid, size)| (size, What::Child(cid)));
        for (size, what) in std::iter::once(bytes).chain(children) {
            let end = at + size;
            if size > 0 && end > self.at && at < self.end {
                self.pending.push(Part {
                    start: at,
                    size,
                    depth: depth + 1,
                    what,
                });
            }
            at = end;
        }
        self.pending[first..].reverse();
        let has_children = matches!(
            self.pending.get(first),
            Some(Part {
                what: What::Child(_),
                ..
            })
        );
        if has_children && depth >= MAX_DEPTH {
            return Err(DagError::TooDeep {
                cid: *cid,
                limit: MAX_DEPTH,
            });
        }
        if self.pending.len() > MAX_PENDING {
            let reason = format!("more than {MAX_PENDING} parts of one file wait for their turn");
            return Err(DagError::Inconsistent { cid: *cid, reason });
        }
        Ok(())
    }

    /// Asks for the next node, and with it for the leaves after it, of which those come that are there
    /// when the next one is: who reads does not wait for a whole window. A node too large to be a leaf
    /// ends the window: what is below it comes before what is after it.
    fn fetch(&mut self) -> Result<(), SourceError> {
        let mut wanted = Vec::with_capacity(WINDOW_BLOCKS);
        let mut bytes = self.ready.bytes;
        for (at, part) in self.pending.iter().enumerate().rev() {
            let What::Child(cid) = part.what else {
                continue;
            };
            let inner = part.size > MAX_BLOCK_SIZE as u64;
            bytes += part.size.min(MAX_BLOCK_SIZE as u64);
            let full = self.ready.blocks + wanted.len() >= WINDOW_BLOCKS || bytes > WINDOW_BYTES;
            if full && !wanted.is_empty() {
                break;
            }
            wanted.push((at, cid));
            if inner && Codec::of(&cid) == Ok(Codec::DagPb) {
                break;
            }
        }
        let cids: Vec<Cid> = wanted.iter().map(|(_, cid)| *cid).collect();
        for ((at, _), block) in wanted.into_iter().zip(fetch_first(self.source, &cids)?) {
            self.ready.blocks += 1;
            self.ready.bytes += block.data().len() as u64;
            self.pending[at].what = What::Block(block);
        }
        Ok(())
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Bytes, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if result.is_err() {
            self.pending.clear();
        }
        result.transpose()
    }
}

/// Refuses a node that has not the bytes of the file which its parent claims for it.
pub fn check_claim(cid: &Cid, size: u64, claim: u64) -> Result<(), DagError> {
    if size == claim {
        return Ok(());
    }
    let reason = format!("it has {size} bytes of the file, but its parent says {claim}");
    Err(DagError::Inconsistent { cid: *cid, reason })
}
