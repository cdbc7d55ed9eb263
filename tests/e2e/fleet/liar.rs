//! A member that does not mean well: it is in the swarm by the node's own network, and says of copies what it likes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use store::audit::{Answer, Challenge, SegmentLeaves};
use store::blockstore::Blockstore;
use store::dag::BlockSource as _;
use store::repo::{Repo, RepoOptions};
use store::segment::{Hold, SegmentId};
use store::wire::Urgency;
use store::wire::member::Tags;
use store::wire::replica::{Checked, Leave, ReplicaRequest, ReplicaResponse};
use store_node::exchange::scheduler::Limits;
use store_node::exchange::{Exchange, ExchangeConfig, Mode, Serving, SessionOptions};
use store_node::members::Offer;
use store_node::network::{Network, NetworkConfig, ReplicaInbound, inlets};
use store_node::replication::receipt;
use store_node::swarm_key::SwarmKey;
use store_node::{Multiaddr, identity};
use tokio::sync::oneshot;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It signs a receipt for all that it is offered, keeps nothing, and makes answers up.
    Drops,
    /// It says the same, and that it has it not when it is asked to show it.
    Loses,
    /// It tells of much room, and has none.
    Room,
    /// It keeps the nodes above the leaves, and fetches what it is asked for.
    Fetches,
}

impl Lie {
    /// By its name in lower case.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Drops, Self::Loses, Self::Room, Self::Fetches];
        all.into_iter()
            .find(|it| format!("{it:?}").eq_ignore_ascii_case(name))
    }
}

/// Who it is, and whom it knows.
pub struct Plan {
    pub lie: Lie,
    /// The key of the swarm.
    pub key: String,
    pub listen: String,
    /// The others' addresses.
    pub known: Vec<String>,
    /// Bytes of room that it tells of.
    pub room: u64,
    pub zone: String,
}

/// What it was asked.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// To take a copy.
    Offer,
    /// To show so many leaves, which took it so long.
    Leaves(usize, Duration),
}

/// One on a thread of its own, until dropped.
pub struct Handle {
    /// Its peer id.
    pub peer: String,
    _stop: oneshot::Sender<()>,
}

impl Handle {
    /// Starts it on a new repo.
    pub fn start(plan: Plan, repo: PathBuf) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let ready = move |peer| ready.send(peer).expect("it is waited for");
            runtime().block_on(run(plan, &repo, ready, |_| (), stopped));
        });
        let peer = is_ready.recv().expect("it starts");
        Self { peer, _stop: stop }
    }
}

/// What one runs on.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("there are threads")
}

/// Runs one on a repo of its own until `stop`; `ready` hears its peer id, and `asked` what it is asked.
pub async fn run(
    plan: Plan,
    repo: &Path,
    ready: impl FnOnce(String),
    asked: impl Fn(Asked) + Send + Sync + 'static,
    stop: oneshot::Receiver<()>,
) {
    let options = RepoOptions {
        quota: Some(8 << 30),
        ..RepoOptions::default()
    };
    let repo = Arc::new(Repo::open(repo, &options).expect("a new repo"));
    let keypair = identity::load_or_create(&repo).expect("a key is made");
    let address = |text: &String| text.parse::<Multiaddr>().expect("an address");
    let known: Vec<Multiaddr> = plan.known.iter().map(address).collect();
    let swarm_key: SwarmKey = plan.key.parse().expect("the key of a swarm");
    let swarm = swarm_key.network().as_str().to_owned();
    let config = NetworkConfig {
        swarm_key: Some(swarm_key),
        listen: vec![plan.listen.parse().expect("an address")],
        bootstrap: known.clone(),
        mdns: false,
        tags: Tags::new([("zone".to_owned(), plan.zone.clone())]).expect("a tag"),
        ..NetworkConfig::default()
    };
    let (inlets, mut arrivals) = inlets(256, 64, 64);
    let network = Network::start(config, Arc::clone(&repo), keypair.clone(), inlets).await;
    let network = network.expect("it can listen");
    let offer = Offer {
        capacity: plan.room,
        free: plan.room,
        served: 0,
    };
    network.offer(offer).await;
    let blocks: Arc<dyn Blockstore> = repo.blocks().clone();
    let limits = Limits::default();
    let exchange = Exchange::start(
        network.clone(),
        Arc::clone(&blocks),
        arrivals.wanted,
        ExchangeConfig { limits },
        Serving::default(),
    );
    ready(network.peer_id().to_string());
    let liar = Arc::new(Liar {
        lie: plan.lie,
        swarm,
        known,
        key: keypair,
        exchange,
        blocks,
        taken: Mutex::default(),
        asked: Box::new(asked),
    });
    let answer = async {
        while let Some(inbound) = arrivals.replica.recv().await {
            let (liar, network) = (Arc::clone(&liar), network.clone());
            tokio::spawn(async move {
                let ReplicaInbound { request, reply, .. } = inbound;
                let answer = liar.answer(request).await;
                network.respond_replica(reply, answer).await;
            });
        }
    };
    tokio::select! { () = answer => (), _ = stop => () }
    network.shutdown().await;
}

struct Liar {
    lie: Lie,
    swarm: String,
    known: Vec<Multiaddr>,
    key: libp2p::identity::Keypair,
    exchange: Exchange,
    blocks: Arc<dyn Blockstore>,
    /// What it says that it has.
    taken: Mutex<HashSet<SegmentId>>,
    asked: Box<dyn Fn(Asked) + Send + Sync>,
}

impl Liar {
    async fn answer(self: &Arc<Self>, request: ReplicaRequest) -> ReplicaResponse {
        match request {
            ReplicaRequest::Offer(offer) => {
                (self.asked)(Asked::Offer);
                if self.lie == Lie::Room {
                    return ReplicaResponse::NoRoom;
                }
                if self.lie == Lie::Fetches && !self.fetch_path(&offer.hold).await {
                    return ReplicaResponse::Busy;
                }
                self.taken().insert(offer.segment);
                let (segment, bytes) = (offer.segment, offer.bytes);
                let receipt = receipt::sign(&self.key, &self.swarm, segment, bytes);
                receipt.map_or(ReplicaResponse::Busy, ReplicaResponse::Receipt)
            }
            ReplicaRequest::Check(told) => {
                let has = |segment| self.taken().contains(segment);
                let told = told.iter().map(|it| Checked {
                    has: has(&it.segment),
                    is_pinned: false,
                    holders: Vec::new(),
                });
                ReplicaResponse::Checked(told.collect())
            }
            ReplicaRequest::Challenge(challenge) => {
                let (began, count) = (Instant::now(), challenge.leaves.len());
                let answer = self.show(challenge).await;
                (self.asked)(Asked::Leaves(count, began.elapsed()));
                ReplicaResponse::Answer(answer)
            }
            ReplicaRequest::Trim { .. } => ReplicaResponse::Trim {
                leave: Leave::Refuses,
                shown: None,
            },
            ReplicaRequest::Compare(_) | ReplicaRequest::Shared(_) | ReplicaRequest::Fetch(_) => {
                ReplicaResponse::Busy
            }
            _ => ReplicaResponse::Noted,
        }
    }

    async fn show(self: &Arc<Self>, challenge: Challenge) -> Option<Answer> {
        let made_up = |challenge: &Challenge| {
            let leaf = |number: &u64| Some(challenge.digest_of(*number, b"never seen"));
            let leaves = challenge.leaves.iter().map(leaf).collect();
            Some(Answer { leaves })
        };
        match self.lie {
            Lie::Loses | Lie::Room => None,
            Lie::Drops => made_up(&challenge),
            Lie::Fetches => self.fetched(challenge).await,
        }
    }

    /// The leaves that it is asked for, fetched now and forgotten afterwards.
    async fn fetched(self: &Arc<Self>, challenge: Challenge) -> Option<Answer> {
        let session = self.open(&challenge.hold)?;
        let (liar, source) = (Arc::clone(self), session.source());
        let shown = tokio::task::spawn_blocking(move || {
            let blocks = &*liar.blocks;
            let found = SegmentLeaves::open(blocks, &challenge.segment, &challenge.hold);
            let mut leaves = found.ok()??;
            let cids = challenge.leaves.iter().map(|it| leaves.leaf(*it).ok()?);
            let cids: Vec<store::Cid> = cids.collect::<Option<_>>()?;
            let fetched = source.blocks(&cids).ok()?;
            let numbered = challenge.leaves.iter().zip(&fetched);
            let digest = |(number, leaf): (&u64, &store::Block)| {
                Some(challenge.digest_of(*number, leaf.data()))
            };
            let leaves = numbered.map(digest).collect();
            blocks.delete_many(&cids).ok()?;
            Some(Answer { leaves })
        });
        shown.await.ok()?
    }

    /// The nodes above the leaves.
    async fn fetch_path(&self, hold: &Hold) -> bool {
        let Some(session) = self.open(hold) else {
            return false;
        };
        let (source, path) = (session.source(), hold.path.clone());
        let fetched = tokio::task::spawn_blocking(move || source.blocks(&path).is_ok());
        fetched.await.unwrap_or(false)
    }

    fn open(&self, hold: &Hold) -> Option<store_node::exchange::Session> {
        let options = SessionOptions {
            addresses: self.known.clone(),
            mode: Mode::OnDemand,
            urgency: Urgency::Reader,
            stall: Duration::from_secs(30),
            landing: None,
        };
        Some(self.exchange.open(*hold.root()?, options))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashSet<SegmentId>> {
        self.taken.lock().expect("nobody panics with it")
    }
}
