//! Which addresses of a peer are worth believing, and which of them to try first. Pure.
//!
//! A peer tells every address that it listens on, with those of its loopback interface and of its
//! private networks among them. Such an address means another machine here, unless we reach the peer
//! over the same kind of network: hence an address is believed only if its [`Scope`] is at least as
//! wide as that of the connection over which it was heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::PeerId;
use libp2p::multiaddr::{Multiaddr, Protocol};

/// Addresses of one peer that we keep, tell or believe at most: a host has a few interfaces, two
/// transports on each.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// A longer address (bytes) is refused: a name of 253 bytes, a port, a peer id and a relay fit.
pub(crate) const MAX_ADDRESS_SIZE: usize = 512;

/// From how far an address can be reached, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Inside one process (the memory transport of tests).
    Process,
    /// Inside one machine.
    Loopback,
    /// Inside one site: RFC 1918, carrier-grade NAT, link-local and unique local addresses.
    Private,
    /// From everywhere, as far as we can know; names of hosts too.
    Public,
}

impl Scope {
    /// The scope of `address`; `None` for one that nobody can dial (unspecified, multicast, no
    /// transport that we have).
    #[must_use]
    pub(crate) fn of(address: &Multiaddr) -> Option<Self> {
        let scope = match address.iter().next()? {
            Protocol::Memory(_) => return Some(Self::Process),
            Protocol::Ip4(ip) => Self::of_ip(ip.into())?,
            Protocol::Ip6(ip) => Self::of_ip(ip.into())?,
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_) => {
                Self::Public
            }
            _ => return None,
        };
        Some(scope)
    }

    fn of_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => Self::of_ipv4(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => Self::of_ipv4(ip),
                None => Self::of_ipv6(ip),
            },
        }
    }

    fn of_ipv4(ip: Ipv4Addr) -> Option<Self> {
        let [a, b, ..] = ip.octets();
        let shared = a == 100 && (64..128).contains(&b); // RFC 6598
        if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
            None
        } else if ip.is_loopback() {
            Some(Self::Loopback)
        } else if ip.is_private() || ip.is_link_local() || shared {
            Some(Self::Private)
        } else {
            Some(Self::Public)
        }
    }

    fn of_ipv6(ip: Ipv6Addr) -> Option<Self> {
        if ip.is_unspecified() || ip.is_multicast() {
            None
        } else if ip.is_loopback() {
            Some(Self::Loopback)
        } else if ip.is_unique_local() || ip.is_unicast_link_local() {
            Some(Self::Private)
        } else {
            Some(Self::Public)
        }
    }
}

/// The addresses of `peer` among `told` that are worth keeping, when they were heard over a connection
/// to `heard_over`: believable, dialable, bounded in number and size, without `/p2p/` at the end.
#[must_use]
pub(crate) fn believe(peer: &PeerId, told: &[Multiaddr], heard_over: &Multiaddr) -> Vec<Multiaddr> {
    // Who is connected over something that we cannot judge is believed as from far away.
    let nearest = Scope::of(heard_over).unwrap_or(Scope::Public);
    let mut believed = Vec::new();
    for address in told
        .iter()
        .filter(|address| address.len() <= MAX_ADDRESS_SIZE)
    {
        let Some(address) = bare(peer, address) else {
            continue;
        };
        let near = Scope::of(&address).is_some_and(|scope| scope >= nearest);
        if near && !believed.contains(&address) && believed.len() < MAX_ADDRESSES {
            believed.push(address);
        }
    }
    believed
}

/// `address` without the `/p2p/PEER` at its end; `None` if it names another peer.
#[must_use]
pub(crate) fn bare(peer: &PeerId, address: &Multiaddr) -> Option<Multiaddr> {
    let mut bare = address.clone();
    match peer_of(address) {
        Some(named) if named == *peer => {
            bare.pop();
            Some(bare)
        }
        Some(_) => None,
        None => Some(bare),
    }
}

/// The peer that `address` names at its end.
#[must_use]
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn loopback_is_believed_over_loopback_only() {
        let peer = PeerId::random();
        let told = [
            address("/ip4/127.0.0.1/tcp/1"),
            address("/ip4/192.168.1.2/tcp/1"),
            address("/ip4/100.70.0.1/tcp/1"),
            address("/ip6/2001:db8::1/udp/1/quic-v1"),
            address("/dns4/example.org/tcp/1"),
        ];
        let heard = |over: &str| believe(&peer, &told, &address(over));
        assert_eq!(heard("/ip4/127.0.0.1/tcp/999"), told);
        assert_eq!(heard("/ip4/10.0.0.9/tcp/999"), told[1..]);
        assert_eq!(heard("/ip4/8.8.8.8/tcp/999"), told[3..]);
    }

    #[test]
    fn nobody_dials_nowhere() {
        for text in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/224.0.0.251/udp/5353",
            "/ip6/::/tcp/1",
            "/unix/a",
        ] {
            assert_eq!(Scope::of(&address(text)), None, "{text}");
        }
        assert_eq!(
            Scope::of(&address("/ip6/::ffff:127.0.0.1/tcp/1")),
            Some(Scope::Loopback)
        );
    }

    #[test]
    fn an_address_that_names_another_peer_is_dropped() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let bare = address("/ip4/127.0.0.1/tcp/1");
        let told = [
            bare.clone().with(Protocol::P2p(peer)),
            bare.clone().with(Protocol::P2p(other)),
        ];
        assert_eq!(believe(&peer, &told, &bare), std::slice::from_ref(&bare));
        assert_eq!(peer_of(&told[1]), Some(other));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let told: Vec<_> = (1..100)
            .map(|i| address(&format!("/ip4/8.8.8.8/tcp/{i}")))
            .collect();
        let believed = believe(&PeerId::random(), &told, &told[0]);
        assert_eq!(believed, told[..MAX_ADDRESSES]);
    }
}
