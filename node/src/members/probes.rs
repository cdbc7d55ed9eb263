//! Probes: one member a second by turns, and whoever has to be looked at now (SWIM, §3 and §4.3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::{IteratorRandom, SliceRandom};
use store::wire::member::MemberId;

use super::ask::{Action, Ask};
use super::core::{Core, Purpose};
use super::marks::Standing;
use super::record::Verified;

/// Probes under way at most: one a second in quiet times, and those of lost links.
const MAX_PROBES: usize = 64;

/// Looks that wait for their moment at most. When more are lost at once the others look.
const MAX_LOOKS: usize = 256;

/// Of the members near a lost one, so many look in the time that a look may wait.
const LOOKERS: usize = 8;

/// Whom to ask when a member does not answer: SWIM's k.
const HELPERS: usize = 2;

/// Dials begun in one interval at most, so that a newcomer in a large swarm does not fall upon it.
const DIALS: usize = 4;

/// A dial is taken for failed after so many times the wait for an answer.
const DIAL_WAIT: u32 = 10;

/// What is being looked at.
#[derive(Debug)]
pub(crate) struct Probes {
    /// Connected members that have not had their turn in this round. By turns and not by lot: each is
    /// probed within two rounds.
    turns: Vec<MemberId>,
    next: Instant,
    running: BTreeMap<MemberId, Probe>,
    /// Whom to look at, and when.
    looks: Vec<(Instant, MemberId)>,
}

#[derive(Debug)]
struct Probe {
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug)]
enum Stage {
    /// It is being dialled.
    Connecting,
    Direct,
    /// Others are asked: so many, of whom so many have not answered, and so many did not reach it.
    Through {
        open: usize,
        refused: usize,
    },
}

impl Probes {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            turns: Vec::new(),
            next: now,
            running: BTreeMap::new(),
            looks: Vec::new(),
        }
    }

    pub(crate) fn drop(&mut self, id: &MemberId) {
        self.running.remove(id);
        self.looks.retain(|(_, look)| look != id);
    }
}

impl Core {
    pub(super) fn probe_tick(&mut self, now: Instant) {
        let over = self
            .probes
            .running
            .iter()
            .filter(|(_, it)| it.deadline <= now);
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.probe_unconnected(id, now);
        }
        let due: Vec<_> = self
            .probes
            .looks
            .extract_if(.., |(at, _)| *at <= now)
            .collect();
        for (_, id) in due {
            if !self.is_settled(&id) {
                self.start_probe(id, now);
            }
        }
        if now >= self.probes.next {
            self.probes.next = now + self.health.stretch(self.settings.probe);
            if let Some(id) = self.next_turn() {
                self.start_probe(id, now);
            }
            self.dial_neighbours(now);
        }
    }

    fn next_turn(&mut self) -> Option<MemberId> {
        loop {
            if self.probes.turns.is_empty() {
                let linked = self.marks.linked().filter(|id| self.roster.is_in(id));
                self.probes.turns = linked.collect();
                self.probes.turns.shuffle(&mut self.rng);
            }
            let id = self.probes.turns.pop()?;
            if self.marks.is_linked(&id) && self.roster.is_in(&id) {
                return Some(id);
            }
        }
    }

    /// Looks at a member soon, at a moment by chance, unless others have by then.
    pub(super) fn verify_soon(&mut self, id: MemberId, now: Instant) {
        // The more are near it, the longer they wait: a few of them are enough, and gossip needs a second.
        let near = self.marks.linked().count();
        let share = u32::try_from(near / LOOKERS).unwrap_or(u32::MAX).max(1);
        let looks = &mut self.probes.looks;
        if looks.len() < MAX_LOOKS && looks.iter().all(|(_, look)| *look != id) {
            let wait = self.settings.verify * share;
            let wait = wait.mul_f64(self.rng.random_range(0.0..1.0));
            looks.push((now + wait, id));
        }
    }

    pub(super) fn start_probe(&mut self, id: MemberId, now: Instant) {
        let running = &self.probes.running;
        if id == self.id() || running.len() >= MAX_PROBES || running.contains_key(&id) {
            return;
        }
        if self.marks.is_linked(&id) {
            return self.probe(id, now);
        }
        let deadline = now + self.health.stretch(self.settings.answer * 2);
        let probe = Probe {
            stage: Stage::Connecting,
            deadline,
        };
        self.probes.running.insert(id, probe);
        self.act(Action::Dial(id));
    }

    fn probe(&mut self, id: MemberId, now: Instant) {
        let deadline = now + self.answer_within(&id);
        let probe = Probe {
            stage: Stage::Direct,
            deadline,
        };
        self.probes.running.insert(id, probe);
        let ask = self.probe_of(&id);
        self.ask(id, Purpose::Probe(id, now), ask, now);
    }

    pub(super) fn probe_of(&self, id: &MemberId) -> Ask {
        let standing = self.marks.get(id).map(|mark| &mark.standing);
        let doubted = matches!(standing, Some(Standing::Suspect(_) | Standing::Gone(_)));
        Ask::Probe {
            version: self.author.record().version,
            known: self.roster.get(id).map_or(0, |known| known.version()),
            suspected: doubted,
        }
    }

    /// A second, or four round trips where that is more, or longer while our own health is bad.
    fn answer_within(&self, id: &MemberId) -> Duration {
        let link = self.marks.get(id).and_then(|mark| mark.link);
        let rtt = link.and_then(|link| link.rtt).unwrap_or_default();
        let least = self.settings.answer;
        self.health.stretch((rtt * 4).clamp(least, least * 3))
    }

    /// Its connection has come: a probe that waited for it goes on.
    pub(super) fn probe_connected(&mut self, id: MemberId, now: Instant) {
        let probe = self.probes.running.get(&id);
        if probe.is_some_and(|probe| matches!(probe.stage, Stage::Connecting)) {
            self.probe(id, now);
        }
    }

    /// It cannot be connected, has hung up, or has not answered in time.
    pub(super) fn probe_unconnected(&mut self, id: MemberId, now: Instant) {
        match self.probes.running.get(&id).map(|probe| &probe.stage) {
            None => {}
            // A stranger, or one who is gone: nobody else need look for it.
            Some(_) if !self.roster.is_in(&id) => drop(self.probes.running.remove(&id)),
            Some(Stage::Connecting | Stage::Direct) => self.ask_others(id, now),
            Some(Stage::Through { refused, .. }) => {
                if *refused == 0 {
                    // Not even a no from those who should be near: perhaps it is us.
                    self.health.worse();
                }
                self.probe_failed(id, now);
            }
        }
    }

    fn ask_others(&mut self, id: MemberId, now: Instant) {
        let others = self.marks.trusted().filter(|other| *other != id);
        let helpers = others.choose_multiple(&mut self.rng, HELPERS);
        let open = helpers.len();
        if open == 0 {
            return self.probe_failed(id, now);
        }
        let deadline = now + self.health.stretch(self.settings.indirect);
        let stage = Stage::Through { open, refused: 0 };
        self.probes.running.insert(id, Probe { stage, deadline });
        for helper in helpers {
            self.ask(helper, Purpose::Through(id), Ask::Reach(id), now);
        }
    }

    fn probe_failed(&mut self, id: MemberId, now: Instant) {
        self.probes.running.remove(&id);
        self.accuse(id, now);
    }

    pub(super) fn probe_answered(
        &mut self,
        id: MemberId,
        record: Option<Arc<Verified>>,
        asked: Instant,
        now: Instant,
    ) {
        if let Some(record) = record.filter(|record| record.id() == id) {
            self.learn(record, now);
        }
        if self.probes.running.remove(&id).is_some() {
            self.health.better();
        }
        if let Some(link) = self.marks.existing(&id).and_then(|mark| mark.link.as_mut()) {
            link.rtt = Some(now.saturating_duration_since(asked));
        }
    }

    /// Somebody else reaches it.
    pub(super) fn probe_reached(&mut self, id: MemberId) {
        self.probes.running.remove(&id);
    }

    /// One of those who were asked does not reach it, or did not answer.
    pub(super) fn probe_not_reached(&mut self, id: MemberId, answered: bool, now: Instant) {
        let Some(probe) = self.probes.running.get_mut(&id) else {
            return;
        };
        let Stage::Through { open, refused } = &mut probe.stage else {
            return;
        };
        *open = open.saturating_sub(1);
        *refused += usize::from(answered);
        if *open == 0 {
            self.probe_unconnected(id, now);
        }
    }

    fn dial_neighbours(&mut self, now: Instant) {
        let mut dials = 0;
        for id in self.neighbours.all(&self.roster) {
            let mark = self.marks.get(&id);
            let free = mark.is_none_or(|mark| {
                let redial = &mark.redial;
                mark.link.is_none()
                    && redial.not_before.is_none_or(|at| at <= now)
                    && redial.until.is_none_or(|at| at <= now)
            });
            if free {
                let until = now + self.settings.answer * DIAL_WAIT;
                self.marks.of(id).redial.until = Some(until);
                self.act(Action::Dial(id));
                dials += 1;
            }
            if dials == DIALS {
                return;
            }
        }
    }
}
