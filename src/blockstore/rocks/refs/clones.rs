//! Clones: files of the repo's own that share their bytes with files of the user's, on file systems that
//! can (btrfs, XFS and some others). Blocks are referred to in them as in users' files, but nobody changes
//! them.
//!
//! A clone's number has the highest bit set, and is its name. Beside the rows of [`super::rows`]:
//!
//! ```text
//! 'c' | file: u64 | multihash | offset: u64    nothing: a block that is referred to in this clone
//! 'x' | file: u64                              nothing: a clone of which it must be looked whether
//!                                              anything is referred to in it
//! ```
//!
//! Invariants: a clone is durable before any block is referred to in it, so what is read from one is
//! what was added. Its row `x` is there from before the file until blocks are referred to in it, and
//! again once one of them is removed; [`RocksStore::sweep_clones`] removes those that nothing needs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{RocksStore, rows};
use crate::blockstore::schema::REFS;
use crate::blockstore::{FileId, FileState, ReferencedFile, StoreError};
use crate::cid::Cid;
use crate::unixfs::Name;
use crate::unixfs::origin::{Identity, Origin};

/// Numbers from here on are clones'.
pub(super) const FIRST: u64 = 1 << 63;
/// The extension of one that is being made.
const NEW: &str = "new";
/// Clones that are looked at together.
const TOGETHER: usize = 256;

/// Why a file was not cloned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloneError {
    /// It cannot be.
    #[error("it cannot be cloned into the repo: {reason}")]
    Unsupported {
        /// Why.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} a clone of it: {error}")]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CloneError {
    fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let reason = format!("cannot {action} a clone: {error}");
                StoreError::Full { reason }.into()
            }
            _ => Self::Io { action, error },
        }
    }
}

/// Where clones are.
#[derive(Debug)]
pub(in super::super) struct Clones {
    dir: PathBuf,
    /// How many [`ClonesHeld`] there are.
    held: Mutex<usize>,
}

impl Clones {
    fn held(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, file: FileId) -> PathBuf {
        self.dir.join((file.0 - FIRST).to_string())
    }

    fn name(&self, file: FileId) -> Name {
        self.path(file).into_os_string().into()
    }
}

/// While it lives, no clone is removed.
pub struct ClonesHeld<'a>(&'a RocksStore);

impl std::fmt::Debug for ClonesHeld<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClonesHeld").finish_non_exhaustive()
    }
}

impl Drop for ClonesHeld<'_> {
    fn drop(&mut self) {
        if let Some(clones) = self.0.clones.get() {
            let mut held = clones.held();
            *held = held.saturating_sub(1);
        }
        // What was cloned and came to nothing goes.
        if let Err(error) = self.0.sweep_clones() {
            tracing::warn!(%error, "clones that nothing needs could not be removed");
        }
    }
}

/// What clones take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneUsage {
    /// How many there are.
    pub files: u64,
    /// Their bytes; shared with the files that they are clones of, as far as those are what they were.
    pub bytes: u64,
}

pub(super) const fn is_clone(file: FileId) -> bool {
    file.0 >= FIRST
}

impl RocksStore {
    /// Clones are kept in the directory `dir` from now on. What a crash has left there is removed.
    pub(crate) fn keep_clones_in(&self, dir: PathBuf) -> Result<(), StoreError> {
        let clones = self.clones.get_or_init(|| Clones {
            dir,
            held: Mutex::new(0),
        });
        let next = self.next_clone()?;
        let entries = fs::read_dir(&clones.dir).into_iter().flatten().flatten();
        for entry in entries {
            // The row of a clone is written before it: a crash may lose the last rows, and no others.
            let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
            if number.is_none_or(|n: u64| n >= next.0 - FIRST) {
                remove_file(&entry.path());
            }
        }
        // On a full disk, say, what is there can still be read.
        if let Err(error) = self.sweep_clones() {
            tracing::warn!(%error, "clones that nothing needs could not be removed");
        }
        Ok(())
    }

    /// Keeps all clones while it lives: whoever makes one takes this first, and holds it until all
    /// blocks in it are referred to.
    #[must_use]
    pub fn hold_clones(&self) -> ClonesHeld<'_> {
        if let Some(clones) = self.clones.get() {
            *clones.held() += 1;
        }
        ClonesHeld(self)
    }

    /// Clones `source`, a plain file: its number, and the clone, open at its beginning. Durable.
    ///
    /// # Errors
    /// [`CloneError::Unsupported`] where the file system has no clones, or `source` is on another
    /// one than the repo.
    pub fn clone_file(
        &self,
        source: &File,
        _held: &ClonesHeld<'_>,
    ) -> Result<(FileId, File), CloneError> {
        let clones = self.clones.get().ok_or(CloneError::Unsupported {
            reason: "this store has no directory for clones",
        })?;
        let found = source.metadata().map_err(CloneError::io("make"))?;
        let mut position = source;
        let at = position.stream_position();
        if !found.is_file() || at.ok() != Some(0) {
            let reason = "it is no plain file that is read from its beginning";
            return Err(CloneError::Unsupported { reason });
        }
        make_dir(&clones.dir).map_err(CloneError::io("make a directory for"))?;
        let file = self.number_clone(&found)?;
        let path = clones.path(file);
        let made = make(&path, source);
        if made.is_err() {
            remove_file(&path);
            let rows = [(rows::file_key(file), None), (rows::doubt_key(file), None)];
            self.table_write(REFS, &rows)?;
        }
        Ok((file, made?))
    }

    /// Gives a clone its number and rows.
    fn number_clone(&self, source: &fs::Metadata) -> Result<FileId, StoreError> {
        // Only one thread at a time gives numbers.
        let _writer = self.writer();
        let file = self.next_clone()?;
        let row = ReferencedFile {
            state: FileState::Whole,
            origin: Origin {
                path: Name::default(),
                identity: Identity::of(source),
            },
            target: None,
        };
        let rows = [
            (rows::file_key(file), Some(rows::encode_file(&row))),
            (rows::doubt_key(file), Some(Vec::new())),
        ];
        self.table_write(REFS, &rows)?;
        Ok(file)
    }

    /// A number that no clone has.
    fn next_clone(&self) -> Result<FileId, StoreError> {
        let last = self.last_file(u64::MAX)?;
        let last = last.filter(|&last| is_clone(last));
        Ok(FileId(last.map_or(FIRST, |FileId(last)| last + 1)))
    }

    /// The file with the greatest number up to `limit`.
    pub(super) fn last_file(&self, limit: u64) -> Result<Option<FileId>, StoreError> {
        let mut files = self.db.raw_iterator_cf(self.family(REFS));
        files.seek_for_prev(rows::file_key(FileId(limit)));
        let last = files.key().and_then(rows::file_of_key);
        files.status().map_err(super::super::failed)?;
        Ok(last)
    }

    /// The greatest number that a user's file has.
    pub(super) fn last_of_users(&self) -> Result<Option<FileId>, StoreError> {
        self.last_file(FIRST - 1)
    }

    /// Removes clones in which no block is referred to any more, unless somebody holds them.
    pub(crate) fn sweep_clones(&self) -> Result<(), StoreError> {
        let Some(clones) = self.clones.get() else {
            return Ok(());
        };
        let held = clones.held();
        if *held > 0 {
            return Ok(());
        }
        loop {
            let mut doubtful = Vec::new();
            self.table_scan(REFS, rows::DOUBTS, &mut |row, _| {
                doubtful.extend(rows::file_of_doubt(row));
                doubtful.len() < TOGETHER
            })?;
            if doubtful.is_empty() {
                return Ok(());
            }
            let mut unused = Vec::new();
            let has_settled;
            {
                // Between the look and the answer no block is removed, which would raise a new doubt.
                let _writer = self.writer();
                let mut settled = Vec::new();
                for file in doubtful {
                    if self.has_blocks(file)? {
                        settled.push((rows::doubt_key(file), None));
                    } else {
                        unused.push(file);
                    }
                }
                has_settled = !settled.is_empty();
                self.table_write(REFS, &settled)?;
            }
            // Nobody refers to any block in them from now on: that takes whoever holds clones.
            let mut gone = Vec::new();
            for file in unused {
                if !remove_file(&clones.path(file)) {
                    // The next one tries again.
                    continue;
                }
                self.open_files.forget(&clones.name(file));
                gone.push((rows::file_key(file), None));
                gone.push((rows::doubt_key(file), None));
            }
            if gone.is_empty() && !has_settled {
                return Ok(());
            }
            self.table_write(REFS, &gone)?;
        }
    }

    /// What clones take on disk.
    #[must_use]
    pub fn clone_usage(&self) -> CloneUsage {
        let mut usage = CloneUsage::default();
        let dir = self.clones.get().map(|clones| &clones.dir);
        let entries = dir.into_iter().flat_map(fs::read_dir).flatten().flatten();
        for found in entries.filter_map(|entry| entry.metadata().ok()) {
            usage.files += 1;
            usage.bytes += found.len();
        }
        usage
    }

    /// Whether files of the repo's own file system can be cloned.
    #[must_use]
    pub fn can_clone(&self) -> bool {
        let Some(clones) = self.clones.get() else {
            return false;
        };
        let probe = || {
            make_dir(&clones.dir)?;
            let (source, target) = (clones.dir.join(".from"), clones.dir.join(".to"));
            fs::write(&source, [1; 4096])?;
            let made = File::open(&source).and_then(|source| {
                let target = File::create(&target)?;
                Ok(rustix::fs::ioctl_ficlone(&target, &source)?)
            });
            remove_file(&source);
            remove_file(&target);
            made
        };
        probe().is_ok()
    }

    /// A file, open for reading, of which this block is at `offset`, and that has `size` bytes:
    /// perhaps the whole of the content. What is in it, only its hashes say.
    pub fn file_around(
        &self,
        cid: &Cid,
        offset: u64,
        size: u64,
    ) -> Result<Option<File>, StoreError> {
        for (file, at) in self.places(&cid.hash().to_bytes())? {
            if at != offset {
                continue;
            }
            let Some(row) = self.file(file)? else {
                continue;
            };
            let opened = self.open_files.handle(&row.origin.path);
            if let Ok(opened) = opened
                && opened.metadata().is_ok_and(|found| found.len() == size)
            {
                return Ok(Some(opened));
            }
        }
        Ok(None)
    }

    /// Whether any block is referred to in the clone.
    fn has_blocks(&self, file: FileId) -> Result<bool, StoreError> {
        self.table_has(REFS, &rows::content_of(file))
    }

    /// The path of a clone; `None` for users' files.
    pub(super) fn clone_path(&self, file: FileId) -> Option<Name> {
        let clones = self.clones.get().filter(|_| is_clone(file))?;
        Some(clones.name(file))
    }
}

fn make(path: &Path, source: &File) -> Result<File, CloneError> {
    // It has its name when it is whole: what a backup copies is.
    let new = path.with_extension(NEW);
    // One that a crash left, before its row was safe.
    remove_file(&new);
    remove_file(path);
    let made = make_at(&new, path, source);
    if made.is_err() {
        remove_file(&new);
    }
    made
}

fn make_at(new: &Path, path: &Path, source: &File) -> Result<File, CloneError> {
    let clone = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(new)
        .map_err(CloneError::io("make"))?;
    rustix::fs::ioctl_ficlone(&clone, source).map_err(refused)?;
    let dir = path.parent().expect("a clone lies in a directory");
    clone
        .sync_all()
        .and_then(|()| fs::rename(new, path))
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(CloneError::io("sync"))?;
    Ok(clone)
}

fn refused(error: Errno) -> CloneError {
    let reason = match error {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::INVAL => {
            "its file system has no clones, as btrfs and XFS have"
        }
        Errno::XDEV => "it lies on another file system than the repo",
        Errno::PERM | Errno::ACCESS | Errno::TXTBSY => "the system does not allow it",
        error => return CloneError::io("make")(error.into()),
    };
    CloneError::Unsupported { reason }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => File::open(dir.parent().unwrap_or(dir))?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether it is not there any more.
fn remove_file(path: &Path) -> bool {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a clone could not be removed");
            false
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
