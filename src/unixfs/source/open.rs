//! What one path is, and its bytes: checked on the descriptor, so that a path that changes
//! meanwhile cannot make the walk hang on a pipe or follow a symlink.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

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
        return Err(special(path, FileType::from_raw_mode(metadata.mode())));
    }
    Ok(file)
}

/// That this cannot be added.
pub(super) fn special(path: &Path, kind: FileType) -> SourceError {
    let what = match kind {
        FileType::Socket => "a socket",
        FileType::Fifo => "a named pipe",
        FileType::BlockDevice => "a block device",
        FileType::CharacterDevice => "a character device",
        // It was a file a moment ago.
        _ => "not what it was before",
    };
    SourceError::Special {
        path: path.to_owned(),
        what,
    }
}
