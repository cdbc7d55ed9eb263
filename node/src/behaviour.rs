//! The protocols that a node speaks, and their settings. Where a setting differs from libp2p's default,
//! the reason stands beside it.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, WhitelistSubscriptionFilter};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, Stream, identify, kad, mdns, memory_connection_limits, ping};
use store::block::Block;
use store::cid::{Codec, Version};
use tokio::sync::mpsc;

use crate::discovery::store::{PROVIDER_TTL, ProviderStore};
use crate::exchange::codec::ChunkCodec;
use crate::framing::{MemberCodec, ReplicaCodec};
use crate::network::{NetworkConfig, NetworkError, NetworkName, Role};
use crate::streams::Streams;

/// A connection without streams is closed after this long. libp2p's 10 s would drop a peer between two
/// requests; NATs forget a silent TCP connection after some minutes, but pings keep it alive.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Two peers that find each other at the same moment dial each other, over TCP and QUIC.
const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// Handshakes under way at most, inbound and outbound each: each costs a signature and 10 s at most.
const MAX_HANDSHAKES: u32 = 64;

/// New connections are refused when the process has this part of the machine's memory.
const MAX_MEMORY: f64 = 0.8;

/// One request may take this long on the wire, whole: an answer of 4 MiB at 64 KiB/s, twice over.
/// Sessions have their own, shorter deadlines from measured rates.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Requests under way on one connection, both directions together. Of those beyond libp2p fails our own, and resets
/// the streams of the peer's before anybody here hears of them: the peer's request fails without a Busy. So this stands
/// far above what a session keeps in flight per peer.
const MAX_STREAMS: usize = 256;

/// A DHT query is given up after this long; libp2p's 60 s is how long a person would watch.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest gossip message in bytes, signature included. An announcement has two records at most, or
/// 32 accusations.
pub(crate) const MAX_GOSSIP: usize = 12 << 10;

/// What a member does not answer within this it never answers; the membership counts on far less.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(20);

/// Questions of members on one connection, both directions together: a probe, a pull, and what is asked
/// for others.
const MEMBER_STREAMS: usize = 32;

/// What replication asks is answered at once, but for a challenge: it reads 32 MiB, for which a disk that is busy
/// gets so long.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(15);

/// Questions of replication on one connection, both directions together: each is 64 KiB at most, its answer
/// 256 KiB. Beyond, as with [`MAX_STREAMS`]: the replicator keeps its own at a third of it, and the others wait their turn.
const REPLICA_STREAMS: usize = 32;

/// A host behind one address (a NAT, a machine with many nodes) may have this many peers before
/// gossip scores them down.
const PEERS_PER_IP: f64 = 64.0;

/// All protocols of a node. The limits come first: who is denied by them is seen by no other.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) kademlia: kad::Behaviour<ProviderStore>,
    pub(crate) gossip: Gossipsub,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) exchange: request_response::Behaviour<ChunkCodec>,
    pub(crate) bulk: Streams,
    pub(crate) member: request_response::Behaviour<MemberCodec>,
    pub(crate) replica: request_response::Behaviour<ReplicaCodec>,
}

/// Gossip that hears of our topics only, so that a peer cannot make us remember others.
pub(crate) type Gossipsub =
    gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

impl Behaviour {
    pub(crate) fn new(
        config: &NetworkConfig,
        key: &Keypair,
        store: ProviderStore,
        streams: mpsc::Sender<(PeerId, Stream)>,
    ) -> Result<Self, NetworkError> {
        let peer = key.public().to_peer_id();
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits(config.max_connections)),
            memory: memory_connection_limits::Behaviour::with_max_percentage(MAX_MEMORY),
            identify: identify(&config.network, key),
            ping: ping::Behaviour::default(),
            kademlia: kademlia(config, peer, store),
            gossip: gossip(&config.network, key)?,
            mdns: multicast(config.mdns, peer).into(),
            exchange: exchange(&config.network),
            bulk: Streams::new(config.network.bulk(), streams),
            member: member(config),
            replica: replica(&config.network),
        })
    }
}

fn limits(max: u32) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_HANDSHAKES))
        .with_max_pending_outgoing(Some(MAX_HANDSHAKES))
        .with_max_established_incoming(Some(max))
        .with_max_established_outgoing(Some(max))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
}

fn identify(network: &NetworkName, key: &Keypair) -> identify::Behaviour {
    let agent = concat!("store/", env!("CARGO_PKG_VERSION"));
    identify::Behaviour::new(
        identify::Config::new(network.identify(), key.public())
            .with_agent_version(agent.to_owned())
            .with_push_listen_addr_updates(true)
            // Its cache would dial every address that a peer told, believable or not; `peers` keeps those
            // that are.
            .with_cache_size(0),
    )
}

fn kademlia(
    config: &NetworkConfig,
    peer: PeerId,
    store: ProviderStore,
) -> kad::Behaviour<ProviderStore> {
    let mut settings = kad::Config::new(config.network.kad());
    settings
        .set_query_timeout(QUERY_TIMEOUT)
        // S/Kademlia: a lie on one path does not spoil the others.
        .disjoint_query_paths(true)
        // `discovery` looks at every record before the store does.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        // `discovery::provide` announces again, paced, and right after a restart.
        .set_provider_publication_interval(None)
        // No value records in our network.
        .set_publication_interval(None)
        .set_replication_interval(None)
        .set_caching(kad::Caching::Disabled);
    let mut kademlia = kad::Behaviour::with_config(peer, store, settings);
    // Never by itself: libp2p stays a client until somebody proves an address of ours to be public, which on
    // a LAN nobody ever does.
    kademlia.set_mode(Some(match config.role {
        Role::Storage => kad::Mode::Server,
        Role::Client | Role::Guest => kad::Mode::Client,
    }));
    kademlia
}

fn gossip(network: &NetworkName, key: &Keypair) -> Result<Gossipsub, NetworkError> {
    let fail = |reason: String| NetworkError::Protocol {
        protocol: "gossip",
        reason,
    };
    let topic = IdentTopic::new(network.announcements());
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/store/{}/meshsub", network.as_str()))
        .validation_mode(gossipsub::ValidationMode::Strict)
        // Nothing is passed on before `gossip` has looked at it.
        .validate_messages()
        .max_transmit_size(MAX_GOSSIP)
        .message_id_fn(message_id)
        .build()
        .map_err(|error| fail(error.to_string()))?;
    let mut gossip = gossipsub::Behaviour::new_with_subscription_filter(
        MessageAuthenticity::Signed(key.clone()),
        config,
        WhitelistSubscriptionFilter([topic.hash()].into()),
    )
    .map_err(|error| fail(error.to_owned()))?;
    let (params, thresholds) = scores(&topic);
    gossip.with_peer_score(params, thresholds).map_err(fail)?;
    gossip
        .subscribe(&topic)
        .map_err(|error| fail(error.to_string()))?;
    Ok(gossip)
}

/// The same announcement has the same id, however often and by whomever it is published again.
fn message_id(message: &gossipsub::Message) -> gossipsub::MessageId {
    let mut bytes = message.source.map(PeerId::to_bytes).unwrap_or_default();
    bytes.extend_from_slice(&message.data);
    let block = Block::hash(Version::V1, Codec::Raw, bytes.into())
        .expect("a gossip message is smaller than a block");
    gossipsub::MessageId::new(block.cid().hash().digest())
}

fn scores(topic: &IdentTopic) -> (gossipsub::PeerScoreParams, gossipsub::PeerScoreThresholds) {
    let announcements = gossipsub::TopicScoreParams {
        // Announcements come each few minutes or hours: silence is no fault, so nothing is taken off for it, and little
        // is given for having been there for long.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        time_in_mesh_weight: 0.1,
        time_in_mesh_quantum: Duration::from_secs(60),
        time_in_mesh_cap: 60.0,
        first_message_deliveries_cap: 20.0,
        // Three forged or malformed announcements are enough to be cut off.
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: 0.9,
        ..Default::default()
    };
    let params = gossipsub::PeerScoreParams {
        topics: [(topic.hash(), announcements)].into(),
        ip_colocation_factor_threshold: PEERS_PER_IP,
        ..Default::default()
    };
    (params, gossipsub::PeerScoreThresholds::default())
}

fn multicast(wanted: bool, peer: PeerId) -> Option<mdns::tokio::Behaviour> {
    if !wanted {
        return None;
    }
    mdns::tokio::Behaviour::new(mdns::Config::default(), peer)
        .inspect_err(
            |error| tracing::warn!(%error, "no multicast DNS: peers on the LAN are not found"),
        )
        .ok()
}

/// A client tells nobody that it could be asked here; only a guest asks.
fn member(config: &NetworkConfig) -> request_response::Behaviour<MemberCodec> {
    let support = match config.role {
        Role::Storage => ProtocolSupport::Full,
        Role::Client | Role::Guest => ProtocolSupport::Outbound,
    };
    request_response::Behaviour::with_codec(
        MemberCodec::default(),
        [(config.network.member(), support)],
        request_response::Config::default()
            .with_request_timeout(MEMBER_TIMEOUT)
            .with_max_concurrent_streams(MEMBER_STREAMS),
    )
}

/// A client is asked, too: who accepted its offer says so when it has fetched it.
fn replica(network: &NetworkName) -> request_response::Behaviour<ReplicaCodec> {
    request_response::Behaviour::with_codec(
        ReplicaCodec::default(),
        [(network.replica(), ProtocolSupport::Full)],
        request_response::Config::default()
            .with_request_timeout(REPLICA_TIMEOUT)
            .with_max_concurrent_streams(REPLICA_STREAMS),
    )
}

fn exchange(network: &NetworkName) -> request_response::Behaviour<ChunkCodec> {
    request_response::Behaviour::with_codec(
        ChunkCodec,
        [(network.chunk(), ProtocolSupport::Full)],
        request_response::Config::default()
            .with_request_timeout(REQUEST_TIMEOUT)
            .with_max_concurrent_streams(MAX_STREAMS),
    )
}
