//! A repo from a backup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::copy::{check_room, copy};
use super::{BackupError, Backups, Generation, Progress};
use crate::repo::{CLONES, RepoFile, format, write};

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new repo.
    pub path: PathBuf,
    /// From which backup.
    pub generation: Generation,
    /// Whether it has the identity of the one that was backed up.
    pub same_identity: bool,
}

/// Makes a repo at `target`, which must be new or empty, from a backup in `dir`: the newest, or the one
/// with this `number`. It gets an identity of its own when it is first used, unless `same_identity`:
/// two nodes of one identity would be taken for one. Each file is checked on its way; where anything
/// fails, nothing is left.
pub fn restore(
    dir: &Path,
    number: Option<u64>,
    target: &Path,
    same_identity: bool,
    progress: &Progress<'_>,
) -> Result<Restored, BackupError> {
    let backups = Backups::open(dir)?;
    let generation = backups.find(number)?;
    let target = std::path::absolute(target).map_err(BackupError::io("find", target))?;
    let made = vacant(&target)?;
    let above = target.ancestors().find(|path| path.is_dir());
    check_room(above.unwrap_or(Path::new("/")), generation.size())?;
    write::create_dirs(&target)?;
    let copied = copy_all(&backups, &generation, &target, same_identity, progress);
    if let Err(error) = copied {
        clear(&target, made);
        return Err(error);
    }
    Ok(Restored {
        path: target,
        generation,
        same_identity,
    })
}

/// Whether `target` is still to be made; refuses where it has anything in it.
fn vacant(target: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(BackupError::Occupied {
                path: target.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(BackupError::io("look into", target)(error)),
    }
}

fn copy_all(
    backups: &Backups,
    generation: &Generation,
    target: &Path,
    same_identity: bool,
    progress: &Progress<'_>,
) -> Result<(), BackupError> {
    let db = target.join("db");
    write::create_dirs(&db)?;
    let clones = target.join(CLONES);
    if generation
        .members
        .iter()
        .any(|m| m.path.starts_with(CLONES))
    {
        write::create_dirs(&clones)?;
    }
    let (mut done, total) = (0, generation.size());
    for member in &generation.members {
        if member.path == RepoFile::Identity.name() && !same_identity {
            continue;
        }
        let from = backups.stored(member);
        let content = copy(&from, &target.join(&member.path), &mut |more| {
            done += more;
            progress(done, total)
        })?;
        if content != member.content() {
            return Err(BackupError::Damaged {
                path: from,
                reason: "its content has changed".into(),
            });
        }
    }
    write::sync_dir(&db)?;
    if clones.is_dir() {
        write::sync_dir(&clones)?;
    }
    // Last: where it is, everything is.
    format::declare(target, generation.format)?;
    Ok(())
}

/// Removes what was begun; the target itself, if it was not there before.
fn clear(target: &Path, made: bool) {
    let entries = fs::read_dir(target).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove what was begun");
        }
    }
    if made && let Err(error) = fs::remove_dir(target) {
        tracing::warn!(path = %target.display(), %error, "cannot remove what was begun");
    }
}
