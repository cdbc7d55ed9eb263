//! [`Suspicion`]: that a member may be gone, who says so, and when it becomes certainty.

use std::time::{Duration, Instant};

use store::wire::member::MemberId;

use super::settings::{ENOUGH_ACCUSERS, Settings};

/// Suspicions that nobody else shares are dropped after so many times the longest wait.
const LAPSE: u32 = 3;

/// Whoever accuses a member, of the version of its record that we know.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    since: Instant,
    /// No more than [`ENOUGH_ACCUSERS`]: further ones change nothing.
    accusers: Vec<MemberId>,
}

/// What has become of a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    /// It has not been refuted.
    Certain,
    /// One alone accused, and nobody else for long.
    Lapsed,
}

impl Suspicion {
    pub(crate) fn new(accuser: MemberId, now: Instant) -> Self {
        Self {
            since: now,
            accusers: vec![accuser],
        }
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Says whether that is news.
    pub(crate) fn add(&mut self, accuser: MemberId) -> bool {
        let news = self.accusers.len() < ENOUGH_ACCUSERS && !self.accusers.contains(&accuser);
        if news {
            self.accusers.push(accuser);
        }
        news
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.accusers.len() >= ENOUGH_ACCUSERS
    }

    /// `needed`: accusers without whom it stays a suspicion.
    pub(crate) fn outcome(&self, needed: usize, settings: &Settings, now: Instant) -> Outcome {
        let age = now.saturating_duration_since(self.since);
        if self.accusers.len() >= needed && age >= self.wait(settings) {
            Outcome::Certain
        } else if age >= settings.suspicion_max * LAPSE {
            Outcome::Lapsed
        } else {
            Outcome::Open
        }
    }

    /// Lifeguard's rule (§IV.B): the more accuse independently, the sooner; the first steps do most.
    #[allow(clippy::cast_precision_loss, reason = "a handful of accusers")]
    fn wait(&self, settings: &Settings) -> Duration {
        let (min, max) = (settings.suspicion_min, settings.suspicion_max);
        let confirmed = (self.accusers.len() as f64).ln() / (ENOUGH_ACCUSERS as f64).ln();
        max.saturating_sub(max.saturating_sub(min).mul_f64(confirmed.min(1.0)))
            .max(min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn more_accusers_make_it_certain_sooner_and_one_never() {
        let (settings, now) = (Settings::default(), Instant::now());
        let mut suspicion = Suspicion::new(MemberId([0; 32]), now);
        let mut waits = Vec::new();
        for n in 1..ENOUGH_ACCUSERS {
            waits.push(suspicion.wait(&settings));
            assert!(suspicion.add(MemberId([u8::try_from(n).unwrap(); 32])));
        }
        waits.push(suspicion.wait(&settings));
        assert!(waits.is_sorted_by(|a, b| a > b), "{waits:?}");
        assert_eq!((waits[0], waits[3]), (14 * SECOND, 6 * SECOND));
        assert!(!suspicion.add(MemberId([9; 32])), "there are enough");

        let alone = Suspicion::new(MemberId([0; 32]), now);
        assert_eq!(
            alone.outcome(2, &settings, now + 40 * SECOND),
            Outcome::Open
        );
        assert_eq!(
            alone.outcome(2, &settings, now + 42 * SECOND),
            Outcome::Lapsed
        );
        assert_eq!(
            alone.outcome(1, &settings, now + 14 * SECOND),
            Outcome::Certain
        );
    }

    #[test]
    fn the_same_accuser_counts_once() {
        let mut suspicion = Suspicion::new(MemberId([0; 32]), Instant::now());
        assert!(!suspicion.add(MemberId([0; 32])));
        assert!(!suspicion.is_enough());
    }
}
