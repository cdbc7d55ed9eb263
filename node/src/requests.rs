//! [`Requests`]: the chunk protocol's questions and answers on their way through the swarm.
//!
//! Which question belongs to whom is kept here, bounded; what questions and answers mean is
//! `exchange`'s affair.

use std::collections::HashMap;

use libp2p::request_response::{
    Event, InboundRequestId, Message, OutboundFailure, OutboundRequestId,
};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId};
use store::wire::{Request, Response};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::behaviour::Behaviour;
use crate::metrics::{IN, Metrics, OUT};
use crate::network::{Inbound, ReplyChannel, RequestError};
use crate::peers::Peers;

/// Our own questions under way at most, to all peers: their answers are at most 4 MiB each, and
/// sessions bound their bytes in flight far below this.
const MAX_PENDING: usize = 1024;

/// When to come back, for whom our queue has no place.
const BUSY_RETRY_MS: u32 = 500;

/// The service.
pub(crate) struct Requests {
    pending: HashMap<OutboundRequestId, Pending>,
    /// Who waits until an answer is on its way: no more than there may be streams.
    sending: HashMap<InboundRequestId, oneshot::Sender<()>>,
    inbound: mpsc::Sender<Inbound>,
    metrics: Metrics,
}

struct Pending {
    reply: Reply,
    /// For a second try, when the dial that it waited for was another's and had worse addresses.
    again: Option<Request>,
}

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Response, RequestError>>;

impl Requests {
    pub(crate) fn new(inbound: mpsc::Sender<Inbound>, metrics: Metrics) -> Self {
        Self {
            pending: HashMap::new(),
            sending: HashMap::new(),
            inbound,
            metrics,
        }
    }

    /// Asks `peer`, dialing it at `addresses` if it is not connected.
    pub(crate) fn ask(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        request: Request,
        addresses: Vec<Multiaddr>,
        reply: Reply,
    ) {
        if self.pending.len() >= MAX_PENDING {
            let _ = reply.send(Err(RequestError::TooMany { limit: MAX_PENDING }));
            return;
        }
        self.metrics.swarm().requests.get_or_create(&OUT).inc();
        let again = (!swarm.is_connected(&peer)).then(|| request.clone());
        let exchange = &mut swarm.behaviour_mut().exchange;
        let id = exchange.send_request_with_addresses(&peer, request, addresses);
        self.pending.insert(id, Pending { reply, again });
    }

    /// Answers a peer, if it still waits. `sent` is dropped when the answer has left us, or never will.
    pub(crate) fn answer(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        channel: ReplyChannel,
        response: Response,
        sent: Option<oneshot::Sender<()>>,
    ) {
        let bytes = response.payload_size() as u64;
        // Given back when the peer is gone.
        if swarm
            .behaviour_mut()
            .exchange
            .send_response(channel.channel, response)
            .is_ok()
        {
            if let Some(sent) = sent {
                self.sending.insert(channel.id, sent);
            }
            self.metrics
                .swarm()
                .exchange_bytes
                .get_or_create(&OUT)
                .inc_by(bytes);
        }
    }

    pub(crate) fn on_event(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: Event<Request, Response>,
    ) {
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request,
                    channel,
                    request_id: id,
                } => {
                    self.metrics.swarm().requests.get_or_create(&IN).inc();
                    self.pass_on(
                        swarm,
                        Inbound {
                            peer,
                            request,
                            reply: ReplyChannel { channel, id },
                        },
                    );
                }
                Message::Response {
                    request_id,
                    response,
                } => {
                    let bytes = response.payload_size() as u64;
                    self.metrics
                        .swarm()
                        .exchange_bytes
                        .get_or_create(&IN)
                        .inc_by(bytes);
                    self.settle(request_id, Ok(response));
                }
            },
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.on_failure(swarm, peers, peer, request_id, &error);
            }
            Event::InboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                self.sending.remove(&request_id);
                tracing::debug!(%peer, %error, "an answer did not reach its asker");
                self.metrics
                    .swarm()
                    .request_failures
                    .get_or_create(&IN)
                    .inc();
            }
            Event::ResponseSent { request_id, .. } => drop(self.sending.remove(&request_id)),
        }
    }

    fn pass_on(&mut self, swarm: &mut Swarm<Behaviour>, inbound: Inbound) {
        let Err(TrySendError::Full(inbound) | TrySendError::Closed(inbound)) =
            self.inbound.try_send(inbound)
        else {
            return;
        };
        self.metrics.swarm().busy.inc();
        self.answer(
            swarm,
            inbound.reply,
            Response::Busy {
                retry_ms: BUSY_RETRY_MS,
            },
            None,
        );
    }

    fn on_failure(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        peer: PeerId,
        id: OutboundRequestId,
        error: &OutboundFailure,
    ) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        if let (OutboundFailure::DialFailure, Some(request)) = (error, pending.again) {
            let addresses = peers.addresses(&peer);
            if swarm.is_connected(&peer) || !addresses.is_empty() {
                let exchange = &mut swarm.behaviour_mut().exchange;
                let id = exchange.send_request_with_addresses(&peer, request, addresses);
                self.pending.insert(
                    id,
                    Pending {
                        reply: pending.reply,
                        again: None,
                    },
                );
                return;
            }
        }
        self.metrics
            .swarm()
            .request_failures
            .get_or_create(&OUT)
            .inc();
        let _ = pending.reply.send(Err(explain(peer, error)));
    }

    fn settle(&mut self, id: OutboundRequestId, result: Result<Response, RequestError>) {
        if let Some(pending) = self.pending.remove(&id) {
            // Who gave up waiting does not care.
            let _ = pending.reply.send(result);
        }
    }
}

fn explain(peer: PeerId, error: &OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::DialFailure => RequestError::Unreachable { peer },
        OutboundFailure::Timeout => RequestError::Timeout { peer },
        OutboundFailure::ConnectionClosed => RequestError::ConnectionClosed { peer },
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported { peer },
        // The codec's word for what is no message.
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            RequestError::Malformed {
                peer,
                reason: error.to_string(),
            }
        }
        OutboundFailure::Io(error) => RequestError::Broken {
            peer,
            reason: error.to_string(),
        },
    }
}
