//! [`Slots`]: whom we serve in an open swarm, when more ask than we want to serve at once. Pure.
//!
//! After Cohen, "Incentives Build Robustness in `BitTorrent`" (2003): those
//! that gave us most lately have the slots, looked at anew each [`ROUND`], and one more goes round by
//! chance, so that newcomers can show what they have. Among those that gave the same, which is nothing
//! where we have all there is to give, those that had least come first: the slots go round.
//!
//! Others are told Busy for two seconds, or until the next round. None of them is told so for ever: who was not served
//! for [`STARVING`] gets one piece without a slot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::exchange::scheduler::Time;

/// How long slots stay with those that have them.
const ROUND: Duration = Duration::from_secs(10);
/// Rounds after which another has the slot that goes round.
const OPTIMISTIC_ROUNDS: u32 = 3;
/// Who did not ask for so long is not interested any more: as long as a Busy may say, and some more.
const INTERESTED: Duration = Duration::from_secs(15);
/// Who has nothing under way and has not asked for so long is through: whoever downloads asks again before
/// what it asked for has come.
const DONE: Duration = Duration::from_secs(2);
/// Well below the time after which a download without progress is given up (a minute).
const STARVING: Duration = Duration::from_secs(20);
/// Who has no slot comes back after this long at the latest, well before the next round: slots fall free when
/// those that have them are through.
const AGAIN: Duration = Duration::from_secs(2);
/// Those that are told to come back do so over this time, not all at once.
const SPREAD_MS: u64 = 500;
/// What was given counts half after each round; below this it is forgotten.
const FORGOTTEN: u64 = 4096;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Yes,
    /// One piece of it.
    Crumb,
    /// Not before this time has passed.
    Choked(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Interest {
    asked: Time,
    /// `None`: never.
    served: Option<Time>,
    /// Bytes, counting half after each round.
    got: u64,
}

#[derive(Debug)]
pub(super) struct Slots<P> {
    /// How many there are; `None`: everybody has one.
    count: Option<usize>,
    /// Peers remembered at most.
    limit: usize,
    interested: BTreeMap<P, Interest>,
    given: BTreeMap<P, u64>,
    holders: BTreeSet<P>,
    optimistic: Option<P>,
    rounds: u32,
    next: Time,
    random: StdRng,
}

impl<P: Copy + Ord> Slots<P> {
    pub(super) fn new(count: Option<usize>, limit: usize, seed: u64) -> Self {
        Self {
            count,
            limit,
            interested: BTreeMap::new(),
            given: BTreeMap::new(),
            holders: BTreeSet::new(),
            optimistic: None,
            rounds: 0,
            next: Time::ZERO,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether there is nothing to be looked at in the next round.
    pub(super) fn is_idle(&self) -> bool {
        self.interested.is_empty() && self.given.is_empty()
    }

    /// A peer gave us so many bytes.
    pub(super) fn gave(&mut self, peer: P, bytes: u64) {
        if self.count.is_none() {
            return;
        }
        if self.given.len() >= self.limit && !self.given.contains_key(&peer) {
            let least = self.given.iter().min_by_key(|(_, given)| **given);
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.given.remove(&least);
            }
        }
        let given = self.given.entry(peer).or_default();
        *given = given.saturating_add(bytes);
    }

    /// Somebody asks. `is_idle`: whether a peer has nothing queued or in its pipe.
    pub(super) fn admit(&mut self, now: Time, asker: P, is_idle: impl Fn(&P) -> bool) -> Admission {
        let Some(slots) = self.count else {
            return Admission::Yes;
        };
        if !self.interested.contains_key(&asker) && self.interested.len() >= self.limit {
            // Whoever asked longest ago is the least likely to come back.
            let oldest = self.interested.iter().min_by_key(|(_, one)| one.asked);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.gone(&oldest);
            }
        }
        let new = Interest {
            asked: now,
            served: None,
            got: 0,
        };
        let has_slot = self.has_slot(&asker);
        self.interested.entry(asker).or_insert(new).asked = now;
        if has_slot {
            return Admission::Yes;
        }
        self.make_room(now, slots, is_idle);
        let one = self.interested.entry(asker).or_insert(new);
        if self.holders.len() < slots {
            self.holders.insert(asker);
            return Admission::Yes;
        }
        if self.optimistic.is_none() {
            self.optimistic = Some(asker);
            return Admission::Yes;
        }
        if one.served.is_none_or(|served| now >= served + STARVING) {
            // Counted now, so that it is one piece and not one for each of its requests.
            one.served = Some(now);
            return Admission::Crumb;
        }
        Admission::Choked(self.again(now))
    }

    /// Takes a slot from somebody who has got all that it asked for, and asks no more.
    fn make_room(&mut self, now: Time, slots: usize, is_idle: impl Fn(&P) -> bool) {
        let interested = &self.interested;
        // Whoever got its slot in this round has been told to come back at its beginning.
        let round = self.next.saturating_sub(ROUND);
        let done = |peer: &P| {
            let asked = interested.get(peer).map_or(round, |one| one.asked);
            is_idle(peer) && now >= asked.max(round) + DONE
        };
        if self.holders.len() >= slots
            && let Some(through) = self.holders.iter().copied().find(done)
        {
            self.holders.remove(&through);
        }
        self.optimistic = self.optimistic.filter(|peer| !done(peer));
    }

    /// When who has no slot should ask again.
    pub(super) fn again(&mut self, now: Time) -> Duration {
        let spread = Duration::from_millis(self.random.random_range(0..SPREAD_MS));
        self.next.saturating_sub(now).min(AGAIN) + spread
    }

    /// Bytes were read for an asker.
    pub(super) fn served(&mut self, now: Time, asker: P, bytes: u64) {
        if let Some(one) = self.interested.get_mut(&asker) {
            one.served = Some(now);
            one.got = one.got.saturating_add(bytes);
        }
    }

    pub(super) fn gone(&mut self, peer: &P) {
        self.interested.remove(peer);
        self.holders.remove(peer);
        if self.optimistic.as_ref() == Some(peer) {
            self.optimistic = None;
        }
    }

    /// Gives the slots out anew, if it is time. `busy`: those that have something queued or in their
    /// pipe. Returns those that lost theirs.
    pub(super) fn round(&mut self, now: Time, busy: impl Iterator<Item = P>) -> Vec<P> {
        let Some(slots) = self.count else {
            return Vec::new();
        };
        if now < self.next {
            return Vec::new();
        }
        self.next = now + ROUND;
        for peer in busy {
            if let Some(one) = self.interested.get_mut(&peer) {
                one.asked = now;
            }
        }
        self.interested
            .retain(|_, one| now < one.asked + INTERESTED);
        let mut ranked: Vec<(u64, u64, P)> = Vec::with_capacity(self.interested.len());
        for (peer, one) in &self.interested {
            let given = self.given.get(peer).copied().unwrap_or(0);
            ranked.push((u64::MAX - given, one.got, *peer));
        }
        ranked.sort_unstable();
        let before: Vec<P> = self
            .holders
            .iter()
            .copied()
            .chain(self.optimistic)
            .collect();
        self.holders = ranked.iter().take(slots).map(|(.., peer)| *peer).collect();
        self.turn_optimistic();
        for one in self.interested.values_mut() {
            one.got /= 2;
        }
        self.given.retain(|_, given| {
            *given /= 2;
            *given >= FORGOTTEN
        });
        let mut lost = before;
        lost.retain(|peer| !self.has_slot(peer));
        lost
    }

    fn has_slot(&self, peer: &P) -> bool {
        self.holders.contains(peer) || self.optimistic.as_ref() == Some(peer)
    }

    /// Chooses who has the slot that goes round, if it is time, or nobody worthy has it.
    fn turn_optimistic(&mut self) {
        self.rounds = self.rounds.wrapping_add(1);
        let stays = self.optimistic.is_some_and(|peer| {
            self.interested.contains_key(&peer) && !self.holders.contains(&peer)
        });
        if stays && !self.rounds.is_multiple_of(OPTIMISTIC_ROUNDS) {
            return;
        }
        let last = self.optimistic.take();
        let choked = |peer: &P| !self.holders.contains(peer) && Some(*peer) != last;
        let mut candidates: Vec<P> = Vec::new();
        for never in [true, false] {
            let fits = |one: &Interest| one.served.is_none() == never;
            let these = self.interested.iter().filter(|(_, one)| fits(one));
            candidates.extend(these.map(|(peer, _)| *peer).filter(choked));
            if !candidates.is_empty() {
                let chosen = self.random.random_range(0..candidates.len());
                self.optimistic = Some(candidates[chosen]);
                return;
            }
        }
        // Nobody else wants it.
        self.optimistic = last.filter(|peer| self.interested.contains_key(peer));
    }
}
