//! The transport, built by hand: what bytes travel over, before any protocol of ours.
//!
//! `authenticated` is **the seam**. Every transport passes through it with its peer already
//! authenticated and its connection already multiplexed, and nothing reaches the swarm around it:
//! - tests put the memory transport there ([`TransportKind::Memory`]);
//! - the proof of membership of a private swarm runs there (`Transport::and_then`), so that a stranger
//!   is refused before the swarm has seen his connection.

mod gather;
mod head_start;
mod membership;
mod security;
#[cfg(test)]
mod tests;
mod tls;
mod yamux;

use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, MemoryTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::tls::certificate::GenError;
use libp2p::{PeerId, Transport, dns, noise, quic, tcp};

use self::head_start::HeadStart;
use self::membership::Membership;
use self::security::Security;
pub(crate) use self::yamux::FRAME;
use self::yamux::Yamux;
use crate::swarm_key::SwarmKey;

/// A connection that is not ready (secured and multiplexed) after this long is given up: libp2p's own
/// builder allows as much.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TCP carries bulk at twice the rate of QUIC for the same CPU time; QUIC wins only where TCP does
/// not come through. Both are dialed, TCP this much earlier (RFC 8305 proposes 250 ms).
const TCP_HEAD_START: Duration = Duration::from_millis(250);

/// The variable by which libp2p's QUIC is told to write down its secrets. TLS over TCP is ours and knows no
/// such thing.
const KEY_LOG: &str = "SSLKEYLOGFILE";

/// What the nodes of a network talk over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// TCP (TLS 1.3 or Noise, Yamux) and QUIC, with names resolved by DNS.
    #[default]
    Sockets,
    /// Channels inside this process (Noise, Yamux), for tests; addresses are `/memory/PORT`.
    Memory,
}

/// A transport as the swarm wants it.
pub(crate) type Authenticated = Boxed<(PeerId, StreamMuxerBox)>;

/// Why no transport could be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// TLS refused our key.
    #[error("cannot make the TLS certificate of this node: {0}")]
    Tls(#[from] GenError),
    /// Noise refused our key.
    #[error("cannot make the Noise key of this node: {0}")]
    Noise(#[from] noise::Error),
}

/// Builds the transport of a node with this key; with a swarm key, for members of that swarm alone.
pub(crate) fn build(
    kind: TransportKind,
    key: &Keypair,
    swarm: Option<&SwarmKey>,
) -> Result<Authenticated, TransportError> {
    let members = swarm.map(|swarm| Membership::new(swarm, key.public().to_peer_id()));
    match kind {
        TransportKind::Sockets => named(key, members.as_ref()),
        TransportKind::Memory => memory(key, members.as_ref()),
    }
}

fn named(key: &Keypair, members: Option<&Membership>) -> Result<Authenticated, TransportError> {
    if std::env::var_os(KEY_LOG).is_some() {
        tracing::warn!("{KEY_LOG} is set: the secrets of QUIC connections are written there");
    }
    match dns::tokio::Transport::system(sockets(key, members)?) {
        Ok(transport) => Ok(transport.boxed()),
        Err(error) => {
            tracing::warn!(%error, "no name resolution: addresses with names cannot be dialed");
            sockets(key, members)
        }
    }
}

fn sockets(key: &Keypair, members: Option<&Membership>) -> Result<Authenticated, TransportError> {
    let (quic, tcp) = (quic(key), tcp(key)?);
    Ok(authenticated(quic, members)
        .or_transport(authenticated(tcp, members))
        .map(|either, _| either.into_inner())
        .boxed())
}

fn tcp(key: &Keypair) -> Result<Authenticated, TransportError> {
    // Nodelay: a request of 100 bytes must not wait for an acknowledgement.
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        // Lazy: saves one round trip of negotiation for each layer.
        .upgrade(Version::V1Lazy)
        .authenticate(Security::new(key)?)
        .multiplex(Yamux)
        .timeout(HANDSHAKE_TIMEOUT);
    Ok(transport.boxed())
}

fn quic(key: &Keypair) -> Authenticated {
    // QUIC brings its own TLS and streams, and its own handshake timeout (5 s).
    let transport = quic::tokio::Transport::new(quic::Config::new(key))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    HeadStart::new(transport, TCP_HEAD_START).boxed()
}

fn memory(key: &Keypair, members: Option<&Membership>) -> Result<Authenticated, TransportError> {
    let transport = MemoryTransport::new()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(Yamux)
        .timeout(HANDSHAKE_TIMEOUT);
    Ok(authenticated(transport.boxed(), members))
}

/// The seam (see the module's documentation): the one door between a transport and the swarm.
///
/// An open network lets everybody through, a private one its members.
fn authenticated(transport: Authenticated, members: Option<&Membership>) -> Authenticated {
    let Some(members) = members.cloned() else {
        return transport;
    };
    transport
        .and_then(move |(peer, muxer), point| members.prove(peer, muxer, point))
        .boxed()
}
