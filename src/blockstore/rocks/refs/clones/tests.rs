//! The life of clones, with copies in their place: what tells them apart is the file system's business
//! alone. Real ones: `tests/e2e/reflink.rs`.

use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::super::tests::{SIZE, all, blocks, bytes_of, cids, get, refer};
use super::*;
use crate::block::Block;
use crate::blockstore::{Blockstore, StoreOptions, Write};

fn open(dir: &Path) -> RocksStore {
    let options = StoreOptions { low_memory: true };
    let store = RocksStore::open(&dir.join("db"), options).unwrap();
    store.keep_clones_in(dir.join("clones")).unwrap();
    store
}

fn store() -> (TempDir, RocksStore) {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

/// A file of the repo's with these blocks in it, numbered as a clone is.
fn number(store: &RocksStore, blocks: &[(Block, u64)]) -> FileId {
    let clones = store.clones.get().unwrap();
    make_dir(&clones.dir).unwrap();
    let source = tempfile::NamedTempFile::new().unwrap();
    let file = store
        .number_clone(&source.path().metadata().unwrap())
        .unwrap();
    fs::write(clones.path(file), bytes_of(blocks)).unwrap();
    file
}

fn clone(store: &RocksStore, blocks: &[(Block, u64)]) -> FileId {
    let _held = store.hold_clones();
    let file = number(store, blocks);
    store.put_referenced(file, blocks, Write::Logged).unwrap();
    file
}

/// Names in the directory of clones.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("clones")).into_iter().flatten();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries.map(|e| name(e).into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many rows there are in `refs`.
fn rows(store: &RocksStore) -> usize {
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        true
    };
    store.table_scan(REFS, b"", &mut count).unwrap();
    rows
}

#[test]
fn a_clone_lives_as_long_as_a_block_in_it() {
    let (dir, store) = store();
    let blocks = blocks(1, 3);
    clone(&store, &blocks);
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!((store.live_bytes(), names(dir.path()).len()), (0, 1));
    let usage = CloneUsage {
        files: 1,
        bytes: 3 * SIZE as u64,
    };
    assert_eq!(store.clone_usage(), usage);
    assert_eq!(store.referenced_files().unwrap(), [], "it is no user's");
    store.delete_many(&cids(&blocks[..2])).unwrap();
    assert_eq!(get(&store, &blocks[2..]), all(&blocks[2..]));
    assert_eq!(names(dir.path()).len(), 1);
    store.delete_many(&cids(&blocks)).unwrap();
    assert_eq!((names(dir.path()), rows(&store)), (vec![], 0));
    assert_eq!(get(&store, &blocks), [None, None, None]);
}

#[test]
fn what_the_repo_has_already_needs_no_clone() {
    let (dir, store) = store();
    let (stored, cloned) = (blocks(1, 2), blocks(2, 2));
    let plain: Vec<Block> = stored.iter().map(|(block, _)| block.clone()).collect();
    store.put_many(&plain, Write::Logged).unwrap();
    clone(&store, &stored);
    assert_eq!(names(dir.path()), [""; 0], "stored");
    clone(&store, &cloned);
    let one = names(dir.path());
    clone(&store, &cloned);
    assert_eq!(names(dir.path()), one, "cloned");
    assert_eq!(get(&store, &cloned), all(&cloned));
}

#[test]
fn a_block_in_a_users_file_is_safe_in_a_clone() {
    let (dir, store) = store();
    let blocks = blocks(1, 2);
    let path = dir.path().join("file");
    refer(&store, &path, &blocks);
    clone(&store, &blocks);
    fs::write(&path, "something else").unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!(store.count_again().unwrap(), store.sums());
    // And the other way around.
    fs::write(&path, bytes_of(&blocks)).unwrap();
    let [name] = names(dir.path()).try_into().unwrap();
    fs::write(dir.path().join("clones").join(name), "rot").unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
}

#[test]
fn numbers_of_clones_and_users_files_are_apart() {
    let (dir, store) = store();
    let (ours, theirs) = (blocks(1, 1), blocks(2, 1));
    let clone = clone(&store, &ours);
    let users = refer(&store, &dir.path().join("file"), &theirs);
    assert!(is_clone(clone) && !is_clone(users));
    assert_eq!((clone, users), (FileId(FIRST), FileId(1)));
}

#[test]
fn one_that_is_held_stays() {
    let (dir, store) = store();
    let blocks = blocks(1, 1);
    let held = store.hold_clones();
    let file = number(&store, &blocks);
    // What others do meanwhile is no reason to remove it.
    drop(store.hold_clones());
    store.sweep_clones().unwrap();
    store.put_referenced(file, &blocks, Write::Logged).unwrap();
    store.delete_many(&cids(&blocks)).unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    store.put_referenced(file, &blocks, Write::Logged).unwrap();
    drop(held);
    assert_eq!(get(&store, &blocks), all(&blocks));
    store.delete_many(&cids(&blocks)).unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_a_crash_left_is_removed_at_the_next_opening_and_nothing_else() {
    let (dir, store) = store();
    let (kept, lost) = (blocks(1, 2), blocks(2, 2));
    let needed = clone(&store, &kept);
    // Made, and nothing referred to in it.
    number(&store, &lost);
    let number = store.next_clone().unwrap().0 - FIRST;
    drop(store);
    let clones = dir.path().join("clones");
    // Made, and its row not on disk; and one in the making.
    fs::write(clones.join(number.to_string()), "x").unwrap();
    fs::write(clones.join("7.new"), "x").unwrap();
    assert_eq!(names(dir.path()).len(), 4);
    let store = open(dir.path());
    assert_eq!(names(dir.path()), [(needed.0 - FIRST).to_string()]);
    assert_eq!(get(&store, &kept), all(&kept));
}

#[test]
fn clones_go_where_the_repo_goes() {
    let (dir, store) = store();
    let blocks = blocks(1, 2);
    clone(&store, &blocks);
    drop(store);
    let other = tempdir().unwrap();
    for name in ["db", "clones"] {
        fs::rename(dir.path().join(name), other.path().join(name)).unwrap();
    }
    let store = open(other.path());
    assert_eq!(get(&store, &blocks), all(&blocks));
}

#[test]
fn what_cannot_be_cloned_says_why_and_leaves_nothing() {
    let (dir, store) = store();
    let held = store.hold_clones();
    let refused = |file: &File| match store.clone_file(file, &held) {
        Err(CloneError::Unsupported { reason }) => reason.to_owned(),
        other => panic!("{other:?}"),
    };
    assert!(refused(&File::open(dir.path()).unwrap()).contains("no plain file"));
    let path = dir.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(io::SeekFrom::Start(5)).unwrap();
    assert!(refused(&file).contains("from its beginning"));
    // A file system of its own, which has no clones, or else is another one.
    assert!(refused(&File::open("/proc/self/status").unwrap()).contains("file system"));
    assert_eq!((names(dir.path()), rows(&store)), (vec![], 0));
}
