//! [`Stack`]: the directories that an export is in, and the blocks of their next entries, fetched
//! before their turn.

use std::collections::VecDeque;

use crate::block::{Block, MAX_BLOCK_SIZE};
use crate::cid::Cid;
use crate::dag::{BlockSource, DagError, SourceError, fetch};
use crate::extract::MAX_DEPTH;
use crate::unixfs::list::{DirEntry, Entries};
use crate::unixfs::name::Name;

/// Blocks that are held ahead of their turn, in all directories together. Each directory takes half
/// of what those above it left, so that the innermost one always has some.
const AHEAD_BLOCKS: usize = 128;

/// Their bytes. What a directory says of its entries' sizes is a hint; what came is counted.
const AHEAD_BYTES: u64 = 32 << 20;

/// Entries of all open directories that wait for their turn, about 200 bytes each: five directories
/// of the largest plain size inside each other.
const MAX_PENDING: usize = 1 << 18;

/// The directories from the root to the innermost one.
pub(super) struct Stack<'a> {
    source: &'a dyn BlockSource,
    levels: Vec<Level<'a>>,
    blocks: usize,
    bytes: u64,
}

/// One directory.
pub(super) struct Level<'a> {
    entries: Entries<'a>,
    ahead: VecDeque<(Name, Block)>,
}

/// What comes next in an export.
pub(super) enum Next {
    Entry(Name, Block),
    /// The innermost directory ends.
    End,
}

impl<'a> Level<'a> {
    pub(super) fn open(source: &'a dyn BlockSource, root: &Block) -> Result<Self, DagError> {
        Ok(Self {
            entries: Entries::of_block(source, root)?,
            ahead: VecDeque::new(),
        })
    }
}

impl<'a> Stack<'a> {
    pub(super) const fn new(source: &'a dyn BlockSource) -> Self {
        Self {
            source,
            levels: Vec::new(),
            blocks: 0,
            bytes: 0,
        }
    }

    pub(super) const fn source(&self) -> &'a dyn BlockSource {
        self.source
    }

    /// Goes into the directory `cid`.
    pub(super) fn push(&mut self, cid: &Cid, level: Level<'a>) -> Result<(), DagError> {
        // The root is a level of its own, above the directories that are inside of it.
        if self.levels.len() > MAX_DEPTH {
            return Err(DagError::TooDeep {
                cid: *cid,
                limit: MAX_DEPTH,
            });
        }
        self.levels.push(level);
        let pending: usize = self
            .levels
            .iter()
            .map(|level| level.entries.pending())
            .sum();
        if pending > MAX_PENDING {
            let reason = format!("more than {MAX_PENDING} entries of it and of what it is in wait");
            return Err(DagError::Inconsistent { cid: *cid, reason });
        }
        Ok(())
    }

    /// What comes next; `None` after the root's end.
    pub(super) fn next(&mut self) -> Result<Option<Next>, SourceError> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(None);
        };
        if level.ahead.is_empty() {
            self.fetch()?;
        }
        let next = self
            .levels
            .last_mut()
            .and_then(|level| level.ahead.pop_front());
        let Some((name, block)) = next else {
            self.levels.pop();
            return Ok(Some(Next::End));
        };
        self.blocks -= 1;
        self.bytes -= block.data().len() as u64;
        Ok(Some(Next::Entry(name, block)))
    }

    /// Fetches the innermost directory's next entries.
    fn fetch(&mut self) -> Result<(), SourceError> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        let blocks_max = (AHEAD_BLOCKS.saturating_sub(self.blocks) / 2).max(1);
        let bytes_max = AHEAD_BYTES.saturating_sub(self.bytes) / 2;
        let mut names = Vec::new();
        let mut cids = Vec::new();
        let mut bytes = 0;
        while cids.len() < blocks_max && bytes < bytes_max.max(1) {
            let Some(entry) = level.entries.next() else {
                break;
            };
            let DirEntry { name, cid, tsize } = entry?;
            bytes += tsize.min(MAX_BLOCK_SIZE as u64);
            names.push(name);
            cids.push(cid);
        }
        if cids.is_empty() {
            return Ok(());
        }
        for (name, block) in names.into_iter().zip(fetch(self.source, &cids)?) {
            self.blocks += 1;
            self.bytes += block.data().len() as u64;
            level.ahead.push_back((name, block));
        }
        Ok(())
    }
}
