//! When our own copy of a segment may go: the others must be enough without it, have shown their copies, and
//! have promised to keep them meanwhile.
//!
//! Why no two give up the same last copies: leave counts only within [`Settings::grant`](super::Settings) of the
//! question, by our clock, and only under the number of that question; who gave it keeps its copy for twice as
//! long from its answer, which came later. Who asks gives no leave, and who gave leave does not ask. Who begins anew
//! has forgotten its promises, and waits longer than they last.

use rand::Rng as _;
use store::segment::SegmentId;

use super::event::{Action, Answer, Time};
use super::ledger::Trim;
use super::state::State;
use super::{Member, Planner};

/// Segments of which we ask to give up our copy at once. After a partition hundreds may be one too many at the same
/// time, and each holder reads what it shows: asked for all of them, nobody would have shown any before its leave ends.
const AT_ONCE: usize = 8;

impl Planner {
    /// Goes on with the giving up of our copy; says when to come back to it.
    pub(super) fn plan_trim(
        &mut self,
        now: Time,
        segment: &SegmentId,
        state: &State,
    ) -> Option<Time> {
        let is_blind = self.brakes.is_blind();
        let grant = self.settings.grant;
        let before = u32::try_from(state.surplus.unwrap_or(0)).unwrap_or(u32::MAX);
        let turn = self.settings.turn.saturating_mul(before);
        let stays = self.settings.surplus.max(grant * 2).saturating_add(turn);
        let jitter = self.settings.jitter.mul_f64(self.rng.random());
        let ask = self.rng.random();
        let pause = (grant * 2).saturating_add(jitter);
        let sighted = self.brakes.sighted(now);
        let entry = self.ledger.get_mut(segment)?;
        if state.surplus.is_some() && !is_blind {
            entry.surplus.get_or_insert(sighted + jitter);
        } else if !is_blind {
            entry.surplus = None;
        }
        if let Trim::Promised(until) = entry.trim {
            if now < until {
                return Some(until);
            }
            entry.trim = Trim::Kept;
        }
        // Out of sight nothing goes; how long it was one too many is not forgotten, or some doubts now and then would keep
        // it for ever. All of us stand still meanwhile, so each keeps its turn.
        let Some(since) = entry.surplus.filter(|_| !is_blind) else {
            entry.trim = Trim::Kept;
            return None;
        };
        // What was promised to another, or asked in vain, does not count as time that it was needed.
        let due = now + since.saturating_add(stays).saturating_sub(sighted);
        let due = match &entry.trim {
            Trim::Asked(at, ..) if now < *at + grant => return Some(*at + grant),
            Trim::Asked(at, ..) => due.max(*at + pause),
            Trim::Kept | Trim::Promised(_) => due,
        };
        if now < due {
            return Some(due);
        }
        self.trims.retain(|(_, at)| now < *at + grant);
        if self.trims.len() >= AT_ONCE {
            // By then some are through.
            return Some(now + grant / 8);
        }
        self.trims.push((*segment, now));
        entry.trim = Trim::Asked(now, ask, Vec::new());
        let verified = entry.copies.iter().filter(|it| it.verified);
        let here = verified
            .map(|it| it.member)
            .filter(|it| self.roster.has(*it));
        self.actions.extend(here.map(|of| Action::AskToTrim {
            segment: *segment,
            of,
            ask,
        }));
        Some(now + grant)
    }

    pub(super) fn on_trim_asked(&mut self, now: Time, segment: SegmentId, by: Member, ask: u64) {
        let until = now + self.settings.grant * 2;
        let stays = self.stays(self.me);
        let answer = match self.ledger.get_mut(&segment) {
            None => Answer::HasNot,
            Some(entry) if entry.unwanted => Answer::Refuses,
            // Perhaps it is not known to the asker yet that ours goes.
            Some(_) if !stays => Answer::Refuses,
            Some(entry) => match &mut entry.trim {
                Trim::Asked(at, ..) if now < *at + self.settings.grant => Answer::Refuses,
                Trim::Promised(earlier) => {
                    *earlier = until.max(*earlier);
                    Answer::Keeps
                }
                // What came of an old question of ours comes too late to count.
                trim @ (Trim::Kept | Trim::Asked(..)) => {
                    *trim = Trim::Promised(until);
                    Answer::Keeps
                }
            },
        };
        self.actions.push(Action::AnswerTrim {
            segment,
            to: by,
            ask,
            answer,
        });
        self.look(now, &segment);
    }

    pub(super) fn on_trim_answered(
        &mut self,
        now: Time,
        segment: &SegmentId,
        from: (Member, u64),
        answer: Answer,
    ) {
        let (by, number) = from;
        match answer {
            // It can hardly be enough without this one, and others may ask instead.
            Answer::Refuses => self.trims.retain(|(other, _)| other != segment),
            Answer::HasNot => {
                self.ledger.strike(segment, by);
                self.look(now, segment);
            }
            Answer::Keeps => self.on_leave(now, segment, by, number),
        }
    }

    /// Another promised to keep its copy.
    fn on_leave(&mut self, now: Time, segment: &SegmentId, by: Member, number: u64) {
        let Some(entry) = self.ledger.get(segment) else {
            return;
        };
        let Trim::Asked(at, ask, granted) = &entry.trim else {
            return;
        };
        let is_late = now >= *at + self.settings.grant;
        let stays = self.roster.has(by) && self.stays(by);
        let host = self.host(by);
        let is_twin = granted.iter().any(|it| self.host(*it) == host);
        if is_late || *ask != number || !stays || is_twin || by == self.me {
            return;
        }
        let count = granted.len() + 1;
        let state = self.state(segment, entry);
        let may =
            state.surplus.is_some() && count >= state.target.max(1) && !self.brakes.is_blind();
        if may {
            self.give_up(segment, Action::Trim { segment: *segment });
        } else if let Some(entry) = self.ledger.get_mut(segment)
            && let Trim::Asked(_, _, granted) = &mut entry.trim
        {
            granted.push(by);
        }
    }

    /// What nobody wants goes, unless we promised to keep it or see too little to believe that.
    pub(super) fn plan_release(&mut self, now: Time, segment: &SegmentId) -> Option<Time> {
        let entry = self.ledger.get_mut(segment)?;
        if let Trim::Promised(until) = entry.trim
            && now < until
        {
            return Some(until);
        }
        if self.brakes.is_blind() {
            // Looked at again when more is in sight.
            return None;
        }
        self.give_up(segment, Action::Release { segment: *segment });
        None
    }

    /// We have it no more; `how` is done about it.
    pub(super) fn give_up(&mut self, segment: &SegmentId, how: impl Into<Option<Action>>) {
        let Some(entry) = self.ledger.get(segment) else {
            return;
        };
        let others = entry.copies.iter().map(|it| it.member);
        let to: Vec<_> = others.filter(|it| self.roster.has(*it)).collect();
        self.forget(segment);
        self.actions.extend(how.into());
        if !to.is_empty() {
            let segment = *segment;
            self.actions.push(Action::Retract { segment, to });
        }
    }
}
