//! [`walk`]: files, directories and symlinks on disk, as the entries that an import reads.
//!
//! A tree is walked depth first, names in the order of their bytes, and each file is opened only when
//! it is its turn, or by whoever needs its bytes ([`scan`]). What cannot be added (sockets, pipes,
//! devices) is an error that names it, never left out in silence.

mod described;
mod names;
mod open;
mod rules;
mod scan;
mod walk;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use described::Described;
pub use rules::{RuleError, Rules};
pub use scan::{Scan, Unopened};
pub use walk::Walk;

use super::entry::Entry;

/// What to add of a tree.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// Whether to add entries whose names begin with a dot. One that the user names is always added.
    pub hidden: bool,
    /// Whether to add what symlinks lead to, in place of the symlinks.
    pub dereference_symlinks: bool,
    /// What is stored of permissions and times.
    pub described: Described,
    /// What is left out.
    pub rules: Option<Rules>,
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The system said no.
    #[error("cannot {action} `{}`: {error}", .path.display())]
    Io {
        /// What was tried: "read directory", for instance.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Neither file, directory nor symlink.
    #[error("`{}` is {what}: only files, directories and symlinks can be added", .path.display())]
    Special {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A directory that a followed symlink puts into itself.
    #[error("`{}` leads back to a directory that it is in", .path.display())]
    Loop {
        /// The symlink.
        path: PathBuf,
    },
    /// Two of the paths given have the same last component, which would be the name of both.
    #[error("`{}` and `{}` have the same name", .first.display(), .second.display())]
    SameName {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Whoever was to send the entries went away.
    #[error("cancelled")]
    Cancelled,
    /// Whoever was to send the entries sent something else.
    #[error("entries that make no sense: {reason}")]
    Malformed {
        /// What was wrong.
        reason: String,
    },
}

impl SourceError {
    /// Whether it is about one entry, without which the rest of the tree can be added.
    #[must_use]
    pub const fn is_of_one_entry(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Special { .. } | Self::Loop { .. }
        )
    }

    /// The entry that it is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. } | Self::Special { path, .. } | Self::Loop { path } => Some(path),
            _ => None,
        }
    }

    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Io {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// The entries of all `paths`, one after the other in their order. Ends after the first error.
///
/// The name of a path is its last component; of `.`, `..` and `/`, what they are called on disk. A
/// path that is given twice is walked once. As in Kubo, a symlink that is followed gives the name of
/// what it leads to.
#[must_use]
pub fn walk(paths: &[PathBuf], options: &SourceOptions) -> Walk {
    Walk::new(scan(paths, options))
}

/// The same without opening a file. It goes on after an entry that cannot be added
/// ([`SourceError::is_of_one_entry`]), without it.
#[must_use]
pub fn scan(paths: &[PathBuf], options: &SourceOptions) -> Scan {
    Scan::new(paths.to_vec(), options.clone())
}

/// An entry that an import reads from disk.
pub type FileEntry = Entry<File>;

#[cfg(test)]
mod tests;
