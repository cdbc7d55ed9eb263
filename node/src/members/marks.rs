//! [`Marks`]: what there is to remember of members besides their records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use store::wire::member::MemberId;

use super::suspicion::Suspicion;

/// By member; whoever is alive, not connected and unremarkable has none. Bounded like the roster, by
/// the connections besides.
#[derive(Debug, Default)]
pub(crate) struct Marks(BTreeMap<MemberId, Mark>);

#[derive(Debug, Default)]
pub(crate) struct Mark {
    pub(crate) link: Option<Link>,
    pub(crate) standing: Standing,
    pub(crate) redial: Redial,
    /// When it last said something to us itself.
    pub(crate) seen: Option<Instant>,
}

/// A connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    /// The last probe's round trip.
    pub(crate) rtt: Option<Duration>,
}

/// What we think of a member.
#[derive(Clone, Debug, Default)]
pub(crate) enum Standing {
    #[default]
    Alive,
    Suspect(Suspicion),
    Gone(Instant),
    Left(Instant),
}

/// When to dial a member again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Redial {
    pub(crate) failures: u32,
    pub(crate) not_before: Option<Instant>,
    /// A dial is under way, and given up then.
    pub(crate) until: Option<Instant>,
}

impl Marks {
    pub(crate) fn get(&self, id: &MemberId) -> Option<&Mark> {
        self.0.get(id)
    }

    /// To be changed; made if there is none.
    pub(crate) fn of(&mut self, id: MemberId) -> &mut Mark {
        self.0.entry(id).or_default()
    }

    pub(crate) fn existing(&mut self, id: &MemberId) -> Option<&mut Mark> {
        self.0.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: &MemberId) {
        self.0.remove(id);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Mark)> {
        self.0.iter()
    }

    pub(crate) fn is_linked(&self, id: &MemberId) -> bool {
        self.get(id).is_some_and(|mark| mark.link.is_some())
    }

    /// Those who are connected.
    pub(crate) fn linked(&self) -> impl Iterator<Item = MemberId> {
        let linked = self.0.iter().filter(|(_, mark)| mark.link.is_some());
        linked.map(|(id, _)| *id)
    }

    /// Those who are connected, and of whom nothing bad is known.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = MemberId> {
        let trusted = self
            .0
            .iter()
            .filter(|(_, mark)| mark.link.is_some() && matches!(mark.standing, Standing::Alive));
        trusted.map(|(id, _)| *id)
    }

    /// Forgets what is no longer worth remembering at `now`.
    pub(crate) fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, mark| {
            let waits = mark.redial.not_before.is_some_and(|at| at > now);
            mark.link.is_some()
                || !matches!(mark.standing, Standing::Alive)
                || mark.redial.until.is_some()
                || mark.redial.failures > 0
                || waits
        });
    }
}
