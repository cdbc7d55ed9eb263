//! A member that is about to go: how far the others have what it has.
//!
//! Its copies do not count any more ([`Candidate::stays`](super::super::placement::Candidate)), so whoever holds a
//! segment makes the missing ones at once; nothing here does that. Here is only found out whether anything is
//! missing still, whether that can be helped, and whether those that are counted are really there: a message that
//! a copy was given up may have been lost, so before it is said that all is done each holder is asked once more.

use store::segment::SegmentId;

use super::event::{Level, Time};
use super::ledger::{Entry, Trim};
use super::{Member, Planner};

/// Once so many segments were found that only have to be waited for, it is not over: the rest is not looked at.
const WAITING: usize = 64;
/// Segments that are named.
const NAMED: usize = 1024;
/// Tries after which a segment is said to be stuck that nobody managed to fetch.
const TRIES: u32 = 4;

/// How far a drain is, as far as is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Segments of this member that somebody wants, and their bytes.
    pub held: (usize, u64),
    /// Those of them of which there are too few copies elsewhere, and the bytes of the copies that are missing.
    pub needed: (usize, u64),
    /// Those of them for which nothing can be done now: how many, and the first 1,024.
    pub stuck: (usize, Vec<Stuck>),
    /// Segments whose copies elsewhere have not been confirmed yet.
    pub unconfirmed: usize,
    /// Segments of which another may still give up its copy, as this member promised to keep its own before it was
    /// told to leave.
    pub promised: usize,
    /// Nothing more is to be waited for: the others have confirmed what they have, and that is enough of all but
    /// what is stuck.
    pub is_over: bool,
}

/// A segment of which there are too few copies elsewhere, and that nobody can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Which.
    pub segment: SegmentId,
    /// Copies elsewhere, on distinct hosts.
    pub copies: usize,
    /// Copies that are wanted.
    pub wanted: usize,
    /// Why there are no more.
    pub why: Obstacle,
}

/// Why a copy cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Members that stay and may have it are on so many hosts only.
    Hosts(usize),
    /// Those that have it not have no room.
    Full,
    /// Those that have it not would not take it, or could not fetch it.
    Refused,
}

impl Planner {
    /// How far this member's copies are needed no more; `None` while it stays. Up to date after
    /// [`Event::Drain`](super::Event::Drain).
    #[must_use]
    pub fn drain(&self, now: Time) -> Option<Drain> {
        if self.stays(self.me) {
            return None;
        }
        let mut drain = Drain::default();
        let mut waiting = 0;
        for (segment, entry) in self.ledger.iter().filter(|(_, it)| !it.unwanted) {
            drain.held.0 += 1;
            drain.held.1 += entry.bytes;
            let is_promised = matches!(entry.trim, Trim::Promised(until) if until > now);
            drain.promised += usize::from(is_promised);
            let is_here = |member| self.roster.has(member);
            let mut copies = entry.copies.iter().filter(|it| is_here(it.member));
            drain.unconfirmed += usize::from(copies.any(|it| !it.confirmed));
            if entry.need.is_none_or(|need| need.level == Level::Place) {
                continue;
            }
            let places = self.places(segment, entry, &[]);
            let (places, holders) = (places.belongs, places.counted);
            let wanted = self.roster.under(&entry.policy).target();
            let missing = wanted.saturating_sub(holders.len()) as u64;
            drain.needed.0 += 1;
            drain.needed.1 += entry.bytes.saturating_mul(missing);
            if waiting >= WAITING {
                continue;
            }
            let Some(why) = self.obstacle(now, (segment, entry), &holders, places) else {
                waiting += 1;
                continue;
            };
            drain.stuck.0 += 1;
            if drain.stuck.1.len() < NAMED {
                drain.stuck.1.push(Stuck {
                    segment: *segment,
                    copies: holders.len(),
                    wanted,
                    why,
                });
            }
        }
        drain.is_over =
            self.confirming && waiting == 0 && drain.unconfirmed == 0 && drain.promised == 0;
        Some(drain)
    }

    /// What keeps a segment from further copies; `None` where one may still be made.
    fn obstacle(
        &self,
        now: Time,
        (segment, entry): (&SegmentId, &Entry),
        holders: &[Member],
        mut places: Vec<Member>,
    ) -> Option<Obstacle> {
        // Who may come back into sight may take it.
        if self.brakes.is_blind() || self.offered(segment).next().is_some() {
            return None;
        }
        let field = self.roster.under(&entry.policy);
        let hosts: Vec<_> = holders.iter().map(|it| self.host(*it)).collect();
        places.retain(|it| {
            let is_twin = !entry.policy.everywhere && hosts.contains(&self.host(*it));
            !holders.contains(it) && !is_twin
        });
        // Who has not said whether it has it is asked; only its silence is waited for.
        let silent = |it: &Member| {
            let mut copies = entry.copies.iter();
            copies.any(|copy| copy.member == *it && !copy.verified)
        };
        if places.is_empty() {
            let hosts = field.hosts();
            return Some(if hosts < field.target() {
                Obstacle::Hosts(hosts)
            } else {
                Obstacle::Full
            });
        }
        let declines = |it: &Member| {
            let mut declined = entry.declined.iter();
            declined.any(|(other, until)| other == it && *until > now)
        };
        let is_tried = entry.failures == 0 || entry.failures >= TRIES;
        let is_refused = places.iter().all(|it| declines(it) && !silent(it));
        (is_refused && is_tried).then_some(Obstacle::Refused)
    }

    pub(super) fn on_drain(&mut self, now: Time, anew: bool) {
        let was = std::mem::take(&mut self.confirming) && !anew;
        let Some(drain) = self.drain(now) else {
            return;
        };
        if drain.needed.0 > drain.stuck.0 || drain.promised > 0 {
            return;
        }
        self.confirming = true;
        if !was {
            self.ledger.unconfirm();
            self.look_at_all(now);
        }
    }
}
