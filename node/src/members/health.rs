//! [`LocalHealth`]: how far one trusts one's own clock and links (Lifeguard, §IV.A). Who is slow itself takes
//! others for slow; so it waits longer before it says so.

use std::time::Duration;

/// The highest score: with waits four times as long, a dead member is still found within half a minute.
const MAX: u32 = 3;

/// A score that own failures raise and answers lower.
#[derive(Debug, Default)]
pub(crate) struct LocalHealth {
    score: u32,
}

impl LocalHealth {
    /// Something went wrong that may be one's own fault.
    pub(crate) fn worse(&mut self) {
        self.score = (self.score + 1).min(MAX);
    }

    /// A probe was answered in time.
    pub(crate) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// How long to wait instead of `time`.
    pub(crate) fn stretch(&self, time: Duration) -> Duration {
        time * (1 + self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_own_failures_and_shrink_again() {
        let (mut health, second) = (LocalHealth::default(), Duration::from_secs(1));
        assert_eq!(health.stretch(second), second);
        (0..10).for_each(|_| health.worse());
        assert_eq!(health.stretch(second), second * 4);
        (0..10).for_each(|_| health.better());
        assert_eq!(health.stretch(second), second);
    }
}
