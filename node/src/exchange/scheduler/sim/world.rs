//! [`World`]: the clock, the messages between peers, and what each of them does on receiving one.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::Cid;

use super::super::*;
use super::census::Census;
use super::dag::{Block, Dag};
use super::network::RETRANSMIT;
use super::node::{Fault, Node};
use super::report::Run;
use super::server::Server;
use crate::exchange::server::queues::{self, Ticket};

/// How long the search for providers takes.
pub(super) const SEARCH: Duration = Duration::from_millis(100);
/// How often a peer's queues are told who gave it what.
const GIVEN: Duration = Duration::from_secs(5);
/// What is kept for peers is counted after one step in so many: it takes longer than a step.
const SAMPLED: u64 = 32;
/// How long verification and storing take.
const TAKE_IN: Duration = Duration::from_millis(3);

/// What is the same for all downloads of a run.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Setup {
    pub(in super::super) limits: Limits,
    pub(in super::super) stall: Duration,
    pub(in super::super) seed: u64,
    /// Upload slots, as open swarms have them; `None`: a private one.
    pub(in super::super) slots: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            stall: Duration::from_secs(60),
            seed: 1,
            slots: None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Manifest(RequestId, Vec<Cid>, u32),
    Get(RequestId, Vec<Block>, u32),
    Have(RequestId, Vec<Cid>),
    Peers,
    Cancel(RequestId, u32),
    Reset,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) request: RequestId,
    pub(super) bytes: u64,
    pub(super) blocks: Vec<(Block, Given)>,
    pub(super) more: bool,
    pub(super) over: bool,
    pub(super) say: Option<Say>,
}

/// What an answer says besides blocks.
#[derive(Debug)]
pub(super) enum Say {
    Busy(Duration),
    Have(Vec<Page>),
    Peers(Vec<u32>),
}

impl Part {
    pub(super) const fn of(request: RequestId) -> Self {
        Self {
            request,
            bytes: 0,
            blocks: Vec::new(),
            more: false,
            over: false,
            say: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Right,
    Wrong,
    Missing,
    Cut,
}

#[derive(Debug)]
pub(super) enum Due {
    Begin(u32),
    Read(u32),
    Appear(u32, u32),
    Tell(u32, Event<u32>),
    Wake(u32),
    Message(u32, u32, u32, Message),
    /// A peer, in which of its lives, has read: leaves of a ticket, from, how many, up to so many bytes.
    Piece(u32, u32, Ticket, (usize, usize, u64)),
    /// A peer's queues are to be looked after.
    Look(u32, u32),
    /// A peer's queues are told who gave it what.
    Given(u32),
    Free(u32),
    Retry(u32),
    Arrive(u32, u32, u32, Part),
    TakenIn(u32, u32, Part),
    Die(u32),
    Return(u32),
}

struct Entry(Time, u64, Due);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

pub(in super::super) struct World<'a> {
    pub(super) dag: &'a Dag,
    pub(super) setup: Setup,
    pub(super) nodes: Vec<Node>,
    pub(super) now: Time,
    due: BinaryHeap<Entry>,
    pub(super) number: u64,
    pub(super) rng: StdRng,
    pub(super) census: Option<Census>,
}

impl<'a> World<'a> {
    pub(in super::super) fn new(dag: &'a Dag, setup: Setup, nodes: Vec<Node>) -> Self {
        let mut world = Self {
            dag,
            setup,
            nodes,
            now: Time::ZERO,
            due: BinaryHeap::new(),
            number: 0,
            rng: StdRng::seed_from_u64(setup.seed),
            census: None,
        };
        world.census = Census::new(dag, world.nodes.len());
        for i in 0..world.nodes.len() as u32 {
            let node = &mut world.nodes[i as usize];
            node.has.resize(dag.order.len(), false);
            node.server = Server::new(setup.slots, setup.seed ^ u64::from(i));
            let (begins, fault) = (node.begins, node.fault.clone());
            if let Some(at) = begins {
                world.at(at, Due::Begin(i));
            }
            if let Some(Fault::Killed(at, back)) = fault {
                world.at(at, Due::Die(i));
                if let Some(back) = back {
                    world.at(back, Due::Return(i));
                }
            }
        }
        world
    }

    pub(super) fn at(&mut self, time: Time, due: Due) {
        self.number += 1;
        self.due.push(Entry(time.max(self.now), self.number, due));
    }

    /// Runs until each download has ended.
    pub(in super::super) fn run(mut self) -> Run {
        let waiting = |node: &Node| node.begins.is_some() && node.end.is_none();
        let mut open = self.nodes.iter().filter(|node| waiting(node)).count();
        while open > 0 {
            let Some(Entry(time, _, due)) = self.due.pop() else {
                unreachable!("a scheduler always asks to be woken");
            };
            self.now = time;
            if let Some(census) = &mut self.census {
                census.look(time, &self.nodes);
            }
            open -= usize::from(self.happens(due));
        }
        Run::of(self.nodes)
    }

    /// Returns whether a download has ended by it.
    fn happens(&mut self, due: Due) -> bool {
        match due {
            Due::Begin(i) => {
                let task = Task {
                    root: self.dag.root.expect("it has a block"),
                    mode: self.nodes[i as usize].mode,
                    stall: self.setup.stall,
                    limits: self.setup.limits,
                    seed: self.setup.seed ^ u64::from(i) << 32,
                };
                self.nodes[i as usize].scheduler = Some(Scheduler::new(task).known_as(i));
                let reads = self.nodes[i as usize].reader.is_some();
                return self.step(i, Event::Tick) || (reads && self.read(i));
            }
            Due::Read(i) => return self.read(i),
            Due::Appear(i, peer) => return self.step(i, super::appeared(peer)),
            Due::Tell(i, event) => return self.step(i, event),
            Due::Wake(i) if self.nodes[i as usize].wake <= self.now => {
                return self.step(i, Event::Tick);
            }
            Due::Wake(_) => {}
            Due::Message(from, to, epoch, message) => {
                if self.nodes[to as usize].epoch == epoch && !self.nodes[to as usize].gone {
                    self.hear(from, to, message);
                }
            }
            Due::Piece(i, epoch, ticket, piece) => {
                if self.nodes[i as usize].epoch == epoch {
                    self.read_is_done(i, ticket, piece);
                }
            }
            Due::Look(i, epoch) => {
                if self.nodes[i as usize].epoch == epoch {
                    self.nodes[i as usize].server.looks = false;
                    self.serve(i, queues::Event::Tick);
                }
            }
            Due::Given(i) => {
                for (peer, bytes) in std::mem::take(&mut self.nodes[i as usize].given) {
                    self.serve(i, queues::Event::Gave { peer, bytes });
                }
            }
            Due::Free(i) => {
                self.nodes[i as usize].server.busy = false;
                self.send(i);
            }
            Due::Retry(i) => self.send(i),
            Due::Arrive(from, to, epoch, part) => return self.arrive(from, to, epoch, part),
            Due::TakenIn(from, to, part) => {
                let answer = self.sort(from, to, &part);
                let ended = self.step(to, Event::Answer(answer));
                let waits = self.nodes[to as usize].reader.as_ref();
                return ended || (waits.is_some_and(|reader| reader.waits) && self.read(to));
            }
            Due::Die(i) => self.die(i),
            Due::Return(i) => self.nodes[i as usize].gone = false,
        }
        false
    }

    fn die(&mut self, i: u32) {
        let node = &mut self.nodes[i as usize];
        node.gone = true;
        node.epoch += 1;
        node.server = Server::new(self.setup.slots, self.setup.seed ^ u64::from(i));
        for other in 0..self.nodes.len() as u32 {
            let open = &self.nodes[other as usize].open;
            let lost: Vec<_> = open
                .iter()
                .filter(|(_, of)| of.0 == i)
                .map(|(id, _)| *id)
                .collect();
            for request in lost {
                self.fail(other, i, request, Failure::Broken("gone".into()));
            }
        }
    }

    pub(super) fn fail(&mut self, to: u32, from: u32, request: RequestId, failure: Failure) {
        self.nodes[to as usize].open.remove(&request);
        let at = self.now + self.trip(from, to);
        self.at(at, Due::Tell(to, Event::Failed { request, failure }));
    }

    /// One way, with what a loss costs.
    pub(super) fn trip(&mut self, from: u32, to: u32) -> Duration {
        let (a, b) = (&self.nodes[from as usize], &self.nodes[to as usize]);
        let lost = self.rng.random_range(0..1000) < a.loss.max(b.loss);
        a.latency + b.latency + if lost { RETRANSMIT } else { Duration::ZERO }
    }

    pub(super) fn post(&mut self, from: u32, to: u32, message: Message) {
        let at = self.now + self.trip(from, to);
        let epoch = self.nodes[to as usize].epoch;
        self.at(at, Due::Message(from, to, epoch, message));
    }

    pub(super) fn step(&mut self, i: u32, event: Event<u32>) -> bool {
        let now = self.now;
        let node = &mut self.nodes[i as usize];
        if node.end.is_some() {
            return false;
        }
        let Some(scheduler) = &mut node.scheduler else {
            return false;
        };
        let actions = scheduler.step(now, event);
        let owed = scheduler.owed;
        let most = scheduler.task.limits.total_bytes + (36 << 20);
        assert!(owed <= most, "{owed} bytes owed");
        node.most_known = node.most_known.max(scheduler.tree.items.len());
        if self.number.is_multiple_of(SAMPLED) {
            node.most_kept = node.most_kept.max(scheduler.kept_for_a_peer());
        }
        for action in actions {
            if matches!(action, Action::Finished | Action::Fail(_)) {
                let node = &mut self.nodes[i as usize];
                if node.reader.is_some() && action == Action::Finished {
                    // The reader is not at its end yet.
                    node.scheduler = None;
                    return false;
                }
                node.end = Some((now, action));
                return true;
            }
            self.act(i, action);
        }
        false
    }

    fn arrive(&mut self, from: u32, to: u32, epoch: u32, part: Part) -> bool {
        let request = part.request;
        if let Some(Say::Peers(peers)) = part.say {
            for peer in peers {
                self.at(self.now, Due::Appear(to, peer));
            }
            return false;
        }
        if self.nodes[from as usize].epoch != epoch
            || !self.nodes[to as usize].open.contains_key(&request)
        {
            return false;
        }
        match part.say {
            Some(Say::Busy(retry)) => {
                self.nodes[to as usize].open.remove(&request);
                return self.step(to, Event::Busy { request, retry });
            }
            Some(Say::Have(pages)) => {
                self.nodes[to as usize].open.remove(&request);
                return self.step(to, Event::Have { request, pages });
            }
            _ => {}
        }
        let lies = part.blocks.iter().any(|(_, given)| *given == Given::Wrong);
        let (bytes, over) = (part.bytes, part.over || lies);
        if over {
            self.nodes[to as usize].open.remove(&request);
        }
        self.at(self.now + TAKE_IN, Due::TakenIn(from, to, part));
        self.step(
            to,
            Event::Received {
                request,
                bytes,
                over,
            },
        )
    }

    /// The part as verification would have it; what it holds counts as here when it is taken in.
    fn sort(&mut self, from: u32, to: u32, part: &Part) -> Answer {
        let dag = self.dag;
        let mut lie = None;
        let mut blocks = Vec::new();
        for (block, given) in &part.blocks {
            let cid = dag.order[*block as usize];
            let size = u64::from(dag.size(*block));
            let node = &mut self.nodes[to as usize];
            match given {
                Given::Right => {
                    if let Some(census) = &mut self.census {
                        census.came(self.now, from, (*block, size), !node.has(*block));
                    }
                    if dag.is_leaf(&cid) {
                        node.came += size;
                        node.twice += if node.has(*block) { size } else { 0 };
                        *node.from.entry(from).or_default() += size;
                    }
                    node.has[*block as usize] = true;
                    if self.setup.slots.is_some() {
                        if node.given.is_empty() {
                            self.at(self.now + GIVEN, Due::Given(to));
                        }
                        let node = &mut self.nodes[to as usize];
                        *node.given.entry(from).or_default() += size;
                    }
                    let (teller, node) = (&self.nodes[from as usize], &self.nodes[to as usize]);
                    let stored = dag.stored(&cid, |c| node.has_cid(c), |c| teller.has_cid(c));
                    blocks.push(Outcome::Stored(stored));
                }
                Given::Wrong => lie = Some(format!("wrong bytes for `{cid}`")),
                Given::Missing => {
                    node.refused.insert((from, cid));
                    blocks.push(Outcome::NotFound(cid));
                }
                Given::Cut => blocks.push(Outcome::Cut(cid)),
            }
        }
        Answer {
            request: part.request,
            blocks,
            more: part.more,
            over: part.over || lie.is_some(),
            lie,
        }
    }
}
