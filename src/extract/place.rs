//! [`Place`]: the target that the user named, and the directory that it is in.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Attempt as _, ExtractError, Subject};
use super::temp::{Temp, open_dir};

/// Where the tree is to appear.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    parent_path: PathBuf,
    parent: OwnedFd,
    /// The last component of the path; `.` for a directory that is named by `.`, `..` or `/`.
    name: PathBuf,
    kind: Option<Kind>,
}

/// What stands there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    /// A file, or a symlink wherever it points: it is never followed.
    Other,
}

impl Place {
    /// Opens the directory that `path` is in. Symlinks on the way to it are the user's own.
    pub(super) fn open(path: &Path) -> Result<Self, ExtractError> {
        let (parent_path, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if parent.as_os_str().is_empty() => {
                (Path::new("."), name.into())
            }
            (Some(parent), Some(name)) => (parent, name.into()),
            _ => (path, PathBuf::from(".")),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = match fs::open(parent_path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                return Err(ExtractError::NoParent {
                    path: parent_path.into(),
                });
            }
            result => result.on(&Subject::new(parent_path, "open"))?,
        };
        let kind = match fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => Some(Kind::Dir),
            Ok(_) => Some(Kind::Other),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno).on(&Subject::new(path, "look at")),
        };
        Ok(Self {
            path: path.into(),
            parent_path: parent_path.into(),
            parent,
            name,
            kind,
        })
    }

    /// What stood there at the start.
    pub(super) const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last component of the path.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    pub(super) fn parent_path(&self) -> &Path {
        &self.parent_path
    }

    /// Refuses a directory in which nothing can be created, before anything is.
    pub(super) fn check_writable(&self) -> Result<(), ExtractError> {
        let (name, path) = match self.kind {
            Some(Kind::Dir) => (self.name.as_path(), self.path()),
            _ => (Path::new("."), self.parent_path()),
        };
        let access = Access::WRITE_OK | Access::EXEC_OK;
        fs::accessat(&self.parent, name, access, AtFlags::empty())
            .on(&Subject::new(path, "write in"))
    }

    /// A file or a symlink does not replace a directory.
    pub(super) fn check_not_a_directory(&self) -> Result<(), ExtractError> {
        if self.kind == Some(Kind::Dir) {
            return Err(ExtractError::IsADirectory {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Opens the directory that stands there, to merge into it.
    pub(super) fn open_dir(&self) -> Result<OwnedFd, ExtractError> {
        open_dir(self.parent(), &self.name).on(&Subject::new(&self.path, "open"))
    }

    /// Gives what was written its name, durably.
    pub(super) fn publish(&self, temp: Temp, replace: bool) -> Result<(), ExtractError> {
        temp.publish(&self.name, replace)
            .on(&Subject::new(&self.path, "rename to"))?;
        fs::fsync(&self.parent).on(&Subject::new(&self.parent_path, "sync"))
    }
}
