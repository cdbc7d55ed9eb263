//! Tries that were built are found again, and what contradicts itself is refused.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::block::Block;
use crate::blockstore::{Blockstore, MemoryStore};
use crate::cid::{Cid, Codec, Version};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::unixfs::data::{Data, Kind, Metadata};
use crate::unixfs::output::Output;
use crate::unixfs::profile::Profile;

fn entry(name: &str) -> Link {
    let block = Block::hash(Version::V1, Codec::Raw, Bytes::from(name.to_owned())).unwrap();
    Link {
        cid: *block.cid(),
        name: name.into(),
        tsize: block.data().len() as u64,
    }
}

fn built(names: &[String], fanout: Fanout) -> (MemoryStore, Cid) {
    let store = MemoryStore::default();
    let mut output = Output::new(Some(&store));
    let links: Vec<Link> = names.iter().map(|name| entry(name)).collect();
    let profile = Profile {
        hamt_fanout: fanout,
        ..Profile::V1_2025
    };
    let root = build(
        &mut output,
        &profile,
        Metadata::NONE,
        &links.iter().collect(),
    )
    .unwrap();
    output.finish().unwrap();
    (store, root.cid)
}

fn load(store: &MemoryStore, cid: &Cid, place: Place) -> Shard {
    let node = Node::decode(&store.get(cid).unwrap().unwrap()).unwrap();
    let data = Data::decode(node.data.as_ref().unwrap()).unwrap();
    Shard::decode(cid, &node, &data, place).unwrap()
}

fn find(store: &MemoryStore, root: &Cid, name: &str) -> Option<Link> {
    let (mut cid, mut place) = (*root, Place::ROOT);
    loop {
        match load(store, &cid, place).find(&name.into())? {
            Child::Entry(link) => return Some(link.clone()),
            Child::Shard { link, place: below } => (cid, place) = (link.cid, *below),
        }
    }
}

fn list(store: &MemoryStore, cid: &Cid, place: Place, into: &mut Vec<Link>) {
    for child in load(store, cid, place).children() {
        match child {
            Child::Entry(link) => into.push(link.clone()),
            Child::Shard { link, place } => list(store, &link.cid, *place, into),
        }
    }
}

/// The specification's example: `470.txt` stands at 0x00, then 0x6E.
#[test]
fn bits_are_taken_from_the_top() {
    assert_eq!(hash(&"470.txt".into()) >> 48, 0x006e);
}

#[test]
fn every_name_is_found_and_listed_again() {
    let names: Vec<String> = (0..3000).map(|i| format!("file {i}")).collect();
    for children in [8, 16, 256, 1024] {
        let (store, root) = built(&names, Fanout::new(children).unwrap());
        for name in names.iter().step_by(37) {
            assert_eq!(find(&store, &root, name), Some(entry(name)));
        }
        assert_eq!(find(&store, &root, "file 3000"), None);
        let mut listed = Vec::new();
        list(&store, &root, Place::ROOT, &mut listed);
        let mut listed: Vec<String> = listed.iter().map(|l| l.name.to_string()).collect();
        let mut expected = names.clone();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
    }
}

#[test]
fn fanouts_are_powers_of_two_from_8_to_1024() {
    for bad in [0, 1, 4, 12, 255, 2048, u64::MAX] {
        assert_eq!(Fanout::new(bad), None, "{bad}");
    }
    assert_eq!(Fanout::new(256), Some(Fanout::DEFAULT));
}

/// A root shard with one entry, and what makes it wrong.
fn one_entry() -> (Node, Data) {
    let name = "470.txt";
    let link = Link {
        name: format!("00{name}").as_str().into(),
        ..entry(name)
    };
    let data = Data {
        data: Some(Bytes::from_static(&[1])),
        hash_type: Some(MURMUR3),
        fanout: Some(256),
        ..Data::new(Kind::HamtShard)
    };
    (
        Node {
            links: vec![link],
            data: None,
        },
        data,
    )
}

fn refusal(change: impl FnOnce(&mut Node, &mut Data)) -> ShardError {
    let (mut node, mut data) = one_entry();
    change(&mut node, &mut data);
    shard::parse(&node, &data, Place::ROOT).unwrap_err()
}

#[test]
fn a_shard_that_contradicts_itself_is_refused() {
    let (node, data) = one_entry();
    assert!(shard::parse(&node, &data, Place::ROOT).is_ok());

    assert_eq!(
        refusal(|_, d| d.kind = Kind::Directory),
        ShardError::Kind("a directory")
    );
    assert_eq!(refusal(|_, d| d.hash_type = None), ShardError::Hash(0));
    assert_eq!(
        refusal(|_, d| d.fanout = Some(1 << 40)),
        ShardError::Fanout(1 << 40)
    );
    assert_eq!(
        refusal(|_, d| d.data = Some(vec![0; 33].into())),
        ShardError::Bitfield(33)
    );
    assert_eq!(
        refusal(|_, d| d.data = Some(vec![3].into())),
        ShardError::Count { bits: 2, links: 1 }
    );
    assert_eq!(
        refusal(|_, d| d.data = None),
        ShardError::Count { bits: 0, links: 1 }
    );
    let name = Name::from("00470.txt");
    assert_eq!(
        refusal(|_, d| d.data = Some(vec![2].into())),
        ShardError::Prefix { name, index: 1 }
    );
    assert_eq!(
        refusal(|n, _| n.links[0].name = "00other".into()),
        ShardError::Misplaced("other".into())
    );
    assert_eq!(
        refusal(|n, _| n.links[0].name = "0".into()),
        ShardError::Prefix {
            name: "0".into(),
            index: 0
        }
    );
}

#[test]
fn a_trie_ends_where_the_hash_does() {
    let (mut node, data) = one_entry();
    node.links[0].name = "00".into();
    let mut place = Place::ROOT;
    for _ in 0..8 {
        let shard = shard::parse(&node, &data, place).unwrap();
        let Some(Child::Shard { place: below, .. }) = shard.children().next() else {
            panic!("a link without a name leads to a shard");
        };
        place = *below;
    }
    assert_eq!(shard::parse(&node, &data, place), Err(ShardError::TooDeep));
}

proptest! {
    #[test]
    fn no_shard_makes_it_panic(
        bitfield in prop::collection::vec(any::<u8>(), 0..40),
        fanout in prop::option::of(prop_oneof![Just(256), Just(8), any::<u64>()]),
        names in prop::collection::vec("[0-9A-F]{0,3}[a-z]{0,2}", 0..10),
        depth in 0_usize..9,
    ) {
        let links = names.iter().map(|name| Link { name: name.as_str().into(), ..entry("x") }).collect();
        let data = Data {
            data: Some(bitfield.into()),
            hash_type: Some(MURMUR3),
            fanout,
            ..Data::new(Kind::HamtShard)
        };
        let mut place = Place::ROOT;
        for _ in 0..depth {
            place = place.child(Fanout::DEFAULT, 255).unwrap_or(place);
        }
        let _ = shard::parse(&Node { links, data: None }, &data, place);
    }
}
