//! [`Lock`]: one process at a time. The kernel gives it back when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::RepoError;

/// A locked repo; free again when dropped.
pub(super) struct Lock(File);

impl Lock {
    /// Locks the repo in the directory `path`, or tells who has it.
    pub(super) fn take(path: &Path) -> Result<Self, RepoError> {
        let file = path.join("repo.lock");
        let mut open = OpenOptions::new();
        open.read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut lock = open.open(&file).map_err(RepoError::io("open", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // A pid is at most ten digits. It is a help for people: no error if it is not there.
                let _ = (&mut lock).take(16).read_to_string(&mut text);
                return Err(RepoError::Locked {
                    path: path.into(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(RepoError::io("lock", &file)(error)),
        }
        // Always of the same length: the next one leaves no digit of this one.
        let pid = format!("{:<10}\n", std::process::id());
        lock.write_all(pid.as_bytes())
            .map_err(RepoError::io("write", &file))?;
        Ok(Self(lock))
    }

    /// Syncs the pid. Nobody needs it after a crash, but a repo has no file that is written and not
    /// synced, and no exception to remember. `path` is the repo's.
    pub(super) fn sync(&self, path: &Path) -> Result<(), RepoError> {
        self.0
            .sync_data()
            .map_err(RepoError::io("sync", &path.join("repo.lock")))
    }
}
