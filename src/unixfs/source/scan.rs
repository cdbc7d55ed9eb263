//! The walk without opening a file: an explicit stack of the open directories' remaining names.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::vec;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::names::Names;
use super::{SourceError, SourceOptions, open};
use crate::unixfs::entry::Entry;
use crate::unixfs::name::Name;
use crate::unixfs::origin::{Identity, Origin};

/// Directories that are held open at most, for a shorter way to what is in them: those further in are
/// reached by their whole paths.
const MAX_OPEN: usize = 32;

/// The entries of some paths; see [`super::scan`]. It keeps the names of the directories that it is
/// in, and no file open.
#[derive(Debug)]
pub struct Scan {
    options: SourceOptions,
    paths: vec::IntoIter<PathBuf>,
    /// The paths that were begun, by name.
    begun: HashMap<OsString, PathBuf>,
    /// The directories that the walk is in, the innermost last.
    stack: Vec<Dir>,
    /// Where the names of paths below the one that the user named begin.
    top: usize,
    /// The absolute form of that path.
    base: Vec<u8>,
    failed: bool,
}

/// A file that a scan has found, and nobody has opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    path: PathBuf,
    follow: bool,
}

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    open: Option<OwnedFd>,
    /// Device and inode.
    id: (u64, u64),
    /// What is still to come.
    names: Names,
}

impl Unopened {
    /// Opens it for reading, if it is a file still.
    pub fn open(&self) -> Result<File, SourceError> {
        open::file(&self.path, self.follow)
    }

    /// Where it is, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Scan {
    pub(super) fn new(paths: Vec<PathBuf>, options: SourceOptions) -> Self {
        Self {
            options,
            paths: paths.into_iter(),
            begun: HashMap::new(),
            stack: Vec::new(),
            top: 0,
            base: Vec::new(),
            failed: false,
        }
    }

    /// The absolute form of the path, of those that the user named, that the last entry is at or below.
    #[must_use]
    pub fn top(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }

    fn step(&mut self) -> Result<Option<Entry<Unopened>>, SourceError> {
        while let Some(dir) = self.stack.last_mut() {
            let Some(name) = dir.names.next() else {
                self.stack.pop();
                return Ok(Some(Entry::End));
            };
            let path = dir.path.join(name);
            let name = name.to_owned();
            if let Some(entry) = self.entry(path, name.into(), false)? {
                return Ok(Some(entry));
            }
        }
        while let Some(path) = self.paths.next() {
            let path = named(&path, &self.options)?;
            let name = path.file_name().unwrap_or_default().to_owned();
            match self.begun.insert(name.clone(), path.clone()) {
                Some(first) if first == path => {}
                Some(first) => {
                    return Err(SourceError::SameName {
                        first,
                        second: path,
                    });
                }
                None => {
                    // What the user names is added whatever the rules say.
                    self.top = path.as_os_str().len() + 1;
                    let base = std::path::absolute(&path);
                    self.base = base.unwrap_or_default().into_os_string().into_vec();
                    return self.entry(path, name.into(), true);
                }
            }
        }
        Ok(None)
    }

    /// The entry at `path`, unless the rules leave it out.
    fn entry(
        &mut self,
        path: PathBuf,
        name: Name,
        is_named: bool,
    ) -> Result<Option<Entry<Unopened>>, SourceError> {
        let follow = self.options.dereference_symlinks;
        let stat = self.look(&path, is_named);
        let stat = stat.map_err(|errno| SourceError::io("open", &path)(errno.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !is_named && self.is_left_out(&path, kind.is_dir()) {
            return Ok(None);
        }
        let said = self.options.described.of(&stat);
        Ok(Some(if kind.is_dir() {
            self.enter(path, &stat)?;
            Entry::Dir {
                name,
                metadata: said,
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(SourceError::io("read symlink", &path))?;
            Entry::Symlink {
                name,
                metadata: said,
                target: target.into_os_string().into(),
            }
        } else if kind.is_file() {
            let below = &path.as_os_str().as_bytes()[self.top - 1..];
            let origin = Origin {
                path: [&self.base, below].concat().into(),
                identity: Identity::of_stat(&stat),
            };
            Entry::File {
                name,
                metadata: said,
                origin: Some(origin),
                begun: Vec::new(),
                refer: None,
                content: Unopened { path, follow },
            }
        } else {
            return Err(open::special(&path, kind));
        }))
    }

    /// What is at `path`: an entry of the innermost directory, unless the user named it.
    fn look(&self, path: &Path, is_named: bool) -> rustix::io::Result<Stat> {
        let flags = if self.options.dereference_symlinks {
            AtFlags::empty()
        } else {
            AtFlags::SYMLINK_NOFOLLOW
        };
        let dir = self.stack.last().filter(|_| !is_named);
        match (dir.and_then(|dir| dir.open.as_ref()), path.file_name()) {
            (Some(dir), Some(name)) => rustix::fs::statat(dir.as_fd(), name, flags),
            _ => rustix::fs::statat(CWD, path, flags),
        }
    }

    fn is_left_out(&self, path: &Path, is_dir: bool) -> bool {
        let Some(rules) = &self.options.rules else {
            return false;
        };
        let below = &path.as_os_str().as_bytes()[self.top..];
        rules.excludes(Path::new(OsStr::from_bytes(below)), is_dir)
    }

    fn enter(&mut self, path: PathBuf, stat: &Stat) -> Result<(), SourceError> {
        let id = (stat.st_dev, stat.st_ino);
        if self.stack.iter().any(|dir| dir.id == id) {
            return Err(SourceError::Loop { path });
        }
        let hidden = self.options.hidden;
        let wanted = |name: &OsStr| hidden || !name.as_bytes().starts_with(b".");
        let names = Names::read(&path, wanted).map_err(SourceError::io("read directory", &path))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = (self.stack.len() < MAX_OPEN)
            .then(|| rustix::fs::open(&path, flags, Mode::empty()).ok())
            .flatten();
        self.stack.push(Dir {
            path,
            open,
            id,
            names,
        });
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<Entry<Unopened>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.as_ref().is_err_and(|error| !error.is_of_one_entry());
        step.transpose()
    }
}

/// The path in a form that ends in a name: without a slash at its end, which would follow a symlink.
fn named(path: &Path, options: &SourceOptions) -> Result<PathBuf, SourceError> {
    let clean: PathBuf = path.components().collect();
    if clean.file_name().is_some() && !options.dereference_symlinks {
        return Ok(clean);
    }
    fs::canonicalize(path).map_err(SourceError::io("open", path))
}
