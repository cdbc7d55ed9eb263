//! One connection's part: opens the streams that are ordered, and passes on those that come.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError,
    FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{StreamUpgradeError, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};

use super::{StreamError, StreamReply};

/// Streams that came and have not been passed on at most: the connection is polled between any two.
const MAX_WAITING: usize = 8;

/// See the module.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    /// Streams to open, and where they go. Bounded by the behaviour's own queue.
    ordered: VecDeque<StreamReply>,
    came: VecDeque<Stream>,
}

impl Handler {
    pub(super) const fn new(protocol: StreamProtocol) -> Self {
        Self {
            protocol,
            ordered: VecDeque::new(),
            came: VecDeque::new(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = StreamReply;
    type ToBehaviour = Stream;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = StreamReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn on_behaviour_event(&mut self, reply: StreamReply) {
        self.ordered.push_back(reply);
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        if let Some(stream) = self.came.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        while let Some(reply) = self.ordered.pop_front() {
            if reply.is_closed() {
                continue;
            }
            let upgrade = ReadyUpgrade::new(self.protocol.clone());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(upgrade, reply),
            });
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) if self.came.len() < MAX_WAITING => self.came.push_back(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: reply,
            }) => drop(reply.send(Ok(stream))),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => StreamError::Unsupported,
                    StreamUpgradeError::Timeout => {
                        StreamError::Broken("it was not opened in time".to_owned())
                    }
                    StreamUpgradeError::Io(error) => StreamError::Broken(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = reply.send(Err(error));
            }
            _ => {}
        }
    }
}
