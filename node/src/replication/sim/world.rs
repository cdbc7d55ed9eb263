//! [`World`]: the members, the segments, and what happens when.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store::segment::SegmentId;

use super::super::placement::{Member, Roster};
use super::super::planner::{Event, Level, Planner, Settings, Time};
use super::super::policy::Policy;
use super::fault::Fault;
use super::letter::Letter;
use super::member::Node;

/// A swarm before anything has happened.
pub(in super::super) struct Setup {
    pub(in super::super) seed: u64,
    pub(in super::super) settings: Settings,
    pub(in super::super) policy: Policy,
    /// Bytes of each segment.
    pub(in super::super) segments: Vec<u64>,
    /// Messages that are lost, of a thousand.
    pub(in super::super) loss: u32,
    /// Copies of each segment at the beginning; its write was acknowledged with them.
    pub(in super::super) copies: usize,
    /// Who is gone for longer is no longer one of the usual members.
    pub(in super::super) usual: Duration,
}

/// What happens at some time.
pub(super) enum Thing {
    Tick(u32),
    Letter {
        from: u32,
        to: u32,
        letter: Letter,
    },
    /// A segment has come from one to another, in those beginnings of both.
    Fetched {
        from: u32,
        to: u32,
        segment: usize,
        lives: (u32, u32),
        level: Level,
    },
    /// A member looks who is here.
    View(u32),
    Reconcile(u32),
    Audit(u32),
    Fault(Fault),
}

/// A swarm in virtual time.
pub(in super::super) struct World {
    pub(super) setup: Setup,
    pub(super) policy: Arc<Policy>,
    pub(super) now: Time,
    pub(super) rng: StdRng,
    pub(super) nodes: Vec<Node>,
    pub(super) ids: Vec<SegmentId>,
    pub(super) numbers: HashMap<SegmentId, usize>,
    queue: BTreeMap<(Time, u64), Thing>,
    count: u64,
    pub(super) rosters: HashMap<Vec<(u32, bool, bool)>, Arc<Roster>>,
    /// Bytes that were moved, by urgency.
    pub(in super::super) moved: [u64; 4],
    pub(in super::super) trims: u64,
    /// Members that drained, and went.
    pub(in super::super) drained: u64,
    /// When a member's disk was destroyed, for each segment that was on it.
    pub(super) destroyed: HashMap<usize, Vec<Time>>,
}

impl World {
    pub(in super::super) fn new(setup: Setup, nodes: Vec<Node>) -> Self {
        let mut rng = StdRng::seed_from_u64(setup.seed);
        let ids: Vec<_> = setup
            .segments
            .iter()
            .map(|_| SegmentId(rng.random()))
            .collect();
        let mut world = Self {
            policy: Arc::new(setup.policy.clone()),
            now: Duration::ZERO,
            rng,
            nodes,
            numbers: ids.iter().copied().zip(0..).collect(),
            ids,
            queue: BTreeMap::new(),
            count: 0,
            rosters: HashMap::new(),
            moved: [0; 4],
            trims: 0,
            drained: 0,
            destroyed: HashMap::new(),
            setup,
        };
        world.write();
        for member in 0..world.nodes.len() {
            if world.nodes[member].is_up {
                world.start(member as u32);
            }
        }
        world
    }

    /// Everything is where it belongs, as far as its write went; what somebody has pinned, there first.
    fn write(&mut self) {
        let up = self.nodes.iter().filter(|it| it.is_up);
        let roster = Roster::new(up.map(|it| it.candidate.clone()));
        for (number, id) in self.ids.iter().enumerate() {
            let pinned = self.nodes.iter().filter(|it| it.pinned.contains(&number));
            let pinned: Vec<_> = pinned.map(|it| it.candidate.member).collect();
            let field = roster.under(&self.policy);
            let places = field.place_beside(&pinned, id, &[], &[]);
            let honest = places.iter().filter(|it| !self.nodes[it.0 as usize].lies);
            let honest: Vec<_> = honest.copied().take(self.setup.copies).collect();
            for member in honest {
                let node = &mut self.nodes[member.0 as usize];
                node.disk.insert(number);
                node.used += self.setup.segments[number];
            }
        }
        // Small ones may have got more than they would take.
        for node in &mut self.nodes {
            node.candidate.takes &= !node.is_full();
        }
    }

    /// A member begins, with what it has.
    pub(super) fn start(&mut self, member: u32) {
        let seed = self.rng.random();
        let now = self.now;
        let settings = self.setup.settings.clone();
        let first = now.is_zero();
        let node = &mut self.nodes[member as usize];
        node.life += 1;
        node.is_up = true;
        node.changed = now;
        node.fetching.clear();
        node.here.clear();
        node.vanished.clear();
        node.uplink = now;
        node.downlink = now;
        node.tick = None;
        node.bucket = (now, 4.0 * settings.rate as f64);
        // Lists of holders outlive it on its disk.
        let old = std::mem::replace(
            &mut node.planner,
            Planner::new(Member(member), settings, seed),
        );
        self.view(member);
        let disk: Vec<_> = self.nodes[member as usize].disk.iter().copied().collect();
        for segment in disk {
            let holders: Vec<_> = if first {
                let nodes = self.nodes.iter();
                let have = nodes.filter(|it| it.disk.contains(&segment));
                have.map(|it| it.candidate.member).collect()
            } else {
                old.holders(&self.ids[segment]).collect()
            };
            self.have(member, segment, holders);
        }
        self.see_change();
        let wait = Duration::from_secs(self.rng.random_range(1..600));
        self.at(now + wait, Thing::Reconcile(member));
        self.at(now + wait * 3, Thing::Audit(member));
    }

    pub(super) fn have(&mut self, member: u32, segment: usize, holders: Vec<Member>) {
        let event = Event::Have {
            segment: self.ids[segment],
            bytes: self.setup.segments[segment],
            policy: Arc::clone(&self.policy),
            holders,
            is_pinned: self.nodes[member as usize].pinned.contains(&segment),
        };
        self.tell(member, event);
    }

    pub(super) fn at(&mut self, time: Time, thing: Thing) {
        self.count += 1;
        self.queue.insert((time, self.count), thing);
    }

    pub(in super::super) fn plan(&mut self, time: Time, fault: Fault) {
        self.at(time, Thing::Fault(fault));
    }

    /// Tells a member's planner something, and does what it says.
    pub(super) fn tell(&mut self, member: u32, event: Event) {
        let now = self.now;
        let node = &mut self.nodes[member as usize];
        if !node.is_up {
            return;
        }
        let actions = node.planner.step(now, event);
        for action in actions {
            self.act(member, action);
        }
        let node = &mut self.nodes[member as usize];
        let next = node.planner.next().map(|it| it.max(now));
        if next != node.tick {
            node.tick = next;
            if let Some(next) = next {
                self.at(next, Thing::Tick(member));
            }
        }
    }

    /// All that happens until then.
    pub(in super::super) fn run_until(&mut self, end: Time) {
        while let Some(next) = self.queue.first_entry() {
            if next.key().0 > end {
                break;
            }
            let ((time, _), thing) = next.remove_entry();
            self.now = time;
            self.happen(thing);
        }
        self.now = end;
    }

    fn happen(&mut self, thing: Thing) {
        match thing {
            Thing::Tick(member) => {
                let node = &mut self.nodes[member as usize];
                if node.tick == Some(self.now) {
                    node.tick = None;
                    self.tell(member, Event::Tick);
                }
            }
            Thing::Letter { from, to, letter } => self.deliver(from, to, letter),
            Thing::Fetched {
                from,
                to,
                segment,
                lives,
                level,
            } => self.fetched((from, to), segment, lives, level),
            Thing::View(member) => {
                if self.nodes[member as usize].is_up {
                    self.view(member);
                }
            }
            Thing::Reconcile(member) => self.reconcile(member),
            Thing::Audit(member) => self.audit(member),
            Thing::Fault(fault) => self.suffer(fault),
        }
    }

    /// Whether these two reach each other now.
    pub(super) fn reach(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
        a.is_up && b.is_up && a.side == b.side
    }
}
