//! [`Rate`]: bytes per second over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back it looks.
const SPAN: Duration = Duration::from_secs(3);

/// A counter's recent growth.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When, and what the counter said: one for each of the driver's reports within [`SPAN`].
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    /// Notes the counter; bytes per second since the oldest note within [`SPAN`].
    pub(super) fn note(&mut self, now: Duration, bytes: u64) -> u64 {
        while self.samples.front().is_some_and(|(at, _)| *at + SPAN < now) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, bytes));
        let (first, before) = self.samples[0];
        let millis = now.saturating_sub(first).as_millis();
        let per_second = u128::from(bytes - before) * 1000 / millis.max(1);
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.note(Duration::ZERO, 0), 0);
        assert_eq!(rate.note(Duration::from_secs(1), 1000), 1000);
        assert_eq!(rate.note(Duration::from_secs(3), 3000), 1000);
        assert_eq!(rate.note(Duration::from_secs(6), 3000), 0);
    }
}
