//! [`Log`]: what an add has done so far: how far it is, what it left out, and what is remembered of the
//! files that are complete.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::adds::Adds;
use store::blockstore::{Blockstore, Change, RocksStore, StoreError};
use store::unixfs::Name;
use store::unixfs::import::{self, ImportError, Watch};
use store::unixfs::origin::{Origin, now};
use store::unixfs::output::BuildError;

use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Failure, FailureKind, Item, Progress, Skipped};

/// Entries that are named at most; the others are counted.
const NAMED_MAX: usize = 1000;

/// Follows one add.
pub(super) struct Log<'a> {
    blocks: &'a Arc<RocksStore>,
    adds: Option<&'a Adds>,
    /// When the add began, before it looked at any file, in nanoseconds since 1970.
    began: i64,
    progress: Mutex<Progress>,
    /// Of files whose blocks are not all durable yet.
    rows: Mutex<Vec<Change>>,
    skipped: Mutex<Vec<Skipped>>,
    skipped_count: AtomicU64,
    entries: AtomicU64,
    bytes_read: AtomicU64,
}

impl<'a> Log<'a> {
    pub(super) fn new(blocks: &'a Arc<RocksStore>, adds: Option<&'a Adds>) -> Self {
        Self {
            blocks,
            adds,
            began: now(),
            progress: Mutex::default(),
            rows: Mutex::default(),
            skipped: Mutex::default(),
            skipped_count: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
        }
    }

    /// What was added before; `None` where nothing is stored.
    pub(super) const fn adds(&self) -> Option<&'a Adds> {
        self.adds
    }

    /// How far it is.
    pub(super) fn now(&self) -> Progress {
        locked(&self.progress).clone()
    }

    /// An entry is there to be added.
    pub(super) fn entry(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes more of files were read.
    pub(super) fn read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of files that were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Something is left out.
    pub(super) fn skip(&self, skipped: Skipped) {
        self.skipped_count.fetch_add(1, Ordering::Relaxed);
        let mut named = locked(&self.skipped);
        if named.len() < NAMED_MAX {
            named.push(skipped);
        }
    }

    /// The failure of an add that could add nothing of what it was given.
    pub(super) fn nothing_added(&self) -> Option<Failure> {
        let count = self.skipped_count.load(Ordering::Relaxed);
        if count == 0 || self.entries.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let skipped = locked(&self.skipped);
        let first = skipped.first().map_or("", |first| first.skipped.as_str());
        let message = match count {
            1 => first.to_owned(),
            _ => format!("{first}; nor can {} more be added", count - 1),
        };
        Some(failure(FailureKind::Error, message))
    }

    /// Tells the client what was left out; a failure if that was anything.
    pub(super) fn tell_skipped(&self, speaker: &Speaker) -> Result<(), Failure> {
        let count = self.skipped_count.load(Ordering::Relaxed);
        for skipped in locked(&self.skipped).drain(..) {
            speaker.item(Item::Skipped(skipped))?;
        }
        let what = match count {
            0 => return Ok(()),
            1 => "one entry".to_owned(),
            count => format!("{count} entries"),
        };
        let message = format!("{what} could not be added; all the rest was");
        Err(failure(FailureKind::Partial, message))
    }

    /// Writes what is remembered. All blocks must be durable, or in the log.
    pub(super) fn write(&self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut *locked(&self.rows));
        self.adds.map_or(Ok(()), |adds| adds.write(&rows))
    }

    /// Whether a file may be remembered: not if it could change again without a trace.
    fn is_settled(&self, origin: &Origin) -> bool {
        origin.identity.is_settled(self.began)
    }

    fn remember(&self, rows: Result<Vec<Change>, StoreError>) {
        match rows {
            Ok(rows) => locked(&self.rows).extend(rows),
            Err(error) => tracing::warn!(%error, "a file that was added is not remembered"),
        }
    }
}

impl Watch for Log<'_> {
    fn progress(&self, now: import::Progress) {
        let mut progress = locked(&self.progress);
        (progress.bytes, progress.files) = (now.bytes, now.files);
    }

    fn unreadable(&self, path: String, error: io::Error) -> Result<(), ImportError> {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return Err(ImportError::Read { path, error });
        }
        // It counted as there when it came.
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.skip(Skipped {
            path: Name::from(path.as_str()),
            skipped: format!("cannot read `{path}`: {error}"),
        });
        Ok(())
    }

    fn file(&self, file: import::File) {
        if let Some(adds) = self.adds
            && self.is_settled(&file.origin)
        {
            self.remember(adds.complete(&file));
        }
    }

    fn stored(&self, begun: Option<import::Begun<'_>>) -> Result<(), ImportError> {
        let Some(adds) = self.adds else { return Ok(()) };
        let begun = begun.filter(|begun| self.is_settled(begun.origin));
        let part = begun.map(|begun| adds.part(begun));
        self.remember(Ok(part.into_iter().collect()));
        if locked(&self.rows).is_empty() {
            return Ok(());
        }
        // Never a row before its blocks.
        let written = self.blocks.commit().and_then(|()| self.write());
        written.map_err(|error| BuildError::from(error).into())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section is one or two calls on what is in it: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
