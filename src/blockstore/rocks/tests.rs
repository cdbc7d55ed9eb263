//! What only a store on disk can do wrong. A copy of the database's files, taken while it is open, is
//! what kill -9 would leave.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::cid::Version;
use crate::pin::{Pins, Wanted};

const OPTIONS: StoreOptions = StoreOptions { low_memory: true };

fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, OPTIONS).unwrap()
}

fn raw(seed: u64, size: usize) -> Block {
    let data: Bytes = (0..size as u64)
        .map(|i| (((i + 1) * (seed + 7)) >> 3).to_le_bytes()[0])
        .collect();
    let data = [seed.to_le_bytes().to_vec(), data.to_vec()].concat();
    Block::hash(Version::V1, Codec::Raw, data.into()).unwrap()
}

/// What would be left if the process that has `path` open were killed now.
fn crashed(path: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        match fs::copy(entry.path(), copy.path().join(entry.file_name())) {
            // Replaced in the meantime by another file that is copied too, or no longer needed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => drop(other.unwrap()),
        }
    }
    copy
}

fn blob_files(path: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "blob"))
        .collect()
}

#[test]
fn bulk_blocks_are_lost_without_a_commit_and_kept_with_one() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (lost, kept) = (raw(1, 9000), raw(2, 9000));
    store
        .put_many(std::slice::from_ref(&lost), Write::Bulk)
        .unwrap();
    let after = open(crashed(dir.path()).path());
    assert_eq!(
        after.totals().unwrap().blocks,
        0,
        "the premise of the other tests here"
    );
    store
        .put_many(std::slice::from_ref(&kept), Write::Bulk)
        .unwrap();
    store.commit().unwrap();
    let copy = crashed(dir.path());
    let after = open(copy.path());
    for block in [lost, kept] {
        assert_eq!(after.get(block.cid()).unwrap().as_ref(), Some(block.data()));
    }
}

#[test]
fn a_small_add_that_finds_an_unflushed_block_makes_it_durable() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let (shared, own) = (raw(1, 9000), raw(2, 10));
    store
        .put_many(std::slice::from_ref(&shared), Write::Bulk)
        .unwrap();
    // Another add, which finds the first block there and writes only its own.
    let put = store
        .put_many(&[shared.clone(), own], Write::Logged)
        .unwrap();
    assert_eq!(put.blocks, 1);
    store.commit().unwrap();
    let copy = crashed(dir.path());
    assert!(open(copy.path()).has(shared.cid()).unwrap());
}

#[test]
fn a_pin_never_outlives_its_blocks_even_without_a_commit() {
    let dir = tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let root = raw(1, 9000);
    store
        .put_many(std::slice::from_ref(&root), Write::Bulk)
        .unwrap();
    let pins = Pins::new(Arc::clone(&store));
    pins.add(&Wanted::new(*root.cid(), 1)).unwrap();
    let copy = crashed(dir.path());
    let after = Arc::new(open(copy.path()));
    assert_eq!(Pins::new(Arc::clone(&after)).list().unwrap().len(), 1);
    assert!(after.has(root.cid()).unwrap());
}

#[test]
fn after_a_crash_index_and_blocks_agree() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    // Three memtables full, so that some were flushed by themselves and some were not.
    for i in 0..60 {
        let write = if i % 5 == 0 {
            Write::Logged
        } else {
            Write::Bulk
        };
        store
            .put_many(&[raw(i, 900_000), raw(1000 + i, 100)], write)
            .unwrap();
    }
    let copy = crashed(dir.path());
    let after = open(copy.path());
    let mut seen = 0;
    for i in (0..60).chain(1000..1060) {
        let block = raw(i, if i < 1000 { 900_000 } else { 100 });
        let size = after.sizes(&[*block.cid()]).unwrap()[0];
        let found = after.get(block.cid()).unwrap();
        assert_eq!(size.is_some(), found.is_some());
        assert!(found.is_none_or(|found| found == block.data()));
        seen += u32::from(size.is_some());
    }
    assert!((24..120).contains(&seen), "{seen} survived");
}

#[test]
fn a_rotten_block_is_named_counts_as_missing_and_is_mended_by_the_next_put() {
    let dir = tempdir().unwrap();
    let blocks: Vec<Block> = (0..3).map(|i| raw(i, 50_000)).collect();
    {
        let store = open(dir.path());
        store.put_many(&blocks, Write::Bulk).unwrap();
        store.commit().unwrap();
    }
    let rotten = &blocks[1];
    flip_a_bit_of(dir.path(), rotten);
    let store = open(dir.path());
    let error = store.get(rotten.cid()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { cid, .. } if cid == rotten.cid()),
        "{error}"
    );
    assert!(!store.has(rotten.cid()).unwrap());
    for block in [&blocks[0], &blocks[2]] {
        assert_eq!(store.get(block.cid()).unwrap().as_ref(), Some(block.data()));
    }
    assert_eq!(store.put_many(&blocks, Write::Logged).unwrap().blocks, 1);
    assert!(store.has(rotten.cid()).unwrap());
    assert_eq!(
        store.get(rotten.cid()).unwrap().as_ref(),
        Some(rotten.data())
    );
    store.commit().unwrap();
    drop(store);
    assert_eq!(
        open(dir.path()).get(rotten.cid()).unwrap().as_ref(),
        Some(rotten.data())
    );
}

fn flip_a_bit_of(path: &Path, block: &Block) {
    for path in blob_files(path) {
        let content = fs::read(&path).unwrap();
        let found = content
            .windows(block.data().len())
            .position(|window| window == block.data());
        if let Some(at) = found {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            let byte = [block.data()[20_000] ^ 4];
            file.write_all_at(&byte, at as u64 + 20_000).unwrap();
            return;
        }
    }
    panic!("the block is in no blob file");
}

#[test]
fn many_small_adds_do_not_pile_up_logs_or_blob_files() {
    let dir = tempdir().unwrap();
    for i in 0..40 {
        let store = open(dir.path());
        store.put_many(&[raw(i, 20_000)], Write::Logged).unwrap();
        store.commit().unwrap();
        let (logs, _) = logs(dir.path());
        assert!(logs <= REPLAY_FILES_MAX + 1, "{logs} log files");
    }
    let blobs = blob_files(dir.path()).len();
    assert!((1..=4).contains(&blobs), "{blobs} blob files");
    assert_eq!(open(dir.path()).totals().unwrap().blocks, 40);
}

/// A small file system of its own, unmounted at the end.
struct Disk(TempDir);

impl Disk {
    /// `None` where this user may not mount.
    fn new(size: &str) -> Option<Self> {
        let dir = tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(dir))
    }

    fn resize(&self, size: &str) {
        let resized = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(resized.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

#[test]
fn a_full_disk_is_said_and_loses_nothing_that_was_committed() {
    for write in [Write::Bulk, Write::Logged] {
        let Some(disk) = Disk::new("40m") else {
            eprintln!("skipped: a small file system cannot be mounted here");
            return;
        };
        let path = disk.0.path().join("db");
        let store = open(&path);
        let kept = raw(1, 1 << 20);
        store.put_many(std::slice::from_ref(&kept), write).unwrap();
        store.commit().unwrap();
        // Ends: the disk is smaller than this, however much waits in memory.
        let failed = (2..200).find_map(|i| {
            let put = store.put_many(&[raw(i, 1 << 20)], write);
            put.and_then(|_| if i % 8 == 0 { store.commit() } else { Ok(()) })
                .err()
        });
        let full = |error: &StoreError| matches!(error, StoreError::Full { .. });
        let error = failed.expect("200 MiB do not fit on 40");
        assert!(full(&error), "{write:?}: {error}");
        // From now on: reads yes, writes no, and no commit that would hide the loss.
        assert_eq!(store.get(kept.cid()).unwrap().as_ref(), Some(kept.data()));
        assert!(
            store
                .put_many(&[raw(500, 10)], Write::Logged)
                .is_err_and(|e| full(&e))
        );
        assert!(store.commit().is_err_and(|e| full(&e)));
        drop(store);
        disk.resize("200m");
        let store = open(&path);
        assert_eq!(store.get(kept.cid()).unwrap().as_ref(), Some(kept.data()));
        store.put_many(&[raw(500, 10)], write).unwrap();
        store.commit().unwrap();
    }
}

#[test]
fn a_full_disk_that_has_room_again_needs_no_new_opening() {
    for write in [Write::Bulk, Write::Logged] {
        let Some(disk) = Disk::new("40m") else {
            eprintln!("skipped: a small file system cannot be mounted here");
            return;
        };
        let path = disk.0.path().join("db");
        let store = open(&path);
        let mut put = Vec::new();
        let failed = (1..200).find_map(|i| {
            let block = raw(i, 1 << 20);
            if let Err(error) = store.put_many(std::slice::from_ref(&block), write) {
                return Some(error);
            }
            put.push(block);
            if i % 8 == 0 {
                store.commit().err()
            } else {
                None
            }
        });
        let error = failed.expect("200 MiB do not fit on 40");
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        disk.resize("400m");
        put.push(raw(500, 10));
        let deadline = Instant::now() + Duration::from_secs(60);
        let last = &put[put.len() - 1..];
        while let Err(error) = store.put_many(last, write).and_then(|_| store.commit()) {
            assert!(Instant::now() < deadline, "{write:?}: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // What was said to be put before the disk was full is durable too, now that a commit says so.
        let copy = crashed(&path);
        let again = open(copy.path());
        for block in &put {
            let data = again.get(block.cid()).unwrap();
            assert!(data.as_ref() == Some(block.data()), "{write:?}");
        }
        assert_eq!(again.totals().unwrap().blocks, put.len() as u64);
    }
}
