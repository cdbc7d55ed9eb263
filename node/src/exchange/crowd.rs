//! A crowd at one provider: whole nodes in one process, all of whom fetch at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use store::blockstore::MemoryStore;
use store::chunk::Chunker;
use store::repo::{Repo, RepoOptions};
use store::unixfs::Entry;
use store::unixfs::import::{ImportOptions, import};
use store::wire::Urgency;

use super::whole::Noise;
use super::*;
use crate::network::{NetworkConfig, Role};
use crate::transport::TransportKind;

/// Bytes of each client's content.
const SIZE: u64 = 2 << 20;
/// Bytes of a leaf: small ones, so that shares can be told apart.
const LEAF: u32 = 32 << 10;
/// Bytes per second that the provider sends: its uplink is what they share, and not this machine's cores.
const UPLINK: &str = "12MiB/s";
/// What the provider may have read and not written: a small part of what a hundred pipes may hold.
const MEMORY: u64 = 16 << 20;
/// Reads under way may bring a block more than was expected, each.
const SLACK: u64 = 4 * (2 << 20);

struct Peer {
    exchange: Exchange,
    network: Network,
    store: Arc<dyn Blockstore>,
}

/// A node whose blocks are in memory. What its swarm remembers is in `repo`, which all may share.
async fn peer(repo: &Arc<Repo>, role: Role, listen: Option<&str>, serving: Serving) -> Peer {
    let config = NetworkConfig {
        listen: listen.map(|at| at.parse().unwrap()).into_iter().collect(),
        transport: TransportKind::Memory,
        mdns: false,
        role,
        metrics: serving.metrics.clone(),
        ..NetworkConfig::default()
    };
    let (inlets, arrivals) = crate::network::inlets(256, 16, 1);
    let key = Keypair::generate_ed25519();
    let network = Network::start(config, Arc::clone(repo), key, inlets)
        .await
        .unwrap();
    let store: Arc<dyn Blockstore> = Arc::new(MemoryStore::new());
    let config = ExchangeConfig {
        limits: Limits::low_memory(),
    };
    let blocks = Arc::clone(&store);
    let exchange = Exchange::start(network.clone(), blocks, arrivals.wanted, config, serving);
    Peer {
        exchange,
        network,
        store,
    }
}

/// A file that no other has a block of.
fn add(store: &dyn Blockstore, number: u64) -> Cid {
    let entry = Entry::file("file", Noise::new(SIZE, number << 32));
    let mut options = ImportOptions::default();
    options.profile.chunker = Chunker::Fixed(LEAF.try_into().unwrap());
    let steps = std::iter::once(Ok(entry));
    import(Some(store), &options, steps, &|_| ()).unwrap()[0].cid
}

/// What came of a crowd.
struct Outcome {
    /// Bytes that each had when the first was done.
    shares: Vec<u64>,
    /// The most that the provider held, as far as was looked.
    held: u64,
    took: Duration,
}

impl Outcome {
    /// Jain's index of the shares: 1 where all have the same.
    fn fairness(&self) -> f64 {
        let sum: f64 = self.shares.iter().map(|share| *share as f64).sum();
        let squares: f64 = self
            .shares
            .iter()
            .map(|share| (*share as f64).powi(2))
            .sum();
        sum * sum / (self.shares.len() as f64 * squares)
    }
}

/// So many clients fetch a content each, all at once. None of them listens, so none can feed another.
async fn crowd(count: u64) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let config = store_config::Exchange {
        upload_limit: UPLINK.parse().unwrap(),
        ..store_config::Exchange::default()
    };
    let serving = Serving {
        memory: MEMORY,
        bandwidth: Bandwidth::new(&config, || 0),
        ..Serving::default()
    };
    let held = serving.metrics.clone();
    let provider = peer(&repo, Role::Storage, Some("/memory/0"), serving).await;
    let roots: Vec<Cid> = (0..count).map(|i| add(&*provider.store, i)).collect();
    let address = provider.network.addresses().await.remove(0);
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = peer(&repo, Role::Client, None, Serving::default()).await;
        // All are there before the first begins.
        client.network.connect(address.clone()).await.unwrap();
        clients.push(client);
    }
    let stores: Vec<_> = clients.iter().map(|one| Arc::clone(&one.store)).collect();
    let first = Arc::new(Mutex::new(None));
    let (over, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let watch = {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(held.swarm().held.get());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            u64::try_from(most).unwrap()
        })
    };
    let gets = clients.iter().zip(&roots).map(|(client, root)| {
        let options = SessionOptions {
            addresses: vec![address.clone()],
            mode: Mode::Whole,
            urgency: Urgency::Download,
            stall: Duration::from_secs(60),
            landing: None,
        };
        let session = client.exchange.open(*root, options);
        let (stores, first) = (stores.clone(), Arc::clone(&first));
        tokio::spawn(async move {
            session.finish().await.unwrap();
            let bytes = |store: &Arc<dyn Blockstore>| store.totals().unwrap().bytes;
            let mut first = first.lock().unwrap();
            first.get_or_insert_with(|| stores.iter().map(bytes).collect::<Vec<u64>>());
        })
    });
    let gets: Vec<_> = gets.collect();
    for get in gets {
        get.await.expect("none fails");
    }
    over.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    for (client, root) in clients.iter().zip(&roots) {
        assert!(client.store.has(root).unwrap());
        assert!(client.store.totals().unwrap().bytes >= SIZE);
    }
    let shares = first.lock().unwrap().take().unwrap();
    let held = watch.await.unwrap();
    Outcome { shares, held, took }
}

async fn check(count: u64) {
    let outcome = crowd(count).await;
    let fairness = outcome.fairness();
    println!(
        "{count} clients, {} MiB each: {:.1} s, fairness {fairness:.3}, at most {:.1} MiB waited at the \
         provider of {} MiB allowed",
        SIZE >> 20,
        outcome.took.as_secs_f64(),
        outcome.held as f64 / f64::from(1 << 20),
        MEMORY >> 20,
    );
    assert!(fairness >= 0.95, "{fairness}: {:?}", outcome.shares);
    assert!(outcome.held > 0, "it was looked at");
    assert!(outcome.held <= MEMORY + SLACK, "{} held", outcome.held);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clients_at_once_share_one_provider_evenly() {
    check(30).await;
}

/// `cargo test --workspace --lib -- --ignored --nocapture a_hundred_clients`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a gigabyte of memory"]
async fn a_hundred_clients_at_once_share_one_provider_evenly() {
    check(100).await;
}
