//! Which segments are offered to whom, and when.

use rand::Rng as _;
use store::segment::SegmentId;

use super::event::{Action, Declined, Level, Time};
use super::ledger::{Entry, Need};
use super::{Member, Planner, State};

/// Who would not have a segment is not asked for it again for so many times the backoff.
const DECLINED: u32 = 10;
/// Members that would not have a segment, remembered for each.
const DECLINED_MAX: usize = 64;

impl Planner {
    /// Notes what a segment needs; puts it among those whose turn it is, or says when that will be.
    pub(super) fn plan_repair(
        &mut self,
        now: Time,
        segment: &SegmentId,
        state: &State,
    ) -> Option<Time> {
        self.unready(segment);
        let jitter = self.settings.jitter.mul_f64(self.rng.random());
        let entry = self.ledger.get_mut(segment)?;
        let Some(level) = state.level else {
            entry.need = None;
            return None;
        };
        let wait = if state.leaves {
            Time::ZERO
        } else {
            self.settings.waits[level as usize] + jitter
        };
        let old = entry.need;
        // Never later by getting worse; and what was due stays so until all is restored.
        let is_repair = |it: &Need| it.level != Level::Place || level == Level::Place;
        let due = old
            .filter(is_repair)
            .map_or(now + wait, |it| it.due.min(now + wait));
        entry.need = Some(Need { level, due });
        if self.brakes.is_blind() && level != Level::Last {
            // Looked at again when more is in sight.
            return None;
        }
        let rank = u32::try_from(state.rank).unwrap_or(u32::MAX);
        let act = due.saturating_add(self.settings.rank.saturating_mul(rank));
        let act = act.max(entry.not_before);
        if act > now {
            return Some(act);
        }
        let priority = u8::MAX - entry.policy.priority;
        self.ready.insert((level, priority, *segment));
        None
    }

    pub(super) fn unready(&mut self, segment: &SegmentId) {
        let Some(entry) = self.ledger.get(segment) else {
            return;
        };
        if let Some(need) = entry.need {
            let priority = u8::MAX - entry.policy.priority;
            self.ready.remove(&(need.level, priority, *segment));
        }
    }

    /// Offers what the brakes let through, the most urgent first.
    pub(super) fn spend(&mut self, now: Time) {
        while self.offers < self.settings.at_once && !self.ready.is_empty() {
            if !self.brakes.may_spend(now) {
                return;
            }
            let Some((level, priority, segment)) = self.ready.pop_first() else {
                return;
            };
            let Some((to, is_last)) = self.next_target(now, &segment) else {
                continue;
            };
            if !is_last {
                self.ready.insert((level, priority, segment));
            }
            self.offer(now, segment, to, level);
        }
    }

    /// The next member that should have a segment and has it not, and whether it is the last; comes back
    /// later where there is none.
    fn next_target(&mut self, now: Time, segment: &SegmentId) -> Option<(Member, bool)> {
        let entry = self.ledger.get(segment)?;
        let declined = entry.declined.iter().filter(|(_, until)| *until > now);
        let not: Vec<_> = declined.map(|(member, _)| *member).collect();
        let holders = self.counted(entry);
        let field = self.roster.under(&entry.policy);
        let belongs = field.place(segment, &holders, &not);
        let on_its_way = |it: &Member| entry.offered.contains(it);
        let missing = field
            .target()
            .saturating_sub(holders.len() + entry.offered.len());
        let is_place = entry.need.is_some_and(|need| need.level == Level::Place);
        let wanted = if is_place { 1 } else { missing };
        let mut targets = belongs
            .into_iter()
            .filter(|it| !holders.contains(it) && !on_its_way(it));
        let next = targets.next().filter(|_| wanted > 0);
        let is_last = wanted == 1 || targets.next().is_none();
        if next.is_none() && entry.offered.is_empty() {
            // Nobody has a place for it. A change of the roster comes sooner than this.
            let again = now + self.settings.backoff_max;
            self.wake_at(segment, Some(again));
        }
        Some((next?, is_last))
    }

    /// Holders whose copies count, ourselves among them.
    fn counted(&self, entry: &Entry) -> Vec<Member> {
        let stays = |member: Member| {
            let candidate = self.roster.candidate(member);
            candidate.is_some_and(|it| it.stays)
        };
        let copies = entry.copies.iter().filter(|it| it.verified);
        let others = copies.map(|it| it.member).filter(|it| stays(*it));
        let is_alone = !self.roster.has(self.me);
        others
            .chain((stays(self.me) || is_alone).then_some(self.me))
            .collect()
    }

    fn offer(&mut self, now: Time, segment: SegmentId, to: Member, level: Level) {
        let lasts = self.settings.lease;
        let Some(entry) = self.ledger.get_mut(&segment) else {
            return;
        };
        if entry.offered.is_empty() && level != Level::Place {
            self.actions.push(Action::Lease { segment, lasts });
        }
        entry.offered.push(to);
        self.offers += 1;
        self.brakes.spend(entry.bytes);
        self.actions.push(Action::Offer { segment, to, level });
        // If nothing is heard of it, others are asked.
        let again = now + lasts;
        entry.not_before = again;
        if self.waking.get(&segment).is_none_or(|time| *time > again) {
            self.wake_at(&segment, Some(again));
        }
    }

    /// An offer is over, whatever came of it.
    pub(super) fn settle_offer(&mut self, segment: &SegmentId, member: Member) {
        let Some(entry) = self.ledger.get_mut(segment) else {
            return;
        };
        if let Some(at) = entry.offered.iter().position(|it| *it == member) {
            entry.offered.swap_remove(at);
            entry.not_before = Time::ZERO;
            self.offers -= 1;
        }
    }

    pub(super) fn on_declined(
        &mut self,
        now: Time,
        segment: &SegmentId,
        member: Member,
        why: Declined,
    ) {
        self.settle_offer(segment, member);
        let (backoff, most) = (self.settings.backoff, self.settings.backoff_max);
        let Some(entry) = self.ledger.get_mut(segment) else {
            return;
        };
        entry
            .declined
            .retain(|(other, until)| *other != member && *until > now);
        let until = match why {
            Declined::NoRoom => now + backoff * DECLINED,
            Declined::Failed => {
                let doubled = 1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX);
                entry.failures = entry.failures.saturating_add(1);
                let pause = backoff.saturating_mul(doubled).min(most);
                entry.not_before = now + pause;
                now + pause * 2
            }
        };
        if entry.declined.len() < DECLINED_MAX {
            entry.declined.push((member, until));
        }
        self.look(now, segment);
    }

    pub(super) fn on_lease(&mut self, now: Time, segment: &SegmentId, lasts: Time) {
        let lasts = lasts.min(self.settings.lease);
        if let Some(entry) = self.ledger.get_mut(segment) {
            entry.not_before = entry.not_before.max(now + lasts);
            self.look(now, segment);
        }
    }
}
