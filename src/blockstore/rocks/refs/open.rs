//! [`OpenFiles`]: the users' files that were read lately, held open.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lru::LruCache;
use rustix::fs::OFlags;

use crate::unixfs::Name;

/// Descriptors held open: a node may often have 1,024 only, and RocksDB wants some.
const OPEN_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// Files by path.
#[derive(Debug)]
pub(in super::super) struct OpenFiles(Mutex<LruCache<Name, Arc<Opened>>>);

#[derive(Debug)]
struct Opened {
    file: File,
    /// Device and inode.
    id: (u64, u64),
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(OPEN_MAX)))
    }
}

impl OpenFiles {
    /// Bytes of the file that is at `path` now; whose they are, only their hash says.
    pub(super) fn read(&self, path: &Name, offset: u64, size: usize) -> io::Result<Bytes> {
        let opened = self.open(path)?;
        let mut bytes = vec![0; size];
        opened.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }

    /// The file that is at `path` now.
    pub(super) fn handle(&self, path: &Name) -> io::Result<File> {
        self.open(path)?.file.try_clone()
    }

    fn open(&self, path: &Name) -> io::Result<Arc<Opened>> {
        // Each time, so that no descriptor keeps a file that its user has removed.
        let now = match std::fs::metadata(path.as_path()) {
            Ok(now) => now,
            Err(error) => {
                self.forget(path);
                return Err(error);
            }
        };
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = files.get(path)
            && opened.id == (now.dev(), now.ino())
        {
            return Ok(Arc::clone(opened));
        }
        files.pop(path);
        drop(files);
        // To open a pipe without NONBLOCK would wait for a writer.
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path.as_path())?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let opened = Arc::new(Opened {
            file,
            id: (found.dev(), found.ino()),
        });
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.put(path.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    pub(super) fn forget(&self, path: &Name) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.pop(path);
    }
}
