//! [`Gate`]: how much may wait in all pipes together.
//!
//! What waits in a pipe is decided: whose turn comes first, and which leaf, cannot be chosen any more, and
//! no cancel finds it. So no more waits than the links take in a quarter of a second, however many
//! askers there are. What they take is measured; whether it is the uplink that holds them up, or they
//! themselves, shows when more is let in: if they take more together, then more is let in again.

use std::time::Duration;

use crate::exchange::scheduler::Time;

/// What may wait before anything was measured, and at least; and two pieces of any size, so that one is
/// read while the other leaves.
const LEAST: u64 = 1 << 20;
/// So long, at the rate of all.
const DEPTH_MS: u64 = 250;
/// How long what was found counts until it is tried again.
const SETTLED: Duration = Duration::from_secs(3);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Gate {
    /// What may wait, at least.
    room: u64,
    /// Bytes per second while there was something to take, in the last sample.
    rate: u64,
    /// The rate before `room` was doubled; `None` while nothing is tried.
    before: Option<u64>,
    /// When to try again.
    try_at: Time,
    /// The most that waited since then.
    most: u64,
    /// Somebody was kept waiting since then, and before.
    was_shut: bool,
    was_shut_before: bool,
}

impl Gate {
    pub(super) const fn new() -> Self {
        Self {
            room: LEAST,
            rate: 0,
            before: None,
            try_at: Time::ZERO,
            most: 0,
            was_shut: false,
            was_shut_before: false,
        }
    }

    /// Whether `bytes` more may wait beside those of others; of at most `limit`.
    pub(super) fn lets_in(&mut self, others: u64, bytes: u64, limit: u64) -> bool {
        let room = self.room.max(self.rate / 1000 * DEPTH_MS).min(limit);
        let opens = others <= bytes || others + bytes <= room;
        if opens {
            self.most = self.most.max(others + bytes);
        } else {
            self.was_shut = true;
        }
        opens
    }

    /// Whether somebody was kept waiting lately.
    pub(super) const fn is_shut(&self) -> bool {
        self.was_shut || self.was_shut_before
    }

    /// So many bytes per second were taken, in the sample that is complete now.
    pub(super) fn measured(&mut self, now: Time, rate: u64, limit: u64) {
        self.rate = rate;
        self.was_shut_before = std::mem::take(&mut self.was_shut);
        if self.was_shut_before {
            self.judge(now, limit);
        }
        self.most = 0;
    }

    fn judge(&mut self, now: Time, limit: u64) {
        match self.before {
            Some(before) if self.rate < before.saturating_add(before / 4) => {
                self.room = (self.room / 2).max(LEAST);
                self.before = None;
                self.try_at = now + SETTLED;
            }
            None if now < self.try_at => {}
            _ => {
                self.before = Some(self.rate);
                let most = self.room.max(self.most);
                self.room = (most * 2).min(limit.max(LEAST));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipe::Meter;
    use super::*;

    const LIMIT: u64 = 64 << 20;

    /// Lets leaves of 1 MiB in for ten seconds, to be taken at a rate that depends on how many wait: the
    /// most that waited in the last five.
    fn settle(rate: impl Fn(u64) -> u64) -> u64 {
        let (mut gate, mut held, mut most) = (Gate::new(), 0, 0);
        let mut meter = Meter::default();
        for tick in 0..10_000 {
            let now = Duration::from_millis(tick);
            while gate.lets_in(held, 1 << 20, LIMIT) {
                held += 1 << 20;
                meter.begin(now);
            }
            if tick >= 5000 {
                most = most.max(held);
            }
            let taken = (rate(held) / 1000).min(held);
            held -= taken;
            if let Some(rate) = meter.took(now, taken, held == 0) {
                gate.measured(now, rate, LIMIT);
            }
        }
        most
    }

    #[test]
    fn behind_a_slow_uplink_little_waits_however_many_ask() {
        assert!(settle(|_| 6 << 20) <= 4 << 20);
    }

    #[test]
    fn those_that_take_slowly_each_all_have_something() {
        // A tenth of what waits, each second: each asker takes at its own rate.
        assert!(settle(|held| held / 10) >= LIMIT / 2);
    }

    #[test]
    fn a_fast_uplink_is_not_held_up() {
        assert!(settle(|_| 400 << 20) >= 32 << 20);
    }
}
