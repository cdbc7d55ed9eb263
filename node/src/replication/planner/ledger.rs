//! [`Ledger`]: the segments that this member has, and who else has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::segment::SegmentId;

use super::super::placement::{Member, Roster};
use super::super::policy::{MAX_COPIES, Policy};
use super::event::{Level, Time};

/// Members that are remembered for one segment: copies at most, and some that are away. Where every
/// member is to have it there may be as many as there are members.
const COPIES: usize = 2 * MAX_COPIES as usize;

/// One segment of ours.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) bytes: u64,
    pub(super) policy: Arc<Policy>,
    /// It stays here, whatever others have.
    pub(super) is_pinned: bool,
    /// Nobody wants it any more.
    pub(super) unwanted: bool,
    /// The other holders.
    pub(super) copies: Vec<Copy>,
    /// When those that have not shown their copies are asked again.
    pub(super) question: Question,
    pub(super) need: Option<Need>,
    /// Its place among those whose turn it is.
    pub(super) ready: Option<(Level, u8)>,
    /// Nothing is done before: another repairs it, or it failed.
    pub(super) not_before: Time,
    /// Failures in a row.
    pub(super) failures: u32,
    /// When the others were last told that we repair it.
    pub(super) told: Option<Time>,
    /// How often others said so, since a copy was last added.
    pub(super) leases: u32,
    /// Members that would not have it, and until when they are not asked again.
    pub(super) declined: Vec<(Member, Time)>,
    /// Members that failed an audit of it, and until when their word is not enough.
    pub(super) broke: Vec<(Member, Time)>,
    pub(super) trim: Trim,
    /// Ours is one too many since then, by the clock of [`Brakes::sighted`](super::brakes::Brakes::sighted), whatever
    /// was asked or promised meanwhile.
    pub(super) surplus: Option<Time>,
}

impl Entry {
    /// Whether this member's word is not enough.
    pub(super) fn distrusts(&self, now: Time, member: Member) -> bool {
        let mut broke = self.broke.iter();
        broke.any(|(other, until)| *other == member && now < *until)
    }
}

/// Another member's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) member: Member,
    /// It has said so itself, and has not been away since.
    pub(super) verified: bool,
    /// It has said that it keeps it in any case.
    pub(super) is_pinned: bool,
    /// It has said so since it was asked once more, before we go.
    pub(super) confirmed: bool,
}

/// Members that are here were asked whether they have it, and not all have answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// Since when.
    pub(super) since: Option<Time>,
    /// When they are asked again.
    pub(super) again: Time,
    /// How often they were.
    pub(super) times: u32,
}

/// Something is to be done about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) level: Level,
    /// Since when it has been at each level, or worse.
    pub(super) since: [Option<Time>; 4],
    /// The earliest of these, each with its wait.
    pub(super) due: Time,
    pub(super) jitter: Time,
}

/// How it is with our own copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Trim {
    /// It stays.
    #[default]
    Kept,
    /// The others were asked for leave then, under this number, and these gave it. Not enough of them, once
    /// that is over: then it is a pause.
    Asked(Time, u64, Vec<Member>),
    /// We gave leave to another: it stays until then in any case.
    Promised(Time),
}

/// All of them, in order, so that the same events lead to the same actions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<SegmentId, Entry>,
    /// The segments that a member has, too.
    common: BTreeMap<Member, BTreeSet<SegmentId>>,
}

impl Ledger {
    pub(super) fn get(&self, segment: &SegmentId) -> Option<&Entry> {
        self.entries.get(segment)
    }

    pub(super) fn get_mut(&mut self, segment: &SegmentId) -> Option<&mut Entry> {
        self.entries.get_mut(segment)
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.entries.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SegmentId, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Members that have anything that we have.
    pub(super) fn partners(&self) -> impl Iterator<Item = Member> {
        self.common.keys().copied()
    }

    /// Segments that both we and this member have.
    pub(super) fn common(&self, member: Member) -> Vec<SegmentId> {
        let common = self.common.get(&member);
        common.map_or_else(Vec::new, |it| it.iter().copied().collect())
    }

    /// Adds a segment, or changes what is wanted of it. Returns whether that it is pinned here is news, or that
    /// it is so no more.
    pub(super) fn put(
        &mut self,
        segment: SegmentId,
        bytes: u64,
        policy: Arc<Policy>,
        is_pinned: bool,
    ) -> bool {
        let entry = self.entries.entry(segment).or_insert_with(|| Entry {
            bytes,
            policy: Arc::clone(&policy),
            is_pinned,
            unwanted: false,
            copies: Vec::new(),
            question: Question::default(),
            need: None,
            ready: None,
            not_before: Time::ZERO,
            failures: 0,
            told: None,
            leases: 0,
            declined: Vec::new(),
            broke: Vec::new(),
            trim: Trim::Kept,
            surplus: None,
        });
        entry.unwanted = false;
        entry.bytes = bytes;
        entry.policy = policy;
        std::mem::replace(&mut entry.is_pinned, is_pinned) != is_pinned
    }

    /// Notes a member's copy. A word of its own is not taken back by another's. Where no more are remembered,
    /// one that is not here is forgotten.
    pub(super) fn note(
        &mut self,
        segment: &SegmentId,
        member: Member,
        verified: bool,
        roster: &Roster,
    ) {
        let Some(entry) = self.entries.get_mut(segment) else {
            return;
        };
        let most = if entry.policy.everywhere {
            COPIES.max(roster.len().saturating_mul(2))
        } else {
            COPIES
        };
        let is_new = !entry.copies.iter().any(|it| it.member == member);
        let away = entry.copies.iter().position(|it| !roster.has(it.member));
        let mut forgotten = None;
        if let Some(away) = away.filter(|_| is_new && entry.copies.len() >= most) {
            forgotten = Some(entry.copies.swap_remove(away).member);
        }
        match entry.copies.iter().position(|it| it.member == member) {
            Some(at) => {
                entry.copies[at].verified |= verified;
                entry.copies[at].confirmed |= verified;
            }
            None if entry.copies.len() < most => {
                entry.copies.push(Copy {
                    member,
                    verified,
                    is_pinned: false,
                    confirmed: verified,
                });
                if !verified {
                    entry.question = Question {
                        since: entry.question.since,
                        ..Question::default()
                    };
                }
            }
            None => return,
        }
        if let Some(forgotten) = forgotten {
            self.part(segment, forgotten);
        }
        self.common.entry(member).or_default().insert(*segment);
    }

    /// A member's word on whether it keeps its copy in any case.
    pub(super) fn pin(&mut self, segment: &SegmentId, member: Member, is_pinned: bool) {
        let entry = self.entries.get_mut(segment);
        let mut copies = entry.into_iter().flat_map(|it| &mut it.copies);
        if let Some(copy) = copies.find(|it| it.member == member) {
            copy.is_pinned = is_pinned;
        }
    }

    /// A member has been away: what it has is to be shown again.
    pub(super) fn doubt(&mut self, segment: &SegmentId, member: Member) {
        if let Some(entry) = self.entries.get_mut(segment) {
            let mut copies = entry.copies.iter_mut();
            if let Some(copy) = copies.find(|it| it.member == member) {
                copy.verified = false;
                copy.confirmed = false;
                entry.question.again = Time::ZERO;
                entry.question.times = 0;
            }
        }
    }

    /// All who have anything are to say so once more.
    pub(super) fn unconfirm(&mut self) {
        for entry in self.entries.values_mut() {
            for copy in &mut entry.copies {
                copy.confirmed = false;
            }
            entry.question.again = Time::ZERO;
            entry.question.times = 0;
        }
    }

    /// A member has it not. Returns whether it had shown it.
    pub(super) fn strike(&mut self, segment: &SegmentId, member: Member) -> bool {
        let mut was = false;
        if let Some(entry) = self.entries.get_mut(segment) {
            entry.copies.retain(|it| {
                was |= it.member == member && it.verified;
                it.member != member
            });
        }
        self.part(segment, member);
        was
    }

    /// We have it no more.
    pub(super) fn remove(&mut self, segment: &SegmentId) -> Option<Entry> {
        let entry = self.entries.remove(segment)?;
        for copy in &entry.copies {
            self.part(segment, copy.member);
        }
        Some(entry)
    }

    fn part(&mut self, segment: &SegmentId, member: Member) {
        if let Some(common) = self.common.get_mut(&member) {
            common.remove(segment);
            if common.is_empty() {
                self.common.remove(&member);
            }
        }
    }
}
