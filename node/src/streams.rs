//! [`Streams`]: raw streams of one protocol, for whoever wants to hold one open to a peer.
//!
//! libp2p's own `libp2p-stream` does the same for any protocol, is an alpha, drops streams that come while
//! nobody waits, and never answers who asks for a stream to a peer that cannot be dialed. Here a stream
//! that is asked for is opened on the oldest direct connection, or refused at once; one that comes goes
//! into a bounded queue, and is reset if that is full.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{mpsc, oneshot};

use self::handler::Handler;

/// Orders that wait for the swarm to take them at most: it takes one each time it is polled, and a
/// session asks for one stream per peer.
const MAX_ORDERS: usize = 1024;

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// The peer does not speak the protocol.
    #[error("it does not speak the protocol")]
    Unsupported,
    /// The stream broke before it was there.
    #[error("{0}")]
    Broken(String),
}

/// Where a stream goes.
pub(crate) type StreamReply = oneshot::Sender<Result<Stream, StreamError>>;

/// The protocol's behaviour. It emits nothing: streams leave it by channels.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    inbound: mpsc::Sender<(PeerId, Stream)>,
    /// The open connections of each peer, the oldest first; direct ones before relayed ones.
    connections: HashMap<PeerId, VecDeque<Connection>>,
    orders: VecDeque<(PeerId, ConnectionId, StreamReply)>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    id: ConnectionId,
    relayed: bool,
}

impl Streams {
    /// Streams that others open go to `inbound`.
    pub(crate) fn new(protocol: StreamProtocol, inbound: mpsc::Sender<(PeerId, Stream)>) -> Self {
        Self {
            protocol,
            inbound,
            connections: HashMap::new(),
            orders: VecDeque::new(),
        }
    }

    /// Opens a stream to a connected peer.
    pub(crate) fn open(&mut self, peer: PeerId, reply: StreamReply) {
        let connection = self.connections.get(&peer).and_then(VecDeque::front);
        let refusal = match connection {
            None => StreamError::NotConnected,
            Some(_) if self.orders.len() >= MAX_ORDERS => {
                StreamError::Broken("too many streams are being opened".to_owned())
            }
            Some(connection) => return self.orders.push_back((peer, connection.id, reply)),
        };
        // Who asked and went does not care for the answer.
        let _ = reply.send(Err(refusal));
    }

    fn opened(&mut self, peer: PeerId, id: ConnectionId, relayed: bool) {
        let connections = self.connections.entry(peer).or_default();
        let behind = |other: &Connection| other.relayed && !relayed;
        let place = connections.iter().position(behind);
        let connection = Connection { id, relayed };
        connections.insert(place.unwrap_or(connections.len()), connection);
    }

    fn closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(connections) = self.connections.get_mut(&peer) else {
            return;
        };
        connections.retain(|connection| connection.id != id);
        if connections.is_empty() {
            self.connections.remove(&peer);
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = std::convert::Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.protocol.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => self.opened(peer_id, connection_id, endpoint.is_relayed()),
            FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id,
                ..
            }) => self.closed(peer_id, connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        if self.inbound.try_send((peer, stream)).is_err() {
            // Dropping it resets it: the peer opens another when it needs one.
            tracing::debug!(%peer, "a stream came while too many others wait");
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm polls after each command of the driver, which is where orders come from.
        let Some((peer_id, connection, reply)) = self.orders.pop_front() else {
            return Poll::Pending;
        };
        Poll::Ready(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: reply,
        })
    }
}
