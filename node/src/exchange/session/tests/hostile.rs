//! Peers that do not mean well, beside an honest one and alone: the content comes whole from the honest
//! one, nothing else is stored, and alone they are given up in bounded time.

#![allow(clippy::unnecessary_wraps, reason = "one of the lies is silence")]

use bytes::Bytes;
use futures::future::join_all;
use store::wire::{Bits, Held, Holder, ManifestNode, Page};

use super::*;

/// What a hostile peer makes of an honest answer.
type Lie = fn(&Request, Response) -> Option<Response>;

/// Gets a content of `nodes` × `leaves` leaves from a liar and an honest peer.
async fn beside_an_honest_one(lie: Lie) -> Arc<Fake> {
    let (root, theirs, all) = content(8, 40, 10_000);
    let fake = Arc::new(Fake::new().with(&theirs, lie).honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::Whole);
    session.finish().await.unwrap();
    assert!(holds(&*ours, &all));
    assert_eq!(
        ours.totals().unwrap(),
        theirs.totals().unwrap(),
        "and nothing else"
    );
    fake
}

/// Gets it from liars alone: what the end says.
async fn alone(lie: Lie) -> SourceError {
    // More than comes with a manifest.
    let (root, theirs, _) = content(2, 4, 20_000);
    let fake = Arc::new(Fake::new().with(&theirs, lie));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::Whole);
    session.finish().await.unwrap_err()
}

/// Each leaf's bytes under the name of the next.
fn wrong_leaf(_: &Request, response: Response) -> Option<Response> {
    Some(match response {
        Response::Leaves(mut leaves) => {
            leaves.rotate_left(1);
            if let [Leaf::Have(data)] = &mut leaves[..] {
                *data = Bytes::from_static(b"the bytes of another leaf");
            }
            Response::Leaves(leaves)
        }
        other => other,
    })
}

/// It holds everything, it says, and gives nothing.
fn false_bitfield(request: &Request, response: Response) -> Option<Response> {
    Some(match (request, response) {
        (Request::Have { nodes, .. }, _) => {
            let page = |node| Page {
                node,
                version: 1,
                held: Held::All,
            };
            Response::Have((0..u32::try_from(nodes.len()).unwrap()).map(page).collect())
        }
        (_, Response::Leaves(leaves)) => {
            Response::Leaves(leaves.iter().map(|_| Leaf::NotFound).collect())
        }
        (_, other) => other,
    })
}

/// Pages of nodes that nobody asked about.
fn pages_of_nothing(request: &Request, response: Response) -> Option<Response> {
    let page = Page {
        node: 63,
        version: 1,
        held: Held::All,
    };
    Some(match request {
        Request::Have { .. } => Response::Have(vec![page; 64]),
        _ => response,
    })
}

/// There is always more, and it never comes.
fn endless_manifest(request: &Request, response: Response) -> Option<Response> {
    Some(match (request, response) {
        (Request::Manifest { .. }, _) => Response::Manifest {
            nodes: Vec::new(),
            more: true,
        },
        (_, other) => other,
    })
}

/// The same node, as often as an answer can hold it.
fn the_same_again(_: &Request, response: Response) -> Option<Response> {
    Some(match response {
        Response::Manifest { nodes, .. } => Response::Manifest {
            nodes: vec![nodes[0].clone(); 4096],
            more: true,
        },
        other => other,
    })
}

/// Every child is a leaf.
fn all_are_leaves(_: &Request, response: Response) -> Option<Response> {
    let mark = |node: ManifestNode| ManifestNode {
        leaves: std::iter::repeat_n(true, 1000).collect::<Bits>(),
        ..node
    };
    Some(match response {
        Response::Manifest { nodes, more } => {
            let nodes = nodes.into_iter().take(1).map(mark).collect();
            Response::Manifest { nodes, more }
        }
        other => other,
    })
}

/// Thirty-two peers that are nobody.
fn forged_peers(request: &Request, response: Response) -> Option<Response> {
    let holder = |_| Holder {
        peer: PeerId::random().to_bytes().into(),
        addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 0, 9]); 8],
    };
    Some(match request {
        Request::Peers { .. } => Response::Peers((0..32).map(holder).collect()),
        _ => response,
    })
}

/// It is always busy, for as long as it may say.
fn always_busy(_: &Request, _: Response) -> Option<Response> {
    Some(Response::Busy { retry_ms: 60_000 })
}

/// It takes every question, and answers none.
fn silent(_: &Request, _: Response) -> Option<Response> {
    None
}

/// It answers what was not asked.
fn another_question(request: &Request, _: Response) -> Option<Response> {
    Some(match request {
        Request::Get { .. } => Response::Have(Vec::new()),
        _ => Response::Leaves(vec![Leaf::Cut]),
    })
}

const LIES: [(&str, Lie); 10] = [
    ("wrong leaf", wrong_leaf),
    ("false bitfield", false_bitfield),
    ("pages of nothing", pages_of_nothing),
    ("endless manifest", endless_manifest),
    ("the same again", the_same_again),
    ("all are leaves", all_are_leaves),
    ("forged peers", forged_peers),
    ("always busy", always_busy),
    ("silent", silent),
    ("another question", another_question),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_content_comes_whole_beside_any_of_them() {
    for (name, lie) in LIES {
        let fake = beside_an_honest_one(lie).await;
        let asked = fake.asked.lock().unwrap().len();
        // Eight nodes and 320 leaves: whoever would ask for ever is far above this.
        assert!(asked < 2000, "{name}: {asked} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_they_are_given_up() {
    // These hold nothing back: what they forge is beside the content.
    let gives = |name: &str| matches!(name, "forged peers" | "pages of nothing");
    let ends = LIES.into_iter().filter(|(name, _)| !gives(name));
    join_all(ends.map(|(name, lie)| async move {
        let error = alone(lie).await;
        let given_up = matches!(
            error,
            SourceError::Stalled { .. } | SourceError::NotFound { .. }
        );
        assert!(given_up, "{name}: {error}");
    }))
    .await;
}

/// Links that claim more than there is in the world.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_are_claimed_are_not_believed() {
    let store = MemoryStore::default();
    let leaf = Block::hash(Version::V1, Codec::Raw, b"small".as_slice().into()).unwrap();
    let link = |i: usize| Link {
        cid: *leaf.cid(),
        name: Name::from(format!("{i:03}").as_str()),
        tsize: u64::MAX,
    };
    let data = Some(Data::new(Kind::Directory).encode());
    let links = (0..100).map(link).collect();
    let node = pb::Node { links, data }.encode();
    let root = Block::hash(Version::V1, Codec::DagPb, node).unwrap();
    store
        .put_many(&[leaf, root.clone()], Write::Logged)
        .unwrap();
    let fake = Arc::new(Fake::new().honest(&Arc::new(store)));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), *root.cid(), Mode::Whole);
    session.finish().await.unwrap();
    assert_eq!(ours.totals().unwrap().blocks, 2);
}

/// A chain: each node has the next as its only child.
#[tokio::test(flavor = "multi_thread")]
async fn a_deep_tree_is_walked_without_end_of_stack_or_memory() {
    let store = MemoryStore::default();
    let mut below: Option<Cid> = None;
    for i in 0..2000_u32 {
        let link = below.map(|cid| Link {
            cid,
            name: Name::from("a"),
            tsize: 1,
        });
        let mut data = Data::new(Kind::Directory);
        data.filesize = Some(i.into());
        let links = link.into_iter().collect();
        let node = pb::Node {
            links,
            data: Some(data.encode()),
        };
        let block = Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap();
        below = Some(*block.cid());
        store.put_many(&[block], Write::Logged).unwrap();
    }
    let root = below.unwrap();
    let theirs = Arc::new(store);
    let fake = Arc::new(Fake::new().honest(&theirs));
    let ours = Arc::new(MemoryStore::default());
    let session = start(&fake, ours.clone(), root, Mode::Whole);
    session.finish().await.unwrap();
    assert_eq!(ours.totals().unwrap(), theirs.totals().unwrap());
}
