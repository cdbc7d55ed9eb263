//! What can go wrong between this node and the swarm.

use std::io;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use store::blockstore::StoreError;

use crate::transport::TransportError;

/// Why the node cannot join the swarm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {reason}{}", hint(*.kind))]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        reason: String,
        /// Its kind of error.
        kind: io::ErrorKind,
    },
    /// An address did not become ready.
    #[error("listening on `{address}` did not begin within {after:?}")]
    ListenTimeout {
        /// The address.
        address: Multiaddr,
        /// How long we waited.
        after: Duration,
    },
    /// The transport cannot be built.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The repo's records cannot be read.
    #[error("cannot read what the repo remembers of the swarm: {0}")]
    Records(#[from] StoreError),
    /// A setting that a protocol does not take.
    #[error("cannot set up {protocol}: {reason}")]
    Protocol {
        /// Which one.
        protocol: &'static str,
        /// What it said.
        reason: String,
    },
}

/// What a person can do about it.
fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: end it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need more rights",
        _ => "",
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No known address of the peer leads to it.
    #[error("peer `{peer}` cannot be reached")]
    Unreachable {
        /// The peer.
        peer: PeerId,
    },
    /// No answer in time.
    #[error("peer `{peer}` did not answer in time")]
    Timeout {
        /// The peer.
        peer: PeerId,
    },
    /// The connection ended before the answer.
    #[error("the connection to peer `{peer}` ended before it answered")]
    ConnectionClosed {
        /// The peer.
        peer: PeerId,
    },
    /// The peer does not speak the protocol.
    #[error("peer `{peer}` does not speak our {protocol} protocol")]
    Unsupported {
        /// The peer.
        peer: PeerId,
        /// Which one.
        protocol: &'static str,
    },
    /// The stream broke.
    #[error("the answer of peer `{peer}` cannot be read: {reason}")]
    Broken {
        /// The peer.
        peer: PeerId,
        /// What the codec or the stream said.
        reason: String,
    },
    /// What came is no answer: the peer breaks the protocol.
    #[error("the answer of peer `{peer}` breaks the protocol: {reason}")]
    Malformed {
        /// The peer.
        peer: PeerId,
        /// What the codec said.
        reason: String,
    },
    /// More requests are under way than the node allows.
    #[error("{limit} requests are under way, and no more are allowed")]
    TooMany {
        /// How many.
        limit: usize,
    },
    /// The swarm has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("cannot connect: {reason}")]
    Unreachable {
        /// What each address said.
        reason: String,
    },
    /// Nothing is known of where the peer is.
    #[error("no address of peer `{peer}` is known")]
    NoAddresses {
        /// The peer.
        peer: PeerId,
    },
    /// Somebody else answers there.
    #[error("`{address}` is peer `{actual}`, not the one asked for")]
    WrongPeer {
        /// Where.
        address: Multiaddr,
        /// Who is there.
        actual: PeerId,
    },
    /// A peer of another network, or of another program.
    #[error("peer `{peer}` is not of our network: it speaks `{protocol}`")]
    Stranger {
        /// Who.
        peer: PeerId,
        /// What it told by identify.
        protocol: String,
    },
    /// It took too long.
    #[error("no connection within {after:?}")]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
    /// Too many people wait for connections.
    #[error("{limit} connections are being waited for, and no more are allowed")]
    TooMany {
        /// How many.
        limit: usize,
    },
    /// The swarm has ended.
    #[error("the node has stopped")]
    Stopped,
}
