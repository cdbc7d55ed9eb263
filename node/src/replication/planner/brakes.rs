//! [`Brakes`]: what keeps repairs from becoming a storm. Each is here because somebody was hurt: traffic
//! by the bytes (every system), a whole rack switched off (Ceph's `mon_osd_min_in_ratio`), the node
//! itself cut off (`MinIO` removed what it could not see).

use super::event::{Sight, Time};

/// Bytes that may be offered at once after a pause, in seconds of the rate.
const BURST: u64 = 4;

/// Nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// Lets so many bytes a second through. The last one may be larger than what is left: a segment is
/// never too large to be repaired.
#[derive(Debug)]
pub(super) struct Brakes {
    rate: u64,
    /// Bytes that may be spent, times [`SECOND`], so that nothing is lost between two looks at the
    /// clock; less than nothing after a large one.
    left: i128,
    at: Time,
    sight: Sight,
    /// Since when too little is in sight, and how long it was so before.
    blind_since: Option<Time>,
    blind: Time,
}

impl Brakes {
    pub(super) const fn new(rate: u64) -> Self {
        Self {
            rate,
            left: 0,
            at: Time::ZERO,
            sight: Sight {
                usual: 0,
                here: 0,
                vanished: 0,
            },
            blind_since: None,
            blind: Time::ZERO,
        }
    }

    pub(super) fn see(&mut self, now: Time, sight: Sight) {
        self.sight = sight;
        if self.is_blind() {
            self.blind_since.get_or_insert(now);
        } else if let Some(since) = self.blind_since.take() {
            self.blind = self.blind.saturating_add(now.saturating_sub(since));
        }
    }

    /// A clock that stands still while too little is in sight.
    pub(super) fn sighted(&self, now: Time) -> Time {
        let since = self.blind_since.unwrap_or(now);
        since.min(now).saturating_sub(self.blind)
    }

    pub(super) fn set_rate(&mut self, rate: u64, now: Time) {
        self.fill(now);
        self.rate = rate;
    }

    /// Whether so much of the swarm vanished at once that it may be we who are cut off: more than a quarter
    /// within ten minutes, or fewer than half of the usual ones are here.
    pub(super) const fn is_blind(&self) -> bool {
        let Sight {
            usual,
            here,
            vanished,
        } = self.sight;
        // Of two or three members one is more than a quarter, and goes for good often enough.
        let many = vanished > 1 && vanished * 4 > usual;
        many || here * 2 < usual
    }

    /// Whether anything may be spent now.
    pub(super) fn may_spend(&mut self, now: Time) -> bool {
        self.fill(now);
        self.left > 0
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.left -= i128::from(bytes) * SECOND;
    }

    /// Nothing was moved after all.
    pub(super) fn refund(&mut self, bytes: u64) {
        self.left += i128::from(bytes) * SECOND;
    }

    /// When something may be spent again; `None` while it is stopped.
    pub(super) fn next(&self) -> Option<Time> {
        if self.rate == 0 {
            return None;
        }
        let missing = u128::try_from(1 - self.left).unwrap_or(0);
        let nanos = missing.div_ceil(self.rate.into());
        let wait = Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.at.saturating_add(wait))
    }

    fn fill(&mut self, now: Time) {
        let rate = i128::from(self.rate);
        let most = rate * i128::from(BURST) * SECOND;
        let passed = i128::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(i128::MAX);
        let new = passed.saturating_mul(rate);
        self.left = self.left.saturating_add(new).min(most);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_a_second_and_no_more() {
        let mut brakes = Brakes::new(1000);
        let mut spent = 0;
        for second in 1..=100 {
            let now = Time::from_secs(second);
            while brakes.may_spend(now) {
                brakes.spend(3000);
                spent += 3000;
            }
        }
        assert!((97_000..=103_000).contains(&spent), "{spent}");
        let next = brakes.next().unwrap();
        assert!(!brakes.may_spend(next.saturating_sub(Time::from_nanos(1))));
        assert!(brakes.may_spend(next));
        brakes.set_rate(0, next);
        brakes.spend(5000);
        assert!(!brakes.may_spend(Time::from_secs(100_000)));
        assert_eq!(brakes.next(), None);
    }

    #[test]
    fn looking_at_the_clock_often_loses_nothing() {
        let mut brakes = Brakes::new(10);
        brakes.spend(10);
        for micros in 1..=1_000_000 {
            assert!(!brakes.may_spend(Time::from_micros(micros)));
        }
        assert!(brakes.may_spend(Time::from_micros(1_000_001)));
        brakes.spend(100);
        brakes.refund(100);
        assert!(brakes.may_spend(Time::from_micros(1_000_001)));
    }

    #[test]
    fn many_at_once_make_it_blind() {
        let blind = |usual, here, vanished| {
            let mut brakes = Brakes::new(1);
            let sight = Sight {
                usual,
                here,
                vanished,
            };
            brakes.see(Time::ZERO, sight);
            brakes.is_blind()
        };
        assert!(!blind(3, 2, 1));
        assert!(!blind(8, 6, 2) && blind(8, 5, 3));
        assert!(blind(100, 49, 0) && !blind(100, 50, 0));
        assert!(blind(10, 1, 9));
        assert!(!blind(0, 0, 0));
    }

    #[test]
    fn a_clock_stands_still_out_of_sight() {
        let minutes = |count: u64| Time::from_secs(60 * count);
        let mut brakes = Brakes::new(1);
        let see = |brakes: &mut Brakes, at, here| {
            let sight = Sight {
                usual: 8,
                here,
                vanished: 0,
            };
            brakes.see(minutes(at), sight);
        };
        see(&mut brakes, 0, 8);
        assert_eq!(brakes.sighted(minutes(10)), minutes(10));
        see(&mut brakes, 10, 3);
        see(&mut brakes, 20, 2);
        assert_eq!(brakes.sighted(minutes(30)), minutes(10));
        see(&mut brakes, 40, 8);
        assert_eq!(brakes.sighted(minutes(45)), minutes(15));
        see(&mut brakes, 50, 1);
        assert_eq!(brakes.sighted(minutes(99)), minutes(20));
    }
}
