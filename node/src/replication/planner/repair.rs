//! Which segments are offered to whom, and when.

use rand::Rng as _;
use store::segment::SegmentId;

use super::event::{Action, Declined, Level, Time};
use super::ledger::{Copy, Entry, Need, Question};
use super::state::State;
use super::{Member, Planner};

/// Who would not have a segment is not asked for it again for so many times the backoff.
const DECLINED: u32 = 10;
/// Members that would not have a segment, remembered for each.
const DECLINED_MAX: usize = 64;
/// Leases that are heard in a row while no copy comes are so many at most: they are advice, and whoever lies
/// must not keep others from repairing. They last as long as an offer may.
const LEASES: u32 = 6;

/// A segment that another member is to fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) segment: SegmentId,
    pub(super) to: Member,
    level: Level,
    /// Nothing was heard of it: it has failed.
    pub(super) until: Time,
}

impl Planner {
    /// Asks those that are here and have not shown their copies, again and again, ever more seldom; says when
    /// to come back to it.
    pub(super) fn plan_questions(&mut self, now: Time, segment: &SegmentId) -> Option<Time> {
        let (first, most) = (self.settings.answer, self.settings.backoff_max);
        let confirming = self.confirming;
        let entry = self.ledger.get_mut(segment)?;
        let silent = |it: &&Copy| !it.verified || (confirming && !it.confirmed);
        let silent = entry.copies.iter().filter(silent);
        let silent: Vec<_> = silent
            .map(|it| it.member)
            .filter(|it| self.roster.has(*it))
            .collect();
        if silent.is_empty() {
            entry.question = Question::default();
            return None;
        }
        let question = &mut entry.question;
        question.since.get_or_insert(now);
        if question.again <= now {
            let doubled = 1_u32.checked_shl(question.times).unwrap_or(u32::MAX);
            question.times = question.times.saturating_add(1);
            question.again = now + first.saturating_mul(doubled).min(most);
            self.actions
                .extend(silent.into_iter().map(|member| Action::Check {
                    segment: *segment,
                    member,
                }));
        }
        Some(question.again)
    }

    /// Notes what a segment needs; puts it among those whose turn it is, or says when that will be.
    pub(super) fn plan_repair(
        &mut self,
        now: Time,
        segment: &SegmentId,
        state: &State,
    ) -> Option<Time> {
        self.unready(segment);
        let jitter = self.settings.jitter.mul_f64(self.rng.random());
        let renewed = self.renew_lease(now, segment, state);
        let entry = self.ledger.get_mut(segment)?;
        let Some(level) = state.level else {
            entry.need = None;
            entry.leases = 0;
            return renewed;
        };
        let mut need = need(entry.need, level, &self.settings.waits, now, jitter);
        if state.leaves {
            need.due = need.due.min(now);
        }
        entry.need = Some(need);
        if self.brakes.is_blind() && level != Level::Last {
            // Looked at again when more is in sight.
            return renewed;
        }
        if level == Level::Place && state.rank > 0 {
            return renewed;
        }
        let rank = u32::try_from(state.rank).unwrap_or(u32::MAX);
        let act = need
            .due
            .saturating_add(self.settings.rank.saturating_mul(rank))
            .max(entry.not_before);
        // A copy that may be there is not replaced before its holder had time to say so.
        let asked = entry.question.since.map(|it| it + self.settings.answer);
        let act = act.max(asked.unwrap_or(act));
        if act > now {
            return Some(renewed.map_or(act, |it| it.min(act)));
        }
        let key = (level, u8::MAX - entry.policy.priority);
        entry.ready = Some(key);
        self.ready.insert((key.0, key.1, *segment));
        renewed
    }

    /// While something is under way the others hear of it again.
    fn renew_lease(&mut self, now: Time, segment: &SegmentId, state: &State) -> Option<Time> {
        let lasts = self.settings.lease;
        let is_under_way = self.offered(segment).next().is_some();
        let entry = self.ledger.get_mut(segment)?;
        let is_repair = state.level.is_some_and(|it| it != Level::Place);
        if !is_under_way || !is_repair {
            entry.told = None;
            return None;
        }
        let again = entry.told.map_or(now, |it| it + lasts / 2);
        if now < again {
            return Some(again);
        }
        entry.told = Some(now);
        self.actions.push(Action::Lease {
            segment: *segment,
            lasts,
        });
        Some(now + lasts / 2)
    }

    pub(super) fn unready(&mut self, segment: &SegmentId) {
        if let Some(entry) = self.ledger.get_mut(segment)
            && let Some((level, priority)) = entry.ready.take()
        {
            self.ready.remove(&(level, priority, *segment));
        }
    }

    /// Whether one more offer may be under way; what improves places leaves half of them to repairs.
    pub(super) fn may_offer(&self) -> bool {
        let most = self.settings.at_once;
        let places = self.offers.iter().filter(|it| it.level == Level::Place);
        match self.ready.first() {
            None => false,
            Some((Level::Place, ..)) if places.count() >= (most / 2).max(1) => false,
            Some(_) => self.offers.len() < most,
        }
    }

    /// Offers what the brakes let through, the most urgent first.
    pub(super) fn spend(&mut self, now: Time) {
        while self.may_offer() && self.brakes.may_spend(now) {
            let Some((level, priority, segment)) = self.ready.pop_first() else {
                return;
            };
            let next = self.next_target(now, &segment);
            let is_last = next.is_none_or(|(_, is_last)| is_last);
            if is_last {
                if let Some(entry) = self.ledger.get_mut(&segment) {
                    entry.ready = None;
                }
            } else {
                self.ready.insert((level, priority, segment));
            }
            match next {
                Some((to, _)) => self.offer(now, segment, to, level),
                None => self.come_back(now, &segment),
            }
        }
    }

    /// The next member that should have a segment and has it not, and whether it is the last.
    fn next_target(&self, now: Time, segment: &SegmentId) -> Option<(Member, bool)> {
        let entry = self.ledger.get(segment)?;
        let declined = entry.declined.iter().filter(|(_, until)| *until > now);
        let not: Vec<_> = declined.map(|(member, _)| *member).collect();
        let offered: Vec<_> = self.offered(segment).collect();
        let is_place = entry.need.is_some_and(|it| it.level == Level::Place);
        // Only where it belongs: a second-best place would be no better than the present one.
        let passed = if is_place { &[][..] } else { &not };
        let places = self.places(segment, entry, passed);
        let (mut targets, holders) = (places.belongs, places.counted);
        let wanted = if is_place {
            targets.retain(|it| !not.contains(it));
            usize::from(offered.is_empty())
        } else {
            // A second copy on one host is none.
            let hosts = holders.iter().chain(&offered).map(|it| self.host(*it));
            let hosts: Vec<_> = hosts.collect();
            targets.retain(|it| entry.policy.everywhere || !hosts.contains(&self.host(*it)));
            let target = self.roster.under(&entry.policy).target();
            target.saturating_sub(holders.len() + offered.len())
        };
        let has = |it: &Member| {
            let mut copies = entry.copies.iter().filter(|copy| copy.verified);
            *it == self.me || copies.any(|copy| copy.member == *it) || offered.contains(it)
        };
        targets.retain(|it| !has(it));
        let next = *targets.first().filter(|_| wanted > 0)?;
        Some((next, wanted == 1 || targets.len() == 1))
    }

    /// Nobody has a place for it now. A change of the roster comes sooner than this, or an answer.
    fn come_back(&mut self, now: Time, segment: &SegmentId) {
        let Some(entry) = self.ledger.get(segment) else {
            return;
        };
        let declined = entry.declined.iter().map(|(_, until)| *until);
        let again = declined
            .filter(|it| *it > now)
            .chain([now + self.settings.backoff_max])
            .min();
        self.wake_by(segment, again);
    }

    fn offer(&mut self, now: Time, segment: SegmentId, to: Member, level: Level) {
        let Some(entry) = self.ledger.get_mut(&segment) else {
            return;
        };
        let lasts = self.settings.lease;
        if entry.told.is_none() && level != Level::Place {
            entry.told = Some(now);
            self.actions.push(Action::Lease { segment, lasts });
        }
        self.brakes.spend(entry.bytes);
        self.offers.push(Offer {
            segment,
            to,
            level,
            until: now + self.settings.offer,
        });
        self.actions.push(Action::Offer { segment, to, level });
        self.wake_by(&segment, Some(now + lasts / 2));
    }

    /// Those that are to fetch a segment.
    pub(super) fn offered(&self, segment: &SegmentId) -> impl Iterator<Item = Member> {
        let of = *segment;
        let offers = self.offers.iter().filter(move |it| it.segment == of);
        offers.map(|it| it.to)
    }

    /// An offer is over, whatever came of it. Returns whether there was one.
    pub(super) fn settle_offer(&mut self, segment: &SegmentId, member: Member) -> bool {
        let mut offers = self.offers.iter();
        let at = offers.position(|it| it.segment == *segment && it.to == member);
        at.map(|at| self.offers.swap_remove(at)).is_some()
    }

    /// Those of which nothing was heard, and those to members that are gone or about to go, have failed.
    pub(super) fn expire_offers(&mut self, now: Time) {
        let stays = |to: Member| self.roster.has(to) && self.stays(to);
        let failed = |it: &&Offer| it.until <= now || !stays(it.to);
        let failed: Vec<_> = self.offers.iter().filter(failed).copied().collect();
        for offer in failed {
            self.on_declined(now, &offer.segment, offer.to, Declined::Failed);
        }
    }

    pub(super) fn on_declined(
        &mut self,
        now: Time,
        segment: &SegmentId,
        member: Member,
        why: Declined,
    ) {
        if !self.settle_offer(segment, member) {
            return;
        }
        let (backoff, most) = (self.settings.backoff, self.settings.backoff_max);
        let Some(entry) = self.ledger.get_mut(segment) else {
            return;
        };
        let until = match why {
            Declined::NoRoom => {
                self.brakes.refund(entry.bytes);
                now + backoff * DECLINED
            }
            Declined::Failed => {
                let doubled = 1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX);
                entry.failures = entry.failures.saturating_add(1);
                let pause = backoff.saturating_mul(doubled).min(most);
                entry.not_before = entry.not_before.max(now + pause);
                now + pause * 2
            }
        };
        entry.pass_over(now, member, until);
        self.look(now, segment);
    }

    /// A member said that it has it not, or (`broke`) that it has it, which was not so.
    pub(super) fn on_holds_not(
        &mut self,
        now: Time,
        segment: &SegmentId,
        member: Member,
        broke: bool,
    ) {
        let was = self.ledger.strike(segment, member);
        let pause = if broke {
            self.settings.distrust
        } else {
            self.settings.backoff * DECLINED
        };
        if let Some(entry) = self.ledger.get_mut(segment)
            && (was || broke)
        {
            entry.pass_over(now, member, now + pause);
            if broke {
                entry.broke.retain(|(_, until)| *until > now);
                if entry.broke.len() < DECLINED_MAX {
                    entry.broke.push((member, now + pause));
                }
            }
        }
        self.look(now, segment);
    }

    pub(super) fn on_lease(&mut self, now: Time, segment: &SegmentId, lasts: Time) {
        let lasts = lasts.min(self.settings.lease);
        if let Some(entry) = self.ledger.get_mut(segment)
            && entry.leases < LEASES
        {
            entry.leases += 1;
            entry.not_before = entry.not_before.max(now + lasts);
            self.look(now, segment);
        }
    }
}

impl Entry {
    /// This member is not asked to take it until then.
    fn pass_over(&mut self, now: Time, member: Member, until: Time) {
        let old = self.declined.iter().find(|(other, _)| *other == member);
        let until = old.map_or(until, |(_, old)| until.max(*old));
        self.declined
            .retain(|(other, until)| *other != member && *until > now);
        if self.declined.len() < DECLINED_MAX {
            self.declined.push((member, until));
        }
    }
}

/// What is to be done now, after what was. It never comes later by getting worse: the wait of each level runs
/// since it was reached, through all worse ones. What is due stays so until all is restored.
fn need(old: Option<Need>, level: Level, waits: &[Time; 4], now: Time, jitter: Time) -> Need {
    let is_same_kind = |it: &Need| (it.level == Level::Place) == (level == Level::Place);
    let old = old.filter(is_same_kind);
    let mut since = old.map_or([None; 4], |it| it.since);
    let jitter = old.map_or(jitter, |it| it.jitter);
    let first = level as usize;
    since[..first].fill(None);
    let last = if level == Level::Place {
        Level::Place
    } else {
        Level::Below
    };
    let mut due = Time::MAX;
    for (since, wait) in since
        .iter_mut()
        .zip(waits)
        .take(last as usize + 1)
        .skip(first)
    {
        let since = *since.get_or_insert(now);
        due = due.min(since.saturating_add(*wait).saturating_add(jitter));
    }
    if let Some(old) = old.filter(|it| it.due <= now) {
        due = old.due;
    }
    Need {
        level,
        since,
        due,
        jitter,
    }
}
