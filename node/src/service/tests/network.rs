//! Contents between nodes, and between a node and a command without one, over TCP on loopback.

use store::repo::{Repo, RepoOptions};

use super::*;
use crate::api::message::{Share, SwarmRequest};
use crate::link::Link;
use crate::node::Node;

fn node(repo: &Path) -> Node {
    Node::start(config(), Repo::open(repo, &RepoOptions::default()).unwrap()).unwrap()
}

/// Asks whoever holds `repo`.
fn ask_at(repo: &Path, request: &Request) -> Vec<Event> {
    let mut client = Client::connect(repo).unwrap();
    client.send(request).unwrap();
    answers(&mut client)
}

fn add_at(repo: &Path, bytes: &[u8]) -> Added {
    add_with(options(), repo, bytes)
}

fn add_with(options: AddOptions, repo: &Path, bytes: &[u8]) -> Added {
    let mut client = Client::connect(repo).unwrap();
    client.send(&Request::Add(options)).unwrap();
    let file = file_of(bytes);
    client
        .send_step(&Step::file("a"), Some(file.as_fd()))
        .unwrap();
    client.send_step(&Step::Finish, None).unwrap();
    added(&answers(&mut client))
}

fn bytes_of(events: &[Event]) -> Vec<u8> {
    assert_eq!(events.last(), Some(&Event::Done));
    let data = events.iter().filter_map(|event| match event {
        Event::Piece(Piece::Data(data)) => Some(data.to_vec()),
        _ => None,
    });
    data.flatten().collect()
}

fn at(target: &str, node: &Node) -> Content {
    Content {
        addresses: node.addresses(),
        timeout: LONG,
        target: target.into(),
    }
}

#[test]
fn a_command_without_a_node_gets_from_a_node_and_keeps_what_it_got() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = node(dirs[0].path());
    let bytes = sample(1 << 20);
    let root = add_at(dirs[0].path(), &bytes).cid.to_string();

    let host = host(dirs[1].path());
    let got = ask(&host, &Request::Get(at(&root, &node)));
    assert_eq!(bytes_of(&got), bytes);
    node.shutdown().unwrap();
    // Now from its own repo.
    assert_eq!(bytes_of(&ask(&host, &Request::Get(content(root)))), bytes);
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_node_gets_by_a_link_and_serves_others_in_turn() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let [first, second] = [node(dirs[0].path()), node(dirs[1].path())];
    let bytes = sample(300_000);
    let target = add_at(dirs[0].path(), &bytes).cid.to_string();
    let share = |at: usize| {
        let share = Share {
            target: target.clone(),
        };
        match &ask_at(dirs[at].path(), &Request::Share(share))[..] {
            [Event::Item(Item::Link(link)), Event::Done] => link.link.clone(),
            other => panic!("no link: {other:?}"),
        }
    };
    let link = share(0);
    assert_eq!(link.parse::<Link>().unwrap().addresses, first.addresses());
    let by_link = |link| {
        Request::Get(Content {
            timeout: LONG,
            ..content(link)
        })
    };
    assert_eq!(bytes_of(&ask_at(dirs[1].path(), &by_link(link))), bytes);
    let link = share(1);
    first.shutdown().unwrap();

    let third = host(dirs[2].path());
    assert_eq!(bytes_of(&ask(&third, &by_link(link))), bytes);
    third.shutdown(LONG).unwrap();
    second.shutdown().unwrap();
}

#[test]
fn a_part_of_a_remote_file_is_read_and_a_pin_fetches_the_rest() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = node(dirs[0].path());
    let bytes = sample(200_000);
    let root = add_at(dirs[0].path(), &bytes).cid;
    let host = host(dirs[1].path());
    let cat = Cat {
        content: at(&root.to_string(), &node),
        offset: 5_000,
        length: Some(10),
    };
    assert_eq!(
        bytes_of(&ask(&host, &Request::Cat(cat))),
        bytes[5_000..5_010]
    );
    let part = blocks(&host);
    assert!(part < 10, "{part} blocks for ten bytes");
    let pin = PinRequest::Add {
        content: at(&root.to_string(), &node),
        direct: false,
        marks: PinMarks::default(),
    };
    let events = ask(&host, &Request::Pin(pin));
    assert!(
        matches!(events[..], [Event::Item(Item::Pin(_)), Event::Done]),
        "{events:?}"
    );
    assert!(blocks(&host) > 190);
    host.shutdown(LONG).unwrap();
    node.shutdown().unwrap();
}

#[test]
fn what_nobody_has_is_not_found_or_stalls_within_its_time() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = node(dirs[0].path());
    let host = host(dirs[1].path());
    let nowhere = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let timeout = Duration::from_secs(1);
    let events = ask(
        &host,
        &Request::Get(Content {
            timeout,
            ..at(nowhere, &node)
        }),
    );
    let kind = failed(&events).kind;
    assert!(
        matches!(kind, FailureKind::NotFound | FailureKind::Stalled),
        "{events:?}"
    );
    let providers = SwarmRequest::Providers {
        cid: nowhere.parse().unwrap(),
        timeout,
    };
    let events = ask(&host, &Request::Swarm(providers));
    assert_eq!(failed(&events).kind, FailureKind::NotFound);
    host.shutdown(LONG).unwrap();
    node.shutdown().unwrap();
}

#[test]
fn a_client_that_goes_while_it_waits_cancels_its_download() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let mut client = host.client().unwrap();
    let nowhere = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    // Takes connections, and never says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let (timeout, addresses) = (
        Duration::from_secs(24 * 3600),
        vec![address.parse().unwrap()],
    );
    client
        .send(&Request::Get(Content {
            addresses,
            timeout,
            ..content(nowhere)
        }))
        .unwrap();
    // First it looks at what is here.
    while matches!(client.next().unwrap(), Some(Event::Progress(_))) {}
    drop(client);
    assert_eq!(host.shutdown(LONG).unwrap(), 0);
}

/// Flips a bit in the last block of `bytes`, wherever the repo's files have it.
fn rot(repo: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let block = &bytes[bytes.len() - 1024..];
    let files = std::fs::read_dir(repo.join("db")).unwrap();
    for path in files.map(|file| file.unwrap().path()) {
        let content = std::fs::read(&path).unwrap();
        if let Some(at) = content
            .windows(block.len())
            .position(|window| window == block)
        {
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[block[500] ^ 4], at as u64 + 500)
                .unwrap();
            return;
        }
    }
    panic!("the block is in no file");
}

#[test]
fn a_rotten_block_is_corrupt_alone_and_mended_by_a_peer() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = node(dirs[0].path());
    // More than an add logs: it lies in files of blobs.
    let bytes = sample(33 << 20);
    let mut coarse = options();
    coarse.shape.chunker = None;
    let root = add_with(coarse.clone(), dirs[0].path(), &bytes)
        .cid
        .to_string();
    let first = host(dirs[1].path());
    add_with(coarse, dirs[1].path(), &bytes);
    first.shutdown(LONG).unwrap();
    rot(dirs[1].path(), &bytes);

    let host = host(dirs[1].path());
    let timeout = Duration::from_secs(1);
    let alone = ask(
        &host,
        &Request::Get(Content {
            timeout,
            ..content(root.clone())
        }),
    );
    assert_eq!(failed(&alone).kind, FailureKind::Corrupt);
    assert_eq!(
        bytes_of(&ask(&host, &Request::Get(at(&root, &node)))),
        bytes
    );
    assert_eq!(bytes_of(&ask(&host, &Request::Get(content(root)))), bytes);
    host.shutdown(LONG).unwrap();
    node.shutdown().unwrap();
}

/// Whatever shapes the blocks, another node fetches them: a range first, which costs a part, then all.
#[test]
fn contents_of_every_shape_are_fetched_from_others() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = node(dirs[0].path());
    let host = host(dirs[1].path());
    for (i, shape) in (0_u8..).zip(shapes()) {
        // No two share a block.
        let bytes: Vec<u8> = sample(200_000).into_iter().map(|byte| byte ^ i).collect();
        let said = format!("{shape:?}");
        // Where leaves are in their nodes, a Manifest brings some of them ahead.
        let ahead = if shape.inline == Some(128) { 100 } else { 40 };
        let wrapped = AddOptions {
            shape,
            wrap: true,
            ..options()
        };
        let root = add_with(wrapped, dirs[0].path(), &bytes).cid.to_string();
        let before = blocks(&host);
        let cat = Cat {
            content: at(&format!("{root}/a"), &node),
            offset: 150_000,
            length: Some(1000),
        };
        let part = bytes_of(&ask(&host, &Request::Cat(cat)));
        assert_eq!(part, bytes[150_000..151_000], "{said}");
        let cost = blocks(&host) - before;
        assert!(cost < ahead, "{said}: {cost} blocks for a thousand bytes");
        let whole = bytes_of(&ask(&host, &Request::Get(at(&root, &node))));
        assert_eq!(whole, bytes, "{said}");
    }
    node.shutdown().unwrap();
    host.shutdown(LONG).unwrap();
}

fn shapes() -> Vec<Shape> {
    let small = || Shape {
        max_file_links: Some(16),
        ..options().shape
    };
    let trickle = || Shape {
        trickle: true,
        ..small()
    };
    let hashed = |hash: &str| Shape {
        hash: Some(hash.into()),
        ..small()
    };
    let inlined = |limit, chunk: &str| Shape {
        inline: Some(limit),
        chunker: Some(chunk.into()),
        ..small()
    };
    vec![
        small(),
        trickle(),
        Shape {
            raw_leaves: Some(false),
            ..trickle()
        },
        Shape {
            raw_leaves: Some(false),
            ..small()
        },
        Shape {
            cid_version: Some(0),
            raw_leaves: Some(false),
            ..small()
        },
        Shape {
            cid_version: Some(0),
            raw_leaves: Some(true),
            ..trickle()
        },
        hashed("sha2-512"),
        hashed("sha3-256"),
        hashed("blake2b-256"),
        hashed("blake3"),
        // Every leaf is in its parent.
        inlined(128, "size-128"),
        // Only the last one is.
        inlined(64, "size-1024"),
        Shape {
            trickle: true,
            raw_leaves: Some(false),
            ..inlined(128, "size-100")
        },
        Shape {
            chunker: Some("rabin-256-512-2048".into()),
            ..small()
        },
    ]
}

fn blocks(host: &Host) -> u64 {
    match &ask(host, &Request::Stat(StatRequest::Repo { usage: false }))[0] {
        Event::Item(Item::Repo(stat)) => stat.blocks,
        other => panic!("no stat: {other:?}"),
    }
}
