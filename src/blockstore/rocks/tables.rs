//! The families beside the blocks, for pins and records: plain keys and values.

use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use super::durability::Pending;
use super::{Blockstore, RocksStore, StoreError, failed};

/// Rows that are passed over before the next key is searched for: a search costs as much.
const STEPS_MAX: usize = 8;

/// A change of one key: its new value, or `None` to delete it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

impl RocksStore {
    pub(crate) fn table_get(
        &self,
        family: &str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family), key).map_err(failed)
    }

    /// The values of many keys, in their order. Made for keys that stand near each other: it goes from
    /// one to the next instead of searching for each.
    pub(crate) fn table_get_many(
        &self,
        family: &str,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by(|&a, &b| keys[a].cmp(&keys[b]));
        let mut values = vec![None; keys.len()];
        let options = ReadOptions::default();
        let mut rows = self.db.raw_iterator_cf_opt(self.family(family), options);
        for at in order {
            let wanted = keys[at].as_slice();
            let mut steps = 0;
            while steps < STEPS_MAX && rows.key().is_some_and(|key| key < wanted) {
                rows.next();
                steps += 1;
            }
            if steps == STEPS_MAX || !rows.valid() {
                rows.seek(wanted);
            }
            if rows.key() == Some(wanted) {
                values[at] = rows.value().map(<[u8]>::to_vec);
            }
        }
        rows.status().map_err(failed)?;
        Ok(values)
    }

    /// Writes all changes in one atomic batch, through the log, without a sync.
    pub(crate) fn table_write(&self, family: &str, changes: &[Change]) -> Result<(), StoreError> {
        self.writable()?;
        let batch = self.table_batch(family, changes);
        self.durability.noting(self.db.write(batch).map_err(failed))
    }

    /// Writes all changes in one atomic batch and syncs it. Before that, every block that was put
    /// before this call is made durable: what is written here never outlives the blocks that it
    /// speaks of.
    pub(crate) fn table_write_durably(
        &self,
        family: &str,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        self.writable()?;
        let mut pending = self.durability.pending()?;
        if let Pending::Flush(mark) = pending {
            self.commit()?;
            pending = Pending::Sync(mark);
        }
        let mut options = WriteOptions::default();
        // Syncs the log up to here, and with it all logged blocks: they need no sync of their own.
        options.set_sync(true);
        let batch = self.table_batch(family, changes);
        let result = self.db.write_opt(batch, &options).map_err(failed);
        self.durability.settle(pending, result)
    }

    /// Makes durable what was put past the log. What the log has is durable before whatever is
    /// written after it.
    pub fn commit_unlogged(&self) -> Result<(), StoreError> {
        self.writable()?;
        match self.durability.pending()? {
            Pending::Flush(_) => self.commit(),
            Pending::Nothing | Pending::Sync(_) => Ok(()),
        }
    }

    /// Makes all earlier [`RocksStore::table_write`]s durable.
    pub(crate) fn table_sync(&self) -> Result<(), StoreError> {
        self.writable()?;
        self.durability
            .noting(self.db.flush_wal(true).map_err(failed))
    }

    /// Calls `each` with all keys that begin with `prefix` and their values, in key order, until it
    /// returns `false`.
    pub(crate) fn table_scan(
        &self,
        family: &str,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.table_scan_from(family, prefix, &mut |key, value| {
            key.starts_with(prefix) && each(key, value)
        })
    }

    /// Whether any key begins with `prefix`.
    pub(crate) fn table_has(&self, family: &str, prefix: &[u8]) -> Result<bool, StoreError> {
        let mut any = false;
        self.table_scan(family, prefix, &mut |_, _| {
            any = true;
            false
        })?;
        Ok(any)
    }

    /// Calls `each` with all keys from `start` on and their values, in key order, until it returns
    /// `false`.
    pub(crate) fn table_scan_from(
        &self,
        family: &str,
        start: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let options = ReadOptions::default();
        let mut rows = self.db.raw_iterator_cf_opt(self.family(family), options);
        rows.seek(start);
        while let Some((key, value)) = rows.item() {
            if !each(key, value) {
                break;
            }
            rows.next();
        }
        rows.status().map_err(failed)
    }

    fn table_batch(&self, family: &str, changes: &[Change]) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put_cf(self.family(family), key, value),
                None => batch.delete_cf(self.family(family), key),
            }
        }
        batch
    }
}
