//! [`Request`]: what is under way, which request owns which leaf, and how leaves change hands.
//!
//! A leaf in flight has one owner. It may have one copy besides: a second request that fetches it too,
//! where the owner is far slower. A request whose leaves have gone to others is cut at its tail.

use super::pace::Sent;
use super::tree::{Ix, State};
use super::{Action, PeerName, RequestId, Scheduler, Time};
use store::Cid;

/// A request under way.
#[derive(Debug)]
pub(super) struct Request<P> {
    pub(super) peer: P,
    pub(super) kind: Kind,
    /// Estimated bytes that are still to come.
    pub(super) owed: u64,
    /// Bytes that have come and are not taken in yet.
    pub(super) held: u64,
    pub(super) sent: Sent,
    pub(super) sent_at: Time,
    /// Of a Manifest or Have; Gets are watched by peer.
    pub(super) deadline: Time,
    /// Whether a block of it has come and was right.
    pub(super) gave: bool,
    /// Whether all has come, be it verified or not.
    pub(super) received: bool,
    /// Whether the deadline has passed: its blocks may be asked of others.
    pub(super) overdue: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    Manifest(Vec<Cid>),
    Have(Vec<Cid>),
    Leaves(Leaves),
}

/// The leaves of a Get.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    /// Which, in the order asked, and their estimated bytes.
    pub(super) all: Vec<(Ix, u32)>,
    /// Those before this one have been answered.
    pub(super) next: usize,
    /// Those from this one on have been cancelled.
    pub(super) end: usize,
}

impl Leaves {
    /// Those that are still to be answered.
    pub(super) fn open(&self) -> &[(Ix, u32)] {
        self.all.get(self.next..self.end).unwrap_or_default()
    }
}

impl<P> Request<P> {
    pub(super) const fn is_get(&self) -> bool {
        matches!(self.kind, Kind::Leaves(_))
    }
}

impl<P: PeerName> Scheduler<P> {
    /// Whether the request is to bring this leaf.
    pub(super) fn brings(&self, id: RequestId, ix: Ix) -> bool {
        let item = self.tree.items.get(ix);
        item.is_some_and(|item| item.state == State::Asked(id) || item.copy == id)
    }

    /// The request does not bring this block any more: whoever has a copy under way owns it, or else
    /// it is to be asked for again.
    pub(super) fn let_go(&mut self, id: RequestId, ix: Ix) {
        let Some(item) = self.tree.items.get_mut(ix) else {
            return;
        };
        let size = u64::from(item.size);
        if item.copy == id {
            item.copy = 0;
            self.copies_out -= size;
        } else if item.state == State::Asked(id) {
            let copy = std::mem::take(&mut item.copy);
            self.copies_out -= if copy == 0 { 0 } else { size };
            let state = if copy == 0 {
                State::Queued
            } else {
                State::Asked(copy)
            };
            self.tree.set(ix, state);
        }
    }

    /// Everything that the request was to bring is others' from now on.
    pub(super) fn release(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let of_request: Vec<Ix> = match &request.kind {
            Kind::Manifest(cids) => cids.iter().filter_map(|cid| self.tree.find(cid)).collect(),
            Kind::Have(_) => Vec::new(),
            Kind::Leaves(leaves) => leaves.open().iter().map(|(ix, _)| *ix).collect(),
        };
        for ix in of_request {
            self.let_go(id, ix);
        }
    }

    /// Cancels the leaves of a Get from this one on.
    pub(super) fn cancel(&mut self, id: RequestId, from: usize, actions: &mut Vec<Action<P>>) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let Kind::Leaves(leaves) = &mut request.kind else {
            return;
        };
        let from = from.max(leaves.next);
        if from >= leaves.end {
            return;
        }
        let off = leaves.all[from..leaves.end].to_vec();
        leaves.end = from;
        let bytes: u64 = off.iter().map(|(_, size)| u64::from(*size)).sum();
        let bytes = bytes.min(request.owed);
        request.owed -= bytes;
        if let Some(peer) = self.peers.all.get_mut(&request.peer) {
            peer.owed -= bytes;
            self.owed -= bytes;
        }
        for (ix, _) in off {
            self.let_go(id, ix);
        }
        let from = u32::try_from(from).expect("a Get has few leaves");
        actions.push(Action::Cancel { request: id, from });
    }

    /// Cancels the end of a Get whose last leaves are not its own any more.
    pub(super) fn trim(&mut self, id: RequestId, actions: &mut Vec<Action<P>>) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let Kind::Leaves(leaves) = &request.kind else {
            return;
        };
        let open = leaves.open();
        let lost = open
            .iter()
            .rev()
            .take_while(|(ix, _)| !self.brings(id, *ix));
        let lost = lost.count();
        if lost > 0 && !request.received {
            self.cancel(id, leaves.end - lost, actions);
        }
    }

    /// All that the peer was to send has come.
    pub(super) fn all_came(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut request.received, true) {
            return;
        }
        let owed = std::mem::take(&mut request.owed);
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.owed -= owed;
        self.owed -= owed;
        peer.open.retain(|open| *open != id);
        peer.overdue -= u32::from(request.overdue);
        match request.kind {
            Kind::Manifest(_) => peer.manifests -= 1,
            Kind::Have(_) => peer.poll.under_way = false,
            Kind::Leaves(_) => peer.gets -= 1,
        }
        peer.nothing_at = None;
    }

    /// The request is over: what it owns is queued, and its peer owes it no longer.
    pub(super) fn close(&mut self, id: RequestId) -> Option<Request<P>> {
        self.release(id);
        self.all_came(id);
        let request = self.requests.remove(&id)?;
        self.held -= request.held;
        Some(request)
    }
}
