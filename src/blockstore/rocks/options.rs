//! How RocksDB is set up, and why: measured with 4 GiB of blocks of 256 KiB and 1 MiB on two cores.

use std::sync::{Arc, Mutex, PoisonError};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode,
    InfoLogger, LogLevel, Options,
};

use super::super::schema;

/// How much memory the store may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Slower bulk writes, for a process that must stay under 200 MiB: at most 48 MiB of memtables
    /// and 8 MiB of cache, instead of 256 and 64.
    pub low_memory: bool,
}

/// What differs between the two.
struct Sizes {
    memtable: usize,
    memtables: i32,
    cache: usize,
}

impl StoreOptions {
    const fn sizes(self) -> Sizes {
        if self.low_memory {
            Sizes {
                memtable: 16 << 20,
                memtables: 3,
                cache: 8 << 20,
            }
        } else {
            // Blob files are cut by the memtable. 128 MiB was slower and takes twice the memory.
            Sizes {
                memtable: 64 << 20,
                memtables: 4,
                cache: 64 << 20,
            }
        }
    }
}

/// Values from this size up go to blob files, outside the tree that compaction rewrites. Smaller
/// ones, mostly inner nodes, stay inline.
const BLOB_FROM: u64 = 4096;
/// Open files: tables and blob files are opened again when needed. Beside them a process needs
/// descriptors for its connections, and 1,024 is the usual limit.
const OPEN_FILES: i32 = 512;

/// What replaying the log passed over, as RocksDB tells it in its own log and nowhere else.
#[derive(Clone, Debug, Default)]
pub(super) struct LogLosses(Arc<Mutex<Vec<String>>>);

impl LogLosses {
    /// Lines that are remembered: the first ones say where it was.
    const MAX: usize = 8;

    fn note(&self, line: &str) {
        // `db_impl_open.cc`: "FILE: dropping N bytes; Corruption: REASON".
        if !(line.contains(": dropping ") && line.contains("Corruption")) {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < Self::MAX {
            // Behind the file and line of RocksDB's source, and without the directory.
            let text = line.rsplit('/').next().unwrap_or(line);
            lines.push(text.to_owned());
        }
    }

    /// All of them, on one line; `None` where there are none.
    pub(super) fn take(&self) -> Option<String> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// The options of the whole database.
pub(super) fn database(create: bool, losses: &LogLosses) -> Result<Options, rocksdb::Error> {
    // These have no setter of their own in the crate.
    let mut db = Options::default().get_options_from_string(EXTRA)?;
    db.create_if_missing(create);
    // A later version adds families to an old database.
    db.create_missing_column_families(true);
    // Two of these flush: with one, that thread is the limit of a bulk write.
    db.set_max_background_jobs(8);
    // Blocks written past the log and their index entries survive together or not at all: without
    // this, kill -9 left 4,845 blocks without an entry.
    db.set_atomic_flush(true);
    // No burst of writeback at the end of each file.
    db.set_bytes_per_sync(1 << 20);
    db.set_wal_bytes_per_sync(1 << 20);
    db.set_max_total_wal_size(256 << 20);
    // The default, stated: replay stops at the first record that is not whole.
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_max_open_files(OPEN_FILES);
    // By default sixteen threads are started for each family, to open what is mostly one file.
    db.set_max_file_opening_threads(1);
    // Opening reads no table for the sake of compaction statistics.
    db.set_skip_stats_update_on_db_open(true);
    // No thread that wakes up to write statistics that nobody reads.
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db.set_info_logger(logger(losses.clone()));
    Ok(db)
}

/// Opening replays the log into memtables and flushes them only when there is much of it: see
/// `RocksStore::open`. The identity is in the manifest, a file of its own would be two more
/// syncs. Logs are not preallocated: 70 MiB to give back at the end of each small add.
const EXTRA: &str = "avoid_flush_during_recovery=true;write_identity_file=false;\
    allow_fallocate=false";

/// RocksDB's log goes where ours goes: its own file would grow beside the data and is never synced.
fn logger(losses: LogLosses) -> InfoLogger {
    let wanted = if tracing::enabled!(tracing::Level::DEBUG) {
        LogLevel::Info
    } else {
        LogLevel::Warn
    };
    InfoLogger::new_callback_logger(wanted, move |level, text| {
        let text = text.trim_end();
        losses.note(text);
        match level {
            LogLevel::Fatal | LogLevel::Error => tracing::error!("rocksdb: {text}"),
            // Its warnings are about its own pace; what an operator must know comes as an error.
            LogLevel::Warn | LogLevel::Info | LogLevel::Header => {
                tracing::debug!("rocksdb: {text}");
            }
            LogLevel::Debug => tracing::trace!("rocksdb: {text}"),
        }
    })
}

/// Every family, each with its options.
pub(super) fn families(options: StoreOptions) -> Vec<ColumnFamilyDescriptor> {
    let Sizes {
        memtable,
        memtables,
        cache,
    } = options.sizes();
    let cache = Cache::new_lru_cache(cache);
    // Flushed all together, each family queues as many memtables as `blocks` does: with fewer, the
    // small ones would stop the writes of all.
    let family = |memtable| self::family(&cache, memtable, memtables, true);
    // A few rows, each of which is there when it is asked for: a filter would only be one more place in
    // which a bit can flip that nobody reads.
    let small = || self::family(&cache, 4 << 20, memtables, false);
    let mut blocks = family(memtable);
    blocks.set_enable_blob_files(true);
    blocks.set_min_blob_size(BLOB_FROM);
    blocks.set_blob_file_size(256 << 20);
    // When blob files are rewritten: a block at a time costs a disk seek each.
    blocks.set_blob_compaction_readahead_size(2 << 20);
    // Always off: it rewrote up to 3.9 bytes for each byte written, without one delete. Whoever
    // deletes much switches it on for one compaction.
    blocks.set_enable_blob_gc(false);
    let mut meta = small();
    // Each batch adds to the sums, whoever writes it and whatever a crash takes away: what is left is
    // the sum of what is left.
    meta.set_merge_operator_associative("sums", |_, value, more| Some(add(value, more)));
    vec![
        ColumnFamilyDescriptor::new(schema::BLOCKS, blocks),
        ColumnFamilyDescriptor::new(schema::INDEX, family(memtable / 4)),
        ColumnFamilyDescriptor::new(schema::LINKS, family(memtable / 4)),
        ColumnFamilyDescriptor::new(schema::PARENTS, family(memtable / 4)),
        ColumnFamilyDescriptor::new(schema::REFS, family(4 << 20)),
        ColumnFamilyDescriptor::new(schema::ADDS, family(4 << 20)),
        ColumnFamilyDescriptor::new(schema::CACHE, family(4 << 20)),
        ColumnFamilyDescriptor::new(schema::KEEP, family(4 << 20)),
        ColumnFamilyDescriptor::new(schema::ROOTS, small()),
        ColumnFamilyDescriptor::new(schema::PEERS, small()),
        ColumnFamilyDescriptor::new(schema::PROVIDERS, small()),
        ColumnFamilyDescriptor::new(schema::PIN_RECORDS, family(memtable / 4)),
        ColumnFamilyDescriptor::new(schema::META, meta),
    ]
}

fn add(value: Option<&[u8]>, more: &rocksdb::MergeOperands) -> Vec<u8> {
    let mut sums = value.map(schema::Sums::decode).unwrap_or_default();
    for more in more {
        sums += schema::Sums::decode(more);
    }
    sums.encode()
}

fn family(cache: &Cache, memtable: usize, memtables: i32, filter: bool) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    // Ten bits a key: 1 % of the questions for a missing block read a table in vain.
    if filter {
        table.set_bloom_filter(10.0, false);
    }
    // In the cache's bound, not beside it: 12 MiB of filters for ten million blocks.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut family = Options::default();
    // Blocks are incompressible; RocksDB would want Snappy by default, which is not built in.
    family.set_compression_type(DBCompressionType::None);
    family.set_write_buffer_size(memtable);
    family.set_max_write_buffer_number(memtables);
    family.set_block_based_table_factory(&table);
    family
}
