//! [`MemoryStore`]: blocks in a map, for tests and for content that is never kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::{Blockstore, Indexed, Put, StoreError, Write};
use crate::block::Block;
use crate::cid::{self, Cid, Key};
use crate::dag::{self, Link};

/// Blocks in memory, gone with the value. Bounded by nothing but what is put in.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: RwLock<BTreeMap<Key, Bytes>>,
    removals: AtomicU64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // A panic while the lock is held leaves the map whole: each change is one call on it.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Bytes>> {
        self.blocks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, Bytes>> {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blockstore for MemoryStore {
    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let blocks = self.read();
        let get = |cid: &Cid| match cid::identity_data(cid) {
            Some(data) => Some(Bytes::copy_from_slice(data)),
            None => blocks.get(&Key::of(cid)).cloned(),
        };
        Ok(cids.iter().map(get).collect())
    }

    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        let size = |data: Bytes| u32::try_from(data.len()).expect("a block has at most 2 MiB");
        Ok(self
            .get_many(cids)?
            .into_iter()
            .map(|data| data.map(size))
            .collect())
    }

    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError> {
        let Some(data) = self.get(cid)? else {
            return Ok(None);
        };
        Ok(Some(dag::links_of(cid, &data)?))
    }

    fn put_many(&self, blocks: &[Block], _: Write) -> Result<Put, StoreError> {
        let mut map = self.write();
        let mut put = Put::default();
        for block in blocks
            .iter()
            .filter(|block| cid::identity_data(block.cid()).is_none())
        {
            map.entry(Key::of(block.cid())).or_insert_with(|| {
                put.blocks += 1;
                put.bytes += block.data().len() as u64;
                block.data().clone()
            });
        }
        Ok(put)
    }

    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let mut map = self.write();
        for cid in cids {
            map.remove(&Key::of(cid));
        }
        self.removals.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError> {
        for (key, data) in self.read().iter() {
            let size = u32::try_from(data.len()).expect("a block has at most 2 MiB");
            if !each(Indexed {
                key: key.clone(),
                size,
            }) {
                break;
            }
        }
        Ok(())
    }
}
