//! When our own copy of a segment may go: the others must be enough without it, have shown their copies, and
//! have promised to keep them meanwhile.

use rand::Rng as _;
use store::segment::SegmentId;

use super::event::{Action, Time};
use super::ledger::Trim;
use super::{Member, Planner, State};

impl Planner {
    /// Goes on with the giving up of our copy; says when to come back to it.
    pub(super) fn plan_trim(
        &mut self,
        now: Time,
        segment: &SegmentId,
        state: &State,
    ) -> Option<Time> {
        let is_blind = self.brakes.is_blind();
        let (stays, grant) = (self.settings.surplus, self.settings.grant);
        let jitter = self.settings.jitter.mul_f64(self.rng.random());
        let entry = self.ledger.get_mut(segment)?;
        if let Trim::Promised(until) = entry.trim {
            if now < until {
                return Some(until);
            }
            entry.trim = Trim::Kept;
        }
        if !state.is_surplus || is_blind {
            entry.trim = Trim::Kept;
            return None;
        }
        match &entry.trim {
            Trim::Kept => {
                entry.trim = Trim::Surplus(now + jitter);
                Some(now + jitter + stays)
            }
            Trim::Surplus(since) if now < *since + stays => Some(*since + stays),
            Trim::Asked(at, _) if now < *at + grant => Some(*at + grant),
            Trim::Asked(..) => {
                // Not enough have answered.
                entry.trim = Trim::Surplus(now + jitter);
                Some(now + jitter + stays)
            }
            Trim::Surplus(_) | Trim::Promised(_) => {
                entry.trim = Trim::Asked(now, Vec::new());
                let verified = entry.copies.iter().filter(|it| it.verified);
                let here = verified
                    .map(|it| it.member)
                    .filter(|it| self.roster.has(*it));
                let ask = here.map(|of| Action::AskToTrim {
                    segment: *segment,
                    of,
                });
                self.actions.extend(ask);
                Some(now + grant)
            }
        }
    }

    pub(super) fn on_trim_asked(&mut self, now: Time, segment: SegmentId, by: Member) {
        let until = now + self.settings.grant * 2;
        let mut granted = false;
        if let Some(entry) = self.ledger.get_mut(&segment) {
            // Who wants to trim itself, and has asked already, must not be counted upon.
            granted = !matches!(entry.trim, Trim::Asked(..));
            if granted {
                entry.trim = match entry.trim {
                    Trim::Promised(earlier) => Trim::Promised(earlier.max(until)),
                    _ => Trim::Promised(until),
                };
            }
        }
        self.actions.push(Action::AnswerTrim {
            segment,
            to: by,
            granted,
        });
        self.look(now, &segment);
    }

    pub(super) fn on_trim_granted(&mut self, now: Time, segment: &SegmentId, by: Member) {
        let Some(state) = self.ledger.get(segment).map(|it| self.state(segment, it)) else {
            return;
        };
        let (grant, is_blind) = (self.settings.grant, self.brakes.is_blind());
        let host = self.host(by);
        let hosts: Vec<_> = match self.ledger.get(segment).map(|it| &it.trim) {
            Some(Trim::Asked(_, granted)) => granted.iter().map(|it| self.host(*it)).collect(),
            _ => return,
        };
        let stays = self.roster.candidate(by).is_some_and(|it| it.stays);
        let is_mine = host == self.host(self.me);
        let Some(entry) = self.ledger.get_mut(segment) else {
            return;
        };
        let Trim::Asked(at, granted) = &mut entry.trim else {
            return;
        };
        if now >= *at + grant || !stays || is_mine || hosts.contains(&host) {
            return;
        }
        granted.push(by);
        if granted.len() >= state.target.max(1) && state.is_surplus && !is_blind {
            self.forget(segment);
            self.actions.push(Action::Trim { segment: *segment });
        }
    }

    pub(super) fn on_trim_refused(&mut self, now: Time, segment: &SegmentId) {
        if let Some(entry) = self.ledger.get_mut(segment)
            && matches!(entry.trim, Trim::Asked(..))
        {
            entry.trim = Trim::Kept;
            self.look(now, segment);
        }
    }
}
