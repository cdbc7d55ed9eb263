//! [`import`]: a tree of entries becomes a DAG in a store.
//!
//! ```text
//! reader (the caller's thread)     hash workers             collector
//! entries -> chunks -> batches --> chunks -> leaf blocks --> order -> layout -> put
//!             ^                                                |
//!             '---------------- permits, one a batch <---------'
//! ```
//!
//! Chunks are independent, so they are hashed many at a time on all cores; the layout needs only
//! their CIDs and sizes, in order. A batch needs a permit, and there are only as many as the memory
//! is good for: a slow disk makes the reader wait. Beside the chunks only the names and CIDs of the
//! directories that are not complete yet are kept in memory, about 70 bytes and its name an entry.

mod batch;
mod collect;
mod hash;
mod read;
mod watch;

use std::io::{self, Read};
use std::thread;

use crossbeam_channel as channel;

use self::batch::{Hashed, Raw};
use self::collect::Collector;
pub use self::watch::{Begun, File, STORED_EVERY, Watch};
use super::data::{Kind, Metadata};
use super::entry::Entry;
use super::name::{Name, UnsafeName};
use super::output::{BuildError, Output, WRITE_BATCH};
use super::profile::Profile;
use super::source::SourceError;
use crate::blockstore::Blockstore;
use crate::cid::Cid;
use crate::extract::MAX_DEPTH;

/// Hashing more chunks together is no faster: they fill all vector lanes of a core.
const BATCH_CHUNKS: usize = 16;

/// The most directories in each other: what is added can be written out, in a wrapping one, too.
const MAX_DIRS: usize = MAX_DEPTH - 1;

/// What a tree becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Every choice that changes CIDs, but for the next three.
    pub profile: Profile,
    /// Whether to put everything into one directory more, so that the names at the top are kept.
    pub wrap: bool,
    /// What the node of that directory says of it.
    pub wrapper: Metadata,
    /// Whether to add directories without entries; one at the top always is.
    pub empty_dirs: bool,
    /// Bytes of chunks in flight. It cannot be less than a write batch and two chunks.
    pub memory: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            wrap: false,
            wrapper: Metadata::NONE,
            empty_dirs: true,
            memory: 64 << 20,
        }
    }
}

/// One thing that was added at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its name; empty for the directory that wraps all.
    pub name: Name,
    /// Its root.
    pub cid: Cid,
    /// Bytes of the file, of all files in the directory, or of the symlink's target.
    pub size: u64,
    /// What it is: a file, directory or symlink.
    pub kind: Kind,
}

/// How far an import has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of files that were hashed and handed to the store.
    pub bytes: u64,
    /// Files, directories not counted.
    pub files: u64,
}

/// Why nothing was added. Blocks may be in the store, but no root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The entries could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file could not be read to its end.
    #[error("cannot read `{path}`: {error}")]
    Read {
        /// The file, from the top of what is added.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A name that nobody could get again.
    #[error(transparent)]
    Name(#[from] UnsafeName),
    /// Two entries of one name in one directory.
    #[error("two entries are named `{path}`")]
    Duplicate {
        /// The entry, from the top of what is added.
        path: String,
    },
    /// More directories in each other than could be written out again.
    #[error("directories are more than {MAX_DIRS} deep in each other")]
    TooDeep,
    /// A directory that does not end, or an end without one.
    #[error("the entries end in the middle of a directory")]
    Unbalanced,
    /// The blocks could not be made or stored.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Adds a tree to `store`, or only finds its CIDs where there is none. Gives one [`Added`] for each
/// entry at the top in their order, or one for the directory that wraps them.
///
/// It neither commits nor pins: the caller does, in this order. An entry that is an error, a file that
/// cannot be read or a store that fails ends the import with all its threads. `progress` is called
/// from one thread, in order.
pub fn import<R: Read + Send>(
    store: Option<&dyn Blockstore>,
    options: &ImportOptions,
    entries: impl Iterator<Item = Result<Entry<R>, SourceError>> + Send,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Added>, ImportError> {
    import_watched(store, options, entries, &watch::Silent(progress))
}

/// [`import`], with all that can be told of it.
pub fn import_watched<R: Read + Send>(
    store: Option<&dyn Blockstore>,
    options: &ImportOptions,
    entries: impl Iterator<Item = Result<Entry<R>, SourceError>> + Send,
    watch: &dyn Watch,
) -> Result<Vec<Added>, ImportError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan::new(options, workers);
    let profile = options.profile;
    // Every channel has room for all batches that have a permit: only permits are waited for.
    let (permit, permits) = channel::bounded(plan.batches);
    let (raw, to_hash) = channel::bounded::<Raw>(plan.batches);
    let (hashed, to_collect) = channel::bounded::<Hashed>(plan.batches);
    for () in std::iter::repeat_n((), plan.batches) {
        permit
            .send(())
            .expect("the receiver is here, and there is room");
    }
    thread::scope(|scope| {
        for _ in 0..workers {
            let (to_hash, hashed) = (to_hash.clone(), hashed.clone());
            scope.spawn(move || hash::work(&profile, &to_hash, &hashed));
        }
        // Whoever is left alone ends: each end of a channel belongs to its threads only.
        drop((to_hash, hashed));
        let collector = Collector::new(Output::new(store), options, watch);
        let collector = scope.spawn(move || collector.run(&to_collect, &permit));
        let read = read::Reader::new(&plan, options, raw, permits, watch).run(entries);
        let collected = collector
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (read, collected) {
            // The collector is why the reader stopped, or what it saw is not all.
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(added)) => Ok(added),
        }
    })
}

/// How memory is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// Bytes of chunks in one batch at most.
    batch: usize,
    /// Batches at once.
    batches: usize,
}

impl Plan {
    /// A batch for each worker, one that is read and one that is written, as large as is of use.
    fn new(options: &ImportOptions, workers: usize) -> Self {
        let chunk = options.profile.chunker.max_size();
        let memory = options.memory.saturating_sub(WRITE_BATCH);
        let batch = (memory / (workers + 2)).clamp(chunk, chunk * BATCH_CHUNKS);
        // Twice as many where there is memory, so that nobody waits for a slower neighbour.
        let batches = (memory / batch).clamp(2, 2 * (workers + 2));
        Self { batch, batches }
    }
}

/// A path for people.
fn joined<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names = names.filter(|name| !name.as_bytes().is_empty());
    names.map(ToString::to_string).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
