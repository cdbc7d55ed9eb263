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

/// Shards that are asked for at once: as many as the hash verifies side by side.
const WINDOW: usize = 16;

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
    /// How many of them are [`Part::Block`].
    ready: usize,
}

enum Part {
    Entry(DirEntry),
    /// A shard that was not asked for yet.
    Shard {
        cid: Cid,
        place: Place,
    },
    /// A shard that has come, and waits for its turn.
    Block {
        block: Block,
        place: Place,
    },
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
            ready: 0,
        };
        match Node::decode(root)? {
            Node::Pb { node, data } if data.kind == Kind::Directory => {
                check_distinct(root.cid(), &node.links)?;
                entries.pending.extend(
                    node.links
                        .into_iter()
                        .rev()
                        .map(|link| Part::Entry(link.into())),
                );
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
            match part {
                Part::Entry(entry) => return Ok(Some(entry)),
                Part::Block { block, place } => {
                    self.ready -= 1;
                    self.expand(&block, place)?;
                }
                Part::Shard { .. } => {
                    self.pending.push(part);
                    self.fetch()?;
                }
            }
        }
        Ok(None)
    }

    /// Puts the children of a shard in its place.
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
        let first = self.pending.len();
        self.pending
            .extend(shard.children().map(|child| match child {
                Child::Entry(link) => Part::Entry(link.clone().into()),
                Child::Shard { link, place } => Part::Shard {
                    cid: link.cid,
                    place: *place,
                },
            }));
        self.pending[first..].reverse();
        Ok(())
    }

    /// Asks for the next shard, and with it for those after it.
    fn fetch(&mut self) -> Result<(), SourceError> {
        let room = WINDOW.saturating_sub(self.ready).max(1);
        let shard = |(at, part): (usize, &Part)| match part {
            Part::Shard { cid, place } => Some((at, *cid, *place)),
            _ => None,
        };
        let wanted: Vec<_> = self
            .pending
            .iter()
            .enumerate()
            .rev()
            .filter_map(shard)
            .take(room)
            .collect();
        let cids: Vec<Cid> = wanted.iter().map(|(_, cid, _)| *cid).collect();
        for ((at, _, place), block) in wanted.into_iter().zip(fetch(self.source, &cids)?) {
            self.ready += 1;
            self.pending[at] = Part::Block { block, place };
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
