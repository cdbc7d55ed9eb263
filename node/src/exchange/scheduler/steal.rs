//! Slow peers' leaves: the tail of what one owes goes to another that would be done sooner, and at the
//! end of a download a second copy of a leaf is fetched where its owner is far slower.
//!
//! What is cancelled may be on its way, and of two copies one is fetched for nothing: so the first leaf
//! that a peer owes is never taken from it but copied, and copies have a budget.

use std::time::Duration;

use super::peers::Peer;
use super::pick::Pick;
use super::tree::{Ix, State};
use super::{Action, PeerName, RequestId, Scheduler, Time};

/// A leaf changes hands if it comes sooner by a quarter of the time, and by this much.
const GAIN: Duration = Duration::from_millis(50);
/// What is expected within this time and a round trip its owner has read already, and sends whatever we
/// cancel: its pipe for us is 200 ms long (docs/protocol.md), by a rate that was measured when fewer may
/// have shared its uplink.
const PIPED: Duration = Duration::from_millis(700);
/// Of a peer of unknown rate so many bytes are taken to be read: its pipe's room for an asker of unknown rate.
const FIRST_PIPED: u64 = 256 << 10;
/// A leaf is copied if it comes in a third of the time, and sooner by this much.
const COPY_GAIN: Duration = Duration::from_millis(100);
/// What came twice, and copies under way, may be one part in so many of what was fetched.
const COPIES: u64 = 100;
/// But so many leaves in any case: the last ones of a small content may hang on a slow peer too.
const LEAST_COPIES: u64 = 3;
/// Of what readers wait for, so many leaves are looked after.
const RESCUED: usize = 4;
/// Victims that a thief looks at.
const VICTIMS: usize = 4;
/// How often leaves may change hands while there are others to ask for.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A leaf that a peer owes.
#[derive(Clone, Copy, Debug)]
struct Owed {
    request: RequestId,
    /// Its number in the request.
    index: usize,
    ix: Ix,
    size: u64,
    /// Bytes that its peer owes us before it.
    behind: u64,
    /// When it is expected.
    comes: Duration,
}

impl Peer {
    /// How long until the peer has sent what it owes up to `bytes`. A peer that is late already is
    /// expected to be as late again.
    fn sends(&self, now: Time, bytes: u64) -> Duration {
        let since = now.saturating_sub(self.heard);
        let Some(rate) = self.pace.rate() else {
            return Duration::from_secs(1) + since * 2;
        };
        let late =
            since.saturating_sub(super::pace::takes(self.leaf.into(), rate) + self.pace.trip());
        let sent = self.owed - self.queued(now);
        super::pace::takes(bytes.saturating_sub(sent), rate) + late
    }
}

impl<P: PeerName> Scheduler<P> {
    /// Peers that have nothing to do take over from those that would be done later.
    pub(super) fn steal(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        if self.task.mode == super::Mode::OnDemand && self.wants.is_empty() {
            return;
        }
        if self.tree.queued > 0 && now < self.stole_at + PAUSE {
            return;
        }
        self.stole_at = now;
        let generation = self.tree.generation;
        for thief in self.by_merit(now) {
            let peer = &self.peers.all[&thief];
            let idle = self.tree.queued == 0 || peer.nothing_at == Some(generation);
            if !idle || !peer.proven {
                continue;
            }
            while let Some(budget) = self.room(now, thief) {
                if !self.steal_for(now, thief, budget, actions) {
                    break;
                }
            }
        }
    }

    /// What the peer owes, in order, with when each leaf is expected.
    fn owes(&self, now: Time, name: P) -> Vec<Owed> {
        let peer = &self.peers.all[&name];
        let mut bytes = 0;
        let mut owed = Vec::new();
        for id in &peer.open {
            let Some(request) = self.requests.get(id) else {
                continue;
            };
            let super::request::Kind::Leaves(leaves) = &request.kind else {
                continue;
            };
            for (i, (ix, size)) in leaves.open().iter().enumerate() {
                let behind = bytes;
                bytes += u64::from(*size);
                owed.push(Owed {
                    behind,
                    request: *id,
                    index: leaves.next + i,
                    ix: *ix,
                    size: u64::from(*size),
                    comes: peer.sends(now, bytes),
                });
            }
        }
        owed
    }

    fn steal_for(
        &mut self,
        now: Time,
        thief: P,
        budget: u64,
        actions: &mut Vec<Action<P>>,
    ) -> bool {
        let busy = self.peers.all.iter();
        let mut victims: Vec<(Duration, P)> = busy
            .filter(|(name, peer)| peer.gets > 0 && **name != thief)
            .map(|(name, peer)| (peer.sends(now, peer.owed), *name))
            .collect();
        victims.sort_unstable_by(|a, b| b.cmp(a));
        victims.truncate(VICTIMS);
        for (_, victim) in victims {
            let owed = self.owes(now, victim);
            if self.take_tail(now, thief, budget, &owed, actions)
                || self.copy_one(now, thief, &owed, actions)
            {
                return true;
            }
        }
        false
    }

    /// Takes over the last leaves that the thief would bring sooner.
    fn take_tail(
        &mut self,
        now: Time,
        thief: P,
        budget: u64,
        owed: &[Owed],
        actions: &mut Vec<Action<P>>,
    ) -> bool {
        let Some(last) = owed.last() else {
            return false;
        };
        let slot = self.peers.all[&thief].slot;
        let victim = self.requests.get(&last.request).map(|request| request.peer);
        let pace = victim.map(|victim| &self.peers.all[&victim].pace);
        let piped = PIPED + pace.map(super::pace::Pace::trip).unwrap_or_default();
        let is_known = pace.is_some_and(|pace| pace.rate().is_some());
        let in_pipe = if is_known { 0 } else { FIRST_PIPED };
        let mut bytes = 0;
        let mut from = None;
        // The first is on its way.
        for leaf in owed[1..].iter().rev() {
            let more = bytes + leaf.size;
            let Some(takes) = self.peers.all[&thief].takes(now, more) else {
                break;
            };
            let sooner = takes + takes / 4 + GAIN < leaf.comes;
            let fits = bytes == 0 || more <= budget;
            let same = leaf.request == last.request;
            if leaf.comes <= piped
                || leaf.behind < in_pipe
                || !sooner
                || !fits
                || !same
                || !self.can_bring(slot, leaf)
            {
                break;
            }
            (bytes, from) = (more, Some(leaf.index));
        }
        let Some(from) = from else {
            return false;
        };
        self.cancel(last.request, from, actions);
        let mut pick = Pick::new(self.next_request, slot, bytes);
        for leaf in owed
            .iter()
            .filter(|leaf| leaf.request == last.request && leaf.index >= from)
        {
            if let Some((node, index)) = self.place_of(leaf.ix) {
                self.take_leaf(&mut pick, leaf.ix, node, index);
            }
        }
        if pick.is_empty() {
            return false;
        }
        self.send_get(now, thief, pick, false, actions);
        true
    }

    /// Fetches one leaf a second time, the one that is expected last.
    fn copy_one(
        &mut self,
        now: Time,
        thief: P,
        owed: &[Owed],
        actions: &mut Vec<Action<P>>,
    ) -> bool {
        if self.tree.queued > 0 {
            return false;
        }
        let slot = self.peers.all[&thief].slot;
        for leaf in owed.iter().rev() {
            let Some(takes) = self.peers.all[&thief].takes(now, leaf.size) else {
                return false;
            };
            let sooner = takes * 3 < leaf.comes && takes + COPY_GAIN < leaf.comes;
            if sooner && self.can_bring(slot, leaf) && self.copy(now, thief, leaf, false, actions) {
                return true;
            }
        }
        false
    }

    /// Whether the leaf is its request's own, has no copy, and is to be had of the peer in `slot`.
    fn can_bring(&self, slot: u8, leaf: &Owed) -> bool {
        let item = self.tree.items.get(leaf.ix);
        item.is_some_and(|item| {
            item.state == State::Asked(leaf.request)
                && item.copy == 0
                && item.lacks >> slot & 1 == 0
        })
    }

    fn place_of(&self, ix: Ix) -> Option<(u32, u32)> {
        self.tree.items.get(ix)?.parents.first().copied()
    }

    fn copy(
        &mut self,
        now: Time,
        thief: P,
        leaf: &Owed,
        urgent: bool,
        actions: &mut Vec<Action<P>>,
    ) -> bool {
        let most = (self.fetched_bytes / COPIES).max(LEAST_COPIES * leaf.size);
        let Some((node, index)) = self.place_of(leaf.ix) else {
            return false;
        };
        if self.twice + self.copies_out + leaf.size > most {
            return false;
        }
        let slot = self.peers.all[&thief].slot;
        let mut pick = Pick::new(self.next_request, slot, leaf.size);
        if !self.add_leaf(&mut pick, leaf.ix, node, index) {
            return false;
        }
        self.tree.items[leaf.ix].copy = self.next_request;
        self.copies_out += u64::from(self.tree.items[leaf.ix].size);
        self.send_get(now, thief, pick, urgent, actions);
        true
    }

    /// What a reader waits for comes from another where its owner is far slower.
    pub(super) fn rescue(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        if self.wants.is_empty() || now < self.rescued_at + PAUSE {
            return;
        }
        self.rescued_at = now;
        let wanted: Vec<Ix> = self
            .wants
            .iter()
            .filter_map(|cid| self.tree.find(cid))
            .collect();
        let asked = wanted.into_iter().filter(|ix| self.tree.has_place(*ix));
        for ix in asked.take(RESCUED).collect::<Vec<_>>() {
            let State::Asked(id) = self.tree.items[ix].state else {
                continue;
            };
            let Some(owner) = self.requests.get(&id).map(|request| request.peer) else {
                continue;
            };
            let owed = self.owes(now, owner);
            let Some(leaf) = owed.into_iter().find(|leaf| leaf.ix == ix) else {
                continue;
            };
            let free = self.by_merit(now).into_iter().filter(|name| *name != owner);
            let best = free.filter_map(|name| {
                let peer = &self.peers.all[&name];
                let can = peer.proven && self.can_bring(peer.slot, &leaf);
                can.then(|| Some((peer.takes(now, leaf.size)?, name)))?
            });
            let Some((takes, thief)) = best.min() else {
                continue;
            };
            if takes * 3 < leaf.comes && takes + 2 * COPY_GAIN < leaf.comes {
                self.copy(now, thief, &leaf, true, actions);
            }
        }
    }
}
