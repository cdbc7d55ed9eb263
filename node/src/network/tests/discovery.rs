use store::wire::Response;

use super::fixture::{Home, knowing, memory, question, root, start, within};
use crate::network::{NetworkConfig, Role};

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_found_through_a_third_node_and_answers() {
    let c = start(memory()).await;
    let mut a = start(knowing(&c).await).await;
    let b = start(NetworkConfig {
        role: Role::Client,
        ..knowing(&c).await
    })
    .await;
    let root = root("through a third node");
    a.network.provide(root).await;
    b.find(root, &a).await;

    let (peer, asker) = (a.network.peer_id(), b.network.clone());
    let answer = tokio::spawn(async move { asker.request(peer, question(root)).await });
    let served = a.serve_one().await;
    assert_eq!(served.peer, b.network.peer_id());
    assert_eq!(served.request, question(root));
    assert_eq!(within(answer).await.unwrap(), Ok(Response::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_records_survive_a_restart_of_who_keeps_them() {
    let c = start(memory()).await;
    let a = start(knowing(&c).await).await;
    let b = start(knowing(&c).await).await;
    let root = root("kept over a restart");
    a.network.provide(root).await;
    b.find(root, &a).await;
    let kept = c.stop().await;

    let c = kept.start(memory()).await;
    let d = start(NetworkConfig {
        role: Role::Client,
        ..knowing(&c).await
    })
    .await;
    d.find(root, &a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_are_announced_again_after_a_restart() {
    let c = start(memory()).await;
    let a = start(knowing(&c).await).await;
    let root = root("announced again");
    a.network.provide(root).await;
    c.find(root, &a).await;
    let home = a.stop().await;
    c.stop().await;

    let fresh = start(memory()).await;
    let a = home.start(knowing(&fresh).await).await;
    fresh.find(root, &a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_no_longer_provided_is_not_announced_after_a_restart() {
    let (c, root) = (start(memory()).await, root("given up"));
    let a = start(knowing(&c).await).await;
    a.network.provide(root).await;
    a.network.stop_providing(root).await;
    let home = a.stop().await;
    let other = self::root("still here");
    let fresh = start(memory()).await;
    let a = home.start(knowing(&fresh).await).await;
    a.network.provide(other).await;
    // What is announced at all is announced by now.
    fresh.find(other, &a).await;
    let mut found = fresh.network.providers(root).await;
    assert_eq!(within(found.recv()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_came_before_any_peer_waits_for_one() {
    let c = start(memory()).await;
    let a = start(knowing(&c).await).await;
    let root = root("asked too early");
    a.network.provide(root).await;
    c.find(root, &a).await;

    let b = start(memory()).await;
    let mut found = b.network.providers(root).await;
    for address in c.network.addresses().await {
        b.network.connect(address).await.unwrap();
    }
    assert_eq!(
        within(found.recv()).await.map(|record| record.peer),
        Some(a.network.peer_id())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_tells_where_a_peer_is() {
    let c = start(memory()).await;
    let client = |config| NetworkConfig {
        role: Role::Client,
        ..config
    };
    // Clients are in nobody's routing table: only gossip can tell of them.
    let a = start(client(knowing(&c).await)).await;
    let b = start(client(knowing(&c).await)).await;
    let wanted = a.network.peer_id();
    within(async { while b.network.dial(wanted, Vec::new()).await != Ok(wanted) {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_peer_may_come_later() {
    let home = Home::new();
    let c = home.start(memory()).await;
    let addresses = c.network.addresses().await;
    let home = c.stop().await;
    let b = start(NetworkConfig {
        bootstrap: addresses.clone(),
        ..memory()
    })
    .await;
    let listen = addresses.iter().map(without_peer).collect();
    let c = home.start(NetworkConfig { listen, ..memory() }).await;
    b.connected(1).await;
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_address_needs_no_peer_id() {
    let c = start(memory()).await;
    let bootstrap = c
        .network
        .addresses()
        .await
        .iter()
        .map(without_peer)
        .collect();
    let b = start(NetworkConfig {
        bootstrap,
        ..memory()
    })
    .await;
    b.connected(1).await;
    assert_eq!(b.network.peers().await[0].peer, c.network.peer_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_remembered_over_a_restart() {
    let c = start(memory()).await;
    let b = start(knowing(&c).await).await;
    b.connected(1).await;
    let home = b.stop().await;
    let b = home.start(memory()).await;
    b.connected(1).await;
}

fn without_peer(address: &libp2p::Multiaddr) -> libp2p::Multiaddr {
    let mut address = address.clone();
    address.pop();
    address
}
