//! [`Repo`]: the directory that holds everything: blocks, pins, records, the node's key.
//!
//! ```text
//! format         "3\n"; written last, so that where it is, all the rest is whole
//! repo.lock      locked (flock) while the repo is open; the holder's pid as text
//! identity.key   the node's secret key, mode 0600, once there is one
//! swarm.key      the key of the private swarm that it is of, mode 0600, if it is of one
//! owners         whom it stores for, and how much, if there are any
//! db/            RocksDB
//! clones/        clones of users' files, once there are any
//! store.toml     settings, if any; not read here
//! api, api.sock  where the holder listens; not read here
//! ```
//!
//! Invariant: one process at a time has it open. docs/storage.md has the details.

mod check;
mod file;
pub mod format;
mod lock;
mod migrate;
pub(crate) mod write;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::adds::{Adds, Shape};
use crate::blockstore::{Blockstore, Lease, RocksStore, StoreError, StoreOptions, Upgrade};
use crate::cached::Cached;
use crate::cid::Key;
use crate::gc::Collector;
use crate::keep::Keep;
use crate::pin::Pins;
use crate::records::{Family, Records};
use crate::unixfs::origin;

pub use self::check::Checked;
pub use self::file::RepoFile;
use self::format::State;
use self::lock::Lock;
pub use self::migrate::{Migration, migrate};

/// Where a backup links the database's files while it copies them.
pub(crate) const CHECKPOINT: &str = ".checkpoint";

/// Clones of users' files, which blocks lie in.
pub(crate) const CLONES: &str = "clones";

/// How to open a repo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepoOptions {
    /// Less memory, slower bulk writes: see [`StoreOptions::low_memory`].
    pub low_memory: bool,
    /// Bytes of stored blocks at most: see [`RocksStore::set_quota`].
    pub quota: Option<u64>,
}

/// Why a repo could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// Another process has it open.
    #[error(
        "repo `{}` is in use by {}; stop it, or use another with `--repo`",
        .path.display(),
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The repo.
        path: PathBuf,
        /// The other process.
        pid: Option<u32>,
    },
    /// Made by a later version of this program.
    #[error(
        "repo `{}` has format {found}, this program reads up to {supported}; use a newer one",
        .path.display()
    )]
    NewerFormat {
        /// The repo.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// The file `format` says nothing that we understand.
    #[error("`{}` is damaged: it should hold one number; restore it from a backup", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("there is no repo in `{}`", .path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A directory with other things in it.
    #[error(
        "`{}` is no repo and holds other things (`{}`); name an empty or new directory",
        .path.display(),
        .entry.display()
    )]
    NotARepo {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        entry: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`: {error}", .path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The database.
    #[error("cannot open the blocks of repo `{}`: {error}", .path.display())]
    Store {
        /// The repo.
        path: PathBuf,
        /// What it said.
        error: StoreError,
    },
}

impl RepoError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// An open repo.
pub struct Repo {
    path: PathBuf,
    blocks: Arc<RocksStore>,
    pins: Pins,
    collector: Arc<Collector>,
    /// What this opening brought forward.
    upgrade: Option<Upgrade>,
    /// Held while a backup is made.
    pub(crate) backing: Mutex<()>,
    /// Last, so that it is given back after the database is closed.
    _lock: Lock,
}

impl Repo {
    /// Opens the repo in the directory `path` and locks it. Makes it at first use, with the directories
    /// above it, and completes one that a crash left half made.
    pub fn open(path: &Path, options: &RepoOptions) -> Result<Self, RepoError> {
        let path = std::path::absolute(path).map_err(RepoError::io("find", path))?;
        // Before anything is touched.
        format::inspect(&path)?;
        write::create_dirs(&path)?;
        let lock = Lock::take(&path)?;
        // Again, now that nobody else can change it.
        let state = format::inspect(&path)?;
        let quota = options.quota;
        let options = StoreOptions {
            low_memory: options.low_memory,
        };
        let db = path.join("db");
        // Some milliseconds each, on a busy disk: at the same time.
        let (opened, synced) = std::thread::scope(|scope| {
            let synced = scope.spawn(|| lock.sync(&path));
            let opened = match state {
                State::Ready | State::Older { .. } => RocksStore::open_existing(&db, options),
                State::Unfinished => RocksStore::open(&db, options),
            };
            (
                opened,
                synced.join().unwrap_or_else(|panic| resume_unwind(panic)),
            )
        });
        synced?;
        let store = |error| RepoError::Store {
            path: path.clone(),
            error,
        };
        let blocks = Arc::new(opened.map_err(store)?);
        if state == State::Unfinished {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(RepoError::io("protect", &path))?;
            format::finish(&path)?;
        }
        let mut upgrade = None;
        if let State::Older { from } = state {
            tracing::info!(path = %path.display(), "the repo is brought to the newest format");
            upgrade = Some(blocks.upgrade_from(from, false).map_err(store)?);
            format::finish(&path)?;
        }
        // Of a backup that a crash cut off: it would keep the room of what is removed.
        if let Err(error) = write::remove_dir(&path.join(CHECKPOINT)) {
            tracing::warn!(%error, "cannot remove what a backup has left");
        }
        blocks.keep_clones_in(path.join(CLONES)).map_err(store)?;
        blocks.set_quota(quota);
        let pins = Pins::new(Arc::clone(&blocks));
        let collector = Collector::start(&blocks, pins.clone());
        Ok(Self {
            path,
            blocks,
            pins,
            collector,
            upgrade,
            backing: Mutex::default(),
            _lock: lock,
        })
    }

    /// Opens a lease: what is put or met from now on is not removed while it lives. Whoever adds,
    /// fetches or pins takes one first, and keeps it until its root is pinned or in the cache.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.blocks.lease()
    }

    /// What removes blocks that nothing keeps.
    #[must_use]
    pub const fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    /// What was added before as `shape` makes it, and from which files.
    #[must_use]
    pub fn adds(&self, shape: Shape) -> Adds {
        Adds::new(Arc::clone(&self.blocks), shape, origin::now())
    }

    /// What is kept, beside the pins.
    #[must_use]
    pub fn keep(&self) -> Keep {
        Keep::new(Arc::clone(&self.blocks))
    }

    /// The roots that are here and not kept.
    #[must_use]
    pub fn cached(&self) -> Cached {
        Cached::new(Arc::clone(&self.blocks))
    }

    /// The directory, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The blocks.
    #[must_use]
    pub const fn blocks(&self) -> &Arc<RocksStore> {
        &self.blocks
    }

    /// The pins.
    #[must_use]
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Makes anew what follows from a block's bytes: its index entry, its links, who links to it. Of a
    /// block whose bytes are not right, and that the index does not know, all is removed. Whether
    /// anything was done.
    pub fn mend(&self, key: &Key) -> Result<bool, StoreError> {
        self.blocks.mend(key.as_bytes())
    }

    /// Removes a block whose bytes cannot be had, unless they can. Whether it was removed.
    pub fn forget(&self, key: &Key) -> Result<bool, StoreError> {
        self.blocks.forget(key)
    }

    /// One of the tables.
    #[must_use]
    pub fn records(&self, family: Family) -> Records {
        Records::new(Arc::clone(&self.blocks), family)
    }

    /// The node's secret key, as [`Repo::set_identity`] was given it; `None` where there is none yet.
    pub fn identity(&self) -> Result<Option<Vec<u8>>, RepoError> {
        self.file(RepoFile::Identity)
    }

    /// Keeps the node's secret key, readable by the owner alone. Durable when it returns.
    pub fn set_identity(&self, key: &[u8]) -> Result<(), RepoError> {
        self.set_file(RepoFile::Identity, key)
    }

    /// The content of a small file, as [`Repo::set_file`] was given it; `None` where there is none.
    pub fn file(&self, file: RepoFile) -> Result<Option<Vec<u8>>, RepoError> {
        let path = self.path.join(file.name());
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RepoError::io("read", &path)(error)),
        }
    }

    /// Replaces a small file, readable by the owner alone. Durable when it returns; after a crash either
    /// the old or the new content is there.
    pub fn set_file(&self, file: RepoFile, content: &[u8]) -> Result<(), RepoError> {
        write::replace(&self.path.join(file.name()), content)
    }

    /// Removes a small file; a missing one is not an error. Durable when it returns.
    pub fn remove_file(&self, file: RepoFile) -> Result<(), RepoError> {
        let path = self.path.join(file.name());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RepoError::io("remove", &path)(error))
            }
            _ => write::sync_dir(&self.path),
        }
    }

    /// Makes every block durable and closes the repo; the lock is free when it returns, unless
    /// somebody still holds [`Repo::blocks`].
    pub fn close(self) -> Result<(), RepoError> {
        self.blocks.commit().map_err(|error| RepoError::Store {
            path: self.path.clone(),
            error,
        })
    }
}

#[cfg(test)]
mod tests;
