//! I8: a stranger gets nothing from a private swarm: not one answer of any protocol, on any transport, in
//! either direction.

use std::str::FromStr;

use futures::StreamExt;
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, MemoryTransport};
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, kad, noise, ping, quic, swarm, tcp, tls, yamux};
use store::wire::replica::ReplicaRequest;

use super::fixture::{Node, PATIENCE, memory, question, root, start, within};
use crate::exchange::codec::ChunkCodec;
use crate::framing::ReplicaCodec;
use crate::network::{ConnectError, NetworkConfig, NetworkEvent, NetworkName};
use crate::swarm_key::SwarmKey;
use crate::transport::TransportKind;

/// What members talk over.
const TRANSPORTS: [&str; 3] = [
    "/memory/0",
    "/ip4/127.0.0.1/tcp/0",
    "/ip4/127.0.0.1/udp/0/quic-v1",
];

/// A node that listens on `address`, of the private swarm with this key.
fn on(address: &str, key: Option<&SwarmKey>) -> NetworkConfig {
    NetworkConfig {
        listen: vec![address.parse().unwrap()],
        swarm_key: key.cloned(),
        transport: if address.starts_with("/memory") {
            TransportKind::Memory
        } else {
            TransportKind::Sockets
        },
        ..memory()
    }
}

async fn address(node: &Node) -> Multiaddr {
    node.network.addresses().await.remove(0)
}

/// Why `from` cannot connect to `to`.
async fn refused(from: &Node, to: &Node) -> String {
    match within(from.network.connect(address(to).await)).await {
        Err(ConnectError::Unreachable { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_over_every_transport() {
    let key = SwarmKey::generate();
    for over in TRANSPORTS {
        let mut a = start(on(over, Some(&key))).await;
        let b = start(on(over, Some(&key))).await;
        let peer = within(b.network.connect(address(&a).await)).await.unwrap();
        assert_eq!(peer, a.network.peer_id(), "{over}");
        a.connected(1).await;
        let content = root("secret");
        let ask = b.network.request(peer, question(content));
        let (answer, asked) = tokio::join!(ask, a.serve_one());
        assert_eq!(asked.peer, b.network.peer_id(), "{over}");
        assert!(answer.is_ok(), "{over}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_other_swarms_are_told_and_get_nothing() {
    let key = SwarmKey::generate();
    for over in TRANSPORTS {
        let a = start(on(over, Some(&key))).await;
        let mut events = a.network.events();
        let named = NetworkConfig {
            network: key.network(),
            ..on(over, None)
        };
        for open in [on(over, None), named] {
            let open = start(open).await;
            let reason = refused(&open, &a).await;
            assert!(reason.contains("closed the connection"), "{over}: {reason}");
            let reason = refused(&a, &open).await;
            assert!(reason.contains("private swarm"), "{over}: {reason}");
        }
        let other = start(on(over, Some(&SwarmKey::generate()))).await;
        for (from, to) in [(&other, &a), (&a, &other)] {
            let reason = refused(from, to).await;
            assert!(reason.contains("another key of it"), "{over}: {reason}");
        }
        assert!(a.network.peers().await.is_empty());
        while let Ok(event) = events.try_recv() {
            assert!(!matches!(event, NetworkEvent::Connected(_)), "{event:?}");
        }
    }
}

/// Everything that we speak, as libp2p makes it.
#[derive(NetworkBehaviour)]
struct Stranger {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kademlia: kad::Behaviour<MemoryStore>,
    gossip: gossipsub::Behaviour,
    exchange: request_response::Behaviour<ChunkCodec>,
    replica: request_response::Behaviour<ReplicaCodec>,
}

type Stock = Boxed<(PeerId, StreamMuxerBox)>;

/// libp2p's own transports: which one is decided by the address, and security by `secured`.
fn stock(key: &Keypair, secured: &str, over: &str) -> Stock {
    let tcp = tcp::tokio::Transport::default();
    if over.starts_with("/memory") {
        return MemoryTransport::new()
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
    }
    if over.contains("quic") {
        return quic::tokio::Transport::new(quic::Config::new(key))
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
    }
    if secured == "noise" {
        return tcp
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
    }
    tcp.upgrade(Version::V1)
        .authenticate(tls::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

/// A stranger who knows the name of the network, and wants to be answered at once.
fn stranger(network: &NetworkName, secured: &str, over: &str) -> Swarm<Stranger> {
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let topic = IdentTopic::new(network.announcements());
    let prefix = format!("/store/{}/meshsub", network.as_str());
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(prefix)
        .build()
        .unwrap();
    let signed = MessageAuthenticity::Signed(key.clone());
    let mut gossip = gossipsub::Behaviour::new(signed, config).unwrap();
    gossip.subscribe(&topic).unwrap();
    let behaviour = Stranger {
        identify: identify::Behaviour::new(identify::Config::new(network.identify(), key.public())),
        ping: ping::Behaviour::default(),
        kademlia: kad::Behaviour::with_config(
            peer,
            MemoryStore::new(peer),
            kad::Config::new(network.kad()),
        ),
        gossip,
        exchange: request_response::Behaviour::with_codec(
            ChunkCodec,
            [(network.chunk(), ProtocolSupport::Full)],
            request_response::Config::default(),
        ),
        replica: request_response::Behaviour::with_codec(
            ReplicaCodec::default(),
            [(network.replica(), ProtocolSupport::Full)],
            request_response::Config::default(),
        ),
    };
    let config = swarm::Config::with_tokio_executor();
    Swarm::new(stock(&key, secured, over), behaviour, peer, config)
}

/// The protocol by which a stranger was told something, if this is such an event.
fn told(event: &StrangerEvent) -> Option<&'static str> {
    match event {
        StrangerEvent::Identify(
            identify::Event::Received { .. }
            | identify::Event::Sent { .. }
            | identify::Event::Pushed { .. },
        ) => Some("identify"),
        StrangerEvent::Ping(ping::Event { result: Ok(_), .. }) => Some("ping"),
        StrangerEvent::Gossip(
            gossipsub::Event::Message { .. } | gossipsub::Event::Subscribed { .. },
        ) => Some("gossip"),
        StrangerEvent::Kademlia(
            kad::Event::RoutingUpdated { .. }
            | kad::Event::RoutablePeer { .. }
            | kad::Event::InboundRequest { .. },
        ) => Some("kad"),
        StrangerEvent::Exchange(request_response::Event::Message { .. }) => Some("chunk"),
        StrangerEvent::Replica(request_response::Event::Message { .. }) => Some("replica"),
        _ => None,
    }
}

/// Follows the stranger until its connection is gone; says whether it had one. Panics if it was told
/// anything.
async fn until_gone(stranger: &mut Swarm<Stranger>) -> bool {
    let content = root("secret");
    loop {
        match stranger.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let exchange = &mut stranger.behaviour_mut().exchange;
                exchange.send_request(&peer_id, question(content));
                let replica = &mut stranger.behaviour_mut().replica;
                replica.send_request(&peer_id, ReplicaRequest::Retract(Vec::new()));
            }
            SwarmEvent::ConnectionClosed { .. } => return true,
            SwarmEvent::OutgoingConnectionError { .. } => return false,
            SwarmEvent::Behaviour(event) => assert_eq!(told(&event), None),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_stranger_gets_not_one_answer_of_any_protocol() {
    let key = SwarmKey::generate();
    for over in TRANSPORTS {
        for secured in ["tls", "noise"] {
            for name in [key.network(), NetworkName::default()] {
                let mut a = start(on(over, Some(&key))).await;
                let mut events = a.network.events();
                let mut stranger = stranger(&name, secured, over);

                // It dials.
                stranger.dial(address(&a).await).unwrap();
                let had_one = within(until_gone(&mut stranger)).await;
                assert!(had_one, "{over}: it came as far as the proof");

                // It is dialed.
                stranger
                    .listen_on(Multiaddr::from_str(over).unwrap())
                    .unwrap();
                let at = within(async {
                    loop {
                        if let SwarmEvent::NewListenAddr { address, .. } =
                            stranger.select_next_some().await
                        {
                            return address;
                        }
                    }
                })
                .await;
                let reason = tokio::select! {
                    connected = a.network.connect(at) => connected.unwrap_err().to_string(),
                    () = async { loop { until_gone(&mut stranger).await; } } => unreachable!(),
                };
                assert!(reason.contains("private swarm"), "{over}: {reason}");

                assert!(a.network.peers().await.is_empty());
                assert!(a.inbound.try_recv().is_err(), "its request came through");
                assert!(a.replica.try_recv().is_err(), "its question came through");
                while let Ok(event) = events.try_recv() {
                    assert!(!matches!(event, NetworkEvent::Connected(_)), "{event:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_node_answers_the_same_stranger() {
    // So that the test above can fail: the stranger is one who gets answers where there are any.
    for over in TRANSPORTS {
        let a = start(on(over, None)).await;
        let mut stranger = stranger(&NetworkName::default(), "tls", over);
        stranger.dial(address(&a).await).unwrap();
        let mut missing = vec!["identify", "ping", "kad", "gossip"];
        let answers = async {
            while !missing.is_empty() {
                if let SwarmEvent::Behaviour(event) = stranger.select_next_some().await {
                    missing.retain(|protocol| told(&event) != Some(*protocol));
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, answers).await.is_err();
        assert!(!late, "{over}: no answer of {missing:?}");
    }
}
