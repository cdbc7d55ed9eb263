//! [`Auditor`]: asks the others who hold what is held here whether they have it, and draws the
//! consequences. Sans-IO: clock and randomness are arguments, and it never asks the disk.
//!
//! Once in an interval each segment comes up, in an order that is new each time, and one of its other
//! holders is challenged ([`store::audit`]), in turn. What becomes of it is kept apart ([`Outcome`]): wrong
//! and missing say that this copy is none, silence says that nobody is there, and late is a matter of
//! trust. Nothing is for ever: what weighs against a member is halved each day, by our own clock.

mod cursor;
mod event;
mod standing;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use store::audit::{LEAVES_MAX, Verdict};
use store::segment::SegmentId;

use self::cursor::Cursor;
pub use self::event::{
    Action, ChallengeId, Event, Holdings, Outcome, SILENCES, Settings, Time, Unkept, WRONGS,
};
use self::standing::Standing;
use super::placement::Member;

/// No more than this is granted for a round trip: whoever answers pings late must not gain by it.
pub const ROUND_TRIP_MAX: Duration = Duration::from_millis(500);

/// Members that are remembered for what weighs against them; those with the least are forgotten. Each takes
/// some 100 bytes.
const STANDINGS_MAX: usize = 1 << 16;

/// What is to be shown before its turn; what finds no place comes up in its turn. 36 bytes each.
const PROOFS_MAX: usize = 4096;

/// Whoever is trusted less is named to operators: three late answers in a day are not that much.
const DOUBTED: f64 = 0.75;

/// What could not be asked in time is made up for, up to this part of an interval.
const ARREARS: u32 = 24;

/// The worker says what became of each challenge. One of which nothing is heard for so many times the
/// patience is given up.
const LOST_AFTER: u32 = 4;

/// Decides whom to ask about what, and what follows from the answers.
#[derive(Debug)]
pub struct Auditor {
    settings: Settings,
    rng: StdRng,
    cursor: Cursor,
    /// Came up, and waits until its holder is not asked about something else.
    held: Option<SegmentId>,
    /// When the next segment comes up; `None` before the first step.
    next_at: Option<Time>,
    /// No more than [`Settings::in_flight`].
    flights: BTreeMap<ChallengeId, Flight>,
    last: u64,
    standings: BTreeMap<Member, Standing>,
    /// When silent members are asked again; no more than there are standings.
    retries: BTreeSet<(Time, Member, SegmentId)>,
    /// What members are to show before their turn, [`PROOFS_MAX`] at most.
    proofs: BTreeSet<(Member, SegmentId)>,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    segment: SegmentId,
    holder: Member,
    leaves: usize,
    since: Time,
}

/// Who is asked about a segment.
enum Choice {
    Holder(Member),
    /// All who could be are being asked.
    Busy,
    Nobody,
}

impl Auditor {
    /// One that has asked nobody yet.
    #[must_use]
    pub fn new(settings: Settings, rng: StdRng) -> Self {
        Self {
            settings,
            rng,
            cursor: Cursor::default(),
            held: None,
            next_at: None,
            flights: BTreeMap::new(),
            last: 0,
            standings: BTreeMap::new(),
            retries: BTreeSet::new(),
            proofs: BTreeSet::new(),
        }
    }

    /// Takes in what happened, and says what to do.
    pub fn step(&mut self, now: Time, event: Event, holdings: &dyn Holdings) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Answered {
                id,
                took,
                round_trip,
                verdict,
            } => {
                let allowed = self.settings.deadline + 2 * round_trip.min(ROUND_TRIP_MAX);
                self.answered(now, id, took > allowed, verdict, &mut actions);
            }
            Event::Silent { id } => self.silent(now, id, &mut actions),
            Event::Prove { holder, segments } => {
                let room = PROOFS_MAX.saturating_sub(self.proofs.len());
                let proofs = segments.into_iter().take(room);
                self.proofs.extend(proofs.map(|segment| (holder, segment)));
            }
            Event::Unkept { member, what } => {
                let settings = self.settings;
                self.standing(member, now).unkept(what, now, &settings);
            }
            Event::Dropped { id } => {
                self.land(id);
            }
        }
        let patience = self.settings.patience * LOST_AFTER;
        self.flights
            .retain(|_, flight| now.saturating_sub(flight.since) < patience);
        self.ask_again(now, holdings, &mut actions);
        self.ask_for_proofs(now, &mut actions);
        self.ask(now, holdings, &mut actions);
        actions
    }

    /// When to [tick](Event::Tick) next, if nothing else happens. What is held now and was not then comes up in its time
    /// only if it is ticked now and then besides: `None` where nothing was held.
    #[must_use]
    pub fn wake(&self) -> Option<Time> {
        let patience = self.settings.patience * LOST_AFTER;
        let lost = self.flights.values().map(|flight| flight.since + patience);
        if self.flights.len() >= self.settings.in_flight {
            return lost.min();
        }
        // Who waits for a busy holder is woken by the answer, or by its absence.
        let next = self.next_at.filter(|_| self.held.is_none());
        let mut retries = self.retries.iter();
        let retry = retries.find(|(_, holder, _)| !self.is_busy(*holder));
        let retry = retry.map(|(at, ..)| *at);
        lost.chain(next).chain(retry).min()
    }

    /// Whether this member may get something new: it does not while [`Settings::refusal`] lasts.
    #[must_use]
    pub fn takes(&self, member: Member, now: Time) -> bool {
        let standing = self.standings.get(&member);
        standing.is_none_or(|standing| standing.takes(now))
    }

    /// Whether this member's word, or its receipt, is taken for a copy: not for [`Settings::doubt`] after it said that it has
    /// what it has not.
    #[must_use]
    pub fn believes(&self, member: Member, now: Time) -> bool {
        let standing = self.standings.get(&member);
        standing.is_none_or(|standing| standing.is_believed(now))
    }

    /// How far this member is trusted, from 1, fully, towards 0. A wrong answer halves it, once; ten late
    /// ones do the same.
    #[must_use]
    pub fn score(&self, member: Member, now: Time) -> f64 {
        let standing = self.standings.get(&member);
        standing.map_or(1.0, |standing| standing.score(now, self.settings.half_life))
    }

    /// Those against whom something weighs now that is more than a busy disk, each with its score, and whether it
    /// may get something new; who is trusted least is first.
    #[must_use]
    pub fn doubted(&self, now: Time) -> Vec<(Member, f64, bool)> {
        let standings = self.standings.keys();
        let all = standings.map(|it| (*it, self.score(*it, now), self.takes(*it, now)));
        let mut doubted: Vec<_> = all
            .filter(|(_, score, takes)| !takes || *score < DOUBTED)
            .collect();
        doubted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        doubted
    }

    fn answered(
        &mut self,
        now: Time,
        id: ChallengeId,
        is_late: bool,
        verdict: Verdict,
        actions: &mut Vec<Action>,
    ) {
        let Some(flight) = self.land(id) else { return };
        let Flight {
            segment,
            holder,
            leaves: asked,
            ..
        } = flight;
        let settings = self.settings;
        let standing = self.standing(holder, now);
        standing.heard();
        let was_believed = standing.is_believed(now);
        let outcome = match verdict {
            Verdict::Unknown => {
                actions.push(Action::Scrub { segment });
                return;
            }
            Verdict::Right if is_late => {
                standing.late(now, &settings);
                Outcome::Late
            }
            Verdict::Right => Outcome::Right,
            Verdict::Missing { .. } => {
                standing.missing(now, &settings);
                Outcome::Missing
            }
            Verdict::Wrong { leaves } => {
                standing.wrong(now, &settings);
                actions.push(Action::Tell {
                    holder,
                    segment,
                    leaves,
                });
                Outcome::Wrong
            }
        };
        actions.push(Action::Found {
            segment,
            holder,
            leaves: asked,
            outcome,
        });
        if outcome == Outcome::Wrong && was_believed {
            actions.push(Action::Suspect { holder });
        }
    }

    fn silent(&mut self, now: Time, id: ChallengeId, actions: &mut Vec<Action>) {
        let Some(flight) = self.land(id) else { return };
        let Flight {
            segment,
            holder,
            leaves,
            ..
        } = flight;
        let rest = self.settings.rest;
        let standing = self.standing(holder, now);
        let until = standing.silent(now, rest);
        if standing.silences() < SILENCES {
            self.retries.insert((until, holder, segment));
            return;
        }
        if standing.silences() == SILENCES {
            actions.push(Action::Offline { holder });
        }
        let outcome = Outcome::Silent;
        actions.push(Action::Found {
            segment,
            holder,
            leaves,
            outcome,
        });
    }

    fn land(&mut self, id: ChallengeId) -> Option<Flight> {
        self.flights.remove(&id)
    }

    /// Those that were silent, about the same.
    fn ask_again(&mut self, now: Time, holdings: &dyn Holdings, actions: &mut Vec<Action>) {
        while self.flights.len() < self.settings.in_flight {
            let mut due = self.retries.iter().take_while(|(at, ..)| *at <= now);
            let free = due.find(|(_, holder, _)| !self.is_busy(*holder));
            let Some((at, holder, segment)) = free.copied() else {
                break;
            };
            self.retries.remove(&(at, holder, segment));
            if holdings.others(&segment).contains(&holder) {
                actions.push(self.fly(now, segment, holder));
            }
        }
    }

    /// What is to be shown before its turn. Who rests is not asked: whoever needs its copy asks again.
    fn ask_for_proofs(&mut self, now: Time, actions: &mut Vec<Action>) {
        let standings = &self.standings;
        let rests = |member| {
            let standing = standings.get(&member);
            standing.is_some_and(|standing| standing.rests(now))
        };
        self.proofs.retain(|(holder, _)| !rests(*holder));
        while self.flights.len() < self.settings.in_flight {
            let mut free = self.proofs.iter().filter(|(it, _)| !self.is_busy(*it));
            let Some((holder, segment)) = free.next().copied() else {
                return;
            };
            self.proofs.remove(&(holder, segment));
            actions.push(self.fly(now, segment, holder));
        }
    }

    /// Whatever has come up.
    fn ask(&mut self, now: Time, holdings: &dyn Holdings, actions: &mut Vec<Action>) {
        let interval = self.settings.interval;
        let count = u32::try_from(holdings.count()).unwrap_or(u32::MAX);
        let Some(gap) = interval.checked_div(count) else {
            (self.held, self.next_at) = (None, None);
            return;
        };
        // All members start at once after a loss of power: they should not ask at once.
        let first = self.next_at;
        let mut next = first.unwrap_or_else(|| now + self.jitter(gap) / 2);
        // What is held may have become more since that was said.
        next = next.min(now + 3 * gap / 2);
        next = next.max(now.saturating_sub(interval / ARREARS));
        while next <= now && self.flights.len() < self.settings.in_flight {
            let segment = self.held.take().or_else(|| {
                let number = self.cursor.next(holdings.count(), &mut self.rng)?;
                holdings.segment(number)
            });
            if let Some(segment) = segment {
                match self.choose(now, &segment, holdings) {
                    Choice::Holder(holder) => actions.push(self.fly(now, segment, holder)),
                    Choice::Busy => {
                        self.held = Some(segment);
                        break;
                    }
                    Choice::Nobody => {}
                }
            }
            next += self.jitter(gap);
        }
        self.next_at = Some(next);
    }

    /// Each of the other holders in turn, a round after a round; those that rest are passed over.
    fn choose(&self, now: Time, segment: &SegmentId, holdings: &dyn Holdings) -> Choice {
        let mut others = holdings.others(segment);
        others.retain(|member| {
            let standing = self.standings.get(member);
            !standing.is_some_and(|standing| standing.rests(now))
        });
        if others.is_empty() {
            return Choice::Nobody;
        }
        others.sort_unstable();
        let turn = self.cursor.round().wrapping_add(u64::from(segment.0[0]));
        let first = usize::try_from(turn % others.len() as u64).unwrap_or_default();
        others.rotate_left(first);
        let free = others.into_iter().find(|member| !self.is_busy(*member));
        free.map_or(Choice::Busy, Choice::Holder)
    }

    fn is_busy(&self, member: Member) -> bool {
        self.flights.values().any(|flight| flight.holder == member)
    }

    fn fly(&mut self, now: Time, segment: SegmentId, holder: Member) -> Action {
        self.last += 1;
        let id = ChallengeId(self.last);
        let is_full = self.rng.random_ratio(1, self.settings.full_every.max(1));
        let leaves = if is_full {
            LEAVES_MAX
        } else {
            self.settings.leaves
        };
        let flight = Flight {
            segment,
            holder,
            leaves,
            since: now,
        };
        self.flights.insert(id, flight);
        Action::Ask {
            id,
            segment,
            holder,
            nonce: self.rng.random(),
            leaves,
        }
    }

    /// From half of `time` to half as much again.
    fn jitter(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.rng.random_range(0.5..1.5))
    }

    fn standing(&mut self, member: Member, now: Time) -> &mut Standing {
        let half_life = self.settings.half_life;
        if self.standings.len() >= STANDINGS_MAX && !self.standings.contains_key(&member) {
            let score = |standing: &Standing| standing.score(now, half_life);
            let best = self
                .standings
                .iter()
                .max_by(|a, b| score(a.1).total_cmp(&score(b.1)))
                .map(|(member, _)| *member);
            if let Some(best) = best {
                self.standings.remove(&best);
                self.retries.retain(|(_, member, _)| *member != best);
                self.proofs.retain(|(member, _)| *member != best);
            }
        }
        self.standings.entry(member).or_default()
    }
}
