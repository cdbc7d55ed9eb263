//! How it is with a segment, as far as is known here.

use std::collections::BTreeSet;

use store::segment::SegmentId;

use super::super::placement::Field;
use super::event::Level;
use super::ledger::Entry;
use super::{Member, Planner};

/// Copies above the most that are wanted go one by one; so many members stand ready behind the one whose turn it is.
const IN_TURN: usize = 3;

/// How it is with a segment.
pub(super) struct State {
    /// What is to be done.
    pub(super) level: Option<Level>,
    /// Ours among the holders, 0 for the first.
    pub(super) rank: usize,
    /// There are too many, and ours may go: how many others should go before it.
    pub(super) surplus: Option<usize>,
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
            surplus: self.surplus(entry, &counted, &belongs, target),
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

    /// How many copies should go before ours, if any must: those that belong where they are stay longest, then those
    /// that may be there, and then those with the best lots. Who should go first may be pinned, which nobody else
    /// knows: then it is the next one's turn.
    fn surplus(
        &self,
        entry: &Entry,
        counted: &[Member],
        belongs: &[Member],
        target: usize,
    ) -> Option<usize> {
        // It goes with us; or it is our owner's.
        if !self.stays(self.me) || entry.is_pinned {
            return None;
        }
        if !counted.contains(&self.me) {
            // There is one on our host already.
            return (counted.len() >= target).then_some(0);
        }
        let may = |member: &Member| {
            let candidate = self.roster.candidate(*member);
            candidate.is_none_or(|it| entry.policy.allows(&it.tags))
        };
        let merit = |it: &Member| (!belongs.contains(it), !may(it));
        // Of equals the last in rank goes first.
        let mut order: Vec<Member> = counted.to_vec();
        order.sort_by_key(merit);
        let before = order.iter().rev().position(|it| *it == self.me);
        let max = usize::from(entry.policy.copies.max).max(target);
        let keeps_less = self.full || !may(&self.me);
        let enough = if keeps_less { target } else { max };
        // What is where it belongs would be made again: it goes only in its own turn.
        let goes = |before: &usize| match *before {
            0 => true,
            before => before <= IN_TURN && merit(&self.me) != (false, false),
        };
        before.filter(|before| counted.len() > enough && goes(before))
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
