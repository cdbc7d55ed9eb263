//! What follows from answers, from their absence, and from peers that come and go.

use std::time::Duration;

use store::Cid;

use super::peers::{Holds, PROVEN_STRIKES, STRIKES};
use super::request::{Kind, Request};
use super::tree::State;
use super::{
    Action, Answer, Failure, Outcome, PeerName, Reason, RequestId, Scheduler, Standing, Time,
};

/// Leaves that a peer may say to have and not have: one that is scrubbed or collected meanwhile.
const BROKEN_WORDS: u32 = 16;

impl<P: PeerName> Scheduler<P> {
    pub(super) fn appeared(&mut self, peer: P, standing: Standing) {
        let window = self.task.limits.peer_bytes;
        if let Some(slot) = self.peers.add(peer, standing, window) {
            self.tree.clear_slot(slot);
        }
    }

    /// Forgets a peer: its requests are others' from now on.
    pub(super) fn gone(&mut self, peer: P) {
        let of_peer =
            |(id, request): (&RequestId, &Request<P>)| (request.peer == peer).then_some(*id);
        let requests: Vec<_> = self.requests.iter().filter_map(of_peer).collect();
        for id in requests {
            self.close(id);
        }
        self.peers.all.remove(&peer);
    }

    pub(super) fn drop_peer(&mut self, peer: P, reason: Reason, actions: &mut Vec<Action<P>>) {
        if !self.peers.all.contains_key(&peer) {
            return;
        }
        self.gone(peer);
        if reason.is_hostile() {
            self.peers.ban(peer);
        }
        actions.push(Action::Drop { peer, reason });
    }

    pub(super) fn received(&mut self, now: Time, id: RequestId, bytes: u64, over: bool) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        if peer.snubbed.take().is_some() {
            peer.pace.restart();
        }
        peer.pace.received(now, request.sent, bytes);
        peer.answered = true;
        peer.strikes = 0;
        peer.heard = now;
        peer.nothing_at = None;
        let came = bytes.min(request.owed);
        request.owed -= came;
        peer.owed -= came;
        self.owed -= came;
        request.held += bytes;
        self.held += bytes;
        if !request.overdue {
            request.deadline = now + peer.pace.patience(peer.owed);
        }
        if over {
            self.all_came(id);
        }
    }

    pub(super) fn answered(&mut self, now: Time, answer: Answer, actions: &mut Vec<Action<P>>) {
        let id = answer.request;
        let request = self.requests.get(&id);
        let peer = request.and_then(|request| self.peers.all.get(&request.peer));
        let slot = peer.map(|peer| peer.slot);
        let covered = answer.blocks.len();
        let (over, more) = (answer.over || answer.lie.is_some(), answer.more);
        let (mut cut, mut bytes) = (false, 0);
        let mut nodes = Vec::new();
        let mut others = Vec::new();
        for block in answer.blocks {
            match block {
                Outcome::Stored(stored) => {
                    self.progress(now, u64::from(stored.size));
                    bytes += u64::from(stored.size);
                    nodes.push(stored.cid);
                    self.came_again(id, &stored);
                    others.extend(self.also_asked(id, &stored.cid));
                    if let Some(liar) = self.tree.arrived(stored, slot) {
                        self.called_leaf(liar, nodes[nodes.len() - 1], actions);
                    }
                }
                Outcome::NotFound(cid) => self.not_there(now, id, &cid, slot),
                Outcome::Cut(cid) => {
                    cut = true;
                    if let Some(ix) = self.tree.find(&cid) {
                        self.let_go(id, ix);
                    }
                }
            }
        }
        others.sort_unstable();
        others.dedup();
        for other in others {
            self.trim(other, actions);
        }
        self.took_in(id, covered, bytes, !nodes.is_empty());
        if !over {
            return;
        }
        let Some(request) = self.close(id) else {
            return;
        };
        if !more || !request.gave {
            self.not_given(&request, &nodes, slot);
        }
        if let Some(lie) = answer.lie {
            return self.drop_peer(request.peer, Reason::Lied(lie), actions);
        }
        self.gave(now, &request, cut);
    }

    /// Keeps account of a part that has been taken in.
    fn took_in(&mut self, id: RequestId, covered: usize, bytes: u64, gave: bool) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.gave |= gave;
        let bytes = bytes.min(request.held);
        request.held -= bytes;
        self.held -= bytes;
        if let Kind::Leaves(leaves) = &mut request.kind {
            leaves.next += covered;
        }
        if let Some(peer) = self.peers.all.get_mut(&request.peer) {
            peer.proven |= gave;
        }
    }

    /// What a Manifest asked for, and what hangs below what it gave, and did not come: its peer has
    /// none of it.
    fn not_given(&mut self, request: &Request<P>, nodes: &[Cid], slot: Option<u8>) {
        let Kind::Manifest(asked) = &request.kind else {
            return;
        };
        for cid in asked.iter().filter(|cid| !nodes.contains(cid)) {
            self.lacks(cid, slot);
        }
        for cid in nodes {
            self.tree.lacking_below(cid, slot.unwrap_or_default());
        }
    }

    /// Whether the peer is to be left alone for a while after this answer.
    fn gave(&mut self, now: Time, request: &Request<P>, cut: bool) {
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        (peer.answered, peer.strikes) = (true, 0);
        let cancelled = match &request.kind {
            Kind::Leaves(leaves) => leaves.end < leaves.all.len(),
            Kind::Manifest(_) | Kind::Have(_) => false,
        };
        if request.gave {
            peer.empty = 0;
        } else if cancelled || (request.is_get() && !peer.poll.never && !cut) {
            // Nothing is owed; and what it has it says when asked.
        } else if !cut {
            peer.empty += 1;
            peer.back_off(now, peer.empty);
        } else {
            // All cut and nothing given: it breaks the rule that the first block comes in any case.
            peer.strikes += 1;
            peer.back_off(now, peer.strikes);
        }
    }

    /// Keeps account of leaves that were fetched twice.
    fn came_again(&mut self, id: RequestId, stored: &super::Stored) {
        let size = u64::from(stored.size);
        match self.tree.find(&stored.cid).map(|ix| &self.tree.items[ix]) {
            Some(item) if item.copy != 0 => self.copies_out -= u64::from(item.size),
            None if self.requests.get(&id).is_some_and(Request::is_get) => self.twice += size,
            _ => {}
        }
    }

    /// The other requests that bring this block.
    fn also_asked(&self, id: RequestId, cid: &Cid) -> impl Iterator<Item = RequestId> + use<P> {
        let item = self.tree.find(cid).map(|ix| &self.tree.items[ix]);
        let owner = item.and_then(|item| match item.state {
            State::Asked(owner) => Some(owner),
            _ => None,
        });
        let copy = item.map(|item| item.copy).filter(|copy| *copy != 0);
        owner
            .into_iter()
            .chain(copy)
            .filter(move |other| *other != id)
    }

    /// The peer does not have a block that it was asked for.
    fn not_there(&mut self, now: Time, id: RequestId, cid: &Cid, slot: Option<u8>) {
        self.lacks(cid, slot);
        let Some(ix) = self.tree.find(cid) else {
            return;
        };
        self.let_go(id, ix);
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        if let Some(peer) = self.peers.all.get_mut(&request.peer) {
            // Said to be there, and not: after some of these its word is not asked for any more.
            peer.poll.broken += u32::from(peer.holds != Holds::Unknown);
            peer.poll.never |= peer.poll.broken > BROKEN_WORDS;
            peer.poll.at = peer.poll.at.min(now);
        }
    }

    fn lacks(&mut self, cid: &Cid, slot: Option<u8>) {
        if let (Some(ix), Some(slot)) = (self.tree.find(cid), slot) {
            self.tree.items[ix].lacks |= 1 << slot;
        }
    }

    fn called_leaf(&mut self, slot: u8, cid: Cid, actions: &mut Vec<Action<P>>) {
        if let Some(liar) = self.peers.in_slot(slot) {
            let lie = format!("it called `{cid}` a leaf, which has links");
            self.drop_peer(liar, Reason::Lied(lie), actions);
        }
    }

    fn progress(&mut self, now: Time, bytes: u64) {
        self.fetched_blocks += 1;
        self.fetched_bytes += bytes;
        self.last_progress = Some(now);
        self.waiting_since = Some(now);
    }

    pub(super) fn busy(&mut self, now: Time, id: RequestId, retry: Duration) {
        let Some(request) = self.close(id) else {
            return;
        };
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.answered = true;
        peer.heard = now;
        if peer.snubbed.take().is_some() {
            peer.pace.restart();
        }
        if let Kind::Have(_) = request.kind {
            peer.poll.at = now + retry;
        } else {
            peer.not_before = peer.not_before.max(now + retry);
        }
    }

    pub(super) fn failed(
        &mut self,
        now: Time,
        id: RequestId,
        failure: Failure,
        actions: &mut Vec<Action<P>>,
    ) {
        let Some(request) = self.close(id) else {
            return;
        };
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        if let (Kind::Have(_), Failure::Refused(_)) = (&request.kind, &failure) {
            // It is not asked what it has, but for what it may have.
            return self.never_tells(request.peer);
        }
        if peer.not_before > now && matches!(failure, Failure::Broken(_) | Failure::TimedOut) {
            // All its requests break off at once: that is one failure.
            return;
        }
        peer.strikes += 1;
        let most = if peer.proven { PROVEN_STRIKES } else { STRIKES };
        let reason = match failure {
            Failure::Violation(what) => Reason::Violation(what),
            Failure::Refused(why) => Reason::Refused(why),
            Failure::Unreachable(why) if !peer.proven || peer.strikes >= most => {
                Reason::Unreachable(why)
            }
            Failure::Broken(why) if peer.strikes >= most => Reason::Unreachable(why),
            Failure::TimedOut if peer.strikes >= 2 && !peer.proven => {
                Reason::Silent(now.saturating_sub(request.sent_at))
            }
            Failure::Broken(_) | Failure::TimedOut | Failure::Unreachable(_) => {
                let strikes = peer.strikes;
                peer.snubbed = None;
                return peer.back_off(now, strikes);
            }
        };
        self.drop_peer(request.peer, reason, actions);
    }
}
