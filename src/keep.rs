//! [`Keep`]: which blocks are kept, and what for: the one place that knows the keys of the family
//! `keep`.
//!
//! ```text
//! 'p' | codec: varint | multihash                          a recursive pin: all below it
//! 'd' | codec: varint | multihash                          a direct pin: this block
//! 'h' | multihash of a node | first: u64 | count: u64      a hold: these children, and all below them
//! 'k' | multihash | multihash of the node | first | count  a block on a hold's path, the node included
//! 'e' | expiry: u64 | key of a pin                          a pin that expires then
//! ```
//!
//! `u64`s are big-endian. What the values of pins mean is `pin`'s business. The value of a hold is its
//! path: the CIDs from the root down to the node, each with its length before it; those of `k` and `e` are
//! empty.

use std::sync::Arc;

use crate::blockstore::{Change, RocksStore, StoreError, schema};
use crate::cid::{self, Cid, Codec};
pub use crate::segment::Hold;

/// First byte of a recursive pin's key.
pub(crate) const RECURSIVE: u8 = b'p';
/// First byte of a direct pin's key.
pub(crate) const DIRECT: u8 = b'd';
/// First byte of the row that finds a pin by its expiry.
pub(crate) const EXPIRY: u8 = b'e';
const HOLD: u8 = b'h';
const PATH: u8 = b'k';

/// Which kinds of keeping there are, beside recursive pins: what is not there need not be asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kinds {
    /// Holds.
    pub(crate) holds: bool,
    /// Blocks that are kept for themselves.
    pub(crate) alone: bool,
}

/// What is kept in a repo.
#[derive(Clone)]
pub struct Keep {
    store: Arc<RocksStore>,
}

impl Keep {
    pub(crate) const fn new(store: Arc<RocksStore>) -> Self {
        Self { store }
    }

    /// Holds a part of a DAG, durably, after every block that was put before. Holding it again changes
    /// nothing. `false` where the path is empty: nothing is held then.
    pub fn hold(&self, hold: &Hold) -> Result<bool, StoreError> {
        let Some(changes) = rows(hold, true) else {
            return Ok(false);
        };
        self.store.table_write_durably(schema::KEEP, &changes)?;
        self.store.leases().note_change_of_all();
        Ok(true)
    }

    /// Holds it no longer. Whether it was held.
    pub fn release(&self, hold: &Hold) -> Result<bool, StoreError> {
        let Some(changes) = rows(hold, false) else {
            return Ok(false);
        };
        let there = self.store.table_get(schema::KEEP, &changes[0].0)?.is_some();
        if there {
            self.store.table_write_durably(schema::KEEP, &changes)?;
        }
        Ok(there)
    }

    /// Every hold.
    pub fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        let mut holds = Vec::new();
        self.store
            .table_scan(schema::KEEP, &[HOLD], &mut |key, value| {
                holds.extend(decode(key, value));
                true
            })?;
        Ok(holds)
    }

    /// Which kinds of keeping there are, beside recursive pins.
    pub(crate) fn kinds(&self) -> Result<Kinds, StoreError> {
        let any = |kind: u8| self.store.table_has(schema::KEEP, &[kind]);
        Ok(Kinds {
            holds: any(HOLD)?,
            alone: any(DIRECT)? || any(PATH)?,
        })
    }

    /// Whether all below the block of this multihash is pinned.
    pub(crate) fn is_pinned(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.is_any(RECURSIVE, key)
    }

    /// Whether the block of this multihash is kept for itself: pinned directly, or on the path of a
    /// hold.
    pub(crate) fn is_kept_alone(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(
            self.is_any(DIRECT, key)?
                || self.store.table_has(schema::KEEP, &prefixed(PATH, key))?,
        )
    }

    /// The extents (first, count) of the children of this node that are held.
    pub(crate) fn held_extents(&self, node: &[u8]) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut extents = Vec::new();
        self.store
            .table_scan(schema::KEEP, &prefixed(HOLD, node), &mut |key, _| {
                extents.extend(extent(key));
                true
            })?;
        Ok(extents)
    }

    /// Whether anything of the content with this root is held.
    pub fn holds_of(&self, root: &Cid) -> Result<bool, StoreError> {
        let key = root.hash().to_bytes();
        self.store.table_has(schema::KEEP, &prefixed(PATH, &key))
    }

    /// Whether anything is held at all.
    pub(crate) fn any_hold(&self) -> Result<bool, StoreError> {
        self.store.table_has(schema::KEEP, &[HOLD])
    }

    /// The holds of children of this node.
    pub(crate) fn holds_at(&self, node: &[u8]) -> Result<Vec<Hold>, StoreError> {
        let mut holds = Vec::new();
        self.store
            .table_scan(schema::KEEP, &prefixed(HOLD, node), &mut |key, value| {
                holds.extend(decode(key, value));
                true
            })?;
        Ok(holds)
    }

    /// The holds on whose paths this block is.
    pub(crate) fn holds_through(&self, block: &[u8]) -> Result<Vec<Hold>, StoreError> {
        let prefix = prefixed(PATH, block);
        let mut keys = Vec::new();
        self.store
            .table_scan(schema::KEEP, &prefix, &mut |key, _| {
                keys.push(prefixed(HOLD, &key[prefix.len()..]));
                true
            })?;
        let mut holds = Vec::new();
        for key in keys {
            let value = self.store.table_get(schema::KEEP, &key)?;
            holds.extend(value.and_then(|value| decode(&key, &value)));
        }
        Ok(holds)
    }

    fn is_any(&self, kind: u8, key: &[u8]) -> Result<bool, StoreError> {
        for codec in [Codec::DagPb, Codec::Raw] {
            let key = pin_key(kind, codec.code(), key);
            if self.store.table_get(schema::KEEP, &key)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The key of a pin of this kind ([`RECURSIVE`], [`DIRECT`]). By codec and multihash, not by CID:
/// version and text form do not change what is kept, but a raw block and the DAG below the same bytes
/// do.
pub(crate) fn pin_key(kind: u8, codec: u64, multihash: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    schema::put_varint(&mut key, codec);
    key.extend(multihash);
    key
}

fn prefixed(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

impl Hold {
    /// What tells it from others: the key of its row.
    pub(crate) fn key(&self) -> Vec<u8> {
        rows(self, false).map_or_else(Vec::new, |mut rows| rows.swap_remove(0).0)
    }
}

/// The hold of a row that begins with [`HOLD`].
fn decode(key: &[u8], value: &[u8]) -> Option<Hold> {
    let (first, count) = extent(key)?;
    let path = path(value)?;
    Some(Hold { path, first, count })
}

/// What a hold writes, itself first; or, where it is not `there`, what its end deletes.
fn rows(hold: &Hold, there: bool) -> Option<Vec<Change>> {
    let node = hold.path.last()?.hash().to_bytes();
    let extent = [hold.first.to_be_bytes(), hold.count.to_be_bytes()].concat();
    let mut path = Vec::new();
    for cid in &hold.path {
        schema::put_bytes(&mut path, &cid.to_bytes());
    }
    let mut rows = vec![(
        [&[HOLD], node.as_slice(), &extent].concat(),
        there.then_some(path),
    )];
    for cid in &hold.path {
        let key = cid.hash().to_bytes();
        let row = [&[PATH], key.as_slice(), &node, &extent].concat();
        rows.push((row, there.then(Vec::new)));
    }
    Some(rows)
}

/// The last sixteen bytes of a hold's key.
fn extent(key: &[u8]) -> Option<(u64, u64)> {
    let (rest, count) = key.split_last_chunk()?;
    let (_, first) = rest.split_last_chunk()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(*count)))
}

fn path(mut bytes: &[u8]) -> Option<Vec<Cid>> {
    let mut path = Vec::new();
    while !bytes.is_empty() {
        path.push(cid::from_bytes(schema::take_bytes(&mut bytes)?).ok()?);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::tempdir;

    use super::*;
    use crate::blockstore::StoreOptions;
    use crate::{Block, cid::Version};

    fn cid(text: &'static str) -> Cid {
        let block = Block::hash(
            Version::V1,
            Codec::DagPb,
            Bytes::from_static(text.as_bytes()),
        );
        *block.unwrap().cid()
    }

    #[test]
    fn holds_come_back_and_go() {
        let dir = tempdir().unwrap();
        let store = RocksStore::open(dir.path(), StoreOptions { low_memory: true }).unwrap();
        let keep = Keep::new(Arc::new(store));
        let (root, node) = (cid("root"), cid("node"));
        let hold = Hold {
            path: vec![root, node],
            first: 3,
            count: 2,
        };
        let other = Hold {
            first: 7,
            ..hold.clone()
        };
        assert!(keep.hold(&hold).unwrap() && keep.hold(&other).unwrap());
        assert_eq!(keep.holds().unwrap(), [hold.clone(), other.clone()]);
        let key = node.hash().to_bytes();
        assert_eq!(keep.held_extents(&key).unwrap(), [(3, 2), (7, 2)]);
        assert!(keep.release(&hold).unwrap());
        assert!(!keep.release(&hold).unwrap());
        for cid in [root, node] {
            assert!(keep.is_kept_alone(&cid.hash().to_bytes()).unwrap());
        }
        assert!(keep.holds_of(&root).unwrap());
        assert!(keep.release(&other).unwrap());
        assert!(!keep.holds_of(&root).unwrap());
        for cid in [root, node] {
            assert!(!keep.is_kept_alone(&cid.hash().to_bytes()).unwrap());
        }
        assert_eq!(keep.holds().unwrap(), []);
    }
}
