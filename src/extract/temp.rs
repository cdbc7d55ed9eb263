//! [`Temp`]: what is written under a name that nobody uses, and removed unless it gets its own.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, Result};

use super::error::{Attempt as _, ExtractError, Subject};
use super::metadata;
use crate::unixfs::Name;
use crate::unixfs::data::Metadata;

/// Names that are tried before giving up: of 64 random bits, a second one is never needed.
const ATTEMPTS: usize = 8;

/// A temporary file, symlink or directory.
#[derive(Debug)]
pub(super) struct Temp {
    /// The directory that it is in.
    parent: Arc<OwnedFd>,
    name: String,
    /// For a directory, the path by which it is removed.
    tree: Option<PathBuf>,
    published: bool,
}

impl Temp {
    /// A new file in `parent`, open for writing.
    pub(super) fn file(parent: BorrowedFd<'_>) -> Result<(Self, File)> {
        Self::file_in(&own(parent)?)
    }

    /// The same, for one of many in one directory: they share its descriptor.
    pub(super) fn file_in(parent: &Arc<OwnedFd>) -> Result<(Self, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o666);
        let open = |name: &str| fs::openat(parent, name, flags | OFlags::CLOEXEC, mode);
        let (temp, file) = Self::create(Arc::clone(parent), open)?;
        Ok((temp, File::from(file)))
    }

    /// A new symlink in `parent`.
    pub(super) fn symlink(
        parent: BorrowedFd<'_>,
        target: &Name,
        metadata: Metadata,
    ) -> Result<Self> {
        let link = |name: &str| fs::symlinkat(target.as_path(), parent, name);
        let (temp, ()) = Self::create(own(parent)?, link)?;
        metadata::restore_symlink(parent, Path::new(&temp.name), metadata)?;
        Ok(temp)
    }

    /// A new directory in `parent`, whose path is `path`.
    pub(super) fn dir(
        parent: BorrowedFd<'_>,
        path: &Path,
    ) -> std::result::Result<Self, ExtractError> {
        let make = |name: &str| fs::mkdirat(parent, name, Mode::from_raw_mode(0o777));
        let subject = Subject::new(path, "write in");
        let own = own(parent).on(&subject)?;
        let (mut temp, ()) = Self::create(own, make).on(&subject)?;
        temp.tree = Some(path.join(&temp.name));
        Ok(temp)
    }

    /// A file that is there under this name.
    pub(super) fn named(parent: BorrowedFd<'_>, name: String) -> Result<Self> {
        Ok(Self {
            parent: own(parent)?,
            name,
            tree: None,
            published: false,
        })
    }

    /// Leaves it where it is.
    pub(super) fn keep(mut self) {
        self.published = true;
    }

    fn create<T>(parent: Arc<OwnedFd>, make: impl Fn(&str) -> Result<T>) -> Result<(Self, T)> {
        for _ in 0..ATTEMPTS {
            let name = fresh_name();
            match make(&name) {
                Ok(value) => {
                    return Ok((
                        Self {
                            parent,
                            name,
                            tree: None,
                            published: false,
                        },
                        value,
                    ));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }

    /// Opens the directory; `path` is what errors name.
    pub(super) fn open_dir(&self, path: &Path) -> std::result::Result<OwnedFd, ExtractError> {
        open_dir(self.parent.as_fd(), Path::new(&self.name)).on(&Subject::new(path, "open"))
    }

    /// Gives it its name, in the same directory. Without `replace` nothing that exists is replaced,
    /// whoever made it in the meantime.
    pub(super) fn publish(mut self, name: &Path, replace: bool) -> Result<()> {
        let (dir, old) = (&self.parent, self.name.as_str());
        if replace {
            fs::renameat(dir, old, dir, name)?;
        } else {
            match fs::renameat_with(dir, old, dir, name, RenameFlags::NOREPLACE) {
                // Some network and FUSE file systems cannot do that.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.tree.is_none() => {
                    fs::linkat(dir, old, dir, name, AtFlags::empty())?;
                    fs::unlinkat(dir, old, AtFlags::empty())?;
                }
                // A directory has no second name; it replaces an empty directory at most.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    fs::renameat(dir, old, dir, name)?;
                }
                result => result?,
            }
        }
        self.published = true;
        Ok(())
    }
}

impl Temp {
    /// Removes the directory and all in it. The standard library's removal follows no symlink, but
    /// holds a descriptor per level, and needs the permissions that some directories have lost: a
    /// tree too hard for that is unlocked and made flat first.
    fn remove_tree(&self, path: &Path) -> std::io::Result<()> {
        if std::fs::remove_dir_all(path).is_ok() {
            return Ok(());
        }
        unlock(self.parent.as_fd(), Path::new(&self.name))?;
        let root = open_dir(self.parent.as_fd(), Path::new(&self.name))?;
        let mut names = subdirectories(&root)?;
        for name in &names {
            unlock(root.as_fd(), name)?;
        }
        while let Some(name) = names.pop() {
            let dir = open_dir(root.as_fd(), &name)?;
            for child in subdirectories(&dir)? {
                unlock(dir.as_fd(), &child)?;
                let flat = PathBuf::from(fresh_name());
                fs::renameat(&dir, &child, &root, &flat)?;
                names.push(flat);
            }
        }
        std::fs::remove_dir_all(path)
    }
}

impl Drop for Temp {
    /// Removes it as far as that works: there is nobody to tell.
    fn drop(&mut self) {
        if self.published {
            return;
        }
        match &self.tree {
            Some(path) => drop(self.remove_tree(path)),
            None => drop(fs::unlinkat(&self.parent, &self.name, AtFlags::empty())),
        }
    }
}

/// A descriptor of its own.
fn own(parent: BorrowedFd<'_>) -> Result<Arc<OwnedFd>> {
    Ok(Arc::new(rustix::io::fcntl_dupfd_cloexec(parent, 0)?))
}

/// Opens a directory by its name in another one, not through a symlink.
pub(super) fn open_dir(parent: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// Gives the owner all permissions on a directory, which may have none; not through a symlink.
fn unlock(parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = fs::openat(parent, name, flags, Mode::empty())?;
    // A descriptor without permissions has no `fchmod`; its name under /proc leads to it alone.
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    fs::chmod(path, Mode::RWXU)
}

/// A name that nobody uses.
fn fresh_name() -> String {
    // The standard library seeds its hash maps from the system's randomness.
    let random = RandomState::new().build_hasher().finish();
    format!(".store-{random:016x}.part")
}

fn subdirectories(dir: &OwnedFd) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode).is_dir();
        if is_dir && name != Path::new(".") && name != Path::new("..") {
            names.push(name.into());
        }
    }
    Ok(names)
}
