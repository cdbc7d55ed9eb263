//! [`Standing`]: what is remembered of one member.

use std::collections::VecDeque;
use std::time::Duration;

use super::{SILENCES, Settings, Time, WRONGS};

/// What a wrong answer weighs.
const WRONG: f64 = 1.0;
/// What a late one does: a busy disk is late now and then, one that has to fetch is so each time.
const LATE: f64 = 0.1;
/// No more than this is held against anybody: it is a sixteenth of that after four half-lives.
const WEIGHT_MAX: f64 = 16.0;

/// What weighs against a member, and whether it is silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// As it was at `since`; it decays.
    weight: f64,
    since: Time,
    /// The latest wrong answers, no more than [`WRONGS`].
    wrongs: VecDeque<Time>,
    refused_until: Time,
    /// Challenges in a row without an answer, up to one more than [`SILENCES`].
    silences: u8,
    rests_until: Time,
}

impl Standing {
    pub(super) fn takes(&self, now: Time) -> bool {
        now >= self.refused_until
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

    pub(super) fn wrong(&mut self, now: Time, settings: &Settings) {
        self.weigh(WRONG, now, settings);
        if self.wrongs.len() >= WRONGS {
            self.wrongs.pop_front();
        }
        self.wrongs.push_back(now);
        let first = self.wrongs.front().copied().unwrap_or(now);
        if self.wrongs.len() >= WRONGS && now.saturating_sub(first) <= settings.refusal {
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
