use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use rustix::process::{Flock, FlockOffsetType, FlockType};

use super::*;
use crate::block::{Block, MAX_BLOCK_SIZE};
use crate::blockstore::MemoryStore;
use crate::cid::Version;
use crate::dag::Link;
use crate::unixfs::data::{Data, Kind};
use crate::unixfs::name::Name;

/// Lays out `blocks` as Kubo does.
fn repo(dir: &Path, blocks: &[Block]) {
    fs::create_dir_all(dir.join("blocks")).unwrap();
    fs::write(
        dir.join("blocks/SHARDING"),
        "/repo/flatfs/shard/v1/next-to-last/2\n",
    )
    .unwrap();
    fs::write(dir.join("blocks/_README"), "about flatfs").unwrap();
    fs::write(dir.join("blocks/diskUsage.cache"), "{}").unwrap();
    fs::write(dir.join("version"), "18\n").unwrap();
    for block in blocks {
        write(dir, &block.cid().hash().to_bytes(), block.data());
    }
}

fn write(dir: &Path, key: &[u8], data: &[u8]) {
    let key = BASE32_NOPAD.encode(key);
    let shard = &key[key.len() - 3..key.len() - 1];
    let dir = dir.join("blocks").join(shard);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("{key}.data")), data).unwrap();
}

fn open(dir: &Path) -> Result<Flatfs, KuboError> {
    Flatfs::open(OwnedFd::from(File::open(dir).unwrap()))
}

fn copied(store: &MemoryStore, dir: &Path) -> (Copied, Vec<String>) {
    let mut refused = Vec::new();
    let mut note = |file: &str, why: &str| refused.push(format!("{file}: {why}"));
    let copied = copy(store, &open(dir).unwrap(), &mut note, &|_| true).unwrap();
    (copied, refused)
}

/// A leaf, a node above it, a leaf in dag-pb.
fn blocks() -> [Block; 3] {
    let raw = Block::hash(Version::V1, Codec::Raw, "a leaf".into()).unwrap();
    let link = Link {
        cid: *raw.cid(),
        name: Name::default(),
        tsize: 6,
    };
    let data = Data {
        blocksizes: vec![6],
        filesize: Some(6),
        ..Data::new(Kind::File)
    };
    let node = Node {
        links: vec![link],
        data: Some(data.encode()),
    };
    let node = Block::hash(Version::V0, Codec::DagPb, node.encode()).unwrap();
    let leaf = Node {
        links: Vec::new(),
        data: Some(Data::leaf(Kind::Raw, "old".into()).encode()),
    };
    let leaf = Block::hash(Version::V0, Codec::DagPb, leaf.encode()).unwrap();
    [raw, node, leaf]
}

#[test]
fn blocks_are_copied_once_and_nodes_are_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks();
    repo(dir.path(), &blocks);
    let store = MemoryStore::default();
    let (first, refused) = copied(&store, dir.path());
    assert_eq!(refused, [] as [String; 0]);
    assert_eq!((first.blocks, first.present), (3, 0));
    for block in &blocks {
        assert_eq!(store.get(block.cid()).unwrap().as_ref(), Some(block.data()));
    }
    assert_eq!(
        store.links(blocks[1].cid()).unwrap().unwrap()[0].cid,
        *blocks[0].cid()
    );
    let (again, _) = copied(&store, dir.path());
    assert_eq!((again.blocks, again.present), (0, 3));
}

#[test]
fn the_shard_is_where_kubo_has_it() {
    // Of a Kubo repo: the empty directory, whose CID is QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn.
    let name = "CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data";
    let expected = cid::parse("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn").unwrap();
    assert_eq!(flatfs::cid(name).unwrap().hash(), expected.hash());
    assert_eq!(flatfs::cid("README"), None);
    assert_eq!(flatfs::cid("put-123.data"), None);
}

#[test]
fn old_repos_have_cids_for_names() {
    let dir = tempfile::tempdir().unwrap();
    repo(dir.path(), &[]);
    let [raw, ..] = blocks();
    write(dir.path(), &raw.cid().to_bytes(), raw.data());
    let store = MemoryStore::default();
    assert_eq!(copied(&store, dir.path()).0.blocks, 1);
    assert!(store.has(raw.cid()).unwrap());
}

#[test]
fn what_is_rotten_is_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = blocks();
    repo(dir.path(), &blocks[1..]);
    write(dir.path(), &blocks[0].cid().hash().to_bytes(), b"a  leaf");
    // Too large, a hash of nobody's, and no hash at all.
    let large = Block::hash(Version::V1, Codec::Raw, "large".into()).unwrap();
    write(
        dir.path(),
        &large.cid().hash().to_bytes(),
        &vec![0; MAX_BLOCK_SIZE + 1],
    );
    write(dir.path(), &[&[0x22, 8][..], &[7; 8]].concat(), b"murmur");
    write(dir.path(), &[0xff; 9], b"nothing");
    let store = MemoryStore::default();
    let (copied, refused) = copied(&store, dir.path());
    assert_eq!((copied.blocks, copied.refused), (2, 4));
    let has = |words: &str| refused.iter().filter(|line| line.contains(words)).count();
    assert_eq!(has("hash to"), 1, "{refused:?}");
    assert_eq!(has("2097153 bytes"), 1, "{refused:?}");
    assert_eq!(has("cannot be checked"), 1, "{refused:?}");
    assert_eq!(has("is no block's"), 1, "{refused:?}");
    assert_eq!(store.totals().unwrap().blocks, 2);
}

#[test]
fn what_is_no_repo_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("ipfs dag export"), "{error}");
    repo(dir.path(), &[]);
    fs::write(dir.path().join("blocks/SHARDING"), "something else").unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("something else"), "{error}");
}

#[test]
fn a_lock_that_nobody_holds_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    repo(dir.path(), &[]);
    let lock = File::create(dir.path().join("repo.lock")).unwrap();
    open(dir.path()).unwrap();
    // A process does not see its own locks: tests/e2e has another one hold it.
    let typ = FlockType::WriteLock;
    let flock = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ,
        offset_type: FlockOffsetType::Set,
    };
    assert!(rustix::process::fcntl_getlk(&lock, &flock).is_ok());
}

#[test]
fn pins_are_read_as_kubo_prints_them() {
    let [a, b] = [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
    ];
    let text = format!("{a} recursive\n\n{b} recursive my photos\n{a} indirect\n{b} direct\n{b}\n");
    let mut pins = Pins::new(text.as_bytes());
    let mut found = Vec::new();
    while let Some(pin) = pins.next().unwrap() {
        found.push((pin.root.to_string(), pin.name));
    }
    let name = Some("my photos".to_owned());
    assert_eq!(
        found,
        [(a.into(), None), (b.into(), name), (b.into(), None)]
    );
    assert_eq!(pins.passed_over(), 2);
    for (text, words) in [
        (format!("{a} recursive\nhello recursive\n"), "line 2"),
        (format!("{a} sometimes\n"), "`sometimes` is no kind"),
        ("x".repeat(5000), "longer than"),
    ] {
        let mut pins = Pins::new(text.as_bytes());
        let error = loop {
            match pins.next() {
                Ok(pin) => assert!(pin.is_some()),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains(words), "{error}");
    }
}
