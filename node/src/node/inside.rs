//! [`Inside`]: a node's stay in one swarm: the network under one swarm key, and what is exchanged over it.
//! Who changes the key leaves, and begins another one.

use std::sync::Arc;

use libp2p::Multiaddr;
use store::pin;
use store::records::Family;
use store::repo::Repo;
use store::wire::member::MemberId;
use store::wire::replica::ReplicaResponse;
use store_config::{ByteSize, Config};
use tokio::sync::mpsc;

use super::{NodeError, Room, offer};
use crate::announced;
use crate::blocking::blocking;
use crate::draining;
use crate::exchange::bandwidth::{Bandwidth, local_minute};
use crate::exchange::reputation::Reputation;
use crate::exchange::{Exchange, ExchangeConfig, Serving};
use crate::identity;
use crate::members::{self, member_of};
use crate::metrics::Metrics;
use crate::network::{
    Arrivals, Network, NetworkConfig, NetworkError, ReplicaInbound, Role, inlets,
};
use crate::replication::pins::{Admission, Pins};
use crate::replication::{Replication, replicator};
use crate::swarm_key::SwarmKey;

/// Requests of others that wait to be looked at; the swarm answers Busy beyond. The exchange's server
/// takes one within microseconds, to answer or to refuse it.
const INBOUND: usize = 256;

/// Bulk streams of others that wait to be served; they are reset beyond. Each is taken within microseconds.
const STREAMS: usize = 64;

/// Questions of replication that wait to be looked at, of 64 KiB at most; the swarm answers Busy beyond. Each is taken
/// within microseconds.
const REPLICA: usize = 64;

/// Bytes of downloads in memory with `storage.low_memory`: as many as one peer may owe.
const LOW_MEMORY: ByteSize = ByteSize::mebibytes(16);

/// Bytes of hot blocks with `storage.low_memory`.
const LOW_MEMORY_HOT: usize = 8 << 20;

#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) network: Network,
    pub(super) exchange: Exchange,
    /// `None` in a client that is no guest.
    pub(super) keeping: Option<Keeping>,
}

/// What a member keeps for the swarm.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    pub(super) replication: Replication,
    /// What the swarm's owners want kept.
    pub(super) pins: Arc<Pins>,
}

impl Inside {
    /// Joins the swarm whose key the repo keeps, or the open one that is configured; listens on `listen`.
    pub(super) async fn start(
        config: &Config,
        listen: Vec<Multiaddr>,
        repo: &Arc<Repo>,
        role: Role,
        metrics: &Metrics,
        reputation: &Reputation,
    ) -> Result<Self, NodeError> {
        let keypair = identity::load_or_create(repo)?;
        let (inlets, arrivals) = inlets(INBOUND, STREAMS, REPLICA);
        let Arrivals { wanted, replica } = arrivals;
        let swarm_key = SwarmKey::load(repo)?;
        let private = swarm_key.is_some();
        let admission = Admission::of(repo, swarm_key.clone());
        let mut network = NetworkConfig {
            network: config.network.name.to_string().parse()?,
            swarm_key,
            role,
            listen,
            bootstrap: config.network.bootstrap.clone(),
            mdns: config.network.mdns,
            max_connections: config.network.max_connections.get(),
            tags: config.members.tags.0.clone(),
            metrics: metrics.clone(),
            members: members::Settings::default().remembering(config.replication.time_scale.get()),
            ..NetworkConfig::default()
        };
        let swarm = network.swarm().as_str().to_owned();
        network.leaving = draining::is_from(repo, &swarm)?;
        let key = keypair.clone();
        let network = Network::start(network, Arc::clone(repo), keypair, inlets).await?;
        let blocks = Arc::clone(repo.blocks());
        let mut downloads = config.exchange.clone();
        if config.storage.low_memory {
            downloads.download_memory = downloads.download_memory.min(LOW_MEMORY);
        }
        let downloads = ExchangeConfig::from(&downloads);
        let serving = serving(config, private, reputation.clone(), metrics.clone());
        let exchange = Exchange::start(network.clone(), blocks, wanted, downloads, serving);
        let keeping = if role == Role::Client {
            tokio::spawn(refuse(network.clone(), replica));
            None
        } else {
            let pins = open_pins(repo, &swarm, admission, &network).await?;
            let room = Arc::new(Room::default());
            let rate = config.replication.rate.bytes_per_second();
            let replication = replicator::start(replicator::Parts {
                network: network.clone(),
                exchange: exchange.clone(),
                repo: Arc::downgrade(repo),
                pins: Arc::clone(&pins),
                key,
                swarm,
                is_private: private,
                time_scale: config.replication.time_scale.get(),
                rate: rate.unwrap_or(u64::MAX),
                room: Arc::clone(&room),
                is_member: role == Role::Storage,
                arrivals: replica,
            });
            if role == Role::Storage {
                let lifetime = config.exchange.announce_cached.get();
                let watch = announced::watch(network.clone(), Arc::downgrade(repo), lifetime);
                tokio::spawn(watch);
                let offer = offer::tell(network.clone(), Arc::downgrade(repo), room);
                tokio::spawn(offer);
            }
            Some(Keeping { replication, pins })
        };
        Ok(Self {
            network,
            exchange,
            keeping,
        })
    }
}

/// What the swarm's owners want kept, as far as this node has heard.
async fn open_pins(
    repo: &Arc<Repo>,
    swarm: &str,
    admission: Admission,
    network: &Network,
) -> Result<Arc<Pins>, NodeError> {
    let (records, swarm) = (repo.records(Family::PinRecords), swarm.to_owned());
    // Another key's node wants nothing of its own.
    let me = member_of(&network.peer_id()).unwrap_or(MemberId([0; 32]));
    let open = move || Pins::open(records, &swarm, me, admission, pin::now());
    let pins = blocking(open).await.map_err(NetworkError::from)?;
    Ok(Arc::new(pins))
}

/// Answers what is asked of replication, which this node does not take part in: nothing is kept for anybody.
async fn refuse(network: Network, mut replica: mpsc::Receiver<ReplicaInbound>) {
    while let Some(asked) = replica.recv().await {
        let refused = ReplicaResponse::Refused;
        network.respond_replica(asked.reply, refused).await;
    }
}

/// How others are served. Members of a private swarm need not earn it.
fn serving(config: &Config, private: bool, reputation: Reputation, metrics: Metrics) -> Serving {
    let slots = config.exchange.upload_slots.get().into();
    let all = Serving {
        bandwidth: Bandwidth::new(&config.exchange, local_minute),
        reputation,
        metrics,
        slots: (!private).then_some(slots),
        ..Serving::default()
    };
    if !config.storage.low_memory {
        return all;
    }
    Serving {
        hot: LOW_MEMORY_HOT,
        memory: LOW_MEMORY.bytes(),
        ..all
    }
}
