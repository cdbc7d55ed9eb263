//! [`Census`]: what a crowd around its first peer does, second by second, for people: `STORE_SIM_TELL=1`
//! prints it.

use std::time::Duration;

use store::Cid;

use super::super::request::Kind;
use super::super::tree::State;
use super::super::{Scheduler, Time};
use super::dag::{Block, Dag};
use super::node::Node;

/// How often a line is printed, in virtual time.
const EVERY: Duration = Duration::from_secs(1);

/// One leaf.
#[derive(Clone, Copy, Debug, Default)]
struct Leaf {
    /// How often the first peer gave it, and when it first did.
    given: u32,
    first: Option<Time>,
    /// Downloaders that have it, and when it last came to one.
    holders: usize,
    last: Time,
    /// Downloaders that wait for the first peer to give it.
    awaited: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Census {
    next: Time,
    leaves: Vec<Option<Leaf>>,
    /// Bytes that left each peer since the last line.
    sent: Vec<u64>,
    /// Bytes of inner nodes that the first peer gave.
    inner: u64,
}

/// What downloaders wait for, all together.
#[derive(Default)]
struct Waits {
    queued: usize,
    /// Of these, what nobody is known to have but the first peer.
    only: usize,
    asked: usize,
    known: usize,
}

impl Census {
    /// `None` unless it is asked for.
    pub(super) fn new(dag: &Dag, nodes: usize) -> Option<Self> {
        std::env::var_os("STORE_SIM_TELL")?;
        let leaf = |cid: &Cid| dag.is_leaf(cid).then(Leaf::default);
        Some(Self {
            next: EVERY,
            leaves: dag.order.iter().map(leaf).collect(),
            sent: vec![0; nodes],
            inner: 0,
        })
    }

    pub(super) fn sent(&mut self, from: u32, bytes: u64) {
        self.sent[from as usize] += bytes;
    }

    /// A block has come to a downloader; `new`: that did not have it.
    pub(super) fn came(&mut self, now: Time, from: u32, block: (Block, u64), new: bool) {
        let Some(leaf) = &mut self.leaves[block.0 as usize] else {
            self.inner += if from == 0 { block.1 } else { 0 };
            return;
        };
        if from == 0 {
            leaf.given += 1;
            leaf.first.get_or_insert(now);
        }
        if new {
            leaf.holders += 1;
            leaf.last = now;
        }
    }

    pub(super) fn look(&mut self, now: Time, nodes: &[Node]) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let downloads: Vec<&Node> = nodes.iter().filter(|node| node.begins.is_some()).collect();
        let done = downloads.iter().filter(|node| node.end.is_some()).count();
        let mut waits = Waits::default();
        self.leaves
            .iter_mut()
            .flatten()
            .for_each(|leaf| leaf.awaited = 0);
        for node in &downloads {
            if let Some(scheduler) = node.scheduler.as_ref().filter(|_| node.end.is_none()) {
                self.waits(scheduler, &mut waits);
            }
        }
        let leaves = || self.leaves.iter().flatten();
        let gifts: u32 = leaves().map(|leaf| leaf.given).sum();
        let distinct = leaves().filter(|leaf| leaf.given > 0).count();
        let had: usize = leaves().map(|leaf| leaf.holders).sum();
        let vain = |leaf: &Leaf| leaf.awaited - u32::from(leaf.given == 0).min(leaf.awaited);
        let vain: u32 = leaves().map(vain).sum();
        let everywhere = leaves().filter(|leaf| leaf.holders == downloads.len());
        let spread = |leaf: &Leaf| Some(leaf.last.saturating_sub(leaf.first?));
        let mut spread: Vec<_> = everywhere.filter_map(spread).collect();
        spread.sort_unstable();
        let full = |(node, sent): (&Node, &u64)| *sent as f64 / node.up as f64;
        let full: Vec<f64> = nodes.iter().zip(&self.sent).map(full).collect();
        let all = downloads.len() as f64;
        println!(
            "{:.0} s: {done} done, {:.3} here; the first gave {distinct} leaves, {gifts} times, and {:.1} MB of inner \
             nodes; its uplink {:.2} full, the others' {:.2}; for each {:.0} leaves to be asked for, {:.0} only of \
             the first, {:.1} asked of it; {vain} asked of it in vain; {} everywhere, after {:.1} s; {:.0} peers",
            now.as_secs_f64(),
            had as f64 / all / leaves().count() as f64,
            self.inner as f64 / 1e6,
            full[0],
            full[1..].iter().sum::<f64>() / (full.len() - 1) as f64,
            waits.queued as f64 / all,
            waits.only as f64 / all,
            waits.asked as f64 / all,
            spread.len(),
            spread
                .get(spread.len() / 2)
                .copied()
                .unwrap_or_default()
                .as_secs_f64(),
            waits.known as f64 / all,
        );
        self.sent.fill(0);
    }

    /// What one downloader waits for.
    fn waits(&mut self, scheduler: &Scheduler<u32>, waits: &mut Waits) {
        let peers = &scheduler.peers;
        waits.known += peers.all.len();
        let Some(first) = peers.all.get(&0) else {
            return;
        };
        let others = peers.slots() & !(1 << first.slot);
        for item in scheduler.tree.items.values().filter(|item| item.leaf) {
            let is_queued = item.state == State::Queued;
            waits.queued += usize::from(is_queued);
            waits.only += usize::from(is_queued && others & !item.lacks == 0);
        }
        for request in scheduler
            .requests
            .values()
            .filter(|request| request.peer == 0)
        {
            let Kind::Leaves(leaves) = &request.kind else {
                continue;
            };
            waits.asked += leaves.open().len();
            for (ix, _) in leaves.open() {
                let item = scheduler.tree.items.get(*ix);
                let number = item.map(|item| Dag::number(&item.cid) as usize);
                if let Some(leaf) = number.and_then(|number| self.leaves[number].as_mut()) {
                    leaf.awaited += 1;
                }
            }
        }
    }
}
