//! [`Peers`]: who may be asked, how each has done so far, and who is out.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use super::holders::Round;
use super::pace::Pace;
use super::place::Path;
use super::{PeerName, RequestId, Standing, Time};

/// Peers of one session at most: as many as there are bits for who lacks a block. Sixty-four of them
/// fill any link.
pub(super) const MAX_PEERS: usize = 64;
/// Peers that misbehaved and are remembered; beyond it the first is forgotten, and has to be caught
/// again.
const MAX_BANNED: usize = 256;
/// Requests that one peer has at once, so that what is kept of each is bounded.
pub(super) const REQUESTS: usize = 16;
/// Of them Manifests: they go ahead of leaves and must not take their room.
pub(super) const MANIFESTS: u32 = 2;
/// A peer that breaks off this often in a row is dropped, if it never gave anything.
pub(super) const STRIKES: u32 = 4;
/// The same for one that has: by the waits below that is most of a minute.
pub(super) const PROVEN_STRIKES: u32 = 12;
/// The first wait after a break, and after an answer that held nothing; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest for a peer that has given something: it is to be used soon after it returns.
const LONGEST_PROVEN_WAIT: Duration = Duration::from_secs(4);

/// What is known of a peer's holdings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Nothing yet: whatever it is asked for it may have.
    Unknown,
    /// It said that it has all it was asked about.
    All,
    /// It has what it says, and no more until it says so.
    Part,
}

/// When a peer is asked next what it has.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) at: Time,
    pub(super) wait: Duration,
    pub(super) under_way: bool,
    /// It does not answer such questions, or not truly.
    pub(super) never: bool,
    /// Leaves that it said to have, and had not.
    pub(super) broken: u32,
    /// The last node that it was asked about: the next question goes on there.
    pub(super) last: Option<(Path, u32)>,
    /// What has come of the questions since the first node.
    pub(super) round: Round,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) slot: u8,
    pub(super) standing: Standing,
    pub(super) pace: Pace,
    /// Requests that it has not answered to the end, the oldest first.
    pub(super) open: Vec<RequestId>,
    /// Bytes that it owes us.
    pub(super) owed: u64,
    pub(super) gets: u32,
    pub(super) manifests: u32,
    /// Manifests whose deadline has passed: it gets no further ones until it answers.
    pub(super) overdue: u32,
    /// When something last came of it, or it began to owe us something.
    pub(super) heard: Time,
    /// The largest leaf that it was asked for lately: what it is about to send.
    pub(super) leaf: u32,
    /// It let its deadline pass: it has one leaf to prove itself by, and gets no further ones.
    pub(super) snubbed: Option<Time>,
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
    pub(super) holds: Holds,
    pub(super) poll: Poll,
    /// Where its last extent ended, and how many bytes may still follow there.
    pub(super) run: Option<(u32, u32, u64)>,
    /// A number that all who know this peer make of its name.
    pub(super) salt: u64,
}

impl Peer {
    /// Whether it may be asked something now.
    pub(super) fn is_free(&self, now: Time) -> bool {
        let most = if self.proven && self.strikes == 0 {
            REQUESTS
        } else {
            1
        };
        let open = self.open.len() - usize::from(self.poll.under_way);
        self.overdue == 0 && self.snubbed.is_none() && self.not_before <= now && open < most
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
        let longest = if self.proven {
            LONGEST_PROVEN_WAIT
        } else {
            LONGEST_WAIT
        };
        self.not_before = self.not_before.max(now + wait.min(longest));
    }

    /// Bytes that it owes and that are not on their way by now, as far as its rate tells: no more
    /// than one leaf can be half here.
    pub(super) fn queued(&self, now: Time) -> u64 {
        let rate = self.pace.rate().unwrap_or_default();
        let since = now.saturating_sub(self.heard);
        let sent = super::pace::in_time(rate, since).min(u64::from(self.leaf) * 3 / 4);
        self.owed.saturating_sub(sent)
    }

    /// When it will have sent so much of what it owes that it has room for a request; `None` where that
    /// does not come before its next part, or has come.
    pub(super) fn thirsts_at(&self, now: Time) -> Option<Time> {
        let rate = self.pace.rate()?;
        let most = self.pace.window() - self.pace.request_size();
        let over = self.owed.checked_sub(most).filter(|over| *over > 0)?;
        let at = self.heard + super::pace::takes(over, rate) + Duration::from_millis(1);
        (over <= u64::from(self.leaf) * 3 / 4 && at > now).then_some(at)
    }

    /// How long until it has sent what it owes and `more` bytes; `None` where its rate is not known.
    pub(super) fn takes(&self, now: Time, more: u64) -> Option<Duration> {
        let rate = self.pace.rate()?;
        let sends = super::pace::takes(self.queued(now) + more, rate);
        Some(self.pace.trip() + sends)
    }

    /// When it is taken for stalled, if nothing comes until then.
    pub(super) fn stalls_at(&self) -> Option<Time> {
        (self.gets > 0 && self.snubbed.is_none())
            .then(|| self.heard + self.pace.leaf_patience(u64::from(self.leaf)))
    }
}

#[derive(Debug)]
pub(super) struct Peers<P> {
    pub(super) all: BTreeMap<P, Peer>,
    banned: VecDeque<P>,
    /// Peers that were ever here.
    pub(super) seen: u64,
}

/// The same number for the same name everywhere, so that downloaders divide leaves without a word.
pub(super) fn salt<P: PeerName>(name: P) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
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
        let poll = Poll {
            at: Time::ZERO,
            wait: Duration::ZERO,
            under_way: false,
            never: false,
            broken: 0,
            last: None,
            round: Round::default(),
        };
        let peer = Peer {
            slot,
            standing,
            pace: Pace::new(window),
            open: Vec::new(),
            owed: 0,
            gets: 0,
            manifests: 0,
            overdue: 0,
            heard: Time::ZERO,
            leaf: 0,
            snubbed: None,
            not_before: Time::ZERO,
            strikes: 0,
            empty: 0,
            answered: false,
            proven: false,
            nothing_at: None,
            holds: Holds::Unknown,
            poll,
            run: None,
            salt: salt(name),
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

    /// Peers that hold a part only: others who download.
    pub(super) fn any_part(&self) -> bool {
        self.all.values().any(|peer| peer.holds == Holds::Part)
    }

    /// The slots of those that may be asked sooner or later.
    pub(super) fn slots(&self) -> u64 {
        let usable = self.all.values().filter(|peer| peer.snubbed.is_none());
        usable.fold(0, |slots, peer| slots | 1 << peer.slot)
    }

    /// Bytes per second of all together.
    pub(super) fn rate(&self) -> u64 {
        let usable = self.all.values().filter(|peer| peer.snubbed.is_none());
        usable.filter_map(|peer| peer.pace.rate()).sum()
    }
}
