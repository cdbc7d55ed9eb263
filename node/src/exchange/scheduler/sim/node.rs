//! [`Node`]: one peer of the made-up swarm.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use store::Cid;

use super::super::{Action, Mode, Reason, RequestId, Scheduler, Time};
use super::dag::{Block, Dag};
use super::network::Downlink;
use super::server::Server;

/// What is wrong with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// Its `n`th leaf, and each after it, is wrong.
    Lies(u32),
    /// Answers every other request with Busy.
    Busy,
    /// Every `n`th request breaks off.
    Flaky(u32),
    /// Gone at the first time, back at the second, if at all; what it owed breaks off.
    Killed(Time, Option<Time>),
    /// Sends nothing from the first time to the second, and takes requests all the same.
    Stalls(Time, Option<Time>),
    /// One hundredth of its rate from then on.
    Slows(Time),
    /// Never answers anything.
    Dead,
    /// Says that it has everything, and has not.
    Boasts,
    /// Takes and gives nothing.
    Rides,
}

/// Somebody who reads what is downloaded, block by block.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Reading {
    /// Which, in order.
    pub(super) path: Vec<Cid>,
    /// Bytes per second.
    pub(super) rate: u64,
    pub(super) next: usize,
    pub(super) waits: bool,
    pub(super) since: Time,
    /// How long it waited, all in all.
    pub(super) waited: Duration,
}

/// One peer.
pub(in super::super) struct Node {
    pub(super) fault: Option<Fault>,
    /// Bytes per second.
    pub(super) up: u64,
    pub(super) down: Downlink,
    /// Half of its share of a round trip.
    pub(super) latency: Duration,
    /// How many of a thousand messages are lost and come late.
    pub(super) loss: u32,
    pub(super) has: Vec<bool>,
    /// When others can find it.
    pub(super) appears: Time,
    /// When it begins to download.
    pub(super) begins: Option<Time>,
    pub(super) scheduler: Option<Scheduler<u32>>,
    pub(super) server: Server,
    /// Bytes that others gave it since its queues were told.
    pub(super) given: BTreeMap<u32, u64>,
    /// The most that its queues held, in bytes.
    pub(super) most_held: u64,
    pub(super) gone: bool,
    pub(super) epoch: u32,
    /// Who asked it lately: it tells others of them.
    pub(super) askers: BTreeMap<u32, Time>,
    /// When its scheduler is to be woken.
    pub(super) wake: Time,
    pub(super) mode: Mode,
    pub(super) reader: Option<Reading>,
    /// Requests that have not ended: of whom, which of its lives, and since when.
    pub(super) open: BTreeMap<RequestId, (u32, u32)>,
    pub(super) requests: u32,
    pub(super) leaves_given: u32,
    pub(super) dropped: Vec<(u32, Reason)>,
    pub(super) refused: HashSet<(u32, Cid)>,
    pub(super) end: Option<(Time, Action<u32>)>,
    /// Bytes of leaves that came, of all and of those that were here already.
    pub(super) came: u64,
    pub(super) twice: u64,
    /// The most that was kept for one peer, in bytes.
    pub(super) most_kept: usize,
    pub(super) most_known: usize,
    /// How long its reader waited.
    pub(super) waited: Duration,
    /// Bytes that each gave.
    pub(super) from: BTreeMap<u32, u64>,
    /// When the last part of each peer's stream comes.
    pub(super) streams: BTreeMap<u32, Time>,
}

impl Node {
    /// A peer with rates in bytes per second and a round trip to its neighbours.
    pub(in super::super) fn new(up: u64, down: u64, trip: Duration) -> Self {
        Self {
            fault: None,
            up,
            down: Downlink::new(down),
            latency: trip / 4,
            loss: 0,
            has: Vec::new(),
            appears: Time::ZERO,
            begins: None,
            scheduler: None,
            server: Server::new(None, 0),
            given: BTreeMap::new(),
            most_held: 0,
            gone: false,
            epoch: 0,
            askers: BTreeMap::new(),
            wake: Time::MAX,
            mode: Mode::Whole,
            reader: None,
            open: BTreeMap::new(),
            requests: 0,
            leaves_given: 0,
            dropped: Vec::new(),
            refused: HashSet::new(),
            end: None,
            came: 0,
            twice: 0,
            most_kept: 0,
            most_known: 0,
            waited: Duration::ZERO,
            from: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    pub(in super::super) fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(in super::super) fn loss(mut self, per_thousand: u32) -> Self {
        self.loss = per_thousand;
        self
    }

    pub(in super::super) fn appears(mut self, at: Time) -> Self {
        self.appears = at;
        self
    }

    pub(in super::super) fn holds(mut self, dag: &Dag, held: impl Fn(&Cid) -> bool) -> Self {
        self.has = dag.order.iter().map(held).collect();
        self
    }

    pub(in super::super) fn holds_all(self, dag: &Dag) -> Self {
        self.holds(dag, |_| true)
    }

    /// It downloads, from this time on; what it holds is there from before.
    pub(in super::super) fn downloads(mut self, at: Time) -> Self {
        self.begins = Some(at);
        self
    }

    /// Somebody reads all leaves in order, from this one on, at this rate.
    pub(in super::super) fn reads(mut self, dag: &Dag, mode: Mode, from: usize, rate: u64) -> Self {
        let root = dag.root.expect("it has a block");
        let mut path = vec![root];
        for node in dag
            .links(&root)
            .iter()
            .skip(from / dag.links(&dag.links(&root)[0]).len())
        {
            path.push(*node);
            path.extend(dag.links(node));
        }
        self.reader = Some(Reading {
            path,
            rate,
            ..Reading::default()
        });
        self.mode = mode;
        self
    }

    pub(super) fn has(&self, block: Block) -> bool {
        self.has.get(block as usize).copied().unwrap_or(false)
    }

    pub(super) fn has_cid(&self, cid: &Cid) -> bool {
        self.has(Dag::number(cid))
    }

    /// Bytes per second that it sends now.
    pub(super) fn rate(&self, now: Time) -> u64 {
        match self.fault {
            Some(Fault::Slows(at)) if now >= at => self.up / 100,
            _ => self.up,
        }
    }

    /// Until when it sends nothing.
    pub(super) fn stalled_until(&self, now: Time) -> Option<Time> {
        match self.fault {
            Some(Fault::Dead) => Some(Time::MAX),
            Some(Fault::Stalls(at, until)) if now >= at => {
                Some(until.unwrap_or(Time::MAX)).filter(|until| now < *until)
            }
            _ => None,
        }
    }
}
