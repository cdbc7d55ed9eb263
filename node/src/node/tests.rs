use std::path::Path;
use std::thread;

use super::*;
use crate::api::client::Client;
use crate::api::message::{Event, Item, MembershipRequest, Request, Share, SwarmRequest};
use crate::swarm_key::SwarmKey;
use store::repo::RepoOptions;

/// Well over what any wait here takes.
const LONG: Duration = Duration::from_secs(30);

fn config() -> Config {
    let mut config = Config::default();
    config.network.mdns = false;
    config.network.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config
}

fn start(repo: &Path, config: Config) -> Node {
    Node::start(config, Repo::open(repo, &RepoOptions::default()).unwrap()).unwrap()
}

/// The answers of a node to a command, as the command gets them over the repo's socket.
fn ask(repo: &Path, request: &Request) -> Vec<Event> {
    let mut client = Client::connect(repo).unwrap();
    client.send(request).unwrap();
    let mut events = Vec::new();
    while let Some(event) = client.next().unwrap() {
        if !matches!(event, Event::Waiting { .. }) {
            events.push(event);
        }
    }
    events
}

#[test]
fn two_nodes_connect_and_tell_who_they_are() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let nodes = [
        start(dirs[0].path(), config()),
        start(dirs[1].path(), config()),
    ];

    let events = ask(dirs[0].path(), &Request::Swarm(SwarmRequest::Id));
    let [Event::Item(Item::Id(id)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (id.peer, &id.addresses),
        (nodes[0].peer_id(), &nodes[0].addresses())
    );

    let address = nodes[0].addresses()[0].clone();
    let events = ask(
        dirs[1].path(),
        &Request::Swarm(SwarmRequest::Connect { address }),
    );
    let [Event::Item(Item::Connected(connected)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(connected.peer, nodes[0].peer_id());
    let events = ask(dirs[1].path(), &Request::Swarm(SwarmRequest::Peers));
    let [Event::Item(Item::Peer(peer)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((peer.peer, peer.inbound), (nodes[0].peer_id(), false));

    for node in nodes {
        let begun = Instant::now();
        node.shutdown().unwrap();
        assert!(begun.elapsed() < SHUTDOWN);
    }
    // The repo is free, and the node is the same as before.
    drop(Repo::open(dirs[0].path(), &RepoOptions::default()).unwrap());
}

#[test]
fn a_node_that_cannot_listen_says_so_and_frees_its_repo() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = start(dirs[0].path(), config());
    let mut taken = config();
    let mut address = first.addresses()[0].clone();
    address.pop();
    taken.network.listen = vec![address];
    let repo = Repo::open(dirs[1].path(), &RepoOptions::default()).unwrap();
    let error = Node::start(taken, repo).unwrap_err();
    assert!(matches!(error, NodeError::Network(_)), "{error}");
    drop(Repo::open(dirs[1].path(), &RepoOptions::default()).unwrap());
    first.shutdown().unwrap();
}

#[test]
fn metrics_are_served_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.metrics.address = "127.0.0.1:0".parse().unwrap();
    let node = start(dir.path(), config);
    let mut socket = std::net::TcpStream::connect(node.metrics_address().unwrap()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    io::Write::write_all(&mut socket, b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    let answer = io::read_to_string(socket).unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    node.shutdown().unwrap();
}

#[test]
fn what_is_not_here_cannot_be_shared() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), config());
    let target = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".to_owned();
    let events = ask(dir.path(), &Request::Share(Share { target }));
    let [Event::Failed(failure)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(failure.kind.exit_code(), 3);
    node.shutdown().unwrap();
}

fn join(repo: &Path, key: &SwarmKey) {
    let key = key.clone();
    let events = ask(repo, &Request::Membership(MembershipRequest::Join { key }));
    assert!(
        matches!(events[..], [Event::Item(_), Event::Done]),
        "{events:?}"
    );
}

fn connect(repo: &Path, node: &Node) -> Result<(), String> {
    let address = node.addresses()[0].clone();
    let mut client = Client::connect(repo).unwrap();
    client
        .send(&Request::Swarm(SwarmRequest::Connect { address }))
        .unwrap();
    loop {
        match client.next().unwrap() {
            Some(Event::Done) => return Ok(()),
            Some(Event::Failed(failure)) => return Err(failure.to_string()),
            _ => {}
        }
    }
}

#[test]
fn who_gets_another_key_leaves_at_once_and_stays_where_it_was() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let listens = |listen: &str| {
        let mut config = config();
        config.network.listen.push(listen.parse().unwrap());
        config.metrics.address = "127.0.0.1:0".parse().unwrap();
        config
    };
    let quic = "/ip4/127.0.0.1/udp/0/quic-v1";
    let [one, other] = [0, 1].map(|n| start(dirs[n].path(), listens(quic)));
    let [at_one, at_other] = [dirs[0].path(), dirs[1].path()];
    let had = one.addresses();
    assert_eq!(had.len(), 2);

    let key = SwarmKey::generate();
    join(at_one, &key);
    assert_eq!(one.addresses(), had, "on the same ports");
    assert!(
        connect(at_other, &one).is_err(),
        "it is of no private swarm"
    );
    join(at_other, &key);
    connect(at_other, &one).unwrap();

    // The key of one is replaced: both are alone at once.
    let began = Instant::now();
    join(at_one, &SwarmKey::generate());
    assert!(one.joined.peers().is_empty());
    while !other.joined.peers().is_empty() {
        assert!(began.elapsed() < LONG, "it is still connected");
        thread::yield_now();
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(connect(at_other, &one).is_err());

    // Nodes did not end by moving, and end well.
    assert!(one.run_until(std::future::ready(())).is_some());
    for node in [one, other] {
        node.shutdown().unwrap();
    }
}
