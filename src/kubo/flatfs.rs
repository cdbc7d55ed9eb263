//! [`Flatfs`]: the files of Kubo's datastore.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::{KuboError, block_of};
use crate::block::MAX_BLOCK_SIZE;
use crate::cid::Cid;

/// Directories of blocks at most: flatfs makes 32 for each letter of its prefix, of which Kubo has two.
const MAX_SHARDS: usize = 1 << 15;

/// Files of one directory at most: their names take 100 MiB.
const MAX_NAMES: usize = 1 << 20;

/// An open Kubo repo.
#[derive(Debug)]
pub struct Flatfs {
    root: OwnedFd,
}

impl Flatfs {
    /// Opens the repo in the directory `root`. Refuses one that Kubo uses. Nothing is written to it, and
    /// it is not locked: a daemon that is started meanwhile only adds blocks that are not seen.
    pub fn open(root: OwnedFd) -> Result<Self, KuboError> {
        let repo = Self { root };
        repo.check_unused()?;
        let mut text = String::new();
        let missing = |reason: String| KuboError::NotARepo { reason };
        match repo.file("blocks/SHARDING") {
            Ok(file) => {
                let read = file.take(1024).read_to_string(&mut text);
                read.map_err(|error| io_error("blocks/SHARDING", error))?;
            }
            Err(KuboError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Err(missing(
                    "there is no `blocks/SHARDING`; what is in badger or pebble comes out by \
                     `ipfs dag export` and in by `store car import`"
                        .into(),
                ));
            }
            Err(error) => return Err(error),
        }
        if !text.starts_with("/repo/flatfs/shard/v1/") {
            let found = text.trim().escape_debug().to_string();
            return Err(missing(format!("`blocks/SHARDING` says `{found}`")));
        }
        Ok(repo)
    }

    fn check_unused(&self) -> Result<(), KuboError> {
        let file = match self.file("repo.lock") {
            Ok(file) => file,
            // Never used, or copied without it.
            Err(KuboError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let lock = Flock {
            start: 0,
            length: 0,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        let held = fcntl_getlk(&file, &lock);
        match held.map_err(|error| io_error("repo.lock", error.into()))? {
            Some(held) if held.typ != FlockType::Unlocked => Err(KuboError::InUse {
                pid: held.pid.map(|pid| pid.as_raw_nonzero().get()),
            }),
            _ => Ok(()),
        }
    }

    fn file(&self, path: &str) -> Result<File, KuboError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.root, path, flags, Mode::empty());
        Ok(file.map_err(|error| io_error(path, error.into()))?.into())
    }

    /// The directories that blocks are in, sorted.
    pub(super) fn shards(&self) -> Result<Vec<String>, KuboError> {
        self.entries("blocks", FileType::Directory, MAX_SHARDS)
    }

    /// The files of blocks in a directory, sorted. What a crash left of others is not among them.
    pub(super) fn names(&self, shard: &str) -> Result<Vec<String>, KuboError> {
        let path = format!("blocks/{shard}");
        let mut names = self.entries(&path, FileType::RegularFile, MAX_NAMES)?;
        names.retain(|name| name.strip_suffix(".data").is_some());
        Ok(names)
    }

    fn entries(&self, path: &str, kind: FileType, max: usize) -> Result<Vec<String>, KuboError> {
        let failed = |error: rustix::io::Errno| io_error(path, error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.root, path, flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(dir.as_fd()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            // Some file systems do not say what an entry is: then its name must do.
            let found = entry.file_type();
            if name.starts_with('.') || (found != kind && found != FileType::Unknown) {
                continue;
            }
            names.push(name.to_owned());
            if names.len() > max {
                let reason = format!("more than {max} entries in `{path}`");
                return Err(KuboError::NotARepo { reason });
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The bytes of a block's file, of which one byte more than a block may have shows that they are
    /// too many.
    pub(super) fn read(&self, path: &str) -> Result<Bytes, KuboError> {
        let file = self.file(path)?;
        let failed = |error| io_error(path, error);
        let size = file.metadata().map_err(failed)?.len();
        let most = MAX_BLOCK_SIZE as u64 + 1;
        let mut data = Vec::with_capacity(usize::try_from(size.min(most)).unwrap_or_default());
        file.take(most).read_to_end(&mut data).map_err(failed)?;
        Ok(data.into())
    }
}

/// The block of a file's name.
pub(super) fn cid(name: &str) -> Option<Cid> {
    let key = name.strip_suffix(".data")?;
    block_of(&data_encoding::BASE32_NOPAD.decode(key.as_bytes()).ok()?)
}

fn io_error(path: &str, error: io::Error) -> KuboError {
    KuboError::Io {
        path: path.to_owned(),
        error,
    }
}
