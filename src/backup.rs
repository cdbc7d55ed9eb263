//! Backups: copies of a repo as it is at one moment, taken while it is in use, several generations of
//! them in one directory.
//!
//! ```text
//! store-backup       "store backup 1\n": this directory holds backups and nothing else
//! lock               locked (flock) while one is made or removed
//! files/HASH-NAME    each file that some generation needs, once; its hash as in the manifest, cut
//! 000001.manifest    one generation: what it needs; written last, so that where it is, all is there
//! ```
//!
//! The database's tables and blob files never change once they are written, so a further backup copies
//! only those that are new, and reads no others. docs/storage.md has the details.

mod copy;
mod manifest;
mod restore;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::blockstore::{Blockstore, StoreError};
use crate::pin;
use crate::repo::{CLONES, Repo, RepoError, RepoFile, format, write};

pub use self::manifest::{Generation, Member};
pub use self::restore::{Restored, restore};

use self::copy::{Copied, Copier};

/// What the marker says: the version of this layout.
const MARK: &str = "store backup 1\n";
const MARKER: &str = "store-backup";
const FILES: &str = "files";
/// Files of a repo that a backup has, beside the database.
///
/// With the key of its private swarm: restored without, a member would go out into the open, and show
/// everybody there what it has.
const BESIDE: [&str; 4] = [
    RepoFile::Identity.name(),
    RepoFile::SwarmKey.name(),
    RepoFile::Owners.name(),
    "store.toml",
];

/// Why there is no backup, or none can be made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A directory with other things in it.
    #[error("`{}` holds no backups of `store`, but other things; name an empty or new directory", .path.display())]
    NotBackups {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing to restore.
    #[error("there is no backup {}in `{}`", .number.map_or_else(String::new, |n| format!("{n} ")), .path.display())]
    None {
        /// The directory.
        path: PathBuf,
        /// Which one was asked for.
        number: Option<u64>,
    },
    /// Somebody else makes one there.
    #[error("another process works on the backups in `{}`; try again when it is done", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file of a backup is not what was written.
    #[error("`{}` is damaged: {reason}; an older backup may be whole: `store backup --verify` says", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// Something is where a repo should be restored to.
    #[error("`{}` is not empty; a backup is restored to a new or empty directory only", .path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// Not enough room.
    #[error("`{}` has {free} bytes free, and {needed} are needed; nothing was written", .path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Bytes that are free there.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The caller wants no more.
    #[error("interrupted; nothing of it was left")]
    Interrupted,
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
    /// The repo.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The blocks.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// What a backup has copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backed {
    /// The generation that it made.
    pub generation: Generation,
    /// Files that were copied.
    pub copied_files: u64,
    /// Their bytes; all else was there from earlier backups.
    pub copied_bytes: u64,
}

/// Told how many bytes are copied, and of how many; copying ends where it says `false`.
pub type Progress<'a> = dyn Fn(u64, u64) -> bool + 'a;

/// A generation by its number, or why it cannot be read.
pub type Numbered = (u64, Result<Generation, BackupError>);

/// A directory of backups.
#[derive(Debug)]
pub struct Backups {
    path: PathBuf,
    /// Held while something is changed.
    lock: Option<File>,
}

impl Backups {
    /// Those in the directory `path`, to look at.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let path = std::path::absolute(path).map_err(BackupError::io("find", path))?;
        match fs::read_to_string(path.join(MARKER)) {
            Ok(mark) if mark == MARK => Ok(Self { path, lock: None }),
            Ok(_) => Err(BackupError::Damaged {
                path: path.join(MARKER),
                reason: "it is none of this version".into(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BackupError::None { path, number: None })
            }
            Err(error) => Err(BackupError::io("read", &path)(error)),
        }
    }

    /// Those in the directory `path`, to add to; makes it.
    fn open_or_make(path: &Path) -> Result<Self, BackupError> {
        let path = std::path::absolute(path).map_err(BackupError::io("find", path))?;
        write::create_dirs(&path)?;
        let entries = fs::read_dir(&path).map_err(BackupError::io("look into", &path))?;
        let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        let ours = |name: &std::ffi::OsString| name == "lock" || name == ".store-backup.new";
        if !names.iter().any(|name| name == MARKER) {
            if !names.iter().all(ours) {
                return Err(BackupError::NotBackups { path });
            }
            write::replace(&path.join(MARKER), MARK.as_bytes())?;
        }
        let mut backups = Self::open(&path)?;
        write::create_dirs(&path.join(FILES))?;
        let file = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(BackupError::io("open", &file))?;
        lock.try_lock().map_err(|_| BackupError::Locked { path })?;
        backups.lock = Some(lock);
        Ok(backups)
    }

    /// Every generation, the oldest first; one that is damaged in its place.
    pub fn list(&self) -> Result<Vec<Numbered>, BackupError> {
        let entries = fs::read_dir(&self.path).map_err(BackupError::io("look into", &self.path))?;
        let mut numbers: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".manifest")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let read = |number| (number, Generation::read(&self.manifest(number), number));
        Ok(numbers.into_iter().map(read).collect())
    }

    /// One generation, or the newest.
    pub fn find(&self, number: Option<u64>) -> Result<Generation, BackupError> {
        let mut all = self.list()?;
        let place = match number {
            Some(number) => all.iter().position(|(n, _)| *n == number),
            None => all.len().checked_sub(1),
        };
        match place {
            Some(place) => all.swap_remove(place).1,
            None => Err(BackupError::None {
                path: self.path.clone(),
                number,
            }),
        }
    }

    /// Reads every file of a generation, and says which are not what they were.
    pub fn verify(
        &self,
        generation: &Generation,
        progress: &Progress<'_>,
    ) -> Result<Vec<BackupError>, BackupError> {
        let mut damaged = Vec::new();
        let (mut done, total) = (0, generation.size());
        for member in &generation.members {
            let path = self.stored(member);
            let found = copy::hash(&path, &mut |more| {
                done += more;
                progress(done, total)
            });
            match found {
                Ok(found) if found == member.content() => {}
                Ok(_) => damaged.push(BackupError::Damaged {
                    path,
                    reason: "its content has changed".into(),
                }),
                Err(BackupError::Interrupted) => return Err(BackupError::Interrupted),
                Err(error) => damaged.push(error),
            }
        }
        Ok(damaged)
    }

    /// Removes all but the newest `keep` generations, and the files that no other needs. How many.
    fn keep(&self, keep: usize) -> Result<u64, BackupError> {
        let all = self.list()?;
        let doomed = all.len().saturating_sub(keep.max(1));
        for (number, _) in &all[..doomed] {
            let path = self.manifest(*number);
            fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
        }
        if all[doomed..].iter().any(|(_, read)| read.is_err()) {
            // Nobody knows what that one needs.
            tracing::warn!(path = %self.path.display(), "a backup is damaged: no file is removed");
            return Ok(doomed as u64);
        }
        let needed: std::collections::HashSet<String> = all[doomed..]
            .iter()
            .filter_map(|(_, read)| read.as_ref().ok())
            .flat_map(|generation| generation.members.iter().map(Member::stored_name))
            .collect();
        let files = self.path.join(FILES);
        let entries = fs::read_dir(&files).map_err(BackupError::io("look into", &files))?;
        for entry in entries.flatten() {
            if !needed.contains(&*entry.file_name().to_string_lossy()) {
                let path = entry.path();
                fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
            }
        }
        Ok(doomed as u64)
    }

    fn manifest(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:06}.manifest"))
    }

    fn stored(&self, member: &Member) -> PathBuf {
        self.path.join(FILES).join(member.stored_name())
    }
}

impl Repo {
    /// Copies the repo, as it is now, to the backups in the directory `dir`: all that was made durable
    /// before is in it. Adds and gets go on meanwhile. With `keep`, only so many generations stay.
    pub fn backup(
        &self,
        dir: &Path,
        keep: Option<usize>,
        progress: &Progress<'_>,
    ) -> Result<Backed, BackupError> {
        let backups = Backups::open_or_make(dir)?;
        // One at a time: they would share the checkpoint.
        let _one = self.backing.lock().unwrap_or_else(PoisonError::into_inner);
        // What is copied after the checkpoint must be what was there at the checkpoint.
        let _clones = self.blocks().hold_clones();
        let checkpoint = Checkpoint::make(self)?;
        let totals = self.blocks().totals()?;
        let all = backups.list()?;
        let number = all.last().map_or(1, |(number, _)| number + 1);
        let before = all.into_iter().rev().find_map(|(_, read)| read.ok());
        let mut sources = checkpoint.files()?;
        for name in BESIDE {
            let path = self.path().join(name);
            if path.exists() {
                sources.push((name.to_owned(), path));
            }
        }
        sources.extend(clones(&self.path().join(CLONES))?);
        let mut copier = Copier::new(&backups, before.as_ref(), &sources, progress)?;
        let members = copier.copy_all(&sources);
        drop(checkpoint);
        let generation = members.map(|members| Generation {
            number,
            created: pin::now(),
            format: format::FORMAT,
            blocks: totals.blocks,
            bytes: totals.bytes,
            members,
        });
        let written = generation.and_then(|generation| {
            write::replace(&backups.manifest(number), &generation.encode())?;
            Ok(generation)
        });
        let Copied { files, bytes } = copier.copied();
        let generation = match written {
            Ok(generation) => generation,
            Err(error) => {
                copier.undo();
                return Err(error);
            }
        };
        // What a crash has left of an earlier one goes too.
        backups.keep(keep.unwrap_or(usize::MAX))?;
        Ok(Backed {
            generation,
            copied_files: files,
            copied_bytes: bytes,
        })
    }
}

/// The clones in this directory, by their names in a repo.
fn clones(dir: &Path) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let mut clones = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(clones),
        entries => entries.map_err(BackupError::io("look into", dir))?,
    };
    for entry in entries.flatten() {
        // One that is just being made is called something else, or has no row in the checkpoint.
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            clones.push((format!("{CLONES}/{name}"), entry.path()));
        }
    }
    clones.sort();
    Ok(clones)
}

/// The database as it is at one moment: hard links, which cost nothing, and go when it is dropped.
struct Checkpoint(PathBuf);

impl Checkpoint {
    fn make(repo: &Repo) -> Result<Self, BackupError> {
        let path = repo.path().join(crate::repo::CHECKPOINT);
        write::remove_dir(&path).map_err(BackupError::io("remove", &path))?;
        let checkpoint = Self(path);
        repo.blocks().checkpoint(&checkpoint.0)?;
        Ok(checkpoint)
    }

    /// Its files, by their names in a repo.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, BackupError> {
        let entries = fs::read_dir(&self.0).map_err(BackupError::io("look into", &self.0))?;
        let mut files: Vec<(String, PathBuf)> = entries
            .flatten()
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (format!("db/{name}"), entry.path())
            })
            .collect();
        files.sort();
        Ok(files)
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a checkpoint");
        }
    }
}

#[cfg(test)]
mod tests;
