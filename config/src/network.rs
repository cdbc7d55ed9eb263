//! Section `[network]`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use multiaddr::{Multiaddr, Protocol};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Where a node listens unless told otherwise. Fixed, so that a bootstrap address stays true over a
/// restart and a firewall can name it; not 4001, where a Kubo on the same machine listens.
const DEFAULT_PORT: u16 = 4170;

/// The swarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Name of the swarm. Protocol names carry it: nodes of another name are strangers.
    pub name: NetworkName,
    /// Addresses that `store run` listens on. A command without a node listens on the same
    /// interfaces and transports, on ports that the system picks.
    #[serde(deserialize_with = "addresses")]
    pub listen: Vec<Multiaddr>,
    /// Nodes that are dialled at the start, each with `/p2p/PEER` at its end.
    #[serde(deserialize_with = "addresses")]
    pub bootstrap: Vec<Multiaddr>,
    /// Finds nodes on the same LAN, and is found by them, by multicast DNS.
    pub mdns: bool,
    /// Connections at most, in both directions together. Home routers suffer above a few hundred.
    pub max_connections: NonZeroU32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            name: NetworkName::default(),
            listen: default_listen(),
            bootstrap: Vec::new(),
            mdns: true,
            max_connections: NonZeroU32::new(256).expect("256 is not zero"),
        }
    }
}

impl Network {
    /// Replaces the port of every listening address by 0, so that the system picks one: for commands
    /// that must not collide with the node that the addresses are meant for.
    pub fn listen_on_any_port(&mut self) {
        for address in &mut self.listen {
            *address = address
                .iter()
                .map(|part| match part {
                    Protocol::Tcp(_) => Protocol::Tcp(0),
                    Protocol::Udp(_) => Protocol::Udp(0),
                    other => other,
                })
                .collect();
        }
    }
}

/// TCP and QUIC on every interface.
fn default_listen() -> Vec<Multiaddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let hosts = [
        Protocol::Ip4(Ipv4Addr::UNSPECIFIED),
        Protocol::Ip6(Ipv6Addr::UNSPECIFIED),
    ];
    hosts
        .into_iter()
        .flat_map(|host| {
            let host = Multiaddr::from(host);
            [
                host.clone().with(Protocol::Tcp(DEFAULT_PORT)),
                host.with(Protocol::Udp(DEFAULT_PORT))
                    .with(Protocol::QuicV1),
            ]
        })
        .collect()
}

/// Like the type's own, with an error that says which address and what was expected.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Multiaddr>, D::Error> {
    struct Address(Multiaddr);

    impl<'de> Deserialize<'de> for Address {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map(Self).map_err(|_| {
                D::Error::custom(format!(
                    "`{text}` is no address; expected something like `/ip4/192.0.2.7/tcp/{DEFAULT_PORT}`"
                ))
            })
        }
    }

    let addresses = Vec::<Address>::deserialize(deserializer)?;
    Ok(addresses
        .into_iter()
        .map(|Address(address)| address)
        .collect())
}

/// A swarm's name: it becomes part of protocol names, so it is short and plain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(String);

/// Longest name in bytes: protocol names of libp2p are at most 140, and ours add some 40.
const MAX_NAME: usize = 64;

/// Not a name for a swarm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "network name `{0}` is not 1 to {MAX_NAME} lower-case letters, digits, `-`, `_` or `.`, \
     beginning with a letter or digit"
)]
pub struct InvalidName(String);

impl NetworkName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self("main".into())
    }
}

impl FromStr for NetworkName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first = text.bytes().next().is_some_and(plain);
        let all = text.bytes().all(|c| plain(c) || b"-_.".contains(&c));
        if first && all && text.len() <= MAX_NAME {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(text.chars().take(2 * MAX_NAME).collect()))
        }
    }
}

impl TryFrom<String> for NetworkName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.0
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_a_protocol_name_are_refused() {
        for bad in ["", "a/b", "Main", ".hidden", "sp ace", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad:?}");
        }
        for good in ["main", "team-7", "a", "2026.lab_x", &"x".repeat(64)] {
            assert_eq!(good.parse::<NetworkName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn any_port_keeps_everything_but_the_port() {
        let mut network = Network::default();
        network.listen_on_any_port();
        let listen: Vec<String> = network.listen.iter().map(ToString::to_string).collect();
        assert_eq!(
            listen,
            [
                "/ip4/0.0.0.0/tcp/0",
                "/ip4/0.0.0.0/udp/0/quic-v1",
                "/ip6/::/tcp/0",
                "/ip6/::/udp/0/quic-v1"
            ]
        );
    }
}
