//! [`Deeds`]: what peers did in one session, for their reputation; and what follows from it for whom the
//! session asks.

use std::collections::HashMap;

use libp2p::PeerId;

use crate::exchange::reputation::{Deed, Reputation};
use crate::exchange::scheduler::{Event, Failure, Outcome, Reason, RequestId, Time};

/// A rate is measured over no fewer bytes: less than that is the round trip.
const MEASURED: u64 = 256 << 10;
/// Peers that are not welcome and might be needed after all, at most.
const RESERVE: usize = 32;

pub(super) struct Deeds {
    reputation: Reputation,
    /// Requests under way, which the scheduler bounds.
    asked: HashMap<RequestId, Asked>,
    /// Those that mostly fail: asked when nobody else is there.
    reserve: Vec<PeerId>,
    found: bool,
}

struct Asked {
    peer: PeerId,
    at: Time,
    max_bytes: u64,
    bytes: u64,
}

impl Deeds {
    pub(super) fn new(reputation: Reputation) -> Self {
        Self {
            reputation,
            asked: HashMap::new(),
            reserve: Vec::new(),
            found: false,
        }
    }

    /// Blocks are asked of a peer.
    pub(super) fn asked(&mut self, request: RequestId, peer: PeerId, max_bytes: u32, at: Time) {
        let asked = Asked {
            peer,
            at,
            max_bytes: max_bytes.into(),
            bytes: 0,
        };
        self.asked.insert(request, asked);
    }

    /// What the scheduler is to hear instead of an event: peers with their standing, without those that
    /// are not welcome; and those that mostly fail when the search found nobody else.
    pub(super) fn screen(&mut self, event: Event<PeerId>) -> Vec<Event<PeerId>> {
        match event {
            Event::Appeared { peer, .. } => {
                if self.reputation.is_welcome(&peer) {
                    self.found = true;
                    return vec![self.appeared(peer)];
                }
                let useful = !self.reputation.is_excluded(&peer);
                if useful && self.reserve.len() < RESERVE && !self.reserve.contains(&peer) {
                    self.reserve.push(peer);
                }
                Vec::new()
            }
            Event::SearchEnded if !self.found => {
                let reserve = std::mem::take(&mut self.reserve).into_iter();
                let mut events: Vec<_> = reserve.map(|peer| self.appeared(peer)).collect();
                events.push(Event::SearchEnded);
                events
            }
            event => vec![event],
        }
    }

    fn appeared(&self, peer: PeerId) -> Event<PeerId> {
        let standing = self.reputation.standing(&peer);
        Event::Appeared { peer, standing }
    }

    /// Notes what an event says of whom.
    pub(super) fn heard(&mut self, now: Time, event: &Event<PeerId>) {
        match event {
            Event::Answer(answer) => {
                let stored = answer.blocks.iter().map(|block| match block {
                    Outcome::Stored(stored) => u64::from(stored.size),
                    Outcome::NotFound(_) | Outcome::Cut(_) => 0,
                });
                let Some(asked) = self.asked.get_mut(&answer.request) else {
                    return;
                };
                asked.bytes += stored.sum::<u64>();
                if answer.over {
                    self.done(now, answer.request);
                }
            }
            Event::Failed { request, failure } => {
                let Some(asked) = self.asked.remove(request) else {
                    return;
                };
                let deed = match failure {
                    Failure::TimedOut => Deed::Late {
                        bytes: asked.max_bytes,
                    },
                    Failure::Refused(_) => Deed::Refused,
                    // Judged when it is dropped for it.
                    Failure::Violation(_) => return,
                    Failure::Unreachable(_) | Failure::Broken(_) => Deed::Failed,
                };
                self.reputation.note(asked.peer, deed);
            }
            Event::Busy { request, .. } => drop(self.asked.remove(request)),
            _ => {}
        }
    }

    fn done(&mut self, now: Time, request: RequestId) {
        let Some(Asked {
            peer, at, bytes, ..
        }) = self.asked.remove(&request)
        else {
            return;
        };
        // What it does not have is no fault and no merit.
        if bytes == 0 {
            return;
        }
        let millis = u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
        let rate = bytes.saturating_mul(1000) / millis.max(1);
        let rate = if bytes < MEASURED { 0 } else { rate };
        self.reputation.note(peer, Deed::Good { bytes, rate });
    }

    /// A peer is dropped for a reason.
    pub(super) fn dropped(&mut self, peer: PeerId, reason: &Reason) {
        let mut owed = 0;
        self.asked.retain(|_, asked| {
            if asked.peer == peer {
                owed += asked.max_bytes;
            }
            asked.peer != peer
        });
        let deed = match reason {
            Reason::Lied(_) | Reason::Violation(_) => Deed::Bad { bytes: 0 },
            Reason::Silent(_) => Deed::Late { bytes: owed },
            // Noted with the requests that failed.
            Reason::Unreachable(_) | Reason::Refused(_) => return,
        };
        self.reputation.note(peer, deed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::scheduler::{Answer, Standing, Stored};

    fn appears(deeds: &mut Deeds, peer: PeerId) -> bool {
        let standing = Standing::default();
        !deeds.screen(Event::Appeared { peer, standing }).is_empty()
    }

    #[test]
    fn what_came_counts_once_the_request_is_over() {
        let reputation = Reputation::default();
        let (mut deeds, peer) = (Deeds::new(reputation.clone()), PeerId::random());
        deeds.asked(1, peer, 1 << 20, Time::ZERO);
        let cid = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
        let mut part = |over| {
            let stored = Stored {
                cid,
                size: 500_000,
                children: Vec::new(),
            };
            let answer = Answer {
                request: 1,
                blocks: vec![Outcome::Stored(stored)],
                more: false,
                lie: None,
                over,
            };
            deeds.heard(Duration::from_secs(1), &Event::Answer(answer));
        };
        part(false);
        assert!(reputation.told(&peer).is_none());
        part(true);
        let told = reputation.told(&peer).unwrap();
        assert_eq!((told.good, told.done, told.rate), (1_000_000, 1, 1_000_000));
    }

    #[test]
    fn who_lied_is_not_asked_by_the_next_session() {
        let reputation = Reputation::default();
        let peer = PeerId::random();
        let mut deeds = Deeds::new(reputation.clone());
        assert!(appears(&mut deeds, peer));
        deeds.dropped(peer, &Reason::Lied("x".into()));
        let mut next = Deeds::new(reputation);
        assert!(!appears(&mut next, peer));
        assert_eq!(next.screen(Event::SearchEnded).len(), 1, "not even alone");
    }

    #[test]
    fn who_mostly_fails_is_asked_when_nobody_else_is_there() {
        let reputation = Reputation::default();
        let (poor, good) = (PeerId::random(), PeerId::random());
        for _ in 0..20 {
            reputation.note(poor, Deed::Failed);
        }
        let mut deeds = Deeds::new(reputation.clone());
        assert!(!appears(&mut deeds, poor));
        assert_eq!(deeds.screen(Event::SearchEnded).len(), 2);
        let mut deeds = Deeds::new(reputation);
        assert!(!appears(&mut deeds, poor) && appears(&mut deeds, good));
        assert_eq!(deeds.screen(Event::SearchEnded).len(), 1);
    }
}
