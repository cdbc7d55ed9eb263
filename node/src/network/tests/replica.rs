//! Questions of replication between real nodes.

use std::net::TcpListener;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use store::segment::SegmentId;
use store::wire::replica::{ReplicaRequest, ReplicaResponse, Told};

use super::fixture::{knowing, memory, start, within};
use crate::network::{NetworkConfig, RequestError, Role};
use crate::transport::TransportKind;

fn question() -> ReplicaRequest {
    ReplicaRequest::Check(vec![Told {
        segment: SegmentId([7; 32]),
        is_pinned: false,
        holders: Vec::new(),
    }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_gets_its_answer_both_ways_and_a_client_is_asked_too() {
    let mut a = start(memory()).await;
    let client = NetworkConfig {
        role: Role::Client,
        ..knowing(&a).await
    };
    let mut b = start(client).await;
    b.connected(1).await;
    a.connected(1).await;
    for _ in 0..2 {
        let (from, peer) = (b.network.clone(), a.network.peer_id());
        let answer = tokio::spawn(async move { from.ask_replica(peer, question()).await });
        let asked = within(a.replica.recv()).await.unwrap();
        assert_eq!(asked.peer, b.network.peer_id());
        assert_eq!(asked.request, question());
        let noted = ReplicaResponse::Noted;
        a.network.respond_replica(asked.reply, noted.clone()).await;
        assert_eq!(within(answer).await.unwrap(), Ok(noted));
        std::mem::swap(&mut a, &mut b);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_dialed_for_a_question() {
    let mut a = start(memory()).await;
    let b = start(memory()).await;
    let peer = a.network.peer_id();
    b.network.remember(peer, a.network.addresses().await).await;
    let ask = b.network.ask_replica(peer, question());
    let serve = async {
        let asked = within(a.replica.recv()).await.unwrap();
        let refused = ReplicaResponse::Refused;
        a.network.respond_replica(asked.reply, refused).await;
    };
    let (answer, ()) = tokio::join!(within(ask), serve);
    assert_eq!(answer, Ok(ReplicaResponse::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_busy() {
    let mut a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    let peer = a.network.peer_id();
    b.connected(1).await;
    let from = b.network.clone();
    let first = tokio::spawn(async move { from.ask_replica(peer, question()).await });
    // The queue has one place; once the first question is in it, the second finds none.
    within(async {
        while a.replica.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = within(b.network.ask_replica(peer, question())).await;
    assert_eq!(second, Ok(ReplicaResponse::Busy));
    let asked = within(a.replica.recv()).await.unwrap();
    let noted = ReplicaResponse::Noted;
    a.network.respond_replica(asked.reply, noted.clone()).await;
    assert_eq!(within(first).await.unwrap(), Ok(noted));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_peer_is_unreachable() {
    let a = start(memory()).await;
    let peer = PeerId::random();
    let answer = within(a.network.ask_replica(peer, question())).await;
    assert_eq!(answer, Err(RequestError::Unreachable { peer }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_dropped_or_cannot_be_written_is_an_error() {
    let mut a = start(memory()).await;
    let b = start(knowing(&a).await).await;
    let peer = a.network.peer_id();
    b.connected(1).await;
    let from = b.network.clone();
    let answer = tokio::spawn(async move { from.ask_replica(peer, question()).await });
    drop(within(a.replica.recv()).await.unwrap());
    assert!(within(answer).await.unwrap().is_err());
    let unsound = ReplicaRequest::Wrong {
        segment: SegmentId([7; 32]),
        leaves: Vec::new(),
    };
    let answer = within(b.network.ask_replica(peer, unsound)).await;
    assert!(
        matches!(answer, Err(RequestError::Malformed { .. })),
        "{answer:?}"
    );
    assert!(a.replica.is_empty(), "it was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_under_way_are_bounded() {
    let sockets = NetworkConfig {
        listen: Vec::new(),
        transport: TransportKind::Sockets,
        ..memory()
    };
    let a = start(sockets).await;
    // It takes connections and says nothing, so all questions wait for its handshake.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let at = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let peer = PeerId::random();
    a.network.remember(peer, vec![at]).await;
    let questions = (0..129).map(|_| a.network.ask_replica(peer, question()));
    let mut answers: FuturesUnordered<_> = questions.collect();
    let first = within(answers.next()).await;
    assert_eq!(first, Some(Err(RequestError::TooMany { limit: 128 })));
}
