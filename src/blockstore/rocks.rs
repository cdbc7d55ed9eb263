//! [`RocksStore`]: blocks on disk.
//!
//! Invariant: a block, its index entry and its links are there together or not at all, after every
//! crash. `schema` has the bytes, `options` the tuning, `durability` what a commit must do;
//! docs/storage.md has it all on one page.

mod batch;
mod durability;
mod generation;
mod lease;
mod mend;
mod options;
mod quota;
mod refs;
pub(crate) mod rows;
mod space;
mod tables;
mod upgrade;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, ErrorKind, FlushOptions, ReadOptions};

pub(crate) use self::batch::Writer;
use self::durability::{Durability, Pending};
pub use self::lease::Lease;
pub(crate) use self::lease::{Follower, Leases};
use self::options::LogLosses;
pub use self::options::StoreOptions;
use self::quota::MakeRoom;
pub use self::refs::{CloneError, CloneUsage, ClonesHeld};
use self::refs::{Clones, OpenFiles};
pub use self::tables::Change;
pub use self::upgrade::Upgrade;
use super::schema::{self, BLOCKS, Children, Entry, INDEX, LINKS};
use super::{Blockstore, FileId, Indexed, Put, StoreError, Totals, Write};
use crate::block::Block;
use crate::cid::{self, Cid, Codec, Key};
use crate::dag::{self, Link};

/// Log files and bytes that may wait to be replayed at the next open: 16 MiB take some 20 ms.
const REPLAY_FILES_MAX: usize = 16;
const REPLAY_BYTES_MAX: u64 = 16 << 20;

/// Blocks in RocksDB, found by multihash.
///
/// After a failure to write it goes on reading and refuses to write, until it is opened again; after
/// a full disk, until there is room again.
pub struct RocksStore {
    db: DB,
    durability: Durability,
    writer: Mutex<Writer>,
    leases: Arc<Leases>,
    /// Grows with each batch that is read or written.
    traffic: AtomicU64,
    /// Grows after each batch that removes blocks, or marks them as rotten.
    removals: AtomicU64,
    /// Bytes of stored blocks at most; `u64::MAX`: no limit.
    quota: AtomicU64,
    /// Asked when a put would pass the quota.
    room: OnceLock<MakeRoom>,
    /// Users' files that blocks lie in.
    open_files: OpenFiles,
    /// Where clones of users' files are kept, if anywhere.
    clones: OnceLock<Clones>,
}

impl RocksStore {
    /// Opens the database in the directory `path`, or makes one there.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_or(path, options, true)
    }

    /// Opens the database in the directory `path`; an error where there is none, so that a lost one
    /// is never taken for an empty one.
    pub fn open_existing(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_or(path, options, false)
    }

    fn open_or(path: &Path, options: StoreOptions, create: bool) -> Result<Self, StoreError> {
        let losses = LogLosses::default();
        let database = options::database(create, &losses).map_err(failed)?;
        let families = options::families(options);
        let (files, bytes) = logs(path);
        let db = DB::open_cf_descriptors(&database, path, families).map_err(failed)?;
        let store = Self {
            db,
            durability: Durability::default(),
            writer: Mutex::new(Writer {
                sums: schema::Sums::default(),
                generation: 0,
                reserved: 0,
            }),
            traffic: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            leases: Arc::default(),
            quota: AtomicU64::new(u64::MAX),
            room: OnceLock::new(),
            open_files: OpenFiles::default(),
            clones: OnceLock::new(),
        };
        let (sums, generation) = (store.load_sums()?, store.load_generation()?);
        *store.writer() = Writer {
            sums,
            generation,
            reserved: generation,
        };
        if let Some(lost) = losses.take() {
            store.note_log_loss(&lost)?;
        }
        // Opening replays the log and leaves it where it is. Many small adds in a row, each in its
        // own process, pay for tables and blob files once in a while, not each time.
        if files > REPLAY_FILES_MAX || bytes > REPLAY_BYTES_MAX {
            match store.durability.noting(store.flush(&schema::ALL)) {
                // What is there can still be read, and every write will say so again.
                Err(error @ StoreError::Full { .. }) => tracing::warn!("{error}"),
                other => other?,
            }
        }
        Ok(store)
    }

    fn flush(&self, families: &[&str]) -> Result<(), StoreError> {
        let families: Vec<_> = families.iter().map(|name| self.family(name)).collect();
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(failed)
    }

    /// Refuses while nothing can be written. Looks, now and then, whether a disk that was full has room
    /// again: RocksDB does so itself every five seconds.
    fn writable(&self) -> Result<(), StoreError> {
        if let Some(pending) = self.durability.retry(Instant::now())
            && self.durability.noting(self.flush(&schema::ALL)).is_ok()
        {
            self.durability.resume(pending)?;
            tracing::info!("the disk was full and has room again: blocks are written again");
        }
        self.durability.check()
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("every family of the schema is opened with the database")
    }

    /// The leases.
    pub(crate) const fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// What the index says of each block that can be had.
    fn entries(&self, cids: &[&Cid]) -> Result<Vec<Option<Entry>>, StoreError> {
        let keys: Vec<Vec<u8>> = cids.iter().map(|cid| cid.hash().to_bytes()).collect();
        let entries = self.raw_entries(&keys)?.into_iter();
        Ok(entries
            .map(|entry| entry.filter(|entry| entry.is_there()))
            .collect())
    }

    /// A block's bytes, whichever place has them. One in users' files that counts as missing is looked
    /// for again: a disk may have been away.
    fn read_anywhere(&self, cid: &Cid, entry: Entry) -> Result<Option<Bytes>, StoreError> {
        if entry.is_stored() {
            match self.read_block(cid) {
                Err(StoreError::Corrupt { .. }) | Ok(None) if entry.referenced => {}
                other => return other,
            }
        }
        if !entry.referenced {
            return Ok(None);
        }
        self.read_referenced(cid, entry)
    }

    fn read_block(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        let key = cid.hash().to_bytes();
        match self.db.get_pinned_cf(self.family(BLOCKS), &key) {
            // Pinned and copied once; `get_cf` copies twice.
            Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
            Err(error) => {
                let error = unreadable(cid, error);
                if let StoreError::Corrupt { reason, .. } = &error {
                    tracing::warn!(%cid, reason, "a block is corrupt on disk");
                    // Where that cannot be written, the next reader finds out again.
                    if let Err(error) = self.mark_rotten(&[Key::of(cid)]) {
                        tracing::warn!(%cid, %error, "it could not be marked as rotten");
                    }
                }
                Err(error)
            }
        }
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        self.tidy_up();
    }
}

impl Blockstore for RocksStore {
    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.note_traffic();
        let keys: Vec<Vec<u8>> = cids.iter().map(|cid| cid.hash().to_bytes()).collect();
        // One by one: RocksDB's multi-get reads blobs one after another too, and copies them twice.
        cids.iter()
            .zip(self.raw_entries(&keys)?)
            .map(|(cid, entry)| match (cid::identity_data(cid), entry) {
                (Some(data), _) => Ok(Some(Bytes::copy_from_slice(data))),
                (None, Some(entry)) => self.read_anywhere(cid, entry),
                (None, None) => Ok(None),
            })
            .collect()
    }

    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        let entries = self.entries(&cids.iter().collect::<Vec<_>>())?;
        let size = |(cid, entry): (&Cid, Option<Entry>)| match cid::identity_data(cid) {
            Some(data) => u32::try_from(data.len()).ok(),
            None => entry.map(|entry| entry.size),
        };
        Ok(cids.iter().zip(entries).map(size).collect())
    }

    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError> {
        if cid::identity_data(cid).is_none() {
            let Some(entry) = self.entries(&[cid])?.pop().flatten() else {
                return Ok(None);
            };
            if Codec::of(cid)? == Codec::Raw || entry.children == Children::None {
                return Ok(Some(Vec::new()));
            }
            if entry.children == Children::Stored {
                let value = self
                    .db
                    .get_pinned_cf(self.family(LINKS), cid.hash().to_bytes());
                let value = value.map_err(|error| unreadable(cid, error))?;
                let links = value.and_then(|value| schema::decode_links(&value));
                let reason = || "its links are lost".to_owned();
                return links.map(Some).ok_or_else(|| StoreError::Corrupt {
                    cid: *cid,
                    reason: reason(),
                });
            }
        }
        let Some(data) = self.get(cid)? else {
            return Ok(None);
        };
        Ok(Some(dag::links_of(cid, &data)?))
    }

    fn put_many(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        self.put_missing(blocks, write)
    }

    fn put_referenced(
        &self,
        file: FileId,
        blocks: &[(Block, u64)],
        write: Write,
    ) -> Result<Put, StoreError> {
        self.put_references(file, blocks, write)
    }

    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let keys: Vec<Key> = cids.iter().map(Key::of).collect();
        self.remove(&mut self.writer(), &keys)?;
        self.sweep_clones()
    }

    fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.writable()?;
        let pending = self.durability.pending()?;
        let result = match pending {
            Pending::Nothing => Ok(()),
            Pending::Sync(_) => self.db.flush_wal(true).map_err(failed),
            Pending::Flush(_) => self.flush(&schema::OF_BLOCKS),
        };
        self.durability.settle(pending, result)
    }

    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        // One pass over everything must not push out what others need.
        options.fill_cache(false);
        let mut entries = self.db.raw_iterator_cf_opt(self.family(INDEX), options);
        entries.seek_to_first();
        while let Some((key, value)) = entries.item() {
            let malformed = || StoreError::Database {
                reason: "a malformed index entry".into(),
            };
            let key = Key::from_bytes(key).ok_or_else(malformed)?;
            let entry = Entry::decode(value).ok_or_else(malformed)?;
            let indexed = Indexed {
                key,
                size: entry.size,
            };
            if entry.is_there() && !each(indexed) {
                break;
            }
            entries.next();
        }
        entries.status().map_err(failed)
    }

    /// Those in users' files too. Without a walk; rotten ones count until they are put again.
    fn totals(&self) -> Result<Totals, StoreError> {
        let sums = self.sums();
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Totals {
            blocks: number(sums.stored.saturating_add(sums.referenced)),
            bytes: number(sums.stored_bytes.saturating_add(sums.referenced_bytes)),
        })
    }
}

/// Number and bytes of the log files of the database in `path`. What cannot be read is RocksDB's to
/// complain about.
fn logs(path: &Path) -> (usize, u64) {
    let Ok(entries) = std::fs::read_dir(path) else {
        return (0, 0);
    };
    entries
        .flatten()
        .filter(|entry| {
            Path::new(&entry.file_name())
                .extension()
                .is_some_and(|e| e == "log")
        })
        .filter_map(|entry| entry.metadata().ok())
        .fold((0, 0), |(files, bytes), file| {
            (files + 1, bytes + file.len())
        })
}

/// An error of the whole database.
fn failed(error: rocksdb::Error) -> StoreError {
    let reason = error.into_string();
    // The kind is not kept by all of RocksDB's ways to an error.
    if reason.contains("No space left on device") || reason.contains("Disk quota exceeded") {
        StoreError::Full { reason }
    } else if is_damage(&reason) {
        StoreError::Damaged { reason }
    } else {
        StoreError::Database { reason }
    }
}

/// Whether RocksDB says that its files are not what it wrote: changed, or gone.
fn is_damage(reason: &str) -> bool {
    reason.starts_with("Corruption")
        || reason.contains("No such file or directory")
        || reason.contains("CURRENT file")
}

/// An error of reading one block.
fn unreadable(cid: &Cid, error: rocksdb::Error) -> StoreError {
    if error.kind() == ErrorKind::Corruption {
        StoreError::Corrupt {
            cid: *cid,
            reason: error.into_string(),
        }
    } else {
        failed(error)
    }
}

#[cfg(test)]
mod tests;
