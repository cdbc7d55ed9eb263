use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::blockstore::{Blockstore, StoreOptions};
use crate::cid::{Codec, Version};
use crate::unixfs::origin::Identity;

pub(super) const SIZE: usize = 1000;

/// A store, and a directory for files beside it.
fn store() -> (TempDir, RocksStore, PathBuf) {
    let dir = tempdir().unwrap();
    let options = StoreOptions { low_memory: true };
    let store = RocksStore::open(&dir.path().join("db"), options).unwrap();
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    (dir, store, files)
}

pub(super) fn blocks(seed: u8, count: usize) -> Vec<(Block, u64)> {
    let data = |i: usize| -> Bytes {
        let byte = |j: usize| (i * 31 + j * 7 + usize::from(seed)).to_le_bytes()[0];
        let stamp = [seed, i.to_le_bytes()[0]];
        stamp.into_iter().chain((2..SIZE).map(byte)).collect()
    };
    (0..count)
        .map(|i| Block::hash(Version::V1, Codec::Raw, data(i)).unwrap())
        .zip((0_u64..).step_by(SIZE))
        .collect()
}

pub(super) fn bytes_of(blocks: &[(Block, u64)]) -> Vec<u8> {
    blocks
        .iter()
        .flat_map(|(block, _)| block.data().to_vec())
        .collect()
}

pub(super) fn cids(blocks: &[(Block, u64)]) -> Vec<Cid> {
    blocks.iter().map(|(block, _)| *block.cid()).collect()
}

fn origin(path: &Path) -> Origin {
    Origin {
        path: path.as_os_str().to_owned().into(),
        identity: Identity::of(&path.metadata().unwrap()),
    }
}

/// Writes the blocks into a file and refers to it.
pub(super) fn refer(store: &RocksStore, path: &Path, blocks: &[(Block, u64)]) -> FileId {
    fs::write(path, bytes_of(blocks)).unwrap();
    let file = store.refer_to(&origin(path), None).unwrap();
    store.put_referenced(file, blocks, Write::Logged).unwrap();
    file
}

pub(super) fn get(store: &RocksStore, blocks: &[(Block, u64)]) -> Vec<Option<Bytes>> {
    store.get_many(&cids(blocks)).unwrap()
}

pub(super) fn all(blocks: &[(Block, u64)]) -> Vec<Option<Bytes>> {
    blocks
        .iter()
        .map(|(block, _)| Some(block.data().clone()))
        .collect()
}

#[test]
fn a_referenced_block_is_there_like_any_other_and_takes_no_room() {
    let (_dir, store, files) = store();
    let blocks = blocks(1, 4);
    refer(&store, &files.join("a"), &blocks);
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!(store.sizes(&cids(&blocks)).unwrap(), [Some(1000); 4]);
    assert_eq!(store.links(blocks[0].0.cid()).unwrap(), Some(Vec::new()));
    assert_eq!(store.live_bytes(), 0);
    let totals = store.totals().unwrap();
    assert_eq!((totals.blocks, totals.bytes), (4, 4000));
    assert_eq!(store.count_again().unwrap(), store.sums());
    assert_eq!(store.referenced_files().unwrap().len(), 1);
}

#[test]
fn it_survives_the_store_and_a_commit_past_the_log() {
    let (dir, store, files) = store();
    let blocks = blocks(1, 4);
    fs::write(files.join("a"), bytes_of(&blocks)).unwrap();
    let file = store.refer_to(&origin(&files.join("a")), None).unwrap();
    store.put_referenced(file, &blocks, Write::Bulk).unwrap();
    store.commit().unwrap();
    drop(store);
    let options = StoreOptions { low_memory: true };
    let store = RocksStore::open(&dir.path().join("db"), options).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    fs::write(files.join("b"), "x").unwrap();
    let other = store.refer_to(&origin(&files.join("b")), None).unwrap();
    assert_ne!(other, file, "numbers are not given twice");
    let again = store.refer_to(&origin(&files.join("a")), None).unwrap();
    assert_eq!(again, file, "a file that is known keeps its own");
}

#[test]
fn several_files_back_one_block() {
    let (_dir, store, files) = store();
    let blocks = blocks(1, 2);
    refer(&store, &files.join("a"), &blocks);
    refer(&store, &files.join("b"), &blocks);
    assert_eq!(store.totals().unwrap().blocks, 2);
    fs::remove_file(files.join("a")).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    // A write in place, which leaves the file that is held open the same.
    let file = File::options().write(true).open(files.join("b")).unwrap();
    file.write_all_at(b"?", 5).unwrap();
    assert_eq!(
        get(&store, &blocks),
        [None, Some(blocks[1].0.data().clone())]
    );
}

#[test]
fn a_file_that_went_away_is_named_and_found_again_when_it_is_back() {
    let (_dir, store, files) = store();
    let (a, b) = (files.join("a"), files.join("b"));
    let blocks = blocks(1, 2);
    refer(&store, &a, &blocks);
    fs::rename(&a, &b).unwrap();
    assert_eq!(get(&store, &blocks), [None, None]);
    let cids = cids(&blocks);
    assert_eq!(
        store.sizes(&cids).unwrap(),
        [None, None],
        "it counts as missing"
    );
    let lost = store.lost_with(&cids[0]).unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].origin.path.as_path(), a);
    assert_eq!(lost[0].state, FileState::Changed);
    fs::rename(&b, &a).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!(store.sizes(&cids).unwrap(), [Some(1000); 2]);
    assert_eq!(store.lost_with(&cids[0]).unwrap(), []);
    assert_eq!(store.count_again().unwrap(), store.sums());
}

#[test]
fn what_is_put_is_stored_even_if_it_is_in_a_file_but_only_once() {
    let (_dir, store, files) = store();
    let path = files.join("a");
    let blocks = blocks(1, 2);
    let plain: Vec<Block> = blocks.iter().map(|(block, _)| block.clone()).collect();
    refer(&store, &path, &blocks);
    assert_eq!(store.put_many(&plain, Write::Logged).unwrap().blocks, 2);
    assert_eq!(
        store.put_many(&plain, Write::Logged).unwrap(),
        Put::default()
    );
    assert_eq!(store.live_bytes(), 2000);
    fs::remove_file(&path).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    store.delete_many(&cids(&blocks)).unwrap();
    refer(&store, &path, &blocks);
    fs::remove_file(&path).unwrap();
    assert_eq!(get(&store, &blocks), [None, None]);
    assert_eq!(store.put_many(&plain, Write::Logged).unwrap().blocks, 2);
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!(store.live_bytes(), 2000);
    refer(&store, &path, &blocks);
    assert_eq!(store.live_bytes(), 2000);
    assert_eq!(store.totals().unwrap().blocks, 2);
    store.delete_many(&cids(&blocks)).unwrap();
    assert_eq!(get(&store, &blocks), [None, None]);
    let mut rows = 0;
    store
        .table_scan(REFS, b"b", &mut |_, _| {
            rows += 1;
            true
        })
        .unwrap();
    assert_eq!(rows, 0, "no row outlives its block");
    assert_eq!(store.count_again().unwrap(), schema::Sums::default());
}

#[test]
fn a_file_that_is_being_written_is_found_under_both_its_names() {
    let (_dir, store, files) = store();
    let (part, whole) = (files.join("part"), files.join("whole"));
    let blocks = blocks(1, 2);
    File::create(&part).unwrap();
    let target = whole.as_os_str().to_owned().into();
    let file = store.refer_to(&origin(&part), Some(&target)).unwrap();
    fs::write(&part, bytes_of(&blocks)).unwrap();
    store.put_referenced(file, &blocks, Write::Bulk).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    fs::rename(&part, &whole).unwrap();
    assert_eq!(get(&store, &blocks), all(&blocks));
    assert_eq!(store.refer_to(&origin(&whole), None).unwrap(), file);
    assert_eq!(get(&store, &blocks), all(&blocks));
}

#[test]
fn pipes_directories_and_long_paths_are_no_files() {
    let (_dir, store, files) = store();
    let path = files.join("a");
    let blocks = blocks(1, 1);
    refer(&store, &path, &blocks);
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    assert_eq!(get(&store, &blocks), [None]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(get(&store, &blocks), [None]);
    let long = Origin {
        path: Name::from("/a".repeat(3000).as_str()),
        identity: Identity::of(&path.metadata().unwrap()),
    };
    assert!(matches!(
        store.refer_to(&long, None),
        Err(StoreError::Reference { .. })
    ));
}

/// What a user may do to a file.
#[derive(Clone, Debug)]
enum Deed {
    Cut(usize),
    Write(usize, Vec<u8>),
    Append(Vec<u8>),
    Replace(u8),
    MoveAway,
    MoveBack,
    Shift(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let few = || prop::collection::vec(any::<u8>(), 1..50);
    prop_oneof![
        (0..4 * SIZE).prop_map(Deed::Cut),
        (0..4 * SIZE, few()).prop_map(|(at, bytes)| Deed::Write(at, bytes)),
        few().prop_map(Deed::Append),
        (0_u8..3).prop_map(Deed::Replace),
        Just(Deed::MoveAway),
        Just(Deed::MoveBack),
        (1..SIZE).prop_map(Deed::Shift),
    ]
}

fn does(deed: Deed, path: &Path) {
    let away = path.with_extension("away");
    let now = fs::read(path).unwrap_or_default();
    // What a deed is refused, since there is no file, is one of its outcomes.
    let _ = match deed {
        Deed::Cut(size) => File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(size as u64)),
        Deed::Write(at, bytes) => File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.write_all_at(&bytes, at as u64)),
        Deed::Append(bytes) => fs::write(path, [now, bytes].concat()),
        Deed::Replace(seed) => {
            let new = path.with_extension("new");
            fs::write(&new, bytes_of(&blocks(seed, 4))).unwrap();
            fs::rename(new, path)
        }
        Deed::MoveAway => fs::rename(path, away),
        Deed::MoveBack => fs::rename(away, path),
        Deed::Shift(by) => fs::write(path, [vec![0; by], now].concat()),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever becomes of a file, its blocks are right or missing; and right where the file still
    /// has them at their places.
    #[test]
    fn no_wrong_byte_ever(deeds in prop::collection::vec(deed(), 1..12)) {
        let (_dir, store, files) = store();
        let path = files.join("a");
        let blocks = blocks(1, 4);
        refer(&store, &path, &blocks);
        for deed in deeds {
            does(deed, &path);
            let now = fs::read(&path).unwrap_or_default();
            for ((block, offset), got) in blocks.iter().zip(get(&store, &blocks)) {
                let offset = usize::try_from(*offset).unwrap();
                let there = now.get(offset..offset + SIZE);
                let expected = there.filter(|bytes| bytes == block.data());
                prop_assert_eq!(got.as_deref(), expected);
            }
            prop_assert_eq!(store.count_again().unwrap(), store.sums());
        }
    }
}
