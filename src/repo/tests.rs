use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use bytes::Bytes;
use tempfile::tempdir;

use super::*;
use crate::blockstore::Write;
use crate::cid::{Codec, Version};
use crate::pin::{Pin, Wanted};
use crate::{Block, Cid};

fn open(path: &Path) -> Result<Repo, RepoError> {
    let options = RepoOptions {
        low_memory: true,
        ..RepoOptions::default()
    };
    Repo::open(path, &options)
}

fn block(text: &'static str) -> Block {
    Block::hash(Version::V1, Codec::Raw, Bytes::from_static(text.as_bytes())).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(path).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn the_first_open_makes_it_and_the_second_finds_it() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a/b/repo");
    let repo = open(&path).unwrap();
    assert_eq!(repo.path(), path);
    repo.blocks()
        .put_many(&[block("kept")], Write::Logged)
        .unwrap();
    repo.close().unwrap();
    assert_eq!(names(&path), ["db", "format", "repo.lock"]);
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "3\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    let repo = open(&path).unwrap();
    assert!(repo.blocks().has(block("kept").cid()).unwrap());
}

#[test]
fn the_second_at_once_is_told_who_has_it() {
    let dir = tempdir().unwrap();
    let repo = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    let pid = std::process::id();
    assert!(matches!(&error, RepoError::Locked { pid: Some(found), .. } if *found == pid));
    assert!(
        error.to_string().contains(dir.path().to_str().unwrap()),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("process {pid};")),
        "{error}"
    );
    repo.close().unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_newer_format_is_refused_and_nothing_touched() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("format"), "4\n").unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(
        matches!(
            error,
            RepoError::NewerFormat {
                found: 4,
                supported: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().ends_with("use a newer one"), "{error}");
    assert_eq!(names(dir.path()), ["format"]);
    for damaged in ["", "0\n", "one", "\u{fffd}"] {
        fs::write(dir.path().join("format"), damaged).unwrap();
        assert!(
            matches!(open(dir.path()), Err(RepoError::Format { .. })),
            "{damaged:?}"
        );
    }
}

#[test]
fn a_directory_of_something_else_is_refused_and_nothing_touched() {
    let dir = tempdir().unwrap();
    for entry in ["letter.txt", "db"] {
        fs::write(dir.path().join(entry), "dear").unwrap();
        let error = open(dir.path()).err().unwrap();
        assert!(
            error.to_string().contains(&format!("(`{entry}`)")),
            "{error}"
        );
        assert_eq!(names(dir.path()), [entry]);
        fs::remove_file(dir.path().join(entry)).unwrap();
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file), Err(RepoError::Io { .. })));
}

#[test]
fn settings_written_before_the_first_open_stay() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("store.toml"), "# mine\n").unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(
        fs::read_to_string(dir.path().join("store.toml")).unwrap(),
        "# mine\n"
    );
    assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn one_that_a_crash_left_half_made_is_completed() {
    // What is there after a crash between any two steps.
    for left in [
        &["repo.lock"][..],
        &["repo.lock", "db/"],
        &["repo.lock", "db/", ".format.new"],
    ] {
        let dir = tempdir().unwrap();
        for entry in left {
            match entry.strip_suffix('/') {
                Some(name) => fs::create_dir(dir.path().join(name)).unwrap(),
                None => fs::write(dir.path().join(entry), "").unwrap(),
            }
        }
        drop(open(dir.path()).unwrap());
        assert_eq!(names(dir.path()), ["db", "format", "repo.lock"]);
    }
    let dir = tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("format")).unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(names(dir.path()), ["db", "format", "repo.lock"]);
}

#[test]
fn a_lost_database_is_not_taken_for_an_empty_one() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    assert!(matches!(open(dir.path()), Err(RepoError::Store { .. })));
}

#[test]
fn the_key_is_for_the_owner_alone() {
    let dir = tempdir().unwrap();
    let repo = open(dir.path()).unwrap();
    assert_eq!(repo.identity().unwrap(), None);
    repo.set_identity(b"first").unwrap();
    repo.set_identity(b"secret").unwrap();
    assert_eq!(repo.identity().unwrap().unwrap(), b"secret");
    let mode = fs::metadata(dir.path().join("identity.key"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        names(dir.path()),
        ["db", "format", "identity.key", "repo.lock"]
    );
}

#[test]
fn pins_come_back_with_their_names() {
    let dir = tempdir().unwrap();
    let repo = open(dir.path()).unwrap();
    let wanted = |name: Option<&str>, now| Wanted {
        name: name.map(Into::into),
        ..Wanted::new(*block("root").cid(), now)
    };
    let pin = |name: &str, created| Pin {
        name: Some(name.into()),
        ..Pin::new(*block("root").cid(), created)
    };
    repo.pins().add(&wanted(Some("mine"), 7)).unwrap();
    // Adding the same content again must not lose what the user called it.
    repo.pins().add(&wanted(None, 8)).unwrap();
    drop(repo);
    let repo = open(dir.path()).unwrap();
    assert_eq!(repo.pins().list().unwrap(), [pin("mine", 7)]);
    repo.pins().add(&wanted(Some(""), 9)).unwrap();
    assert_eq!(
        repo.pins().get(block("root").cid()).unwrap(),
        Some(pin("", 7))
    );
    let removed = repo.pins().remove(block("root").cid()).unwrap();
    assert_eq!(removed, Some(pin("", 7)));
    assert_eq!(repo.pins().remove(block("root").cid()).unwrap(), None);
    assert_eq!(repo.pins().list().unwrap(), []);
}

#[test]
fn both_versions_of_a_root_are_one_pin_but_raw_is_another() {
    let dir = tempdir().unwrap();
    let repo = open(dir.path()).unwrap();
    let cid = |version, codec| crate::cid::from_digest(version, codec, &[3; 32]);
    let add = |root: Cid| {
        repo.pins().add(&Wanted::new(root, 1)).unwrap();
    };
    add(cid(Version::V0, Codec::DagPb));
    add(cid(Version::V1, Codec::DagPb));
    add(cid(Version::V1, Codec::Raw));
    assert_eq!(repo.pins().list().unwrap().len(), 2);
    let removed = repo.pins().remove(&cid(Version::V0, Codec::DagPb)).unwrap();
    assert!(removed.is_some());
    assert_eq!(
        repo.pins().list().unwrap()[0].root,
        cid(Version::V1, Codec::Raw)
    );
}

#[test]
fn tables_are_apart_and_come_back() {
    let dir = tempdir().unwrap();
    let repo = open(dir.path()).unwrap();
    let peers = repo.records(Family::Peers);
    peers.put(b"a|1", b"x").unwrap();
    peers
        .write_batch(&[
            (b"a|2".to_vec(), Some(b"y".to_vec())),
            (b"b|1".to_vec(), None),
        ])
        .unwrap();
    peers.put(b"b|2", b"z").unwrap();
    peers.delete(b"a|1").unwrap();
    peers.sync().unwrap();
    drop((peers, repo));
    let repo = open(dir.path()).unwrap();
    let peers = repo.records(Family::Peers);
    let mut seen = Vec::new();
    peers
        .for_prefix(b"a|", &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    assert_eq!(seen, [(b"a|2".to_vec(), b"y".to_vec())]);
    assert_eq!(peers.get(b"a|1").unwrap(), None);
    assert_eq!(peers.get(b"b|2").unwrap().unwrap(), b"z");
    assert_eq!(repo.records(Family::Roots).get(b"b|2").unwrap(), None);
}
