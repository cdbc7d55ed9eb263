//! [`Awaited`]: members of an earlier run of this node that have not been met in this one. They are dialled, and missed:
//! who starts where nobody is has not become the whole swarm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::{IteratorRandom as _, SliceRandom as _};
use store::wire::member::{MemberId, MemberRole, MemberState};

use super::ask::Action;
use super::core::Core;
use super::marks::Standing;
use super::record::Verified;

/// Members that are remembered over a restart: enough to find the way back, and to know that one is cut off.
pub(crate) const KEPT: usize = 1024;
/// Of these, so many are dialled after the start: the others are heard of from them.
const CALLED: usize = 64;
/// Dials begun in one interval at most.
const DIALS: usize = 4;
/// The first dials come after so many intervals: who knows us, too, may come by itself.
const PATIENCE: u32 = 2;

/// A member, and how long ago it was last in sight; 0: it is.
pub(crate) type Remembered = (Arc<Verified>, Duration);

/// Those that have not been met.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// With when they were last in sight: time in which this node did not run does not count.
    members: BTreeMap<MemberId, (Arc<Verified>, Instant)>,
    /// Those to be dialled.
    calls: Vec<MemberId>,
    next: Option<Instant>,
}

impl Awaited {
    pub(super) fn get(&self, id: &MemberId) -> Option<&Arc<Verified>> {
        self.members.get(id).map(|(record, _)| record)
    }

    /// All of them, with when they were last in sight.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<Verified>, Instant)> {
        self.members
            .values()
            .map(|(record, since)| (record, *since))
    }

    /// It has been met, or heard of.
    pub(super) fn met(&mut self, id: &MemberId) {
        self.members.remove(id);
    }

    /// Some by chance, to ask another member about.
    pub(super) fn some(&self, rng: &mut impl Rng, count: usize) -> Vec<MemberId> {
        self.members.keys().copied().choose_multiple(rng, count)
    }

    /// Those that have been missed for longer than that are forgotten.
    pub(super) fn forget(&mut self, after: Duration, now: Instant) {
        let missed = |since: Instant| now.saturating_duration_since(since);
        self.members.retain(|_, (_, since)| missed(*since) <= after);
    }
}

impl Core {
    /// To be called before anything happens: who was a member when this node last ran.
    pub(crate) fn remembers(&mut self, members: Vec<Remembered>, now: Instant) {
        let own = self.id();
        let others = members.into_iter().filter(|(record, _)| {
            let record = record.record();
            record.id != own
                && record.role == MemberRole::Storage
                && record.state != MemberState::Left
        });
        for (record, missed) in others.take(KEPT) {
            // No machine runs for so short that its clock does not reach back; if so, it was in sight just now.
            let since = now.checked_sub(missed).unwrap_or(now);
            self.awaited.members.insert(record.id(), (record, since));
        }
        let mut calls: Vec<_> = self.awaited.members.keys().copied().collect();
        calls.shuffle(&mut self.rng);
        calls.truncate(CALLED);
        self.awaited.calls = calls;
        self.awaited.next = Some(now + self.settings.probe * PATIENCE);
    }

    /// Who is to be remembered over a restart: those that are here, and those that are missed.
    pub(crate) fn to_remember(&self, now: Instant) -> Vec<Remembered> {
        let missed = |since: Instant| now.saturating_duration_since(since);
        let others = self.roster.all().filter(|it| it.id() != self.id());
        let mut here = Vec::new();
        let mut gone = Vec::new();
        for record in others {
            let mark = self.marks.get(&record.id());
            match mark.map(|it| &it.standing) {
                None | Some(Standing::Alive | Standing::Suspect(_)) => {
                    here.push((Arc::clone(record), Duration::ZERO));
                }
                Some(Standing::Gone(at)) => gone.push((Arc::clone(record), missed(*at))),
                Some(Standing::Left(_)) => {}
            }
        }
        let awaited = self.awaited.iter();
        gone.extend(awaited.map(|(record, since)| (Arc::clone(record), missed(since))));
        here.extend(gone);
        here.truncate(KEPT);
        here
    }

    /// Dials those that have not been met.
    pub(super) fn call_awaited(&mut self, now: Instant) {
        if self.awaited.calls.is_empty() || self.awaited.next.is_some_and(|it| it > now) {
            return;
        }
        self.awaited.next = Some(now + self.settings.probe);
        let mut dials = 0;
        while dials < DIALS
            && let Some(id) = self.awaited.calls.pop()
        {
            if self.awaited.get(&id).is_some() && !self.marks.is_linked(&id) {
                self.act(Action::Dial(id));
                dials += 1;
            }
        }
    }
}
