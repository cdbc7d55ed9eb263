//! The whole exchange: swarm, server, session and RocksDB, two nodes in one process.

use std::fs::File;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::AsyncWriteExt;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use store::dag::fetch;
use store::repo::{Repo, RepoOptions};
use store::unixfs::export::export;
use store::unixfs::import::{ImportOptions, import};
use store::unixfs::origin::{Identity, Origin};
use store::unixfs::{Entry, Name, Piece};
use store::wire::{Ask, Extent, Leaf, MAX_REQUEST_SIZE, Part, Request, Response, Urgency};
use tempfile::TempDir;

use super::landing::Landing;
use super::*;
use crate::framing::read_message;
use crate::network::NetworkConfig;
use crate::transport::TransportKind;

pub(super) struct Node {
    exchange: Exchange,
    pub(super) network: Network,
    repo: Arc<Repo>,
    directory: TempDir,
}

pub(super) async fn node(transport: TransportKind, listen: &str) -> Node {
    node_at(transport, listen, Bandwidth::default()).await
}

/// A node that moves bytes no faster than this.
pub(super) async fn node_at(transport: TransportKind, listen: &str, bandwidth: Bandwidth) -> Node {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let listen = vec![listen.parse().unwrap()];
    let config = NetworkConfig {
        listen,
        transport,
        mdns: false,
        ..NetworkConfig::default()
    };
    let (inlets, arrivals) = crate::network::inlets(256, 16, 1);
    let key = Keypair::generate_ed25519();
    let network = Network::start(config, Arc::clone(&repo), key, inlets)
        .await
        .unwrap();
    let blocks = Arc::clone(repo.blocks());
    let config = ExchangeConfig {
        limits: Limits::default(),
    };
    let serving = Serving {
        bandwidth,
        ..Serving::default()
    };
    let wanted = arrivals.wanted;
    let exchange = Exchange::start(network.clone(), blocks, wanted, config, serving);
    Node {
        exchange,
        network,
        repo,
        directory,
    }
}

impl Node {
    /// The child of this number of a node that is here.
    pub(super) fn block(&self, node: Cid, child: usize) -> Cid {
        self.repo.blocks().links(&node).unwrap().unwrap()[child].cid
    }
}

/// Bytes that no two blocks share.
pub(crate) struct Noise {
    left: u64,
    state: u64,
}

impl Noise {
    pub(crate) const fn new(size: u64, state: u64) -> Self {
        Self { left: size, state }
    }
}

impl std::io::Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        for chunk in buffer[..count].chunks_mut(8) {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            chunk.copy_from_slice(&self.state.to_be_bytes()[..chunk.len()]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A file of `size` bytes in the node's repo.
pub(super) fn add(node: &Node, size: u64) -> Cid {
    let entry = Entry::file("file", Noise::new(size, 1));
    let blocks: &dyn Blockstore = &**node.repo.blocks();
    let steps = std::iter::once(Ok(entry));
    let added = import(Some(blocks), &ImportOptions::default(), steps, &|_| ()).unwrap();
    blocks.commit().unwrap();
    added[0].cid
}

/// Gets `root` and reads it through, as `get` does: how long it took, and the bytes read.
pub(super) async fn get(node: &Node, root: Cid, addresses: Vec<Multiaddr>) -> (Duration, u64) {
    let began = Instant::now();
    let options = SessionOptions {
        addresses,
        mode: Mode::Whole,
        urgency: Urgency::Download,
        stall: Duration::from_secs(20),
        landing: None,
    };
    let session = node.exchange.open(root, options);
    let source = session.source();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = 0;
        export::<store::dag::SourceError>(&source, &root, &mut |piece| {
            if let Piece::Data(data) = piece {
                bytes += data.len() as u64;
            }
            Ok(())
        })
        .unwrap();
        bytes
    });
    session.finish().await.unwrap();
    (began.elapsed(), read.await.unwrap())
}

/// Gets the file `root` into a file, as `get -o` does: how long it took until all of it was on disk.
async fn get_into_file(node: &Node, root: Cid, addresses: Vec<Multiaddr>) -> Duration {
    let began = Instant::now();
    let landing = Arc::new(Landing::default());
    let options = SessionOptions {
        addresses,
        mode: Mode::Whole,
        urgency: Urgency::Download,
        stall: Duration::from_secs(20),
        landing: Some(Arc::clone(&landing)),
    };
    let session = node.exchange.open(root, options);
    let (source, store) = (session.source(), Arc::clone(node.repo.blocks()));
    let path = node.directory.path().join("file");
    let open = move || {
        let root = fetch(&source, &[root]).unwrap().remove(0);
        let file = File::create_new(&path).unwrap();
        let path = Name::from(path.into_os_string());
        let identity = Identity::of(&file.metadata().unwrap());
        let origin = Origin { path, identity };
        let id = store.refer_to(&origin, Some(&origin.path)).unwrap();
        let opened = landing.open(&*store, Arc::new(file), id, &root, false);
        opened.unwrap();
        (landing, source, root)
    };
    let (landing, source, root) = tokio::task::spawn_blocking(open).await.unwrap();
    session.finish().await.unwrap();
    let fill = move || landing.fill(&source, &root).unwrap();
    tokio::task::spawn_blocking(fill).await.unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_from_node_to_node() {
    let a = node(TransportKind::Memory, "/memory/0").await;
    let b = node(TransportKind::Memory, "/memory/0").await;
    let size = (20 << 20) + 17;
    let root = add(&a, size);
    let (_, bytes) = get(&b, root, a.network.addresses().await).await;
    assert_eq!(bytes, size);
    let theirs = a.repo.blocks().totals().unwrap();
    assert_eq!(b.repo.blocks().totals().unwrap(), theirs);
    // What B has now it serves to C, which knows of B alone.
    let c = node(TransportKind::Memory, "/memory/0").await;
    a.network.clone().shutdown().await;
    let (_, bytes) = get(&c, root, b.network.addresses().await).await;
    assert_eq!(bytes, size);
}

/// A whole `get -o`: read from a disk, verified, and written to one.
/// `STORE_LOOPBACK_MIB=1024 cargo test --workspace --lib -- --ignored --nocapture loopback`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn loopback_throughput() {
    let mib: u64 = std::env::var("STORE_LOOPBACK_MIB").map_or(256, |text| text.parse().unwrap());
    let a = node(TransportKind::Sockets, "/ip4/127.0.0.1/tcp/0").await;
    let root = add(&a, mib << 20);
    for _ in 0..3 {
        let b = node(TransportKind::Sockets, "/ip4/127.0.0.1/tcp/0").await;
        let took = get_into_file(&b, root, a.network.addresses().await).await;
        println!(
            "{mib} MiB in {took:?}: {:.0} MiB/s",
            mib as f64 / took.as_secs_f64()
        );
        b.network.clone().shutdown().await;
    }
}

/// What the transport alone carries: leaves from memory to nowhere, neither read from a disk nor hashed.
/// `STORE_LOOPBACK_MIB=1024 cargo test --workspace --lib -- --ignored --nocapture transport_alone`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn transport_alone() {
    const LEAF: usize = 1 << 20;
    let mib: u64 = std::env::var("STORE_LOOPBACK_MIB").map_or(256, |text| text.parse().unwrap());
    let (a, mut arrivals) = bare(TransportKind::Sockets, "/ip4/127.0.0.1/tcp/0").await;
    let (b, _arrivals) = bare(TransportKind::Sockets, "/ip4/127.0.0.1/tcp/0").await;
    tokio::spawn(async move {
        let leaf = Bytes::from(vec![7; LEAF]);
        let (_, mut stream) = arrivals.wanted.streams.recv().await.unwrap();
        loop {
            let ask = read_message(&mut stream, MAX_REQUEST_SIZE, Ask::decode).await;
            let Ask::Get { id, request } = ask.unwrap() else {
                continue;
            };
            for _ in 0..request.leaves() {
                let response = Response::Leaves(vec![Leaf::Have(leaf.clone())]);
                let encoded = Part { id, response }.encode().unwrap();
                stream.write_all(&encoded.head).await.unwrap();
                stream.write_all(&encoded.payload[0]).await.unwrap();
            }
            stream.flush().await.unwrap();
        }
    });
    let peer = b.connect(a.addresses().await.remove(0)).await.unwrap();
    let asker = bulk::Asker::new(b.clone(), Bandwidth::default(), Reputation::default());
    let node = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
    let get = || {
        let (first, count) = (0, 4);
        asker.get(
            peer,
            Request::Get {
                root: node,
                extents: vec![Extent { node, first, count }],
                max_bytes: 4 << 20,
                urgency: Urgency::Download,
            },
        )
    };
    for _ in 0..3 {
        let (began, mut bytes) = (Instant::now(), 0);
        let mut under_way: std::collections::VecDeque<_> = (0..4).map(|_| get()).collect();
        while bytes < mib << 20 {
            if let Some(part) = under_way[0].next().await {
                bytes += part.unwrap().payload_size() as u64;
            } else {
                under_way.pop_front();
                under_way.push_back(get());
            }
        }
        let took = began.elapsed();
        println!(
            "{mib} MiB in {took:?}: {:.0} MiB/s",
            mib as f64 / took.as_secs_f64()
        );
    }
}

/// A place in the network without an exchange.
pub(super) async fn bare(
    transport: TransportKind,
    listen: &str,
) -> (Network, crate::network::Arrivals) {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let config = NetworkConfig {
        listen: vec![listen.parse().unwrap()],
        transport,
        mdns: false,
        ..NetworkConfig::default()
    };
    let (inlets, arrivals) = crate::network::inlets(16, 16, 1);
    let key = Keypair::generate_ed25519();
    let network = Network::start(config, repo, key, inlets).await.unwrap();
    (network, arrivals)
}
