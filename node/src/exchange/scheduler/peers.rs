//! [`Peers`]: who may be asked, how each has done so far, and who is out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::pace::Pace;
use super::{PeerName, Standing, Time};

/// Peers of one session at most: as many as there are bits for who lacks a block. Sixty-four of them
/// fill any link.
pub(super) const MAX_PEERS: usize = 64;
/// Peers that misbehaved and are remembered; beyond it the first is forgotten, and has to be caught
/// again.
const MAX_BANNED: usize = 256;
/// Requests that one peer has at once. request-response has room for 100 streams on a connection,
/// shared with what the peer asks of us and with other sessions.
pub(super) const REQUESTS: u32 = 16;
/// Of them Manifests: they go ahead of leaves and must not take their room.
pub(super) const MANIFESTS: u32 = 2;
/// A peer that breaks off this often in a row is dropped.
pub(super) const STRIKES: u32 = 4;
/// The first wait after a break, and after an answer that held nothing; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) slot: u8,
    pub(super) standing: Standing,
    pub(super) pace: Pace,
    /// Bytes that it owes us.
    pub(super) owed: u64,
    pub(super) requests: u32,
    pub(super) manifests: u32,
    /// Requests whose deadline has passed: it gets no further ones until it answers.
    pub(super) overdue: u32,
    pub(super) not_before: Time,
    /// Failures since the last answer.
    pub(super) strikes: u32,
    /// Answers in a row that held nothing.
    pub(super) empty: u32,
    /// It has answered, whatever.
    pub(super) answered: bool,
    /// It has given a block.
    pub(super) proven: bool,
    /// Nothing that was queued at this generation can be asked of it.
    pub(super) nothing_at: Option<u64>,
}

impl Peer {
    /// Whether it may be asked something now.
    pub(super) fn is_free(&self, now: Time) -> bool {
        let most = if self.proven { REQUESTS } else { 1 };
        self.overdue == 0 && self.not_before <= now && self.requests < most
    }

    /// Who is asked first: the greater.
    pub(super) fn merit(&self) -> (bool, Option<u64>, u16, u64) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1000"
        )]
        let success = (self.standing.success.clamp(0.0, 1.0) * 1000.0) as u16;
        (self.proven, self.pace.rate(), success, self.standing.rate)
    }

    /// Not to be asked for a while, twice as long each time.
    pub(super) fn back_off(&mut self, now: Time, times: u32) {
        let wait = FIRST_WAIT.saturating_mul(1 << times.saturating_sub(1).min(10));
        self.not_before = self.not_before.max(now + wait.min(LONGEST_WAIT));
    }
}

#[derive(Debug)]
pub(super) struct Peers<P> {
    pub(super) all: BTreeMap<P, Peer>,
    banned: VecDeque<P>,
    /// Peers that were ever here.
    pub(super) seen: u64,
}

impl<P: PeerName> Peers<P> {
    pub(super) const fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            banned: VecDeque::new(),
            seen: 0,
        }
    }

    /// Takes a peer in, unless it is here, out, or one too many. Returns its slot.
    pub(super) fn add(&mut self, name: P, standing: Standing, window: u64) -> Option<u8> {
        if self.all.contains_key(&name) || self.banned.contains(&name) {
            return None;
        }
        let used: u64 = self
            .all
            .values()
            .fold(0, |used, peer| used | 1 << peer.slot);
        let slot = u8::try_from(used.trailing_ones())
            .ok()
            .filter(|&s| usize::from(s) < MAX_PEERS)?;
        self.seen += 1;
        let peer = Peer {
            slot,
            standing,
            pace: Pace::new(window),
            owed: 0,
            requests: 0,
            manifests: 0,
            overdue: 0,
            not_before: Time::ZERO,
            strikes: 0,
            empty: 0,
            answered: false,
            proven: false,
            nothing_at: None,
        };
        self.all.insert(name, peer);
        Some(slot)
    }

    pub(super) fn ban(&mut self, name: P) {
        if self.banned.len() == MAX_BANNED {
            self.banned.pop_front();
        }
        self.banned.push_back(name);
    }

    pub(super) fn in_slot(&self, slot: u8) -> Option<P> {
        self.all
            .iter()
            .find(|(_, peer)| peer.slot == slot)
            .map(|(name, _)| *name)
    }

    pub(super) fn any_proven(&self) -> bool {
        self.all.values().any(|peer| peer.proven)
    }

    /// Bytes that all together owe us.
    pub(super) fn owed(&self) -> u64 {
        self.all.values().map(|peer| peer.owed).sum()
    }
}
