//! Askers that do not mean well, against a whole node: it stays up, and an honest peer gets its content
//! meanwhile. What hostile answerers do is in `session::tests::hostile`.

#![allow(clippy::needless_pass_by_value, reason = "all attacks have one shape")]

use std::time::Instant;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use store::wire::{Ask, Extent, Request, Urgency};

use super::whole::{Node, add, bare, get, node};
use super::*;
use crate::transport::TransportKind;

/// What an attacker does, again and again, until it is stopped.
type Attack = fn(Network, Target) -> BoxFuture<'static, ()>;

/// Whom, and for what.
#[derive(Clone)]
struct Target {
    peer: PeerId,
    address: libp2p::Multiaddr,
    root: Cid,
}

/// A stream, opened again and again until it is there: the node may have no room for a moment.
async fn stream(network: &Network, target: &Target) -> Stream {
    loop {
        if let Ok(stream) = network.open_bulk(target.peer).await {
            return stream;
        }
        let _ = network.connect(target.address.clone()).await;
    }
}

fn ask(id: u64, target: &Target, count: u32) -> Bytes {
    let extent = Extent {
        node: target.root,
        first: 0,
        count,
    };
    let request = Request::Get {
        root: target.root,
        extents: vec![extent],
        max_bytes: u32::MAX,
        urgency: Urgency::Reader,
    };
    Ask::Get { id, request }.encode().unwrap()
}

/// Bytes that are no message.
fn garbage(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let mut stream = stream(&network, &target).await;
            let _ = stream.write_all(&[0xff; 4096]).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0]).await;
        }
    })
}

/// Extents of 2^63 children from the 2^63rd on.
fn ranges(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let varint = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        let root = target.root.to_bytes();
        let field = |tag: u8, bytes: &[u8]| {
            let length = u8::try_from(bytes.len()).unwrap();
            [&[tag, length], bytes].concat()
        };
        let extent = [&field(0x0a, &root)[..], &[0x10], &varint, &[0x18], &varint].concat();
        let body = [
            &[0x08, 2][..],
            &field(0x12, &root),
            &field(0x2a, &extent),
            &[0x30, 1],
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        loop {
            let mut stream = stream(&network, &target).await;
            let _ = stream.write_all(&[&length[..], &body].concat()).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0]).await;
        }
    })
}

/// Requests by the thousand, whose answers it does not read.
fn requests(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let mut stream = stream(&network, &target).await;
            for id in 1..5000 {
                if stream.write_all(&ask(id, &target, 4096)).await.is_err() {
                    break;
                }
            }
            let _ = stream.flush().await;
        }
    })
}

/// Each request is cancelled at once, and again.
fn cancels(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let (mut reader, mut writer) = stream(&network, &target).await.split();
            let write = async {
                for id in 1..5000 {
                    let cancel = Ask::Cancel { id, from: 0 }.encode().unwrap();
                    let asked = [&ask(id, &target, 16)[..], &cancel, &cancel].concat();
                    if writer.write_all(&asked).await.is_err() {
                        break;
                    }
                }
                let _ = writer.close().await;
            };
            let read = async {
                let mut buffer = vec![0; 1 << 16];
                while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
            };
            tokio::join!(write, read);
        }
    })
}

/// It reads a byte now and then.
fn slow_drip(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let mut streams = Vec::new();
        loop {
            let mut stream = stream(&network, &target).await;
            for id in 1..64 {
                if stream.write_all(&ask(id, &target, 16)).await.is_err() {
                    break;
                }
            }
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0]).await;
            streams.push(stream);
            if streams.len() > 8 {
                streams.remove(0);
            }
        }
    })
}

/// Questions by request-response, hundreds at once.
fn questions(network: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let nodes = vec![target.root; 256];
            let manifest = || {
                let request = Request::Manifest {
                    root: target.root,
                    nodes: nodes.clone(),
                    max_bytes: u32::MAX,
                };
                network.request(target.peer, request)
            };
            join_all((0..200).map(|_| manifest())).await;
        }
    })
}

/// Connections come and go.
fn churn(_: Network, target: Target) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        loop {
            let (network, _arrivals) = bare(TransportKind::Memory, "/memory/0").await;
            if network.connect(target.address.clone()).await.is_ok() {
                let _ = network.open_bulk(target.peer).await;
            }
            network.shutdown().await;
        }
    })
}

const ATTACKS: [(&str, Attack); 7] = [
    ("garbage", garbage),
    ("ranges", ranges),
    ("requests", requests),
    ("cancels", cancels),
    ("slow drip", slow_drip),
    ("questions", questions),
    ("churn", churn),
];

/// A node with a content of `size` bytes, and how long an honest peer takes for it beside an attack.
async fn beside(attack: Option<Attack>, size: u64) -> std::time::Duration {
    let a = node(TransportKind::Memory, "/memory/0").await;
    let root = add(&a, size);
    let address = a.network.addresses().await.remove(0);
    let attacking = attack.map(|attack| {
        let (address, peer) = (address.clone(), a.network.peer_id());
        tokio::spawn(async move {
            let (network, _arrivals) = bare(TransportKind::Memory, "/memory/0").await;
            let _ = network.connect(address.clone()).await;
            let target = Target {
                peer,
                address,
                root,
            };
            attack(network, target).await;
        })
    });
    let took = honest(&a, root, size).await;
    if let Some(attacking) = attacking {
        assert!(!attacking.is_finished(), "it goes on all the while");
        attacking.abort();
    }
    assert!(a.network.is_running());
    took
}

async fn honest(a: &Node, root: Cid, size: u64) -> std::time::Duration {
    let b = node(TransportKind::Memory, "/memory/0").await;
    let began = Instant::now();
    let (_, bytes) = get(&b, root, a.network.addresses().await).await;
    assert_eq!(bytes, size);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_are_served_whatever_others_do() {
    for (name, attack) in ATTACKS {
        println!("{name}");
        beside(Some(attack), 8 << 20).await;
    }
}

/// `cargo test --workspace --lib -- --ignored --nocapture attacked`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_while_attacked() {
    let size = 256 << 20;
    let alone = beside(None, size).await;
    for (name, attack) in ATTACKS {
        let took = beside(Some(attack), size).await;
        let ratio = alone.as_secs_f64() / took.as_secs_f64();
        println!("{name:<10} {took:?}: {ratio:.2} of the rate alone");
    }
}
