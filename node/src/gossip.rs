//! [`Gossip`]: every node says now and then who it is and where, and everybody passes it on.
//!
//! An announcement is signed by its author (gossipsub's strict signing; nobody can speak for another)
//! and carries a sequence number of the author's own: the newest wins, whatever way it came. It is a
//! hint where to dial, and proves nothing.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::gossipsub::{Event, IdentTopic, Message as Gossiped, MessageAcceptance, TopicHash};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId};
use lru::LruCache;
use prost::Message;

use crate::address::{MAX_ADDRESS_SIZE, MAX_ADDRESSES};
use crate::behaviour::Behaviour;
use crate::network::NetworkName;
use crate::peers::Peers;

/// An announcement is repeated after this long, for those who came since.
const INTERVAL: Duration = Duration::from_secs(300);

/// Two announcements are at least this far apart, however often our addresses change.
const SHORTEST: Duration = Duration::from_secs(5);

/// Announcements of one author are heard and passed on this far apart; more often is a flood.
const QUICKEST: Duration = Duration::from_secs(1);

/// Authors whose last sequence number is remembered. An older announcement of a forgotten author is
/// believed again, which costs a dial.
const AUTHORS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The message on the wire. Its author is the one who signed it.
#[derive(Clone, PartialEq, Eq, Message)]
struct Announcement {
    /// Rises with each announcement of the same author, over restarts too.
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
}

/// The service.
pub(crate) struct Gossip {
    topic: TopicHash,
    sequence: u64,
    /// What was last announced, and when.
    last: Option<(Instant, Vec<Multiaddr>)>,
    /// Somebody has subscribed who has not heard of us.
    wanted: bool,
    authors: LruCache<PeerId, (u64, Instant)>,
}

impl Gossip {
    pub(crate) fn new(network: &NetworkName) -> Self {
        // Milliseconds, not seconds: a restart within one second still counts up. Only our own announcements
        // are compared by it.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            topic: IdentTopic::new(network.announcements()).hash(),
            sequence: u64::try_from(now.as_millis()).unwrap_or(0),
            last: None,
            wanted: false,
            authors: LruCache::new(AUTHORS),
        }
    }

    /// Announces `addresses` when it is time to.
    pub(crate) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) {
        let now = Instant::now();
        if addresses.is_empty() || !self.is_due(addresses, now) {
            return;
        }
        let shown = addresses
            .iter()
            .take(MAX_ADDRESSES)
            .map(Multiaddr::to_vec)
            .collect();
        self.sequence += 1;
        let message = Announcement {
            sequence: self.sequence,
            addresses: shown,
        };
        let gossip = &mut swarm.behaviour_mut().gossip;
        match gossip.publish(self.topic.clone(), message.encode_to_vec()) {
            Ok(_) => {
                self.last = Some((now, addresses.to_vec()));
                self.wanted = false;
            }
            // Nobody is there to hear it: it is due until somebody is.
            Err(error) => tracing::trace!(%error, "not announced"),
        }
    }

    fn is_due(&self, addresses: &[Multiaddr], now: Instant) -> bool {
        let Some((when, what)) = &self.last else {
            return true;
        };
        let age = now.saturating_duration_since(*when);
        age >= INTERVAL || (age >= SHORTEST && (self.wanted || what != addresses))
    }

    pub(crate) fn on_event(
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
                let verdict = self.hear(peers, from, &message);
                let gossip = &mut swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(&message_id, &from, verdict);
            }
            Event::Subscribed { topic, .. } if topic == self.topic => self.wanted = true,
            Event::SlowPeer { peer_id: peer, .. } => {
                tracing::debug!(%peer, "too slow for gossip");
            }
            _ => {}
        }
    }

    fn hear(&mut self, peers: &mut Peers, from: PeerId, message: &Gossiped) -> MessageAcceptance {
        let Some(author) = message.source else {
            return MessageAcceptance::Reject;
        };
        let Some((sequence, addresses)) = decode(&message.data) else {
            tracing::debug!(%author, %from, "malformed announcement");
            return MessageAcceptance::Reject;
        };
        if !self.is_news(author, sequence, Instant::now()) {
            return MessageAcceptance::Ignore;
        }
        // Believed as far as from whoever passed it on: the author may be on that one's machine.
        let over = peers.remote(&from).cloned();
        if let Some(over) = over {
            peers.heard(author, &addresses, Some(&over));
        }
        MessageAcceptance::Accept
    }

    fn is_news(&mut self, author: PeerId, sequence: u64, now: Instant) -> bool {
        match self.authors.get_mut(&author) {
            None => {
                self.authors.put(author, (sequence, now));
                true
            }
            Some((last, when)) => {
                let news = sequence > *last && now.saturating_duration_since(*when) >= QUICKEST;
                if news {
                    (*last, *when) = (sequence, now);
                }
                news
            }
        }
    }
}

/// Reads an announcement; `None` if it is none, or larger than one may be.
fn decode(bytes: &[u8]) -> Option<(u64, Vec<Multiaddr>)> {
    let message = Announcement::decode(bytes).ok()?;
    if message.addresses.len() > MAX_ADDRESSES {
        return None;
    }
    let addresses = message
        .addresses
        .into_iter()
        .map(|bytes| (bytes.len() <= MAX_ADDRESS_SIZE).then_some(bytes))
        .map(|bytes| Multiaddr::try_from(bytes?).ok())
        .collect::<Option<_>>()?;
    Some((message.sequence, addresses))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn encode(addresses: Vec<Vec<u8>>) -> Vec<u8> {
        Announcement {
            sequence: 1,
            addresses,
        }
        .encode_to_vec()
    }

    #[test]
    fn the_newest_announcement_of_an_author_wins() {
        let mut gossip = Gossip::new(&NetworkName::default());
        let (a, b) = (PeerId::random(), PeerId::random());
        let now = Instant::now();
        assert!(gossip.is_news(a, 5, now));
        let later = now + QUICKEST;
        assert!(!gossip.is_news(a, 5, later));
        assert!(!gossip.is_news(a, 4, later));
        assert!(gossip.is_news(b, 4, later), "each author counts for itself");
        assert!(gossip.is_news(a, 6, later));
        assert!(!gossip.is_news(a, 7, later), "a flood");
    }

    #[test]
    fn oversized_and_malformed_announcements_are_none() {
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        assert_eq!(
            decode(&encode(vec![address.to_vec()])),
            Some((1, vec![address.clone()]))
        );
        assert_eq!(
            decode(&encode(vec![address.to_vec(); MAX_ADDRESSES + 1])),
            None
        );
        assert_eq!(decode(&encode(vec![vec![0; MAX_ADDRESS_SIZE + 1]])), None);
        assert_eq!(decode(&encode(vec![b"\xff".to_vec()])), None);
        assert_eq!(decode(b"\xff\xff\xff"), None);
    }

    #[test]
    fn a_change_of_address_is_announced_soon_but_not_at_once() {
        let mut gossip = Gossip::new(&NetworkName::default());
        let (now, old): (_, Multiaddr) = (Instant::now(), "/ip4/10.0.0.1/tcp/1".parse().unwrap());
        assert!(gossip.is_due(from_ref(&old), now), "the first one");
        gossip.last = Some((now, vec![old.clone()]));
        assert!(!gossip.is_due(&[], now));
        assert!(gossip.is_due(&[], now + SHORTEST));
        assert!(!gossip.is_due(from_ref(&old), now + SHORTEST));
        assert!(gossip.is_due(from_ref(&old), now + INTERVAL));
    }
}
