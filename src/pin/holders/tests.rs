use bytes::Bytes;

use super::*;
use crate::Block;
use crate::blockstore::{Blockstore, Write};
use crate::cid::{self, Version};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::pin::tests::{PAST, repo};
use crate::pin::{Expiry, Filter, Wanted};
use crate::repo::Repo;
use crate::unixfs::data::{Data, Kind};

fn leaf(text: &str) -> Block {
    Block::hash(
        Version::V1,
        Codec::Raw,
        Bytes::copy_from_slice(text.as_bytes()),
    )
    .unwrap()
}

fn node(children: &[Cid]) -> Block {
    coded(children.iter().map(|cid| link(cid, "x")).collect(), None)
}

/// A file of three leaves of 5,600 bytes, the leaves first.
fn file() -> Vec<Block> {
    let texts = ["a", "b", "c"].map(|text| text.repeat(5600));
    let mut blocks: Vec<Block> = texts.iter().map(|text| leaf(text)).collect();
    let data = Data {
        blocksizes: vec![5600; 3],
        filesize: Some(3 * 5600),
        ..Data::new(Kind::File)
    };
    let links: Vec<_> = blocks.iter().map(|block| link(block.cid(), "")).collect();
    blocks.push(coded(links, Some(data.encode())));
    blocks
}

/// A directory with `entry` in it.
fn dir(name: &str, entry: &Cid) -> Block {
    let data = Data::new(Kind::Directory).encode();
    coded(vec![link(entry, name)], Some(data))
}

fn link(cid: &Cid, name: &str) -> Link {
    Link {
        cid: *cid,
        name: name.into(),
        tsize: 0,
    }
}

fn coded(links: Vec<Link>, data: Option<Bytes>) -> Block {
    let node = Node { links, data };
    Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap()
}

fn put(repo: &Repo, blocks: &[Block]) {
    repo.blocks().put_many(blocks, Write::Logged).unwrap();
}

#[test]
fn holders_are_found_upwards() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let [a, b] = ["a", "b"].map(leaf);
    // A node inside a link: what it links to is held by whoever has the link.
    let inline = node(&[*b.cid()]);
    let carried = multihash::Multihash::wrap(cid::IDENTITY, inline.data()).unwrap();
    let middle = node(&[*a.cid(), Cid::new_v1(Codec::DagPb.code(), carried)]);
    let left = node(&[*middle.cid()]);
    let right = node(&[*a.cid(), *middle.cid()]);
    let blocks = [&a, &b, &middle, &left, &right].map(Clone::clone);
    put(&repo, &blocks);
    let holders = |block: &Block| pins.holders(block.cid(), 10).unwrap();
    assert_eq!(holders(&b).holders, []);
    assert!(holders(&b).complete);

    let pin = |block: &Block| pins.add(&Wanted::new(*block.cid(), 1)).unwrap();
    let [left, right] = [pin(&left), pin(&right)];
    let below: Vec<_> = holders(&b).holders;
    assert_eq!(below.len(), 2);
    assert!(below.contains(&Holder::Below(left.clone())) && below.contains(&Holder::Below(right)));
    let one = pins.holders(b.cid(), 1).unwrap();
    assert!(one.holders.len() == 1 && !one.complete);
    assert!(pins.is_whole(b.cid()).unwrap() && pins.is_whole(&left.root).unwrap());

    // A direct pin keeps its block, and nothing below it.
    pins.remove(&left.root).unwrap();
    pins.unpin_matching(&Filter::default(), &mut |_| true)
        .unwrap();
    let direct = Wanted {
        kind: PinKind::Direct,
        ..Wanted::new(*middle.cid(), 1)
    };
    let direct = pins.add(&direct).unwrap();
    assert_eq!(holders(&middle).holders, [Holder::Pin(direct)]);
    assert!(!pins.is_whole(middle.cid()).unwrap());
    assert_eq!(holders(&b).holders, []);

    // An expired one keeps nothing.
    let expired = Wanted {
        expiry: Expiry::At(PAST),
        ..Wanted::new(left.root, 1)
    };
    pins.add(&expired).unwrap();
    assert_eq!(holders(&b).holders, []);
}

#[test]
fn a_hold_holds_its_children_and_its_path() {
    let (_dir, repo) = repo();
    let leaves: Vec<Block> = ["a", "b", "c"].map(leaf).into();
    let below = node(&[*leaves[1].cid()]);
    let file = node(&[*leaves[0].cid(), *below.cid(), *leaves[2].cid()]);
    let top = node(&[*file.cid()]);
    let mut blocks = leaves.clone();
    blocks.extend([below, file.clone(), top.clone()]);
    put(&repo, &blocks);
    let hold = Hold {
        path: vec![*top.cid(), *file.cid()],
        first: 1,
        count: 1,
    };
    repo.keep().hold(&hold).unwrap();
    let kept = |block: &Block| repo.pins().holders(block.cid(), 10).unwrap().holders;
    for block in [&leaves[1], &top, &file] {
        assert_eq!(kept(block), [Holder::Hold(hold.clone())]);
    }
    for block in [&leaves[0], &leaves[2]] {
        assert_eq!(kept(block), []);
    }
}

#[test]
fn it_is_said_which_file_a_block_is_in_and_where() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let blocks = file();
    let root = dir("the file", blocks[3].cid());
    put(&repo, &blocks);
    put(&repo, std::slice::from_ref(&root));
    let key = Key::of(blocks[2].cid());
    let chain: Vec<Cid> = vec![*root.cid(), *blocks[3].cid(), *blocks[2].cid()];
    let unpinned = pins.whereabouts(&key).unwrap();
    assert_eq!((unpinned.held, unpinned.chain), (vec![], chain.clone()));

    let wanted = Wanted {
        name: Some("mine".into()),
        ..Wanted::new(*root.cid(), 1)
    };
    let pin = pins.add(&wanted).unwrap();
    let place = Place {
        path: "the file".into(),
        offset: Some(2 * 5600),
    };
    let below = Held {
        holder: Holder::Below(pin),
        place: place.clone(),
    };
    let expected = Whereabouts {
        held: vec![below],
        chain: chain.clone(),
    };
    assert_eq!(pins.whereabouts(&key).unwrap(), expected);

    // An end that has come, and a part that is held: neither is overlooked, nor taken for the other.
    let expired = Wanted {
        expiry: Expiry::At(PAST),
        ..wanted
    };
    pins.add(&expired).unwrap();
    assert_eq!(pins.whereabouts(&key).unwrap().held, []);
    let hold = Hold {
        path: chain[..2].to_vec(),
        first: 2,
        count: 1,
    };
    repo.keep().hold(&hold).unwrap();
    let through = |place| Held {
        holder: Holder::Hold(hold.clone()),
        place,
    };
    let expected = Whereabouts {
        held: vec![through(place)],
        chain: chain.clone(),
    };
    assert_eq!(pins.whereabouts(&key).unwrap(), expected);
    let file = pins.whereabouts(&Key::of(blocks[3].cid())).unwrap();
    assert_eq!(file.chain, chain[..2]);
    let place = Place {
        path: "the file".into(),
        offset: None,
    };
    assert_eq!(file.held, [through(place)]);
    // Beside the part that is held: here, and nobody's.
    let beside = pins.whereabouts(&Key::of(blocks[0].cid())).unwrap();
    assert_eq!((beside.held, beside.chain.len()), (vec![], 3));
}

#[test]
fn a_chain_names_the_nodes_inside_links_too() {
    let (_dir, repo) = repo();
    let leaf = leaf("x");
    let inner = dir("in", leaf.cid());
    let carried = multihash::Multihash::wrap(cid::IDENTITY, inner.data()).unwrap();
    let carried = Cid::new_v1(Codec::DagPb.code(), carried);
    let root = dir("out", &carried);
    put(&repo, &[leaf.clone(), root.clone()]);
    let pin = repo.pins().add(&Wanted::new(*root.cid(), 1)).unwrap();
    let found = repo.pins().whereabouts(&Key::of(leaf.cid())).unwrap();
    assert_eq!(found.chain, [*root.cid(), carried, *leaf.cid()]);
    let place = Place {
        path: "out/in".into(),
        offset: None,
    };
    let holder = Holder::Below(pin);
    assert_eq!(found.held, [Held { holder, place }]);
}

#[test]
fn a_block_of_many_parents_is_searched_in_bounds() {
    let (_dir, repo) = repo();
    let shared = leaf("shared");
    // More than a page of parents, and more than a glance.
    let mut blocks = vec![shared.clone()];
    let count = GLANCE + 900;
    blocks.extend((0..count).map(|n| node(&[*shared.cid(), *leaf(&n.to_string()).cid()])));
    put(&repo, &blocks);
    let pin = |n: usize| {
        let root = *blocks[n].cid();
        repo.pins().add(&Wanted::new(root, 1)).unwrap();
    };
    (1..20).for_each(|n| pin(n * 200));
    let all = repo.pins().holders(shared.cid(), 100).unwrap();
    assert!(all.complete);
    assert_eq!(all.holders.len(), 19);
    let some = repo.pins().holders(shared.cid(), 5).unwrap();
    assert!(!some.complete && some.holders.len() == 5);
}
