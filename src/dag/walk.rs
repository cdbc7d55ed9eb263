//! [`Walk`]: the one traversal of a DAG. Sans-IO: it says which blocks it wants and is supplied with
//! them, in any order and from anywhere; get, pin checks, GC and replication all drive it.
//!
//! Invariants: each block is wanted once, however many nodes link to it; the order is depth-first
//! and depends only on the DAG and on the order of supplies; depth and memory are bounded. Blocks
//! that identity CIDs carry are taken from the CID: below the root they are never asked for.

mod missing;

use std::collections::HashMap;

pub use missing::missing;

use super::{DagError, Link, links};
use crate::block::Block;
use crate::cid::{self, Cid, Codec, Hash};

/// Levels below the root that a walk follows. No path on Linux has more than 2,048 directories
/// (`PATH_MAX` is 4,096 bytes, and each takes two); as much again is left for the shards and file
/// levels between them.
pub const MAX_DEPTH: usize = 4096;

/// Blocks that a walk remembers unless told otherwise: 16 TiB of leaves of 1 MiB. Each takes 40 to
/// 80 bytes while it is remembered and 168 more while it is pending.
pub const MAX_VISITED: usize = 1 << 24;

/// A traversal that is under way.
#[derive(Debug)]
pub struct Walk {
    root: Cid,
    /// Wanted blocks; the next one is the last.
    pending: Vec<Pending>,
    /// Every block that was ever wanted, and whether it has been supplied. Identity CIDs are not here.
    seen: HashMap<Id, bool>,
    visited_max: usize,
    leaves: Leaves,
}

/// Whether raw leaves are part of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Wanted,
    Skipped,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    cid: Cid,
    depth: usize,
}

/// What makes two CIDs the same node: their bytes and what these mean, whatever the version.
///
/// Of a longer digest than 32 bytes only so many count, so that all take the same little memory: to
/// find two blocks that agree in 32 bytes of their SHA2-512 is as hard as to find them for SHA2-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id {
    digest: [u8; 32],
    hash: Hash,
    codec: Codec,
}

impl Id {
    /// `None` for identity CIDs, and for CIDs that no block can have.
    fn of(cid: &Cid) -> Option<Self> {
        let hash = Hash::of_code(cid.hash().code())?;
        let digest = cid.hash().digest();
        Some(Self {
            digest: *digest
                .first_chunk()
                .filter(|_| digest.len() == hash.size())?,
            hash,
            codec: Codec::of(cid).ok()?,
        })
    }
}

impl Walk {
    /// A walk over every block below and including `root`.
    #[must_use]
    pub fn new(root: Cid) -> Self {
        Self::start(root, Leaves::Wanted)
    }

    /// A walk over the blocks that can have links: raw leaves are neither wanted nor remembered,
    /// so that memory grows with the inner nodes only. The root is wanted in any case.
    #[must_use]
    pub fn inner(root: Cid) -> Self {
        Self::start(root, Leaves::Skipped)
    }

    /// Bounds what is remembered to `visited_max` blocks instead of [`MAX_VISITED`].
    #[must_use]
    pub const fn with_visited_max(mut self, visited_max: usize) -> Self {
        self.visited_max = visited_max;
        self
    }

    fn start(root: Cid, leaves: Leaves) -> Self {
        Self {
            root,
            pending: vec![Pending {
                cid: root,
                depth: 0,
            }],
            seen: Id::of(&root).map(|id| (id, false)).into_iter().collect(),
            visited_max: MAX_VISITED,
            leaves,
        }
    }

    /// The block that comes next.
    #[must_use]
    pub fn want(&self) -> Option<Cid> {
        self.pending.last().map(|next| next.cid)
    }

    /// The next blocks, `count` at most, in the order in which the walk comes to them: distinct, and
    /// none that has been supplied.
    #[must_use]
    pub fn wants(&self, count: usize) -> Vec<Cid> {
        self.pending
            .iter()
            .rev()
            .take(count)
            .map(|pending| pending.cid)
            .collect()
    }

    /// Whether every block has been supplied.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes a wanted block; its children take its place. An error ends the walk: this DAG cannot be
    /// walked. [`DagError::Unwanted`] alone changes nothing.
    pub fn supply(&mut self, block: &Block) -> Result<(), DagError> {
        let at = self.find(block.cid())?;
        self.replace(at, &links(block)?)
    }

    /// Takes the links of a wanted block that the caller knows without its bytes, as a
    /// [`Blockstore`](crate::blockstore::Blockstore) does; no links at all make the walk pass by what is below it.
    pub fn supply_links(&mut self, cid: &Cid, links: &[Link]) -> Result<(), DagError> {
        let at = self.find(cid)?;
        self.replace(at, links)
    }

    /// Never wants this block, nor what is below it for its sake, unless it is wanted already. Where no
    /// more can be remembered nothing changes.
    pub(crate) fn pass_by(&mut self, cid: &Cid) {
        if let Some(id) = Id::of(cid).filter(|_| self.seen.len() < self.visited_max) {
            self.seen.entry(id).or_insert(true);
        }
    }

    /// Whether this block has been wanted before, or passed by.
    pub(crate) fn has_met(&self, cid: &Cid) -> bool {
        Id::of(cid).is_some_and(|id| self.seen.contains_key(&id))
    }

    /// Where a block is pending. The search begins at the next one: blocks come about in the order
    /// in which they are wanted.
    fn find(&self, cid: &Cid) -> Result<usize, DagError> {
        let unwanted = DagError::Unwanted { cid: *cid };
        let id = Id::of(cid);
        if id.is_some_and(|id| self.seen.get(&id) != Some(&false)) {
            return Err(unwanted);
        }
        let same =
            |pending: &Pending| pending.cid == *cid || (id.is_some() && Id::of(&pending.cid) == id);
        self.pending.iter().rposition(same).ok_or(unwanted)
    }

    fn replace(&mut self, at: usize, links: &[Link]) -> Result<(), DagError> {
        let parent = self.pending[at];
        let mut children = Vec::new();
        self.expand(links, parent.depth + 1, &mut children)?;
        if let Some(id) = Id::of(&parent.cid) {
            self.seen.insert(id, true);
        }
        self.pending.splice(at..=at, children.into_iter().rev());
        Ok(())
    }

    /// Collects the children that have not been wanted before. Recursion ends soon: an identity CID
    /// carries less than its own length.
    fn expand(
        &mut self,
        links: &[Link],
        depth: usize,
        children: &mut Vec<Pending>,
    ) -> Result<(), DagError> {
        for link in links {
            let raw = Codec::of(&link.cid)? == Codec::Raw;
            if depth > MAX_DEPTH {
                return Err(DagError::TooDeep {
                    cid: link.cid,
                    limit: MAX_DEPTH,
                });
            }
            if let Some(block) = Block::inline(&link.cid) {
                self.expand(&super::links(&block)?, depth + 1, children)?;
                continue;
            }
            cid::check(&link.cid)?;
            let Some(id) = Id::of(&link.cid) else {
                continue;
            };
            if (raw && self.leaves == Leaves::Skipped) || self.seen.contains_key(&id) {
                continue;
            }
            if self.seen.len() >= self.visited_max {
                return Err(DagError::TooLarge {
                    cid: self.root,
                    limit: self.visited_max,
                });
            }
            self.seen.insert(id, false);
            children.push(Pending {
                cid: link.cid,
                depth,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
