//! [`Turns`]: deficit round robin, after Shreedhar and Varghese, "Efficient Fair Queueing using Deficit
//! Round Robin" (1995), with the cost of a read known after it: who was charged too little begins the
//! next round with a debt, who was charged too much is given it back.
//!
//! Whoever was never served stands in a line of his own, which has one turn in [`NEW_TURNS`]: a
//! newcomer does not wait for a whole round, and those who come and go cannot push the others out.
//!
//! Whoever asks for what others were given lately is put off: its turn comes when nobody else waits.

use std::collections::{BTreeMap, VecDeque};

/// One turn in so many is a newcomer's, where there is one.
const NEW_TURNS: u32 = 4;

/// Where somebody stands, and whether a turn of theirs goes on.
#[derive(Clone, Copy, Debug)]
struct Listed {
    is_put_off: bool,
    goes_on: bool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next<P> {
    pub(super) asker: P,
    /// Whether the turn was begun before.
    pub(super) goes_on: bool,
    /// Whether it was put off, and nobody else waits.
    pub(super) is_put_off: bool,
}

#[derive(Debug)]
pub(super) struct Turns<P> {
    newcomers: VecDeque<P>,
    round: VecDeque<P>,
    put_off: VecDeque<P>,
    /// Whose turn it was and who had to wait: it is still his.
    waits: Option<P>,
    /// Those in any of them.
    listed: BTreeMap<P, Listed>,
    /// Turns since the last newcomer's.
    since_new: u32,
}

impl<P> Default for Turns<P> {
    fn default() -> Self {
        Self {
            newcomers: VecDeque::new(),
            round: VecDeque::new(),
            put_off: VecDeque::new(),
            waits: None,
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
        let is_put_off = false;
        self.listed.insert(
            asker,
            Listed {
                is_put_off,
                goes_on,
            },
        );
        match (is_new, goes_on) {
            (true, false) => self.newcomers.push_back(asker),
            (true, true) => self.newcomers.push_front(asker),
            (false, false) => self.round.push_back(asker),
            (false, true) => self.round.push_front(asker),
        }
    }

    /// Puts somebody behind all others.
    pub(super) fn put_off(&mut self, asker: P, goes_on: bool) {
        let is_put_off = true;
        self.listed.insert(
            asker,
            Listed {
                is_put_off,
                goes_on,
            },
        );
        self.put_off.push_back(asker);
    }

    /// Whose turn it is cannot have it yet: it is the next one all the same.
    pub(super) fn wait(&mut self, next: Next<P>) {
        let listed = Listed {
            is_put_off: next.is_put_off,
            goes_on: true,
        };
        self.listed.insert(next.asker, listed);
        self.waits = Some(next.asker);
    }

    /// Takes out those who were put off.
    pub(super) fn recall(&mut self) -> VecDeque<P> {
        for asker in &self.put_off {
            self.listed.remove(asker);
        }
        std::mem::take(&mut self.put_off)
    }

    /// Takes somebody out, if he was put off.
    pub(super) fn recall_one(&mut self, asker: &P) {
        if self.listed.get(asker).is_some_and(|one| one.is_put_off) {
            self.left(asker);
        }
    }

    /// Whether anybody goes before one who asks for what was given lately.
    pub(super) fn others_go_first(&self, one: &Next<P>) -> bool {
        let others = !(self.newcomers.is_empty() && self.round.is_empty());
        others || (!one.is_put_off && !self.put_off.is_empty())
    }

    /// Takes out whose turn it is.
    pub(super) fn next(&mut self) -> Option<Next<P>> {
        if let Some(asker) = self.waits.take() {
            return self.take(asker);
        }
        let newcomer = self.round.is_empty() || self.since_new + 1 >= NEW_TURNS;
        let next = if newcomer && !self.newcomers.is_empty() {
            self.since_new = 0;
            self.newcomers.pop_front()
        } else {
            self.since_new = self.since_new.saturating_add(1);
            self.round.pop_front().or_else(|| self.put_off.pop_front())
        };
        self.take(next?)
    }

    fn take(&mut self, asker: P) -> Option<Next<P>> {
        let listed = self.listed.remove(&asker)?;
        Some(Next {
            asker,
            goes_on: listed.goes_on,
            is_put_off: listed.is_put_off,
        })
    }

    pub(super) fn left(&mut self, asker: &P) {
        if self.listed.remove(asker).is_some() {
            self.newcomers.retain(|listed| listed != asker);
            self.round.retain(|listed| listed != asker);
            self.put_off.retain(|listed| listed != asker);
            self.waits = self.waits.take().filter(|waits| waits != asker);
        }
    }
}
