use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use store::wire::Response;

use super::fixture::{knowing, memory, question, root, start, within};
use crate::network::{NetworkConfig, NetworkEvent, RequestError};
use crate::streams::StreamError;
use crate::transport::TransportKind;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy() {
    let mut a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    let (peer, root) = (a.network.peer_id(), root("busy"));
    b.connected(1).await;
    let asker = b.network.clone();
    let first = tokio::spawn(async move { asker.request(peer, question(root)).await });
    // The queue has one place; once the first request is in it, the second finds none.
    within(async {
        while a.inbound.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = within(b.network.request(peer, question(root))).await;
    assert!(matches!(second, Ok(Response::Busy { retry_ms: 1.. })));
    a.serve_one().await;
    assert_eq!(within(first).await.unwrap(), Ok(Response::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_peer_is_unreachable() {
    let a = start(memory()).await;
    let peer = PeerId::random();
    let answer = within(a.network.request(peer, question(root("nobody")))).await;
    assert_eq!(answer, Err(RequestError::Unreachable { peer }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_before_it_answers_is_an_error() {
    let mut a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    b.connected(1).await;
    let (peer, asker) = (a.network.peer_id(), b.network.clone());
    let answer = tokio::spawn(async move { asker.request(peer, question(root("cut"))).await });
    let inbound = within(a.inbound.recv()).await.unwrap();
    let mut events = b.network.events();
    a.stop().await;
    assert_eq!(
        within(answer).await.unwrap(),
        Err(RequestError::ConnectionClosed { peer })
    );
    assert_eq!(
        within(events.recv()).await,
        Ok(NetworkEvent::Disconnected(peer))
    );
    assert!(!inbound.reply.is_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_travel_over_tcp_and_over_quic() {
    let sockets = |listen: &[&str]| NetworkConfig {
        listen: listen
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        mdns: false,
        transport: TransportKind::Sockets,
        ..NetworkConfig::default()
    };
    let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let mut a = start(sockets(&listen)).await;
    let addresses = a.network.addresses().await;
    assert_eq!(addresses.len(), 2, "each transport has its port by now");
    for address in addresses {
        let b = start(sockets(&[])).await;
        assert_eq!(
            b.network.connect(address.clone()).await,
            Ok(a.network.peer_id())
        );
        let (peer, asker) = (a.network.peer_id(), b.network.clone());
        let answer = tokio::spawn(async move { asker.request(peer, question(root("x"))).await });
        a.serve_one().await;
        assert_eq!(
            within(answer).await.unwrap(),
            Ok(Response::NotFound),
            "{address}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_stream_carries_bytes_both_ways() {
    let mut a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    b.connected(1).await;
    let mut near = within(b.network.open_bulk(a.network.peer_id()))
        .await
        .unwrap();
    near.write_all(b"ping").await.unwrap();
    near.flush().await.unwrap();
    let (peer, mut far) = within(a.streams.recv()).await.unwrap();
    assert_eq!(peer, b.network.peer_id());
    let mut heard = [0; 4];
    within(far.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"ping");
    far.write_all(b"pong").await.unwrap();
    far.close().await.unwrap();
    let mut rest = Vec::new();
    within(near.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_stream_to_nobody_is_refused() {
    let a = start(memory()).await;
    let refused = within(a.network.open_bulk(PeerId::random())).await;
    assert!(
        matches!(refused, Err(StreamError::Broken(_))),
        "{refused:?}"
    );
}
