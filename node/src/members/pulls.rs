//! Pulls: what another member knows and we do not, by set reconciliation.

use std::time::Instant;

use rand::Rng;
use rand::seq::IteratorRandom;
use store::wire::member::{MAX_FETCH, MemberId};

use super::ask::{Answer, Ask, Known};
use super::core::{Core, Purpose};
use crate::reconcile::{Comparison, Difference, Set as _};

/// Pulls of a newcomer that come soon after each other: what one member says of the dead needs another's
/// word.
const FIRST: u32 = 5;

/// Of what we have below one place and they have not, so many are asked after in one pull.
const ASKED_BELOW: usize = 32;

/// Members that wait to be fetched at most: then they are, before the comparison goes on.
const MAX_WANTED: usize = 256;

/// An answer may take so many times a probe's: it may have 128 KiB.
const PATIENCE: u32 = 5;

/// When to pull, and the pull under way.
#[derive(Debug)]
pub(crate) struct Pulls {
    next: Instant,
    first: u32,
    current: Option<Pull>,
}

#[derive(Debug)]
struct Pull {
    with: MemberId,
    comparison: Comparison,
    wanted: Vec<MemberId>,
    deadline: Instant,
}

impl Pulls {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            next: now,
            first: FIRST,
            current: None,
        }
    }

    pub(crate) fn give_up(&mut self) {
        self.current = None;
    }
}

impl Core {
    pub(super) fn pull_tick(&mut self, now: Instant) {
        if self
            .pulls
            .current
            .as_ref()
            .is_some_and(|pull| pull.deadline <= now)
        {
            self.pulls.give_up();
        }
        if now < self.pulls.next || self.pulls.current.is_some() {
            return;
        }
        let Some(with) = self.marks.trusted().choose(&mut self.rng) else {
            return;
        };
        self.pulls.next = now
            + if self.pulls.first > 0 {
                self.pulls.first -= 1;
                self.settings.first_pull
            } else {
                self.settings
                    .pull
                    .mul_f64(self.rng.random_range(0.75..1.25))
            };
        // Perhaps it knows that they have left, which no comparison tells.
        let wanted = self.awaited.some(&mut self.rng, ASKED_BELOW);
        self.pulls.current = Some(Pull {
            with,
            comparison: Comparison::of_all(),
            wanted,
            deadline: now,
        });
        self.pull_on(now);
    }

    /// The first member that a newcomer meets is asked at once.
    pub(super) fn pull_connected(&mut self, now: Instant) {
        if self.pulls.first == FIRST {
            self.pull_tick(now);
        }
    }

    /// After a partition: those who were gone know what we missed, and think that we are gone.
    pub(super) fn pull_soon(&mut self, now: Instant) {
        let wait = self
            .settings
            .first_pull
            .mul_f64(self.rng.random_range(0.0..1.0));
        self.pulls.next = self.pulls.next.min(now + wait);
    }

    /// The next message of the pull.
    fn pull_on(&mut self, now: Instant) {
        let patience = self.settings.answer * PATIENCE;
        let Some(pull) = &mut self.pulls.current else {
            return;
        };
        let questions = if pull.wanted.len() >= MAX_FETCH {
            Vec::new()
        } else {
            let Ok(questions) = pull.comparison.questions(&self.roster);
            questions
        };
        let ask = if questions.is_empty() {
            let rest = pull.wanted.len().saturating_sub(MAX_FETCH);
            Ask::Fetch(pull.wanted.split_off(rest))
        } else {
            Ask::Compare(questions)
        };
        if matches!(&ask, Ask::Fetch(members) if members.is_empty()) {
            return self.pulls.give_up();
        }
        pull.deadline = now + patience;
        let with = pull.with;
        self.ask(with, Purpose::Pull, ask, now);
    }

    pub(super) fn pull_answered(&mut self, from: MemberId, answer: Answer, now: Instant) {
        match answer {
            Answer::Compared(verdicts) => {
                let Some(pull) = &mut self.pulls.current else {
                    return;
                };
                let Ok(found) = pull.comparison.answers(&self.roster, verdicts);
                let Ok(found) = found else {
                    tracing::debug!(member = ?from, "answered what was not asked");
                    return self.pulls.give_up();
                };
                for difference in &found {
                    self.want(difference);
                }
            }
            Answer::Records(known) => {
                for known in known {
                    self.told(from, known, now);
                }
            }
            _ => return self.pulls.give_up(),
        }
        self.pull_on(now);
    }

    /// What to ask about a difference.
    fn want(&mut self, difference: &Difference) {
        let ids = match difference {
            Difference::Theirs(item) => {
                let id = MemberId(item.key);
                // We take it for gone; they will hear why.
                let known = self.roster.get(&id);
                if known.is_some_and(|known| known.item() == *item) {
                    return;
                }
                vec![id]
            }
            // Perhaps they know that it is gone, or has left.
            Difference::Ours(item) => vec![MemberId(item.key)],
            Difference::OursBelow(place) => {
                let Ok(items) = self.roster.list(*place, ASKED_BELOW);
                items.iter().map(|item| MemberId(item.key)).collect()
            }
        };
        if let Some(pull) = &mut self.pulls.current {
            let room = MAX_WANTED.saturating_sub(pull.wanted.len());
            pull.wanted.extend(ids.into_iter().take(room));
        }
    }

    /// One member's word on another, or on us.
    fn told(&mut self, from: MemberId, known: Known, now: Instant) {
        let Known { record, gone } = known;
        let (id, version) = (record.id(), record.version());
        if gone {
            // What is gone and was never known is not worth knowing.
            if self.roster.get(&id).is_some() {
                self.learn(record, now);
                self.accused(from, id, version, now);
            }
            return;
        }
        self.learn(record, now);
    }
}
