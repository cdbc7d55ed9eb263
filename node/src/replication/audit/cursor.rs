//! [`Cursor`]: every number below a count once, in an order that is new each round and needs no table.

use rand::Rng;
use rand::rngs::StdRng;

/// Where a round is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The numbers are shuffled within a power of two; those that are too large are passed over.
    bits: u32,
    /// The next place.
    at: u64,
    keys: [u64; 3],
    round: u64,
}

impl Cursor {
    /// The next number; `None` where `count` is 0. While the count stays between the same powers of two,
    /// what is there all the time comes up once a round.
    pub(super) fn next(&mut self, count: usize, rng: &mut StdRng) -> Option<usize> {
        let count = count as u64;
        let last = count.checked_sub(1)?;
        let bits = (u64::BITS - last.leading_zeros()).min(63);
        loop {
            if self.round == 0 || bits != self.bits || self.at >> bits != 0 {
                let keys = rng.random();
                let round = self.round + 1;
                *self = Self {
                    bits,
                    at: 0,
                    keys,
                    round,
                };
            }
            let number = self.shuffled(self.at);
            self.at += 1;
            if number < count {
                return usize::try_from(number).ok();
            }
        }
    }

    /// Which round it is; 0 before the first.
    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    /// A bijection below a power of two: each step can be undone.
    fn shuffled(&self, place: u64) -> u64 {
        let mask = (1_u64 << self.bits) - 1;
        let shift = (self.bits / 2).max(1);
        self.keys.iter().fold(place, |value, key| {
            let value = value.wrapping_add(key >> 32) & mask;
            let value = value.wrapping_mul(key | 1) & mask;
            value ^ (value >> shift)
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn each_number_comes_once_a_round_in_an_order_of_its_own() {
        let mut rng = StdRng::seed_from_u64(1);
        for count in [1, 2, 3, 64, 65, 1000] {
            let mut cursor = Cursor::default();
            let mut before = Vec::new();
            for round in 1..=5 {
                let order: Vec<_> = (0..count)
                    .map(|_| {
                        let number = cursor.next(count, &mut rng).unwrap();
                        assert_eq!(cursor.round(), round);
                        number
                    })
                    .collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..count));
                assert!(count < 64 || order != before);
                before = order;
            }
        }
        assert_eq!(Cursor::default().next(0, &mut rng), None);
    }

    #[test]
    fn what_stays_comes_up_while_others_come_and_go() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut cursor = Cursor::default();
        let mut seen = vec![0; 700];
        // A round has 1024 places, whatever the count.
        cursor.next(1000, &mut rng);
        for i in 0.. {
            let Some(number) = cursor.next(700 + i % 300, &mut rng) else {
                break;
            };
            if cursor.round() > 1 {
                break;
            }
            if let Some(seen) = seen.get_mut(number) {
                *seen += 1;
            }
        }
        // The first one was not counted.
        assert!(seen.iter().all(|count| *count <= 1));
        assert!(seen.iter().sum::<i32>() >= 699);
    }
}
