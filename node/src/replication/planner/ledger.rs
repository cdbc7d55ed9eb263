//! [`Ledger`]: the segments that this member has, and who else has them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use store::segment::SegmentId;

use super::super::placement::Member;
use super::super::policy::{MAX_COPIES, Policy};
use super::event::{Level, Time};

/// Members that are remembered for one segment: copies at most, and some that are away.
const COPIES: usize = 2 * MAX_COPIES as usize;

/// One segment of ours.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) bytes: u64,
    pub(super) policy: Arc<Policy>,
    /// The other holders.
    pub(super) copies: Vec<Copy>,
    /// Since when there is something to do, how urgent it is, and when it is due.
    pub(super) need: Option<Need>,
    /// Nothing is done before: another repairs it, or it failed.
    pub(super) not_before: Time,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Offers under way.
    pub(super) offered: Vec<Member>,
    /// Members that would not have it, and until when they are not asked again.
    pub(super) declined: Vec<(Member, Time)>,
    pub(super) trim: Trim,
}

/// Another member's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) member: Member,
    /// It has said so itself, and has not been away since.
    pub(super) verified: bool,
}

/// Something is to be done about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) level: Level,
    pub(super) due: Time,
}

/// How it is with our own copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Trim {
    /// It stays.
    #[default]
    Kept,
    /// It is one too many since then.
    Surplus(Time),
    /// The others were asked for leave then, and these gave it.
    Asked(Time, Vec<Member>),
    /// We gave leave to another: it stays until then in any case.
    Promised(Time),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<SegmentId, Entry>,
    /// The segments that a member has, too.
    common: HashMap<Member, HashSet<SegmentId>>,
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

    /// Segments that both we and this member have.
    pub(super) fn common(&self, member: Member) -> Vec<SegmentId> {
        let common = self.common.get(&member);
        common.map_or_else(Vec::new, |it| it.iter().copied().collect())
    }

    /// Adds a segment, or changes what is wanted of it.
    pub(super) fn put(&mut self, segment: SegmentId, bytes: u64, policy: Arc<Policy>) {
        let entry = self.entries.entry(segment).or_insert_with(|| Entry {
            bytes,
            policy: Arc::clone(&policy),
            copies: Vec::new(),
            need: None,
            not_before: Time::ZERO,
            failures: 0,
            offered: Vec::new(),
            declined: Vec::new(),
            trim: Trim::Kept,
        });
        entry.bytes = bytes;
        entry.policy = policy;
    }

    /// Notes a member's copy. A word of its own is not taken back by another's.
    pub(super) fn note(&mut self, segment: &SegmentId, member: Member, verified: bool) {
        let Some(entry) = self.entries.get_mut(segment) else {
            return;
        };
        match entry.copies.iter().position(|it| it.member == member) {
            Some(at) => entry.copies[at].verified |= verified,
            None if entry.copies.len() < COPIES => entry.copies.push(Copy { member, verified }),
            None => return,
        }
        self.common.entry(member).or_default().insert(*segment);
    }

    /// A member has been away: what it has is to be shown again.
    pub(super) fn doubt(&mut self, segment: &SegmentId, member: Member) {
        if let Some(entry) = self.entries.get_mut(segment) {
            let mut copies = entry.copies.iter_mut();
            if let Some(copy) = copies.find(|it| it.member == member) {
                copy.verified = false;
            }
        }
    }

    /// A member has it not.
    pub(super) fn strike(&mut self, segment: &SegmentId, member: Member) {
        if let Some(entry) = self.entries.get_mut(segment) {
            entry.copies.retain(|it| it.member != member);
        }
        self.part(segment, member);
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
