//! What follows from answers, from their absence, and from peers that come and go.

use std::time::Duration;

use store::Cid;

use super::peers::STRIKES;
use super::tree::State;
use super::{
    Action, Answer, Failure, Outcome, PeerName, Reason, RequestId, Scheduler, Standing, Time,
};

/// A peer that lets this many deadlines' time pass is dropped, and not before [`LEAST_SILENCE`].
const DEADLINES: u32 = 3;
/// A peer may be silent for so long: the network may need as much for a dial that fails over.
const LEAST_SILENCE: Duration = Duration::from_secs(15);

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
            |(id, request): (&RequestId, &super::Request<P>)| (request.peer == peer).then_some(*id);
        let requests: Vec<_> = self.requests.iter().filter_map(of_peer).collect();
        for id in requests {
            self.release(id);
            self.requests.remove(&id);
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

    /// Queues what this request still owns.
    fn release(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        for cid in &request.cids {
            let Some(ix) = self.tree.find(cid) else {
                continue;
            };
            if self.tree.items[ix].state == State::Asked(id) {
                self.tree.set(ix, State::Queued);
            }
        }
    }

    /// The request is over: what it owns is queued, and its peer owes it no longer.
    fn close(&mut self, id: RequestId) -> Option<super::Request<P>> {
        self.release(id);
        let request = self.requests.remove(&id)?;
        let peer = self.peers.all.get_mut(&request.peer)?;
        peer.requests -= 1;
        peer.manifests -= u32::from(request.manifest);
        if request.overdue {
            peer.overdue -= u32::from(!request.received);
        } else {
            peer.owed -= request.bytes;
        }
        peer.nothing_at = None;
        Some(request)
    }

    pub(super) fn received(&mut self, now: Time, id: RequestId, bytes: u64, over: bool) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.pace.received(now, request.sent, bytes);
        peer.answered = true;
        peer.strikes = 0;
        request.came += bytes;
        if !over {
            if !request.overdue {
                request.deadline = now + peer.pace.patience(peer.owed);
            }
            return;
        }
        peer.overdue -= u32::from(request.overdue && !request.received);
        request.received = true;
        // Bytes that did not come are owed no longer.
        if !request.overdue {
            let less = request.bytes.saturating_sub(request.came);
            request.bytes -= less;
            peer.owed -= less;
        }
    }

    pub(super) fn answered(&mut self, now: Time, answer: Answer, actions: &mut Vec<Action<P>>) {
        let Answer {
            request: id,
            blocks,
            more,
            lie,
            over,
        } = answer;
        let request = self.requests.get(&id);
        let peer = request.map(|request| request.peer);
        let slot = peer
            .and_then(|peer| self.peers.all.get(&peer))
            .map(|peer| peer.slot);
        let nothing = !blocks
            .iter()
            .any(|block| matches!(block, Outcome::Stored(_)));
        let mut cut = false;
        let mut nodes = Vec::new();
        for block in blocks {
            match block {
                Outcome::Stored(stored) => {
                    self.progress(now, u64::from(stored.size));
                    nodes.push(stored.cid);
                    if let Some(liar) = self.tree.arrived(stored, slot) {
                        self.called_leaf(liar, nodes[nodes.len() - 1], actions);
                    }
                }
                Outcome::NotFound(cid) => self.lacks(&cid, slot),
                Outcome::Cut(_) => cut = true,
            }
        }
        if !over && lie.is_none() {
            if let Some(peer) = peer.and_then(|peer| self.peers.all.get_mut(&peer)) {
                peer.proven |= !nothing;
            }
            if let Some(request) = self.requests.get_mut(&id) {
                request.gave |= !nothing;
            }
            return;
        }
        let Some(request) = self.close(id) else {
            return;
        };
        let nothing = nothing && !request.gave;
        if request.manifest && (!more || nothing) {
            for cid in request.cids.iter().filter(|cid| !nodes.contains(cid)) {
                self.lacks(cid, slot);
            }
            let slot = slot.unwrap_or_default();
            for cid in &nodes {
                self.tree.lacking_below(cid, slot);
            }
        }
        if let Some(lie) = lie {
            return self.drop_peer(request.peer, Reason::Lied(lie), actions);
        }
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.answered = true;
        peer.strikes = 0;
        peer.proven |= !nothing;
        if !nothing {
            peer.empty = 0;
        } else if !cut {
            peer.empty += 1;
            peer.back_off(now, peer.empty);
        } else {
            // All cut and nothing given: it breaks the rule that the first block comes in any case.
            peer.strikes += 1;
            peer.back_off(now, peer.strikes);
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
        peer.not_before = peer.not_before.max(now + retry);
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
        peer.strikes += 1;
        let reason = match failure {
            Failure::Violation(what) => Reason::Violation(what),
            Failure::Refused(why) => Reason::Refused(why),
            Failure::Unreachable(why) => Reason::Unreachable(why),
            Failure::Broken(why) if peer.strikes >= STRIKES => Reason::Unreachable(why),
            Failure::TimedOut if peer.strikes >= 2 => {
                Reason::Silent(now.saturating_sub(request.sent_at))
            }
            Failure::Broken(_) | Failure::TimedOut => {
                let strikes = peer.strikes;
                return peer.back_off(now, strikes);
            }
        };
        self.drop_peer(request.peer, reason, actions);
    }

    /// Deadlines: what is overdue may be asked of others, and who is silent for long is dropped.
    pub(super) fn expire(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        let late = |(id, request): (&RequestId, &super::Request<P>)| {
            (!request.received && !request.overdue && request.deadline <= now).then_some(*id)
        };
        let late: Vec<_> = self.requests.iter().filter_map(late).collect();
        for id in late {
            self.release(id);
            let Some(request) = self.requests.get_mut(&id) else {
                continue;
            };
            request.overdue = true;
            if let Some(peer) = self.peers.all.get_mut(&request.peer) {
                peer.overdue += 1;
                peer.owed -= request.bytes;
            }
        }
        let silent = |request: &super::Request<P>| {
            let over = request.overdue && !request.received && self.silent_at(request) <= now;
            over.then_some((request.peer, now.saturating_sub(request.sent_at)))
        };
        let silent: Vec<_> = self.requests.values().filter_map(silent).collect();
        for (peer, after) in silent {
            self.drop_peer(peer, Reason::Silent(after), actions);
        }
    }

    /// When the peer of an overdue request is dropped.
    #[allow(clippy::unused_self, reason = "reads as a question to the scheduler")]
    pub(super) fn silent_at(&self, request: &super::Request<P>) -> Time {
        let patience = request.deadline.saturating_sub(request.sent_at);
        request.sent_at + (patience * DEADLINES).max(LEAST_SILENCE)
    }
}
