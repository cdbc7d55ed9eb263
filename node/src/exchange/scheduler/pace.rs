//! [`Pace`]: how much to ask of one peer, and how long to wait for it.
//!
//! Slow start, at most to twice what the rate so far asks for, then a window of the delivery rate × (least round trip + [`SLACK`]): so much that the
//! peer never runs dry, so little that a peer that dies holds little hostage. The rate is measured as
//! BBR does it: what was delivered between a request's sending and its answer, over that time; the
//! best of the last [`MEMORY`] counts.

use std::collections::VecDeque;
use std::time::Duration;

use super::Time;

/// What a peer may owe us before anything is known of it. Two requests, so that one is always on its
/// way while the other is answered.
const FIRST_WINDOW: u64 = 2 << 20;
/// The window is never less: a peer that became slow must be able to show that it is fast again.
const LEAST_WINDOW: u64 = 128 << 10;
/// Beyond the round trip, for the peer's disk and our verification (DESIGN §5.5).
pub(super) const SLACK: Duration = Duration::from_millis(300);
/// No round trip is longer: what takes longer is the transfer itself.
const LONGEST_TRIP: Duration = Duration::from_secs(1);
/// An answer that took longer than this came through a full pipe: slow start is over.
const FULL: Duration = Duration::from_secs(2);
/// How long a measured rate counts.
const MEMORY: Duration = Duration::from_secs(3);
/// How many of them are kept: at most this many answers matter within [`MEMORY`].
const SAMPLES: usize = 16;
/// Slow start ends after this many round trips that brought less than a quarter more.
const FLAT_ROUNDS: u32 = 3;
/// The largest request in bytes: half the largest answer, so that a misjudged leaf still fits.
const LARGEST_REQUEST: u64 = 4 << 20;
/// The smallest, where the window allows it: below this, requests cost more than their bytes.
const SMALLEST_REQUEST: u64 = 256 << 10;
/// How long a peer of unknown rate may take for a question. It may have to dial, and read a cold disk.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// The same for its first leaf: its uplink may be shared by many. Where others could bring the leaf
/// sooner it is copied at the end.
const FIRST_LEAF: Duration = Duration::from_secs(20);
/// No deadline is shorter: a machine that swaps or compacts stands still for a second or two.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// No deadline is longer, however slow the peer: others may be faster.
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// What was known when a request was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    at: Time,
    delivered: u64,
}

#[derive(Debug)]
pub(super) struct Pace {
    window: u64,
    limit: u64,
    slow_start: bool,
    delivered: u64,
    /// (when, bytes per second)
    rates: VecDeque<(Time, u64)>,
    least_trip: Option<Duration>,
    round_began: Time,
    round_best: u64,
    flat_rounds: u32,
}

impl Pace {
    /// For a peer that may owe us at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            window: FIRST_WINDOW.min(limit),
            limit,
            slow_start: true,
            delivered: 0,
            rates: VecDeque::with_capacity(SAMPLES),
            least_trip: None,
            round_began: Time::ZERO,
            round_best: 0,
            flat_rounds: 0,
        }
    }

    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.window = self.window.min(limit.max(LEAST_WINDOW));
    }

    pub(super) const fn sent(&self, now: Time) -> Sent {
        Sent {
            at: now,
            delivered: self.delivered,
        }
    }

    /// An answer of `bytes` has come.
    pub(super) fn received(&mut self, now: Time, sent: Sent, bytes: u64) {
        let took = now.saturating_sub(sent.at).max(Duration::from_micros(100));
        self.least_trip = Some(self.least_trip.map_or(took, |least| least.min(took)));
        self.delivered += bytes;
        if bytes == 0 {
            return;
        }
        while self.rates.len() == SAMPLES
            || self.rates.front().is_some_and(|(at, _)| *at + MEMORY < now)
        {
            self.rates.pop_front();
        }
        self.rates
            .push_back((now, per_second(self.delivered - sent.delivered, took)));
        let trip = self.least_trip.unwrap_or_default().min(LONGEST_TRIP) + SLACK;
        let filled = in_time(self.rate().unwrap_or_default(), trip).saturating_mul(2);
        if took > FULL || self.window > filled.max(FIRST_WINDOW) {
            self.slow_start = false;
        }
        if self.slow_start {
            self.window += bytes;
            if sent.at >= self.round_began {
                self.end_round(now);
            }
        }
        if !self.slow_start {
            self.window = in_time(self.rate().unwrap_or_default(), trip);
        }
        self.window = self
            .window
            .clamp(LEAST_WINDOW, self.limit.max(LEAST_WINDOW));
    }

    fn end_round(&mut self, now: Time) {
        let rate = self.rate().unwrap_or_default();
        self.round_began = now;
        if rate >= self.round_best + self.round_best / 4 {
            self.round_best = rate;
            self.flat_rounds = 0;
            return;
        }
        self.flat_rounds += 1;
        self.slow_start = self.flat_rounds < FLAT_ROUNDS;
    }

    /// Bytes per second; `None` before the first answer.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rates.iter().map(|(_, rate)| *rate).max()
    }

    /// How many bytes the peer may owe us.
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// How many bytes to ask for at once: at most a second of the peer's rate, and a third of its
    /// window, so that the next is asked for while two are still to come.
    pub(super) fn request_size(&self) -> u64 {
        let second = self.rate().unwrap_or(FIRST_WINDOW).max(SMALLEST_REQUEST);
        LARGEST_REQUEST.min(second).min(self.window / 3)
    }

    /// The least round trip.
    pub(super) fn trip(&self) -> Duration {
        self.least_trip.unwrap_or(LONGEST_TRIP).min(LONGEST_TRIP)
    }

    /// The peer was silent and is back: what it did before says nothing of now.
    pub(super) fn restart(&mut self) {
        self.rates.clear();
        self.slow_start = false;
        self.window = LEAST_WINDOW;
    }

    /// How long to wait for the next leaf, of so many bytes.
    pub(super) fn leaf_patience(&self, bytes: u64) -> Duration {
        self.rate().map_or(FIRST_LEAF, |_| self.patience(bytes))
    }

    /// How long to wait for an answer when the peer will owe us `queued` bytes with it.
    pub(super) fn patience(&self, queued: u64) -> Duration {
        let Some(rate) = self.rate() else {
            return FIRST_PATIENCE;
        };
        let takes = self.least_trip.unwrap_or_default() + takes(queued, rate);
        takes.saturating_mul(4).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "microseconds of a session fit in 64 bits"
)]
fn per_second(bytes: u64, took: Duration) -> u64 {
    bytes.saturating_mul(1_000_000) / (took.as_micros() as u64).max(1)
}

/// How long `bytes` take at this rate.
pub(super) fn takes(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}

/// How many bytes come in this time.
#[allow(
    clippy::cast_possible_truncation,
    reason = "microseconds of a session fit in 64 bits"
)]
pub(super) fn in_time(rate: u64, time: Duration) -> u64 {
    (rate / 1000).saturating_mul(time.as_micros() as u64) / 1000
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "made-up rates are small")]
mod tests {
    use super::*;

    /// Drives a pace against a peer of `rate` bytes per second and `trip`: the window after `answers`.
    fn settle(rate: u64, trip: Duration, answers: u32) -> Pace {
        let mut pace = Pace::new(16 << 20);
        let mut pipe: VecDeque<(Sent, Time, u64)> = VecDeque::new();
        let (mut now, mut free, mut owed) = (Time::ZERO, Time::ZERO, 0);
        for _ in 0..answers {
            while pipe.is_empty() || owed + pace.request_size() <= pace.window() {
                let bytes = pace.request_size();
                free = free.max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
                pipe.push_back((pace.sent(now), free + trip, bytes));
                owed += bytes;
            }
            let (sent, at, bytes) = pipe.pop_front().unwrap();
            now = at;
            owed -= bytes;
            pace.received(now, sent, bytes);
        }
        pace
    }

    #[test]
    fn the_window_settles_above_the_product_of_rate_and_round_trip() {
        let (rate, trip) = (10 << 20, Duration::from_millis(100));
        let pace = settle(rate, trip, 200);
        let product = rate / 10;
        assert!(pace.window() >= product, "{}", pace.window());
        assert!(pace.window() <= 8 * product, "{}", pace.window());
        let measured = pace.rate().unwrap();
        assert!(
            (rate * 8 / 10..=rate * 12 / 10).contains(&measured),
            "{measured}"
        );
    }

    #[test]
    fn a_fast_peer_gets_the_largest_window_and_no_more() {
        assert_eq!(
            settle(4 << 30, Duration::from_millis(1), 100).window(),
            16 << 20
        );
    }

    #[test]
    fn a_slow_peer_is_asked_for_little_and_given_time() {
        let pace = settle(64 << 10, Duration::from_millis(50), 20);
        assert_eq!(pace.window(), LEAST_WINDOW);
        assert!(pace.request_size() <= 256 << 10);
        assert!(pace.patience(256 << 10) >= Duration::from_secs(4));
    }
}
