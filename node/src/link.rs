//! Links: a content and peers that have it, in one word that a shell leaves alone.
//!
//! ```text
//! store://CID[/path/in/dir]@PEER,/ip4/192.168.1.5/tcp/4001,/ip4/192.168.1.5/udp/4001/quic-v1
//!         └── content ────┘ └── a peer, then where it listens; more peers may follow ──────┘
//! ```
//!
//! Bytes of a path that are not letters, digits or one of `-._~` are written as `%XX`, so that the
//! last `@` is always the one before the peers. An address may also carry its own `/p2p/PEER`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::cid::{self, CidError};
use store::unixfs::Name;

/// How a link begins.
pub const SCHEME: &str = "store://";
/// Addresses in a link: enough for one machine's few interfaces, twice (TCP and QUIC), and short
/// enough for a chat message.
pub const MAX_ADDRESSES: usize = 8;
/// Names in a path; a path this deep is longer than what a shell takes.
const MAX_PATH: usize = 1024;

/// A content and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The content.
    pub cid: Cid,
    /// A path inside it.
    pub path: Vec<Name>,
    /// Peers that have it: each address ends in `/p2p/PEER`.
    pub addresses: Vec<Multiaddr>,
}

/// Why a text is not a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It does not begin with [`SCHEME`].
    #[error("a link begins with `{SCHEME}`")]
    Scheme,
    /// What follows is no CID.
    #[error(transparent)]
    Cid(#[from] CidError),
    /// A path that cannot be read.
    #[error("`{segment}` in the link's path is not percent-encoded")]
    Path {
        /// The segment.
        segment: String,
    },
    /// Neither a peer id nor an address.
    #[error("`{text}` in the link is neither a peer id nor an address: {reason}")]
    Address {
        /// The item.
        text: String,
        /// What the parser said.
        reason: String,
    },
    /// An address before any peer id.
    #[error("address `{address}` in the link belongs to no peer")]
    NoPeer {
        /// The address.
        address: String,
    },
    /// More than [`MAX_ADDRESSES`], or a path of more than 1024 names.
    #[error("the link has more than {limit} {of}")]
    TooMany {
        /// The limit.
        limit: usize,
        /// Of what.
        of: &'static str,
    },
}

impl Link {
    /// A link to this node's copy. Of its listening addresses those come first that reach furthest;
    /// loopback ones stand only where there is nothing else.
    #[must_use]
    pub fn new(cid: Cid, path: Vec<Name>, peer: PeerId, listening: &[Multiaddr]) -> Self {
        let mut ranked: Vec<_> = listening
            .iter()
            .map(|address| (scope(address), address))
            .collect();
        ranked.sort_by_key(|(scope, _)| *scope);
        let loopback_only = ranked
            .first()
            .is_some_and(|(scope, _)| *scope == Scope::Loopback);
        ranked.retain(|(scope, _)| loopback_only || *scope != Scope::Loopback);
        let mut addresses: Vec<_> = ranked
            .into_iter()
            .map(|(_, address)| with_peer(address.clone(), peer))
            .collect();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        Self {
            cid,
            path,
            addresses,
        }
    }
}

/// How far an address reaches; the furthest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Public,
    Private,
    LinkLocal,
    Loopback,
}

fn scope(address: &Multiaddr) -> Scope {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    match ip {
        Some(ip) if ip.is_loopback() => Scope::Loopback,
        Some(IpAddr::V4(ip)) if ip.is_link_local() => Scope::LinkLocal,
        Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Scope::LinkLocal,
        Some(IpAddr::V4(ip)) if ip.is_private() => Scope::Private,
        Some(IpAddr::V6(ip)) if ip.is_unique_local() => Scope::Private,
        // A name, or memory in tests.
        _ => Scope::Public,
    }
}

fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Protocol::P2p(_)) => address,
        _ => address.with(Protocol::P2p(peer)),
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.cid)?;
        for name in &self.path {
            f.write_str("/")?;
            encode(name.as_bytes(), f)?;
        }
        let mut current = None;
        let mut separator = "@";
        for address in &self.addresses {
            let mut bare = address.clone();
            if let Some(Protocol::P2p(peer)) = bare.pop() {
                if current != Some(peer) {
                    write!(f, "{separator}{peer}")?;
                    current = Some(peer);
                }
                write!(f, ",{bare}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.strip_prefix(SCHEME).ok_or(LinkError::Scheme)?;
        let (content, peers) = rest.rsplit_once('@').unwrap_or((rest, ""));
        let mut segments = content.split('/').filter(|segment| !segment.is_empty());
        let cid = cid::parse(segments.next().unwrap_or_default())?;
        let path: Vec<Name> = segments.map(decode).collect::<Result<_, _>>()?;
        if path.len() > MAX_PATH {
            return Err(LinkError::TooMany {
                limit: MAX_PATH,
                of: "names in its path",
            });
        }
        let addresses = parse_peers(peers)?;
        Ok(Self {
            cid,
            path,
            addresses,
        })
    }
}

fn parse_peers(text: &str) -> Result<Vec<Multiaddr>, LinkError> {
    let refuse = |text: &str, reason: String| LinkError::Address {
        text: text.into(),
        reason,
    };
    let mut addresses = Vec::new();
    let mut current = None;
    for item in text.split(',').filter(|item| !item.is_empty()) {
        if !item.starts_with('/') {
            let peer = item
                .parse::<PeerId>()
                .map_err(|error| refuse(item, error.to_string()))?;
            current = Some(peer);
            continue;
        }
        if addresses.len() == MAX_ADDRESSES {
            return Err(LinkError::TooMany {
                limit: MAX_ADDRESSES,
                of: "addresses",
            });
        }
        let address = item
            .parse::<Multiaddr>()
            .map_err(|error| refuse(item, error.to_string()))?;
        addresses.push(match (address.iter().last(), current) {
            (Some(Protocol::P2p(_)), _) => address,
            (_, Some(peer)) => address.with(Protocol::P2p(peer)),
            (_, None) => {
                return Err(LinkError::NoPeer {
                    address: item.into(),
                });
            }
        });
    }
    Ok(addresses)
}

fn encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

fn decode(segment: &str) -> Result<Name, LinkError> {
    let refuse = || LinkError::Path {
        segment: segment.into(),
    };
    let mut parts = segment.split('%');
    let mut name = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).ok_or_else(refuse)?;
        let upper = hex.to_ascii_uppercase();
        let byte = data_encoding::HEXUPPER
            .decode(upper.as_bytes())
            .map_err(|_| refuse())?;
        name.extend(byte);
        name.extend(rest.as_bytes());
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

    fn peer() -> PeerId {
        PeerId::from_bytes(&[&[0, 8][..], &[1; 8]].concat()).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn every_path_comes_back_and_needs_no_quotes(
            path in prop::collection::vec(prop::collection::vec(1_u8.., 1..12), 0..4),
        ) {
            let path: Vec<Name> = path.into_iter().map(Name::from).collect();
            let listening = addresses(&["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1"]);
            let link = Link::new(cid::parse(CID).unwrap(), path, peer(), &listening);
            let text = link.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b":/@,.-_~%".contains(&b)));
            prop_assert_eq!(text.parse::<Link>().unwrap(), link);
        }

        #[test]
        fn any_text_is_a_link_or_an_error(text in "\\PC{0,60}") {
            let _ = format!("{SCHEME}{CID}/{text}").parse::<Link>();
            let _ = format!("{SCHEME}{CID}@{text}").parse::<Link>();
        }
    }

    #[test]
    fn the_furthest_addresses_come_first_and_loopback_only_alone() {
        let cid = cid::parse(CID).unwrap();
        let all = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/192.168.1.2/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/8.8.8.8/tcp/1",
        ]);
        let shown: Vec<String> = Link::new(cid, Vec::new(), peer(), &all)
            .addresses
            .iter()
            .map(|address| address.to_string().replace(&format!("/p2p/{}", peer()), ""))
            .collect();
        assert_eq!(
            shown,
            [
                "/ip4/8.8.8.8/tcp/1",
                "/ip4/192.168.1.2/tcp/1",
                "/ip6/fe80::1/tcp/1"
            ]
        );
        assert_eq!(
            Link::new(cid, Vec::new(), peer(), &all[..1])
                .addresses
                .len(),
            1
        );
    }

    #[test]
    fn at_most_eight_addresses() {
        let many: Vec<_> = (1..=9)
            .map(|n| format!("/ip4/10.0.0.{n}/tcp/1").parse().unwrap())
            .collect();
        let link = Link::new(cid::parse(CID).unwrap(), Vec::new(), peer(), &many);
        assert_eq!(link.addresses.len(), MAX_ADDRESSES);
        let text = format!("{link},/ip4/10.0.0.9/tcp/1");
        assert!(matches!(
            text.parse::<Link>(),
            Err(LinkError::TooMany { .. })
        ));
    }

    #[test]
    fn addresses_need_a_peer() {
        let text = format!("{SCHEME}{CID}@/ip4/1.2.3.4/tcp/1");
        assert!(matches!(
            text.parse::<Link>(),
            Err(LinkError::NoPeer { .. })
        ));
        assert!(format!("{text}/p2p/{}", peer()).parse::<Link>().is_ok());
        assert_eq!(CID.parse::<Link>(), Err(LinkError::Scheme));
    }
}
