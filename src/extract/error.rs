//! [`ExtractError`], and what the operating system's errors mean for whoever reads them.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::unixfs::name::UnsafeName;

/// Why a tree was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// Something of that name is there, and may not be replaced.
    #[error("`{path}` exists", path = .path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("`{path}` is being written by another `store get`; wait for it", path = .path.display())]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },
    /// The directory to write in is not there.
    #[error("`{path}` is not there to write in", path = .path.display())]
    NoParent {
        /// The missing directory.
        path: PathBuf,
    },
    /// No permission, or a file system that is mounted read-only.
    #[error("`{path}` cannot be written: {source}", path = .path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space, or no quota, left.
    #[error("no space left for `{path}`", path = .path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// A file or a symlink stands where a directory is needed: it is neither replaced nor followed.
    #[error("`{path}` is in the way: it is not a directory", path = .path.display())]
    NotADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// A directory stands where a file or symlink is to be written.
    #[error("`{path}` is in the way: it is a directory", path = .path.display())]
    IsADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// One name twice in one directory, or two names that the file system takes for one.
    #[error("`{path}` comes twice", path = .path.display())]
    Duplicate {
        /// The second of them.
        path: PathBuf,
    },
    /// A name that leads out of its directory, or that no file system takes.
    #[error("refused to write into `{path}`: {source}", path = .path.display())]
    Name {
        /// The directory.
        path: PathBuf,
        /// The name, and what is wrong with it.
        source: UnsafeName,
    },
    /// A symlink's target that no file system takes.
    #[error("refused to write symlink `{path}`: its target {why}", path = .path.display())]
    Target {
        /// The symlink.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Deeper than any path can name.
    #[error("`{path}` is more than {limit} directories deep", path = .path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The pieces are not those of one tree: a fault of the program that sent them.
    #[error("the pieces of the tree come in a wrong order: {reason}")]
    Sequence {
        /// What is wrong.
        reason: &'static str,
    },
    /// Everything else that can go wrong with a file.
    #[error("could not {action} `{path}`: {source}", path = .path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is being done, for errors.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    path: &'a Path,
    action: &'static str,
}

impl<'a> Subject<'a> {
    pub(super) const fn new(path: &'a Path, action: &'static str) -> Self {
        Self { path, action }
    }

    fn error(&self, source: io::Error) -> ExtractError {
        let path = self.path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::EXIST | Errno::NOTEMPTY) => ExtractError::Exists { path },
            Some(Errno::NOSPC | Errno::DQUOT) => ExtractError::NoSpace { path },
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                ExtractError::NotWritable { path, source }
            }
            // O_NOFOLLOW on a symlink: which of the two depends on the file system.
            Some(Errno::NOTDIR | Errno::LOOP) => ExtractError::NotADirectory { path },
            Some(Errno::ISDIR) => ExtractError::IsADirectory { path },
            _ => ExtractError::Io {
                action: self.action,
                path,
                source,
            },
        }
    }
}

/// Adds the subject to the system's error.
pub(super) trait Attempt<T> {
    fn on(self, subject: &Subject<'_>) -> Result<T, ExtractError>;
}

impl<T> Attempt<T> for rustix::io::Result<T> {
    fn on(self, subject: &Subject<'_>) -> Result<T, ExtractError> {
        self.map_err(|errno| subject.error(errno.into()))
    }
}

impl<T> Attempt<T> for io::Result<T> {
    fn on(self, subject: &Subject<'_>) -> Result<T, ExtractError> {
        self.map_err(|error| subject.error(error))
    }
}
