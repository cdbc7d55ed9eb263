use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use store::repo::{Repo, RepoOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{knowing, memory, start, within};
use crate::metrics::http;
use crate::network::{ConnectError, Network, NetworkConfig, NetworkError, SHUTDOWN, inlets};
use crate::transport::TransportKind;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_let_go() {
    let a = start(memory()).await;
    let other = NetworkConfig {
        network: "other".parse().unwrap(),
        ..memory()
    };
    let b = start(other).await;
    let address = a.network.addresses().await.remove(0);
    let error = within(b.network.connect(address)).await.unwrap_err();
    let peer = a.network.peer_id();
    assert_eq!(
        error,
        ConnectError::Stranger {
            peer,
            protocol: "/store/main/id/1.0.0".into()
        }
    );
    within(async { while !b.network.peers().await.is_empty() {} }).await;
    within(async { while !a.network.peers().await.is_empty() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_peer_at_the_address_is_named() {
    let (a, b) = (start(memory()).await, start(memory()).await);
    let mut address = a.network.addresses().await.remove(0);
    address.pop();
    let wrong = address.with(Protocol::P2p(
        Keypair::generate_ed25519().public().to_peer_id(),
    ));
    let error = within(b.network.connect(wrong)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongPeer { actual, .. } if actual == a.network.peer_id())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited() {
    let a = start(NetworkConfig {
        max_connections: 2,
        ..memory()
    })
    .await;
    let address = a.network.addresses().await.remove(0);
    let mut others = Vec::new();
    for _ in 0..2 {
        let b = start(memory()).await;
        within(b.network.connect(address.clone())).await.unwrap();
        others.push(b);
    }
    let late = start(memory()).await;
    assert!(within(late.network.connect(address)).await.is_err());
    assert_eq!(a.network.peers().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_is_bounded_and_ends_the_swarm() {
    let a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    b.connected(1).await;
    let (network, began) = (a.network.clone(), Instant::now());
    a.stop().await;
    assert!(began.elapsed() < SHUTDOWN);
    within(network.closed()).await;
    assert!(!network.is_running());
    assert_eq!(
        network.peers().await.len(),
        0,
        "a handle without swarm answers all the same"
    );
    within(async { while !b.network.peers().await.is_empty() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let config = NetworkConfig {
        listen: vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()],
        mdns: false,
        transport: TransportKind::Sockets,
        ..NetworkConfig::default()
    };
    let (inlets, _) = inlets(1, 1, 1);
    let error = Network::start(config, repo, Keypair::generate_ed25519(), inlets)
        .await
        .unwrap_err();
    assert!(matches!(error, NetworkError::Listen { .. }));
    let message = error.to_string();
    assert!(
        message.contains(&format!("`/ip4/127.0.0.1/tcp/{port}`")),
        "{message}"
    );
    assert!(message.contains("choose another port"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_served() {
    let config = memory();
    let metrics = config.metrics.clone();
    let a = start(config).await;
    let local = "127.0.0.1:0".parse().unwrap();
    let network = a.network.clone();
    let server = http::serve(local, metrics, move || network.is_running())
        .await
        .unwrap();
    let page = get(&server, "/metrics").await;
    assert!(page.contains("store_kad_peers 0"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(get(&server, "/healthz").await.starts_with("HTTP/1.1 200"));
    a.stop().await;
    assert!(get(&server, "/healthz").await.starts_with("HTTP/1.1 503"));
}

async fn get(server: &http::Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    within(stream.read_to_string(&mut page)).await.unwrap();
    page
}
