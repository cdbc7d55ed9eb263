//! What the membership tells the rest of the node: each member with its health, and how much of the
//! swarm is in sight.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use store::wire::member::{MemberId, Record};

use super::core::Core;
use super::marks::Standing;
use super::record::peer_of;
use super::settings::FULL;

/// What we think of a member. Times are by our own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is there.
    Alive,
    /// Somebody did not reach it, for so long.
    Suspect(Duration),
    /// Several did not, and it has not answered: gone for so long.
    Gone(Duration),
    /// It said goodbye, so long ago.
    Left(Duration),
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it last said of itself.
    pub record: Record,
    /// What we think of it.
    pub health: Health,
    /// Whether it is us.
    pub local: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// The last probe's round trip.
    pub rtt: Option<Duration>,
    /// How long ago it last said something to us itself.
    pub seen: Option<Duration>,
}

impl Member {
    /// Its peer id; `None` if its id is no key, which no signed record has.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        peer_of(&self.record.id)
    }

    /// The machine that it is on, as far as is told: its tag `host`, or else its peer id.
    #[must_use]
    pub fn host(&self) -> String {
        let told = self.record.tags.get("host").map(str::to_owned);
        told.or_else(|| self.peer().map(|peer| peer.to_string()))
            .unwrap_or_default()
    }
}

/// How much of the swarm is in sight, for whoever must not act on an eclipse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The usual members, ourselves included: those that are there, and those that were within a day
    /// and did not say goodbye.
    pub usual: usize,
    /// Of these, those that are there without doubt; in a swarm of more than 64, the same part of them
    /// as of our neighbours is connected.
    pub in_sight: usize,
    /// Of these, those that are doubted, or vanished within ten minutes, without a goodbye.
    pub vanished: usize,
}

impl Sight {
    /// Whether so much has vanished at once that we may be the ones who are cut off: more than a quarter
    /// within ten minutes, or less than half in sight.
    #[must_use]
    pub const fn is_eclipsed(&self) -> bool {
        4 * self.vanished > self.usual || 2 * self.in_sight < self.usual
    }
}

impl Core {
    /// All members that are remembered, ourselves among them, and those of an earlier run that were not met since.
    pub(crate) fn members(&self, now: Instant) -> Vec<Member> {
        let member = |record: &Record| self.describe(record, now);
        let known = self.roster.all().map(|it| member(it.record()));
        let awaited = self.awaited.iter().map(|(record, since)| Member {
            record: record.record().clone(),
            health: Health::Gone(now.saturating_duration_since(since)),
            local: false,
            connected: false,
            rtt: None,
            seen: None,
        });
        known.chain(awaited).collect()
    }

    fn describe(&self, record: &Record, now: Instant) -> Member {
        let since = |at: Instant| now.saturating_duration_since(at);
        let mark = self.marks.get(&record.id);
        let link = mark.and_then(|mark| mark.link);
        Member {
            record: record.clone(),
            health: self.health_of(&record.id, now),
            local: record.id == self.id(),
            connected: link.is_some(),
            rtt: link.and_then(|link| link.rtt),
            seen: mark.and_then(|mark| mark.seen).map(since),
        }
    }

    /// What we think of a member.
    pub(crate) fn health_of(&self, id: &MemberId, now: Instant) -> Health {
        let since = |at: Instant| now.saturating_duration_since(at);
        match self.marks.get(id).map(|mark| &mark.standing) {
            None | Some(Standing::Alive) => Health::Alive,
            Some(Standing::Suspect(suspicion)) => Health::Suspect(since(suspicion.since())),
            Some(Standing::Gone(at)) => Health::Gone(since(*at)),
            Some(Standing::Left(at)) => Health::Left(since(*at)),
        }
    }

    /// How much of the swarm is in sight.
    pub(crate) fn sight(&self, now: Instant) -> Sight {
        let within = |at: Instant, time: Duration| now.saturating_duration_since(at) < time;
        let mut sight = Sight {
            usual: self.roster.members(),
            in_sight: self.roster.members() - self.suspects.len(),
            vanished: self.suspects.len(),
        };
        let gone = self
            .marks
            .iter()
            .filter_map(|(_, mark)| match mark.standing {
                Standing::Gone(at) => Some(at),
                _ => None,
            });
        // Those that were here when this node last ran, and were not met since.
        let awaited = self.awaited.iter().map(|(_, since)| since);
        for at in gone.chain(awaited) {
            sight.usual += usize::from(within(at, self.settings.usual));
            sight.vanished += usize::from(within(at, self.settings.lately));
        }
        // Nobody probes all of a large swarm: whoever lost most of his neighbours has not lost them only.
        if self.roster.members() > FULL {
            let neighbours = self.neighbours.all(&self.roster);
            let linked = neighbours
                .iter()
                .filter(|id| self.marks.is_linked(id))
                .count();
            sight.in_sight = sight.in_sight * linked / neighbours.len().max(1);
        }
        sight
    }
}

impl Core {
    /// The records of all that are in, for the sake of a simulation that checks who knows whom.
    #[cfg(test)]
    pub(super) fn inside(&self) -> impl Iterator<Item = &std::sync::Arc<super::record::Verified>> {
        self.roster.inside()
    }
}
