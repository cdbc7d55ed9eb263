//! [`Connected`]: the peers that are connected now, and what they told of themselves. Pure; bounded by
//! the swarm's connection limits.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::address::Scope;
use crate::network::{Direction, PeerInfo};

/// The connected peers.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    peers: HashMap<PeerId, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    /// Oldest first; never empty.
    connections: Vec<(ConnectionId, ConnectedPoint)>,
    introduction: Option<Introduction>,
    rtt: Option<Duration>,
}

/// What a peer of ours told by identify.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) agent: String,
    pub(crate) speaks_chunk: bool,
    /// Those worth believing.
    pub(crate) addresses: Vec<Multiaddr>,
}

impl Connected {
    pub(crate) fn opened(&mut self, peer: PeerId, id: ConnectionId, point: ConnectedPoint) {
        self.peers
            .entry(peer)
            .or_default()
            .connections
            .push((id, point));
    }

    /// Returns whether the last connection to a peer that had introduced itself as a speaker of the
    /// chunk protocol is gone.
    pub(crate) fn closed(&mut self, peer: &PeerId, id: ConnectionId) -> bool {
        let Some(known) = self.peers.get_mut(peer) else {
            return false;
        };
        known
            .connections
            .retain(|(connection, _)| *connection != id);
        if !known.connections.is_empty() {
            return false;
        }
        let gone = self.peers.remove(peer);
        gone.and_then(|peer| peer.introduction)
            .is_some_and(|told| told.speaks_chunk)
    }

    /// Returns whether this is the first time that the peer says that it speaks the chunk protocol.
    pub(crate) fn introduced(&mut self, peer: &PeerId, told: Introduction) -> bool {
        let Some(known) = self.peers.get_mut(peer) else {
            return false;
        };
        let before = known
            .introduction
            .as_ref()
            .is_some_and(|told| told.speaks_chunk);
        let first = told.speaks_chunk && !before;
        known.introduction = Some(told);
        first
    }

    pub(crate) fn pinged(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.rtt = Some(rtt);
        }
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Whether the peer has shown that it is of our network.
    pub(crate) fn is_introduced(&self, peer: &PeerId) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|known| known.introduction.is_some())
    }

    /// The remote address of the peer's oldest connection.
    pub(crate) fn remote(&self, peer: &PeerId) -> Option<&Multiaddr> {
        self.peers
            .get(peer)?
            .connections
            .first()
            .map(|(_, point)| point.get_remote_address())
    }

    /// The addresses at which we dialed the peer and found it: true, whatever else is said.
    pub(crate) fn dialed(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let Some(known) = self.peers.get(peer) else {
            return Vec::new();
        };
        known
            .connections
            .iter()
            .filter(|(_, point)| point.is_dialer())
            .map(|(_, point)| point.get_remote_address().clone())
            .collect()
    }

    /// The connected address with the nearest scope: what we hear of third parties is believed as
    /// far as from there.
    pub(crate) fn nearest(&self) -> Option<&Multiaddr> {
        self.peers
            .values()
            .flat_map(|peer| &peer.connections)
            .map(|(_, point)| point.get_remote_address())
            .min_by_key(|address| Scope::of(address).unwrap_or(Scope::Public))
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    pub(crate) fn list(&self) -> Vec<PeerInfo> {
        self.peers
            .iter()
            .map(|(peer, known)| known.info(*peer))
            .collect()
    }
}

impl Peer {
    fn info(&self, peer: PeerId) -> PeerInfo {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        let connections = self
            .connections
            .iter()
            .map(|(_, point)| point.get_remote_address());
        let told = self.introduction.iter().flat_map(|told| &told.addresses);
        for address in connections.chain(told) {
            if let Some(bare) = crate::address::bare(&peer, address)
                && !addresses.contains(&bare)
            {
                addresses.push(bare);
            }
        }
        let dialed = self
            .connections
            .first()
            .is_some_and(|(_, point)| point.is_dialer());
        PeerInfo {
            peer,
            addresses,
            direction: if dialed {
                Direction::Outbound
            } else {
                Direction::Inbound
            },
            agent: self.introduction.as_ref().map(|told| told.agent.clone()),
            rtt: self.rtt,
            speaks_chunk: self
                .introduction
                .as_ref()
                .is_some_and(|told| told.speaks_chunk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer(address: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: address.parse().unwrap(),
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::Reuse,
        }
    }

    #[test]
    fn a_peer_comes_and_goes_once_however_many_connections_it_has() {
        let (mut connected, peer) = (Connected::default(), PeerId::random());
        let (a, b) = (
            ConnectionId::new_unchecked(1),
            ConnectionId::new_unchecked(2),
        );
        connected.opened(peer, a, dialer("/ip4/10.0.0.1/tcp/1"));
        connected.opened(peer, b, dialer("/ip4/127.0.0.1/tcp/1"));
        let told = Introduction {
            agent: "x".into(),
            speaks_chunk: true,
            addresses: Vec::new(),
        };
        assert!(connected.introduced(&peer, told.clone()));
        assert!(!connected.introduced(&peer, told), "it was known already");
        assert_eq!(
            connected.nearest(),
            Some(&"/ip4/127.0.0.1/tcp/1".parse().unwrap())
        );
        assert!(!connected.closed(&peer, a));
        assert!(connected.closed(&peer, b));
        assert!(!connected.contains(&peer));
    }
}
