//! The handle of the swarm: what the rest of the node can ask of it.
//!
//! Cheap to clone; every method sends a command to the one task that owns the swarm (`driver.rs`) and
//! waits for its answer. The swarm ends by [`Network::shutdown`], or when its last handle is gone.

mod config;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::request_response::{InboundRequestId, ResponseChannel};
use libp2p::{Multiaddr, PeerId, Stream};
use store::repo::Repo;
use store::wire::member::Holdings;
use store::wire::replica::{ReplicaRequest, ReplicaResponse};
use store::{Cid, wire};
use tokio::sync::{broadcast, mpsc, oneshot};

pub use self::config::{BadName, NetworkConfig, NetworkName, Role};
pub use self::error::{ConnectError, NetworkError, RequestError};
use crate::address;
use crate::command::Command;
use crate::driver::Driver;
use crate::members::{Member, Offer, Sight};
use crate::metrics::Metrics;
use crate::streams::StreamError;

/// Commands that wait for the driver at most. It takes one within microseconds; who finds the queue
/// full waits.
const COMMANDS: usize = 256;

/// Events that a subscriber may be behind before it loses the oldest.
const EVENTS: usize = 1024;

/// Providers of one lookup that wait to be taken at most. More than a session would talk to.
const FOUND: usize = 64;

/// How long [`Network::shutdown`] waits for connections to close and records to reach the disk.
pub const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long [`Network::connect`] waits for the peer to say who it is.
const CONNECT: Duration = Duration::from_secs(30);

/// A node's place in the swarm.
#[derive(Clone, Debug)]
pub struct Network {
    peer_id: PeerId,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<NetworkEvent>,
    metrics: Metrics,
}

/// A request of another peer, to be answered by [`Network::respond`].
#[derive(Debug)]
pub struct Inbound<Q = wire::Request, R = wire::Response> {
    /// Who asks.
    pub peer: PeerId,
    /// What for.
    pub request: Q,
    /// Where the answer goes. Dropping it cuts the peer's stream without an answer.
    pub reply: ReplyChannel<R>,
}

/// A question of replication, to be answered by [`Network::respond_replica`].
pub type ReplicaInbound = Inbound<ReplicaRequest, ReplicaResponse>;

/// Where what other peers want goes.
#[derive(Clone, Debug)]
pub struct Inlets {
    /// Their requests; Busy is answered while it is full.
    pub requests: mpsc::Sender<Inbound>,
    /// The bulk streams that they open; reset while it is full.
    pub streams: mpsc::Sender<(PeerId, Stream)>,
    /// Their questions of replication; Busy is answered while it is full.
    pub replica: mpsc::Sender<ReplicaInbound>,
}

/// What other peers want, as it comes.
#[derive(Debug)]
pub struct Arrivals {
    /// Of our blocks.
    pub wanted: Wanted,
    /// Their questions of replication.
    pub replica: mpsc::Receiver<ReplicaInbound>,
}

/// What other peers want of our blocks, as it comes.
#[derive(Debug)]
pub struct Wanted {
    /// Their requests.
    pub requests: mpsc::Receiver<Inbound>,
    /// The bulk streams that they have opened.
    pub streams: mpsc::Receiver<(PeerId, Stream)>,
}

/// Inlets with room for so many requests, streams and questions of replication that nobody has taken yet,
/// and where they come out.
#[must_use]
pub fn inlets(requests: usize, streams: usize, replica: usize) -> (Inlets, Arrivals) {
    let (to_requests, requests) = mpsc::channel(requests);
    let (to_streams, streams) = mpsc::channel(streams);
    let (to_replica, replica) = mpsc::channel(replica);
    let inlets = Inlets {
        requests: to_requests,
        streams: to_streams,
        replica: to_replica,
    };
    let wanted = Wanted { requests, streams };
    (inlets, Arrivals { wanted, replica })
}

/// Where the answer to an [`Inbound`] goes.
#[derive(Debug)]
pub struct ReplyChannel<R = wire::Response> {
    pub(crate) channel: ResponseChannel<R>,
    pub(crate) id: InboundRequestId,
}

impl<R> ReplyChannel<R> {
    /// Whether the peer still waits.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.channel.is_open()
    }
}

/// A peer that says that it has a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRecord {
    /// Who.
    pub peer: PeerId,
    /// Where it may be reached. The network remembers them too: [`Network::request`] needs no more
    /// than the peer.
    pub addresses: Vec<Multiaddr>,
}

/// What happens in the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// A peer is connected and speaks our chunk protocol.
    Connected(PeerId),
    /// The last connection to such a peer is gone.
    Disconnected(PeerId),
    /// We can be reached at this address (with our `/p2p/` at its end).
    Listening(Multiaddr),
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The other peer.
    Inbound,
    /// We.
    Outbound,
}

/// A connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// The addresses of its connections, then what it said of itself.
    pub addresses: Vec<Multiaddr>,
    /// Who opened the oldest connection.
    pub direction: Direction,
    /// Its program and version, once it has told.
    pub agent: Option<String>,
    /// The last ping's round trip.
    pub rtt: Option<Duration>,
    /// Whether it speaks our chunk protocol; `false` until it has told.
    pub speaks_chunk: bool,
}

impl Network {
    /// Joins the swarm: listens, and looks for its peers from now on. `repo` remembers peers and provider
    /// records; what other peers want goes to `inlets`.
    ///
    /// # Errors
    /// If it cannot listen on one of the addresses, or the repo cannot be read.
    pub async fn start(
        config: NetworkConfig,
        repo: Arc<Repo>,
        keypair: Keypair,
        inlets: Inlets,
    ) -> Result<Self, NetworkError> {
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let peer_id = keypair.public().to_peer_id();
        let metrics = config.metrics.clone();
        let start = Driver::start(config, repo, keypair, queue, inlets, events.clone());
        let driver = Box::pin(start).await?;
        tokio::spawn(driver.run());
        Ok(Self {
            peer_id,
            commands,
            events,
            metrics,
        })
    }

    /// Our own peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Asks `peer`; dials it first, if needed, at the addresses that are known of it.
    ///
    /// Dropping the future does not cancel the request on the wire.
    ///
    /// # Errors
    /// If the peer cannot be reached or does not answer: see [`RequestError`].
    pub async fn request(
        &self,
        peer: PeerId,
        request: wire::Request,
    ) -> Result<wire::Response, RequestError> {
        self.ask(|reply| Command::Request {
            peer,
            request,
            reply,
        })
        .await
        .unwrap_or(Err(RequestError::Stopped))
    }

    /// Opens a bulk stream to `peer`; dials it first, if needed, at the addresses that are known of it.
    pub(crate) async fn open_bulk(&self, peer: PeerId) -> Result<Stream, StreamError> {
        let stopped = || StreamError::Broken("the node has stopped".to_owned());
        let open = || self.ask(|reply| Command::OpenBulk { peer, reply });
        match open().await.ok_or_else(stopped)? {
            Err(StreamError::NotConnected) => {}
            opened => return opened,
        }
        let dialed = self.dial(peer, Vec::new()).await;
        dialed.map_err(|error| StreamError::Broken(error.to_string()))?;
        open().await.ok_or_else(stopped)?
    }

    /// What the swarm counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a request of another peer, and returns when the answer has been written to its connection. Who
    /// is gone gets nothing, and that is no error.
    pub async fn respond(&self, reply: ReplyChannel, response: wire::Response) {
        self.ask(|sent| Command::Respond {
            channel: reply,
            response,
            sent,
        })
        .await;
    }

    /// Asks `peer` about copies; dials it first, if needed, at the addresses that are known of it. 128 questions at
    /// most are under way at the same time, each for 15 s at most once the peer is reached.
    ///
    /// Dropping the future does not cancel the question on the wire.
    ///
    /// # Errors
    /// If the peer cannot be reached or does not answer: see [`RequestError`].
    pub async fn ask_replica(
        &self,
        peer: PeerId,
        request: ReplicaRequest,
    ) -> Result<ReplicaResponse, RequestError> {
        self.ask(|reply| Command::AskReplica {
            peer,
            request,
            reply,
        })
        .await
        .unwrap_or(Err(RequestError::Stopped))
    }

    /// Answers a question of another peer; does not wait until the answer has been written. Who is gone gets
    /// nothing, and that is no error.
    pub async fn respond_replica(
        &self,
        reply: ReplyChannel<ReplicaResponse>,
        response: ReplicaResponse,
    ) {
        let channel = reply;
        self.tell(Command::AnswerReplica { channel, response })
            .await;
    }

    /// Looks for peers that have `root`, in the DHT. Every peer comes once, except ourselves; the channel ends
    /// with the lookup, and dropping it ends the lookup. Without any DHT peer yet, the lookup
    /// waits for one for a few seconds.
    pub async fn providers(&self, root: Cid) -> mpsc::Receiver<ProviderRecord> {
        let (found, receiver) = mpsc::channel(FOUND);
        self.tell(Command::Providers { root, found }).await;
        receiver
    }

    /// Tells the DHT that we have `root`: as soon as there is a DHT peer, again every 12 h, and again
    /// after a restart, until [`Network::stop_providing`].
    pub async fn provide(&self, root: Cid) {
        self.tell(Command::Provide { root }).await;
    }

    /// No longer tells of `root`. What was told expires within 48 h.
    pub async fn stop_providing(&self, root: Cid) {
        self.tell(Command::StopProviding { root }).await;
    }

    /// Connects to a peer of our network at `address`, which may name it (`/p2p/…`) or not.
    ///
    /// # Errors
    /// If nobody answers there, another peer does, or one of another network.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId, ConnectError> {
        self.reach(address::peer_of(&address), vec![address]).await
    }

    /// Connects to `peer`, at these addresses and those that are known of it.
    ///
    /// # Errors
    /// Like [`Network::connect`].
    pub async fn dial(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<PeerId, ConnectError> {
        self.reach(Some(peer), addresses).await
    }

    async fn reach(
        &self,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
    ) -> Result<PeerId, ConnectError> {
        let connect = self.ask(|reply| Command::Connect {
            peer,
            addresses,
            reply,
        });
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(answer) => answer.unwrap_or(Err(ConnectError::Stopped)),
            Err(_) => Err(ConnectError::Timeout { after: CONNECT }),
        }
    }

    /// Remembers addresses of a peer that somebody told us of (a link, a session), for later dials.
    pub async fn remember(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.tell(Command::Remember { peer, addresses }).await;
    }

    /// Where each of `peers` may be, as far as is known.
    pub(crate) async fn addresses_of(&self, peers: Vec<PeerId>) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.ask(|reply| Command::AddressesOf { peers, reply })
            .await
            .unwrap_or_default()
    }

    /// The peers that are connected.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.ask(|reply| Command::Peers { reply })
            .await
            .unwrap_or_default()
    }

    /// The members of the swarm, ourselves among them, and how much of it is in sight. Nobody, once the swarm
    /// has ended.
    pub async fn members(&self) -> (Vec<Member>, Sight) {
        self.ask(|reply| Command::Members { reply })
            .await
            .unwrap_or_default()
    }

    /// Tells the other members what we hold, if it changed: sooner or later, as it changes often.
    pub async fn hold(&self, holdings: Holdings) {
        self.tell(Command::Hold { holdings }).await;
    }

    /// Tells the other members what we offer, as far as it changed.
    pub async fn offer(&self, offer: Offer) {
        self.tell(Command::Offer { offer }).await;
    }

    /// Tells the other members that we are about to leave, or stay after all. Those who are connected have taken
    /// note when this returns, or cannot be reached; the others hear of it.
    pub(crate) async fn set_leaving(&self, leaving: bool) {
        let noted = self.ask(|noted| Command::SetLeaving { leaving, noted });
        noted.await.unwrap_or_default();
    }

    /// The addresses that we listen on, each with our `/p2p/` at its end.
    pub async fn addresses(&self) -> Vec<Multiaddr> {
        self.ask(|reply| Command::Addresses { reply })
            .await
            .unwrap_or_default()
    }

    /// What happens from now on. Who falls 1,024 events behind loses the oldest
    /// (`RecvError::Lagged`), and should ask [`Network::peers`] then.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<NetworkEvent> {
        self.events.subscribe()
    }

    /// Whether the swarm is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Waits until the swarm has ended.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }

    /// Stops listening, closes all connections, brings what is still to be written to the disk, and
    /// returns when that is done, after 5 s at the latest.
    pub async fn shutdown(self) {
        let done = self.ask(|done| Command::Shutdown { done });
        if tokio::time::timeout(SHUTDOWN, done).await.is_err() {
            tracing::warn!("the swarm did not end within {SHUTDOWN:?}");
        }
    }

    async fn tell(&self, command: Command) {
        // Fails only when the swarm has ended, which every caller learns by its answer.
        let _ = self.commands.send(command).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await;
        answer.await.ok()
    }
}
