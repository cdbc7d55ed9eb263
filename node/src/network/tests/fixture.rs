//! A node with a repo of its own, and waiting for facts.

use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::{PeerId, Stream};
use store::block::Block;
use store::cid::{Cid, Codec, Version};
use store::repo::{Repo, RepoOptions};
use store::wire::{Request, Response};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::network::{Inbound, Network, NetworkConfig, ReplicaInbound, inlets};
use crate::transport::TransportKind;

/// What a fact may take on a machine with other things to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Node {
    pub(super) network: Network,
    pub(super) inbound: mpsc::Receiver<Inbound>,
    pub(super) streams: mpsc::Receiver<(PeerId, Stream)>,
    pub(super) replica: mpsc::Receiver<ReplicaInbound>,
    home: Home,
}

/// What stays of a node that has ended.
pub(super) struct Home {
    directory: TempDir,
    key: Keypair,
}

impl Home {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            key: Keypair::generate_ed25519(),
        }
    }

    pub(super) async fn start(self, config: NetworkConfig) -> Node {
        let repo = Repo::open(self.directory.path(), &RepoOptions::default()).unwrap();
        let (inlets, arrivals) = inlets(1, 1, 1);
        let network = Network::start(config, Arc::new(repo), self.key.clone(), inlets)
            .await
            .unwrap();
        Node {
            network,
            inbound: arrivals.wanted.requests,
            streams: arrivals.wanted.streams,
            replica: arrivals.replica,
            home: self,
        }
    }
}

/// On a free port of the memory transport, knowing nobody.
pub(super) fn memory() -> NetworkConfig {
    NetworkConfig {
        listen: vec!["/memory/0".parse().unwrap()],
        mdns: false,
        transport: TransportKind::Memory,
        ..NetworkConfig::default()
    }
}

/// Like [`memory`], with a peer to begin with.
pub(super) async fn knowing(node: &Node) -> NetworkConfig {
    NetworkConfig {
        bootstrap: node.network.addresses().await,
        ..memory()
    }
}

pub(super) async fn start(config: NetworkConfig) -> Node {
    Home::new().start(config).await
}

impl Node {
    /// Ends it; what it had on disk stays.
    pub(super) async fn stop(self) -> Home {
        self.network.shutdown().await;
        self.home
    }

    /// Answers one request by `NotFound`.
    pub(super) async fn serve_one(&mut self) -> Answered {
        let inbound = within(self.inbound.recv()).await.expect("a request comes");
        let asked = Answered {
            peer: inbound.peer,
            request: inbound.request,
        };
        self.network
            .respond(inbound.reply, Response::NotFound)
            .await;
        asked
    }

    /// Looks until `provider` is found, again and again: an announcement takes its time.
    pub(super) async fn find(&self, root: Cid, provider: &Node) {
        let wanted = provider.network.peer_id();
        within(async {
            loop {
                let mut found = self.network.providers(root).await;
                while let Some(record) = found.recv().await {
                    if record.peer == wanted {
                        assert!(!record.addresses.is_empty(), "it can be dialed");
                        return;
                    }
                }
            }
        })
        .await;
    }

    /// Waits until `count` peers of our network are connected.
    pub(super) async fn connected(&self, count: usize) {
        let mut events = self.network.events();
        within(async {
            loop {
                let peers = self.network.peers().await;
                if peers.iter().filter(|peer| peer.speaks_chunk).count() >= count {
                    return;
                }
                events.recv().await.unwrap();
            }
        })
        .await;
    }
}

/// A request that has been answered.
pub(super) struct Answered {
    pub(super) peer: libp2p::PeerId,
    pub(super) request: Request,
}

pub(super) fn root(text: &'static str) -> Cid {
    *Block::hash(Version::V1, Codec::Raw, text.into())
        .unwrap()
        .cid()
}

pub(super) fn question(root: Cid) -> Request {
    Request::Manifest {
        root,
        nodes: vec![root],
        max_bytes: 1,
    }
}

pub(super) async fn within<T>(fact: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, fact)
        .await
        .expect("it happens in time")
}
