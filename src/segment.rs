//! [`Segments`]: cuts a DAG into the parts that replication places, each by itself.
//!
//! A segment is consecutive children of one node with all below them. Where it is cut depends on the
//! DAG alone, so every member finds the same ones:
//!
//! * in a file's node, a child of more than [`SEGMENT_MAX`] is taken apart; the others are put together
//!   up to that size, from the first on;
//! * in a directory's node (its links have names), a child of more than [`SEGMENT_MIN`] is taken apart,
//!   so that a large file keeps its segments wherever it stands; the others are put together up to
//!   [`SEGMENT_MAX`], but no further than a child whose hash ends in four zero bits once there are
//!   [`SEGMENT_MIN`]: behind an entry that came or went the cuts are soon the same again
//!   (content-defined chunking, LBFS, SOSP 2001).
//!
//! Its name, [`SegmentId`], is a hash of the children: versions of a tree share what they share, and
//! so do their places. Sizes are those that the nodes claim (`Tsize`), for nobody has all blocks when
//! this is asked; whoever fetches a segment holds it to its claim.

use std::collections::HashSet;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::cid::{Cid, Codec, Key};
use crate::dag::{DagError, Link};

/// No segment claims more bytes, unless one block does.
pub const SEGMENT_MAX: u64 = 64 << 20;
/// A directory is cut where a hash says so once there are so many bytes: fewer would save little when
/// a file changes, and every segment costs its holders some hundred bytes of books.
pub const SEGMENT_MIN: u64 = 4 << 20;
/// Nodes from the root to the one whose children are held, at most. They go with each offer, and are
/// stored with each hold; no path in use has a fifth of it.
pub const PATH_MAX: usize = 128;

/// A part of a DAG that is kept: consecutive children of one node with all below them, and the path to
/// the root, so that they can be found and verified from there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The nodes from the root down to the one whose children are held; at least that one.
    pub path: Vec<Cid>,
    /// The first held child.
    pub first: u64,
    /// How many are held.
    pub count: u64,
}

/// What a segment is called: SHA-256 over `store segment 1` and the binary CIDs of its children, each
/// with its length as four bytes, little-endian, before it; or, where the root has no children, of the root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub [u8; 32]);

/// A part of a DAG that is placed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// Where it is in this DAG.
    pub hold: Hold,
    /// Bytes, as its nodes claim.
    pub bytes: u64,
}

/// The cutting of one DAG. Sans-IO: it says which nodes it wants, and is supplied with their links.
///
/// Memory grows with the nodes that are taken apart: one for each 64 MiB of a file, or fewer. Each is
/// taken apart once, however often it is linked to.
#[derive(Debug)]
pub struct Segments {
    pending: Vec<Vec<Cid>>,
    met: HashSet<Key>,
}

impl SegmentId {
    /// Of these children.
    #[must_use]
    pub fn of<'a>(children: impl IntoIterator<Item = &'a Cid>) -> Self {
        let mut hash = Sha256::new_with_prefix("store segment 1");
        for child in children {
            let bytes = child.to_bytes();
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            hash.update(size.to_le_bytes());
            hash.update(bytes);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({self})")
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Hold {
    /// The root in whose DAG it is; `None` for a hold without a path, which nobody makes.
    #[must_use]
    pub fn root(&self) -> Option<&Cid> {
        self.path.first()
    }

    /// The held ones of the links of its node; `None` where there are not so many.
    #[must_use]
    pub fn extent<'a>(&self, links: &'a [Link]) -> Option<&'a [Link]> {
        let first = usize::try_from(self.first).ok()?;
        let count = usize::try_from(self.count).ok()?;
        links.get(first..first.checked_add(count)?)
    }
}

impl Segments {
    /// Of the DAG below `root`.
    #[must_use]
    pub fn new(root: Cid) -> Self {
        Self {
            met: HashSet::from([Key::of(&root)]),
            pending: vec![vec![root]],
        }
    }

    /// The nodes whose links it wants next, `count` at most.
    #[must_use]
    pub fn wants(&self, count: usize) -> Vec<Cid> {
        let next = self.pending.iter().rev().take(count);
        next.filter_map(|path| path.last().copied()).collect()
    }

    /// Whether every segment has been told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes the links of a wanted node, and tells the segments among its children. `size` is that of
    /// the node's own block in bytes.
    ///
    /// # Errors
    /// [`DagError::Unwanted`] where it did not want it; otherwise this DAG cannot be cut: it is deeper
    /// than [`PATH_MAX`], or has CIDs that cannot be followed.
    pub fn supply(
        &mut self,
        cid: &Cid,
        size: u64,
        links: &[Link],
    ) -> Result<Vec<Segment>, DagError> {
        let wanted = |path: &Vec<Cid>| path.last() == Some(cid);
        let at = self.pending.iter().rposition(wanted);
        let at = at.ok_or(DagError::Unwanted { cid: *cid })?;
        let path = self.pending.swap_remove(at);
        let mut group = Group::new(&path);
        if links.is_empty() {
            // Only a root comes here without: what is taken apart has something below it.
            return Ok(vec![group.alone(cid, size)]);
        }
        let is_directory = links.iter().any(|link| !link.name.as_bytes().is_empty());
        let apart = if is_directory {
            SEGMENT_MIN
        } else {
            SEGMENT_MAX
        };
        let mut segments = Vec::new();
        for link in links {
            let is_node = Codec::of(&link.cid)? == Codec::DagPb;
            if is_node && link.tsize > apart {
                segments.extend(group.end());
                group.skip();
                self.take_apart(&path, &link.cid)?;
                continue;
            }
            if group.bytes.saturating_add(link.tsize) > SEGMENT_MAX {
                segments.extend(group.end());
            }
            group.push(link);
            if is_directory && group.bytes >= SEGMENT_MIN && is_cut(&link.cid) {
                segments.extend(group.end());
            }
        }
        segments.extend(group.end());
        Ok(segments)
    }

    fn take_apart(&mut self, path: &[Cid], child: &Cid) -> Result<(), DagError> {
        if path.len() >= PATH_MAX {
            return Err(DagError::TooDeep {
                cid: *child,
                limit: PATH_MAX,
            });
        }
        if self.met.insert(Key::of(child)) {
            self.pending.push([path, &[*child]].concat());
        }
        Ok(())
    }
}

/// Whether a directory is cut behind this child.
fn is_cut(child: &Cid) -> bool {
    child
        .hash()
        .digest()
        .last()
        .is_some_and(|byte| byte % 16 == 0)
}

/// The children that are being put together.
struct Group<'a> {
    path: &'a [Cid],
    first: u64,
    children: Vec<&'a Cid>,
    bytes: u64,
}

impl<'a> Group<'a> {
    const fn new(path: &'a [Cid]) -> Self {
        Self {
            path,
            first: 0,
            children: Vec::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, link: &'a Link) {
        self.children.push(&link.cid);
        self.bytes = self.bytes.saturating_add(link.tsize);
    }

    /// The next child belongs to no group.
    const fn skip(&mut self) {
        self.first += 1;
    }

    fn end(&mut self) -> Option<Segment> {
        let count = self.children.len() as u64;
        if count == 0 {
            return None;
        }
        let segment = Segment {
            id: SegmentId::of(self.children.drain(..)),
            hold: self.hold(count),
            bytes: std::mem::take(&mut self.bytes),
        };
        self.first += count;
        Some(segment)
    }

    /// The node itself, which has no children.
    fn alone(&self, node: &Cid, bytes: u64) -> Segment {
        Segment {
            id: SegmentId::of([node]),
            hold: self.hold(0),
            bytes,
        }
    }

    fn hold(&self, count: u64) -> Hold {
        Hold {
            path: self.path.to_vec(),
            first: self.first,
            count,
        }
    }
}

#[cfg(test)]
mod tests;
