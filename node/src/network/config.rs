//! How a node takes part: its network's name, its role, where it listens and whom it knows.

use std::str::FromStr;

use libp2p::{Multiaddr, StreamProtocol};
use store::wire::member::Tags;

use crate::members::Settings;
use crate::metrics::Metrics;
use crate::swarm_key::SwarmKey;
use crate::transport::TransportKind;

/// The longest network name in bytes: it stands in every protocol name.
const MAX_NAME: usize = 64;

/// Everything that [`Network::start`](super::Network::start) is told.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The network; peers of another one are strangers.
    pub network: NetworkName,
    /// The key of a private swarm, whose name then takes the place of `network`; `None`: an open one.
    pub swarm_key: Option<SwarmKey>,
    /// What we do for others.
    pub role: Role,
    /// Where to listen. Empty: nowhere, we only dial.
    pub listen: Vec<Multiaddr>,
    /// Peers to stay connected to, with or without `/p2p/` at the end; retried for ever.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to find peers on the local network by multicast DNS.
    pub mdns: bool,
    /// What the bytes travel over.
    pub transport: TransportKind,
    /// Connections at most, inbound and outbound each.
    pub max_connections: u32,
    /// What we tell the other members of ourselves.
    pub tags: Tags,
    /// Whether we are about to leave: the others place nothing on us, and replace what we have.
    pub leaving: bool,
    /// How long everything takes among members.
    pub members: Settings,
    /// Where the swarm counts.
    pub metrics: Metrics,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            network: NetworkName::default(),
            swarm_key: None,
            role: Role::Storage,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            mdns: true,
            transport: TransportKind::Sockets,
            // As in swarm.md's defaults: a desktop's file descriptors and memory bear them.
            max_connections: 256,
            leaving: false,
            tags: Tags::default(),
            members: Settings::default(),
            metrics: Metrics::default(),
        }
    }
}

/// What a node does for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Stays: keeps a part of the DHT and serves.
    #[default]
    Storage,
    /// Comes for one command and goes: asks the DHT, keeps nothing of it, and serves while it is
    /// here.
    Client,
    /// A client that has the members make copies: it asks who they are, and is none of them.
    Guest,
}

impl NetworkConfig {
    /// The name of the swarm that it is of.
    #[must_use]
    pub fn swarm(&self) -> NetworkName {
        let private = self.swarm_key.as_ref().map(SwarmKey::network);
        private.unwrap_or_else(|| self.network.clone())
    }
}

/// The name of a swarm. It stands in the names of all protocols, so that nodes of two networks have
/// nothing to say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkName(String);

/// A text that cannot name a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a network: 1 to {MAX_NAME} of a-z, 0-9, `-`, `_` and `.` can")]
pub struct BadName(String);

impl FromStr for NetworkName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(good) {
            return Err(BadName(name.chars().take(MAX_NAME).collect()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl NetworkName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Kademlia protocol.
    #[must_use]
    pub fn kad(&self) -> StreamProtocol {
        self.protocol("kad/1.0.0")
    }

    /// The chunk protocol: questions and short answers.
    #[must_use]
    pub fn chunk(&self) -> StreamProtocol {
        self.protocol("chunk/1.0.0")
    }

    /// What members ask each other.
    #[must_use]
    pub fn member(&self) -> StreamProtocol {
        self.protocol("member/1.0.0")
    }

    /// What members ask each other of copies.
    #[must_use]
    pub fn replica(&self) -> StreamProtocol {
        self.protocol("replica/1.0.0")
    }

    /// The chunk protocol's stream for blocks in bulk.
    #[must_use]
    pub fn bulk(&self) -> StreamProtocol {
        self.protocol("bulk/1.0.0")
    }

    /// What identify tells; peers that tell something else are strangers.
    #[must_use]
    pub fn identify(&self) -> String {
        format!("/store/{}/id/1.0.0", self.0)
    }

    /// The gossip topic of announcements.
    #[must_use]
    pub fn announcements(&self) -> String {
        format!("/store/{}/announce/1", self.0)
    }

    fn protocol(&self, suffix: &str) -> StreamProtocol {
        StreamProtocol::try_from_owned(format!("/store/{}/{suffix}", self.0))
            .expect("it begins with a slash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_protocols() {
        let name: NetworkName = "lab-1".parse().unwrap();
        assert_eq!(name.kad(), "/store/lab-1/kad/1.0.0");
        assert_eq!(NetworkName::default().chunk(), "/store/main/chunk/1.0.0");
    }

    #[test]
    fn names_that_would_break_protocols_are_refused() {
        for name in ["", "a/b", "A", "a b", &"x".repeat(65)] {
            assert!(name.parse::<NetworkName>().is_err(), "{name}");
        }
    }
}
