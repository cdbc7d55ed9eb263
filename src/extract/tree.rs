//! [`Tree`]: the directories that are open, from the root to the one that is being filled.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Attempt as _, ExtractError, Subject};
use super::file::OpenFile;
use super::metadata;
use super::temp::{Temp, open_dir};
use crate::unixfs::Name;
use crate::unixfs::data::Metadata;

/// Directories inside each other that are written at most. No path on Linux can name more:
/// `PATH_MAX` is 4,096 bytes, and each takes two.
pub const MAX_DEPTH: usize = 2048;

/// Descriptors that are held at most: processes may often have 1,024 only, and RocksDB wants some.
/// Directories further up are opened again on the way back.
const MAX_OPEN: usize = 32;

/// Directories inside each other.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The innermost ones, the deepest last; empty where that is the root itself.
    open: VecDeque<OwnedFd>,
    /// The names of all of them below the root.
    names: Vec<Name>,
    /// What is set when each of them is complete, the root's first.
    metadata: Vec<Metadata>,
    /// The path of the innermost one, for errors.
    path: PathBuf,
    content: Content,
}

/// What is in the root that this program did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing, and nobody sees it yet: entries get their names at once, each only once.
    Ours,
    /// Anything: existing directories are entered, files and symlinks replaced atomically.
    Merged,
}

impl Tree {
    /// A tree in a new directory, which will be called `path`.
    pub(super) fn fresh(root: OwnedFd, path: &Path) -> Self {
        Self::new(root, path, Content::Ours)
    }

    /// A tree in a directory that exists.
    pub(super) fn merged(root: OwnedFd, path: &Path) -> Self {
        Self::new(root, path, Content::Merged)
    }

    fn new(root: OwnedFd, path: &Path, content: Content) -> Self {
        Self {
            root,
            open: VecDeque::new(),
            names: Vec::new(),
            metadata: vec![Metadata::NONE],
            path: path.into(),
            content,
        }
    }

    /// The same, whose root gets this metadata once it is complete.
    pub(super) fn described(mut self, metadata: Metadata) -> Self {
        self.metadata[0] = metadata;
        self
    }

    /// Makes a directory in the innermost one, and goes into it.
    pub(super) fn enter(&mut self, name: &Name, metadata: Metadata) -> Result<(), ExtractError> {
        let path = self.child(name)?;
        if self.names.len() >= MAX_DEPTH {
            return Err(ExtractError::TooDeep {
                path,
                limit: MAX_DEPTH,
            });
        }
        let dir = self.innermost();
        match fs::mkdirat(dir, name.as_path(), Mode::from_raw_mode(0o777)) {
            Err(Errno::EXIST) if self.content == Content::Merged => {}
            result => named(result, &path)?,
        }
        let opened = open_dir(dir, name.as_path()).on(&Subject::new(&path, "open"))?;
        self.keep(opened);
        self.names.push(name.clone());
        self.metadata.push(metadata);
        self.path = path;
        Ok(())
    }

    /// Goes back up; `false` if the innermost directory was the root. Only now, with all that is in
    /// it, does a directory get its time, and permissions that might forbid to write in it.
    pub(super) fn leave(&mut self) -> Result<bool, ExtractError> {
        let metadata = self.metadata.pop().unwrap_or_default();
        metadata::restore(self.innermost(), metadata)
            .on(&Subject::new(&self.path, "set permissions and time of"))?;
        if self.names.pop().is_none() {
            return Ok(false);
        }
        self.path.pop();
        self.open.pop_back();
        if self.open.is_empty() {
            self.reopen()?;
        }
        Ok(true)
    }

    /// Creates a file in the innermost directory.
    pub(super) fn create(&self, name: &Name, size: u64) -> Result<OpenFile, ExtractError> {
        let path = self.child(name)?;
        let dir = self.innermost();
        if self.content == Content::Merged {
            return OpenFile::replacing(dir, path, size);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o666);
        let file = fs::openat(dir, name.as_path(), flags | OFlags::CLOEXEC, mode);
        Ok(OpenFile::named(File::from(named(file, &path)?), path, size))
    }

    /// Creates a symlink in the innermost directory. Nothing is ever opened through it.
    pub(super) fn symlink(
        &self,
        name: &Name,
        target: &Name,
        metadata: Metadata,
    ) -> Result<(), ExtractError> {
        let path = self.child(name)?;
        check_target(target, &path)?;
        let dir = self.innermost();
        if self.content == Content::Merged {
            let temp = Temp::symlink(dir, target, metadata).on(&Subject::new(&path, "create"))?;
            return temp
                .publish(name.as_path(), true)
                .on(&Subject::new(&path, "replace"));
        }
        named(fs::symlinkat(target.as_path(), dir, name.as_path()), &path)?;
        metadata::restore_symlink(dir, name.as_path(), metadata)
            .on(&Subject::new(&path, "set the time of"))
    }

    /// Writes everything back to disk.
    pub(super) fn sync(&self) -> Result<(), ExtractError> {
        fs::syncfs(&self.root).on(&Subject::new(&self.path, "sync"))
    }

    fn innermost(&self) -> BorrowedFd<'_> {
        self.open.back().unwrap_or(&self.root).as_fd()
    }

    /// The path of an entry of the innermost directory, if its name is one.
    fn child(&self, name: &Name) -> Result<PathBuf, ExtractError> {
        name.check().map_err(|source| ExtractError::Name {
            path: self.path.clone(),
            source,
        })?;
        Ok(self.path.join(name.as_path()))
    }

    fn keep(&mut self, dir: OwnedFd) {
        if self.open.len() == MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(dir);
    }

    /// Opens the innermost directories again, one from the other, as they were entered.
    fn reopen(&mut self) -> Result<(), ExtractError> {
        for name in std::mem::take(&mut self.names) {
            let next = open_dir(self.innermost(), name.as_path());
            self.keep(next.on(&Subject::new(&self.path, "open again"))?);
            self.names.push(name);
        }
        Ok(())
    }
}

/// In a directory of ours, whatever exists came from the same tree.
fn named<T>(result: rustix::io::Result<T>, path: &Path) -> Result<T, ExtractError> {
    match result {
        Err(Errno::EXIST) => Err(ExtractError::Duplicate { path: path.into() }),
        result => result.on(&Subject::new(path, "create")),
    }
}

/// Refuses what `symlink(2)` cannot store.
pub(super) fn check_target(target: &Name, path: &Path) -> Result<(), ExtractError> {
    let why = match target.as_bytes() {
        [] => "is empty",
        bytes if bytes.len() > 4095 => "is longer than 4,095 bytes",
        bytes if bytes.contains(&0) => "has a NUL byte",
        _ => return Ok(()),
    };
    Err(ExtractError::Target {
        path: path.into(),
        why,
    })
}
