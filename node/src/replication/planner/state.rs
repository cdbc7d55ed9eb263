//! How it is with a segment, as far as is known here.

use std::collections::BTreeSet;

use store::segment::SegmentId;

use super::super::placement::Field;
use super::event::Level;
use super::ledger::Entry;
use super::{Member, Planner};

/// How it is with a segment.
pub(super) struct State {
    /// What is to be done.
    pub(super) level: Option<Level>,
    /// Ours among the holders, 0 for the first.
    pub(super) rank: usize,
    /// Ours is the one too many.
    pub(super) is_surplus: bool,
    /// Copies wanted.
    pub(super) target: usize,
    /// A holder is on its way out, and its copy is needed.
    pub(super) leaves: bool,
}

/// What a failure of a machine takes with it: its host, or a member that is not here.
pub(super) type Host = (Option<u32>, Member);

impl Planner {
    pub(super) fn state(&self, segment: &SegmentId, entry: &Entry) -> State {
        let field = self.roster.under(&entry.policy);
        let ranked = field.ranked(segment, &self.here(entry));
        let counted = self.counted(entry, &ranked);
        let belongs = field.place(segment, &counted, &[]);
        let target = field.target();
        State {
            level: level(entry, &counted, &belongs, &field),
            rank: ranked.iter().position(|it| *it == self.me).unwrap_or(0),
            is_surplus: self.is_surplus(entry, &counted, &belongs, target),
            target,
            leaves: counted.len() < target && ranked.iter().any(|it| !self.stays(*it)),
        }
    }

    /// Holders that are here and have shown it, and ourselves.
    fn here(&self, entry: &Entry) -> Vec<Member> {
        let verified = entry.copies.iter().filter(|it| it.verified);
        let here = verified
            .map(|it| it.member)
            .filter(|it| self.roster.has(*it));
        here.chain([self.me]).collect()
    }

    /// Those of these holders whose copies count: they stay, and each is on another host. Of two on one host
    /// the first counts. Where every member is to have one, hosts do not matter.
    pub(super) fn counted(&self, entry: &Entry, ranked: &[Member]) -> Vec<Member> {
        let mut hosts = BTreeSet::new();
        let stay = ranked.iter().copied().filter(|it| self.stays(*it));
        stay.filter(|it| entry.policy.everywhere || hosts.insert(self.host(*it)))
            .collect()
    }

    /// Holders whose copies count, the best lot first.
    pub(super) fn holders_that_count(&self, segment: &SegmentId, entry: &Entry) -> Vec<Member> {
        let field = self.roster.under(&entry.policy);
        self.counted(entry, &field.ranked(segment, &self.here(entry)))
    }

    fn stays(&self, member: Member) -> bool {
        let candidate = self.roster.candidate(member);
        // Ourselves, while we are alone.
        candidate.is_none_or(|it| it.stays)
    }

    /// Whether our copy is the one to go, if one must: those that belong here stay longest, then those that may
    /// be here, and then those with the best lots.
    fn is_surplus(
        &self,
        entry: &Entry,
        counted: &[Member],
        belongs: &[Member],
        target: usize,
    ) -> bool {
        // It goes with us; or it is our owner's.
        if !self.stays(self.me) || entry.is_pinned {
            return false;
        }
        if !counted.contains(&self.me) {
            // There is one on our host already.
            return counted.len() >= target;
        }
        let may = |member: &Member| {
            let candidate = self.roster.candidate(*member);
            candidate.is_none_or(|it| entry.policy.allows(&it.tags))
        };
        let merit = |it: &Member| (!belongs.contains(it), !may(it));
        // Of equals the last in rank goes.
        let last = counted.iter().max_by_key(|it| merit(it));
        let max = usize::from(entry.policy.copies.max).max(target);
        let keeps_less = self.full || !may(&self.me);
        let enough = if keeps_less { target } else { max };
        counted.len() > enough && last == Some(&self.me)
    }

    pub(super) fn host(&self, member: Member) -> Host {
        match self.roster.host(member) {
            Some(host) => (Some(host), Member(0)),
            None => (None, member),
        }
    }
}

fn level(
    entry: &Entry,
    counted: &[Member],
    belongs: &[Member],
    field: &Field<'_>,
) -> Option<Level> {
    let min = usize::from(entry.policy.copies.min);
    match counted.len() {
        count if count >= field.target() => {
            let is_misplaced = belongs.iter().any(|it| !counted.contains(it));
            is_misplaced.then_some(Level::Place)
        }
        0 | 1 => Some(Level::Last),
        count if count <= min => Some(Level::Minimum),
        _ => Some(Level::Below),
    }
}
