//! [`OpenFile`]: one file that is being written.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use super::error::{Attempt as _, ExtractError, Subject};
use super::metadata;
use super::temp::Temp;
use crate::unixfs::data::Metadata;

/// A file, and how much of it is still to come.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// Its path in the end, for errors.
    path: PathBuf,
    missing: u64,
    metadata: Metadata,
    fate: Fate,
}

/// What becomes of the file when it is complete.
#[derive(Debug)]
enum Fate {
    /// It has its name already, in a tree that is temporary as a whole.
    Named,
    /// It replaces whatever has its name in an existing directory.
    Replaces(Temp),
    /// It is the root: it waits for the whole to be finished.
    Root(Temp),
}

impl OpenFile {
    /// A file in a directory of a temporary tree.
    pub(super) const fn named(file: File, path: PathBuf, size: u64) -> Self {
        Self {
            file,
            path,
            missing: size,
            metadata: Metadata::NONE,
            fate: Fate::Named,
        }
    }

    /// A file in an existing directory.
    pub(super) fn replacing(
        dir: BorrowedFd<'_>,
        path: PathBuf,
        size: u64,
    ) -> Result<Self, ExtractError> {
        let (temp, file) = Temp::file(dir).on(&Subject::new(&path, "create"))?;
        Ok(Self {
            file,
            path,
            missing: size,
            metadata: Metadata::NONE,
            fate: Fate::Replaces(temp),
        })
    }

    /// The file that is the root of what is written.
    pub(super) fn root(dir: BorrowedFd<'_>, path: &Path, size: u64) -> Result<Self, ExtractError> {
        let (temp, file) = Temp::file(dir).on(&Subject::new(path, "create"))?;
        Ok(Self {
            file,
            path: path.into(),
            missing: size,
            metadata: Metadata::NONE,
            fate: Fate::Root(temp),
        })
    }

    /// The same with this metadata once it is complete.
    pub(super) const fn described(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Writes the next bytes: never more than were announced.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        let more = ExtractError::Sequence {
            reason: "a file is longer than it said",
        };
        self.missing = self.missing.checked_sub(bytes.len() as u64).ok_or(more)?;
        self.file
            .write_all(bytes)
            .on(&Subject::new(&self.path, "write"))
    }

    /// Closes it; returns the temporary file if it is the root.
    pub(super) fn finish(self) -> Result<Option<Temp>, ExtractError> {
        if self.missing > 0 {
            return Err(ExtractError::Sequence {
                reason: "a file is shorter than it said",
            });
        }
        metadata::restore(self.file.as_fd(), self.metadata)
            .on(&Subject::new(&self.path, "set permissions and time of"))?;
        let sync = |file: &File| file.sync_all().on(&Subject::new(&self.path, "sync"));
        match self.fate {
            Fate::Named => Ok(None),
            Fate::Root(temp) => {
                sync(&self.file)?;
                Ok(Some(temp))
            }
            Fate::Replaces(temp) => {
                sync(&self.file)?;
                let name = Path::new(self.path.file_name().expect("the path ends with its name"));
                temp.publish(name, true)
                    .on(&Subject::new(&self.path, "replace"))?;
                Ok(None)
            }
        }
    }
}
