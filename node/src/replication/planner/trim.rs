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
        let entry = self.ledger.get_mut(segment)?;
        if let Trim::Promised(until) = entry.trim {
            if now < until {
                return Some(until);
            }
            entry.trim = Trim::Kept;
        }
        if state.surplus.is_none() || is_blind {
            entry.trim = Trim::Kept;
            return None;
        }
        match &entry.trim {
            Trim::Surplus(since) if now < *since + stays => Some(*since + stays),
            Trim::Asked(at, ..) if now < *at + grant => Some(*at + grant),
            Trim::Surplus(_) => {
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
            // Also where not enough have answered.
            Trim::Kept | Trim::Asked(..) | Trim::Promised(_) => {
                entry.trim = Trim::Surplus(now + jitter);
                Some(now + jitter + stays)
            }
        }
    }

    pub(super) fn on_trim_asked(&mut self, now: Time, segment: SegmentId, by: Member, ask: u64) {
        let until = now + self.settings.grant * 2;
        let answer = match self.ledger.get_mut(&segment) {
            None => Answer::HasNot,
            Some(entry) if entry.unwanted => Answer::Refuses,
            Some(entry) => match &mut entry.trim {
                Trim::Asked(..) => Answer::Refuses,
                Trim::Promised(earlier) => {
                    *earlier = until.max(*earlier);
                    Answer::Keeps
                }
                trim @ (Trim::Kept | Trim::Surplus(_)) => {
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
            Answer::Refuses => {}
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
        let stays = self.roster.candidate(by).is_some_and(|it| it.stays);
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
