//! [`Node`]: one member, as it really is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p::PeerId;

use super::super::placement::{Candidate, Member};
use super::super::planner::{Planner, Settings, Time};
use super::super::policy::Tags;

/// A member: what it is, has, sees and does.
#[derive(Debug)]
pub(in super::super) struct Node {
    pub(super) candidate: Candidate,
    /// Bytes that it has room for.
    pub(super) capacity: u64,
    pub(super) used: u64,
    /// Bytes per second, each way.
    pub(super) link: u64,
    /// It says that it has whatever it is offered, and has nothing.
    pub(super) lies: bool,
    pub(super) is_up: bool,
    /// For good.
    pub(super) is_gone: bool,
    /// Counts its beginnings: what was under way in an earlier one is void.
    pub(super) life: u32,
    /// Those on one side of a partition reach each other.
    pub(super) side: u8,
    /// When it last came, went or changed sides.
    pub(super) changed: Time,
    pub(super) planner: Planner,
    /// Segments, by number.
    pub(super) disk: BTreeSet<usize>,
    /// Those of them that its own owner keeps there.
    pub(super) pinned: BTreeSet<usize>,
    /// Segments on their way, and who is to hear of them.
    pub(super) fetching: BTreeMap<usize, Vec<u32>>,
    /// Members that it believes here, with the beginning in which it saw them.
    pub(super) here: BTreeMap<u32, u32>,
    /// Those that it has seen, and when it last did.
    pub(super) usual: BTreeMap<u32, Time>,
    pub(super) vanished: BTreeMap<u32, Time>,
    /// When its uplink and its downlink are free.
    pub(super) uplink: Time,
    pub(super) downlink: Time,
    pub(super) tick: Option<Time>,
    /// Bytes that it may offer by now, counted apart from the planner.
    pub(super) bucket: (Time, f64),
}

impl Node {
    /// An honest one with so much room, in a zone.
    pub(in super::super) fn new(number: u32, capacity: u64, zone: u32) -> Self {
        let tags = Tags::from([("zone".into(), zone.to_string())]);
        let candidate = Candidate {
            member: Member(number),
            peer: peer(number),
            weight: u16::try_from(capacity.ilog2() * 4).unwrap_or(u16::MAX),
            tags,
            takes: true,
            stays: true,
        };
        Self {
            candidate,
            capacity,
            used: 0,
            link: 32 << 20,
            lies: false,
            is_up: true,
            is_gone: false,
            life: 0,
            side: 0,
            changed: Duration::ZERO,
            planner: Planner::new(Member(number), Settings::default(), 0),
            disk: BTreeSet::new(),
            pinned: BTreeSet::new(),
            fetching: BTreeMap::new(),
            here: BTreeMap::new(),
            usual: BTreeMap::new(),
            vanished: BTreeMap::new(),
            uplink: Duration::ZERO,
            downlink: Duration::ZERO,
            tick: None,
            bucket: (Duration::ZERO, 0.0),
        }
    }

    /// Whether it takes nothing more: from 85 % on, until it is below 80 % again.
    pub(super) const fn is_full(&self) -> bool {
        let least = if self.candidate.takes { 85 } else { 80 };
        self.used * 100 >= self.capacity * least
    }

    /// Whether what it has counts, if it has it.
    pub(super) const fn counts(&self) -> bool {
        self.is_up && !self.is_gone && self.candidate.stays && !self.lies
    }
}

/// Its name, the same each time.
fn peer(number: u32) -> PeerId {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    // The bytes are as many as a key has.
    let key = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
    key.public().to_peer_id()
}
