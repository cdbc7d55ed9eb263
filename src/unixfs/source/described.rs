//! [`Described`]: which permissions and times of what is on disk go into its DAG. As in Kubo's `add`.

use rustix::fs::{FileType, Stat};

use crate::unixfs::data::{Metadata, Mtime};

/// The permission bits that are stored: with setuid, setgid and sticky, as Kubo stores them.
const MODE: u32 = 0o7777;

/// What is stored of permissions and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Each entry's own permissions.
    pub preserve_mode: bool,
    /// Each entry's own time of last change.
    pub preserve_mtime: bool,
    /// What all entries say, where their own is not wanted.
    pub given: Metadata,
}

impl Described {
    /// Whether anything is stored. Then the leaves of files must not be raw: the root says it, and a
    /// small file's root is its leaf.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.preserve_mode || self.preserve_mtime || !self.given.is_none()
    }

    /// What is stored of an entry on disk. A symlink has a time only: nobody looks at its mode. A
    /// file without any permission has none stored.
    #[must_use]
    pub fn of(&self, entry: &Stat) -> Metadata {
        let kind = FileType::from_raw_mode(entry.st_mode);
        let own = Metadata {
            mode: Some(entry.st_mode & MODE).filter(|&mode| mode != 0 || kind.is_dir()),
            mtime: Some(mtime(entry)),
        };
        let said = self.choose(own);
        Metadata {
            mode: said.mode.filter(|_| !kind.is_symlink()),
            ..said
        }
    }

    /// What is stored of what is not on disk: standard input, and the directory that wraps all.
    #[must_use]
    pub fn of_nothing(&self) -> Metadata {
        self.choose(Metadata::NONE)
    }

    const fn choose(&self, own: Metadata) -> Metadata {
        Metadata {
            mode: if self.preserve_mode {
                own.mode
            } else {
                self.given.mode
            },
            mtime: if self.preserve_mtime {
                own.mtime
            } else {
                self.given.mtime
            },
        }
    }
}

fn mtime(entry: &Stat) -> Mtime {
    let nanos = u32::try_from(entry.st_mtime_nsec).unwrap_or_default();
    Mtime::new(entry.st_mtime, nanos)
}
