//! [`Part`]: a file that others fill, and that outlives whoever fills it, so that a later run goes on.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Attempt as _, ExtractError, Subject};
use super::metadata;
use super::place::Place;
use super::temp::Temp;
use crate::cid::Cid;
use crate::unixfs::data::Metadata;

/// The longest name that file systems take.
const NAME_MAX: usize = 255;
/// So many characters of a CID tell contents apart: 60 bits.
const CID_CHARS: usize = 12;

/// A file beside the target, under a name that the target and the content give. Locked while it is
/// open. Unless it is complete, it stays where it is when it is dropped, if there is anything in it.
#[derive(Debug)]
pub struct Part {
    temp: Temp,
    file: File,
    path: PathBuf,
    target: PathBuf,
    is_new: bool,
}

impl Part {
    pub(super) fn open(place: &Place, cid: &Cid) -> Result<Self, ExtractError> {
        let subject = Subject::new(place.path(), "create");
        let parent = std::path::absolute(place.parent_path()).on(&subject)?;
        let name = part_name(place.name(), cid);
        let path = parent.join(&name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        loop {
            let file = fs::openat(place.parent(), &name, flags | OFlags::NONBLOCK, mode);
            let file = File::from(file.on(&subject)?);
            match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(ExtractError::Busy { path }),
                result => result.on(&Subject::new(&path, "lock"))?,
            }
            let found = file.metadata().on(&subject)?;
            let ours = found.uid() == rustix::process::geteuid().as_raw();
            if !found.is_file() || !ours || found.nlink() > 1 {
                return Err(ExtractError::Exists { path });
            }
            // Whoever had the lock may have given the file its name since it was opened here.
            if found.nlink() == 0 {
                continue;
            }
            match std::fs::symlink_metadata(&path) {
                Ok(now) if (now.dev(), now.ino()) == (found.dev(), found.ino()) => {}
                _ => continue,
            }
            return Ok(Self {
                temp: Temp::named(place.parent(), name).on(&subject)?,
                file,
                path,
                target: parent.join(place.name()),
                is_new: found.len() == 0,
            });
        }
    }

    /// The file, open for reading and writing.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Where it is; absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it will be; absolute.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether nothing was in it.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Removes it.
    pub fn discard(self) {
        // It still removes what it names when it is dropped.
        let Self { temp, .. } = self;
        drop(temp);
    }

    pub(super) fn publish(
        self,
        place: &Place,
        metadata: Metadata,
        replace: bool,
    ) -> Result<(), ExtractError> {
        let subject = |action| Subject::new(place.path(), action);
        metadata::restore(self.file.as_fd(), metadata)
            .on(&subject("set permissions and time of"))?;
        self.file.sync_all().on(&subject("sync"))?;
        place.publish(self.temp, replace)
    }

    /// Leaves it where it is, unless it is empty.
    pub fn keep(self) {
        if self.file.metadata().is_ok_and(|found| found.len() > 0) {
            self.temp.keep();
        }
    }
}

/// `.NAME.store-part-CID`, with the end of the CID and as much of the name as there is room for.
fn part_name(target: &Path, cid: &Cid) -> String {
    let cid = cid.to_string();
    let suffix = format!(
        ".store-part-{}",
        &cid[cid.len().saturating_sub(CID_CHARS)..]
    );
    let name = String::from_utf8_lossy(target.as_os_str().as_bytes()).into_owned();
    let mut room = (NAME_MAX - 1 - suffix.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!(".{}{suffix}", &name[..room])
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::tempdir;

    use super::*;
    use crate::extract::Extractor;

    fn cid() -> Cid {
        crate::cid::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e").unwrap()
    }

    #[test]
    fn a_part_that_is_kept_is_found_again_and_gets_its_name() {
        let dir = tempdir().unwrap();
        let target = dir.path().join("out");
        let extractor = Extractor::new(&target, false).unwrap();
        let part = extractor.part(&cid()).unwrap();
        assert!(part.is_new());
        let name = part.path().file_name().unwrap();
        assert_eq!(name, ".out.store-part-ei66wof36n5e");
        part.file().write_all(b"half").unwrap();
        let busy = extractor.part(&cid()).unwrap_err();
        assert!(matches!(busy, ExtractError::Busy { .. }), "{busy}");
        part.keep();
        assert!(!target.exists());

        let part = extractor.part(&cid()).unwrap();
        assert!(!part.is_new());
        assert_eq!(part.target(), target);
        extractor.finish_part(part, Metadata::NONE).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"half");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_or_discarded_part_leaves_nothing() {
        let dir = tempdir().unwrap();
        let extractor = Extractor::new(&dir.path().join("out"), false).unwrap();
        extractor.part(&cid()).unwrap().keep();
        let part = extractor.part(&cid()).unwrap();
        part.file().write_all(b"half").unwrap();
        part.discard();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_stands_there_and_is_no_file_of_ours_is_refused() {
        let dir = tempdir().unwrap();
        let extractor = Extractor::new(&dir.path().join("out"), false).unwrap();
        let name = part_name(Path::new("out"), &cid());
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join(&name)).unwrap();
        assert!(extractor.part(&cid()).is_err());
        std::fs::remove_file(dir.path().join(&name)).unwrap();
        std::fs::write(dir.path().join("other"), "x").unwrap();
        std::fs::hard_link(dir.path().join("other"), dir.path().join(&name)).unwrap();
        assert!(matches!(
            extractor.part(&cid()),
            Err(ExtractError::Exists { .. })
        ));
    }

    #[test]
    fn the_name_is_never_too_long() {
        let name = part_name(Path::new(&"ä".repeat(127)), &cid());
        assert!(name.len() <= NAME_MAX && name.starts_with(".ää"), "{name}");
        assert!(name.ends_with("6wof36n5e"), "{name}");
    }
}
