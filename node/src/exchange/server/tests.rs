//! Answers from a store in memory.

use store::Block;
use store::blockstore::{MemoryStore, Write};
use store::cid::Version;
use store::dag::pb;
use store::unixfs::Name;
use store::unixfs::data::{Data, Kind};

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::answer::Answers;
use store::Cid;
use store::blockstore::Blockstore;
use store::cid::Codec;
use store::dag::Link;
use store::wire::{Extent, Leaf};
use store::wire::{Request, Response};

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

fn answer(store: &MemoryStore, request: &Request) -> Response {
    let (answers, now) = (Answers::new(0), Instant::now());
    answers
        .answer(store, PeerId::random(), request, now)
        .unwrap()
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
    match answer(store, &request) {
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
fn a_small_content_comes_whole_with_its_manifest() {
    let leaves: Vec<Block> = (0..4).map(|i| raw(i, 20 << 10)).collect();
    let inner = node(&[&leaves[0], &leaves[1]]);
    let root = node(&[&inner, &leaves[2], &leaves[3]]);
    let mut all = vec![&root, &inner];
    all.extend(&leaves);
    let cids_of = |response| {
        let Response::Manifest { nodes, more } = response else {
            panic!("it is there")
        };
        assert!(!more);
        nodes.into_iter().map(|node| node.cid).collect::<Vec<_>>()
    };
    let cids = cids_of(manifest(&store_of(&all), vec![*root.cid()], 1 << 20));
    assert_eq!(cids.len(), 6);
    // Not where one of them is missing, nor where they are more than small.
    let some = cids_of(manifest(&store_of(&all[..5]), vec![*root.cid()], 1 << 20));
    assert_eq!(some, [*root.cid(), *inner.cid()]);
    let (large, too) = (raw(7, 100 << 10), raw(8, 100 << 10));
    let root = node(&[&large, &too]);
    let cids = cids_of(manifest(
        &store_of(&[&large, &too, &root]),
        vec![*root.cid()],
        1 << 20,
    ));
    assert_eq!(cids, [*root.cid()]);
}

#[test]
fn a_node_that_is_asked_for_twice_comes_once() {
    let (leaf, inner) = (raw(1, 10), node(&[&raw(2, 200 << 10)]));
    let root = node(&[&leaf, &inner]);
    let store = store_of(&[&leaf, &inner, &root]);
    let roots = vec![*root.cid(), *root.cid(), *inner.cid(), *root.cid()];
    let Response::Manifest { nodes, .. } = manifest(&store, roots, 1 << 20) else {
        panic!("it is there")
    };
    let cids: Vec<&Cid> = nodes.iter().map(|node| &node.cid).collect();
    assert_eq!(cids, [root.cid(), inner.cid()]);
}

mod manifests {
    use super::*;
    use crate::exchange::server::manifest::Manifests;

    /// The nodes of an answer, and the first bits of its first node.
    fn told(answer: Response) -> (usize, Vec<bool>) {
        let Response::Manifest { nodes, .. } = answer else {
            panic!("it is there")
        };
        (
            nodes.len(),
            (0..2).map(|i| nodes[0].leaves.get(i)).collect(),
        )
    }

    /// What is told of a content when its root alone is asked for.
    fn ask(
        manifests: &Manifests,
        store: &MemoryStore,
        root: &Block,
        now: Instant,
    ) -> (usize, Vec<bool>) {
        let answer = manifests.answer(store, &[*root.cid()], 1 << 20, now);
        told(answer.unwrap())
    }

    #[test]
    fn a_page_is_made_once_until_something_goes() {
        let inner = node(&[&raw(1, 200 << 10)]);
        let root = node(&[&inner]);
        let store = store_of(&[&root, &inner]);
        let (manifests, now) = (Manifests::default(), Instant::now());
        let ask = |now| ask(&manifests, &store, &root, now).0;
        assert_eq!(ask(now), 2);
        let kept = manifests.bytes();
        assert!(kept > root.data().len() + inner.data().len());
        assert_eq!(ask(now + Duration::from_secs(3600)), 2);
        assert_eq!(manifests.bytes(), kept, "it is the same page");
        store.delete_many(&[*inner.cid()]).unwrap();
        assert_eq!(ask(now), 1, "what is removed is not given");
    }

    #[test]
    fn what_comes_is_told_soon() {
        let (empty, inner) = (node(&[]), node(&[&raw(1, 200 << 10)]));
        let root = node(&[&inner, &empty]);
        let store = store_of(&[&root, &inner]);
        let (manifests, now) = (Manifests::default(), Instant::now());
        let ask = |now| ask(&manifests, &store, &root, now);
        assert_eq!(ask(now), (2, vec![false, false]));
        store
            .put_many(std::slice::from_ref(&empty), Write::Bulk)
            .unwrap();
        assert_eq!(ask(now), (2, vec![false, false]), "a page of this moment");
        assert_eq!(ask(now + Duration::from_secs(1)), (2, vec![false, true]));
    }

    #[test]
    fn a_content_that_becomes_small_comes_whole() {
        let (a, b) = (raw(1, 10), raw(2, 10));
        let root = node(&[&a, &b]);
        let store = store_of(&[&root, &a]);
        let (manifests, now) = (Manifests::default(), Instant::now());
        let ask = |now| ask(&manifests, &store, &root, now).0;
        assert_eq!(ask(now), 1, "one leaf is not there");
        store
            .put_many(std::slice::from_ref(&b), Write::Bulk)
            .unwrap();
        assert_eq!(ask(now + Duration::from_secs(1)), 3);
    }

    #[test]
    fn they_take_no_more_memory_than_they_may() {
        // 40 nodes of 400 KiB, each asked for alone, and then leaves by name.
        let store = MemoryStore::default();
        let manifests = Manifests::default();
        let now = Instant::now();
        let mut most = 0;
        for i in 0..40_u8 {
            let data = Some(vec![i; 400 << 10].into());
            let links = vec![Link {
                cid: *raw(i, 1).cid(),
                name: "".into(),
                tsize: 0,
            }];
            let node = pb::Node { links, data };
            let node = Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap();
            store
                .put_many(std::slice::from_ref(&node), Write::Bulk)
                .unwrap();
            manifests
                .answer(&store, &[*node.cid()], 1 << 20, now)
                .unwrap();
            most = most.max(manifests.bytes());
        }
        assert!((7 << 20..=8 << 20).contains(&most), "{most}");
        let leaves: Vec<Block> = (0..4).map(|i| raw(i, 1 << 20)).collect();
        store.put_many(&leaves, Write::Bulk).unwrap();
        let names: Vec<Cid> = leaves.iter().map(|leaf| *leaf.cid()).collect();
        let before = manifests.bytes();
        manifests.answer(&store, &names, 8 << 20, now).unwrap();
        assert_eq!(
            manifests.bytes(),
            before,
            "blocks by name push out no pages"
        );
    }
}

mod pages {
    use std::sync::Arc;

    use store::wire::{Held, Known, Page};

    use super::*;
    use crate::exchange::server::have::Pages;

    fn ask(pages: &Pages, store: &MemoryStore, known: &[Known], now: Instant) -> Vec<Page> {
        pages.answer(store, known, now).unwrap()
    }

    #[test]
    fn pages_say_what_is_here_and_are_left_out_while_that_is_the_same() {
        let (a, b) = (raw(1, 10), raw(2, 10));
        let root = node(&[&a, &b]);
        let store = store_of(&[&root, &b]);
        let (pages, now) = (Pages::new(Arc::default()), Instant::now());
        let known = |version| {
            let node = *root.cid();
            [Known { node, version }]
        };
        let first = ask(&pages, &store, &known(0), now);
        let [
            Page {
                version,
                held: Held::Some(bits),
                ..
            },
        ] = &first[..]
        else {
            panic!("{first:?}")
        };
        assert!(!bits.get(0) && bits.get(1));
        let later = now + Duration::from_secs(1);
        assert_eq!(ask(&pages, &store, &known(*version), later), []);
        // Another one comes.
        store
            .put_many(std::slice::from_ref(&a), Write::Bulk)
            .unwrap();
        assert_eq!(
            ask(&pages, &store, &known(*version), later),
            [],
            "not yet stale"
        );
        let later = later + Duration::from_secs(1);
        let all = ask(&pages, &store, &known(*version), later);
        let [
            Page {
                version: second,
                held: Held::All,
                ..
            },
        ] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert!(second > version);
        // What is removed is noticed at once.
        store.delete_many(&[*b.cid()]).unwrap();
        let third = ask(&pages, &store, &known(*second), later);
        assert!(
            matches!(
                &third[..],
                [Page {
                    held: Held::Some(_),
                    ..
                }]
            ),
            "{third:?}"
        );
        store.delete_many(&[*a.cid()]).unwrap();
        let last = ask(&pages, &store, &known(0), later);
        assert!(
            matches!(
                &last[..],
                [Page {
                    held: Held::Nothing,
                    ..
                }]
            ),
            "{last:?}"
        );
    }

    #[test]
    fn of_a_node_that_is_not_here_nothing_is_held() {
        let unknown = Known {
            node: *node(&[&raw(1, 1)]).cid(),
            version: 0,
        };
        let store = store_of(&[]);
        let pages = ask(
            &Pages::new(Arc::default()),
            &store,
            &[unknown],
            Instant::now(),
        );
        assert!(
            matches!(
                &pages[..],
                [Page {
                    held: Held::Nothing,
                    ..
                }]
            ),
            "{pages:?}"
        );
    }
}
