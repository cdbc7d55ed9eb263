//! What the handle asks of the driver. Private to the crate: [`Network`](crate::network::Network)'s
//! methods are the interface, and their documentation the protocol's.

use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::wire;
use store::wire::member::Holdings;
use store::wire::replica::{ReplicaRequest, ReplicaResponse};
use tokio::sync::{mpsc, oneshot};

use crate::members::{Member, Offer, Sight};
use crate::network::{ConnectError, PeerInfo, ProviderRecord, ReplyChannel, RequestError};
use crate::streams::StreamReply;

/// One request of the handle, with where its answer goes. Who no longer waits has dropped the other
/// end; every service checks that before it works on.
pub(crate) enum Command {
    Request {
        peer: PeerId,
        request: wire::Request,
        reply: oneshot::Sender<Result<wire::Response, RequestError>>,
    },
    Respond {
        channel: ReplyChannel,
        response: wire::Response,
        /// Dropped when it has been written, or cannot be.
        sent: oneshot::Sender<()>,
    },
    AskReplica {
        peer: PeerId,
        request: ReplicaRequest,
        reply: oneshot::Sender<Result<ReplicaResponse, RequestError>>,
    },
    AnswerReplica {
        channel: ReplyChannel<ReplicaResponse>,
        response: ReplicaResponse,
    },
    OpenBulk {
        peer: PeerId,
        reply: StreamReply,
    },
    Providers {
        root: Cid,
        found: mpsc::Sender<ProviderRecord>,
    },
    Provide {
        root: Cid,
    },
    StopProviding {
        root: Cid,
    },
    Connect {
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        reply: oneshot::Sender<Result<PeerId, ConnectError>>,
    },
    Remember {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    AddressesOf {
        peers: Vec<PeerId>,
        reply: oneshot::Sender<Vec<(PeerId, Vec<Multiaddr>)>>,
    },
    Members {
        reply: oneshot::Sender<(Vec<Member>, Sight)>,
    },
    Offer {
        offer: Offer,
    },
    SetLeaving {
        leaving: bool,
        noted: oneshot::Sender<()>,
    },
    Hold {
        holdings: Holdings,
    },
    Peers {
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    Addresses {
        reply: oneshot::Sender<Vec<Multiaddr>>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}
