//! [`Roster`]: where the copies of a segment belong, by weighted rendezvous hashing.
//!
//! Each member draws a lot for each segment, `-w / ln(u)`, where `u` is a hash of both in (0, 1) and `w` its
//! weight; the highest lots win (Thaler and Ravishankar 1998; weights by Schindelhauer and Schomaker,
//! SPAA 2005). Who sees the same members finds the same places, nobody keeps a table, and a member
//! that comes or goes moves its own share only.
//!
//! Copies are spread over failure domains: no more than ⌈copies / domains⌉ of them in one zone, in one
//! rack and on one host. Racks lie in zones and hosts count by themselves, so the sets that are allowed
//! are nearly those of a laminar matroid: taking the best lot that is still allowed gives the best set,
//! and one member more or less changes one of its elements. Where the members are too few for that, the
//! bounds of zones and then of racks are raised until all copies have a place. A second copy on one host
//! is none.

mod lots;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::PeerId;
use store::segment::SegmentId;

use self::lots::Lots;
use super::policy::{Policy, Tags};

/// A member, by the number that the caller gave it. One who comes back is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member(pub u32);

/// A member that may have copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub member: Member,
    /// Who.
    pub peer: PeerId,
    /// Its capacity in quarters of powers of two: a step is 19 % more. So it seldom changes.
    pub weight: u16,
    /// Where it is.
    pub tags: Tags,
    /// Whether it takes more than it has: it is neither too full nor on its way out.
    pub takes: bool,
    /// Whether it stays: the copies of one that is on its way out do not count.
    pub stays: bool,
}

/// The members that are here, made ready for many questions.
#[derive(Debug)]
pub struct Roster {
    candidates: Vec<Candidate>,
    /// Places in `candidates`.
    places: HashMap<Member, usize>,
    /// For each candidate, its zone, rack and host.
    domains: Vec<[u32; LEVELS]>,
    fields: Mutex<HashMap<Policy, Arc<Lots>>>,
}

/// Zone, rack, host.
const LEVELS: usize = 3;
const HOST: usize = 2;

/// Policies whose members are kept ready; each takes sixteen bytes a member. More are made ready again.
const FIELDS: usize = 64;

/// Those of a roster that a policy allows.
#[derive(Debug)]
pub struct Field<'a> {
    roster: &'a Roster,
    lots: Arc<Lots>,
    everywhere: bool,
    copies: usize,
}

impl Roster {
    /// Of these members. The order does not matter, and of two with one number the last counts.
    #[must_use]
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut by_number: HashMap<Member, Candidate> =
            candidates.into_iter().map(|it| (it.member, it)).collect();
        let mut members: Vec<_> = by_number.keys().copied().collect();
        members.sort_unstable();
        let candidates: Vec<_> = members
            .iter()
            .filter_map(|member| by_number.remove(member))
            .collect();
        let mut names = [(); LEVELS].map(|()| HashMap::new());
        let domains = candidates.iter().map(|candidate| {
            let own = domains_of(candidate);
            let mut numbers = [0; LEVELS];
            for ((number, names), name) in numbers.iter_mut().zip(&mut names).zip(own) {
                let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
                *number = *names.entry(name).or_insert(next);
            }
            numbers
        });
        Self {
            domains: domains.collect(),
            places: members.into_iter().zip(0..).collect(),
            candidates,
            fields: Mutex::default(),
        }
    }

    /// Whether this member is here.
    #[must_use]
    pub fn has(&self, member: Member) -> bool {
        self.places.contains_key(&member)
    }

    /// The host of a member that is here: two with the same are one to a failure.
    #[must_use]
    pub fn host(&self, member: Member) -> Option<u32> {
        let place = *self.places.get(&member)?;
        Some(self.domains[place][HOST])
    }

    /// What is known of a member that is here.
    #[must_use]
    pub fn candidate(&self, member: Member) -> Option<&Candidate> {
        self.candidates.get(*self.places.get(&member)?)
    }

    /// Whether a member is not about to leave, as far as is known: of who is not here nothing is.
    #[must_use]
    pub fn stays(&self, member: Member) -> bool {
        self.candidate(member).is_none_or(|it| it.stays)
    }

    /// Whether a member may have copies, as far as is known.
    #[must_use]
    pub fn is_allowed(&self, member: Member, policy: &Policy) -> bool {
        let candidate = self.candidate(member);
        candidate.is_none_or(|it| policy.allows(&it.tags))
    }

    /// All of them.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.candidates.iter().map(|it| it.member)
    }

    /// Whether anybody has a place here that `old` did not have: somebody new, or other tags, room or weight.
    #[must_use]
    pub fn is_more_than(&self, old: &Self) -> bool {
        let same = |it: &Candidate| old.candidate(it.member) == Some(it);
        !self.candidates.iter().all(same)
    }

    /// How many are here.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Made ready for questions under one policy.
    #[must_use]
    pub fn under(&self, policy: &Policy) -> Field<'_> {
        Field {
            roster: self,
            lots: self.lots(policy),
            everywhere: policy.everywhere,
            copies: usize::from(policy.copies.target),
        }
    }

    fn lots(&self, policy: &Policy) -> Arc<Lots> {
        // It guards a cache: a panic of another holder does no harm.
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lots) = fields.get(policy) {
            return Arc::clone(lots);
        }
        if fields.len() >= FIELDS {
            fields.clear();
        }
        let all = self.candidates.iter().enumerate();
        // Who is on its way out has no lot: places are those that there will be without it.
        let allowed = all.filter(|(_, it)| it.stays && policy.allows(&it.tags));
        let lots = Arc::new(Lots::new(allowed.map(|(i, it)| (i, &it.peer, it.weight))));
        fields.insert(policy.clone(), Arc::clone(&lots));
        lots
    }
}

impl Field<'_> {
    /// How many copies there should be: as many as are wanted, or one for each member that is allowed and stays.
    #[must_use]
    pub fn target(&self) -> usize {
        if self.everywhere {
            self.lots.len()
        } else {
            self.copies
        }
    }

    /// Distinct hosts of those that may have a copy and stay; where each of them is to have one, all of them.
    #[must_use]
    pub fn hosts(&self) -> usize {
        if self.everywhere {
            return self.lots.len();
        }
        let hosts = self.lots.numbers().map(|i| self.roster.domains[i][HOST]);
        hosts.collect::<HashSet<_>>().len()
    }

    /// Where the copies of a segment belong, the best place first: [`Field::target`] of them, or as many as
    /// there are members that may have one. Those that have it, `holders`, may keep it even where they take no more;
    /// those that would not have it now, `not`, are passed over.
    #[must_use]
    pub fn place(&self, segment: &SegmentId, holders: &[Member], not: &[Member]) -> Vec<Member> {
        self.place_beside(&[], segment, holders, not)
    }

    /// As [`Field::place`]; these, `pinned`, have it and keep it in any case, and come first: the best of the others
    /// are as many as are wanted beside them, spread over the domains with them.
    #[must_use]
    pub fn place_beside(
        &self,
        pinned: &[Member],
        segment: &SegmentId,
        holders: &[Member],
        not: &[Member],
    ) -> Vec<Member> {
        let copies = self.target();
        let candidates = &self.roster.candidates;
        let pinned = pinned.iter().filter_map(|it| self.roster.places.get(it));
        let pinned: Vec<usize> = pinned.copied().collect();
        let may = |i: usize| {
            let it = &candidates[i];
            (it.takes || (it.stays && holders.contains(&it.member)))
                && !not.contains(&it.member)
                && !pinned.contains(&i)
        };
        let mut depth = copies.saturating_mul(2).max(8);
        loop {
            let ranked: Vec<usize> = self.lots.best(segment, depth);
            let is_all = ranked.len() >= self.lots.len();
            let ranked = ranked.into_iter().filter(|i| may(*i)).collect::<Vec<_>>();
            let chosen = self.choose(&pinned, &ranked, copies, is_all);
            if is_all || chosen.len() >= copies {
                return chosen.into_iter().map(|i| candidates[i].member).collect();
            }
            depth = depth.saturating_mul(4);
        }
    }

    /// These members in the order of their lots, the best first; those that are not here, last.
    #[must_use]
    pub fn ranked(&self, segment: &SegmentId, members: &[Member]) -> Vec<Member> {
        let lot = |member: &Member| {
            let candidate = self.roster.candidate(*member);
            candidate.map_or(0.0, |it| lots::draw(segment, &it.peer, it.weight))
        };
        let mut ranked = members.to_vec();
        ranked.sort_by(|a, b| lot(b).total_cmp(&lot(a)));
        ranked
    }

    /// Copies in one zone, in one rack and on one host at most, if they are spread as far as can be.
    fn bounds(&self) -> [usize; LEVELS] {
        if self.everywhere {
            return [usize::MAX; LEVELS];
        }
        let mut there = [(); LEVELS].map(|()| HashSet::new());
        for i in self.lots.numbers() {
            for (there, domain) in there.iter_mut().zip(self.roster.domains[i]) {
                there.insert(domain);
            }
        }
        let [zones, racks, _] = there.map(|there| self.copies.div_ceil(there.len().max(1)));
        [zones, racks, 1]
    }

    /// The best set of these, which are in the order of their lots, beside those that are `pinned`. Bounds are raised
    /// only where these are all.
    fn choose(
        &self,
        pinned: &[usize],
        ranked: &[usize],
        copies: usize,
        is_all: bool,
    ) -> Vec<usize> {
        let mut bounds = self.lots.bounds(|| self.bounds());
        loop {
            let chosen = self.within(pinned, ranked, copies, bounds);
            let raisable = bounds[..HOST].iter().position(|bound| *bound < copies);
            let Some(level) = raisable.filter(|_| is_all && chosen.len() < copies) else {
                return chosen;
            };
            if chosen.len() == pinned.len() + ranked.len() {
                return chosen;
            }
            bounds[level] += 1;
        }
    }

    fn within(
        &self,
        pinned: &[usize],
        ranked: &[usize],
        copies: usize,
        bounds: [usize; LEVELS],
    ) -> Vec<usize> {
        let mut used: [HashMap<u32, usize>; LEVELS] = Default::default();
        let mut count = |i: usize, bounds: [usize; LEVELS]| {
            let domains = self.roster.domains[i];
            let taken = |level: usize| used[level].get(&domains[level]).copied().unwrap_or(0);
            let fits = (0..LEVELS).all(|level| taken(level) < bounds[level]);
            if fits {
                for (used, domain) in used.iter_mut().zip(domains) {
                    *used.entry(domain).or_insert(0) += 1;
                }
            }
            fits
        };
        let mut chosen = pinned.to_vec();
        for &i in pinned {
            count(i, [usize::MAX; LEVELS]);
        }
        for &i in ranked {
            if chosen.len() >= copies {
                break;
            }
            if count(i, bounds) {
                chosen.push(i);
            }
        }
        chosen
    }
}

/// The zone, the rack within it, and the host, which is the peer unless it says otherwise.
fn domains_of(candidate: &Candidate) -> [String; LEVELS] {
    let tag = |key: &str| candidate.tags.get(key).cloned();
    let zone = tag("zone").unwrap_or_default();
    let rack = format!("{zone}\0{}", tag("rack").unwrap_or_default());
    let host = tag("host").unwrap_or_else(|| candidate.peer.to_string());
    [zone, rack, host]
}

#[cfg(test)]
mod tests;
