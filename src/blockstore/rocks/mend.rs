//! Mending what a scrub or a check found: each change is made by the writer, who looks again first.

use std::path::Path;

use rocksdb::WriteBatch;
use rocksdb::checkpoint::Checkpoint;

use super::batch::Batch;
use super::{RocksStore, failed};
use crate::block::Block;
use crate::blockstore::schema::{self, BLOCKS, Entry, INDEX, LINKS, META, PARENTS};
use crate::blockstore::{Blockstore, StoreError, Write};
use crate::cid::{Codec, Key};
use crate::scrub::cid_of;

/// Bytes of the log's losses that are kept: they are for people.
const LOSSES_MAX: usize = 2048;

impl RocksStore {
    /// Notes that the bytes of these blocks are what they should be after all.
    pub(crate) fn unmark_rotten(&self, keys: &[Key]) -> Result<(), StoreError> {
        let _writer = self.writer();
        let mut batch = WriteBatch::default();
        for (key, entry) in keys.iter().zip(self.raw_entries(keys)?) {
            if let Some(entry) = entry.filter(|entry| entry.rotten) {
                let entry = Entry {
                    rotten: false,
                    ..entry
                };
                batch.put_cf(self.family(INDEX), key.as_bytes(), entry.encode());
            }
        }
        self.mending(batch)
    }

    /// Removes the bytes of a block that the index does not know, and its links with what they hold.
    /// Whether there was anything.
    pub(crate) fn remove_orphan(&self, key: &[u8]) -> Result<bool, StoreError> {
        let _writer = self.writer();
        let known = self.db.get_pinned_cf(self.family(INDEX), key);
        if known.map_err(failed)?.is_some() {
            return Ok(false);
        }
        let mut batch = WriteBatch::default();
        self.unlink(key, &mut batch)?;
        batch.delete_cf(self.family(BLOCKS), key);
        self.mending(batch)?;
        Ok(true)
    }

    /// Makes an entry anew that cannot be read, or is not true of its bytes: all that is known of a
    /// block follows from them.
    pub(crate) fn index_again(&self, key: &[u8], data: &bytes::Bytes) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let old = self.raw_entries(&[key]).map(|mut old| old.pop().flatten());
        let mut batch = Batch::default();
        self.unlink(key, &mut batch.writes)?;
        let known = old.as_ref().ok().copied().flatten();
        let born = known.map_or(writer.generation, |old| old.born);
        let entry = Entry {
            referenced: known.is_some_and(|old| old.referenced),
            ..batch.describe(self, data, key, born)
        };
        batch.replace(self, key, known, entry);
        self.write_batch(&mut writer, batch, Write::Logged)?;
        drop(writer);
        if old.is_err() {
            // Nobody knows what it counted for.
            self.count_again()?;
        }
        Ok(())
    }

    /// Remembers, until somebody has looked, that the log was cut off when it was replayed. After a loss
    /// of power that is as it should be: what was not synced may be cut. Otherwise what was
    /// acknowledged may be lost with it.
    pub(super) fn note_log_loss(&self, lost: &str) -> Result<(), StoreError> {
        tracing::warn!(lost, "the log was not whole; `store repo check` says more");
        let mut text = self.table_get(META, schema::LOG_LOSS)?.unwrap_or_default();
        if text.len() < LOSSES_MAX {
            if !text.is_empty() {
                text.extend(b"; ");
            }
            text.extend(lost.as_bytes());
            match self.table_write(META, &[(schema::LOG_LOSS.to_vec(), Some(text))]) {
                // What is there can still be read, and every write will say so again.
                Err(StoreError::Full { .. }) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Links the database's files into the new directory `path`, as they are at one moment: all that
    /// was committed before is in them. Without the log: what is in it only came later, and may be a
    /// pin whose blocks are in no file yet.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        self.commit()?;
        self.durability.noting(self.flush(&schema::ALL))?;
        let checkpoint = Checkpoint::new(&self.db).map_err(failed)?;
        checkpoint.create_checkpoint(path).map_err(failed)?;
        let unreadable = |error: std::io::Error| StoreError::Database {
            reason: format!("cannot look into `{}`: {error}", path.display()),
        };
        for entry in std::fs::read_dir(path).map_err(unreadable)?.flatten() {
            let file = entry.path();
            if file.extension().is_some_and(|extension| extension == "log") {
                std::fs::remove_file(&file).map_err(unreadable)?;
            }
        }
        Ok(())
    }

    /// Makes anew what follows from a block's bytes. Where they are not right, and the index does not
    /// know the block, its links go. Whether anything was done.
    pub(crate) fn mend(&self, key: &[u8]) -> Result<bool, StoreError> {
        let data = self.db.get_cf(self.family(BLOCKS), key).ok().flatten();
        let cid = Key::from_bytes(key).and_then(|key| cid_of(&key, Codec::Raw));
        let block = data.zip(cid);
        match block.and_then(|(data, cid)| Block::verify(cid, data.into()).ok()) {
            Some(block) => self.index_again(key, block.data()).map(|()| true),
            None => self.remove_orphan(key),
        }
    }

    /// Removes a block that counts as missing. Whether there was one.
    pub(crate) fn forget(&self, key: &Key) -> Result<bool, StoreError> {
        let mut writer = self.writer();
        let entry = self.raw_entries(&[key])?.pop().flatten();
        if entry.is_none_or(Entry::is_there) {
            return Ok(false);
        }
        self.remove(&mut writer, std::slice::from_ref(key))?;
        Ok(true)
    }

    /// Asks each table for a key that it does not have: what only such questions read, its filter, is
    /// read too. The tables that cannot be read, and why.
    pub(crate) fn probe_tables(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut damaged = Vec::new();
        for file in self.db.live_files().map_err(failed)? {
            let Some(family) = self.db.cf_handle(&file.column_family_name) else {
                continue;
            };
            let first = file.start_key.unwrap_or_default();
            let absent = super::rows::after(&first);
            let read = |key: &[u8]| self.db.get_pinned_cf(family, key).map(drop);
            // A table of one row is not asked for any other key.
            if let Err(error) = read(&absent).and_then(|()| read(&first)) {
                let name = file.name.trim_start_matches('/').to_owned();
                let name = format!("{name} of family `{}`", file.column_family_name);
                damaged.push((name, error.into_string()));
            }
        }
        Ok(damaged)
    }

    /// Deletes the links of a node, and the rows that say what it holds. Where its links cannot be
    /// read, those rows are found by `check`.
    fn unlink(&self, key: &[u8], batch: &mut WriteBatch) -> Result<(), StoreError> {
        let links = self.db.get_pinned_cf(self.family(LINKS), key);
        if let Some(links) = links.map_err(failed)? {
            for child in schema::held(&schema::decode_links(&links).unwrap_or_default()) {
                batch.delete_cf(self.family(PARENTS), schema::parent_row(&child, key));
            }
            batch.delete_cf(self.family(LINKS), key);
        }
        Ok(())
    }

    fn mending(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.durability
            .write(Write::Logged, || self.db.write(batch).map_err(failed))
    }
}
