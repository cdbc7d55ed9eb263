//! [`Listeners`]: where we listen, and when all of it has begun.
//!
//! In our own networks every listening address counts as external at once: nobody has to prove that it
//! can be reached, because peers believe an address only as far as they are near
//! ([`crate::address`]). Without that, Kademlia would announce providers without any address on a LAN.

mod port;

use std::io;

use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::broadcast;

use crate::behaviour::Behaviour;
use crate::network::{NetworkError, NetworkEvent};

/// The service.
pub(crate) struct Listeners {
    peer: PeerId,
    /// One for each address that was asked for.
    asked: Vec<Listener>,
    addresses: Vec<Multiaddr>,
    events: broadcast::Sender<NetworkEvent>,
}

struct Listener {
    id: ListenerId,
    asked: Multiaddr,
    ready: bool,
}

impl Listeners {
    /// Begins to listen on `addresses`.
    pub(crate) fn start(
        swarm: &mut Swarm<Behaviour>,
        addresses: &[Multiaddr],
        events: broadcast::Sender<NetworkEvent>,
    ) -> Result<Self, NetworkError> {
        let mut listeners = Vec::new();
        for asked in addresses {
            port::check_free(asked)
                .map_err(|error| explain(asked, &TransportError::Other(error)))?;
            let id = swarm
                .listen_on(asked.clone())
                .map_err(|error| explain(asked, &error))?;
            listeners.push(Listener {
                id,
                asked: asked.clone(),
                ready: false,
            });
        }
        Ok(Self {
            peer: *swarm.local_peer_id(),
            asked: listeners,
            addresses: Vec::new(),
            events,
        })
    }

    /// An address that is asked for and not there yet.
    pub(crate) fn awaited(&self) -> Option<&Multiaddr> {
        self.asked
            .iter()
            .find(|listener| !listener.ready)
            .map(|listener| &listener.asked)
    }

    pub(crate) fn on_new(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        id: ListenerId,
        address: &Multiaddr,
    ) {
        tracing::info!(%address, "listening");
        for listener in self.asked.iter_mut().filter(|listener| listener.id == id) {
            listener.ready = true;
        }
        swarm.add_external_address(address.clone());
        if !self.addresses.contains(address) {
            self.addresses.push(address.clone());
            // Fails only when nobody listens.
            let _ = self
                .events
                .send(NetworkEvent::Listening(self.with_peer(address)));
        }
    }

    pub(crate) fn on_expired(&mut self, swarm: &mut Swarm<Behaviour>, address: &Multiaddr) {
        tracing::info!(%address, "no longer listening");
        swarm.remove_external_address(address);
        self.addresses.retain(|known| known != address);
    }

    pub(crate) fn on_closed(&mut self, swarm: &mut Swarm<Behaviour>, id: ListenerId) {
        if let Some(closed) = self.asked.iter().find(|listener| listener.id == id) {
            tracing::error!(address = %closed.asked, "a listener ended");
        }
        self.asked.retain(|listener| listener.id != id);
        let still: Vec<_> = swarm.listeners().cloned().collect();
        for gone in self
            .addresses
            .clone()
            .iter()
            .filter(|address| !still.contains(address))
        {
            self.on_expired(swarm, gone);
        }
    }

    /// Ends all listening.
    pub(crate) fn stop(&mut self, swarm: &mut Swarm<Behaviour>) {
        for listener in self.asked.drain(..) {
            swarm.remove_listener(listener.id);
        }
    }

    /// Where we listen, without our peer id.
    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Where we listen, with our peer id.
    pub(crate) fn full(&self) -> Vec<Multiaddr> {
        self.addresses
            .iter()
            .map(|address| self.with_peer(address))
            .collect()
    }

    fn with_peer(&self, address: &Multiaddr) -> Multiaddr {
        address.clone().with(Protocol::P2p(self.peer))
    }
}

fn explain(asked: &Multiaddr, error: &TransportError<io::Error>) -> NetworkError {
    let (reason, kind) = match error {
        TransportError::MultiaddrNotSupported(_) => (
            "not an address of a transport that we have (`/ip4/…/tcp/…`, `/ip4/…/udp/…/quic-v1`)"
                .to_owned(),
            io::ErrorKind::Unsupported,
        ),
        TransportError::Other(error) => {
            let reason = error.to_string();
            let kind = system_kind(&reason).unwrap_or(error.kind());
            (reason, kind)
        }
    };
    NetworkError::Listen {
        address: asked.clone(),
        reason,
        kind,
    }
}

/// The kind of the system's error with this text. libp2p wraps that error in layers that hide it from
/// [`std::error::Error::source`]; its text alone comes through, with its number at the end.
fn system_kind(text: &str) -> Option<io::ErrorKind> {
    let (_, number) = text.rsplit_once("(os error ")?;
    let code = number.strip_suffix(')')?.parse().ok()?;
    Some(io::Error::from_raw_os_error(code).kind())
}
