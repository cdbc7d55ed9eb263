//! [`Bucket`]: one bandwidth limit. Pure: time is an argument.
//!
//! A token bucket in the form of the generic cell rate algorithm (ITU-T I.371, annex A): whoever wants
//! to send is told when he may, in the order in which they ask. What does not fit the bucket is not
//! refused but owed: a block of 2 MiB may go at a rate of 100 KiB/s, and the next one waits for it.

use std::time::Duration;

/// Since some moment that does not change.
pub(super) type Time = Duration;

/// What may go at once after a pause, in time at the rate: a hundredth of the ten seconds over which
/// limits are to hold to a twentieth.
const BURST: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Bytes per second; `None`: no limit.
    rate: Option<u64>,
    /// When all that was let through so far has gone at the rate.
    clear: Time,
}

impl Bucket {
    pub(super) const fn new(rate: Option<u64>) -> Self {
        let clear = Time::ZERO;
        Self { rate, clear }
    }

    pub(super) const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Another rate from now on: what is owed is owed at the new one.
    pub(super) fn set(&mut self, now: Time, rate: Option<u64>) {
        if rate == self.rate {
            return;
        }
        let owed = self.clear.saturating_sub(now);
        if let (Some(old), Some(new)) = (self.rate, rate) {
            let bytes = owed.as_nanos() * u128::from(old) / 1_000_000_000;
            self.clear = now + duration(bytes, new);
        } else {
            self.clear = now;
        }
        self.rate = rate;
    }

    /// When `bytes` more may go: now, or later. They count as sent then.
    pub(super) fn reserve(&mut self, now: Time, bytes: u64) -> Time {
        let Some(rate) = self.rate else { return now };
        let when = now.max(self.clear.saturating_sub(BURST));
        self.clear = self.clear.max(now) + duration(bytes.into(), rate);
        when
    }
}

fn duration(bytes: u128, rate: u64) -> Duration {
    let nanos = bytes * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    /// Bytes that go within `length` when as much as may be is sent, in pieces of `piece`.
    fn sent(bucket: &mut Bucket, from: Time, length: Duration, piece: u64) -> u64 {
        let (mut now, mut sent) = (from, 0);
        while now < from + length {
            now = now.max(bucket.reserve(now, piece));
            if now < from + length {
                sent += piece;
            }
        }
        sent
    }

    #[test]
    fn limits_hold_to_a_twentieth_over_ten_seconds() {
        let ten = Duration::from_secs(10);
        for rate in [256 * KIB, 2048 * KIB, 100 << 20] {
            // From the start, and after a pause of an hour.
            let mut bucket = Bucket::new(Some(rate));
            for from in [Time::ZERO, Duration::from_secs(3600)] {
                let sent = sent(&mut bucket, from, ten, 16 * KIB);
                let share = sent * 1000 / (rate * 10);
                assert!(
                    (950..=1050).contains(&share),
                    "{rate}: {share} of a thousand"
                );
            }
        }
    }

    #[test]
    fn what_is_larger_than_the_bucket_goes_and_is_owed() {
        let mut bucket = Bucket::new(Some(100 * KIB));
        assert_eq!(bucket.reserve(Time::ZERO, 2048 * KIB), Time::ZERO);
        let next = bucket.reserve(Time::ZERO, 1);
        assert!(next > Duration::from_secs(20), "{next:?}");
    }

    #[test]
    fn another_rate_counts_from_the_moment_it_is_set() {
        let mut bucket = Bucket::new(Some(100 * KIB));
        bucket.reserve(Time::ZERO, 1000 * KIB);
        bucket.set(Time::ZERO, Some(1000 * KIB));
        let next = bucket.reserve(Time::ZERO, KIB);
        assert_eq!(next, Duration::from_millis(900));
        bucket.set(Time::ZERO, None);
        assert_eq!(bucket.reserve(Time::ZERO, u64::MAX), Time::ZERO);
        bucket.set(Time::ZERO, Some(KIB));
        assert_eq!(
            bucket.reserve(Time::ZERO, KIB),
            Time::ZERO,
            "nothing is owed"
        );
    }
}
