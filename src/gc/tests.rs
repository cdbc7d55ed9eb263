//! Collections against a model, beside writers, and cut off.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::blockstore::{Blockstore, Write};
use crate::cid::{Cid, Codec, Version};
use crate::dag::Link;
use crate::dag::pb::Node;
use crate::dag::walk::missing;
use crate::keep::Hold;
use crate::pin::{Expiry, Wanted};
use crate::repo::{Repo, RepoOptions};
use crate::unixfs::Name;
use crate::{Block, blockstore::StoreError};

fn repo(quota: Option<u64>) -> (Repo, TempDir) {
    let dir = tempdir().unwrap();
    let options = RepoOptions {
        low_memory: true,
        quota,
    };
    (Repo::open(dir.path(), &options).unwrap(), dir)
}

fn leaf(seed: u64, size: usize) -> Block {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(size)
    .collect();
    Block::hash(Version::V1, Codec::Raw, bytes.into()).unwrap()
}

fn node(children: &[&Block]) -> Block {
    let links = children.iter().map(|child| Link {
        cid: *child.cid(),
        name: Name::default(),
        tsize: child.data().len() as u64,
    });
    let node = Node {
        links: links.collect(),
        data: None,
    };
    Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap()
}

fn pin(repo: &Repo, root: &Block) {
    repo.pins().add(&Wanted::new(*root.cid(), 1)).unwrap();
}

fn put(repo: &Repo, blocks: &[&Block]) {
    let blocks: Vec<Block> = blocks.iter().map(|block| (*block).clone()).collect();
    repo.blocks().put_many(&blocks, Write::Logged).unwrap();
}

fn collect(repo: &Repo, cache: bool) -> Collected {
    let collection = Collection {
        cache,
        dry: false,
        gentle: false,
        watch: &|_| true,
    };
    repo.collector().collect(&collection).unwrap()
}

fn has(repo: &Repo, block: &Block) -> bool {
    repo.blocks().has(block.cid()).unwrap()
}

#[test]
fn what_was_pinned_until_now_is_cache() {
    let (repo, _dir) = repo(None);
    let (a, b) = (leaf(1, 100), leaf(2, 100));
    put(&repo, &[&a, &b]);
    for (block, time) in [(&a, 10), (&b, u64::MAX)] {
        let wanted = Wanted {
            expiry: Expiry::At(time),
            ..Wanted::new(*block.cid(), 1)
        };
        repo.pins().add(&wanted).unwrap();
    }
    assert_eq!(collect(&repo, false).blocks, 0);
    let cached = repo.cached().oldest_first().unwrap();
    assert!(cached.len() == 1 && cached[0].root == *a.cid());
    assert_eq!(collect(&repo, true).blocks, 1);
    assert!(!has(&repo, &a) && has(&repo, &b));
}

#[test]
fn what_is_pinned_stays_with_all_below_it_and_the_rest_goes() {
    let (repo, _dir) = repo(None);
    let (a, b, shared) = (leaf(1, 100), leaf(2, 100), leaf(3, 100));
    let kept = node(&[&a, &shared]);
    let dropped = node(&[&b, &shared]);
    put(&repo, &[&a, &b, &shared, &kept, &dropped]);
    pin(&repo, &kept);
    pin(&repo, &dropped);
    assert_eq!(collect(&repo, true).blocks, 0);
    repo.pins().remove(dropped.cid()).unwrap();
    let dry = Collection {
        cache: true,
        dry: true,
        gentle: false,
        watch: &|_| true,
    };
    let expected = repo.collector().collect(&dry).unwrap();
    assert_eq!(expected.blocks, 2);
    assert_eq!(collect(&repo, true), expected);
    for block in [&a, &shared, &kept] {
        assert!(has(&repo, block));
    }
    for block in [&b, &dropped] {
        assert!(!has(&repo, block));
    }
    let rows = |block: &Block| {
        let mut rows = 0;
        let key = block.cid().hash().to_bytes();
        let mut count = |_: &[u8]| {
            rows += 1;
            true
        };
        repo.blocks().parents(&key, None, &mut count).unwrap();
        rows
    };
    assert_eq!((rows(&shared), rows(&a), rows(&b)), (1, 1, 0));
}

#[test]
fn a_node_that_came_by_a_raw_cid_keeps_its_children_once_it_is_pinned() {
    let (repo, _dir) = repo(None);
    let child = leaf(1, 100);
    let parent = node(&[&child]);
    let plain = Block::hash(Version::V1, Codec::Raw, parent.data().clone()).unwrap();
    put(&repo, &[&child, &plain]);
    pin(&repo, &parent);
    assert_eq!(collect(&repo, true).blocks, 0);
    assert!(has(&repo, &child));
}

#[test]
fn children_of_nodes_in_identity_cids_are_kept() {
    let (repo, _dir) = repo(None);
    let child = leaf(1, 10);
    let inner = node(&[&child]);
    let hash = multihash::Multihash::wrap(crate::cid::IDENTITY, inner.data()).unwrap();
    let inline = Block::inline(&Cid::new_v1(Codec::DagPb.code(), hash)).unwrap();
    let root = node(&[&inline]);
    put(&repo, &[&child, &root]);
    pin(&repo, &root);
    assert_eq!(collect(&repo, true).blocks, 0);
    assert!(has(&repo, &child));
}

#[test]
fn a_hold_keeps_its_children_and_the_path_to_them() {
    let (repo, _dir) = repo(None);
    let leaves: Vec<Block> = (0..6).map(|i| leaf(i, 50)).collect();
    let inner: Vec<Block> = leaves
        .chunks(2)
        .map(|two| node(&[&two[0], &two[1]]))
        .collect();
    let file = node(&inner.iter().collect::<Vec<_>>());
    let root = node(&[&file, &leaf(9, 50)]);
    put(&repo, &leaves.iter().chain(&inner).collect::<Vec<_>>());
    put(&repo, &[&file, &root, &leaf(9, 50)]);
    let hold = Hold {
        path: vec![*root.cid(), *file.cid()],
        first: 1,
        count: 1,
    };
    assert!(repo.keep().hold(&hold).unwrap());
    collect(&repo, true);
    for kept in [&root, &file, &inner[1], &leaves[2], &leaves[3]] {
        assert!(has(&repo, kept));
    }
    assert_eq!(repo.blocks().totals().unwrap().blocks, 5);
    assert!(repo.keep().release(&hold).unwrap());
    assert_eq!(collect(&repo, true).blocks, 5);
}

#[test]
fn what_a_lease_put_or_met_stays_until_it_ends() {
    let (repo, _dir) = repo(None);
    let (old, met, young) = (leaf(1, 10), leaf(2, 10), leaf(3, 10));
    put(&repo, &[&old, &met]);
    let lease = repo.lease();
    put(&repo, &[&met, &young]);
    assert_eq!(collect(&repo, true).blocks, 1);
    assert!(!has(&repo, &old) && has(&repo, &met) && has(&repo, &young));
    // Others that come and go meanwhile change nothing for it.
    drop(repo.lease());
    assert_eq!(collect(&repo, true).blocks, 0);
    drop(lease);
    assert_eq!(collect(&repo, true).blocks, 2);
}

#[test]
fn what_is_below_a_leases_root_stays_whenever_it_came() {
    let (repo, _dir) = repo(None);
    let child = leaf(1, 10);
    let root = node(&[&child]);
    put(&repo, &[&child, &root]);
    let lease = repo.lease();
    lease.root(root.cid());
    assert_eq!(collect(&repo, true).blocks, 0);
    drop(lease);
    assert_eq!(collect(&repo, true).blocks, 2);
}

#[test]
fn a_block_that_is_named_goes_unless_something_keeps_it() {
    let (repo, _dir) = repo(None);
    let remove = |block: &Block| repo.collector().remove_block(block.cid()).unwrap();
    let (child, other, cached) = (leaf(1, 10), leaf(2, 10), leaf(3, 10));
    let root = node(&[&child, &other]);
    put(&repo, &[&child, &other, &cached, &root]);
    let wanted = Wanted {
        expiry: Expiry::At(10),
        ..Wanted::new(*other.cid(), 1)
    };
    repo.pins().add(&wanted).unwrap();
    pin(&repo, &root);
    assert_eq!(remove(&child), Removal::Kept);
    repo.pins().remove(root.cid()).unwrap();
    let hold = Hold {
        path: vec![*root.cid()],
        first: 0,
        count: 1,
    };
    assert!(repo.keep().hold(&hold).unwrap());
    assert_eq!(
        (remove(&child), remove(&root)),
        (Removal::Kept, Removal::Kept)
    );
    // Beside the hold, and its pin has expired.
    assert_eq!(remove(&other), Removal::Removed(10));
    assert!(repo.keep().release(&hold).unwrap());
    let lease = repo.lease();
    lease.root(root.cid());
    assert_eq!(remove(&child), Removal::Kept);
    drop(lease);
    assert_eq!(remove(&child), Removal::Removed(10));
    assert_eq!(remove(&child), Removal::NotHere);
    repo.cached().touch(cached.cid()).unwrap();
    assert_eq!(remove(&cached), Removal::Removed(10));
    assert!(!has(&repo, &cached) && has(&repo, &root));
    let roots = repo.cached().oldest_first().unwrap();
    assert!(roots.iter().all(|root| root.root != *cached.cid()));
}

#[test]
fn the_cache_stays_unless_it_is_to_go() {
    let (repo, _dir) = repo(None);
    let child = leaf(1, 10);
    let root = node(&[&child]);
    put(&repo, &[&child, &root, &leaf(2, 10)]);
    repo.cached().touch(root.cid()).unwrap();
    let usage = repo.collector().usage(&|| true).unwrap().unwrap();
    let cached = 10 + root.data().len() as u64;
    let expected = Usage {
        pinned: 0,
        cached,
        reclaimable: 10,
    };
    assert_eq!(usage, expected);
    assert_eq!(collect(&repo, false).blocks, 1);
    assert_eq!(collect(&repo, true).blocks, 2);
    assert_eq!(repo.cached().oldest_first().unwrap(), []);
}

#[test]
fn one_that_was_cut_off_goes_on_and_comes_around() {
    let (repo, _dir) = repo(None);
    let blocks: Vec<Block> = (0..1500).map(|i| leaf(i, 20)).collect();
    put(&repo, &blocks.iter().collect::<Vec<_>>());
    let steps = AtomicU32::new(0);
    let cut = Collection {
        cache: true,
        dry: false,
        gentle: false,
        watch: &|_| steps.fetch_add(1, Ordering::Relaxed) == 0,
    };
    let first = repo.collector().collect(&cut).unwrap();
    assert!(first.blocks > 0 && first.blocks < 1500, "{first:?}");
    let second = collect(&repo, true);
    assert_eq!(first.blocks + second.blocks, 1500);
    assert_eq!(repo.blocks().totals().unwrap().blocks, 0);
}

#[test]
fn room_is_made_by_the_least_recently_used_and_never_by_what_is_pinned() {
    let size = 10_000;
    let (repo, _dir) = repo(Some(20 * size));
    let files: Vec<(Block, Vec<Block>)> = (0..6)
        .map(|i| {
            let leaves: Vec<Block> = (0..4).map(|j| leaf(i * 10 + j, 9_000)).collect();
            (node(&leaves.iter().collect::<Vec<_>>()), leaves)
        })
        .collect();
    for ((root, leaves), now) in files.iter().zip(1..) {
        let lease = repo.lease();
        lease.root(root.cid());
        put(&repo, &leaves.iter().chain([root]).collect::<Vec<_>>());
        repo.cached().touch_at(root.cid(), now).unwrap();
        // The first is used again and again.
        repo.cached().touch_at(files[0].0.cid(), now).unwrap();
        assert!(repo.blocks().live_bytes() <= 20 * size);
    }
    let whole = |(root, _): &(Block, Vec<Block>)| {
        has(&repo, root)
            && missing(repo.blocks().as_ref(), root.cid(), 1)
                .unwrap()
                .is_empty()
    };
    assert!(whole(&files[0]) && whole(&files[5]));
    assert!(!whole(&files[1]));
    // Pinned content is no room.
    for file in &files {
        if whole(file) {
            pin(&repo, &file.0);
        }
    }
    let pinned = repo.blocks().live_bytes();
    let large: Vec<Block> = (100..120).map(|i| leaf(i, 9_000)).collect();
    let error = repo.blocks().put_many(&large, Write::Logged).unwrap_err();
    assert!(matches!(error, StoreError::Quota { .. }), "{error}");
    assert!(error.to_string().contains("195.3 KiB"), "{error}");
    assert!(repo.blocks().live_bytes() <= pinned);
    assert!(whole(&files[0]) && whole(&files[5]));
}

#[test]
fn space_comes_back() {
    let (repo, _dir) = repo(None);
    let blocks: Vec<Block> = (0..2048).map(|i| leaf(i, 64 << 10)).collect();
    for some in blocks.chunks(64) {
        repo.blocks().put_many(some, Write::Bulk).unwrap();
    }
    repo.blocks().commit().unwrap();
    for block in blocks.iter().step_by(2) {
        pin(&repo, block);
    }
    let before = repo.collector().space().unwrap();
    collect(&repo, true);
    assert!(repo.collector().reclaim(110, LEAST).unwrap());
    let after = repo.collector().space().unwrap();
    assert!(after.disk * 100 <= after.live * 105, "{before:?} {after:?}");
    for block in blocks.iter().step_by(2) {
        let data = repo.blocks().get(block.cid()).unwrap();
        assert_eq!(data.as_ref(), Some(block.data()));
    }
    // There is nothing to win a second time.
    assert!(!repo.collector().reclaim(110, LEAST).unwrap());
}

/// Writers that add, pin and unpin trees which share blocks, beside collections without a pause: what
/// is pinned is whole at any time.
#[test]
fn collections_beside_writers_take_nothing_that_is_pinned() {
    /// Ends the collections, however the writers end.
    struct Stops<'a>(&'a AtomicBool);
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (repo, _dir) = repo(None);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stops = Stops(&stop);
        let collector = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                collect(&repo, true);
                rounds += 1;
            }
            rounds
        });
        let writers: Vec<_> = (0..3_u64)
            .map(|writer| {
                let repo = &repo;
                scope.spawn(move || {
                    for round in 0..120 {
                        // Half of the leaves are the same in every round, and of all writers.
                        let leaves: Vec<Block> = (0..8)
                            .map(|i| {
                                leaf(
                                    if i % 2 == 0 {
                                        i
                                    } else {
                                        writer << 32 | round << 8 | i
                                    },
                                    300,
                                )
                            })
                            .collect();
                        let root = node(&leaves.iter().collect::<Vec<_>>());
                        let lease = repo.lease();
                        for some in leaves.chunks(3) {
                            put(repo, &some.iter().collect::<Vec<_>>());
                        }
                        put(repo, &[&root]);
                        pin(repo, &root);
                        drop(lease);
                        let lost = missing(repo.blocks().as_ref(), root.cid(), 1).unwrap();
                        assert_eq!(lost, [], "of round {round}");
                        repo.pins().remove(root.cid()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        drop(stops);
        assert!(collector.join().unwrap() > 1);
    });
    collect(&repo, true);
    assert_eq!(repo.blocks().totals().unwrap().blocks, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Put { children: Vec<usize> },
    Pin(usize),
    Unpin(usize),
    Touch(usize),
    Collect { cache: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(0_usize..40, 0..5).prop_map(|children| Step::Put { children }),
        2 => (0_usize..40).prop_map(Step::Pin),
        1 => (0_usize..40).prop_map(Step::Unpin),
        1 => (0_usize..40).prop_map(Step::Touch),
        1 => any::<bool>().prop_map(|cache| Step::Collect { cache }),
    ]
}

/// The same in a few sets.
#[derive(Default)]
struct Model {
    blocks: Vec<(Block, Vec<usize>)>,
    pinned: HashSet<usize>,
    cached: HashSet<usize>,
    there: HashSet<usize>,
}

impl Model {
    fn reachable(&self, roots: impl IntoIterator<Item = usize>) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut pending: Vec<usize> = roots.into_iter().collect();
        while let Some(at) = pending.pop() {
            if self.there.contains(&at) && found.insert(at) {
                pending.extend(&self.blocks[at].1);
            }
        }
        found
    }

    fn collect(&mut self, cache: bool) {
        if cache {
            self.cached.clear();
        }
        let roots: Vec<usize> = self.pinned.union(&self.cached).copied().collect();
        self.there = self.reachable(roots);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_what_is_reachable(steps in prop::collection::vec(step(), 1..60)) {
        let (repo, _dir) = repo(None);
        let mut model = Model::default();
        for step in steps {
            let count = model.blocks.len();
            match step {
                Step::Put { children } => {
                    let children: Vec<usize> = children
                        .into_iter()
                        .filter(|at| *at < count && model.there.contains(at))
                        .collect();
                    let block = if children.is_empty() {
                        leaf(count as u64, 40)
                    } else {
                        // Two nodes of the same children are two nodes here.
                        let own = leaf(count as u64, 40);
                        put(&repo, &[&own]);
                        let mut all: Vec<&Block> =
                            children.iter().map(|at| &model.blocks[*at].0).collect();
                        all.push(&own);
                        let block = node(&all);
                        model.blocks.push((own, Vec::new()));
                        model.there.insert(count);
                        block
                    };
                    put(&repo, &[&block]);
                    let at = model.blocks.len();
                    let mut below = children;
                    if at > count {
                        below.push(count);
                    }
                    model.blocks.push((block, below));
                    model.there.insert(at);
                }
                Step::Pin(at) if model.there.contains(&at) => {
                    pin(&repo, &model.blocks[at].0);
                    model.pinned.insert(at);
                }
                Step::Unpin(at) if at < count => {
                    repo.pins().remove(model.blocks[at].0.cid()).unwrap();
                    model.pinned.remove(&at);
                }
                Step::Touch(at) if model.there.contains(&at) => {
                    repo.cached().touch(model.blocks[at].0.cid()).unwrap();
                    model.cached.insert(at);
                }
                Step::Collect { cache } => {
                    collect(&repo, cache);
                    model.collect(cache);
                    for (at, (block, _)) in model.blocks.iter().enumerate() {
                        prop_assert_eq!(has(&repo, block), model.there.contains(&at), "{}", at);
                    }
                }
                Step::Pin(_) | Step::Unpin(_) | Step::Touch(_) => {}
            }
        }
        let totals = repo.blocks().totals().unwrap();
        prop_assert_eq!(totals.blocks, model.there.len() as u64);
        let sums = repo.blocks().sums();
        prop_assert_eq!(repo.blocks().count_again().unwrap(), sums);
    }
}
