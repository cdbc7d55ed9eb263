//! [`Scheduler`]: who is asked for what, and when. Sans-IO: `step(now, event) -> actions`.
//!
//! It keeps to these rules, which the simulator checks over many seeds:
//! - a leaf has one owner at a time, and at the end of a download, or where a reader waits, one copy
//!   under way besides; whose bytes are wrong is known by the request that brought them;
//! - what a slow peer owes goes to others, and little is fetched twice: one part in a hundred;
//! - what is on this machine is not asked for;
//! - a peer that gave wrong data is never asked again, and one that lacks a leaf is not asked for it;
//! - memory is bounded, however large the content: [`Limits`];
//! - it ends: finished, or failed after `stall` without progress, with words for what it waited for.
//!
//! Clock, randomness and peers are arguments; it knows neither tokio nor libp2p.

mod answer;
mod assign;
mod deadline;
mod event;
mod holders;
mod pace;
mod peers;
mod pick;
mod place;
mod reader;
mod recent;
mod request;
mod slab;
mod status;
mod steal;
mod strip;
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
pub use store::wire::Held;

pub use self::event::{
    Action, Answer, Child, Defeat, Event, Failure, Outcome, Page, Reason, RequestId, Standing,
    Stored, Time,
};
use self::holders::Around;
use self::peers::Peers;
use self::reader::Reader;
use self::request::Request;
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

/// A download's decisions.
#[derive(Debug)]
pub struct Scheduler<P> {
    task: Task,
    tree: Tree,
    peers: Peers<P>,
    requests: BTreeMap<RequestId, Request<P>>,
    next_request: RequestId,
    /// When the next Manifest or Have is overdue, at the soonest.
    questions_due: Time,
    /// Bytes that all peers together owe us.
    owed: u64,
    /// Bytes that have come and are not taken in yet, of all requests.
    held: u64,
    /// What readers wait for, in order.
    wants: Vec<Cid>,
    reader: Reader,
    around: Around,
    /// When the first leaf was asked for.
    first_get: Option<Time>,
    /// When leaves last changed hands, and when readers' were last looked after.
    stole_at: Time,
    rescued_at: Time,
    /// Bytes of copies under way, and of leaves that came twice.
    copies_out: u64,
    twice: u64,
    /// A number made of this node's name, as others make it.
    salt: Option<u64>,
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
            questions_due: Time::MAX,
            owed: 0,
            held: 0,
            wants: Vec::new(),
            reader: Reader::default(),
            around: Around::new(),
            first_get: None,
            stole_at: Time::ZERO,
            rescued_at: Time::ZERO,
            copies_out: 0,
            twice: 0,
            salt: None,
            search: Search::NotYet,
            waiting_since: None,
            last_progress: None,
            fetched_blocks: 0,
            fetched_bytes: 0,
            over: false,
            rng: StdRng::seed_from_u64(task.seed),
        }
    }

    /// Says by which name others know this node, so that several who download from one provider do not
    /// take the same from it.
    #[must_use]
    pub fn known_as(mut self, name: P) -> Self {
        self.salt = Some(peers::salt(name));
        self
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
            Event::Have { request, pages } => self.have(now, request, pages),
            Event::Taken { bytes } => self.taken(bytes),
            Event::Tick => {}
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

    /// Bytes kept for the one peer for which most is kept, estimated.
    #[cfg(test)]
    fn kept_for_a_peer(&self) -> usize {
        use request::{Kind, Leaves};
        let mut kept = std::collections::HashMap::new();
        for request in self.requests.values() {
            let more = match &request.kind {
                Kind::Leaves(Leaves { all, .. }) => std::mem::size_of_val(&all[..]),
                Kind::Manifest(cids) | Kind::Have(cids) => std::mem::size_of_val(&cids[..]),
            };
            *kept.entry(request.peer).or_insert(size_of::<peers::Peer>()) +=
                more + size_of::<Request<P>>();
        }
        kept.into_values().max().unwrap_or_default()
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
