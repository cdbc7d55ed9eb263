//! Askers that do not mean well, against a whole node: it stays up, and an honest peer gets its content
//! meanwhile. What hostile answerers do is in `session::tests::hostile`.

#![allow(clippy::needless_pass_by_value, reason = "all attacks have one shape")]

use std::time::Instant;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use store::wire::{Ask, Extent, Request, Urgency};

use super::whole::{Node, add, bare, get, node, node_at};
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

/// Attacks until it is ended.
async fn attack(attack: Attack, transport: TransportKind, listen: &str, target: Target) {
    let (network, _arrivals) = bare(transport, listen).await;
    let _ = network.connect(target.address.clone()).await;
    attack(network, target).await;
}

async fn honest(
    a: &Node,
    root: Cid,
    size: u64,
    (transport, listen): (TransportKind, &str),
    link: Bandwidth,
) -> std::time::Duration {
    let b = node_at(transport, listen, link).await;
    let began = Instant::now();
    let (_, bytes) = get(&b, root, a.network.addresses().await).await;
    assert_eq!(bytes, size);
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_are_served_whatever_others_do() {
    let size = 8 << 20;
    let place = (TransportKind::Memory, "/memory/0");
    for (name, kind) in ATTACKS {
        println!("{name}");
        let a = node(place.0, place.1).await;
        let root = add(&a, size);
        let target = Target {
            peer: a.network.peer_id(),
            address: a.network.addresses().await.remove(0),
            root,
        };
        let attacking = tokio::spawn(attack(kind, place.0, place.1, target));
        honest(&a, root, size, place, Bandwidth::default()).await;
        assert!(!attacking.is_finished(), "it goes on all the while");
        attacking.abort();
        assert!(a.network.is_running());
    }
}

const LOOPBACK: (TransportKind, &str) = (TransportKind::Sockets, "/ip4/127.0.0.1/tcp/0");
/// What an attacker's process is told: which attack, where, and on what.
const TOLD: [&str; 3] = ["ATTACK", "ATTACK_ADDRESS", "ATTACK_ROOT"];

/// Not a test: the process that [`rates_while_attacked`] starts. Ends at once if nobody told it what to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "part of a measurement"]
async fn attacker() {
    let told = TOLD.map(|name| std::env::var(name).unwrap_or_default());
    let Some((_, kind)) = ATTACKS.iter().find(|(name, _)| *name == told[0]) else {
        return;
    };
    let address: libp2p::Multiaddr = told[1].parse().unwrap();
    let target = Target {
        peer: crate::address::peer_of(&address).unwrap(),
        address,
        root: store::cid::parse(&told[2]).unwrap(),
    };
    attack(*kind, LOOPBACK.0, LOOPBACK.1, target).await;
}

/// A measurement beside an attacker in a process of its own.
#[derive(Clone, Copy)]
struct Beside {
    /// What the honest peer fetches, in bytes.
    size: u64,
    /// Bytes a second of the honest peer's link; without any, what the processors allow.
    link: Option<u64>,
    /// The attacker has the processors only where nobody else wants them, or as much of them as it can get.
    gives_way: bool,
}

/// How long an honest peer takes.
async fn beside(attack: Option<&str>, how: Beside) -> std::time::Duration {
    let a = node(LOOPBACK.0, LOOPBACK.1).await;
    let root = add(&a, how.size);
    let address = a.network.addresses().await.remove(0);
    let attacking = attack.map(|name| {
        let nice = if how.gives_way { "19" } else { "0" };
        let mut command = std::process::Command::new("nice");
        command
            .args(["-n", nice])
            .arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "exchange::hostile::attacker"]);
        command.env(TOLD[0], name).env(TOLD[1], address.to_string());
        command.env(TOLD[2], root.to_string());
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    });
    if attack.is_some() {
        // It is at it.
        let until = Instant::now() + std::time::Duration::from_secs(20);
        while a.network.peers().await.is_empty() && Instant::now() < until {
            tokio::task::yield_now().await;
        }
    }
    let config = store_config::Exchange {
        download_limit: store_config::RateLimit(how.link.map(store_config::ByteSize)),
        ..store_config::Exchange::default()
    };
    let link = Bandwidth::new(&config, || 0);
    let took = honest(&a, root, how.size, LOOPBACK, link).await;
    if let Some(mut attacking) = attacking {
        assert!(attacking.try_wait().unwrap().is_none(), "it goes on");
        attacking.kill().unwrap();
        attacking.wait().unwrap();
    }
    assert!(a.network.is_running());
    took
}

/// `cargo test --workspace --lib -- --ignored --nocapture rates_while_attacked`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_while_attacked() {
    const ROUNDS: usize = 3;
    let unbound = Beside {
        size: 256 << 20,
        link: None,
        gives_way: true,
    };
    let taking = Beside {
        gives_way: false,
        ..unbound
    };
    // A gigabit, as an application sees it.
    let gigabit = Beside {
        link: Some(112 << 20),
        ..taking
    };
    println!(
        "of the rate alone: attacker gives way, takes processors too, the same with a gigabit"
    );
    for (name, _) in ATTACKS {
        let mut shares = Vec::new();
        for how in [unbound, taking, gigabit] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let alone = beside(None, how).await;
                let attacked = beside(Some(name), how).await;
                rounds.push(alone.as_secs_f64() / attacked.as_secs_f64());
            }
            rounds.sort_by(f64::total_cmp);
            shares.push(rounds[ROUNDS / 2]);
        }
        let [gives_way, takes, gigabit] = shares[..] else {
            unreachable!("three measurements")
        };
        println!("{name:<10} {gives_way:.2} {takes:.2} {gigabit:.2}");
    }
}
