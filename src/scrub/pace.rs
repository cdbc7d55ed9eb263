//! How fast a scrub goes: as slowly as gets it through in time, and never so fast that others notice.

use std::time::Duration;

/// Before the first step, since whoever starts a node wants something else from the disk first.
pub(super) const FIRST: Duration = Duration::from_secs(60);
/// No pause is longer, so that a store that has grown meanwhile is noticed.
const LONGEST: Duration = Duration::from_secs(3600);
/// Three parts of the time belong to others, even when it is late.
const SHARE: u32 = 3;
/// Bytes of one step.
const STEP: u64 = 16 << 20;

/// Where a scrub stands.
#[derive(Debug)]
pub(super) struct Pace {
    /// A pass takes so long.
    pub(super) interval: Duration,
    /// Since it began.
    pub(super) elapsed: Duration,
    /// Bytes in the store.
    pub(super) total: u64,
    /// Bytes that were looked at.
    pub(super) done: u64,
    /// Whether everything was.
    pub(super) is_done: bool,
    /// How long the last step took.
    pub(super) took: Duration,
}

/// How long to wait before the next step.
pub(super) fn pause(pace: &Pace) -> Duration {
    if pace.is_done {
        return pace.interval.saturating_sub(pace.elapsed).min(LONGEST);
    }
    // A little early, for what the steps themselves take.
    let left = (pace.interval / 20 * 19).saturating_sub(pace.elapsed);
    let steps = pace.total.saturating_sub(pace.done).div_ceil(STEP).max(1);
    let even = left / u32::try_from(steps).unwrap_or(u32::MAX);
    even.clamp(Duration::ZERO, LONGEST).max(pace.took * SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A scrub of `total` bytes, of which each step takes `took`: how long a pass lasts.
    fn pass(total: u64, took: Duration) -> Duration {
        let mut pace = Pace {
            interval: 30 * DAY,
            elapsed: Duration::ZERO,
            total,
            done: 0,
            is_done: false,
            took,
        };
        while pace.done < total {
            pace.done += STEP;
            pace.elapsed += took;
            pace.is_done = pace.done >= total;
            if !pace.is_done {
                pace.elapsed += pause(&pace);
            }
        }
        pace.elapsed
    }

    #[test]
    fn a_pass_ends_within_its_interval_and_takes_most_of_it() {
        let took = Duration::from_millis(50);
        for total in [200 << 30, 1 << 40] {
            let lasts = pass(total, took);
            assert!(lasts <= 30 * DAY && lasts > 25 * DAY, "{total}: {lasts:?}");
        }
        assert!(pass(1 << 30, took) < 3 * DAY, "no pause is too long");
    }

    #[test]
    fn one_that_is_late_leaves_the_disk_to_others_still() {
        let pace = Pace {
            interval: DAY,
            elapsed: 2 * DAY,
            total: 1 << 40,
            done: 0,
            is_done: false,
            took: Duration::from_millis(100),
        };
        assert_eq!(pause(&pace), Duration::from_millis(300));
    }
}
