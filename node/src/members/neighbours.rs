//! [`Neighbours`]: whom a member keeps connections to.

use std::collections::{BTreeSet, HashSet};

use store::wire::member::MemberId;

use super::roster::Roster;
use super::settings::{CHOSEN, FULL, SUCCESSORS};

/// Everybody up to [`FULL`] members; above, [`CHOSEN`] by rendezvous hashing and the next
/// [`SUCCESSORS`] by id. The hash has a salt of one's own, so nobody can choose an id that is chosen.
#[derive(Debug)]
pub(crate) struct Neighbours {
    local: MemberId,
    salt: u64,
    /// By score, the lowest; empty while there are few members.
    chosen: BTreeSet<(u64, MemberId)>,
    successors: Vec<MemberId>,
}

impl Neighbours {
    pub(crate) fn new(local: MemberId, salt: u64) -> Self {
        Self {
            local,
            salt,
            chosen: BTreeSet::new(),
            successors: Vec::new(),
        }
    }

    pub(crate) fn contains(&self, roster: &Roster, id: &MemberId) -> bool {
        *id != self.local
            && roster.is_in(id)
            && (roster.members() <= FULL
                || self.successors.contains(id)
                || self.chosen.contains(&(self.score(id), *id)))
    }

    /// All of them.
    pub(crate) fn all(&self, roster: &Roster) -> Vec<MemberId> {
        if roster.members() <= FULL {
            let inside = roster.inside().map(|member| member.id());
            return inside.filter(|id| *id != self.local).collect();
        }
        let chosen = self.chosen.iter().map(|(_, id)| *id);
        let all: HashSet<_> = chosen.chain(self.successors.iter().copied()).collect();
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        all
    }

    /// A member has come in.
    pub(crate) fn joined(&mut self, roster: &Roster, id: MemberId) {
        if roster.members() <= FULL || id == self.local {
            return;
        }
        if self.chosen.len() < CHOSEN {
            return self.choose(roster);
        }
        self.chosen.insert((self.score(&id), id));
        self.chosen.pop_last();
        self.successors = roster.successors(&self.local, SUCCESSORS);
    }

    /// A member is out.
    pub(crate) fn parted(&mut self, roster: &Roster, id: &MemberId) {
        if roster.members() <= FULL {
            self.chosen.clear();
            self.successors.clear();
            return;
        }
        self.chosen.remove(&(self.score(id), *id));
        if self.successors.contains(id) {
            self.successors = roster.successors(&self.local, SUCCESSORS);
        }
        // Not at each loss: it goes over all members.
        if self.chosen.len() < CHOSEN * 3 / 4 {
            self.choose(roster);
        }
    }

    fn choose(&mut self, roster: &Roster) {
        self.chosen.clear();
        for member in roster.inside() {
            let id = member.id();
            if id == self.local {
                continue;
            }
            let score = self.score(&id);
            let full = self.chosen.len() >= CHOSEN;
            if !full || self.chosen.last().is_some_and(|&(last, _)| score < last) {
                self.chosen.insert((score, id));
                if full {
                    self.chosen.pop_last();
                }
            }
        }
        self.successors = roster.successors(&self.local, SUCCESSORS);
    }

    /// `SplitMix64`'s finisher over a part of the key, which nobody can choose quickly enough to meet
    /// a secret salt.
    fn score(&self, id: &MemberId) -> u64 {
        let part = id.0[8..16].try_into().expect("8 bytes");
        let mut mixed = self.salt ^ u64::from_be_bytes(part);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
