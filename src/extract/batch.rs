//! [`Batch`]: many small files of one directory, synced together.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Attempt as _, ExtractError, Subject};
use super::metadata;
use super::temp::Temp;
use crate::unixfs::Name;
use crate::unixfs::data::Metadata;

/// Files that appear under their names together, complete and on disk, with the rules of
/// [`Extractor`](super::Extractor): a sync for each would take a hundred times longer. A drop leaves
/// nothing behind of those that have no name yet.
#[derive(Debug)]
pub struct Batch {
    dir: Arc<OwnedFd>,
    path: PathBuf,
    force: bool,
    unnamed: Vec<(Temp, PathBuf)>,
}

impl Batch {
    /// For files in the directory `path`. They replace files of the same names with `force` only.
    pub fn open(path: &Path, force: bool) -> Result<Self, ExtractError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(ExtractError::NoParent { path: path.into() }),
            result => result.on(&Subject::new(path, "open"))?,
        };
        let access = fs::Access::WRITE_OK | fs::Access::EXEC_OK;
        fs::accessat(&dir, ".", access, AtFlags::empty()).on(&Subject::new(path, "write in"))?;
        Ok(Self {
            dir: Arc::new(dir),
            path: path.into(),
            force,
            unnamed: Vec::new(),
        })
    }

    /// Writes the file `name`, all of it.
    pub fn add(
        &mut self,
        name: &Name,
        metadata: Metadata,
        bytes: &[u8],
    ) -> Result<(), ExtractError> {
        name.check().map_err(|source| ExtractError::Name {
            path: self.path.clone(),
            source,
        })?;
        let path = self.path.join(name.as_path());
        let there = fs::statat(&self.dir, name.as_path(), AtFlags::SYMLINK_NOFOLLOW);
        if !self.force && there.is_ok() {
            return Err(ExtractError::Exists { path });
        }
        let (temp, mut file): (Temp, File) =
            Temp::file_in(&self.dir).on(&Subject::new(&path, "create"))?;
        file.write_all(bytes).on(&Subject::new(&path, "write"))?;
        metadata::restore(file.as_fd(), metadata)
            .on(&Subject::new(&path, "set permissions and time of"))?;
        self.unnamed.push((temp, path));
        Ok(())
    }

    /// How many files have no name yet.
    #[must_use]
    pub fn unnamed(&self) -> usize {
        self.unnamed.len()
    }

    /// Makes the files durable and gives them their names: how each fared, in the order in which they
    /// were added.
    ///
    /// # Errors
    /// When none of them could be synced: nothing is left of them.
    pub fn finish(&mut self) -> Result<Vec<Result<(), ExtractError>>, ExtractError> {
        let unnamed = std::mem::take(&mut self.unnamed);
        if unnamed.is_empty() {
            return Ok(Vec::new());
        }
        let subject = Subject::new(&self.path, "sync");
        fs::syncfs(&self.dir).on(&subject)?;
        let force = self.force;
        let publish = |(temp, path): (Temp, PathBuf)| {
            let name = path.file_name().map_or(path.as_path(), Path::new);
            temp.publish(name, force)
                .on(&Subject::new(&path, "rename to"))
        };
        let named = unnamed.into_iter().map(publish).collect();
        fs::fsync(&self.dir).on(&subject)?;
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_together_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut batch = Batch::open(dir.path(), false).unwrap();
        for name in ["a", "b"] {
            batch
                .add(&name.into(), Metadata::NONE, name.as_bytes())
                .unwrap();
        }
        assert!(!dir.path().join("a").exists() && batch.unnamed() == 2);
        assert!(batch.finish().unwrap().iter().all(Result::is_ok));
        assert_eq!(entries(dir.path()), ["a", "b"]);
        assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"b");
        assert!(batch.finish().unwrap().is_empty());

        batch.add(&"c".into(), Metadata::NONE, b"c").unwrap();
        drop(batch);
        assert_eq!(entries(dir.path()), ["a", "b"]);
    }

    #[test]
    fn what_is_there_stays_without_force() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "old").unwrap();
        let mut batch = Batch::open(dir.path(), false).unwrap();
        let exists = |result| matches!(result, Err(ExtractError::Exists { .. }));
        assert!(exists(batch.add(&"a".into(), Metadata::NONE, b"new")));
        // Somebody else was faster, or it was named twice.
        for _ in 0..2 {
            batch.add(&"b".into(), Metadata::NONE, b"b").unwrap();
        }
        let mut named = batch.finish().unwrap();
        assert!(exists(named.pop().unwrap()) && named.pop().unwrap().is_ok());
        assert_eq!(entries(dir.path()), ["a", "b"]);

        let mut batch = Batch::open(dir.path(), true).unwrap();
        batch.add(&"a".into(), Metadata::NONE, b"new").unwrap();
        assert!(batch.finish().unwrap().remove(0).is_ok());
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
    }

    #[test]
    fn no_name_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut batch = Batch::open(dir.path(), true).unwrap();
        for name in ["..", "a/b", "", "/etc/x"] {
            let added = batch.add(&name.into(), Metadata::NONE, b"x");
            assert!(matches!(added, Err(ExtractError::Name { .. })), "{name:?}");
        }
        let missing = Batch::open(&dir.path().join("none"), false);
        assert!(matches!(missing, Err(ExtractError::NoParent { .. })));
    }
}
