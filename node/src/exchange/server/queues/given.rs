//! [`Given`]: which leaves were given lately.
//!
//! Where many want the same content, each leaf is to be given once and then by those who have it, as
//! `BitTorrent`'s superseeding does it (BEP 16): so whoever asks for what nobody was given goes first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::exchange::scheduler::Time;

/// A leaf: a number made of its node's name, and which child.
pub(super) type Name = (u64, u32);

/// How long a leaf counts as given. Those who want it find it elsewhere within a few seconds; if whoever
/// had it is gone, it is given again like any other.
pub(super) const LATELY: Duration = Duration::from_secs(30);
/// Leaves remembered: 2 GiB each 30 s, of leaves of 32 KiB; about 4 MiB of memory. Beyond them the oldest
/// count as not given.
const REMEMBERED: usize = 64 << 10;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Given {
    when: HashMap<Name, Time>,
    /// Each gift, the oldest first.
    gifts: VecDeque<(Time, Name)>,
}

impl Given {
    pub(super) fn gave(&mut self, now: Time, leaf: Name) {
        while self.gifts.len() >= REMEMBERED
            || self
                .gifts
                .front()
                .is_some_and(|(at, _)| *at + LATELY <= now)
        {
            let Some((at, old)) = self.gifts.pop_front() else {
                break;
            };
            if self.when.get(&old) == Some(&at) {
                self.when.remove(&old);
            }
        }
        self.when.insert(leaf, now);
        self.gifts.push_back((now, leaf));
    }

    /// Whether the leaf was given within [`LATELY`].
    pub(super) fn lately(&self, now: Time, leaf: &Name) -> bool {
        self.when.get(leaf).is_some_and(|at| now < *at + LATELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_counts_as_given_for_a_while_and_memory_is_bounded() {
        let mut given = Given::default();
        given.gave(Time::ZERO, (1, 1));
        assert!(given.lately(LATELY / 2, &(1, 1)));
        assert!(!given.lately(LATELY / 2, &(1, 2)));
        assert!(!given.lately(LATELY, &(1, 1)));
        given.gave(LATELY / 2, (1, 1));
        given.gave(LATELY, (2, 1));
        assert!(given.lately(LATELY, &(1, 1)), "the last gift counts");
        for child in 0..100_000 {
            given.gave(LATELY, (3, child));
        }
        assert!(given.gifts.len() <= REMEMBERED && given.when.len() <= REMEMBERED);
        assert!(given.lately(LATELY, &(3, 99_999)));
        assert!(!given.lately(LATELY, &(3, 0)));
    }
}
