//! What the database takes on disk, and the compactions that give space back.

use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::{RocksStore, StoreError, failed};
use crate::blockstore::schema::{self, ADDS, BLOCKS};

/// Bytes of notes that are not left to the log: replaying them takes some ten milliseconds.
const TIDY_FROM: u64 = 4 << 20;

impl RocksStore {
    /// Bytes of all tables and blob files, those included that nobody needs any more and that are not
    /// deleted yet.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for name in schema::ALL {
            for property in [
                "rocksdb.total-sst-files-size",
                "rocksdb.total-blob-file-size",
            ] {
                let value = self.db.property_int_value_cf(self.family(name), property);
                bytes += value.map_err(failed)?.unwrap_or(0);
            }
        }
        Ok(bytes)
    }

    /// Drops deleted keys from the tables; blob files of which nothing is left go with them.
    pub(crate) fn drop_tombstones(&self) -> Result<(), StoreError> {
        self.flush_all()?;
        for name in schema::OF_BLOCKS {
            self.compact(name, BottommostLevelCompaction::IfHaveCompactionFilter);
        }
        Ok(())
    }

    /// Writes all blocks in blob files anew, without those that were removed.
    ///
    /// Only the `oldest` blob files; `None`: all.
    pub(crate) fn rewrite_blobs(&self, oldest: Option<u64>) -> Result<(), StoreError> {
        let share = match (oldest, self.blob_files()?) {
            #[allow(clippy::cast_precision_loss, reason = "numbers of files")]
            (Some(oldest), all) if oldest < all => (oldest as f64 + 0.5) / all as f64,
            _ => 1.0,
        };
        self.set_blob_gc("true", share)?;
        self.compact(BLOCKS, BottommostLevelCompaction::Force);
        // Left on, it would rewrite blobs in each compaction.
        self.set_blob_gc("false", 1.0)
    }

    /// Number of blob files.
    pub(crate) fn blob_files(&self) -> Result<u64, StoreError> {
        let value = self
            .db
            .property_int_value_cf(self.family(BLOCKS), "rocksdb.num-blob-files");
        Ok(value.map_err(failed)?.unwrap_or(0))
    }

    /// `share` of the blob files are rewritten, the oldest ones.
    fn set_blob_gc(&self, on: &str, share: f64) -> Result<(), StoreError> {
        let share = format!("{share:.6}");
        let options = [
            ("enable_blob_garbage_collection", on),
            ("blob_garbage_collection_age_cutoff", share.as_str()),
        ];
        self.db
            .set_options_cf(self.family(BLOCKS), &options)
            .map_err(failed)
    }

    /// At the end of this process: the next one would have to read all that is in the log only, before
    /// it can do anything. Where an add has noted many files, a flush is quicker.
    pub(super) fn tidy_up(&self) {
        let property = rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES;
        let noted = self.db.property_int_value_cf(self.family(ADDS), property);
        // What fails here is in the log still, or was never said to be durable.
        if noted.is_ok_and(|size| size > Some(TIDY_FROM)) && self.durability.check().is_ok() {
            let _ = self.flush_all();
        }
    }

    fn flush_all(&self) -> Result<(), StoreError> {
        self.durability.noting(self.flush(&schema::ALL))
    }

    /// What fails here, for want of room say, changes nothing but that no space comes back; the
    /// library does not tell.
    fn compact(&self, name: &str, bottommost: BottommostLevelCompaction) {
        let mut options = CompactOptions::default();
        // Others' compactions go on beside it.
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(bottommost);
        self.db
            .compact_range_cf_opt(self.family(name), None::<&[u8]>, None::<&[u8]>, &options);
    }
}
