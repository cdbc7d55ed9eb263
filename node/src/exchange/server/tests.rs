//! Answers from a store in memory, and who is let in.

use store::Block;
use store::blockstore::{MemoryStore, Write};
use store::cid::Version;
use store::dag::pb;
use store::unixfs::Name;
use store::unixfs::data::{Data, Kind};

use super::answer::answer;
use super::*;
use store::Cid;
use store::cid::Codec;
use store::dag::Link;
use store::wire::{Extent, Leaf};

fn raw(byte: u8, size: usize) -> Block {
    Block::hash(Version::V1, Codec::Raw, vec![byte; size].into()).unwrap()
}

fn node(children: &[&Block]) -> Block {
    let link = |(i, block): (usize, &&Block)| Link {
        cid: *block.cid(),
        name: Name::from(format!("{i:03}").as_str()),
        tsize: 0,
    };
    let links = children.iter().enumerate().map(link).collect();
    let data = Some(Data::new(Kind::Directory).encode());
    Block::hash(Version::V1, Codec::DagPb, pb::Node { links, data }.encode()).unwrap()
}

fn store_of(blocks: &[&Block]) -> MemoryStore {
    let store = MemoryStore::default();
    let blocks: Vec<Block> = blocks.iter().map(|&block| block.clone()).collect();
    store.put_many(&blocks, Write::Logged).unwrap();
    store
}

fn manifest(store: &MemoryStore, nodes: Vec<Cid>, max_bytes: u32) -> Response {
    answer(
        store,
        &Request::Manifest {
            root: nodes[0],
            nodes,
            max_bytes,
        },
    )
    .unwrap()
}

fn get(store: &MemoryStore, node: &Block, places: std::ops::Range<u32>, max: u32) -> Vec<Leaf> {
    let extent = Extent {
        node: *node.cid(),
        first: places.start,
        count: places.end - places.start,
    };
    let request = Request::Get {
        root: *node.cid(),
        extents: vec![extent],
        max_bytes: max,
        urgency: store::wire::Urgency::Download,
    };
    match answer(store, &request).unwrap() {
        Response::Leaves(leaves) => leaves,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_has_the_inner_nodes_from_the_top_and_marks_the_leaves() {
    let (leaf, empty, away) = (raw(1, 10), node(&[]), node(&[&raw(9, 9)]));
    let inner = node(&[&leaf]);
    let root = node(&[&inner, &leaf, &empty, &away]);
    let store = store_of(&[&leaf, &empty, &inner, &root]);
    let Response::Manifest { nodes, more } = manifest(&store, vec![*root.cid()], 1 << 20) else {
        panic!("it is there")
    };
    let cids: Vec<&Cid> = nodes.iter().map(|node| &node.cid).collect();
    assert_eq!(cids, [root.cid(), inner.cid()]);
    assert!(!more);
    let marks: Vec<bool> = (0..5).map(|i| nodes[0].leaves.get(i)).collect();
    assert_eq!(
        marks,
        [false, false, true, false, false],
        "only the empty directory is marked"
    );
}

#[test]
fn a_full_manifest_says_that_there_is_more() {
    let (a, b) = (node(&[&raw(1, 1)]), node(&[&raw(2, 2)]));
    let root = node(&[&a, &b]);
    let store = store_of(&[&a, &b, &root]);
    let Response::Manifest { nodes, more } = manifest(&store, vec![*root.cid()], 1) else {
        panic!("the first node comes in any case")
    };
    assert_eq!((nodes.len(), more), (1, true));
}

#[test]
fn a_manifest_of_a_leaf_is_the_leaf_and_of_nothing_is_not_found() {
    let leaf = raw(1, 10);
    let store = store_of(&[&leaf]);
    let Response::Manifest { nodes, more } = manifest(&store, vec![*leaf.cid()], 1 << 20) else {
        panic!("it is there")
    };
    assert_eq!((nodes.len(), more, &nodes[0].data), (1, false, leaf.data()));
    assert_eq!(
        manifest(&store, vec![*raw(2, 10).cid()], 1 << 20),
        Response::NotFound
    );
}

#[test]
fn leaves_come_one_entry_for_each_that_was_asked_for() {
    let (a, b, c) = (raw(1, 10), raw(2, 10), raw(3, 10));
    let root = node(&[&a, &b, &c]);
    let store = store_of(&[&a, &c, &root]);
    let have = |block: &Block| Leaf::Have(block.data().clone());
    let missing = || Leaf::NotFound;
    assert_eq!(
        get(&store, &root, 0..4, 100),
        [have(&a), missing(), have(&c), missing()]
    );
    assert_eq!(
        get(&store, &root, 2..3, 1),
        [have(&c)],
        "the first comes in any case"
    );
    assert_eq!(
        get(&store, &root, 0..3, 15),
        [have(&a), missing(), Leaf::Cut]
    );
    assert_eq!(get(&store, &node(&[&a]), 0..2, 100), [missing(), missing()]);
    assert_eq!(get(&store, &root, u32::MAX - 1..u32::MAX, 100), [missing()]);
}

#[test]
fn one_peer_never_takes_all_places() {
    let mut outstanding = Outstanding::default();
    let (greedy, other) = (PeerId::random(), PeerId::random());
    let admitted = (0..1000).filter(|_| outstanding.admit(greedy)).count();
    assert_eq!(admitted, OUTSTANDING_PER_PEER);
    assert!(outstanding.admit(other));
    outstanding.remove(greedy);
    assert!(outstanding.admit(greedy));
}

#[test]
fn places_are_bounded_whatever_the_number_of_peers() {
    let mut outstanding = Outstanding::default();
    let admitted = (0..1000)
        .filter(|_| outstanding.admit(PeerId::random()))
        .count();
    assert_eq!(
        (admitted, outstanding.by_peer.len()),
        (OUTSTANDING, OUTSTANDING)
    );
}
