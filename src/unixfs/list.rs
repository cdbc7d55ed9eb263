//! [`Entries`]: what is in a directory, plain or sharded, in the order in which it is stored.
//!
//! Invariants: no name comes twice; memory is bounded by a few nodes, however large the directory.
//! Work is bounded by what comes out: a shard that leads to no entry is refused, and an entry fits
//! one place only, so that no shard can stand in two.

use std::collections::HashSet;

use super::data::Kind;
use super::hamt::{Child, Place, Shard};
use super::name::Name;
use super::node::Node;
use crate::block::Block;
use crate::cid::Cid;
use crate::dag::{BlockSource, DagError, Link, SourceError, fetch, fetch_one};

/// Shards that are asked for at once: each waits for a round trip to whoever has them. A directory of
/// a million entries has about 100,000 of them, of some 10 KiB in the upper levels and 1 KiB below.
const WINDOW: usize = 64;

/// Memory for what waits for its turn, in bytes; above it, shards are asked for one by one. A directory
/// that keeps it is either hostile or has names of many KiB.
const HELD_MAX: usize = 4 << 20;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, unchecked: [`Name::check`] before anything is written under it.
    pub name: Name,
    /// What it is.
    pub cid: Cid,
    /// Size of all its blocks in bytes, as the directory's maker claimed.
    pub tsize: u64,
}

impl From<Link> for DirEntry {
    fn from(Link { cid, name, tsize }: Link) -> Self {
        Self { name, cid, tsize }
    }
}

/// Lists a directory: an iterator over its entries. Ends after an error.
pub struct Entries<'a> {
    source: &'a dyn BlockSource,
    /// What is still to come, the next one last.
    pending: Vec<Part>,
    /// Bytes of memory that they take.
    held: usize,
}

enum Part {
    Entry(DirEntry),
    /// A shard that was not asked for yet.
    Shard {
        cid: Cid,
        place: Place,
    },
}

impl Part {
    fn size(&self) -> usize {
        let name = match self {
            Self::Entry(entry) => entry.name.as_bytes().len(),
            Self::Shard { .. } => 0,
        };
        size_of::<Self>() + name
    }
}

/// Calls `each` with every entry of the directory `cid`, until one of them fails.
pub fn list<E: From<SourceError>>(
    source: &dyn BlockSource,
    cid: &Cid,
    each: &mut dyn FnMut(DirEntry) -> Result<(), E>,
) -> Result<(), E> {
    Entries::open(source, cid)?.try_for_each(|entry| each(entry?))
}

impl<'a> Entries<'a> {
    /// Opens the directory `cid`. Asks for its root only.
    pub fn open(source: &'a dyn BlockSource, cid: &Cid) -> Result<Self, SourceError> {
        Ok(Self::of_block(source, &fetch_one(source, cid)?)?)
    }

    /// Opens the directory whose root the caller has.
    pub fn of_block(source: &'a dyn BlockSource, root: &Block) -> Result<Self, DagError> {
        let mut entries = Self {
            source,
            pending: Vec::new(),
            held: 0,
        };
        match Node::decode(root)? {
            Node::Pb { node, data } if data.kind == Kind::Directory => {
                check_distinct(root.cid(), &node.links)?;
                let links = node.links.into_iter().rev();
                links.for_each(|link| entries.push(Part::Entry(link.into())));
            }
            node if node.kind() == Kind::HamtShard => entries.expand(root, Place::ROOT)?,
            other => return Err(other.unexpected(root.cid(), "a directory")),
        }
        Ok(entries)
    }

    /// How many entries and shards wait for their turn: what this takes memory for.
    #[must_use]
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn read(&mut self) -> Result<Option<DirEntry>, SourceError> {
        while let Some(part) = self.pending.pop() {
            self.held -= part.size();
            match part {
                Part::Entry(entry) => return Ok(Some(entry)),
                Part::Shard { cid, place } => self.fetch(cid, place)?,
            }
        }
        Ok(None)
    }

    fn push(&mut self, part: Part) {
        self.held += part.size();
        self.pending.push(part);
    }

    /// Puts the children of a shard before all that is pending.
    fn expand(&mut self, block: &Block, place: Place) -> Result<(), DagError> {
        let cid = block.cid();
        let shard = match Node::decode(block)? {
            Node::Pb { node, data } => Shard::decode(cid, &node, &data, place)?,
            other @ Node::Raw(_) => return Err(other.unexpected(cid, "a sharded directory")),
        };
        if place != Place::ROOT && shard.children().len() == 0 {
            let reason = "a shard without entries inside a directory".into();
            return Err(DagError::Inconsistent { cid: *cid, reason });
        }
        for child in shard.children().rev() {
            self.push(match child {
                Child::Entry(link) => Part::Entry(link.clone().into()),
                Child::Shard { link, place } => Part::Shard {
                    cid: link.cid,
                    place: *place,
                },
            });
        }
        Ok(())
    }

    /// Asks for the shard that is next, together with those after it, and puts what is in each in
    /// its place.
    fn fetch(&mut self, cid: Cid, place: Place) -> Result<(), SourceError> {
        let ahead = if self.held < HELD_MAX { WINDOW - 1 } else { 0 };
        let is_shard = |part: &Part| matches!(part, Part::Shard { .. });
        let shards = self
            .pending
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, part)| is_shard(part));
        let from = shards
            .take(ahead)
            .last()
            .map_or(self.pending.len(), |(at, _)| at);
        let mut parts = self.pending.split_off(from);
        self.held -= parts
            .iter()
            .filter(|part| is_shard(part))
            .map(Part::size)
            .sum::<usize>();
        parts.push(Part::Shard { cid, place });
        let cids = parts.iter().rev().filter_map(|part| match part {
            Part::Shard { cid, .. } => Some(*cid),
            Part::Entry(_) => None,
        });
        let mut blocks = fetch(self.source, &cids.collect::<Vec<_>>())?;
        for part in parts {
            match part {
                Part::Entry(_) => self.pending.push(part),
                Part::Shard { place, .. } => {
                    let block = blocks.pop().expect("one block for each shard");
                    self.expand(&block, place)?;
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<DirEntry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.read();
        if result.is_err() {
            self.pending.clear();
        }
        result.transpose()
    }
}

/// Two entries of one name would be one file for some readers and another for others. In a sharded
/// directory each name has one place, so that this cannot happen.
fn check_distinct(cid: &Cid, links: &[Link]) -> Result<(), DagError> {
    let mut names = HashSet::with_capacity(links.len());
    match links.iter().find(|link| !names.insert(&link.name)) {
        None => Ok(()),
        Some(link) => {
            let reason = format!("two entries are called `{}`", link.name);
            Err(DagError::Inconsistent { cid: *cid, reason })
        }
    }
}
