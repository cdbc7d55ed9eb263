//! [`Place`]: where a leaf stands, as the nodes above it say.

use crate::block::Block;
use crate::cid::Cid;
use crate::dag::{DagError, Link};
use crate::unixfs::Name;
use crate::unixfs::data::{Data, Kind};
use crate::unixfs::hamt::{self, Child, Shard};
use crate::unixfs::node::Node;
use crate::unixfs::read::{FileNode, check_claim};

/// Where a leaf stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The names on the way, from the root's entry on.
    pub names: Vec<Name>,
    /// Which bytes of a file it holds; `None` for a symlink or an empty directory.
    pub span: Option<Span>,
    /// In how many places of the DAG the same path leads to the same leaf; this is the first one. More than
    /// one where a node links to the same child more than once, as in a file of zeros.
    pub ways: u64,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub file: Cid,
    /// Its size in bytes.
    pub size: u64,
    /// The first byte that the leaf holds.
    pub first: u64,
    /// How many it holds.
    pub count: u64,
}

/// A descent from node to node.
struct Descent {
    place: Place,
    /// Where the next shard stands, below one.
    shard: Option<hamt::Place>,
}

impl Place {
    /// Of the last of these blocks, each of which is linked to by the one before.
    pub(super) fn of(blocks: &[Block]) -> Result<Self, DagError> {
        let mut descent = Descent {
            place: Self {
                names: Vec::new(),
                span: None,
                ways: 1,
            },
            shard: None,
        };
        for pair in blocks.windows(2) {
            descent.step(&pair[0], pair[1].cid())?;
        }
        if let Some(leaf) = blocks.last() {
            descent.end(leaf)?;
        }
        Ok(descent.place)
    }
}

impl Descent {
    /// From a node to one of its children.
    fn step(&mut self, block: &Block, next: &Cid) -> Result<(), DagError> {
        let cid = block.cid();
        let node = Node::decode(block)?;
        let kind = node.kind();
        let ways = match &node {
            _ if self.place.span.is_some() || matches!(kind, Kind::File | Kind::Raw) => {
                self.down_file(block, next)?
            }
            Node::Pb { node, .. } if kind == Kind::Directory && self.shard.is_none() => {
                let same = node.links.iter().filter(|link| link.cid == *next);
                self.down_entry(same.clone().next());
                same.count()
            }
            Node::Pb { node, data } if kind == Kind::HamtShard => {
                let shard = Shard::decode(cid, node, data, self.shard.unwrap_or_default())?;
                self.down_shard(&shard, next)
            }
            _ => return Err(node.unexpected(cid, "a file or a directory")),
        };
        self.place.ways = self.place.ways.saturating_mul(ways as u64);
        Ok(())
    }

    /// Each step says how many ways lead to the next node.
    fn down_file(&mut self, block: &Block, next: &Cid) -> Result<usize, DagError> {
        let (node, mut span) = self.file_node(block)?;
        let mut at = span.first + node.data.len() as u64;
        let mut same = Vec::new();
        for (cid, size) in node.children {
            if cid == *next {
                same.push((at, size));
            }
            at += size;
        }
        if let Some((first, count)) = same.first() {
            (span.first, span.count) = (*first, *count);
        }
        self.place.span = Some(span);
        Ok(same.len())
    }

    /// The node of a file, and which bytes it has: as many as its parent says.
    fn file_node(&self, block: &Block) -> Result<(FileNode, Span), DagError> {
        let node = FileNode::decode(block)?;
        let span = self.place.span.unwrap_or(Span {
            file: *block.cid(),
            size: node.size,
            first: 0,
            count: node.size,
        });
        check_claim(block.cid(), node.size, span.count)?;
        Ok((node, span))
    }

    fn down_shard(&mut self, shard: &Shard, next: &Cid) -> usize {
        let leads = |child: &&Child| match child {
            Child::Entry(link) | Child::Shard { link, .. } => link.cid == *next,
        };
        let same: Vec<&Child> = shard.children().filter(leads).collect();
        match same.first() {
            Some(Child::Shard { place, .. }) => self.shard = Some(*place),
            Some(Child::Entry(link)) => self.down_entry(Some(link)),
            None => {}
        }
        same.len()
    }

    fn down_entry(&mut self, link: Option<&Link>) {
        self.place.names.extend(link.map(|link| link.name.clone()));
        self.shard = None;
    }

    fn end(&mut self, leaf: &Block) -> Result<(), DagError> {
        let is_other = match Node::decode(leaf)? {
            Node::Raw(_) => false,
            Node::Pb {
                data: Data { kind, .. },
                ..
            } => !matches!(kind, Kind::File | Kind::Raw),
        };
        if self.place.span.is_none() && is_other {
            return Ok(());
        }
        let (_, span) = self.file_node(leaf)?;
        self.place.span = Some(span);
        Ok(())
    }
}
