//! Files and directories that survive a loss of power as soon as they are made.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::RepoError;

/// Replaces a small file, readable by the owner alone: either the old or the new content is there,
/// whatever happens, and the new one when it returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), RepoError> {
    let name = path
        .file_name()
        .expect("a file in the repo has a name")
        .to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    // What an earlier crash left may be readable by others: make it anew.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(RepoError::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(RepoError::io("write", path))?;
    sync_dir(path.parent().expect("a file in the repo has a parent"))
}

/// Makes the directory `path`, for the owner alone, and those above it that are missing.
pub(crate) fn create_dirs(path: &Path) -> Result<(), RepoError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(path);
    if !above.is_dir() && above != path {
        create_dirs(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_dir(above),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(RepoError::io("make directory", path)(error)),
    }
}

/// Removes the directory `path` with all that is in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes what a directory lists durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), RepoError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(RepoError::io("sync", path))
}
