//! Deadlines: what is overdue is asked of others.
//!
//! Manifests are watched one by one. Gets are watched by peer: it answers them in order, so what counts
//! is when anything last came of it. A peer that is silent for longer than its rate explains is
//! *snubbed*: all it was asked for is others', but for one leaf that it may still prove itself by.

use std::time::Duration;

use super::peers::Holds;
use super::request::Kind;
use super::{Action, PeerName, Reason, RequestId, Scheduler, Time};

/// A peer that lets this many deadlines' time pass is dropped, and not before [`LEAST_SILENCE`].
const DEADLINES: u32 = 3;
/// A peer may be silent for so long: the network may need as much for a dial that fails over.
const LEAST_SILENCE: Duration = Duration::from_secs(15);
/// A peer that gave something and is silent now is dropped after this long.
const LONGEST_SNUB: Duration = Duration::from_secs(60);
/// A peer that did not say in time what it has is asked again after this long.
const LATER: Duration = Duration::from_secs(4);
/// A peer that owes this many times its window, and two leaves, has become slow: it keeps a window,
/// others get the rest.
const EXCESS: u64 = 4;

impl<P: PeerName> Scheduler<P> {
    pub(super) fn expire(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        self.expire_questions(now, actions);
        let (mut stalled, mut slow) = (Vec::new(), Vec::new());
        for (name, peer) in &self.peers.all {
            if peer.stalls_at().is_some_and(|at| at <= now) {
                stalled.push(*name);
            } else if peer.gets > 0 && peer.snubbed.is_none() && peer.pace.rate().is_some() {
                let most = EXCESS * peer.pace.window() + 2 * u64::from(peer.leaf);
                if peer.owed > most {
                    slow.push(*name);
                }
            }
        }
        for name in stalled {
            self.snub(now, name, actions);
        }
        for name in slow {
            self.give_back(name, actions);
        }
        let gone = |since: Time| (since + LONGEST_SNUB <= now).then(|| now.saturating_sub(since));
        let all = self.peers.all.iter();
        let gone: Vec<(P, Duration)> = all
            .filter_map(|(name, peer)| Some((*name, gone(peer.snubbed?)?)))
            .collect();
        for (name, after) in gone {
            self.drop_peer(name, Reason::Silent(after), actions);
        }
    }

    /// Manifests, and questions for what a peer has.
    fn expire_questions(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        if self.questions_due > now {
            return;
        }
        let late = |(id, request): (&RequestId, &super::Request<P>)| {
            let open = !request.is_get() && !request.received && !request.overdue;
            (open && request.deadline <= now).then_some(*id)
        };
        let late: Vec<_> = self.requests.iter().filter_map(late).collect();
        for id in late {
            if self.give_up_asking(now, id) {
                continue;
            }
            self.release(id);
            let Some(request) = self.requests.get_mut(&id) else {
                continue;
            };
            request.overdue = true;
            let owed = std::mem::take(&mut request.owed);
            if let Some(peer) = self.peers.all.get_mut(&request.peer) {
                peer.overdue += 1;
                peer.owed -= owed;
                self.owed -= owed;
            }
        }
        let silent = |request: &super::Request<P>| {
            let over = request.overdue && !request.received && silent_at(request) <= now;
            over.then_some((request.peer, now.saturating_sub(request.sent_at)))
        };
        let silent: Vec<_> = self.requests.values().filter_map(silent).collect();
        for (peer, after) in silent {
            self.drop_peer(peer, Reason::Silent(after), actions);
        }
        let open = self
            .requests
            .values()
            .filter(|r| !r.is_get() && !r.received);
        let due = open.map(|r| if r.overdue { silent_at(r) } else { r.deadline });
        self.questions_due = due.min().unwrap_or(Time::MAX);
    }

    /// A peer that answers, but not what it has, is asked for leaves all the same.
    fn give_up_asking(&mut self, now: Time, id: RequestId) -> bool {
        let Some(request) = self.requests.get(&id) else {
            return false;
        };
        let (name, peer) = (request.peer, self.peers.all.get_mut(&request.peer));
        let Some(peer) = peer.filter(|peer| peer.answered) else {
            return false;
        };
        if !matches!(request.kind, Kind::Have(_)) {
            return false;
        }
        peer.poll.at = now + LATER;
        let unknown = peer.holds == Holds::Unknown;
        self.close(id);
        if unknown {
            self.never_tells(name);
        }
        true
    }

    /// Takes everything from a peer but the leaf that it should have sent by now.
    fn snub(&mut self, now: Time, name: P, actions: &mut Vec<Action<P>>) {
        let Some(peer) = self.peers.all.get_mut(&name) else {
            return;
        };
        peer.snubbed = Some(now);
        peer.run = None;
        let mut probe = true;
        for id in peer.open.clone() {
            let Some(Kind::Leaves(leaves)) = self.requests.get(&id).map(|r| &r.kind) else {
                continue;
            };
            let keep = usize::from(std::mem::take(&mut probe));
            let from = leaves.next + keep;
            self.release(id);
            self.cancel(id, from, actions);
        }
    }

    /// Takes from a peer what it owes beyond its window.
    fn give_back(&mut self, name: P, actions: &mut Vec<Action<P>>) {
        let Some(peer) = self.peers.all.get(&name) else {
            return;
        };
        let mut room = peer.pace.window();
        let mut first = true;
        for id in peer.open.clone() {
            let Some(request) = self.requests.get(&id) else {
                continue;
            };
            let Kind::Leaves(leaves) = &request.kind else {
                continue;
            };
            let mut from = leaves.next;
            for (_, size) in leaves.open() {
                let size = u64::from(*size);
                if size > room && !first {
                    break;
                }
                first = false;
                room = room.saturating_sub(size);
                from += 1;
            }
            self.cancel(id, from, actions);
        }
    }
}

/// When the peer of an overdue question is dropped.
fn silent_at<P>(request: &super::Request<P>) -> Time {
    let patience = request.deadline.saturating_sub(request.sent_at);
    request.sent_at + (patience * DEADLINES).max(LEAST_SILENCE)
}
