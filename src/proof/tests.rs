use proptest::prelude::*;

use super::*;
use crate::blockstore::MemoryStore;
use crate::cid::{Codec, Form};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::dag::planted::{put, raw};
use crate::unixfs::data::{Data, Kind, Metadata};
use crate::unixfs::hamt;
use crate::unixfs::links::Links;
use crate::unixfs::output::Output;
use crate::unixfs::profile::Profile;
use crate::unixfs::read::{Range, Reader as FileReader};

fn node(store: &MemoryStore, form: Form, links: &[(&str, Cid)], data: &Data) -> Cid {
    let link = |(name, cid): &(&str, Cid)| Link {
        cid: *cid,
        name: (*name).into(),
        tsize: 1,
    };
    let links = links.iter().map(link).collect();
    let data = Some(data.encode());
    put(store, form, Codec::DagPb, Node { links, data }.encode())
}

fn file(store: &MemoryStore, children: &[(Cid, u64)]) -> Cid {
    let sizes = children.iter().map(|(_, size)| *size).collect();
    let links: Vec<_> = children.iter().map(|(cid, _)| ("", *cid)).collect();
    node(store, Form::V1, &links, &Data::file(sizes))
}

fn dir(store: &MemoryStore, entries: &[(&str, Cid)]) -> Cid {
    node(store, Form::V1, entries, &Data::new(Kind::Directory))
}

fn written(proof: &Proof) -> Vec<u8> {
    proof.pieces().flatten().collect()
}

/// Reads what was written, and finds the same.
fn again(proof: &Proof) -> Vec<u8> {
    let bytes = written(proof);
    let read = Proof::verify(bytes.as_slice(), Some(proof.root())).unwrap();
    assert_eq!(&read, proof);
    bytes
}

fn refused(bytes: &[u8], words: &str) {
    let error = Proof::verify(bytes, None).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

/// The file of these blocks, whatever they are.
fn car(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let mut bytes = header(&[*root]).to_vec();
    for block in blocks {
        bytes.extend(section_head(block));
        bytes.extend(block.data());
    }
    bytes
}

/// `dir/deep/file`, whose second half begins with bytes of a node's own.
fn tree(store: &MemoryStore) -> Cid {
    let (a, b, c) = (raw(store, b"aaa"), raw(store, b"bbbb"), raw(store, b"c"));
    let left = file(store, &[(a, 3), (b, 4)]);
    let own = Data {
        data: Some("own".into()),
        filesize: Some(8),
        blocksizes: vec![4, 1],
        ..Data::new(Kind::File)
    };
    let right = node(store, Form::V1, &[("", b), ("", c)], &own);
    let whole = file(store, &[(left, 7), (right, 8)]);
    let symlink = node(store, Form::V1, &[], &Data::symlink("to".into()));
    let deep = dir(store, &[("file", whole), ("link", symlink)]);
    dir(store, &[("a", a), ("deep", deep)])
}

#[test]
fn a_leaf_says_where_it_stands() {
    let store = MemoryStore::new();
    let root = tree(&store);
    let place = |leaf| {
        let proof = prove(&store, &root, leaf).unwrap();
        again(&proof);
        let place = proof.place().unwrap();
        let names: Vec<_> = place.names.iter().map(ToString::to_string).collect();
        let span = place.span.map(|span| (span.first, span.count, span.size));
        (names.join("/"), span, place.ways)
    };
    assert_eq!(place(0), ("a".into(), Some((0, 3, 3)), 1));
    assert_eq!(place(1), ("deep/file".into(), Some((0, 3, 15)), 1));
    assert_eq!(place(2), ("deep/file".into(), Some((3, 4, 15)), 1));
    assert_eq!(place(3), ("deep/file".into(), Some((10, 4, 15)), 1));
    assert_eq!(place(4), ("deep/file".into(), Some((14, 1, 15)), 1));
    assert_eq!(place(5), ("deep/link".into(), None, 1));
    let error = prove(&store, &root, 6).unwrap_err().to_string();
    assert!(
        error.ends_with("no leaf 6: there are 6, from 0 to 5"),
        "{error}"
    );
}

#[test]
fn the_root_may_be_the_leaf() {
    let store = MemoryStore::new();
    let leaf = node(&store, Form::V0, &[], &Data::leaf(Kind::File, "old".into()));
    let carried = Form {
        inline: Some(16),
        ..Form::V1
    };
    let roots = [
        (raw(&store, b"new"), Some(3)),
        (leaf, Some(3)),
        (put(&store, carried, Codec::Raw, "carried"), Some(7)),
        (dir(&store, &[]), None),
    ];
    for (root, size) in roots {
        let proof = prove(&store, &root, 0).unwrap();
        again(&proof);
        assert_eq!((proof.blocks().len(), proof.leaf().cid()), (1, &root));
        let span = proof.place().unwrap().span;
        assert_eq!(span.map(|span| span.count), size);
        let error = prove(&store, &root, 1).unwrap_err().to_string();
        assert!(error.ends_with("there is one, leaf 0"), "{error}");
    }
}

#[test]
fn what_identity_cids_carry_is_on_the_path() {
    let store = MemoryStore::new();
    let carried = Form {
        inline: Some(100),
        ..Form::V1
    };
    let tail = put(&store, carried, Codec::Raw, "tail");
    let inner = node(&store, carried, &[("", tail)], &Data::file(vec![4]));
    assert!(crate::cid::identity_data(&inner).is_some());
    let root = file(&store, &[(raw(&store, b"head"), 4), (inner, 4)]);
    let proof = prove(&store, &root, 1).unwrap();
    again(&proof);
    assert_eq!(proof.blocks().len(), 3);
    let span = proof.place().unwrap().span.unwrap();
    assert_eq!((span.first, span.count, span.size), (4, 4, 8));
}

#[test]
fn known_bytes() {
    // Made by a second program from the words above: header, root, leaf.
    let store = MemoryStore::new();
    let (a, b) = (raw(&store, b"hello "), raw(&store, b"world\n"));
    let root = file(&store, &[(a, 6), (b, 6)]);
    let proof = prove(&store, &root, 1).unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&again(&proof)),
        include_str!("known.hex").trim_end()
    );
}

#[test]
fn the_same_leaf_may_stand_in_many_places() {
    let store = MemoryStore::new();
    let zeros = raw(&store, [0; 4]);
    let inner = file(&store, &[(zeros, 4), (zeros, 4)]);
    let root = file(&store, &[(inner, 8), (inner, 8), (zeros, 4)]);
    let proof = prove(&store, &root, 3).unwrap();
    let place = proof.place().unwrap();
    assert_eq!((place.ways, place.span.unwrap().first), (4, 0));
    let last = prove(&store, &root, 4).unwrap().place().unwrap();
    assert_eq!((last.ways, last.span.unwrap().first), (1, 16));
}

#[test]
fn an_entry_of_a_sharded_directory_has_its_name() {
    let store = MemoryStore::new();
    let leaf = raw(&store, b"x");
    let mut links = Links::default();
    for i in 0..2000 {
        links.push(&Link {
            cid: if i == 1234 {
                leaf
            } else {
                raw(&store, [1, 2, 3])
            },
            name: i.to_string().as_str().into(),
            tsize: 3,
        });
    }
    let mut output = Output::new(Some(&store));
    let link = hamt::build(&mut output, &Profile::V1_2025, Metadata::NONE, &links).unwrap();
    output.finish().unwrap();
    let root = link.cid;
    let mut leaves = Leaves::of_store(&store);
    let number = (0..2000).find(|number| {
        let found = leaves.find(&root, *number).unwrap();
        matches!(found, Found::Path(path) if path.last() == Some(&leaf))
    });
    let proof = prove(&store, &root, number.unwrap()).unwrap();
    again(&proof);
    let place = proof.place().unwrap();
    assert_eq!(place.names, ["1234".into()]);
    assert_eq!((place.ways, place.span.unwrap().count), (1, 1));
}

#[test]
fn another_root_is_refused() {
    let store = MemoryStore::new();
    let (root, other) = (tree(&store), raw(&store, b"other"));
    let bytes = written(&prove(&store, &root, 2).unwrap());
    let error = Proof::verify(bytes.as_slice(), Some(&other)).unwrap_err();
    let words = format!("it is about `{root}`, not about `{other}`");
    assert_eq!(error.to_string(), words);
}

#[test]
fn a_path_is_whole_and_ends_at_the_leaf() {
    let store = MemoryStore::new();
    let root = tree(&store);
    let proof = prove(&store, &root, 2).unwrap();
    let blocks = proof.blocks();
    assert_eq!(blocks.len(), 5);
    refused(&car(&root, &[]), "no block in it");
    refused(&car(&root, &blocks[1..]), "its first block is");
    refused(&car(blocks[1].cid(), blocks), "its first block is");
    for end in 1..blocks.len() {
        refused(&car(&root, &blocks[..end]), "that is no leaf");
    }
    let without = [&blocks[..2], &blocks[3..]].concat();
    refused(&car(&root, &without), "block 3, ");
    let twice = [blocks, &blocks[4..]].concat();
    refused(&car(&root, &twice), "is not linked to by the one before");
    let mut two = header(&[root, root]).to_vec();
    two.extend(&car(&root, blocks)[header(&[root]).len()..]);
    refused(&two, "with 2 roots");
    refused(&[0; 8], "no CAR file");
}

#[test]
fn no_path_is_longer_than_a_proof_may_be() {
    let store = MemoryStore::new();
    let leaf = raw(&store, b"x");
    let deep = (0..PATH_MAX).fold(leaf, |below, _| file(&store, &[(below, 1)]));
    assert!(prove(&store, &deep, 0).is_err());
    // One who writes them all the same.
    let (mut blocks, mut at) = (Vec::new(), deep);
    loop {
        let block = fetch_one(&Local(&store), &at).unwrap();
        let below = links(&block).unwrap();
        blocks.push(block);
        match below.first() {
            Some(link) => at = link.cid,
            None => break,
        }
    }
    refused(&car(&deep, &blocks), "no proof is so large");
    let one_less = car(blocks[1].cid(), &blocks[1..]);
    assert!(Proof::verify(one_less.as_slice(), None).is_ok());
}

#[test]
fn what_is_no_unixfs_is_proven_all_the_same() {
    let store = MemoryStore::new();
    let leaf = raw(&store, b"leaf");
    let bare = Node {
        links: vec![Link {
            cid: leaf,
            name: "x".into(),
            tsize: 4,
        }],
        data: None,
    };
    let root = put(&store, Form::V1, Codec::DagPb, bare.encode());
    let proof = prove(&store, &root, 0).unwrap();
    again(&proof);
    let error = proof.place().unwrap_err().to_string();
    assert!(error.contains(&root.to_string()), "{error}");
    // A parent that claims too much.
    let liar = file(&store, &[(leaf, 5)]);
    let proof = prove(&store, &liar, 0).unwrap();
    let error = again_place(&proof);
    assert!(error.contains("its parent says 5"), "{error}");
}

fn again_place(proof: &Proof) -> String {
    again(proof);
    proof.place().unwrap_err().to_string()
}

/// A tree of this shape, a digit a node: how many children it has, or none for a leaf.
fn grown(store: &MemoryStore, shape: &mut impl Iterator<Item = u8>, levels: usize) -> (Cid, u64) {
    let width = shape.next().unwrap_or(0);
    if width == 0 || levels == 0 {
        let bytes = vec![
            width,
            u8::try_from(levels).unwrap(),
            shape.next().unwrap_or(7),
        ];
        return (raw(store, &bytes), 3);
    }
    let children: Vec<_> = (0..width)
        .map(|_| grown(store, shape, levels - 1))
        .collect();
    let size = children.iter().map(|(_, size)| size).sum();
    (file(store, &children), size)
}

proptest! {
    #[test]
    fn every_leaf_of_a_tree_is_proven(shape in prop::collection::vec(0_u8..5, 1..60)) {
        let store = MemoryStore::new();
        let (root, size) = grown(&store, &mut shape.into_iter(), 4);
        let local = Local(&store);
        let reader = FileReader::open(&local, &root, Range::default());
        let bytes: Vec<u8> = reader.unwrap().flat_map(Result::unwrap).collect();
        let mut at = 0;
        for number in 0..size / 3 {
            let proof = prove(&store, &root, number).unwrap();
            again(&proof);
            let place = proof.place().unwrap();
            let span = place.span.unwrap();
            // The first of the places where it is; its own, if there is one.
            prop_assert!(span.first == at || place.ways > 1);
            let first = usize::try_from(span.first).unwrap();
            prop_assert_eq!(&bytes[first..first + 3], proof.leaf().data());
            at += span.count;
        }
        prop_assert_eq!(at, size);
        prop_assert!(prove(&store, &root, size / 3).is_err());
    }

    #[test]
    fn whatever_is_changed_is_found(
        leaf in 0_u64..6,
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let store = MemoryStore::new();
        let root = tree(&store);
        let proof = prove(&store, &root, leaf).unwrap();
        let bytes = written(&proof);
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= flip;
        prop_assert!(Proof::verify(flipped.as_slice(), None).is_err());
        prop_assert!(Proof::verify(&bytes[..cut.index(bytes.len())], None).is_err());
        let longer = [bytes.as_slice(), &more].concat();
        prop_assert!(Proof::verify(longer.as_slice(), None).is_err());
        let (i, j) = (at.index(proof.blocks().len()), cut.index(proof.blocks().len()));
        let mut blocks = proof.blocks().to_vec();
        blocks.swap(i, j);
        prop_assert_eq!(Proof::verify(car(&root, &blocks).as_slice(), None).is_ok(), i == j);
        let mut blocks = proof.blocks().to_vec();
        blocks.remove(i);
        prop_assert!(Proof::verify(car(&root, &blocks).as_slice(), None).is_err());
    }
}
