//! Announcements: records and accusations, by gossipsub.
//!
//! A gossip message is signed by its author (strict signing), so nobody can accuse in another's name; a
//! record is signed by its member besides, so anybody may pass it on.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::gossipsub::{Event, Message, MessageAcceptance, PublishError};
use libp2p::swarm::Swarm;
use store::wire::member::{MemberRole, Rumour};

use super::super::ask::Claim;
use super::super::codec::{claim_in, claim_out};
use super::super::record::{member_of, peer_of};
use super::{Service, addresses};
use crate::behaviour::Behaviour;
use crate::peers::Peers;

/// Authors whose allowance is remembered. A forgotten one may begin anew, which costs a burst.
pub(super) const AUTHORS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Announcements of one author that are heard and passed on in a row, one more than it makes by our
/// program; more often is a flood.
const BURST: u32 = 5;

/// And then one in this time.
const REFILL: Duration = Duration::from_millis(500);

/// How much an author may still announce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left: u32,
    /// Up to when it has been refilled.
    at: Instant,
}

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            at: now,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.at) >= REFILL {
            self.left += 1;
            self.at += REFILL;
        }
        if self.left == BURST {
            self.at = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

impl Service {
    pub(super) fn publish(&mut self, swarm: &mut Swarm<Behaviour>, claim: &Claim) {
        let Ok(bytes) = claim_out(claim).encode() else {
            return;
        };
        let gossip = &mut swarm.behaviour_mut().gossip;
        match gossip.publish(self.topic.clone(), bytes) {
            Ok(_) | Err(PublishError::Duplicate) => {}
            Err(error) => {
                tracing::trace!(%error, "not announced");
                self.core.on_unpublished(claim, Instant::now());
            }
        }
    }

    pub(crate) fn on_gossip(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: Event,
    ) {
        match event {
            Event::Message {
                propagation_source: from,
                message_id,
                message,
            } => {
                let verdict = self.hear(peers, from, message);
                let gossip = &mut swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(&message_id, &from, verdict);
                // Believed as far as from whoever passed it on: the author may be on that one's machine.
                self.perform(swarm, peers, Some(from));
            }
            Event::SlowPeer { peer_id: peer, .. } => {
                tracing::debug!(%peer, "too slow for gossip");
            }
            _ => {}
        }
    }

    fn hear(&mut self, peers: &mut Peers, from: PeerId, message: Message) -> MessageAcceptance {
        let Some((author, id)) = message.source.and_then(|it| Some((it, member_of(&it)?))) else {
            return MessageAcceptance::Reject;
        };
        let now = Instant::now();
        let allowance = self
            .authors
            .get_or_insert_mut(author, || Allowance::new(now));
        if !allowance.take(now) {
            return MessageAcceptance::Ignore;
        }
        let rumour = Rumour::decode(&message.data.into()).map_err(Into::into);
        let claim = match rumour.and_then(|rumour| claim_in(&self.network, rumour)) {
            Ok(claim) => claim,
            Err(error) => {
                tracing::debug!(%author, %from, %error, "malformed announcement");
                return MessageAcceptance::Reject;
            }
        };
        let guest = hear_of_a_guest(peers, from, author, &claim);
        if guest || self.core.on_claim(id, claim, now) {
            MessageAcceptance::Accept
        } else {
            MessageAcceptance::Ignore
        }
    }
}

/// A client says where it is. It is no member: that is all there is to remember of it, and to pass on.
fn hear_of_a_guest(peers: &mut Peers, from: PeerId, author: PeerId, claim: &Claim) -> bool {
    let [record] = &claim.records[..] else {
        return false;
    };
    let record = record.record();
    if record.role != MemberRole::Client || peer_of(&record.id) != Some(author) {
        return false;
    }
    if let Some(over) = peers.remote(&from).cloned() {
        peers.heard(author, &addresses(&record.addresses), Some(&over));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_passed_on() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let taken = (0..20).filter(|_| allowance.take(now)).count();
        assert_eq!(taken, BURST as usize);
        assert!(allowance.take(now + REFILL));
        assert!(!allowance.take(now + REFILL));
        let later = now + REFILL * 100;
        let taken = (0..20).filter(|_| allowance.take(later)).count();
        assert_eq!(taken, BURST as usize, "it does not add up without end");
    }
}
