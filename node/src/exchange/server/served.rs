//! Askers at the far ends of pipes, and one answerer.

use std::sync::Arc;

use futures::AsyncWriteExt;
use futures::future::BoxFuture;
use futures::io::BufReader;
use libp2p::{Multiaddr, PeerId};
use store::Block;
use store::blockstore::{Blockstore, MemoryStore, Write};
use store::cid::{Codec, Version};
use store::dag::{Link, pb};
use store::unixfs::origin::{Identity, Origin};
use store::wire::{Ask, Extent, Leaf, Request, Response, Urgency};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::Surroundings;
use super::hands::Hands;
use crate::exchange::Serving;
use crate::exchange::codec::read_answer;
use crate::network::{Inbound, ReplyChannel};

struct Nowhere;

impl Surroundings for Nowhere {
    fn respond(&self, _: ReplyChannel, _: Response) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn addresses_of(&self, _: Vec<PeerId>) -> BoxFuture<'_, Vec<(PeerId, Vec<Multiaddr>)>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// The answerer; it ends with this.
struct Answerer {
    streams: mpsc::Sender<(PeerId, Compat<DuplexStream>)>,
    _requests: mpsc::Sender<Inbound>,
}

impl Answerer {
    fn new(store: Arc<dyn Blockstore>) -> Self {
        let (streams, to_streams) = mpsc::channel(16);
        let (requests, to_requests) = mpsc::channel(1);
        let hands = Hands::new(Arc::new(Nowhere), store, Serving::default());
        tokio::spawn(hands.run(to_requests, to_streams));
        Self {
            streams,
            _requests: requests,
        }
    }

    async fn asker(&self, peer: PeerId) -> Asker {
        let (near, far) = tokio::io::duplex(64 << 10);
        self.streams.send((peer, far.compat())).await.unwrap();
        Asker {
            io: BufReader::new(near.compat()),
        }
    }
}

struct Asker {
    io: BufReader<Compat<DuplexStream>>,
}

impl Asker {
    async fn ask(&mut self, ask: Ask) {
        let bytes = ask.encode().unwrap();
        self.io.write_all(&bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    async fn get(&mut self, id: u64, node: &Block, count: u32) {
        let extent = Extent {
            node: *node.cid(),
            first: 0,
            count,
        };
        let request = Request::Get {
            root: *node.cid(),
            extents: vec![extent],
            max_bytes: u32::MAX,
            urgency: Urgency::Download,
        };
        self.ask(Ask::Get { id, request }).await;
    }

    /// The next part; `None` when the stream is over.
    async fn part(&mut self) -> Option<(u64, Response)> {
        read_answer(&mut self.io, None).await.ok()
    }

    /// The entries of so many leaves of one request.
    async fn leaves(&mut self, id: u64, count: usize) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        while leaves.len() < count {
            match self.part().await.expect("the stream goes on") {
                (of, Response::Leaves(part)) if of == id && !part.is_empty() => leaves.extend(part),
                other => panic!("{other:?}"),
            }
        }
        leaves
    }
}

/// A node with `count` leaves of so many bytes.
fn content(count: u32, size: usize) -> (Block, Vec<Block>) {
    let leaf = |i: u32| {
        let mut data = vec![7; size];
        data[..4].copy_from_slice(&i.to_be_bytes());
        Block::hash(Version::V1, Codec::Raw, data.into()).unwrap()
    };
    let leaves: Vec<Block> = (0..count).map(leaf).collect();
    let link = |leaf: &Block| Link {
        cid: *leaf.cid(),
        name: "".into(),
        tsize: size as u64,
    };
    let node = pb::Node {
        links: leaves.iter().map(link).collect(),
        data: Some(bytes::Bytes::from_static(b"\x08\x02")),
    };
    let node = Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap();
    (node, leaves)
}

fn store_of(node: &Block, leaves: &[Block]) -> Arc<MemoryStore> {
    let store = MemoryStore::default();
    store
        .put_many(std::slice::from_ref(node), Write::Bulk)
        .unwrap();
    store.put_many(leaves, Write::Bulk).unwrap();
    Arc::new(store)
}

fn is(leaf: &Leaf, block: &Block) -> bool {
    matches!(leaf, Leaf::Have(data) if data == block.data())
}

/// Each leaf is the block in its place, and none is left over.
fn assert_are(leaves: &[Leaf], blocks: &[Block]) {
    assert_eq!(leaves.len(), blocks.len());
    assert!(
        leaves
            .iter()
            .zip(blocks)
            .all(|(leaf, block)| is(leaf, block))
    );
}

#[tokio::test]
async fn an_answer_comes_in_parts_in_order() {
    let (node, blocks) = content(40, 100_000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let mut asker = answerer.asker(PeerId::random()).await;
    asker.get(3, &node, 42).await;
    let leaves = asker.leaves(3, 42).await;
    assert_are(&leaves[..40], &blocks);
    assert_eq!(leaves[40..], [Leaf::NotFound, Leaf::NotFound]);
    // The stream goes on.
    asker.get(4, &node, 1).await;
    assert!(is(&asker.leaves(4, 1).await[0], &blocks[0]));
}

#[tokio::test]
async fn what_is_cancelled_is_not_read_and_comes_as_cut() {
    let (node, blocks) = content(36, 200_000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let mut asker = answerer.asker(PeerId::random()).await;
    asker.get(1, &node, 36).await;
    // Nothing is read before that: no more than the pipe holds is on its way.
    asker.ask(Ask::Cancel { id: 1, from: 1 }).await;
    let leaves = asker.leaves(1, 36).await;
    let came = leaves.iter().filter(|leaf| **leaf != Leaf::Cut).count();
    assert!((1..25).contains(&came), "{came}");
    assert!(leaves[came..].iter().all(|leaf| *leaf == Leaf::Cut));
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let (node, blocks) = content(64, 100_000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let mut standing = answerer.asker(PeerId::random()).await;
    for id in 1..20 {
        standing.get(id, &node, 64).await;
    }
    let mut other = answerer.asker(PeerId::random()).await;
    other.get(1, &node, 64).await;
    let leaves = other.leaves(1, 64).await;
    assert_are(&leaves, &blocks);
}

#[tokio::test]
async fn every_request_has_an_answer_however_many_there_are() {
    let (node, blocks) = content(4, 1000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let mut asker = answerer.asker(PeerId::random()).await;
    let Asker { io } = &mut asker;
    let mut asks = Vec::new();
    for id in 1..=3000 {
        let extents = vec![Extent {
            node: *node.cid(),
            first: 0,
            count: 4,
        }];
        let request = Request::Get {
            root: *node.cid(),
            extents,
            max_bytes: 1 << 20,
            urgency: Urgency::Download,
        };
        asks.extend(Ask::Get { id, request }.encode().unwrap());
    }
    // All at once; the far side reads while we write.
    io.write_all(&asks).await.unwrap();
    io.flush().await.unwrap();
    let (mut whole, mut busy) = (0, 0);
    while whole + busy < 3000 {
        match asker.part().await.expect("the stream goes on").1 {
            Response::Leaves(leaves) => {
                assert_eq!(leaves.len(), 4, "small ones come in one part");
                whole += 1;
            }
            Response::Busy { retry_ms } => {
                assert!((1..=10_000).contains(&retry_ms));
                busy += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(whole >= 128, "{whole}");
}

#[tokio::test]
async fn nonsense_ends_the_stream_and_no_other() {
    let (node, blocks) = content(4, 1000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let peer = PeerId::random();
    let (mut good, mut bad) = (answerer.asker(peer).await, answerer.asker(peer).await);
    bad.io.write_all(&[0xff; 64]).await.unwrap();
    bad.io.flush().await.unwrap();
    assert_eq!(bad.part().await, None);
    good.get(1, &node, 4).await;
    assert_eq!(good.leaves(1, 4).await.len(), 4);
}

#[tokio::test]
async fn a_number_that_is_under_way_is_not_used_again() {
    let (node, blocks) = content(64, 500_000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let mut asker = answerer.asker(PeerId::random()).await;
    asker.get(1, &node, 64).await;
    asker.get(1, &node, 64).await;
    while asker.part().await.is_some() {}
}

#[tokio::test]
async fn a_third_stream_of_a_peer_is_refused() {
    let (node, blocks) = content(4, 1000);
    let answerer = Answerer::new(store_of(&node, &blocks));
    let peer = PeerId::random();
    let mut first = answerer.asker(peer).await;
    let _second = answerer.asker(peer).await;
    let mut third = answerer.asker(peer).await;
    assert_eq!(third.part().await, None);
    first.get(1, &node, 4).await;
    assert_eq!(first.leaves(1, 4).await.len(), 4);
}

#[tokio::test]
async fn what_has_come_is_served_while_the_rest_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let options = store::repo::RepoOptions::default();
    let repo = store::repo::Repo::open(directory.path(), &options).unwrap();
    let (node, blocks) = content(8, 1000);
    let store = Arc::clone(repo.blocks());
    store
        .put_many(std::slice::from_ref(&node), Write::Bulk)
        .unwrap();
    store.put_many(&blocks[..4], Write::Bulk).unwrap();
    let answerer = Answerer::new(store.clone());
    let mut asker = answerer.asker(PeerId::random()).await;
    asker.get(1, &node, 8).await;
    let leaves = asker.leaves(1, 8).await;
    assert_are(&leaves[..4], &blocks[..4]);
    assert_eq!(leaves[4..], [const { Leaf::NotFound }; 4]);
    // Nothing was committed so far.
    store.put_many(&blocks[4..], Write::Bulk).unwrap();
    asker.get(2, &node, 8).await;
    let leaves = asker.leaves(2, 8).await;
    assert_are(&leaves, &blocks);
}

#[tokio::test]
async fn what_is_written_into_a_users_file_is_served_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let options = store::repo::RepoOptions::default();
    let repo = store::repo::Repo::open(directory.path(), &options).unwrap();
    let (node, blocks) = content(8, 1000);
    let store = Arc::clone(repo.blocks());
    store
        .put_many(std::slice::from_ref(&node), Write::Bulk)
        .unwrap();
    let path = directory.path().join("part");
    let bytes: Vec<u8> = blocks[..4]
        .iter()
        .flat_map(|block| block.data().to_vec())
        .collect();
    std::fs::write(&path, bytes).unwrap();
    let origin = Origin {
        path: path.as_os_str().to_owned().into(),
        identity: Identity::of(&path.metadata().unwrap()),
    };
    let id = store.refer_to(&origin, None).unwrap();
    let placed: Vec<(Block, u64)> = blocks[..4]
        .iter()
        .cloned()
        .zip((0..).step_by(1000))
        .collect();
    store.put_referenced(id, &placed, Write::Bulk).unwrap();
    let answerer = Answerer::new(store);
    let mut asker = answerer.asker(PeerId::random()).await;
    asker.get(1, &node, 8).await;
    let leaves = asker.leaves(1, 8).await;
    assert_are(&leaves[..4], &blocks[..4]);
    assert_eq!(leaves[4..], [const { Leaf::NotFound }; 4]);
}
