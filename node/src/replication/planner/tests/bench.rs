//! One planner, and what it is told. Its member is number 0.

use libp2p::PeerId;

use super::super::super::placement::Candidate;
use super::super::super::policy::{Copies, Policy, Tags};
use super::super::*;

pub(super) const MIB: u64 = 1 << 20;

pub(super) fn minutes(count: u64) -> Time {
    Time::from_secs(60 * count)
}

fn peer(number: u32) -> PeerId {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let key = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
    key.public().to_peer_id()
}

pub(super) fn candidate(number: u32) -> Candidate {
    Candidate {
        member: Member(number),
        peer: peer(number),
        weight: 160,
        tags: Tags::new(),
        takes: true,
        stays: true,
    }
}

pub(super) fn segment(number: u8) -> SegmentId {
    SegmentId([number; 32])
}

pub(super) fn policy(min: u8, target: u8, max: u8) -> Policy {
    Policy {
        copies: Copies::new(min, target, max).unwrap(),
        ..Policy::default()
    }
}

pub(super) struct Bench {
    pub(super) planner: Planner,
    pub(super) members: Vec<Candidate>,
    pub(super) now: Time,
    /// What was done, and when.
    pub(super) done: Vec<(Time, Action)>,
}

impl Bench {
    /// A swarm of so many.
    pub(super) fn new(members: u32) -> Self {
        Self::with(members, Settings::default())
    }

    pub(super) fn with(members: u32, settings: Settings) -> Self {
        let mut bench = Self {
            planner: Planner::new(Member(0), settings, 7),
            members: (0..members).map(candidate).collect(),
            now: Time::ZERO,
            done: Vec::new(),
        };
        bench.roster(&[]);
        bench.pass(minutes(1));
        bench
    }

    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now;
        let actions = self.planner.step(now, event);
        self.done.extend(actions.into_iter().map(|it| (now, it)));
    }

    /// All but these are here.
    pub(super) fn roster(&mut self, away: &[u32]) {
        let here = self.members.iter();
        let here = here.filter(|it| !away.contains(&it.member.0)).cloned();
        let roster = Arc::new(Roster::new(here));
        self.tell(Event::Roster {
            roster,
            returned: Vec::new(),
        });
    }

    pub(super) fn sight(&mut self, usual: usize, here: usize, vanished: usize) {
        self.tell(Event::Sight(Sight {
            usual,
            here,
            vanished,
        }));
    }

    /// So much time passes; the planner is told when it wants to be.
    pub(super) fn pass(&mut self, time: Time) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(next) = self.planner.next().filter(|it| *it <= end) {
            self.now = self.now.max(next);
            self.tell(Event::Tick);
            steps += 1;
            assert!(
                steps < 100_000,
                "it wants to be told of the same time for ever"
            );
        }
        self.now = end;
        self.tell(Event::Tick);
    }

    /// We have it, and so have these, which have shown it.
    pub(super) fn have(&mut self, number: u8, policy: Policy, holders: &[u32]) {
        self.tell(Event::Have {
            segment: segment(number),
            bytes: 64 * MIB,
            policy: Arc::new(policy),
            holders: Vec::new(),
            is_pinned: false,
        });
        for holder in holders {
            self.holds(number, *holder);
        }
    }

    pub(super) fn holds(&mut self, number: u8, member: u32) {
        self.tell(Event::Holds {
            segment: segment(number),
            member: Member(member),
        });
    }

    pub(super) fn holds_not(&mut self, number: u8, member: u32) {
        self.tell(Event::HoldsNot {
            segment: segment(number),
            member: Member(member),
        });
    }

    /// What it says when another asks for leave to give up its copy, and to which number.
    pub(super) fn answers(&mut self, number: u8, by: u32, ask: u64) -> (u64, Answer) {
        self.done.clear();
        self.tell(Event::TrimAsked {
            segment: segment(number),
            by: Member(by),
            ask,
        });
        let answer = self.done.iter().find_map(|(_, action)| match action {
            Action::AnswerTrim { ask, answer, .. } => Some((*ask, *answer)),
            _ => None,
        });
        answer.unwrap()
    }

    pub(super) fn declined(&mut self, number: u8, member: u32, why: Declined) {
        self.tell(Event::Declined {
            segment: segment(number),
            member: Member(member),
            why,
        });
    }

    /// Offers since the last question: which segment to whom, and when.
    pub(super) fn offers(&mut self) -> Vec<(Time, u8, u32)> {
        let done = std::mem::take(&mut self.done);
        let offers = done.into_iter().filter_map(|(at, action)| match action {
            Action::Offer { segment, to, .. } => Some((at, segment.0[0], to.0)),
            _ => None,
        });
        offers.collect()
    }

    /// The members in the order of their lots for a segment.
    pub(super) fn order(&self, number: u8) -> Vec<u32> {
        let roster = Roster::new(self.members.iter().cloned());
        let all: Vec<_> = roster.members().collect();
        let ranked = roster
            .under(&Policy::default())
            .ranked(&segment(number), &all);
        ranked.into_iter().map(|it| it.0).collect()
    }

    /// A segment for which our lot has this rank among all.
    pub(super) fn ours(&self, rank: usize) -> u8 {
        let mut numbers = 0..=u8::MAX;
        numbers.find(|it| self.order(*it)[rank] == 0).unwrap()
    }
}
