//! [`Cached`]: roots of content that is here and that nobody keeps, with the time of their last use.
//!
//! They are removed when their room is needed, the least recently used first. In the family `cache`:
//! multihash → milliseconds since 1970 as a varint, then the CID's bytes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cid::{self, Cid};

/// The cache of a repo.
#[derive(Clone)]
pub struct Cached {
    store: Arc<RocksStore>,
}

/// A root in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedRoot {
    /// The root.
    pub root: Cid,
    /// When it was used last, in milliseconds since 1970.
    pub used: u64,
}

impl Cached {
    pub(crate) const fn new(store: Arc<RocksStore>) -> Self {
        Self { store }
    }

    /// Notes that the content below `root` is used now. Not synced: what a loss of power takes is an
    /// age.
    pub fn touch(&self, root: &Cid) -> Result<(), StoreError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.touch_at(root, u64::try_from(now.as_millis()).unwrap_or(0))
    }

    /// The same at a time in milliseconds since 1970.
    pub(crate) fn touch_at(&self, root: &Cid, used: u64) -> Result<(), StoreError> {
        if cid::identity_data(root).is_some() {
            return Ok(());
        }
        let mut value = Vec::new();
        schema::put_varint(&mut value, used);
        value.extend(root.to_bytes());
        let key = root.hash().to_bytes();
        self.store
            .table_write(schema::CACHE, &[(key.clone(), Some(value))])?;
        self.store.leases().note_changes(&[key]);
        Ok(())
    }

    /// All roots, the least recently used first.
    pub fn oldest_first(&self) -> Result<Vec<CachedRoot>, StoreError> {
        let mut roots = Vec::new();
        self.store.table_scan(schema::CACHE, &[], &mut |_, value| {
            roots.extend(decode(value));
            true
        })?;
        roots.sort_by_key(|cached: &CachedRoot| cached.used);
        Ok(roots)
    }

    /// Forgets that `root` is in the cache: from now on nothing below it stays for its sake.
    pub fn forget(&self, root: &Cid) -> Result<(), StoreError> {
        let key = root.hash().to_bytes();
        self.store.table_write(schema::CACHE, &[(key, None)])
    }

    /// Whether the block of this multihash is a root in the cache.
    pub(crate) fn is_root(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.store.table_get(schema::CACHE, key)?.is_some())
    }
}

fn decode(mut value: &[u8]) -> Option<CachedRoot> {
    let used = schema::take_varint(&mut value)?;
    let root = cid::from_bytes(value).ok()?;
    Some(CachedRoot { root, used })
}
