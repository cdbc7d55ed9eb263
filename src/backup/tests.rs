use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tempfile::tempdir;

use super::*;
use crate::block::Block;
use crate::blockstore::Write;
use crate::cid::{Codec, Version};
use crate::pin::Wanted;
use crate::repo::{RepoFile, RepoOptions};

fn open(path: &Path) -> Repo {
    let options = RepoOptions {
        low_memory: true,
        ..RepoOptions::default()
    };
    Repo::open(path, &options).unwrap()
}

fn block(number: u64) -> Block {
    let data: Bytes = number.to_le_bytes().repeat(8 << 10).into();
    Block::hash(Version::V1, Codec::Raw, data).unwrap()
}

/// Puts and pins, as an add does.
fn add(repo: &Repo, number: u64) {
    let block = block(number);
    let write = if number.is_multiple_of(2) {
        Write::Bulk
    } else {
        Write::Logged
    };
    repo.blocks()
        .put_many(std::slice::from_ref(&block), write)
        .unwrap();
    repo.pins().add(&Wanted::new(*block.cid(), 1)).unwrap();
}

fn always(_: u64, _: u64) -> bool {
    true
}

#[test]
fn what_was_pinned_before_is_in_a_backup_under_load_and_no_pin_in_it_dangles() {
    let dir = tempdir().unwrap();
    let repo = open(&dir.path().join("repo"));
    repo.set_identity(b"secret").unwrap();
    repo.set_file(RepoFile::SwarmKey, b"swarm").unwrap();
    let backups = dir.path().join("backups");
    let ended = AtomicBool::new(false);
    let mut pinned_before = 0;
    std::thread::scope(|scope| {
        let (repo, ended) = (&repo, &ended);
        let adder = scope.spawn(move || {
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) {
                add(repo, number);
                number += 1;
            }
        });
        for _ in 0..4 {
            while repo.pins().list().unwrap().len() < pinned_before + 20 {
                std::thread::yield_now();
            }
            pinned_before = repo.pins().list().unwrap().len();
            repo.backup(&backups, None, &always).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        adder.join().unwrap();
    });
    let target = dir.path().join("restored");
    restore(&backups, None, &target, false, &always).unwrap();
    let restored = open(&target);
    assert_eq!(restored.identity().unwrap(), None);
    // Without it, what is private would come out into the open.
    let swarm = restored.file(RepoFile::SwarmKey).unwrap();
    assert_eq!(swarm.as_deref(), Some(&b"swarm"[..]));
    for number in 0..pinned_before as u64 {
        let root = *block(number).cid();
        assert!(restored.pins().get(&root).unwrap().is_some(), "{number}");
    }
    for pin in restored.pins().list().unwrap() {
        assert!(restored.blocks().get(&pin.root).unwrap().is_some());
    }
    assert_eq!(restored.check(false, &|| true).unwrap().findings, []);
    assert_eq!(Backups::open(&backups).unwrap().list().unwrap().len(), 4);
}

#[test]
fn the_second_copies_only_what_is_new_and_old_ones_go() {
    let dir = tempdir().unwrap();
    let repo = open(&dir.path().join("repo"));
    let backups = dir.path().join("backups");
    (0..100).for_each(|number| add(&repo, number));
    let first = repo.backup(&backups, None, &always).unwrap();
    assert!(first.copied_bytes > 100 * (64 << 10), "{first:?}");
    add(&repo, 100);
    let second = repo.backup(&backups, None, &always).unwrap();
    assert!(second.copied_bytes < 200 << 10, "{}", second.copied_bytes);
    assert!(second.generation.size() > first.generation.size());

    let there = Backups::open(&backups).unwrap();
    let newest = there.find(None).unwrap();
    assert_eq!(newest.number, 2);
    assert!(there.verify(&newest, &always).unwrap().is_empty());
    let third = repo.backup(&backups, Some(1), &always).unwrap();
    assert_eq!(third.generation.number, 3);
    let left: Vec<u64> = there.list().unwrap().into_iter().map(|(n, _)| n).collect();
    assert_eq!(left, [3]);
    assert!(matches!(there.find(Some(1)), Err(BackupError::None { .. })));
    let newest = there.find(None).unwrap();
    assert!(there.verify(&newest, &always).unwrap().is_empty());
    let files = fs::read_dir(backups.join(FILES)).unwrap().count();
    assert_eq!(
        files,
        newest.members.len(),
        "none is left that nobody needs"
    );

    // The same repo restored goes on writing files of the same names: none is taken for another.
    let target = dir.path().join("restored");
    restore(&backups, None, &target, true, &always).unwrap();
    let restored = open(&target);
    (200..210).for_each(|number| add(&restored, number));
    let of_restored = restored.backup(&backups, None, &always).unwrap();
    assert!(of_restored.copied_bytes > 100 * (64 << 10));
}

#[test]
fn a_damaged_or_interrupted_restore_leaves_nothing() {
    let dir = tempdir().unwrap();
    let repo = open(&dir.path().join("repo"));
    let backups = dir.path().join("backups");
    (0..10).for_each(|number| add(&repo, number));
    let generation = repo.backup(&backups, None, &always).unwrap().generation;
    let target = dir.path().join("restored");
    let stop = |_, _| false;
    let error = restore(&backups, None, &target, false, &stop).unwrap_err();
    assert!(matches!(error, BackupError::Interrupted));
    assert!(!target.exists());

    let there = Backups::open(&backups).unwrap();
    let large = generation.members.iter().max_by_key(|m| m.size).unwrap();
    let path = there.stored(large);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, bytes).unwrap();
    assert_eq!(there.verify(&generation, &always).unwrap().len(), 1);
    fs::create_dir(&target).unwrap();
    let error = restore(&backups, None, &target, false, &always).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);

    fs::write(target.join("cat.jpg"), "cat").unwrap();
    let error = restore(&backups, None, &target, false, &always).unwrap_err();
    assert!(matches!(error, BackupError::Occupied { .. }));
    let error = repo.backup(&target, None, &always).unwrap_err();
    assert!(matches!(error, BackupError::NotBackups { .. }));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

#[test]
fn an_interrupted_backup_leaves_nothing() {
    let dir = tempdir().unwrap();
    let repo = open(&dir.path().join("repo"));
    let backups = dir.path().join("backups");
    (0..10).for_each(|number| add(&repo, number));
    let stop = |done: u64, _| done < 1 << 10;
    let error = repo.backup(&backups, None, &stop).unwrap_err();
    assert!(matches!(error, BackupError::Interrupted), "{error}");
    assert_eq!(fs::read_dir(backups.join(FILES)).unwrap().count(), 0);
    assert_eq!(Backups::open(&backups).unwrap().list().unwrap().len(), 0);
    assert!(!repo.path().join(crate::repo::CHECKPOINT).exists());
}
