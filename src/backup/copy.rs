//! [`Copier`]: files into a directory of backups, each once, hashed on the way.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::manifest::sha256;
use crate::repo::{CLONES, write};

use super::{BackupError, Backups, FILES, Generation, Member, Progress};

/// A piece of a file, as it is hashed.
const PIECE: usize = 1 << 20;
/// Pieces that are hashed together.
const LANES: usize = 16;

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

pub(super) struct Copier<'a> {
    backups: &'a Backups,
    /// The files of the backup before, by their paths.
    before: HashMap<&'a str, &'a Member>,
    /// What was made here, to be removed if it comes to nothing.
    made: Vec<PathBuf>,
    copied: Copied,
    total: u64,
    done: u64,
    progress: &'a Progress<'a>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        backups: &'a Backups,
        before: Option<&'a Generation>,
        sources: &[(String, PathBuf)],
        progress: &'a Progress<'a>,
    ) -> Result<Self, BackupError> {
        let members = before.iter().flat_map(|before| &before.members);
        let mut copier = Self {
            backups,
            before: members.map(|m| (m.path.as_str(), m)).collect(),
            made: Vec::new(),
            copied: Copied::default(),
            total: 0,
            done: 0,
            progress,
        };
        let mut needed = 0;
        for (path, source) in sources {
            let size = stat(source)?.size();
            copier.total += size;
            if copier.known(path, source)?.is_none() {
                needed += size;
            }
        }
        check_room(&backups.path, needed)?;
        Ok(copier)
    }

    pub(super) const fn copied(&self) -> Copied {
        self.copied
    }

    /// Copies what is new; what all are, in their order.
    pub(super) fn copy_all(
        &mut self,
        sources: &[(String, PathBuf)],
    ) -> Result<Vec<Member>, BackupError> {
        let members = sources
            .iter()
            .map(|(path, source)| self.copy(path, source))
            .collect::<Result<Vec<_>, _>>()?;
        write::sync_dir(&self.backups.path.join(FILES))?;
        Ok(members)
    }

    /// Removes what was copied.
    pub(super) fn undo(&mut self) {
        for path in self.made.drain(..) {
            // It is in nobody's way.
            let _ = fs::remove_file(path);
        }
    }

    /// The file as an earlier backup has it. Tables and blob files never change: one of the same name,
    /// size and time is the same.
    fn known(&self, path: &str, source: &Path) -> Result<Option<Member>, BackupError> {
        let immutable = path.starts_with(CLONES)
            || Path::new(path)
                .extension()
                .is_some_and(|extension| extension == "sst" || extension == "blob");
        let Some(member) = self.before.get(path).filter(|_| immutable) else {
            return Ok(None);
        };
        let metadata = stat(source)?;
        let same = metadata.size() == member.size && mtime(&metadata) == member.mtime;
        let there = fs::metadata(self.backups.stored(member));
        let there = there.is_ok_and(|there| there.size() == member.size);
        Ok((same && there).then(|| (*member).clone()))
    }

    fn copy(&mut self, path: &str, source: &Path) -> Result<Member, BackupError> {
        if let Some(member) = self.known(path, source)? {
            self.note(member.size)?;
            return Ok(member);
        }
        let metadata = stat(source)?;
        let temporary = self.backups.path.join(FILES).join(".new");
        let _ = fs::remove_file(&temporary);
        self.made.push(temporary.clone());
        let (size, hash) = copy(source, &temporary, &mut |more| self.note(more).is_ok())?;
        let member = Member {
            path: path.to_owned(),
            size,
            mtime: mtime(&metadata),
            hash,
        };
        let stored = self.backups.stored(&member);
        let new = !stored.exists();
        fs::rename(&temporary, &stored).map_err(BackupError::io("write", &stored))?;
        if new {
            self.made.push(stored);
        }
        self.copied.files += 1;
        self.copied.bytes += size;
        Ok(member)
    }

    fn note(&mut self, more: u64) -> Result<(), BackupError> {
        self.done += more;
        if (self.progress)(self.done, self.total) {
            Ok(())
        } else {
            Err(BackupError::Interrupted)
        }
    }
}

/// Copies a file, durably, readable by the owner alone; its size and hash. `go_on` is told of each
/// piece.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(u64, [u8; 32]), BackupError> {
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(BackupError::io("make", to))?;
    let content = read(from, &mut |bytes| {
        out.write_all(bytes).map_err(BackupError::io("write", to))?;
        if go_on(bytes.len() as u64) {
            Ok(())
        } else {
            Err(BackupError::Interrupted)
        }
    })?;
    out.sync_all().map_err(BackupError::io("sync", to))?;
    Ok(content)
}

/// Size and hash of a file.
pub(super) fn hash(
    path: &Path,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<(u64, [u8; 32]), BackupError> {
    read(path, &mut |bytes| {
        if go_on(bytes.len() as u64) {
            Ok(())
        } else {
            Err(BackupError::Interrupted)
        }
    })
}

fn read(
    path: &Path,
    each: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, [u8; 32]), BackupError> {
    let mut file = File::open(path).map_err(BackupError::io("open", path))?;
    let mut buffer = vec![0; PIECE * LANES];
    let (mut size, mut digests) = (0, Vec::new());
    loop {
        let filled = fill(&mut file, &mut buffer).map_err(BackupError::io("read", path))?;
        if filled == 0 {
            break;
        }
        let pieces: Vec<&[u8]> = buffer[..filled].chunks(PIECE).collect();
        let mut some = vec![[0; 32]; pieces.len()];
        tape_sha256::hash_many(&pieces, &mut some);
        digests.extend(some.into_iter().flatten());
        each(&buffer[..filled])?;
        size += filled as u64;
    }
    Ok((size, sha256(&digests)))
}

/// Fills the buffer, as far as there is something to fill it with.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Refuses where fewer than `needed` bytes are free.
pub(super) fn check_room(path: &Path, needed: u64) -> Result<(), BackupError> {
    let room = rustix::fs::statvfs(path)
        .map_err(|error| BackupError::io("look at the disk of", path)(error.into()))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < needed {
        return Err(BackupError::NoRoom {
            path: path.to_owned(),
            free,
            needed,
        });
    }
    Ok(())
}

fn stat(path: &Path) -> Result<fs::Metadata, BackupError> {
    fs::metadata(path).map_err(BackupError::io("look at", path))
}

fn mtime(metadata: &fs::Metadata) -> u128 {
    let seconds = u128::try_from(metadata.mtime()).unwrap_or_default();
    seconds * 1_000_000_000 + u128::try_from(metadata.mtime_nsec()).unwrap_or_default()
}
