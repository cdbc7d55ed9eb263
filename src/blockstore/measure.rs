//! [`Measure`]: how many bytes an import would add to a store.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::schema::Entry;
use super::{Blockstore, Indexed, Put, RocksStore, StoreError, Write};
use crate::block::Block;
use crate::cid::{self, Cid, Key};
use crate::dag::Link;

/// New blocks that are told apart at most, some hundred MiB of names. What comes behind them is not
/// counted: then the store's own limit says whether it fits.
const BLOCKS_MAX: usize = 1 << 21;

/// A store that keeps nothing of what is put, and counts the bytes that another one would have to add
/// for it.
pub struct Measure<'a> {
    store: &'a RocksStore,
    limit: u64,
    new: Mutex<New>,
}

#[derive(Debug, Default)]
struct New {
    blocks: HashSet<Key>,
    bytes: u64,
}

impl<'a> Measure<'a> {
    /// Counts what `store` lacks. A put fails once more than `limit` bytes are new.
    #[must_use]
    pub fn new(store: &'a RocksStore, limit: u64) -> Self {
        Self {
            store,
            limit,
            new: Mutex::default(),
        }
    }

    /// Bytes that are new.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counted().bytes
    }

    /// The error of a store that has no room for `needed` more bytes.
    #[must_use]
    pub fn over(&self, needed: u64) -> StoreError {
        StoreError::Quota {
            quota: self.limit,
            live: self.store.live_bytes(),
            needed,
        }
    }

    fn counted(&self) -> MutexGuard<'_, New> {
        // Nothing panics while it is held but for want of memory.
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blockstore for Measure<'_> {
    fn put_many(&self, blocks: &[Block], _: Write) -> Result<Put, StoreError> {
        let blocks: Vec<&Block> = blocks
            .iter()
            .filter(|block| cid::identity_data(block.cid()).is_none())
            .collect();
        let keys: Vec<Vec<u8>> = blocks
            .iter()
            .map(|block| block.cid().hash().to_bytes())
            .collect();
        let entries = self.store.raw_entries(&keys)?;
        let mut new = self.counted();
        for (block, entry) in blocks.iter().zip(entries) {
            let stored = entry.is_some_and(Entry::is_stored);
            if !stored && new.blocks.len() < BLOCKS_MAX && new.blocks.insert(Key::of(block.cid())) {
                new.bytes += block.data().len() as u64;
            }
        }
        if new.bytes > self.limit {
            return Err(self.over(new.bytes));
        }
        Ok(Put::default())
    }

    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.store.get_many(cids)
    }

    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        self.store.sizes(cids)
    }

    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError> {
        self.store.links(cid)
    }

    fn removals(&self) -> u64 {
        self.store.removals()
    }

    fn delete_many(&self, _: &[Cid]) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError> {
        self.store.for_each(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blockstore::StoreOptions;
    use crate::cid::{Codec, Version};

    #[test]
    fn what_is_here_or_comes_twice_needs_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = RocksStore::open(dir.path(), StoreOptions::default()).unwrap();
        let block = |text: &'static [u8]| {
            Block::hash(Version::V1, Codec::Raw, Bytes::from_static(text)).unwrap()
        };
        let (here, new) = (block(b"here"), block(b"new block"));
        let put = |store: &dyn Blockstore, block: &Block| {
            store.put_many(std::slice::from_ref(block), Write::Logged)
        };
        put(&store, &here).unwrap();
        let measure = Measure::new(&store, 10);
        for block in [&here, &new, &new] {
            put(&measure, block).unwrap();
        }
        assert_eq!(measure.bytes(), 9);
        assert_eq!(store.totals().unwrap().blocks, 1, "nothing is written");
        let error = put(&measure, &block(b"no")).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Quota {
                    quota: 10,
                    live: 4,
                    needed: 11
                }
            ),
            "{error}"
        );
    }
}
