//! [`Requests`]: the questions and answers of one request-response protocol on their way through the swarm.
//!
//! Which question belongs to whom is kept here, bounded; what questions and answers mean is the affair of
//! `exchange` and `replication`.

use std::collections::HashMap;

use libp2p::request_response::{
    self, Codec, Event, InboundRequestId, Message, OutboundFailure, OutboundRequestId,
};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId};
use store::wire::Response;
use store::wire::replica::ReplicaResponse;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::behaviour::Behaviour;
use crate::exchange::codec::ChunkCodec;
use crate::framing::ReplicaCodec;
use crate::metrics::{self, IN, Metrics, OUT, SwarmMetrics};
use crate::network::{Inbound, ReplyChannel, RequestError};
use crate::peers::Peers;

/// When to come back, for whom our queue has no place.
const BUSY_RETRY_MS: u32 = 500;

/// A protocol whose questions pass through here.
pub(crate) trait Carried: Codec<Request: Clone> + Clone + Send + 'static {
    /// Its name, for people.
    const NAME: &'static str;
    /// Our own questions under way at most, to all peers.
    const MAX_PENDING: usize;

    fn behaviour(swarm: &mut Swarm<Behaviour>) -> &mut request_response::Behaviour<Self>;

    fn counts(metrics: &SwarmMetrics) -> &metrics::Requests;

    /// What is answered while nobody takes the questions.
    fn busy() -> Self::Response;

    /// Bytes of blocks in an answer.
    fn payload(_: &Self::Response) -> usize {
        0
    }
}

impl Carried for ChunkCodec {
    const NAME: &'static str = "chunk";
    /// Their answers are at most 4 MiB each, and sessions bound their bytes in flight far below this.
    const MAX_PENDING: usize = 1024;

    fn behaviour(swarm: &mut Swarm<Behaviour>) -> &mut request_response::Behaviour<Self> {
        &mut swarm.behaviour_mut().exchange
    }

    fn counts(metrics: &SwarmMetrics) -> &metrics::Requests {
        &metrics.chunk
    }

    fn busy() -> Response {
        Response::Busy {
            retry_ms: BUSY_RETRY_MS,
        }
    }

    fn payload(response: &Response) -> usize {
        response.payload_size()
    }
}

impl Carried for ReplicaCodec {
    const NAME: &'static str = "replica";
    /// Their answers are at most 256 KiB each, so 32 MiB together; whoever asks many members asks some of
    /// them later.
    const MAX_PENDING: usize = 128;

    fn behaviour(swarm: &mut Swarm<Behaviour>) -> &mut request_response::Behaviour<Self> {
        &mut swarm.behaviour_mut().replica
    }

    fn counts(metrics: &SwarmMetrics) -> &metrics::Requests {
        &metrics.replica
    }

    fn busy() -> ReplicaResponse {
        ReplicaResponse::Busy
    }
}

/// The service.
pub(crate) struct Requests<C: Carried> {
    pending: HashMap<OutboundRequestId, Pending<C>>,
    /// Who waits until an answer is on its way: no more than there may be streams.
    sending: HashMap<InboundRequestId, oneshot::Sender<()>>,
    inbound: mpsc::Sender<Inbound<C::Request, C::Response>>,
    metrics: Metrics,
}

struct Pending<C: Carried> {
    reply: Reply<C::Response>,
    /// For a second try, when the dial that it waited for was another's and had worse addresses.
    again: Option<C::Request>,
}

/// Where an answer goes.
type Reply<R> = oneshot::Sender<Result<R, RequestError>>;

impl<C: Carried> Requests<C> {
    pub(crate) fn new(
        inbound: mpsc::Sender<Inbound<C::Request, C::Response>>,
        metrics: Metrics,
    ) -> Self {
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
        request: C::Request,
        addresses: Vec<Multiaddr>,
        reply: Reply<C::Response>,
    ) {
        if self.pending.len() >= C::MAX_PENDING {
            let limit = C::MAX_PENDING;
            let _ = reply.send(Err(RequestError::TooMany { limit }));
            return;
        }
        self.counts().all.get_or_create(&OUT).inc();
        let again = (!swarm.is_connected(&peer)).then(|| request.clone());
        let id = C::behaviour(swarm).send_request_with_addresses(&peer, request, addresses);
        self.pending.insert(id, Pending { reply, again });
    }

    /// Answers a peer, if it still waits. `sent` is dropped when the answer has left us, or never will.
    pub(crate) fn answer(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        channel: ReplyChannel<C::Response>,
        response: C::Response,
        sent: Option<oneshot::Sender<()>>,
    ) {
        let bytes = C::payload(&response) as u64;
        // Given back when the peer is gone.
        if C::behaviour(swarm)
            .send_response(channel.channel, response)
            .is_ok()
        {
            if let Some(sent) = sent {
                self.sending.insert(channel.id, sent);
            }
            let moved = &self.metrics.swarm().exchange_bytes;
            moved.get_or_create(&OUT).inc_by(bytes);
        }
    }

    pub(crate) fn on_event(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: Event<C::Request, C::Response>,
    ) {
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request,
                    channel,
                    request_id: id,
                } => {
                    self.counts().all.get_or_create(&IN).inc();
                    let reply = ReplyChannel { channel, id };
                    self.pass_on(
                        swarm,
                        Inbound {
                            peer,
                            request,
                            reply,
                        },
                    );
                }
                Message::Response {
                    request_id,
                    response,
                } => {
                    let moved = &self.metrics.swarm().exchange_bytes;
                    let bytes = C::payload(&response) as u64;
                    moved.get_or_create(&IN).inc_by(bytes);
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
                self.counts().failures.get_or_create(&IN).inc();
            }
            Event::ResponseSent { request_id, .. } => drop(self.sending.remove(&request_id)),
        }
    }

    fn counts(&self) -> &metrics::Requests {
        C::counts(self.metrics.swarm())
    }

    fn pass_on(&mut self, swarm: &mut Swarm<Behaviour>, inbound: Inbound<C::Request, C::Response>) {
        let Err(TrySendError::Full(inbound) | TrySendError::Closed(inbound)) =
            self.inbound.try_send(inbound)
        else {
            return;
        };
        self.counts().busy.inc();
        self.answer(swarm, inbound.reply, C::busy(), None);
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
        let reply = pending.reply;
        if let (OutboundFailure::DialFailure, Some(request)) = (error, pending.again) {
            let addresses = peers.addresses(&peer);
            if swarm.is_connected(&peer) || !addresses.is_empty() {
                let id = C::behaviour(swarm).send_request_with_addresses(&peer, request, addresses);
                self.pending.insert(id, Pending { reply, again: None });
                return;
            }
        }
        self.counts().failures.get_or_create(&OUT).inc();
        let _ = reply.send(Err(explain(peer, error, C::NAME)));
    }

    fn settle(&mut self, id: OutboundRequestId, result: Result<C::Response, RequestError>) {
        if let Some(pending) = self.pending.remove(&id) {
            // Who gave up waiting does not care.
            let _ = pending.reply.send(result);
        }
    }
}

fn explain(peer: PeerId, error: &OutboundFailure, protocol: &'static str) -> RequestError {
    match error {
        OutboundFailure::DialFailure => RequestError::Unreachable { peer },
        OutboundFailure::Timeout => RequestError::Timeout { peer },
        OutboundFailure::ConnectionClosed => RequestError::ConnectionClosed { peer },
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported { peer, protocol },
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
