use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::cid::{Version, from_digest};
use crate::dag::pb::Node;
use crate::unixfs::Name;

fn leaf(bytes: &[u8]) -> Block {
    Block::hash(Version::V1, Codec::Raw, Bytes::copy_from_slice(bytes)).unwrap()
}

fn node(children: &[&Block]) -> Block {
    node_of(
        &children
            .iter()
            .map(|child| *child.cid())
            .collect::<Vec<_>>(),
    )
}

fn node_of(children: &[Cid]) -> Block {
    let link = |cid: &Cid| Link {
        cid: *cid,
        name: Name::default(),
        tsize: 0,
    };
    let node = Node {
        links: children.iter().map(link).collect(),
        data: None,
    };
    Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap()
}

/// Walks a DAG whose blocks are at hand, and says in which order it was done.
fn order(walk: Walk, blocks: &[&Block]) -> Vec<Cid> {
    let mut walk = walk;
    let mut order = Vec::new();
    while let Some(cid) = walk.want() {
        order.push(cid);
        walk.supply(blocks.iter().find(|block| *block.cid() == cid).unwrap())
            .unwrap();
    }
    assert!(walk.is_done());
    order
}

#[test]
fn each_block_is_wanted_once_depth_first() {
    let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| leaf(bytes));
    let left = node(&[&a, &b, &a]);
    let right = node(&[&b, &c]);
    let root = node(&[&left, &right, &left]);
    let all = [&root, &left, &a, &b, &right, &c];
    assert_eq!(
        order(Walk::new(*root.cid()), &all),
        all.map(|block| *block.cid())
    );
    let inner = [&root, &left, &right].map(|block| *block.cid());
    assert_eq!(order(Walk::inner(*root.cid()), &all), inner);
}

#[test]
fn several_blocks_are_wanted_at_once_and_come_in_any_order() {
    let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| leaf(bytes));
    let right = node(&[&b, &c]);
    let root = node(&[&a, &right]);
    let mut walk = Walk::new(*root.cid());
    walk.supply(&root).unwrap();
    assert_eq!(walk.wants(16), [*a.cid(), *right.cid()]);
    walk.supply(&right).unwrap();
    assert_eq!(walk.wants(2), [*a.cid(), *b.cid()]);
    for block in [&c, &a, &b] {
        walk.supply(block).unwrap();
    }
    assert!(walk.is_done());
}

#[test]
fn a_block_that_nobody_asked_for_changes_nothing() {
    let root = node(&[&leaf(b"a")]);
    let mut walk = Walk::new(*root.cid());
    let unwanted = |block: &Block| Err(DagError::Unwanted { cid: *block.cid() });
    assert_eq!(walk.supply(&leaf(b"a")), unwanted(&leaf(b"a")));
    walk.supply(&root).unwrap();
    assert_eq!(walk.supply(&root), unwanted(&root));
    assert_eq!(walk.wants(9), [*leaf(b"a").cid()]);
}

#[test]
fn versions_of_a_cid_are_one_block_and_codecs_are_two() {
    let child = node(&[]);
    let digest = child.cid().hash().digest().try_into().unwrap();
    let v0 = from_digest(Version::V0, Codec::DagPb, &digest);
    let raw = from_digest(Version::V1, Codec::Raw, &digest);
    let root = node_of(&[v0, *child.cid(), raw]);
    let mut walk = Walk::new(*root.cid());
    walk.supply(&root).unwrap();
    assert_eq!(walk.wants(9), [v0, raw]);
    walk.supply(&child).unwrap();
    assert_eq!(walk.wants(9), [raw]);
}

#[test]
fn inline_blocks_are_walked_but_never_wanted() {
    let deep = leaf(b"deep");
    // A node of one link is short enough to be carried by a CID.
    let bytes = node(&[&deep]).data().clone();
    let hash = multihash::Multihash::wrap(cid::IDENTITY, &bytes).unwrap();
    let inline = Cid::new_v1(Codec::DagPb.code(), hash);
    let root = node_of(&[inline]);
    assert_eq!(
        order(Walk::new(*root.cid()), &[&root, &deep]),
        [*root.cid(), *deep.cid()]
    );
    let at_root = Block::inline(&inline).unwrap();
    assert_eq!(
        order(Walk::new(inline), &[&at_root, &deep]),
        [inline, *deep.cid()]
    );
}

#[test]
fn a_chain_without_end_is_given_up() {
    let mut blocks = vec![leaf(b"end")];
    for _ in 0..=MAX_DEPTH {
        let next = node(&[blocks.last().unwrap()]);
        blocks.push(next);
    }
    let mut walk = Walk::new(*blocks.last().unwrap().cid());
    let error = loop {
        let wanted = walk.want().expect("the walk ends by an error");
        let block = blocks
            .iter()
            .rev()
            .find(|block| *block.cid() == wanted)
            .unwrap();
        if let Err(error) = walk.supply(block) {
            break error;
        }
    };
    assert_eq!(
        error,
        DagError::TooDeep {
            cid: *blocks[0].cid(),
            limit: MAX_DEPTH
        }
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let leaves: Vec<Block> = (0..10_u8).map(|i| leaf(&[i])).collect();
    let root = node(&leaves.iter().collect::<Vec<_>>());
    let error = Walk::new(*root.cid())
        .with_visited_max(8)
        .supply(&root)
        .unwrap_err();
    assert_eq!(
        error,
        DagError::TooLarge {
            cid: *root.cid(),
            limit: 8
        }
    );
    assert!(
        Walk::inner(*root.cid())
            .with_visited_max(8)
            .supply(&root)
            .is_ok()
    );
}

proptest! {
    #[test]
    fn random_blocks_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let block = Block::hash(Version::V1, Codec::DagPb, bytes.into()).unwrap();
        let _ = Walk::new(*block.cid()).supply(&block);
    }
}
