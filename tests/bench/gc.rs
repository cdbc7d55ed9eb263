//! `bench gc`: a collection of a large repo of small blocks, beside an add and a get, by the library: how
//! long it takes, what it costs the two, and how soon the space is back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use store::blockstore::{Blockstore, Write};
use store::cid::{Codec, Version};
use store::dag::pb::Node;
use store::dag::{BlockSource, Link, source::Local};
use store::gc::{Collection, LEAST};
use store::pin::Wanted;
use store::repo::{Repo, RepoOptions};
use store::unixfs::Name;
use store::{Block, Cid};

use super::MIB;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Blocks of one file.
const FILE: u64 = 128;
/// How long the pair runs alone.
const ALONE: Duration = Duration::from_secs(20);

/// Bytes that no two blocks share.
fn block(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        bytes.extend(state.rotate_left(23).to_le_bytes());
    }
    bytes
}

/// The blocks of a file, its root last.
fn file(number: u64, blocks: u64) -> Vec<Block> {
    let messages = (0..blocks).map(|i| block(number * FILE + i).into());
    let mut made = Block::hash_many(Version::V1, Codec::Raw, messages.collect()).expect("small");
    let links = made.iter().map(|leaf| Link {
        cid: *leaf.cid(),
        name: Name::default(),
        tsize: BLOCK as u64,
    });
    let node = Node {
        links: links.collect(),
        data: None,
    };
    made.push(Block::hash(Version::V1, Codec::DagPb, node.encode()).expect("small"));
    made
}

fn root(file: &[Block]) -> Cid {
    *file.last().expect("a file has a root").cid()
}

fn pin(repo: &Repo, root: Cid) {
    repo.pins()
        .add(&Wanted::new(root, 0))
        .expect("it can be pinned");
}

/// How long each operation took.
#[derive(Default)]
struct Histogram(Vec<Duration>);

impl Histogram {
    fn rate(&self, time: Duration) -> f64 {
        self.0.len() as f64 / time.as_secs_f64()
    }

    fn print(&mut self, name: &str, time: Duration) {
        self.0.sort_unstable();
        let at = |permille: usize| self.0[(self.0.len() - 1) * permille / 1000].as_secs_f64() * 1e3;
        println!(
            "{name:<28} {:>7.0} /s   p50 {:.2} ms, p99 {:.2}, p99.9 {:.2}, longest {:.2}",
            self.rate(time),
            at(500),
            at(990),
            at(999),
            at(1000)
        );
    }
}

/// Adds and gets until `done`: an add puts and pins a file of 64 KiB, durably; a get reads and checks
/// 64 KiB of a file that is pinned.
fn pair(repo: &Repo, kept: &[Cid], first: u64, done: &(dyn Fn() -> bool + Sync)) -> [Histogram; 2] {
    thread::scope(|scope| {
        let adds = scope.spawn(|| {
            let mut times = Histogram::default();
            let mut number = first;
            while !done() {
                let file = file(number, 16);
                number += 1;
                let began = Instant::now();
                let lease = repo.lease();
                repo.blocks()
                    .put_many(&file, Write::Logged)
                    .expect("there is room");
                pin(repo, root(&file));
                drop(lease);
                times.0.push(began.elapsed());
            }
            times
        });
        let gets = scope.spawn(|| {
            let mut times = Histogram::default();
            let source = Local(repo.blocks().as_ref());
            for at in (0..kept.len()).cycle() {
                if done() {
                    break;
                }
                let began = Instant::now();
                let root = &kept[at * 7919 % kept.len()];
                let links = repo.blocks().links(root).expect("it is here");
                let leaves: Vec<Cid> = links.expect("it is kept").iter().map(|l| l.cid).collect();
                let at = at % (leaves.len() / 16) * 16;
                std::hint::black_box(source.blocks(&leaves[at..at + 16]).expect("they are kept"));
                times.0.push(began.elapsed());
            }
            times
        });
        [adds, gets].map(|thread| thread.join().expect("it does not panic"))
    })
}

pub(crate) fn run(place: &Path, blocks: u64) {
    let repo = Repo::open(&place.join("repo"), &RepoOptions::default()).expect("an empty place");
    let files = blocks / FILE;
    let began = Instant::now();
    let mut kept = Vec::new();
    for number in 0..files {
        let file = file(number, FILE);
        repo.blocks()
            .put_many(&file, Write::Bulk)
            .expect("there is room");
        if number % 2 == 0 {
            kept.push(root(&file));
        }
    }
    repo.blocks().commit().expect("there is room");
    for root in &kept {
        pin(&repo, *root);
    }
    println!(
        "{blocks} blocks of {BLOCK} bytes, half of them pinned, made in {:.1?}",
        began.elapsed()
    );
    // The pair alone, once to get warm.
    let ends = |time: Duration| {
        let end = Instant::now() + time;
        move || Instant::now() >= end
    };
    pair(&repo, &kept, 1 << 32, &ends(ALONE / 4));
    let mut alone = pair(&repo, &kept, 2 << 32, &ends(ALONE));
    let before = repo.collector().space().expect("it can be read");
    let collection = Collection {
        cache: true,
        dry: false,
        gentle: true,
        watch: &|_| true,
    };
    let collect = || repo.collector().collect(&collection).expect("no errors");
    let (mut beside, collected, collecting) = beside(&repo, &kept, 3 << 32, collect);
    let reclaim = || repo.collector().reclaim(108, LEAST).expect("no errors");
    let (mut after, _, reclaiming) = self::beside(&repo, &kept, 4 << 32, reclaim);
    let space = repo.collector().space().expect("it can be read");
    println!(
        "removed {} blocks, {:.0} MiB, in {collecting:.1?}; space was back {reclaiming:.1?} later",
        collected.blocks,
        collected.bytes as f64 / MIB as f64
    );
    println!(
        "on disk {:.0} MiB before, {:.0} MiB now, of {:.0} MiB stored: {:.3}",
        before.disk as f64 / MIB as f64,
        space.disk as f64 / MIB as f64,
        space.live as f64 / MIB as f64,
        space.disk as f64 / space.live as f64
    );
    let [add, get] = &mut alone;
    let [add_beside, get_beside] = &mut beside;
    let [add_after, get_after] = &mut after;
    for (name, alone, phases) in [
        ("add", add, [add_beside, add_after]),
        ("get", get, [get_beside, get_after]),
    ] {
        alone.print(&format!("{name} alone"), ALONE);
        let phases = phases.into_iter().zip([
            ("beside the collection", collecting),
            ("while space comes back", reclaiming),
        ]);
        for (times, (when, time)) in phases {
            let ratio = times.rate(time) / alone.rate(ALONE);
            times.print(&format!("{name} {when}"), time);
            println!("{name} {when} / alone: {ratio:.3}");
        }
    }
}

/// Does `work` beside the pair: what the pair measured, what came of it, and how long it took.
fn beside<T>(
    repo: &Repo,
    kept: &[Cid],
    first: u64,
    work: impl FnOnce() -> T,
) -> ([Histogram; 2], T, Duration) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pair = scope.spawn(|| pair(repo, kept, first, &|| done.load(Ordering::Relaxed)));
        let began = Instant::now();
        let result = work();
        let time = began.elapsed();
        done.store(true, Ordering::Relaxed);
        (pair.join().expect("it does not panic"), result, time)
    })
}
