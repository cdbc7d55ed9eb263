//! What one path is, and its bytes: checked on the descriptor, so that a path that changes
//! meanwhile cannot make the walk hang on a pipe or follow a symlink.

use std::fs::{File, FileType, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::SourceError;

/// Opens a regular file for reading.
pub(super) fn file(path: &Path, follow: bool) -> Result<File, SourceError> {
    // To open a pipe without NONBLOCK would wait for a writer; reads of files do not care.
    let mut flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    #[expect(
        clippy::cast_possible_wrap,
        reason = "flags are far below the sign bit"
    )]
    let flags = flags.bits() as i32;
    let open = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = open.map_err(SourceError::io("open", path))?;
    let metadata = file.metadata().map_err(SourceError::io("open", path))?;
    if !metadata.is_file() {
        return Err(special(path, metadata.file_type()));
    }
    Ok(file)
}

/// That this cannot be added.
pub(super) fn special(path: &Path, kind: FileType) -> SourceError {
    let what = if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        // It was a file a moment ago.
        "not what it was before"
    };
    SourceError::Special {
        path: path.to_owned(),
        what,
    }
}
