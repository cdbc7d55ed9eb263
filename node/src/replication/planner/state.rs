//! How it is with a segment, as far as is known here.

use std::collections::{BTreeMap, btree_map};

use store::segment::SegmentId;

use super::super::placement::Field;
use super::event::Level;
use super::ledger::{Copy, Entry};
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

/// Where the copies of a segment are, and where they belong.
pub(super) struct Places {
    /// Who has it, the best lot first.
    ranked: Vec<Member>,
    /// Those of them whose copies count.
    pub(super) counted: Vec<Member>,
    /// Those of these that keep theirs in any case.
    pinned: Vec<Member>,
    /// The best place first.
    pub(super) belongs: Vec<Member>,
}

/// What a failure of a machine takes with it: its host, or a member that is not here.
pub(super) type Host = (Option<u32>, Member);

impl Planner {
    pub(super) fn state(&self, segment: &SegmentId, entry: &Entry) -> State {
        let field = self.roster.under(&entry.policy);
        let target = field.target();
        let places = self.places(segment, entry, &[]);
        let (ranked, counted) = (&places.ranked, &places.counted);
        State {
            level: level(entry, counted, &places.belongs, &field),
            rank: ranked.iter().position(|it| *it == self.me).unwrap_or(0),
            surplus: self.surplus(entry, &places, target),
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
    /// the one that is pinned counts, or the first. Where every member is to have one, hosts do not matter.
    pub(super) fn counted(&self, entry: &Entry, ranked: &[Member]) -> Vec<Member> {
        let stay = ranked.iter().copied().filter(|it| self.stays(*it));
        if entry.policy.everywhere {
            return stay.collect();
        }
        let mut counted: Vec<Member> = Vec::new();
        let mut hosts = BTreeMap::new();
        for member in stay {
            match hosts.entry(self.host(member)) {
                btree_map::Entry::Vacant(host) => {
                    host.insert(counted.len());
                    counted.push(member);
                }
                btree_map::Entry::Occupied(twin) => {
                    let twin = &mut counted[*twin.get()];
                    if self.is_pinned(entry, member) && !self.is_pinned(entry, *twin) {
                        *twin = member;
                    }
                }
            }
        }
        counted
    }

    /// Whether a member keeps its copy in any case, as far as it has said so.
    fn is_pinned(&self, entry: &Entry, member: Member) -> bool {
        let told = |it: &Copy| it.member == member && it.verified && it.is_pinned;
        if member == self.me {
            entry.is_pinned
        } else {
            entry.copies.iter().any(told)
        }
    }

    /// Those of these that keep their copies in any case, where the policy allows copies: they need no others in
    /// their stead.
    fn pinned(&self, entry: &Entry, counted: &[Member]) -> Vec<Member> {
        let pinned = counted.iter().copied();
        pinned
            .filter(|it| self.is_pinned(entry, *it) && self.roster.is_allowed(*it, &entry.policy))
            .collect()
    }

    /// Where the copies are, and where they belong, but for those that would not have one, `not`.
    pub(super) fn places(&self, segment: &SegmentId, entry: &Entry, not: &[Member]) -> Places {
        let field = self.roster.under(&entry.policy);
        let ranked = field.ranked(segment, &self.here(entry));
        let counted = self.counted(entry, &ranked);
        let pinned = self.pinned(entry, &counted);
        let belongs = field.place_beside(&pinned, segment, &counted, not);
        Places {
            ranked,
            counted,
            pinned,
            belongs,
        }
    }

    /// So do we, while we are alone.
    pub(super) fn stays(&self, member: Member) -> bool {
        self.roster.stays(member)
    }

    /// How many copies should go before ours, if any must: what is pinned never goes, those that belong where they are
    /// stay longest, then those that may be there, and then those with the best lots. Who should go first may see it
    /// otherwise: then it is the next one's turn.
    fn surplus(&self, entry: &Entry, places: &Places, target: usize) -> Option<usize> {
        let Places {
            counted,
            pinned,
            belongs,
            ..
        } = places;
        // It goes with us; or it is our owner's.
        if !self.stays(self.me) || entry.is_pinned {
            return None;
        }
        if !counted.contains(&self.me) {
            // There is one on our host already.
            return (counted.len() >= target).then_some(0);
        }
        let may = |member: &Member| self.roster.is_allowed(*member, &entry.policy);
        let merit = |it: &Member| (!belongs.contains(it), !may(it));
        // Of equals the last in rank goes first.
        let order = counted.iter().filter(|it| !pinned.contains(it));
        let mut order: Vec<Member> = order.copied().collect();
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
            // At the most already it would be one too many, and so the next to go; but where no more than that are
            // wanted, a copy moves only this way.
            let max = usize::from(entry.policy.copies.max);
            let has_room = count < max || max <= field.target();
            let is_misplaced = belongs.iter().any(|it| !counted.contains(it));
            (is_misplaced && has_room).then_some(Level::Place)
        }
        0 | 1 => Some(Level::Last),
        count if count <= min => Some(Level::Minimum),
        _ => Some(Level::Below),
    }
}
