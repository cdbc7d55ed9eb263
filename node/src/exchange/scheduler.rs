//! [`Scheduler`]: who is asked for what, and when. Sans-IO: `step(now, event) -> actions`.
//!
//! It keeps to these rules, which the simulator checks over many seeds:
//! - a leaf has one owner at a time: it is asked of another peer only after its owner has failed, or
//!   has let its deadline pass; so blame is exact;
//! - what is on this machine is not asked for;
//! - a peer that gave wrong data is never asked again, and one that lacks a leaf is not asked for it;
//! - memory is bounded, however large the content: [`Limits`];
//! - it ends: finished, or failed after `stall` without progress, with words for what it waited for.
//!
//! Clock, randomness and peers are arguments; it knows neither tokio nor libp2p.

mod answer;
mod assign;
mod event;
mod pace;
mod peers;
mod place;
mod recent;
mod slab;
mod status;
mod tree;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::similar_names,
    reason = "made-up sizes are small"
)]
mod sim;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "made-up sizes are small")]
mod tests;

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use store::Cid;

pub use self::event::{
    Action, Answer, Child, Defeat, Event, Failure, Held, Outcome, Page, Reason, RequestId,
    Standing, Stored, Time,
};
use self::pace::Sent;
use self::peers::Peers;
pub use self::status::{Phase, Status};
use self::tree::Tree;

/// What a name for a peer must be able to do.
pub trait PeerName: Copy + Eq + Hash + Ord + std::fmt::Debug {}
impl<P: Copy + Eq + Hash + Ord + std::fmt::Debug> PeerName for P {}

/// CIDs that readers wait for at once, at most: a reader asks for some tens.
pub const MAX_WANTS: usize = 1024;

/// Nodes that one [`Action::Have`] asks about, at most (docs/protocol.md).
pub const HAVE_NODES: usize = 64;

/// How much of a content is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything under the root.
    Whole,
    /// What readers ask for, and no more.
    OnDemand,
}

/// How much memory a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one peer may owe us.
    pub peer_bytes: u64,
    /// Bytes that all together may owe us, and that wait for verification and disk.
    pub total_bytes: u64,
    /// Blocks of the DAG that are known and not done. About 450 bytes each.
    pub known_blocks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peer_bytes: 16 << 20,
            total_bytes: 64 << 20,
            known_blocks: 64 << 10,
        }
    }
}

impl Limits {
    /// For machines with little memory.
    #[must_use]
    pub const fn low_memory() -> Self {
        Self {
            peer_bytes: 4 << 20,
            total_bytes: 16 << 20,
            known_blocks: 16 << 10,
        }
    }
}

/// What a scheduler is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// The content.
    pub root: Cid,
    /// How much of it.
    pub mode: Mode,
    /// Give up after this long without progress.
    pub stall: Duration,
    /// How much memory it may take.
    pub limits: Limits,
    /// For whatever is decided by chance.
    pub seed: u64,
}

/// A request under way.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "what it is, and how far its answer is"
)]
struct Request<P> {
    peer: P,
    /// Its blocks, in the order asked.
    cids: Vec<Cid>,
    /// Whether it is a Manifest.
    manifest: bool,
    /// Bytes that count as owed until it ends.
    bytes: u64,
    sent: Sent,
    sent_at: Time,
    deadline: Time,
    /// Bytes that have come.
    came: u64,
    /// Whether a block of it has come and was right.
    gave: bool,
    /// Whether the whole answer has come and is being verified.
    received: bool,
    /// Whether the deadline has passed: its blocks may be asked of others.
    overdue: bool,
}

/// A download's decisions.
#[derive(Debug)]
pub struct Scheduler<P> {
    task: Task,
    tree: Tree,
    peers: Peers<P>,
    requests: BTreeMap<RequestId, Request<P>>,
    next_request: RequestId,
    /// What readers wait for, in order.
    wants: Vec<Cid>,
    search: Search,
    /// Since when nothing has come although something is waited for.
    waiting_since: Option<Time>,
    last_progress: Option<Time>,
    fetched_blocks: u64,
    fetched_bytes: u64,
    over: bool,
    rng: StdRng,
}

/// The search for providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// Nothing was needed yet.
    NotYet,
    Running,
    Ended(Time),
}

impl<P: PeerName> Scheduler<P> {
    /// A scheduler that knows nothing but its task. The first `step` sets it going.
    #[must_use]
    pub fn new(task: Task) -> Self {
        Self {
            task,
            tree: Tree::new(task.root, task.mode, task.limits.known_blocks),
            peers: Peers::new(),
            requests: BTreeMap::new(),
            next_request: 1,
            wants: Vec::new(),
            search: Search::NotYet,
            waiting_since: None,
            last_progress: None,
            fetched_blocks: 0,
            fetched_bytes: 0,
            over: false,
            rng: StdRng::seed_from_u64(task.seed),
        }
    }

    /// Takes note of what has happened and decides what is to be done.
    pub fn step(&mut self, now: Time, event: Event<P>) -> Vec<Action<P>> {
        let mut actions = Vec::new();
        if !self.over {
            self.take(now, event, &mut actions);
            self.expire(now, &mut actions);
            self.go_on(now, &mut actions);
        }
        actions.push(Action::WaitUntil(self.next_change(now)));
        actions
    }

    fn take(&mut self, now: Time, event: Event<P>, actions: &mut Vec<Action<P>>) {
        match event {
            Event::Appeared { peer, standing } => self.appeared(peer, standing),
            Event::Gone(peer) => self.gone(peer),
            Event::SearchEnded => self.search = Search::Ended(now),
            Event::Found(stored) => {
                let _ = self.tree.arrived(stored, None);
            }
            Event::Absent(cid) => self.tree.absent(&cid),
            Event::Received {
                request,
                bytes,
                over,
            } => self.received(now, request, bytes, over),
            Event::Answer(answer) => self.answered(now, answer, actions),
            Event::Busy { request, retry } => self.busy(now, request, retry),
            Event::Failed { request, failure } => self.failed(now, request, failure, actions),
            Event::Wants(cids) => self.want(cids, actions),
            Event::Limits {
                total_bytes,
                peer_bytes,
            } => self.limit(total_bytes, peer_bytes),
            // Nobody is asked yet what he has, and nothing is read ahead.
            Event::Have { .. } | Event::Taken { .. } | Event::Tick => {}
        }
    }

    /// Opens what is next, asks whoever has room, and sees whether it is over.
    fn go_on(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        match self.tree.advance(self.requests.is_empty()) {
            Ok(look_up) => actions.extend(look_up.into_iter().map(Action::LookUp)),
            Err(cid) => return self.end(Action::Fail(Defeat::TooWide { cid }), actions),
        }
        if self.tree.finished && self.task.mode == Mode::Whole {
            return self.end(Action::Finished, actions);
        }
        self.assign(now, actions);
        self.search(now, actions);
        self.watch(now, actions);
    }

    fn want(&mut self, mut cids: Vec<Cid>, actions: &mut Vec<Action<P>>) {
        cids.truncate(MAX_WANTS);
        for cid in &cids {
            if self.tree.want(*cid) {
                actions.push(Action::LookUp(*cid));
            }
        }
        self.wants = cids;
    }

    fn limit(&mut self, total_bytes: u64, peer_bytes: u64) {
        self.task.limits.total_bytes = total_bytes;
        self.task.limits.peer_bytes = peer_bytes;
        for peer in self.peers.all.values_mut() {
            peer.pace.set_limit(peer_bytes);
        }
    }

    fn end(&mut self, last: Action<P>, actions: &mut Vec<Action<P>>) {
        self.over = true;
        self.requests.clear();
        actions.push(last);
    }
}
