//! [`Records`]: small tables beside the blocks, in families of their own. The caller knows what its
//! keys and values mean, and bounds how many there are.

use std::sync::Arc;

use crate::blockstore::{RocksStore, StoreError, schema};

pub use crate::blockstore::Change;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Peers that were met, and their addresses.
    Peers,
    /// Who provides what, as the DHT's records say.
    Providers,
    /// What this node knows and does about roots.
    Roots,
    /// What was added before, and from which files.
    Adds,
    /// What owners want kept by the swarm.
    PinRecords,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::Peers => schema::PEERS,
            Self::Providers => schema::PROVIDERS,
            Self::Roots => schema::ROOTS,
            Self::Adds => schema::ADDS,
            Self::PinRecords => schema::PIN_RECORDS,
        }
    }
}

/// One table. Writes go through the log: they survive the end of the process at once, and a loss of
/// power only after [`Records::sync`] (or any pin).
#[derive(Clone)]
pub struct Records {
    store: Arc<RocksStore>,
    family: Family,
}

impl Records {
    pub(crate) const fn new(store: Arc<RocksStore>, family: Family) -> Self {
        Self { store, family }
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.table_get(self.family.name(), key)
    }

    /// The values of many keys, in their order.
    pub fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.table_get_many(self.family.name(), keys)
    }

    /// Sets one key.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write_batch(&[(key.to_vec(), Some(value.to_vec()))])
    }

    /// Removes one key; a missing one is not an error.
    pub fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.write_batch(&[(key.to_vec(), None)])
    }

    /// All changes, or none.
    pub fn write_batch(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.store.table_write(self.family.name(), changes)
    }

    /// Makes all writes before this call durable against a loss of power.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.store.table_sync()
    }

    /// Calls `each` with every key and value, in key order, until it returns `false`.
    pub fn for_each(&self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.for_prefix(&[], each)
    }

    /// Like [`Records::for_each`], for the keys that begin with `prefix`.
    pub fn for_prefix(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.store.table_scan(self.family.name(), prefix, each)
    }

    /// Like [`Records::for_each`], from `start` on.
    pub fn for_each_from(
        &self,
        start: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.store.table_scan_from(self.family.name(), start, each)
    }
}
