//! Who comes and who goes: what a record changes, and for how long those who are gone are remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use store::wire::member::{MemberId, MemberRole, MemberState};

use super::ask::Action;
use super::core::Core;
use super::marks::Standing;
use super::record::Verified;
use super::settings::MAX_MEMBERS;

impl Core {
    /// A member's own word. Says whether it is news.
    pub(super) fn learn(&mut self, record: Arc<Verified>, now: Instant) -> bool {
        let id = record.id();
        if id == self.id() {
            // Of an earlier life, when the machine's clock was ahead.
            if record.supersedes(self.author.current()) {
                self.refute(record.version());
            }
            return false;
        }
        if record.record().role == MemberRole::Client {
            return false;
        }
        let known = self.roster.get(&id);
        if known.is_some_and(|known| !record.supersedes(known))
            || (known.is_none() && !self.has_room())
        {
            return false;
        }
        let was_in = self.roster.is_in(&id);
        let left = record.record().state == MemberState::Left;
        let mut returned = false;
        self.suspects.remove(&id);
        self.awaited.met(&id);
        self.roster.put(Arc::clone(&record));
        if left {
            if was_in {
                tracing::info!(member = ?id, "has left");
            }
            self.part(id, Standing::Left(now));
        } else {
            if let Some(mark) = self.marks.existing(&id) {
                if matches!(mark.standing, Standing::Gone(_) | Standing::Left(_)) {
                    tracing::info!(member = ?id, "has returned");
                    returned = true;
                }
                mark.standing = Standing::Alive;
            }
            if returned {
                self.pull_soon(now);
            }
            if !was_in {
                self.neighbours.joined(&self.roster, id);
                self.greet_later(id, now);
            }
            self.act(Action::Heard(record));
        }
        true
    }

    /// Whether one more record can be kept; those who are gone for longest make room.
    fn has_room(&mut self) -> bool {
        if self.roster.len() < MAX_MEMBERS {
            return true;
        }
        let gone = self
            .marks
            .iter()
            .filter_map(|(id, mark)| match mark.standing {
                Standing::Gone(since) | Standing::Left(since) => Some((since, *id)),
                _ => None,
            });
        let longest = gone.min();
        if let Some((_, id)) = longest {
            self.roster.forget(&id);
            self.marks.remove(&id);
        }
        longest.is_some()
    }

    /// Of two that find each other, one dials first: else there would be two connections.
    fn greet_later(&mut self, id: MemberId, now: Instant) {
        let first = self.id() < id;
        let wait = self.rng.random_range(0.0..0.5) + if first { 0.0 } else { 3.0 };
        let wait = self.settings.probe.mul_f64(wait);
        if !self.marks.is_linked(&id) && self.neighbours.contains(&self.roster, &id) {
            self.marks.of(id).redial.not_before = Some(now + wait);
        }
    }

    pub(super) fn part(&mut self, id: MemberId, standing: Standing) {
        self.roster.put_out(&id);
        self.neighbours.parted(&self.roster, &id);
        self.marks.of(id).standing = standing;
        self.probes.drop(&id);
    }

    /// After a partition neither side looks for the other any more: each member dials one of the gone now
    /// and then.
    pub(super) fn try_the_gone(&mut self) {
        let gone = self
            .marks
            .iter()
            .filter(|(_, mark)| matches!(mark.standing, Standing::Gone(_)) && mark.link.is_none());
        let awaited = self.awaited.iter().map(|(record, _)| record.id());
        let gone: Vec<_> = gone.map(|(id, _)| *id).chain(awaited).collect();
        if !gone.is_empty() {
            let id = gone[self.rng.random_range(0..gone.len())];
            self.act(Action::Dial(id));
        }
    }

    /// What has been remembered for long enough.
    pub(super) fn forget_the_gone(&mut self, now: Instant) {
        let old = |since: &Instant, after: Duration| now.saturating_duration_since(*since) > after;
        let forget = self.settings.forget;
        let over = self.marks.iter().filter(|(_, mark)| match &mark.standing {
            Standing::Gone(since) | Standing::Left(since) => old(since, forget),
            _ => false,
        });
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.roster.forget(&id);
            self.marks.remove(&id);
        }
        self.awaited.forget(forget, now);
        self.marks.tidy(now);
    }
}
