//! Whole sessions over a swarm without sockets: real blocks, real stores, real threads.

mod hostile;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;
use libp2p::PeerId;
use store::Block;
use store::blockstore::{Indexed, MemoryStore, Put, StoreError, Write};
use store::cid::{Codec, Version};
use store::dag::{BlockSource, Link, pb};
use store::unixfs::Name;
use store::unixfs::data::{Data, Kind};
use store::wire::{Leaf, Request, Response};
use tokio::sync::{broadcast, mpsc};

use super::*;
use crate::exchange::bulk::Parts;
use crate::exchange::reputation::Reputation;
use crate::exchange::scheduler::Limits;
use crate::exchange::server::answer::Answers;
use crate::network::{ConnectError, NetworkEvent, ProviderRecord, RequestError};

/// What a peer does with a request.
type Behave = Box<dyn Fn(&Request, Response) -> Option<Response> + Send + Sync>;

struct Peer {
    store: Arc<MemoryStore>,
    behave: Behave,
}

/// Peers that answer at once, and all that was asked of them.
struct Fake {
    peers: HashMap<PeerId, Peer>,
    asked: Mutex<Vec<(PeerId, Request)>>,
    events: broadcast::Sender<NetworkEvent>,
    name: PeerId,
}

/// There is no such peer.
struct Nobody;

impl Fake {
    fn new() -> Self {
        let (events, _) = broadcast::channel(16);
        Self {
            peers: HashMap::new(),
            asked: Mutex::default(),
            events,
            name: PeerId::random(),
        }
    }

    fn with(
        mut self,
        store: &Arc<MemoryStore>,
        behave: impl Fn(&Request, Response) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let peer = Peer {
            store: Arc::clone(store),
            behave: Box::new(behave),
        };
        self.peers.insert(PeerId::random(), peer);
        self
    }

    fn honest(self, store: &Arc<MemoryStore>) -> Self {
        self.with(store, |_, response| Some(response))
    }

    /// What a peer answers; `None` for silence.
    fn answer(&self, peer: PeerId, request: Request) -> Result<Option<Response>, Nobody> {
        let Peer { store, behave } = self.peers.get(&peer).ok_or(Nobody)?;
        let answers = Answers::new(0);
        let answer = answers.answer(&**store, self.name, &request, Instant::now());
        let response = behave(&request, answer.unwrap());
        self.asked.lock().unwrap().push((peer, request));
        Ok(response)
    }

    fn gets(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(_, request)| matches!(request, Request::Get { .. }))
            .count()
    }
}

impl Outbound for Fake {
    fn request(
        &self,
        peer: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Response, RequestError>> {
        let response = self.answer(peer, request);
        let Ok(response) = response else {
            return Box::pin(async move { Err(RequestError::Unreachable { peer }) });
        };
        Box::pin(async move {
            match response {
                Some(response) => Ok(response),
                None => std::future::pending().await,
            }
        })
    }

    fn get(&self, peer: PeerId, request: Request) -> Parts {
        match self.answer(peer, request) {
            Ok(Some(response)) => Parts::of(Ok(response)),
            Ok(None) => Parts::silent(),
            Err(Nobody) => Parts::of(Err(RequestError::Unreachable { peer })),
        }
    }

    fn connect(&self, _: Multiaddr) -> BoxFuture<'static, Result<PeerId, ConnectError>> {
        Box::pin(async { Err(ConnectError::Stopped) })
    }

    fn providers(&self, _: Cid) -> BoxFuture<'static, mpsc::Receiver<ProviderRecord>> {
        let (sender, receiver) = mpsc::channel(64);
        for peer in self.peers.keys() {
            sender
                .try_send(ProviderRecord {
                    peer: *peer,
                    addresses: Vec::new(),
                })
                .unwrap();
        }
        Box::pin(async move { receiver })
    }

    fn remember(&self, _: PeerId, _: Vec<Multiaddr>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn connected(&self) -> BoxFuture<'static, Vec<PeerId>> {
        Box::pin(async { Vec::new() })
    }

    fn reputation(&self) -> Reputation {
        Reputation::default()
    }

    fn local(&self) -> PeerId {
        self.name
    }

    fn events(&self) -> broadcast::Receiver<NetworkEvent> {
        self.events.subscribe()
    }
}

/// A directory of directories of leaves, and its store.
fn content(nodes: u8, leaves: u8, size: usize) -> (Cid, Arc<MemoryStore>, Vec<Cid>) {
    let store = MemoryStore::default();
    let mut all = Vec::new();
    let mut put = |block: Block, below: u64| {
        store
            .put_many(std::slice::from_ref(&block), Write::Logged)
            .unwrap();
        all.push(*block.cid());
        (*block.cid(), below + block.data().len() as u64)
    };
    let node = |children: Vec<(Cid, u64)>| {
        let link = |(i, (cid, tsize)): (usize, (Cid, u64))| Link {
            cid,
            name: Name::from(format!("{i:03}").as_str()),
            tsize,
        };
        let links = children.into_iter().enumerate().map(link).collect();
        let data = Some(Data::new(Kind::Directory).encode());
        Block::hash(Version::V1, Codec::DagPb, pb::Node { links, data }.encode()).unwrap()
    };
    let mut below = Vec::new();
    for i in 0..nodes {
        let leaf = |j| {
            let mut data = vec![i ^ j; size];
            data[..2].copy_from_slice(&[i, j]);
            Block::hash(Version::V1, Codec::Raw, data.into()).unwrap()
        };
        let children: Vec<_> = (0..leaves).map(|j| put(leaf(j), 0)).collect();
        let bytes = children.iter().map(|(_, size)| size).sum();
        below.push(put(node(children), bytes));
    }
    let (root, _) = put(node(below), 0);
    (root, Arc::new(store), all)
}

fn start(fake: &Arc<Fake>, store: Arc<dyn Blockstore>, root: Cid, mode: Mode) -> Session {
    let options = SessionOptions {
        addresses: Vec::new(),
        mode,
        urgency: Urgency::Download,
        stall: Duration::from_secs(5),
        landing: None,
    };
    let outbound: Arc<dyn Outbound> = Arc::<Fake>::clone(fake);
    Session::start(
        outbound,
        store,
        root,
        options,
        &Budget::new(Limits::default()),
    )
}

fn holds(store: &dyn Blockstore, all: &[Cid]) -> bool {
    store.sizes(all).unwrap().iter().all(Option::is_some)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_comes_whole_and_goes_to_a_reader() {
    let (root, theirs, all) = content(8, 40, 50_000);
    let fake = Arc::new(Fake::new().honest(&theirs).honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::Whole);
    let source = session.source();
    let order = all.clone();
    let reader = tokio::task::spawn_blocking(move || {
        for cids in order.chunks(16) {
            let blocks = source.blocks(cids).unwrap();
            assert!(blocks.iter().map(Block::cid).eq(cids));
        }
    });
    session.finish().await.unwrap();
    reader.await.unwrap();
    assert!(holds(&*ours, &all));
    let progress = session.progress().borrow().clone();
    assert_eq!(
        (progress.phase, progress.blocks_done),
        (Phase::Done, all.len() as u64)
    );
    assert_eq!(Some(progress.bytes_done), progress.bytes_total_hint);
    assert_eq!(progress.strip, [100; 64], "every part of it");
    let given: u64 = progress.sources.iter().map(|source| source.bytes).sum();
    assert!(given >= progress.bytes_fetched, "{:?}", progress.sources);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_the_first_block_while_the_others_do_not_come() {
    let (root, theirs, all) = content(1, 40, 50_000);
    let inner = all[40];
    // Of the leaves, the first three are given, and no others ever.
    let few: Vec<Cid> = all[..3].to_vec();
    let given: HashSet<Vec<u8>> = few
        .iter()
        .map(|cid| theirs.get(cid).unwrap().unwrap().to_vec())
        .collect();
    let fake = Fake::new().with(&theirs, move |_, response| match response {
        Response::Leaves(leaves) => {
            let keep = |leaf| match leaf {
                Leaf::Have(data) if !given.contains(&data.to_vec()) => Leaf::Cut,
                leaf => leaf,
            };
            Some(Response::Leaves(leaves.into_iter().map(keep).collect()))
        }
        other => Some(other),
    });
    let fake = Arc::new(fake);
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::OnDemand);
    let source = session.source();
    let wanted = all[..16].to_vec();
    let read = move || {
        source.block(&root).unwrap();
        source.block(&inner).unwrap();
        let mut got = Vec::new();
        // All sixteen are asked for each time, less those that came.
        while got.len() < 3 {
            let blocks = source.first_blocks(&wanted[got.len()..]).unwrap();
            assert!(!blocks.is_empty());
            got.extend(blocks);
        }
        let got: Vec<Cid> = got.iter().map(|block| *block.cid()).collect();
        assert_eq!(got, wanted[..3]);
        // What is on this machine's disk comes from there.
        let again = source.first_blocks(&wanted).unwrap();
        assert!(again.iter().map(Block::cid).eq(&wanted[..3]));
        // And what does not come in the end is an error with its reason.
        source.first_blocks(&wanted[3..]).unwrap_err()
    };
    let error = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(matches!(error, SourceError::Stalled { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_not_asked_for() {
    let (root, theirs, all) = content(4, 20, 1000);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    start(&fake, ours.clone(), root, Mode::Whole)
        .finish()
        .await
        .unwrap();
    let before = fake.asked.lock().unwrap().len();
    start(&fake, ours.clone(), root, Mode::Whole)
        .finish()
        .await
        .unwrap();
    assert_eq!(fake.asked.lock().unwrap().len(), before, "all is here");
    // One leaf is lost: it alone comes again.
    ours.delete_many(&all[7..8]).unwrap();
    let session = start(&fake, ours.clone(), root, Mode::Whole);
    session.finish().await.unwrap();
    assert_eq!(session.progress().borrow().bytes_fetched, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_block_is_a_content() {
    let (_, theirs, all) = content(1, 1, 1000);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    start(&fake, ours.clone(), all[0], Mode::Whole)
        .finish()
        .await
        .unwrap();
    assert!(holds(&*ours, &all[..1]));
}

fn spoil(response: Response) -> Response {
    let spoil = |leaf| match leaf {
        Leaf::Have(data) => Leaf::Have(vec![0xee; data.len()].into()),
        other => other,
    };
    match response {
        Response::Leaves(leaves) => Response::Leaves(leaves.into_iter().map(spoil).collect()),
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_never_reach_the_store_and_the_honest_peer_ends_it_well() {
    let (root, theirs, all) = content(8, 40, 10_000);
    let liar = Fake::new().with(&theirs, |_, response| Some(spoil(response)));
    let fake = Arc::new(liar.honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    start(&fake, ours.clone(), root, Mode::Whole)
        .finish()
        .await
        .unwrap();
    assert_eq!(ours.totals().unwrap(), theirs.totals().unwrap());
    assert!(holds(&*ours, &all));
    // Alone, the liar gives nothing, and it ends in bounded time.
    let alone = Fake::new().with(&theirs, |_, response| Some(spoil(response)));
    let ours = Arc::new(MemoryStore::default());
    let error = start(&Arc::new(alone), ours, root, Mode::Whole)
        .finish()
        .await
        .unwrap_err();
    assert!(matches!(error, SourceError::Stalled { .. }), "{error}");
    assert!(
        error.to_string().contains("none of 1 providers is left"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_nobody_asked_for_are_not_stored() {
    let (root, theirs, _) = content(2, 4, 1000);
    let (stranger, strange, _) = content(3, 1, 999);
    let data = strange.get(&stranger).unwrap().unwrap();
    let fake = Fake::new().with(&theirs, move |_, response| match response {
        Response::Manifest { mut nodes, more } => {
            let leaves = std::iter::empty().collect();
            nodes.push(store::wire::ManifestNode {
                cid: stranger,
                data: data.clone(),
                leaves,
            });
            Some(Response::Manifest { nodes, more })
        }
        other => Some(other),
    });
    let ours = Arc::new(MemoryStore::default());
    let fake = Arc::new(fake.honest(&theirs));
    start(&fake, ours.clone(), root, Mode::Whole)
        .finish()
        .await
        .unwrap();
    assert!(!ours.has(&stranger).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_demand_brings_what_is_read() {
    // Too large to come with its manifest.
    let (root, theirs, all) = content(4, 40, 10_000);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::OnDemand);
    let source = session.source();
    let leaf = all[50];
    let read = tokio::task::spawn_blocking(move || {
        let node = source.block(&root).unwrap();
        let links = store::dag::links(&node).unwrap();
        let second = source.block(&links[1].cid).unwrap();
        let links = store::dag::links(&second).unwrap();
        source.block(&links[9].cid).unwrap()
    });
    assert_eq!(*read.await.unwrap().cid(), leaf);
    let leaves = all
        .iter()
        .filter(|cid| cid.codec() == Codec::Raw.code() && ours.has(cid).unwrap());
    assert_eq!(leaves.count(), 1);
    assert_eq!(fake.gets(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_dropped_session_is_told() {
    let (root, theirs, _) = content(1, 1, 1000);
    let fake = Arc::new(Fake::new().with(&theirs, |_, _| None));
    let session = start(&fake, Arc::new(MemoryStore::default()), root, Mode::Whole);
    let source = session.source();
    let read = tokio::task::spawn_blocking(move || source.block(&root));
    drop(session);
    let error = read.await.unwrap().unwrap_err();
    assert!(matches!(error, SourceError::Cancelled), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_it() {
    let (root, ..) = content(1, 1, 1000);
    let empty = Arc::new(MemoryStore::default());
    let fake = Arc::new(Fake::new().honest(&empty));
    let session = start(&fake, Arc::new(MemoryStore::default()), root, Mode::Whole);
    let source = session.source();
    let read = tokio::task::spawn_blocking(move || source.block(&root));
    let error = read.await.unwrap().unwrap_err();
    assert!(
        matches!(error, SourceError::NotFound { cid, .. } if cid == root),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("1 provider asked, none has it"),
        "{error}"
    );
}

/// A disk that is full after some bytes.
struct Small(MemoryStore, AtomicU64);

impl Blockstore for Small {
    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<bytes::Bytes>>, StoreError> {
        self.0.get_many(cids)
    }
    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        self.0.sizes(cids)
    }
    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError> {
        self.0.links(cid)
    }
    fn put_many(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        let bytes = blocks.iter().map(|block| block.data().len() as u64).sum();
        if self.1.fetch_add(bytes, Ordering::Relaxed) > 100_000 {
            return Err(StoreError::Full {
                reason: "no space left on device".to_owned(),
            });
        }
        self.0.put_many(blocks, write)
    }
    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        self.0.delete_many(cids)
    }
    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn removals(&self) -> u64 {
        self.0.removals()
    }
    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError> {
        self.0.for_each(each)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_session_and_says_so() {
    let (root, theirs, _) = content(8, 40, 10_000);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let ours = Arc::new(Small(MemoryStore::default(), AtomicU64::new(0)));
    let error = start(&fake, ours, root, Mode::Whole)
        .finish()
        .await
        .unwrap_err();
    assert!(
        matches!(error, SourceError::Store(StoreError::Full { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expected_is_handed_out_as_it_comes_whoever_misses_the_rest() {
    let (_, theirs, all) = content(4, 100, 1000);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let session = start(
        &fake,
        Arc::new(MemoryStore::default()),
        all[0],
        Mode::OnDemand,
    );
    let source = session.source();
    let nobodys = *Block::hash(
        Version::V1,
        Codec::Raw,
        bytes::Bytes::from_static(b"nobody's"),
    )
    .unwrap()
    .cid();
    let got = tokio::task::spawn_blocking(move || {
        let mut expected: Vec<Cid> = all.iter().copied().filter(|cid| *cid != all[0]).collect();
        expected.push(nobodys);
        source.expect(&expected);
        loop {
            let (blocks, over) = source.arrivals(&expected, Duration::from_millis(100));
            for block in blocks {
                expected.retain(|cid| cid != block.cid());
            }
            if over {
                // It has waited for what nobody has, and for that alone.
                return expected;
            }
        }
    });
    assert_eq!(got.await.unwrap(), [nobodys]);
}
