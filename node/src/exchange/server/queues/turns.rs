//! [`Turns`]: deficit round robin, after Shreedhar and Varghese, "Efficient Fair Queueing using Deficit
//! Round Robin" (1995), with the cost of a read known after it: who was charged too little begins the
//! next round with a debt, who was charged too much is given it back.
//!
//! Whoever was never served stands in a line of his own, which has one turn in [`NEW_TURNS`]: a
//! newcomer does not wait for a whole round, and those who come and go cannot push the others out.

use std::collections::{BTreeMap, VecDeque};

/// One turn in so many is a newcomer's, where there is one.
const NEW_TURNS: u32 = 4;

#[derive(Debug)]
pub(super) struct Turns<P> {
    newcomers: VecDeque<P>,
    round: VecDeque<P>,
    /// Those in either, and whether a turn of theirs goes on.
    listed: BTreeMap<P, bool>,
    /// Turns since the last newcomer's.
    since_new: u32,
}

impl<P> Default for Turns<P> {
    fn default() -> Self {
        Self {
            newcomers: VecDeque::new(),
            round: VecDeque::new(),
            listed: BTreeMap::new(),
            since_new: NEW_TURNS,
        }
    }
}

impl<P: Copy + Ord> Turns<P> {
    /// Puts somebody at the end of his line, or before it, if his turn goes on.
    pub(super) fn enlist(&mut self, asker: P, is_new: bool, goes_on: bool) {
        if self.listed.contains_key(&asker) {
            return;
        }
        self.listed.insert(asker, goes_on);
        match (is_new, goes_on) {
            (true, false) => self.newcomers.push_back(asker),
            (true, true) => self.newcomers.push_front(asker),
            (false, false) => self.round.push_back(asker),
            (false, true) => self.round.push_front(asker),
        }
    }

    /// Takes out whose turn it is, and says whether it was one that goes on.
    pub(super) fn next(&mut self) -> Option<(P, bool)> {
        let newcomer = self.round.is_empty() || self.since_new + 1 >= NEW_TURNS;
        let next = if newcomer && !self.newcomers.is_empty() {
            self.since_new = 0;
            self.newcomers.pop_front()
        } else {
            self.since_new = self.since_new.saturating_add(1);
            self.round.pop_front()
        };
        let next = next?;
        let goes_on = self.listed.remove(&next).unwrap_or_default();
        Some((next, goes_on))
    }

    pub(super) fn left(&mut self, asker: &P) {
        if self.listed.remove(asker).is_some() {
            self.newcomers.retain(|listed| listed != asker);
            self.round.retain(|listed| listed != asker);
        }
    }
}
