//! Bringing a repo to the newest format, and rehearsing that.

use std::fs;
use std::path::Path;

use super::format::{self, FORMAT, State};
use super::lock::Lock;
use super::{CHECKPOINT, Repo, RepoError, RepoOptions, write};
use crate::blockstore::{RocksStore, StoreOptions, Upgrade};

/// What was done, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The format that the repo had.
    pub from: u32,
    /// The format that it has now, or would have.
    pub to: u32,
    /// What was made on the way; `None` where nothing had to be.
    pub upgrade: Option<Upgrade>,
}

/// Brings the repo in the directory `path` to the newest format, as every opening does.
///
/// With `dry`, nothing of it changes: the same is done on a copy, which takes no more room than the
/// database's log, since tables and blob files are linked.
pub fn migrate(path: &Path, options: &RepoOptions, dry: bool) -> Result<Migration, RepoError> {
    let path = std::path::absolute(path).map_err(RepoError::io("find", path))?;
    let state = format::inspect(&path)?;
    let from = format::number(&path)?.ok_or_else(|| RepoError::Missing { path: path.clone() })?;
    let upgrade = match state {
        State::Older { from } if dry => Some(rehearse(&path, from, options)?),
        State::Older { .. } => {
            let repo = Repo::open(&path, options)?;
            let upgrade = repo.upgrade;
            repo.close()?;
            upgrade
        }
        State::Ready | State::Unfinished => None,
    };
    Ok(Migration {
        from,
        to: FORMAT,
        upgrade,
    })
}

fn rehearse(path: &Path, from: u32, options: &RepoOptions) -> Result<Upgrade, RepoError> {
    let _lock = Lock::take(path)?;
    let copy = path.join(CHECKPOINT);
    remove(&copy)?;
    write::create_dirs(&copy)?;
    let upgraded = link(&path.join("db"), &copy).and_then(|()| {
        let options = StoreOptions {
            low_memory: options.low_memory,
        };
        let upgrade = || RocksStore::open_existing(&copy, options)?.upgrade_from(from, false);
        upgrade().map_err(|error| RepoError::Store {
            path: path.to_owned(),
            error,
        })
    });
    remove(&copy)?;
    upgraded
}

/// Tables and blob files never change: they are linked. The rest is small, and copied.
fn link(from: &Path, to: &Path) -> Result<(), RepoError> {
    let entries = fs::read_dir(from).map_err(RepoError::io("look into", from))?;
    for entry in entries {
        let source = entry.map_err(RepoError::io("look into", from))?.path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        let extension = source.extension();
        if extension.is_some_and(|extension| extension == "sst" || extension == "blob") {
            fs::hard_link(&source, &target).map_err(RepoError::io("link", &source))?;
        } else {
            fs::copy(&source, &target).map_err(RepoError::io("copy", &source))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), RepoError> {
    write::remove_dir(path).map_err(RepoError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;
    use std::sync::Arc;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::blockstore::{Blockstore, schema};
    use crate::cid;
    use crate::dag::walk::missing;
    use crate::scrub::{Dag, Pass};

    /// A repo that a program of format 1 made: three pins, in tables, blob files and the log.
    fn old() -> (TempDir, std::path::PathBuf) {
        let dir = tempdir().unwrap();
        let fixture = "tests/fixtures/format-1.tar.gz";
        let mut tar = Command::new("tar");
        tar.args(["-xzf", fixture, "-C"]).arg(dir.path());
        assert!(tar.status().unwrap().success());
        let path = dir.path().join("repo");
        (dir, path)
    }

    fn contents(path: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in [path.to_owned(), path.join("db")] {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && !path.ends_with("repo.lock") {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }

    /// Names and roots of the fixture's pins.
    const PINS: [(&str, &str); 3] = [
        (
            "tree",
            "bafybeic2snx5efh3jha2md7tpfkchc72xfm7u6p34tug55zxkhk2cvq7sq",
        ),
        ("old", "QmXqqfDb3tQ9hMoVhSyLmxeoiyV75PiR4QMzyvDGMRqKyy"),
        (
            "small",
            "bafkreif4ywtu55hleie3h2mgjnhb24szv5lk7vwp32lk24kt3aeidf7zxy",
        ),
    ];

    fn is_whole(repo: &Repo) {
        for (name, root) in PINS {
            let root = cid::parse(root).unwrap();
            let pin = repo.pins().get(&root).unwrap().unwrap();
            assert_eq!(pin.name.as_deref(), Some(name));
            let blocks = repo.blocks();
            assert!(missing(blocks.as_ref(), &root, 9).unwrap().is_empty());
            let mut dag = Dag::new(Arc::clone(blocks), root);
            while let Some(examined) = dag.step().unwrap() {
                assert_eq!(examined.findings, []);
            }
        }
        let mut pass = Pass::new(Arc::clone(repo.blocks()));
        let examined = pass.step().unwrap().unwrap();
        assert_eq!((examined.findings, examined.blocks), (vec![], 21));
        // Links, rows of parents and sums agree.
        assert_eq!(repo.check(false, &|| true).unwrap().findings, []);
        assert_eq!(repo.blocks().totals().unwrap().blocks, 21);
    }

    fn parents(repo: &Repo) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            rows.push(key.to_vec());
            true
        };
        repo.blocks()
            .table_scan(schema::PARENTS, &[], &mut each)
            .unwrap();
        rows
    }

    #[test]
    fn a_rehearsal_says_what_would_be_done_and_changes_nothing() {
        let (_dir, path) = old();
        let before = contents(&path);
        let options = RepoOptions::default();
        let rehearsed = migrate(&path, &options, true).unwrap();
        assert_eq!((rehearsed.from, rehearsed.to), (1, FORMAT));
        assert!(
            rehearsed
                .upgrade
                .is_some_and(|it| it.nodes > 0 && it.parents > it.nodes)
        );
        assert_eq!(contents(&path), before);
        assert!(!path.join(CHECKPOINT).exists());

        assert_eq!(migrate(&path, &options, false).unwrap(), rehearsed);
        is_whole(&Repo::open(&path, &options).unwrap());
        assert_eq!(migrate(&path, &options, false).unwrap().upgrade, None);
    }

    #[test]
    fn one_that_was_cut_off_is_done_again() {
        let (_dir, path) = old();
        let options = RepoOptions::default();
        let repo = Repo::open(&path, &options).unwrap();
        is_whole(&repo);
        let whole = parents(&repo);
        assert!(whole.len() > 10);
        // As if it had ended in the middle: a part of the rows, no sums, the old number.
        let changes = whole.iter().step_by(2).map(|row| (row.clone(), None));
        let changes: Vec<_> = changes.collect();
        repo.blocks()
            .table_write(schema::PARENTS, &changes)
            .unwrap();
        let sums = (schema::TOTALS.to_vec(), None);
        repo.blocks().table_write(schema::META, &[sums]).unwrap();
        repo.close().unwrap();
        format::declare(&path, 1).unwrap();
        let repo = Repo::open(&path, &options).unwrap();
        is_whole(&repo);
        assert_eq!(parents(&repo), whole);
    }

    #[test]
    fn format_2_gets_an_empty_family_and_nothing_else() {
        let (_dir, path) = old();
        let options = RepoOptions::default();
        let repo = Repo::open(&path, &options).unwrap();
        let whole = parents(&repo);
        repo.close().unwrap();
        RocksStore::drop_family(&path.join("db"), schema::PIN_RECORDS);
        format::declare(&path, 2).unwrap();

        let rehearsed = migrate(&path, &options, true).unwrap();
        assert_eq!((rehearsed.from, rehearsed.to), (2, 3));
        assert_eq!(rehearsed.upgrade, Some(Upgrade::default()));
        assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "2\n");
        let repo = Repo::open(&path, &options).unwrap();
        is_whole(&repo);
        assert_eq!(parents(&repo), whole);
        let records = repo.records(crate::records::Family::PinRecords);
        assert_eq!(records.get(b"x").unwrap(), None);
        records.put(b"x", b"y").unwrap();
        drop((records, repo));
        assert_eq!(migrate(&path, &options, false).unwrap().from, 3);
        let repo = Repo::open(&path, &options).unwrap();
        let records = repo.records(crate::records::Family::PinRecords);
        assert_eq!(records.get(b"x").unwrap(), Some(b"y".to_vec()));
    }

    #[test]
    fn what_is_no_repo_is_not_made_one() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("none");
        let migrated = migrate(&path, &RepoOptions::default(), true);
        assert!(matches!(migrated, Err(RepoError::Missing { .. })));
        assert!(!path.exists());
    }
}
