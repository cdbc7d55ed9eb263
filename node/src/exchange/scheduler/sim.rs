//! A small swarm in virtual time: peers that are slow, dead, partial, busy, flaky or lying, over a
//! made-up DAG. It checks the scheduler's rules at every step; same seed, same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::Cid;
use store::cid::{Codec, Version, from_digest};

use super::*;

/// A DAG of names and sizes; no bytes are needed.
#[derive(Debug, Default)]
pub(super) struct Dag {
    pub(super) root: Option<Cid>,
    pub(super) blocks: HashMap<Cid, (u32, Vec<Cid>)>,
    /// In the order in which they were made, for choices by chance.
    pub(super) order: Vec<Cid>,
}

impl Dag {
    pub(super) fn add(&mut self, codec: Codec, size: u32, children: Vec<Cid>) -> Cid {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&(self.order.len() as u64).to_be_bytes());
        let cid = from_digest(Version::V1, codec, &digest);
        self.blocks.insert(cid, (size, children));
        self.order.push(cid);
        self.root = Some(cid);
        cid
    }

    /// A tree of `leaves` leaves, with repeated leaves, dag-pb leaves, and shared subtrees.
    pub(super) fn random(rng: &mut StdRng, leaves: usize) -> Self {
        let mut dag = Self::default();
        let fanout = rng.random_range(2..60);
        let mut level: Vec<Cid> = Vec::new();
        for _ in 0..leaves {
            if !level.is_empty() && rng.random_bool(0.05) {
                level.push(level[rng.random_range(0..level.len())]);
                continue;
            }
            let codec = if rng.random_bool(0.2) {
                Codec::DagPb
            } else {
                Codec::Raw
            };
            let size = rng.random_range(1..300_000);
            level.push(dag.add(codec, size, Vec::new()));
        }
        while level.len() > 1 {
            let nodes: Vec<Cid> = level
                .chunks(fanout)
                .map(|children| {
                    dag.add(Codec::DagPb, 40 * children.len() as u32, children.to_vec())
                })
                .collect();
            level = nodes;
        }
        dag.root = level.first().copied();
        dag
    }

    pub(super) fn is_leaf(&self, cid: &Cid) -> bool {
        self.blocks[cid].1.is_empty()
    }

    /// What a receiver that has `here` knows of a block that `teller` gave.
    pub(super) fn stored(
        &self,
        cid: &Cid,
        here: &HashSet<Cid>,
        teller: impl Fn(&Cid) -> bool,
    ) -> Stored {
        let (size, children) = &self.blocks[cid];
        let child = |cid: &Cid| Child {
            cid: *cid,
            leaf: cid.codec() == Codec::Raw.code()
                || (self.is_leaf(cid) && (teller(cid) || here.contains(cid))),
            size: self.blocks[cid].0,
            here: here.contains(cid),
        };
        Stored {
            cid: *cid,
            size: *size,
            children: children.iter().map(child).collect(),
        }
    }
}

/// A peer of which nothing is known.
pub(super) fn appeared(peer: u32) -> Event<u32> {
    let standing = Standing::default();
    Event::Appeared { peer, standing }
}

/// What a peer is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Honest,
    /// Never answers.
    Dead,
    /// Its `n`th answer, and each after it, is wrong.
    Liar(u32),
    /// Answers every other request with Busy.
    Busy,
    /// Every `n`th request breaks.
    Flaky(u32),
    /// Leaves after this time, and comes back two seconds later.
    Leaves(Duration),
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) nature: Nature,
    /// Bytes per second.
    pub(super) rate: u64,
    pub(super) latency: Duration,
    pub(super) has: HashSet<Cid>,
    pub(super) appears: Time,
    free: Time,
    requests: u32,
    epoch: u32,
}

impl Member {
    pub(super) fn new(nature: Nature, rate: u64, latency_ms: u64, has: HashSet<Cid>) -> Self {
        let latency = Duration::from_millis(latency_ms);
        let (appears, free) = (Time::ZERO, Time::ZERO);
        Self {
            nature,
            rate,
            latency,
            has,
            appears,
            free,
            requests: 0,
            epoch: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Appear(u32),
    Leave(u32),
    Absent(Cid),
    Found(Cid),
    SearchEnded,
    Deliver(RequestId),
    Answer(RequestId),
    Tick,
}

#[derive(Debug)]
struct Flight {
    peer: u32,
    epoch: u32,
    sent: Time,
    asked: Vec<Cid>,
    manifest: bool,
    reply: Reply,
    arrived: bool,
}

#[derive(Debug)]
enum Reply {
    Blocks {
        blocks: Vec<(Cid, Option<bool>)>,
        more: bool,
        lie: Option<String>,
    },
    Busy(Duration),
    Broken,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) end: Action<u32>,
    pub(super) took: Time,
    pub(super) dropped: Vec<(u32, Reason)>,
    /// Bytes that came for blocks that were here already.
    pub(super) twice: u64,
    pub(super) most_known: usize,
}

pub(super) struct Sim<'a> {
    dag: &'a Dag,
    members: Vec<Member>,
    scheduler: Scheduler<u32>,
    pub(super) here: HashSet<Cid>,
    now: Time,
    due: BinaryHeap<Reverse<(Time, u64, Due)>>,
    number: u64,
    flights: BTreeMap<RequestId, Flight>,
    refused: HashSet<(u32, Cid)>,
    dropped: Vec<(u32, Reason)>,
    twice: u64,
    most_known: usize,
}

impl<'a> Sim<'a> {
    pub(super) fn new(dag: &'a Dag, task: Task, members: Vec<Member>) -> Self {
        Self {
            dag,
            members,
            scheduler: Scheduler::new(task),
            here: HashSet::new(),
            now: Time::ZERO,
            due: BinaryHeap::new(),
            number: 0,
            flights: BTreeMap::new(),
            refused: HashSet::new(),
            dropped: Vec::new(),
            twice: 0,
            most_known: 0,
        }
    }

    fn at(&mut self, time: Time, due: Due) {
        self.number += 1;
        self.due.push(Reverse((time, self.number, due)));
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Run {
        self.at(Time::ZERO, Due::Tick);
        for peer in 0..self.members.len() {
            self.at(self.members[peer].appears, Due::Appear(peer as u32));
            if let Nature::Leaves(after) = self.members[peer].nature {
                self.at(after, Due::Leave(peer as u32));
            }
        }
        while let Some(Reverse((time, _, due))) = self.due.pop() {
            self.now = time;
            let Some(event) = self.event(due) else {
                continue;
            };
            let actions = self.scheduler.step(self.now, event);
            self.most_known = self.most_known.max(self.scheduler.tree.items.len());
            let owed = self.scheduler.peers.owed();
            assert!(
                owed <= self.scheduler.task.limits.total_bytes + (36 << 20),
                "{owed} owed"
            );
            for action in actions {
                if matches!(action, Action::Finished | Action::Fail(_)) {
                    let (took, twice) = (self.now, self.twice);
                    let (dropped, most_known) = (self.dropped, self.most_known);
                    return Run {
                        end: action,
                        took,
                        dropped,
                        twice,
                        most_known,
                    };
                }
                self.act(action);
            }
        }
        unreachable!("the scheduler always asks to be woken")
    }

    fn event(&mut self, due: Due) -> Option<Event<u32>> {
        Some(match due {
            Due::Tick => Event::Tick,
            Due::SearchEnded => Event::SearchEnded,
            Due::Appear(peer) => appeared(peer),
            Due::Leave(peer) => {
                self.members[peer as usize].epoch += 1;
                // Who comes back may have learned something.
                self.refused.retain(|(name, _)| *name != peer);
                self.at(self.now + Duration::from_secs(2), Due::Appear(peer));
                Event::Gone(peer)
            }
            Due::Absent(cid) => Event::Absent(cid),
            Due::Found(cid) => Event::Found(self.dag.stored(&cid, &self.here, |_| false)),
            Due::Deliver(request) => return self.deliver(request),
            Due::Answer(request) => self.answer(request),
        })
    }

    fn deliver(&mut self, request: RequestId) -> Option<Event<u32>> {
        let flight = self.flights.get_mut(&request)?;
        if flight.epoch != self.members[flight.peer as usize].epoch {
            self.flights.remove(&request);
            return Some(Event::Failed {
                request,
                failure: Failure::Broken("gone".into()),
            });
        }
        flight.arrived = true;
        match &flight.reply {
            Reply::Busy(retry) => {
                let retry = *retry;
                self.flights.remove(&request);
                Some(Event::Busy { request, retry })
            }
            Reply::Broken => {
                self.flights.remove(&request);
                Some(Event::Failed {
                    request,
                    failure: Failure::Broken("reset".into()),
                })
            }
            Reply::Blocks { blocks, .. } => {
                let size = |(cid, good): &(Cid, Option<bool>)| match good {
                    Some(_) => u64::from(self.dag.blocks[cid].0),
                    None => 0,
                };
                let bytes = blocks.iter().map(size).sum();
                self.at(self.now + Duration::from_millis(3), Due::Answer(request));
                let over = true;
                Some(Event::Received {
                    request,
                    bytes,
                    over,
                })
            }
        }
    }

    fn answer(&mut self, request: RequestId) -> Event<u32> {
        let flight = self.flights.remove(&request).expect("answered once");
        let Reply::Blocks {
            blocks: given,
            more,
            lie,
        } = flight.reply
        else {
            unreachable!()
        };
        let has = self.members[flight.peer as usize].has.clone();
        for (cid, good) in &given {
            if *good == Some(true) && !self.here.insert(*cid) {
                self.twice += u64::from(self.dag.blocks[cid].0);
            }
        }
        let outcome = |(cid, good): (Cid, Option<bool>)| match good {
            Some(true) => Some(Outcome::Stored(
                self.dag.stored(&cid, &self.here, |c| has.contains(c)),
            )),
            Some(false) => None,
            None if has.contains(&cid) => Some(Outcome::Cut(cid)),
            None => Some(Outcome::NotFound(cid)),
        };
        let blocks: Vec<_> = given.into_iter().filter_map(outcome).collect();
        for block in &blocks {
            if let Outcome::NotFound(cid) = block {
                self.refused.insert((flight.peer, *cid));
            }
        }
        Event::Answer(Answer {
            request,
            blocks,
            more,
            lie,
            over: true,
        })
    }

    fn act(&mut self, action: Action<u32>) {
        match action {
            Action::FindPeers => self.at(self.now + Duration::from_millis(100), Due::SearchEnded),
            Action::LookUp(cid) => {
                let found = self.here.contains(&cid);
                let due = if found {
                    Due::Found(cid)
                } else {
                    Due::Absent(cid)
                };
                self.at(self.now + Duration::from_micros(50), due);
            }
            Action::Manifest {
                request,
                peer,
                nodes,
                max_bytes,
            } => {
                let (blocks, more) = self.manifest(peer, &nodes, max_bytes);
                self.send(request, peer, nodes, true, blocks, more);
            }
            Action::Get {
                request,
                peer,
                extents,
                leaves,
                max_bytes,
                ..
            } => {
                self.check_get(peer, &extents, &leaves);
                let blocks = self.get(peer, &leaves, max_bytes);
                self.send(request, peer, leaves, false, blocks, false);
            }
            Action::Drop { peer, reason } => self.dropped.push((peer, reason)),
            Action::WaitUntil(at) if at < Time::MAX => self.at(at.max(self.now), Due::Tick),
            Action::WaitUntil(_) | Action::Finished | Action::Fail(_) => {}
            other => unreachable!("{other:?}"),
        }
    }

    /// The scheduler's promises about a Get.
    fn check_get(&self, peer: u32, extents: &[store::wire::Extent], leaves: &[Cid]) {
        let child = |e: &store::wire::Extent, i: u32| self.dag.blocks[&e.node].1[i as usize];
        let named: Vec<Cid> = extents
            .iter()
            .flat_map(|e| (e.first..e.first + e.count).map(|i| child(e, i)))
            .collect();
        assert_eq!(named, leaves, "the extents name the leaves");
        for leaf in leaves {
            assert!(!self.here.contains(leaf), "asked for what is here");
            assert!(
                !self.refused.contains(&(peer, *leaf)),
                "asked again of who lacks it"
            );
            for flight in self
                .flights
                .values()
                .filter(|f| !f.manifest && f.asked.contains(leaf))
            {
                let gone = self.members[flight.peer as usize].epoch != flight.epoch
                    || self.dropped.iter().any(|(peer, _)| *peer == flight.peer);
                let late = self.now >= flight.sent + Duration::from_secs(2) && !flight.arrived;
                assert!(
                    gone || late,
                    "two owners of one leaf: {flight:?} and {peer}"
                );
            }
        }
    }

    fn manifest(
        &self,
        peer: u32,
        nodes: &[Cid],
        max_bytes: u32,
    ) -> (Vec<(Cid, Option<bool>)>, bool) {
        let has = &self.members[peer as usize].has;
        let mut queue: std::collections::VecDeque<Cid> = nodes.iter().copied().collect();
        let (mut seen, mut bytes, mut blocks) = (HashSet::new(), 0, Vec::new());
        while let Some(cid) = queue.pop_front() {
            let asked = nodes.contains(&cid);
            if !has.contains(&cid) || (self.dag.is_leaf(&cid) && !asked) || !seen.insert(cid) {
                continue;
            }
            let (size, children) = &self.dag.blocks[&cid];
            bytes += size;
            if bytes > max_bytes && !blocks.is_empty() {
                return (blocks, true);
            }
            blocks.push((cid, Some(true)));
            queue.extend(children);
        }
        (blocks, false)
    }

    fn get(&self, peer: u32, leaves: &[Cid], max_bytes: u32) -> Vec<(Cid, Option<bool>)> {
        let has = &self.members[peer as usize].has;
        let (mut bytes, mut full) = (0, false);
        let give = |cid: &Cid| {
            if !has.contains(cid) || full {
                return (*cid, None);
            }
            bytes += self.dag.blocks[cid].0;
            full = bytes > max_bytes && bytes != self.dag.blocks[cid].0;
            (*cid, (!full).then_some(true))
        };
        leaves.iter().map(give).collect()
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "a request and its answer, both made up here"
    )]
    fn send(
        &mut self,
        request: RequestId,
        peer: u32,
        asked: Vec<Cid>,
        manifest: bool,
        mut blocks: Vec<(Cid, Option<bool>)>,
        more: bool,
    ) {
        let hostile = |(p, reason): &(u32, Reason)| *p == peer && reason.is_hostile();
        assert!(
            !self.dropped.iter().any(hostile),
            "asked a peer that is out"
        );
        let member = &mut self.members[peer as usize];
        member.requests += 1;
        let mut lie = None;
        if matches!(member.nature, Nature::Liar(n) if member.requests >= n)
            && let Some(last) = blocks.iter_mut().rev().find(|(_, good)| good.is_some())
        {
            last.1 = Some(false);
            lie = Some(format!("wrong bytes for `{}`", last.0));
        }
        let reply = match member.nature {
            Nature::Busy if member.requests.is_multiple_of(2) => {
                Reply::Busy(Duration::from_millis(300))
            }
            Nature::Flaky(n) if member.requests.is_multiple_of(n) => Reply::Broken,
            _ => Reply::Blocks { blocks, more, lie },
        };
        let bytes: u64 = match &reply {
            Reply::Blocks { blocks, .. } => blocks
                .iter()
                .filter(|(_, good)| good.is_some())
                .map(|(cid, _)| u64::from(self.dag.blocks[cid].0))
                .sum(),
            _ => 0,
        };
        let starts = member.free.max(self.now + member.latency / 2);
        member.free = starts + Duration::from_secs_f64(bytes as f64 / member.rate as f64);
        let arrives = member.free + member.latency / 2;
        let (epoch, nature) = (member.epoch, member.nature.clone());
        let (sent, arrived) = (self.now, false);
        self.flights.insert(
            request,
            Flight {
                peer,
                epoch,
                sent,
                asked,
                manifest,
                reply,
                arrived,
            },
        );
        if nature != Nature::Dead {
            self.at(arrives, Due::Deliver(request));
        }
    }
}

/// A swarm by chance in which honest peers hold everything together; each run says its seed.
pub(super) fn random_run(seed: u64) -> (Run, u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let leaves = rng.random_range(1..600);
    let dag = Dag::random(&mut rng, leaves);
    let mut members = Vec::new();
    let honest = rng.random_range(1..4_usize);
    for i in 0..honest {
        // Inner nodes are everybody's; each leaf is at honest peer number `n % honest`, at least.
        let mut has = HashSet::new();
        for (n, cid) in dag.order.iter().enumerate() {
            if n % honest == i || !dag.is_leaf(cid) || rng.random_bool(0.3) {
                has.insert(*cid);
            }
        }
        let rate = rng.random_range(1 << 20..50 << 20);
        members.push(Member::new(
            Nature::Honest,
            rate,
            rng.random_range(1..200),
            has,
        ));
    }
    for _ in 0..rng.random_range(0..5) {
        let nature = match rng.random_range(0..5) {
            0 => Nature::Dead,
            1 => Nature::Liar(rng.random_range(1..6)),
            2 => Nature::Busy,
            3 => Nature::Flaky(rng.random_range(1..5)),
            _ => Nature::Leaves(Duration::from_millis(rng.random_range(1..3000))),
        };
        let has = dag
            .order
            .iter()
            .filter(|_| rng.random_bool(0.8))
            .copied()
            .collect();
        let rate = rng.random_range(64 << 10..80 << 20);
        let mut member = Member::new(nature, rate, rng.random_range(1..300), has);
        member.appears = Duration::from_millis(rng.random_range(0..2000));
        members.push(member);
    }
    let limits = Limits {
        known_blocks: rng.random_range(32..2000),
        ..Limits::default()
    };
    let stall = Duration::from_secs(60);
    let root = dag.root.expect("it has a leaf");
    let task = Task {
        root,
        mode: Mode::Whole,
        stall,
        limits,
        seed,
    };
    let mut sim = Sim::new(&dag, task, members);
    if rng.random_bool(0.3) {
        // A download that goes on: some is here.
        let some = dag.order.iter().filter(|_| rng.random_bool(0.5));
        sim.here.extend(some);
    }
    let size = dag.blocks.values().map(|(size, _)| u64::from(*size)).sum();
    (sim.run(), size)
}
