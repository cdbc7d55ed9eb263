//! The suite that every [`Blockstore`] passes. A test is one function here and one name in the macro.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::{Blockstore, MemoryStore, Put, StoreError, Totals, Write};
use crate::block::Block;
use crate::cid::{self, Cid, Codec, Key, Version};
use crate::dag::{Link, pb};

/// A store under test, which can be closed and opened again if it lives on disk.
trait Subject {
    fn new() -> Self;
    fn store(&self) -> &dyn Blockstore;
    fn reopen(self) -> Self;
}

impl Subject for MemoryStore {
    fn new() -> Self {
        Self::default()
    }

    fn store(&self) -> &dyn Blockstore {
        self
    }

    fn reopen(self) -> Self {
        self
    }
}

#[cfg(feature = "rocksdb")]
struct Disk(super::RocksStore, TempDir);

#[cfg(feature = "rocksdb")]
impl Disk {
    fn open(dir: TempDir) -> Self {
        let options = super::StoreOptions { low_memory: true };
        Self(super::RocksStore::open(dir.path(), options).unwrap(), dir)
    }
}

#[cfg(feature = "rocksdb")]
impl Subject for Disk {
    fn new() -> Self {
        Self::open(tempdir().unwrap())
    }

    fn store(&self) -> &dyn Blockstore {
        &self.0
    }

    fn reopen(self) -> Self {
        let Self(store, dir) = self;
        drop(store);
        Self::open(dir)
    }
}

macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test::<super::MemoryStore>(); })+
        }
        #[cfg(feature = "rocksdb")]
        mod rocks {
            $(#[test] fn $test() { super::$test::<super::Disk>(); })+
        }
    };
}

contract!(
    what_was_put_comes_back_and_what_was_not_is_none,
    one_copy_whatever_the_version_and_codec,
    blocks_that_are_there_are_not_counted_twice,
    identity_cids_are_always_there_and_never_stored,
    links_are_known_without_decoding,
    a_node_put_by_its_raw_cid_has_links_too,
    malformed_nodes_are_kept_but_have_no_links,
    deleted_is_gone_and_can_come_again,
    iteration_is_in_key_order_and_stops_when_told,
    committed_blocks_survive_a_reopening,
    large_and_empty_blocks,
    many_threads_put_the_same_and_all_of_it_is_there,
    removals_can_be_noticed,
    behaves_like_a_map,
);

fn removals_can_be_noticed<S: Subject>() {
    let subject = S::new();
    let store = subject.store();
    let block = raw("gone soon");
    let before = store.removals();
    store
        .put_many(std::slice::from_ref(&block), Write::Bulk)
        .unwrap();
    assert_eq!(store.removals(), before, "nothing went");
    store.delete_many(&[*block.cid()]).unwrap();
    assert!(store.removals() > before);
}

fn raw(data: impl Into<Bytes>) -> Block {
    Block::hash(Version::V1, Codec::Raw, data.into()).unwrap()
}

fn node(children: &[&Block]) -> Block {
    let link = |(i, child): (usize, &&Block)| Link {
        cid: *child.cid(),
        name: format!("{i}").as_str().into(),
        tsize: child.data().len() as u64,
    };
    let links = children.iter().enumerate().map(link).collect();
    let node = pb::Node {
        links,
        data: Some(Bytes::from_static(b"\x08\x01")),
    };
    Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap()
}

fn as_codec(block: &Block, version: Version, codec: Codec) -> Block {
    Block::hash(version, codec, block.data().clone()).unwrap()
}

fn what_was_put_comes_back_and_what_was_not_is_none<S: Subject>() {
    let subject = S::new();
    let store = subject.store();
    let (a, b, missing) = (raw("a"), raw(vec![7; 100_000]), raw("missing"));
    let put = store
        .put_many(&[a.clone(), b.clone()], Write::Logged)
        .unwrap();
    assert_eq!(
        put,
        Put {
            blocks: 2,
            bytes: 100_001
        }
    );
    let cids = [*b.cid(), *missing.cid(), *a.cid(), *b.cid()];
    let (a, b) = (a.data().clone(), b.data().clone());
    assert_eq!(
        store.get_many(&cids).unwrap(),
        [Some(b.clone()), None, Some(a), Some(b)]
    );
    assert_eq!(
        store.sizes(&cids).unwrap(),
        [Some(100_000), None, Some(1), Some(100_000)]
    );
    assert!(store.has(&cids[0]).unwrap() && !store.has(missing.cid()).unwrap());
    assert_eq!(store.get_many(&[]).unwrap(), Vec::<Option<Bytes>>::new());
    assert_eq!(store.put_many(&[], Write::Bulk).unwrap(), Put::default());
}

fn one_copy_whatever_the_version_and_codec<S: Subject>() {
    let subject = S::new();
    let store = subject.store();
    let v0 = as_codec(&node(&[&raw("child")]), Version::V0, Codec::DagPb);
    let v1 = as_codec(&v0, Version::V1, Codec::DagPb);
    let plain = as_codec(&v0, Version::V1, Codec::Raw);
    store
        .put_many(std::slice::from_ref(&v0), Write::Logged)
        .unwrap();
    assert_eq!(
        store
            .put_many(&[v1.clone(), plain.clone()], Write::Bulk)
            .unwrap()
            .blocks,
        0
    );
    for block in [&v0, &v1, &plain] {
        assert_eq!(store.get(block.cid()).unwrap().as_ref(), Some(v0.data()));
    }
    assert_eq!(store.totals().unwrap().blocks, 1);
    assert_eq!(
        store.links(plain.cid()).unwrap(),
        Some(vec![]),
        "a raw block has no links"
    );
}

fn blocks_that_are_there_are_not_counted_twice<S: Subject>() {
    let subject = S::new();
    let store = subject.store();
    let (old, new) = (raw("old"), raw("new"));
    store
        .put_many(std::slice::from_ref(&old), Write::Bulk)
        .unwrap();
    let put = store
        .put_many(&[new.clone(), old, new.clone(), new], Write::Logged)
        .unwrap();
    assert_eq!(
        put,
        Put {
            blocks: 1,
            bytes: 3
        }
    );
    assert_eq!(
        store.totals().unwrap(),
        Totals {
            blocks: 2,
            bytes: 6
        }
    );
}

fn identity_cids_are_always_there_and_never_stored<S: Subject>() {
    let subject = S::new();
    let store = subject.store();
    let cid = cid::parse("bafkqabtimvwgy3yk").unwrap();
    let block = Block::inline(&cid).unwrap();
    for _ in 0..2 {
        assert_eq!(store.get(&cid).unwrap().unwrap(), "hello\n");
        assert_eq!(store.sizes(&[cid]).unwrap(), [Some(6)]);
        assert_eq!(store.links(&cid).unwrap(), Some(vec![]));
        let put = store
            .put_many(std::slice::from_ref(&block), Write::Logged)
            .unwrap();
        assert_eq!(put, Put::default());
        assert_eq!(store.totals().unwrap(), Totals::default());
        store.delete_many(&[cid]).unwrap();
    }
}

fn links_are_known_without_decoding<S: Subject>() {
    let subject = S::new();
    let (a, b) = (raw("a"), raw("b"));
    let (parent, leaf) = (node(&[&a, &b, &a]), node(&[]));
    subject
        .store()
        .put_many(&[parent.clone(), leaf.clone(), a.clone()], Write::Bulk)
        .unwrap();
    subject.store().commit().unwrap();
    let subject = subject.reopen();
    let links = subject.store().links(parent.cid()).unwrap().unwrap();
    assert_eq!(links, pb::Node::decode_block(&parent).unwrap().links);
    assert_eq!(links.len(), 3);
    assert_eq!(subject.store().links(leaf.cid()).unwrap(), Some(vec![]));
    assert_eq!(subject.store().links(a.cid()).unwrap(), Some(vec![]));
    assert_eq!(subject.store().links(b.cid()).unwrap(), None);
}

fn a_node_put_by_its_raw_cid_has_links_too<S: Subject>() {
    let subject = S::new();
    let parent = node(&[&raw("child")]);
    let plain = as_codec(&parent, Version::V1, Codec::Raw);
    subject.store().put_many(&[plain], Write::Logged).unwrap();
    assert_eq!(
        subject.store().links(parent.cid()).unwrap().unwrap().len(),
        1
    );
}

fn malformed_nodes_are_kept_but_have_no_links<S: Subject>() {
    let subject = S::new();
    let data = Bytes::from_static(b"\xff no node");
    let block = Block::hash(Version::V1, Codec::DagPb, data.clone()).unwrap();
    subject
        .store()
        .put_many(std::slice::from_ref(&block), Write::Logged)
        .unwrap();
    assert_eq!(subject.store().get(block.cid()).unwrap(), Some(data));
    assert!(matches!(
        subject.store().links(block.cid()),
        Err(StoreError::Dag(_))
    ));
}

fn deleted_is_gone_and_can_come_again<S: Subject>() {
    let subject = S::new();
    let (child, other) = (raw("child"), raw("other"));
    let parent = node(&[&child]);
    let all = [child, parent, other];
    let cids: Vec<Cid> = all.iter().map(|block| *block.cid()).collect();
    subject.store().put_many(&all, Write::Bulk).unwrap();
    subject.store().delete_many(&cids[..2]).unwrap();
    subject.store().delete_many(&cids[..1]).unwrap();
    subject.store().commit().unwrap();
    let subject = subject.reopen();
    assert_eq!(subject.store().sizes(&cids).unwrap(), [None, None, Some(5)]);
    assert_eq!(subject.store().get(&cids[1]).unwrap(), None);
    assert_eq!(subject.store().links(&cids[1]).unwrap(), None);
    assert_eq!(
        subject
            .store()
            .put_many(&all, Write::Logged)
            .unwrap()
            .blocks,
        2
    );
    assert_eq!(subject.store().links(&cids[1]).unwrap().unwrap().len(), 1);
}

fn iteration_is_in_key_order_and_stops_when_told<S: Subject>() {
    let subject = S::new();
    let blocks: Vec<Block> = (0..50).map(|i| raw(vec![i; usize::from(i) + 1])).collect();
    subject.store().put_many(&blocks, Write::Logged).unwrap();
    let mut expected: Vec<(Key, u32)> = (1..)
        .zip(&blocks)
        .map(|(size, block)| (Key::of(block.cid()), size))
        .collect();
    expected.sort();
    let mut seen = Vec::new();
    let each = &mut |entry: super::Indexed| {
        seen.push((entry.key, entry.size));
        true
    };
    subject.store().for_each(each).unwrap();
    assert_eq!(seen, expected);
    let mut count = 0;
    let each = &mut |_| {
        count += 1;
        count < 3
    };
    subject.store().for_each(each).unwrap();
    assert_eq!(count, 3);
}

fn committed_blocks_survive_a_reopening<S: Subject>() {
    let mut subject = S::new();
    let blocks: Vec<Block> = (0..20).map(|i| raw(vec![i; 10_000])).collect();
    for (i, block) in blocks.iter().enumerate() {
        let write = if i % 3 == 0 {
            Write::Bulk
        } else {
            Write::Logged
        };
        subject
            .store()
            .put_many(std::slice::from_ref(block), write)
            .unwrap();
        if i % 5 == 4 {
            subject.store().commit().unwrap();
            subject.store().commit().unwrap();
            subject = subject.reopen();
        }
    }
    for block in &blocks {
        assert_eq!(
            subject.store().get(block.cid()).unwrap().as_ref(),
            Some(block.data())
        );
    }
}

fn large_and_empty_blocks<S: Subject>() {
    let subject = S::new();
    let blocks = [
        raw(""),
        raw(vec![9; crate::block::MAX_BLOCK_SIZE]),
        node(&[]),
    ];
    subject.store().put_many(&blocks, Write::Bulk).unwrap();
    subject.store().commit().unwrap();
    let subject = subject.reopen();
    for block in &blocks {
        assert_eq!(
            subject.store().get(block.cid()).unwrap().as_ref(),
            Some(block.data())
        );
    }
}

fn many_threads_put_the_same_and_all_of_it_is_there<S: Subject>() {
    let subject = S::new();
    let blocks: Vec<Block> = (0..100_u8).map(|i| raw(vec![i; 500])).collect();
    let dyn_store = subject.store();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let blocks = &blocks;
            scope.spawn(move || {
                for batch in blocks.chunks(7) {
                    let write = if thread % 2 == 0 {
                        Write::Bulk
                    } else {
                        Write::Logged
                    };
                    dyn_store.put_many(batch, write).unwrap();
                    dyn_store.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(
        subject.store().totals().unwrap(),
        Totals {
            blocks: 100,
            bytes: 50_000
        }
    );
}

/// What the model test does next. Blocks are named by a small number, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, bool),
    Delete(Vec<u8>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let blocks = || prop::collection::vec(0_u8..24, 0..8);
    prop_oneof![
        6 => (blocks(), any::<bool>()).prop_map(|(blocks, bulk)| Step::Put(blocks, bulk)),
        3 => blocks().prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

/// Block number `i`: some are inline, some in blob files, some have links.
fn numbered(i: u8) -> Block {
    match i % 3 {
        0 => raw(vec![i; 40]),
        1 => raw(vec![i; 5000]),
        _ => node(&[&raw(vec![i; 3])]),
    }
}

fn behaves_like_a_map<S: Subject>() {
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..25))| {
        let mut subject = S::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(numbers, bulk) => {
                    let blocks: Vec<Block> = numbers.iter().map(|&i| numbered(i)).collect();
                    let write = if bulk { Write::Bulk } else { Write::Logged };
                    let before = model.len();
                    model.extend(blocks.iter().map(|b| (*b.cid(), b.data().clone())));
                    let put = subject.store().put_many(&blocks, write).unwrap();
                    prop_assert_eq!(put.blocks, (model.len() - before) as u64);
                }
                Step::Delete(numbers) => {
                    let cids: Vec<Cid> = numbers.iter().map(|&i| *numbered(i).cid()).collect();
                    model.retain(|cid, _| !cids.contains(cid));
                    subject.store().delete_many(&cids).unwrap();
                }
                Step::Reopen => {
                    subject.store().commit().unwrap();
                    subject = subject.reopen();
                }
            }
        }
        for i in 0..24 {
            let block = numbered(i);
            let expected = model.get(block.cid()).cloned();
            let links = expected.as_ref().map(|_| crate::dag::links(&block).unwrap());
            prop_assert_eq!(subject.store().links(block.cid()).unwrap(), links);
            prop_assert_eq!(subject.store().get(block.cid()).unwrap(), expected);
        }
        let bytes = model.values().map(|data| data.len() as u64).sum();
        let totals = Totals { blocks: model.len() as u64, bytes };
        prop_assert_eq!(subject.store().totals().unwrap(), totals);
    });
}
