//! [`Leaves`]: finds a leaf by its number, in the order of the links, by the links of the inner nodes
//! alone.
//!
//! A leaf is a node without links: the bytes of a file, mostly; a symlink or an empty directory, too.
//! One that is linked to from several places is counted in each, as the bytes of a file are. What an
//! identity CID carries is a node like any other.

use std::collections::HashMap;
use std::vec::IntoIter;

use super::{DagError, Link, SourceError, links};
use crate::block::Block;
use crate::blockstore::Blockstore;
use crate::cid::{Cid, Codec, Key};
use crate::segment::PATH_MAX;

/// Inner nodes whose leaves were counted, some hundred bytes each: a PiB in leaves of 1 MiB.
const COUNTED_MAX: usize = 1 << 20;

/// Links that wait for their turn, 200 bytes each, as in [`Reader`](crate::unixfs::read::Reader): five
/// nodes of the largest size fit below each other.
const WAITING_MAX: usize = 1 << 18;

/// Where the links of dag-pb nodes come from.
type Source<'a> = dyn FnMut(&Cid) -> Result<Vec<Link>, SourceError> + 'a;

/// Counts the leaves below nodes. Each inner node is looked at once, however often it is linked to, so
/// that a small DAG with more leaves than can be counted is no danger.
pub struct Leaves<'a> {
    links: Box<Source<'a>>,
    counts: HashMap<Key, u64>,
}

/// Where a leaf is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The nodes from the first one down to the leaf, both included; at most [`PATH_MAX`].
    Path(Vec<Cid>),
    /// There are only so many leaves.
    Beyond {
        /// How many; [`u64::MAX`] for more than 64 bits count.
        leaves: u64,
    },
}

/// A node whose children are being counted.
struct Open {
    cid: Cid,
    rest: IntoIter<Link>,
    leaves: u64,
}

impl<'a> Leaves<'a> {
    /// With the links of dag-pb nodes from `links`.
    pub fn new(links: impl FnMut(&Cid) -> Result<Vec<Link>, SourceError> + 'a) -> Self {
        Self {
            links: Box::new(links),
            counts: HashMap::new(),
        }
    }

    /// With the links that a store knows, without reading blocks. What it has not is
    /// [`SourceError::NotFound`].
    #[must_use]
    pub fn of_store(store: &'a dyn Blockstore) -> Self {
        Self::new(move |cid| {
            store.links(cid)?.ok_or_else(|| SourceError::NotFound {
                cid: *cid,
                tried: String::new(),
            })
        })
    }

    /// The links of a node, none for a leaf.
    ///
    /// # Errors
    /// Those of the source, and CIDs that cannot be followed.
    pub fn links(&mut self, cid: &Cid) -> Result<Vec<Link>, SourceError> {
        if Codec::of(cid).map_err(DagError::from)? == Codec::Raw {
            return Ok(Vec::new());
        }
        match Block::inline(cid) {
            Some(block) => Ok(links(&block)?),
            None => (self.links)(cid),
        }
    }

    /// How many leaves there are at and below `cid`: 1 where it is one; [`u64::MAX`] for more than 64
    /// bits count.
    ///
    /// # Errors
    /// Those of the source; a DAG of more than [`PATH_MAX`] levels, or with more nodes than are
    /// remembered.
    pub fn count(&mut self, cid: &Cid) -> Result<u64, SourceError> {
        let (mut open, mut waiting) = (Vec::new(), 0);
        let mut counted = self.enter(*cid, &mut open, &mut waiting)?;
        loop {
            let Some(node) = open.last_mut() else {
                // The first one was closed, or was never opened.
                return Ok(counted.unwrap_or_default());
            };
            node.leaves = node.leaves.saturating_add(counted.unwrap_or_default());
            if let Some(link) = node.rest.next() {
                waiting -= 1;
                counted = self.enter(link.cid, &mut open, &mut waiting)?;
                continue;
            }
            if self.counts.len() >= COUNTED_MAX {
                let (cid, limit) = (*cid, COUNTED_MAX);
                return Err(DagError::TooLarge { cid, limit }.into());
            }
            self.counts.insert(Key::of(&node.cid), node.leaves);
            counted = Some(node.leaves);
            open.pop();
        }
    }

    /// The leaf of this number at and below `from`, counted from 0.
    ///
    /// # Errors
    /// As [`Leaves::count`].
    pub fn find(&mut self, from: &Cid, number: u64) -> Result<Found, SourceError> {
        let (mut path, mut left) = (vec![*from], number);
        let mut at = *from;
        loop {
            let children = self.links(&at)?;
            if children.is_empty() {
                // Only the first node comes here with leaves left to pass: below it they were counted.
                let found = Found::Path(path);
                return Ok(if left == 0 {
                    found
                } else {
                    Found::Beyond { leaves: 1 }
                });
            }
            if path.len() >= PATH_MAX {
                return Err(too_deep(&at));
            }
            let mut next = None;
            for link in children {
                let leaves = self.count(&link.cid)?;
                if left < leaves {
                    next = Some(link.cid);
                    break;
                }
                left -= leaves;
            }
            let Some(next) = next else {
                let leaves = number - left;
                return Ok(Found::Beyond { leaves });
            };
            path.push(next);
            at = next;
        }
    }

    /// The leaves of what is known, or of a leaf. Any other node is opened.
    fn enter(
        &mut self,
        cid: Cid,
        open: &mut Vec<Open>,
        waiting: &mut usize,
    ) -> Result<Option<u64>, SourceError> {
        // A raw block may have the hash of a node: it is a leaf all the same.
        let is_node = Codec::of(&cid).map_err(DagError::from)? == Codec::DagPb;
        if let Some(count) = self.counts.get(&Key::of(&cid)).filter(|_| is_node) {
            return Ok(Some(*count));
        }
        let links = self.links(&cid)?;
        if links.is_empty() {
            return Ok(Some(1));
        }
        if open.len() >= PATH_MAX {
            return Err(too_deep(&cid));
        }
        *waiting += links.len();
        if *waiting > WAITING_MAX {
            let reason = format!("more than {WAITING_MAX} links wait for their turn");
            return Err(DagError::Inconsistent { cid, reason }.into());
        }
        let rest = links.into_iter();
        let leaves = 0;
        open.push(Open { cid, rest, leaves });
        Ok(None)
    }
}

fn too_deep(cid: &Cid) -> SourceError {
    let (cid, limit) = (*cid, PATH_MAX);
    DagError::TooDeep { cid, limit }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blockstore::MemoryStore;
    use crate::cid::Form;
    use crate::dag::planted::{node, put, raw};

    #[test]
    fn each_leaf_has_a_number_in_the_order_of_the_links() {
        let store = MemoryStore::new();
        let [a, b] = ["a", "b"].map(|text| raw(&store, text));
        let carried = Form {
            inline: Some(64),
            ..Form::V1
        };
        let c = put(&store, carried, Codec::Raw, "c");
        let empty = node(&store, &[]);
        let twice = node(&store, &[a, b, a]);
        let inner = node(&store, &[c, twice]);
        let root = node(&store, &[empty, inner, twice]);
        let mut leaves = Leaves::of_store(&store);
        let expected = [
            vec![root, empty],
            vec![root, inner, c],
            vec![root, inner, twice, a],
            vec![root, inner, twice, b],
            vec![root, inner, twice, a],
            vec![root, twice, a],
            vec![root, twice, b],
            vec![root, twice, a],
        ];
        for (number, path) in (0..).zip(expected) {
            assert_eq!(leaves.find(&root, number).unwrap(), Found::Path(path));
        }
        assert_eq!(leaves.find(&root, 8).unwrap(), Found::Beyond { leaves: 8 });
        assert_eq!(leaves.count(&root).unwrap(), 8);
        assert_eq!(leaves.find(&a, 0).unwrap(), Found::Path(vec![a]));
        assert_eq!(leaves.find(&a, 1).unwrap(), Found::Beyond { leaves: 1 });
        assert_eq!(leaves.find(&c, 0).unwrap(), Found::Path(vec![c]));
    }

    #[test]
    fn more_leaves_than_can_be_counted_are_no_danger() {
        let store = MemoryStore::new();
        let a = raw(&store, "a");
        let chain = |levels: usize| (0..levels).fold(a, |below, _| node(&store, &[below, below]));
        let mut leaves = Leaves::of_store(&store);
        assert_eq!(leaves.count(&chain(40)).unwrap(), 1 << 40);
        let deepest = chain(PATH_MAX - 1);
        assert_eq!(leaves.count(&deepest).unwrap(), u64::MAX);
        let Found::Path(path) = leaves.find(&deepest, u64::MAX - 1).unwrap() else {
            panic!("it has so many");
        };
        assert_eq!(path.len(), PATH_MAX);
        let mut fresh = Leaves::of_store(&store);
        let error = fresh.count(&chain(PATH_MAX + 1)).unwrap_err();
        assert!(matches!(
            error,
            SourceError::Dag(DagError::TooDeep {
                limit: PATH_MAX,
                ..
            })
        ));
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        let store = MemoryStore::new();
        let [a, b] = ["a", "b"].map(|text| raw(&store, text));
        let (left, right) = (node(&store, &[a]), node(&store, &[b]));
        let root = node(&store, &[left, right]);
        store.delete_many(&[right]).unwrap();
        let mut leaves = Leaves::of_store(&store);
        // What comes before it can be found.
        assert_eq!(
            leaves.find(&root, 0).unwrap(),
            Found::Path(vec![root, left, a])
        );
        let error = leaves.find(&root, 1).unwrap_err();
        assert!(matches!(error, SourceError::NotFound { cid, .. } if cid == right));
    }
}
