//! What a node counts. Each service registers its own numbers here; [`http`] shows them.

pub mod http;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The numbers of one node. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    swarm: Arc<SwarmMetrics>,
}

/// Which way something went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Way {
    direction: &'static str,
}

/// From a peer to us.
pub(crate) const IN: Way = Way { direction: "in" };
/// From us to a peer.
pub(crate) const OUT: Way = Way { direction: "out" };

/// What the swarm counts.
#[derive(Debug, Default)]
pub(crate) struct SwarmMetrics {
    pub(crate) connections: Family<Way, Gauge>,
    pub(crate) peers: Gauge,
    pub(crate) kad_peers: Gauge,
    pub(crate) provider_records: Gauge,
    pub(crate) roots: Gauge,
    pub(crate) announced: Counter,
    pub(crate) lookups: Counter,
    pub(crate) dial_failures: Counter,
    pub(crate) chunk: Requests,
    pub(crate) replica: Requests,
    pub(crate) exchange_bytes: Family<Way, Counter>,
    pub(crate) held: Gauge,
    pub(crate) unwritten: Counter,
}

/// What is counted of a request-response protocol.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) all: Family<Way, Counter>,
    pub(crate) failures: Family<Way, Counter>,
    pub(crate) busy: Counter,
}

impl SwarmMetrics {
    fn register(&self, to: &mut Registry) {
        to.register(
            "connections",
            "Connections that are open",
            self.connections.clone(),
        );
        to.register("peers", "Peers that are connected", self.peers.clone());
        to.register(
            "kad_peers",
            "Peers in the DHT's routing table",
            self.kad_peers.clone(),
        );
        to.register(
            "provider_records",
            "Others' provider records kept",
            self.provider_records.clone(),
        );
        to.register("roots", "Roots that we announce", self.roots.clone());
        to.register(
            "announcements",
            "Roots announced to the DHT",
            self.announced.clone(),
        );
        to.register("lookups", "Lookups of providers", self.lookups.clone());
        to.register(
            "dial_failures",
            "Dials that led nowhere",
            self.dial_failures.clone(),
        );
        to.register("requests", "Chunk requests", self.chunk.all.clone());
        to.register(
            "request_failures",
            "Chunk requests without answer",
            self.chunk.failures.clone(),
        );
        to.register(
            "busy",
            "Chunk requests answered Busy by a full queue",
            self.chunk.busy.clone(),
        );
        to.register(
            "replica_requests",
            "Questions of replication",
            self.replica.all.clone(),
        );
        to.register(
            "replica_request_failures",
            "Questions of replication without answer",
            self.replica.failures.clone(),
        );
        to.register(
            "replica_busy",
            "Questions of replication answered Busy by a full queue",
            self.replica.busy.clone(),
        );
        to.register(
            "exchange_bytes",
            "Bytes of blocks in answers",
            self.exchange_bytes.clone(),
        );
        to.register(
            "held_bytes",
            "Bytes of blocks read for askers and not yet written to them",
            self.held.clone(),
        );
        to.register(
            "unwritten",
            "Records that the disk was too slow for",
            self.unwritten.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("store");
        let swarm = SwarmMetrics::default();
        swarm.register(&mut registry);
        Self {
            registry: Arc::new(Mutex::new(registry)),
            swarm: Arc::new(swarm),
        }
    }
}

impl Metrics {
    /// Counts nobody as connected any more: the swarm has been left.
    pub(crate) fn forget_swarm(&self) {
        self.swarm.connections.clear();
        self.swarm.peers.set(0);
        self.swarm.kad_peers.set(0);
    }

    /// Lets a service register its numbers.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All numbers, in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut text, &registry).expect("a string takes all that is written to it");
        text
    }

    pub(crate) fn swarm(&self) -> &SwarmMetrics {
        &self.swarm
    }
}
