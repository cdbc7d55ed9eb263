//! [`NewFile`]: one file whose size is not known before its end.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::error::{Attempt as _, ExtractError, Subject};
use super::place::Place;
use super::temp::Temp;

/// A file that appears under its name when it is complete and on disk, with the rules of
/// [`Extractor`](super::Extractor). A drop before it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    place: Place,
    temp: Temp,
    file: File,
    force: bool,
}

impl NewFile {
    /// Begins to write `target`, which must not be there unless it may be replaced (`force`).
    pub fn create(target: &Path, force: bool) -> Result<Self, ExtractError> {
        let place = Place::open(target)?;
        if place.kind().is_some() && !force {
            return Err(ExtractError::Exists {
                path: target.into(),
            });
        }
        place.check_not_a_directory()?;
        let (temp, file) = Temp::file(place.parent()).on(&Subject::new(target, "create"))?;
        Ok(Self {
            place,
            temp,
            file,
            force,
        })
    }

    /// Writes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        self.file
            .write_all(bytes)
            .on(&Subject::new(self.place.path(), "write"))
    }

    /// Makes it durable and gives it its name.
    pub fn finish(self) -> Result<(), ExtractError> {
        let subject = Subject::new(self.place.path(), "sync");
        self.file.sync_all().on(&subject)?;
        self.place.publish(self.temp, self.force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let entries = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut dropped = NewFile::create(&path, false).unwrap();
        dropped.write(b"half").unwrap();
        assert!(!path.exists());
        drop(dropped);
        assert_eq!(entries(), 0, "nothing is left of it");

        let mut file = NewFile::create(&path, false).unwrap();
        file.write(b"one, ").unwrap();
        file.write(b"two").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one, two");
        let error = NewFile::create(&path, false).unwrap_err();
        assert!(matches!(error, ExtractError::Exists { .. }));
        let mut file = NewFile::create(&path, true).unwrap();
        file.write(b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one, two");
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(entries(), 1);
        assert!(NewFile::create(dir.path(), true).is_err());
    }
}
