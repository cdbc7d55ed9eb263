//! What a member announces to all, and how often.

use std::sync::Arc;
use std::time::Instant;

use rand::Rng;
use store::wire::member::{Accusation, MAX_ACCUSATIONS};

use super::ask::{Action, Claim};
use super::core::Core;

/// Announcements that one member may make in a row; one comes back with each probe interval.
const BURST: u32 = 4;

/// What waits to be announced.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Announcements that may be made now.
    left: u32,
    refill: Instant,
    /// The own record has a change that others should know.
    hard: bool,
    /// One that can wait.
    soft: bool,
    /// We are said to be gone.
    refuted: bool,
    /// When the own record was last announced.
    last: Option<Instant>,
    repeat: Instant,
    accusations: Vec<Accusation>,
}

impl Pace {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            refill: now,
            hard: true,
            soft: false,
            refuted: false,
            last: None,
            repeat: now,
            accusations: Vec::new(),
        }
    }

    pub(crate) const fn hard(&mut self) {
        self.hard = true;
    }

    pub(crate) const fn soft(&mut self) {
        self.soft = true;
    }

    pub(crate) const fn refute(&mut self) {
        self.refuted = true;
    }

    /// The own record was announced, and is again at `repeat`.
    pub(super) const fn announced(&mut self, now: Instant, repeat: Instant) {
        (self.hard, self.soft, self.refuted) = (false, false, false);
        (self.last, self.repeat) = (Some(now), repeat);
    }

    /// Beyond what one announcement holds the others accuse.
    pub(crate) fn accuse(&mut self, accusation: Accusation) {
        if self.accusations.len() < MAX_ACCUSATIONS {
            self.accusations.push(accusation);
        }
    }
}

impl Core {
    pub(super) fn publish_tick(&mut self, now: Instant) {
        if now >= self.pace.refill {
            self.pace.refill = now + self.settings.probe;
            self.pace.left = (self.pace.left + 1).min(BURST);
        }
        let record = self.is_record_due(now);
        let something = record || !self.pace.accusations.is_empty();
        if self.pace.left == 0 || !something {
            return;
        }
        self.pace.left -= 1;
        let mut accusations = std::mem::take(&mut self.pace.accusations);
        // What others have said enough by now need not be said again.
        accusations.retain(|accusation| self.suspects.contains(&accusation.member));
        let mut claim = Claim {
            records: Vec::new(),
            accusations,
        };
        if record {
            claim.records.push(Arc::clone(self.author.current()));
            let jitter = self.rng.random_range(0.75..1.25);
            let repeat = self.settings.repeat(self.roster.members()).mul_f64(jitter);
            self.pace.announced(now, now + repeat);
        }
        if !claim.records.is_empty() || !claim.accusations.is_empty() {
            self.act(Action::Publish(claim));
        }
    }

    fn is_record_due(&self, now: Instant) -> bool {
        let pace = &self.pace;
        let Some(last) = pace.last else {
            return pace.hard && now >= pace.repeat;
        };
        let age = now.saturating_duration_since(last);
        let members = self.roster.members();
        pace.refuted
            || (pace.hard && age >= self.settings.change)
            || (pace.soft && age >= self.settings.soft(members))
            || now >= pace.repeat
    }

    /// Nobody was there to hear our announcement: it is made again soon.
    pub(crate) fn on_unpublished(&mut self, claim: &Claim, now: Instant) {
        if !claim.records.is_empty() {
            self.pace.hard = true;
            self.pace.last = None;
            self.pace.repeat = now + self.settings.probe;
        }
    }
}
