//! [`Standing`]: what is remembered of one member.

use std::collections::VecDeque;
use std::time::Duration;

use super::{SILENCES, Settings, Time, Unkept, WRONGS};

/// What a wrong answer weighs.
const WRONG: f64 = 1.0;
/// What a late one does: a busy disk is late now and then, one that has to fetch is so each time.
const LATE: f64 = 0.1;
/// What it does that a copy is not there which it said it had. A disk rots, and then its owner finds out most by itself;
/// who drops what was acknowledged is found by each audit.
const MISSING: f64 = 0.2;
/// What it does not to keep one's word once in [`Settings::pause`].
const UNKEPT: f64 = 0.1;
/// No more than this is held against anybody: it is a sixteenth of that after four half-lives.
const WEIGHT_MAX: f64 = 16.0;

/// What weighs against a member, and whether it is silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// As it was at `since`; it decays.
    weight: f64,
    since: Time,
    /// The latest lies, no more than [`WRONGS`].
    lies: VecDeque<Time>,
    /// Until then what it does not keep has been held against it.
    excused_until: Time,
    refused_until: Time,
    /// Until then its word alone is not taken.
    doubted_until: Time,
    /// Challenges in a row without an answer, up to one more than [`SILENCES`].
    silences: u8,
    rests_until: Time,
}

impl Standing {
    pub(super) fn takes(&self, now: Time) -> bool {
        now >= self.refused_until
    }

    pub(super) fn is_believed(&self, now: Time) -> bool {
        now >= self.doubted_until
    }

    pub(super) fn rests(&self, now: Time) -> bool {
        now < self.rests_until
    }

    pub(super) const fn silences(&self) -> u8 {
        self.silences
    }

    pub(super) fn score(&self, now: Time, half_life: Duration) -> f64 {
        1.0 / (1.0 + self.weight(now, half_life))
    }

    /// It answered, whatever it said.
    pub(super) fn heard(&mut self) {
        self.silences = 0;
        self.rests_until = Time::ZERO;
    }

    pub(super) fn late(&mut self, now: Time, settings: &Settings) {
        self.weigh(LATE, now, settings);
    }

    pub(super) fn missing(&mut self, now: Time, settings: &Settings) {
        self.weigh(MISSING, now, settings);
    }

    pub(super) fn wrong(&mut self, now: Time, settings: &Settings) {
        self.weigh(WRONG, now, settings);
        self.doubted_until = now + settings.doubt;
        self.lied(now, settings);
    }

    /// It did not keep what it says of itself. Many offers are made at once: within a pause that is one thing.
    pub(super) fn unkept(&mut self, what: Unkept, now: Time, settings: &Settings) {
        if now < self.excused_until {
            return;
        }
        self.excused_until = now + settings.pause;
        self.weigh(UNKEPT, now, settings);
        if what == Unkept::Room {
            self.lied(now, settings);
        }
    }

    fn lied(&mut self, now: Time, settings: &Settings) {
        if self.lies.len() >= WRONGS {
            self.lies.pop_front();
        }
        self.lies.push_back(now);
        let first = self.lies.front().copied().unwrap_or(now);
        if self.lies.len() >= WRONGS && now.saturating_sub(first) <= settings.refusal {
            self.refused_until = now + settings.refusal;
        }
    }

    /// It did not answer. Until when it is left alone: each time four times as long, up to the time after
    /// that at which it counts as offline.
    pub(super) fn silent(&mut self, now: Time, rest: Duration) -> Time {
        let times = 4_u32.pow(self.silences.min(SILENCES).into());
        self.silences = (self.silences + 1).min(SILENCES + 1);
        self.rests_until = now + rest * times;
        self.rests_until
    }

    fn weigh(&mut self, more: f64, now: Time, settings: &Settings) {
        let weight = self.weight(now, settings.half_life) + more;
        self.weight = weight.min(WEIGHT_MAX);
        self.since = now;
    }

    fn weight(&self, now: Time, half_life: Duration) -> f64 {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        let half_life = half_life.as_secs_f64().max(f64::MIN_POSITIVE);
        self.weight * (-passed / half_life).exp2()
    }
}
