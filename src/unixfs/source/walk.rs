//! The walk itself: an explicit stack of the open directories' remaining names.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::iter::FusedIterator;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::vec;

use super::{FileEntry, SourceError, SourceOptions, open};
use crate::unixfs::entry::Entry;
use crate::unixfs::name::Name;

/// The entries of some paths; see [`super::walk`]. It keeps the names of the directories that it is
/// in, and no file open.
#[derive(Debug)]
pub struct Walk {
    options: SourceOptions,
    paths: vec::IntoIter<PathBuf>,
    /// The paths that were begun, by name.
    begun: HashMap<OsString, PathBuf>,
    /// The directories that the walk is in, the innermost last.
    stack: Vec<Dir>,
    failed: bool,
}

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
    /// What is still to come.
    names: vec::IntoIter<OsString>,
}

impl Walk {
    pub(super) fn new(paths: Vec<PathBuf>, options: SourceOptions) -> Self {
        Self {
            options,
            paths: paths.into_iter(),
            begun: HashMap::new(),
            stack: Vec::new(),
            failed: false,
        }
    }

    fn step(&mut self) -> Result<Option<FileEntry>, SourceError> {
        if let Some(dir) = self.stack.last_mut() {
            let Some(name) = dir.names.next() else {
                self.stack.pop();
                return Ok(Some(Entry::End));
            };
            let path = dir.path.join(&name);
            return self.entry(path, name.into()).map(Some);
        }
        for path in self.paths.by_ref() {
            let path = named(&path, self.options)?;
            let name = path.file_name().unwrap_or_default().to_owned();
            match self.begun.insert(name.clone(), path.clone()) {
                Some(first) if first == path => {}
                Some(first) => {
                    return Err(SourceError::SameName {
                        first,
                        second: path,
                    });
                }
                None => return self.entry(path, name.into()).map(Some),
            }
        }
        Ok(None)
    }

    fn entry(&mut self, path: PathBuf, name: Name) -> Result<FileEntry, SourceError> {
        let follow = self.options.dereference_symlinks;
        let metadata = if follow {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        let metadata = metadata.map_err(SourceError::io("open", &path))?;
        let kind: FileType = metadata.file_type();
        let said = self.options.described.of(&metadata);
        if kind.is_dir() {
            self.enter(path, &metadata)?;
            Ok(Entry::Dir {
                name,
                metadata: said,
            })
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(SourceError::io("read symlink", &path))?;
            Ok(Entry::Symlink {
                name,
                metadata: said,
                target: target.into_os_string().into(),
            })
        } else if kind.is_file() {
            Ok(Entry::File {
                name,
                metadata: said,
                origin: None,
                content: open::file(&path, follow)?,
            })
        } else {
            Err(open::special(&path, kind))
        }
    }

    fn enter(&mut self, path: PathBuf, metadata: &Metadata) -> Result<(), SourceError> {
        let id = (metadata.dev(), metadata.ino());
        if self.stack.iter().any(|dir| dir.id == id) {
            return Err(SourceError::Loop { path });
        }
        let names = names(&path, self.options.hidden)?.into_iter();
        self.stack.push(Dir { path, id, names });
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Result<FileEntry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl FusedIterator for Walk {}

/// The path in a form that ends in a name: without a slash at its end, which would follow a symlink.
fn named(path: &Path, options: SourceOptions) -> Result<PathBuf, SourceError> {
    let clean: PathBuf = path.components().collect();
    if clean.file_name().is_some() && !options.dereference_symlinks {
        return Ok(clean);
    }
    fs::canonicalize(path).map_err(SourceError::io("open", path))
}

/// The names in a directory, by their bytes.
fn names(path: &Path, hidden: bool) -> Result<Vec<OsString>, SourceError> {
    let error = |e| SourceError::io("read directory", path)(e);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        let name = entry.map_err(error)?.file_name();
        if hidden || !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
