//! Links: an uplink sends one chunk at a time and takes turns among those who wait; a downlink takes
//! chunks as they come. What a downlink cannot take soon is not sent: others have their turn.

use std::time::Duration;

use super::super::Time;

/// So much is sent before another asker has its turn.
pub(super) const CHUNK: u64 = 64 << 10;
/// What a downlink may be behind by: more stays with the sender, as TCP's window would have it.
pub(super) const BACKLOG: Duration = Duration::from_millis(200);
/// What a lost packet costs.
pub(super) const RETRANSMIT: Duration = Duration::from_millis(200);

/// How long `bytes` take at `rate` bytes per second.
pub(super) fn lasts(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

/// A receiving link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Downlink {
    pub(super) rate: u64,
    free: Time,
}

impl Downlink {
    pub(super) const fn new(rate: u64) -> Self {
        Self {
            rate,
            free: Time::ZERO,
        }
    }

    /// Whether a sender is to wait, and until when.
    pub(super) fn full_until(&self, now: Time) -> Option<Time> {
        (self.free > now + BACKLOG).then(|| self.free.saturating_sub(BACKLOG))
    }

    /// Takes a chunk whose first bit comes at `first` and whose last at `last`: when it is here.
    pub(super) fn take(&mut self, first: Time, last: Time, bytes: u64) -> Time {
        let takes = lasts(bytes, self.rate);
        let here = (self.free + takes).max(last);
        // A slow sender's chunk leaves room for others'.
        self.free = self.free.max(first) + takes;
        here
    }
}
