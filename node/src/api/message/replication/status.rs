//! How it is with copies: of one content, and on one member. Times are in milliseconds, by this node's own
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use store::Cid;

use super::super::{text, texts};
use crate::members;
use crate::replication::planner::Level;
use crate::replication::policy::{Policy, Tag};
use crate::replication::report::{CopyStatus, Doubted, RootStatus, SegmentStatus, Summary};

/// How it is with the copies of one content, as far as this member knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentStatus {
    /// Which.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Whether there are as many verified copies of each part as are wanted.
    pub at_target: bool,
    /// What is wanted; `None` where nobody wants copies.
    pub wanted: Option<WantedCopies>,
    /// Who wants it.
    #[serde(with = "texts")]
    pub owners: Vec<PeerId>,
    /// Its parts; 0 where this member has too little of it to know them.
    pub segments: usize,
    /// Those of them that this member has not, and knows no copies of: who holds them knows.
    pub unknown_segments: usize,
    /// Bytes of one copy.
    pub bytes: u64,
    /// Copies of the part that has fewest, on distinct hosts, of members that are here.
    pub live: usize,
    /// Those of them that were shown since their holder was last away.
    pub verified: usize,
    /// Parts with fewer verified copies than wanted.
    pub missing_segments: usize,
    /// Bytes of all copies that are missing.
    pub missing_bytes: u64,
    /// The repair that is due first, of those that this member would make.
    pub next_repair: Option<NextRepair>,
    /// Who is fetching a part of it.
    #[serde(with = "texts")]
    pub fetching: Vec<PeerId>,
    /// How long ago another's copy of the part that was not looked at for longest passed an audit by this
    /// member; `None` where one was never audited.
    pub audited_ms: Option<u64>,
    /// Who has what of it.
    pub members: Vec<MemberShare>,
}

/// Which copies somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedCopies {
    /// Fewer are urgent.
    pub min: u8,
    /// So many are made.
    pub target: u8,
    /// More are taken away.
    pub max: u8,
    /// One on every member.
    pub everywhere: bool,
    /// Where: `zone=eu`.
    #[serde(rename = "where")]
    pub wanted: Vec<String>,
    /// Where not.
    pub avoid: Vec<String>,
    /// Higher ones are repaired first.
    pub priority: u8,
}

/// What one member has of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberShare {
    /// Who.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// The machine that it is on.
    pub host: String,
    /// Whether it is this node.
    pub local: bool,
    /// Whether it is here and stays.
    pub live: bool,
    /// Whether it is here and about to leave.
    #[serde(default)]
    pub leaving: bool,
    /// Parts that it has, or is said to.
    pub segments: usize,
    /// Those of them that it has shown since it was last away.
    pub verified: usize,
}

/// When something is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRepair {
    /// How urgent it is.
    pub urgency: Urgency,
    /// In how long.
    pub due_ms: u64,
}

/// How urgent the repair of a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// One copy is in sight.
    LastCopy,
    /// As few as may be.
    Minimum,
    /// Fewer than wanted.
    BelowTarget,
    /// Enough, but not where they belong.
    Place,
}

/// How it stands on one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmStatus {
    /// How much of the swarm is in sight.
    pub members: Sight,
    /// Parts that this member holds.
    pub held_segments: usize,
    /// Their bytes.
    pub held_bytes: u64,
    /// Contents that somebody wants copies of.
    pub pins: usize,
    /// What lacks copies, of what this member holds, the most urgent first.
    pub deficits: Vec<Deficit>,
    /// Copies that others fetch because this member offered them.
    pub offers: usize,
    /// Copies that it fetches.
    pub pulls: usize,
    /// Bytes of copies that it fetched in the last minute.
    pub pulled_lately: u64,
    /// How fast it offers.
    pub repair: RepairRate,
    /// How long this member's part takes at that rate, waits not counted; `None` while it is paused, or
    /// where nothing is missing.
    pub left_ms: Option<u64>,
    /// What holds it back.
    pub brakes: Brakes,
    /// Whether it is about to leave: it takes nothing new, and what it has is copied to others.
    #[serde(default)]
    pub draining: bool,
    /// Parts here that are not whole, and are fetched again.
    #[serde(default)]
    pub mending: usize,
    /// Parts here that were found not to be whole since the node began.
    #[serde(default)]
    pub rotten: u64,
    /// Members that this one trusts less than others, those least first; 16 at most.
    #[serde(default)]
    pub doubted: Vec<DoubtedMember>,
}

/// A member that did not keep what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtedMember {
    /// Who.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// How far it is trusted, in per cent: for so much its capacity counts where copies are placed.
    pub trust: u8,
    /// Whether it gets anything new.
    pub takes: bool,
}

/// How much of the swarm is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Members that usually are there, this one included.
    pub usual: usize,
    /// Those that are.
    pub in_sight: usize,
    /// Those that vanished within ten minutes, or are doubted.
    pub vanished: usize,
}

/// What lacks copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deficit {
    /// How urgent it is.
    pub urgency: Urgency,
    /// Parts.
    pub segments: usize,
    /// Bytes of one copy of them.
    pub bytes: u64,
}

/// How fast a member offers copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRate {
    /// Bytes per second at most; `None`: no limit.
    pub rate: Option<u64>,
    /// Whether it offers none.
    pub paused: bool,
    /// What the settings say; `None`: no limit.
    pub configured: Option<u64>,
}

/// What holds repairs back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brakes {
    /// So much is out of sight that only last copies are repaired, and nothing is removed.
    pub blind: bool,
    /// Why this member takes nothing new, if it does not.
    pub read_only: Option<String>,
}

impl Urgency {
    /// All, the most urgent first.
    pub const ALL: [Self; 4] = [
        Self::LastCopy,
        Self::Minimum,
        Self::BelowTarget,
        Self::Place,
    ];

    /// As users are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastCopy => "last copy",
            Self::Minimum => "at the minimum",
            Self::BelowTarget => "below target",
            Self::Place => "in the wrong place",
        }
    }
}

impl From<Level> for Urgency {
    fn from(level: Level) -> Self {
        match level {
            Level::Last => Self::LastCopy,
            Level::Minimum => Self::Minimum,
            Level::Below => Self::BelowTarget,
            Level::Place => Self::Place,
        }
    }
}

impl From<&Policy> for WantedCopies {
    fn from(policy: &Policy) -> Self {
        let texts = |tags: &[Tag]| {
            let text = |tag: &Tag| format!("{}={}", tag.key, tag.value);
            tags.iter().map(text).collect()
        };
        Self {
            min: policy.copies.min,
            target: policy.copies.target,
            max: policy.copies.max,
            everywhere: policy.everywhere,
            wanted: texts(&policy.wanted),
            avoid: texts(&policy.refused),
            priority: policy.priority,
        }
    }
}

impl RepairRate {
    /// Of a rate in which 0 is a pause, and [`u64::MAX`] no limit.
    #[must_use]
    pub const fn of(rate: u64, configured: Option<u64>) -> Self {
        Self {
            rate: match rate {
                u64::MAX => None,
                rate => Some(rate),
            },
            paused: rate == 0,
            configured,
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Copies on distinct hosts, of those that are meant.
fn distinct(copies: &[CopyStatus], meant: impl Fn(&CopyStatus) -> bool) -> usize {
    let hosts = copies.iter().filter(|copy| meant(copy));
    hosts.map(|copy| &copy.host).collect::<BTreeSet<_>>().len()
}

fn live(segment: &SegmentStatus) -> usize {
    distinct(&segment.copies, |copy| copy.live)
}

fn verified(segment: &SegmentStatus) -> usize {
    distinct(&segment.copies, |copy| copy.live && copy.verified)
}

impl ContentStatus {
    /// As users see it.
    pub(crate) fn of(status: &RootStatus) -> Self {
        let all = &status.segments;
        let known = |it: &&SegmentStatus| it.here || !it.copies.is_empty();
        let segments: Vec<_> = all.iter().filter(known).collect();
        let unknown = all.len() - segments.len();
        let least = |count: fn(&SegmentStatus) -> usize| segments.iter().map(|it| count(it)).min();
        let lacks = |segment: &SegmentStatus| {
            // How many there have to be everywhere, only the planner knows.
            let target = status
                .policy
                .as_ref()
                .map_or(0, |it| it.copies.target.into());
            let everywhere = status.policy.as_ref().is_some_and(|it| it.everywhere);
            let short = usize::saturating_sub(target, verified(segment));
            match segment.need {
                Some((Level::Last | Level::Minimum | Level::Below, _)) if everywhere => {
                    short.max(1)
                }
                _ => short,
            }
        };
        let missing = segments.iter().map(|segment| (*segment, lacks(segment)));
        let missing: Vec<_> = missing.filter(|(_, copies)| *copies > 0).collect();
        let bytes = |(segment, copies): &(&SegmentStatus, usize)| segment.bytes * *copies as u64;
        let needs = segments.iter().filter_map(|segment| segment.need);
        let next = needs.min_by_key(|(level, due)| (*due, *level));
        let fetching: BTreeSet<_> = segments.iter().flat_map(|it| it.offered.iter()).collect();
        let audits: Option<Vec<_>> = segments.iter().map(|it| it.audited).collect();
        Self {
            cid: status.root,
            at_target: !all.is_empty() && unknown == 0 && missing.is_empty(),
            wanted: status.policy.as_ref().map(Into::into),
            owners: status.owners.clone(),
            segments: all.len(),
            unknown_segments: unknown,
            bytes: all.iter().map(|it| it.bytes).sum(),
            live: least(live).unwrap_or(0),
            verified: least(verified).unwrap_or(0),
            missing_segments: missing.len(),
            missing_bytes: missing.iter().map(bytes).sum(),
            next_repair: next.map(|(level, due)| NextRepair {
                urgency: level.into(),
                due_ms: ms(due),
            }),
            fetching: fetching.into_iter().copied().collect(),
            audited_ms: audits.and_then(|all| all.into_iter().max()).map(ms),
            members: shares(all),
        }
    }
}

/// What each has, who has most first.
fn shares(segments: &[SegmentStatus]) -> Vec<MemberShare> {
    let mut shares: BTreeMap<PeerId, MemberShare> = BTreeMap::new();
    for copy in segments.iter().flat_map(|it| &it.copies) {
        let share = shares.entry(copy.peer).or_insert_with(|| MemberShare {
            peer: copy.peer,
            host: copy.host.clone(),
            local: copy.local,
            live: copy.live,
            leaving: copy.leaving,
            segments: 0,
            verified: 0,
        });
        share.segments += 1;
        share.verified += usize::from(copy.live && copy.verified);
    }
    let mut shares: Vec<_> = shares.into_values().collect();
    shares.sort_by_key(|it| (usize::MAX - it.segments, it.peer));
    shares
}

impl From<&Doubted> for DoubtedMember {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 100"
    )]
    fn from(doubted: &Doubted) -> Self {
        Self {
            peer: doubted.peer,
            trust: (doubted.trust.clamp(0.0, 1.0) * 100.0).round() as u8,
            takes: doubted.takes,
        }
    }
}

impl SwarmStatus {
    /// As users see it.
    pub(crate) fn of(summary: &Summary, sight: members::Sight, configured: Option<u64>) -> Self {
        let deficits = Urgency::ALL.into_iter().zip(summary.deficits);
        let deficit = |(urgency, (segments, bytes))| Deficit {
            urgency,
            segments,
            bytes,
        };
        let deficits: Vec<_> = deficits.map(deficit).collect();
        let missing: u64 = deficits[..3].iter().map(|it| it.bytes).sum();
        let left = missing.saturating_mul(1000).checked_div(summary.rate);
        Self {
            members: Sight {
                usual: sight.usual,
                in_sight: sight.in_sight,
                vanished: sight.vanished,
            },
            held_segments: summary.held.0,
            held_bytes: summary.held.1,
            pins: summary.pins,
            deficits,
            offers: summary.offers,
            pulls: summary.pulls,
            pulled_lately: summary.pulled_lately,
            repair: RepairRate::of(summary.rate, configured),
            left_ms: left.filter(|_| missing > 0),
            brakes: Brakes {
                blind: summary.blind,
                read_only: summary.read_only.clone(),
            },
            draining: summary.draining,
            mending: summary.mending,
            rotten: summary.rotten,
            doubted: summary.doubted.iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
