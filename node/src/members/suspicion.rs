//! [`Suspicion`]: that a member may be gone, who says so, and when it becomes certainty.

use std::time::{Duration, Instant};

use store::wire::member::{Accusation, MemberId};

use super::ask::Action;
use super::core::Core;
use super::marks::Standing;
use super::settings::{ENOUGH_ACCUSERS, Settings};

/// Suspicions that nobody else shares are dropped after so many times the longest wait.
const LAPSE: u32 = 3;

/// Whoever accuses a member, of the version of its record that we know.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    since: Instant,
    /// No more than [`ENOUGH_ACCUSERS`]: further ones change nothing.
    accusers: Vec<MemberId>,
}

/// What has become of a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    /// It has not been refuted.
    Certain,
    /// One alone accused, and nobody else for long.
    Lapsed,
}

impl Suspicion {
    pub(crate) fn new(accuser: MemberId, now: Instant) -> Self {
        Self {
            since: now,
            accusers: vec![accuser],
        }
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Says whether that is news.
    pub(crate) fn add(&mut self, accuser: MemberId) -> bool {
        let news = self.accusers.len() < ENOUGH_ACCUSERS && !self.accusers.contains(&accuser);
        if news {
            self.accusers.push(accuser);
        }
        news
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.accusers.len() >= ENOUGH_ACCUSERS
    }

    /// `needed`: accusers without whom it stays a suspicion.
    pub(crate) fn outcome(&self, needed: usize, settings: &Settings, now: Instant) -> Outcome {
        let age = now.saturating_duration_since(self.since);
        if self.accusers.len() >= needed && age >= self.wait(settings) {
            Outcome::Certain
        } else if age >= settings.suspicion_max * LAPSE {
            Outcome::Lapsed
        } else {
            Outcome::Open
        }
    }

    /// Lifeguard's rule (§IV.B): the more accuse independently, the sooner; the first steps do most.
    #[allow(clippy::cast_precision_loss, reason = "a handful of accusers")]
    fn wait(&self, settings: &Settings) -> Duration {
        let (min, max) = (settings.suspicion_min, settings.suspicion_max);
        let confirmed = (self.accusers.len() as f64).ln() / (ENOUGH_ACCUSERS as f64).ln();
        max.saturating_sub(max.saturating_sub(min).mul_f64(confirmed.min(1.0)))
            .max(min)
    }
}

impl Core {
    /// Somebody says that he could not reach a member. Says whether that is news.
    pub(super) fn accused(
        &mut self,
        accuser: MemberId,
        member: MemberId,
        version: u64,
        now: Instant,
    ) -> bool {
        if member == self.id() {
            // One that we never signed is a lie: to go above it would end at the highest number.
            let current = version == self.author.record().version;
            if current {
                self.health.worse();
                self.refute(version);
            }
            return current;
        }
        // Only members have a voice, and none of its own death.
        if accuser == member || !self.roster.is_in(&accuser) || !self.roster.is_in(&member) {
            return false;
        }
        if self
            .roster
            .get(&member)
            .is_none_or(|known| version != known.version())
        {
            return false;
        }
        let mark = self.marks.of(member);
        let news = match &mut mark.standing {
            Standing::Suspect(suspicion) => suspicion.add(accuser),
            standing => {
                *standing = Standing::Suspect(Suspicion::new(accuser, now));
                true
            }
        };
        self.suspects.insert(member);
        let near = self.marks.is_linked(&member) || self.neighbours.contains(&self.roster, &member);
        if news && near && accuser != self.id() {
            self.verify_soon(member, now);
        }
        news
    }

    /// Our own word against a member.
    pub(super) fn accuse(&mut self, member: MemberId, now: Instant) {
        let Some(version) = self.roster.get(&member).map(|known| known.version()) else {
            return;
        };
        if self.accused(self.id(), member, version, now) {
            tracing::debug!(?member, "cannot be reached");
            self.pace.accuse(Accusation { member, version });
        }
    }

    /// Whether it is known already what a further look at a suspect would tell.
    pub(super) fn is_settled(&self, member: &MemberId) -> bool {
        let Some(mark) = self.marks.get(member) else {
            return false;
        };
        match &mark.standing {
            Standing::Suspect(suspicion) => suspicion.is_enough(),
            Standing::Alive => false,
            Standing::Gone(_) | Standing::Left(_) => true,
        }
    }

    /// We are said to be gone: a version above the accused one shows that we are not.
    pub(super) fn refute(&mut self, version: u64) {
        self.author.change(version, |_| {});
        self.own_changed();
        self.pace.refute();
    }

    /// What becomes of suspicions.
    pub(super) fn judge(&mut self, now: Instant) {
        let suspects: Vec<_> = self.suspects.iter().copied().collect();
        for id in suspects {
            let others = self.roster.members().saturating_sub(2);
            let doubted = self.suspects.len() - 1;
            // One's own word is enough where nobody else is left to be asked.
            let needed = if others > doubted { 2 } else { 1 };
            let outcome = match self.marks.get(&id).map(|mark| &mark.standing) {
                Some(Standing::Suspect(it)) => it.outcome(needed, &self.settings, now),
                _ => Outcome::Lapsed,
            };
            match outcome {
                Outcome::Open => continue,
                Outcome::Lapsed => {
                    if let Some(mark) = self.marks.existing(&id) {
                        mark.standing = Standing::Alive;
                    }
                }
                Outcome::Certain => {
                    tracing::info!(member = ?id, "is gone");
                    self.part(id, Standing::Gone(now));
                    // A connection over TCP through which nothing came for a while is silent for as long again once
                    // something could: when the member returns it gets a new one.
                    self.act(Action::HangUp(id));
                }
            }
            self.suspects.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn more_accusers_make_it_certain_sooner_and_one_never() {
        let (settings, now) = (Settings::default(), Instant::now());
        let mut suspicion = Suspicion::new(MemberId([0; 32]), now);
        let mut waits = Vec::new();
        for n in 1..ENOUGH_ACCUSERS {
            waits.push(suspicion.wait(&settings));
            assert!(suspicion.add(MemberId([u8::try_from(n).unwrap(); 32])));
        }
        waits.push(suspicion.wait(&settings));
        assert!(waits.is_sorted_by(|a, b| a > b), "{waits:?}");
        assert_eq!((waits[0], waits[3]), (14 * SECOND, 6 * SECOND));
        assert!(!suspicion.add(MemberId([9; 32])), "there are enough");

        let alone = Suspicion::new(MemberId([0; 32]), now);
        assert_eq!(
            alone.outcome(2, &settings, now + 40 * SECOND),
            Outcome::Open
        );
        assert_eq!(
            alone.outcome(2, &settings, now + 42 * SECOND),
            Outcome::Lapsed
        );
        assert_eq!(
            alone.outcome(1, &settings, now + 14 * SECOND),
            Outcome::Certain
        );
    }

    #[test]
    fn the_same_accuser_counts_once() {
        let mut suspicion = Suspicion::new(MemberId([0; 32]), Instant::now());
        assert!(!suspicion.add(MemberId([0; 32])));
        assert!(!suspicion.is_enough());
    }
}
