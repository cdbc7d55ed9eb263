//! [`Selection`]: which blocks of a DAG are exported, and in which order: depth-first, each once.
//!
//! The words are those of the trustless gateway (specs.ipfs.tech/http-gateways/trustless-gateway,
//! "dag-scope" and "entity-bytes").

use std::collections::HashSet;
use std::str::FromStr;

use super::Scope;
use crate::block::Block;
use crate::cid::Cid;
use crate::dag::walk::MAX_VISITED;
use crate::dag::{self, DagError, Link, Walk};
use crate::unixfs::data::Kind;
use crate::unixfs::node::Node;
use crate::unixfs::read::{FileNode, MAX_DEPTH, check_claim};

/// The most parts of a file that wait for their turn, 64 bytes each, as in
/// [`Reader`](crate::unixfs::read::Reader).
const MAX_PENDING: usize = 1 << 18;

/// Bytes of a file, both ends included: `FROM:TO`, `FROM:*`. Negative numbers count from the file's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityBytes {
    /// The first byte.
    pub from: i64,
    /// The last byte; the file's last one where it is absent.
    pub to: Option<i64>,
}

/// Why a text is no [`EntityBytes`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no range: {reason}; ranges are FROM:TO or FROM:*, both ends included")]
pub struct RangeError {
    text: String,
    reason: &'static str,
}

impl FromStr for EntityBytes {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let refuse = |reason| RangeError {
            text: text.chars().take(64).collect(),
            reason,
        };
        let number = |part: &str| part.parse().map_err(|_| refuse("not a number"));
        let (from, to) = text.split_once(':').ok_or_else(|| refuse("no colon"))?;
        let from: i64 = number(from)?;
        let to = match to {
            "*" => None,
            to => Some(number(to)?),
        };
        match to {
            Some(to) if (from < 0) == (to < 0) && from > to => {
                Err(refuse("it ends before it begins"))
            }
            _ => Ok(Self { from, to }),
        }
    }
}

impl EntityBytes {
    /// The first byte and the one behind the last, in a file of `size` bytes; empty where it has none
    /// of them.
    fn of(self, size: u64) -> (u64, u64) {
        let place = |at: i64| match u64::try_from(at) {
            Ok(at) => at,
            Err(_) => size.saturating_sub(at.unsigned_abs()),
        };
        let end = match self.to {
            None => size,
            // Before the file's first byte.
            Some(to) if to < 0 && to.unsigned_abs() > size => 0,
            Some(to) => place(to).saturating_add(1).min(size),
        };
        (place(self.from).min(end), end)
    }
}

/// What is still to be exported. Like [`Walk`], which does most of it: it says what it wants and is
/// supplied with it.
#[derive(Debug)]
pub(super) enum Selection {
    Walk(Walk, Scope),
    /// The root, of which it is not known yet whether it has a range.
    Root(Cid, EntityBytes),
    Part(Part),
}

impl Selection {
    pub(super) fn new(root: Cid, scope: Scope, range: Option<EntityBytes>) -> Self {
        match range {
            Some(range) => Self::Root(root, range),
            None => Self::Walk(Walk::new(root), scope),
        }
    }

    /// The next blocks, in order; none at the end.
    pub(super) fn wants(&self, count: usize) -> Vec<Cid> {
        match self {
            Self::Walk(walk, _) => walk.wants(count),
            Self::Root(root, _) => vec![*root],
            Self::Part(part) => {
                let next = part.pending.iter().rev().take(count);
                next.map(|piece| piece.cid).collect()
            }
        }
    }

    /// Takes the block that comes next, [`Selection::wants`]'s first. Whether it is to be written: it
    /// may have been already.
    pub(super) fn supply(&mut self, block: &Block) -> Result<bool, DagError> {
        match self {
            Self::Walk(walk, scope) => {
                let links = match scope {
                    Scope::All => dag::links(block)?,
                    Scope::Block => Vec::new(),
                    Scope::Entity => entity_links(block)?,
                };
                walk.supply_links(block.cid(), &links)?;
                Ok(true)
            }
            Self::Root(root, range) => match Node::decode(block) {
                Ok(node) if matches!(node.kind(), Kind::File | Kind::Raw) => {
                    let mut part = Part::new(block, *range)?;
                    let written = part.supply(block)?;
                    *self = Self::Part(part);
                    Ok(written)
                }
                // Nothing else has ranges: all of it.
                _ => {
                    *self = Self::Walk(Walk::new(*root), Scope::Entity);
                    self.supply(block)
                }
            },
            Self::Part(part) => part.supply(block),
        }
    }
}

/// The links below a node that belong to the same thing: all of a file's, the shards of a directory,
/// and no directory's entries.
fn entity_links(block: &Block) -> Result<Vec<Link>, DagError> {
    match Node::decode(block) {
        Ok(Node::Pb { node, data }) => Ok(match data.kind {
            Kind::File | Kind::Raw => node.links,
            Kind::HamtShard => {
                let width = prefix_width(data.fanout.unwrap_or(0));
                let shard = |link: &Link| link.name.as_bytes().len() == width;
                node.links.into_iter().filter(shard).collect()
            }
            Kind::Directory | Kind::Symlink | Kind::Metadata => Vec::new(),
        }),
        // A raw leaf, or a node that is no UnixFS: it is all that there is to it.
        Ok(Node::Raw(_)) | Err(DagError::UnixFs { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The length of a shard's link name that names a shard and no entry: hexadecimal digits of the largest place.
fn prefix_width(fanout: u64) -> usize {
    format!("{:X}", fanout.saturating_sub(1)).len()
}

/// A range of a file. A node may stand in several places of it, with another part wanted in each: what
/// is wanted whole is visited once, and only the nodes on the range's two edges are wanted in part.
#[derive(Debug)]
pub(super) struct Part {
    /// The next one is the last.
    pending: Vec<Piece>,
    /// Wanted whole, ever.
    whole: HashSet<Cid>,
    written: HashSet<Cid>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    cid: Cid,
    depth: usize,
    /// The first byte of it that is wanted, and the one behind the last.
    from: u64,
    to: u64,
    /// Its bytes, as its parent claims.
    size: u64,
}

impl Part {
    fn new(root: &Block, range: EntityBytes) -> Result<Self, DagError> {
        let size = FileNode::decode(root)?.size;
        let (from, to) = range.of(size);
        let root = Piece {
            cid: *root.cid(),
            depth: 0,
            from,
            to,
            size,
        };
        Ok(Self {
            pending: vec![root],
            whole: HashSet::new(),
            written: HashSet::new(),
        })
    }

    fn supply(&mut self, block: &Block) -> Result<bool, DagError> {
        let cid = *block.cid();
        let piece = self.pending.pop().filter(|piece| piece.cid == cid);
        let piece = piece.ok_or(DagError::Unwanted { cid })?;
        let node = FileNode::decode(block)?;
        check_claim(&cid, node.size, piece.size)?;
        if !node.children.is_empty() && piece.depth >= MAX_DEPTH {
            let limit = MAX_DEPTH;
            return Err(DagError::TooDeep { cid, limit });
        }
        let first = self.pending.len();
        let mut at = node.data.len() as u64;
        for (cid, size) in node.children {
            let (start, end) = (at, at + size);
            at = end;
            let (from, to) = (piece.from.max(start), piece.to.min(end));
            // A child that claims no bytes has none of the range's either.
            if from >= to {
                continue;
            }
            let child = Piece {
                cid,
                depth: piece.depth + 1,
                from: from - start,
                to: to - start,
                size,
            };
            if (child.from, child.to) != (0, size) || self.whole.insert(cid) {
                self.pending.push(child);
            }
        }
        if self.pending.len() > MAX_PENDING {
            let reason = format!("more than {MAX_PENDING} parts of one file wait for their turn");
            return Err(DagError::Inconsistent { cid, reason });
        }
        if self.whole.len() > MAX_VISITED {
            let limit = MAX_VISITED;
            return Err(DagError::TooLarge { cid, limit });
        }
        self.pending[first..].reverse();
        Ok(self.written.insert(cid))
    }
}
