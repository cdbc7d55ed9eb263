//! Permissions and times of what was written: set by descriptor, never through a name that somebody
//! could have exchanged.
//!
//! Whoever made the content chose them, so no more is taken than is harmless: the nine permission
//! bits. Setuid, setgid and sticky bits are never set, whatever is stored.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::{Errno, Result};

use crate::unixfs::data::{Metadata, Mtime};

/// The permissions that are restored.
const MODE: u32 = 0o777;

/// Sets what is stored of an open file or directory. The last that is done to it: each later write
/// would change its time.
pub(super) fn restore(fd: BorrowedFd<'_>, metadata: Metadata) -> Result<()> {
    if let Some(mode) = metadata.mode {
        tolerate(fs::fchmod(fd, Mode::from_raw_mode(mode & MODE)))?;
    }
    match metadata.mtime {
        Some(mtime) => tolerate(fs::futimens(fd, &timestamps(mtime))),
        None => Ok(()),
    }
}

/// Sets the time of the symlink `name`, not of what it leads to. Nobody looks at its permissions.
pub(super) fn restore_symlink(dir: BorrowedFd<'_>, name: &Path, metadata: Metadata) -> Result<()> {
    let Some(mtime) = metadata.mtime else {
        return Ok(());
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    tolerate(fs::utimensat(dir, name, &timestamps(mtime), flags))
}

/// A file system that has no such thing (FAT, some network file systems) still gets the bytes.
fn tolerate(result: Result<()>) -> Result<()> {
    match result {
        Err(error @ (Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)) => {
            tracing::warn!(%error, "permissions or times could not be set");
            Ok(())
        }
        result => result,
    }
}

fn timestamps(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanos.unwrap_or_default().into(),
        },
    }
}
