mod copies;
mod network;
mod pin;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use store::unixfs::data::Metadata;
use store::unixfs::{Name, Piece};

use super::*;
use crate::api::client::{Client, ClientError};
use crate::api::message::{
    AddOptions, Added, Cat, Content, CopiesAsked, Event, FailureKind, Item, Kind, Ls, Pin,
    PinFilter, PinMarks, PinRequest, PinType, Shape, StatRequest, Step,
};
use crate::node::{Host, Reached, reach};

/// Far more than any of this takes.
const LONG: Duration = Duration::from_secs(30);

/// On loopback, where nobody is found but who is named.
fn config() -> Config {
    let mut config = Config::default();
    config.network.mdns = false;
    config.network.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config
}

fn host(repo: &Path) -> Host {
    let Reached::Host(host) = reach(repo, &config()).unwrap() else {
        panic!("in use")
    };
    host
}

fn options() -> AddOptions {
    AddOptions {
        shape: Shape {
            profile: "unixfs-v1-2025".into(),
            chunker: Some("size-1024".into()),
            ..Shape::default()
        },
        wrap: false,
        wrapper: Metadata::NONE,
        empty_dirs: true,
        only_hash: false,
        no_pin: false,
        cache: true,
        no_copy: false,
        reflink: None,
        measure: None,
        copies: CopiesAsked::default(),
        pin: PinMarks {
            name: Some("test".into()),
            ..PinMarks::default()
        },
    }
}

fn content(target: impl Into<String>) -> Content {
    Content {
        target: target.into(),
        addresses: Vec::new(),
        timeout: Duration::from_secs(1),
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

fn name(name: &str) -> Name {
    Name::from(name)
}

/// What a conversation answered, without how far it was.
fn answers(client: &mut Client) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = client.next().unwrap() {
        if !matches!(event, Event::Progress(_) | Event::Waiting { .. }) {
            events.push(event);
        }
    }
    events
}

fn ask(host: &Host, request: &Request) -> Vec<Event> {
    let mut client = host.client().unwrap();
    client.send(request).unwrap();
    answers(&mut client)
}

/// Adds a directory `tree` with a file `a` of these bytes, an empty directory and a symlink.
fn add_tree(host: &Host, options: AddOptions, bytes: &[u8]) -> Vec<Event> {
    let mut client = host.client().unwrap();
    client.send(&Request::Add(options)).unwrap();
    let file = file_of(bytes);
    client.send_step(&Step::dir("tree"), None).unwrap();
    client
        .send_step(&Step::file("a"), Some(file.as_fd()))
        .unwrap();
    client.send_step(&Step::dir("empty"), None).unwrap();
    client.send_step(&Step::End, None).unwrap();
    client.send_step(&Step::symlink("link", "a"), None).unwrap();
    client.send_step(&Step::End, None).unwrap();
    client.send_step(&Step::Finish, None).unwrap();
    answers(&mut client)
}

fn added(events: &[Event]) -> Added {
    match events {
        [Event::Item(Item::Added(added)), Event::Done] => added.clone(),
        other => panic!("not one thing added: {other:?}"),
    }
}

fn failed(events: &[Event]) -> &Failure {
    match events.last() {
        Some(Event::Failed(failure)) => failure,
        other => panic!("did not fail: {other:?}"),
    }
}

fn all_pins() -> PinRequest {
    PinRequest::Ls {
        cids: Vec::new(),
        filter: PinFilter::default(),
        kind: PinType::All,
    }
}

fn pins(host: &Host) -> Vec<Pin> {
    let mut events = ask(host, &Request::Pin(all_pins()));
    assert_eq!(events.pop(), Some(Event::Done));
    let pin = |event| match event {
        Event::Item(Item::Pin(pin)) => pin,
        other => panic!("no pin: {other:?}"),
    };
    events.into_iter().map(pin).collect()
}

fn rm(root: Cid) -> PinRequest {
    PinRequest::Rm {
        cids: vec![root],
        filter: PinFilter::default(),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "less than 251")]
fn sample(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| ((i * 31 + i / 1024) % 251) as u8)
        .collect()
}

#[test]
fn what_is_added_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let bytes = sample(10_000);
    let added = added(&add_tree(&host, options(), &bytes));
    assert_eq!(
        (added.name, added.kind, added.size),
        (name("tree"), Kind::Directory, 10_000)
    );

    let events = ask(&host, &Request::Get(content(added.cid.to_string())));
    let Event::Found(found) = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!((found.cid, found.kind), (added.cid, Kind::Directory));
    let mut got = Vec::new();
    let mut shape = Vec::new();
    for event in &events[1..events.len() - 1] {
        match event {
            Event::Piece(Piece::Data(data)) => got.extend_from_slice(data),
            Event::Piece(piece) => shape.push(piece.clone()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, bytes);
    let expected = [
        Piece::dir(""),
        Piece::file("a", 10_000),
        Piece::End,
        Piece::dir("empty"),
        Piece::End,
        Piece::symlink("link", "a"),
        Piece::End,
    ];
    assert_eq!(shape, expected);

    host.shutdown(LONG).unwrap();
}

#[test]
fn parts_of_a_tree_are_read_by_path_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let bytes = sample(10_000);
    let added = added(&add_tree(&host, options(), &bytes));
    let target = content(format!("{}/a", added.cid));
    let cat = Cat {
        content: target,
        offset: 1000,
        length: Some(3000),
    };
    let data = ask(&host, &Request::Cat(cat))
        .into_iter()
        .filter_map(|event| match event {
            Event::Piece(Piece::Data(data)) => Some(data),
            _ => None,
        });
    assert_eq!(data.flatten().collect::<Vec<_>>(), bytes[1000..4000]);

    let ls = Ls {
        content: content(added.cid.to_string()),
        resolve: true,
    };
    let kinds: Vec<_> = ask(&host, &Request::Ls(ls))
        .into_iter()
        .filter_map(|event| match event {
            Event::Item(Item::Entry(entry)) => Some((entry.name, entry.kind.unwrap(), entry.size)),
            _ => None,
        })
        .collect();
    let expected = [
        (name("a"), Kind::File, Some(10_000)),
        (name("empty"), Kind::Directory, None),
        (name("link"), Kind::Symlink, Some(1)),
    ];
    assert_eq!(kinds, expected);
    host.shutdown(LONG).unwrap();
}

#[test]
fn what_is_added_is_pinned_and_survives_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let first = host(dir.path());
    let root = added(&add_tree(&first, options(), b"kept")).cid;
    first.shutdown(LONG).unwrap();

    let second = host(dir.path());
    let [pin] = &pins(&second)[..] else {
        panic!("not one pin")
    };
    assert_eq!((pin.cid, pin.name.as_deref()), (root, Some("test")));
    assert!(matches!(
        ask(&second, &Request::Get(content(root.to_string()))).last(),
        Some(Event::Done)
    ));
    let events = ask(&second, &Request::Pin(rm(root)));
    assert!(
        matches!(events[..], [Event::Item(Item::Pin(_)), Event::Done]),
        "{events:?}"
    );
    assert_eq!(pins(&second), []);
    let add = PinRequest::Add {
        content: content(root.to_string()),
        direct: false,
        marks: PinMarks::default(),
    };
    ask(&second, &Request::Pin(add));
    assert_eq!(pins(&second).len(), 1);
    second.shutdown(LONG).unwrap();
}

#[test]
fn only_hash_says_the_same_cid_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let only_hash = AddOptions {
        only_hash: true,
        ..options()
    };
    let hashed = added(&add_tree(&host, only_hash, b"bytes"));
    let events = ask(&host, &Request::Stat(StatRequest::Repo { usage: false }));
    let Event::Item(Item::Repo(stat)) = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!((stat.blocks, stat.pins), (0, 0));
    assert_eq!(added(&add_tree(&host, options(), b"bytes")), hashed);
    host.shutdown(LONG).unwrap();
}

#[test]
fn no_pin_stores_and_does_not_keep() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let no_pin = AddOptions {
        no_pin: true,
        ..options()
    };
    let root = added(&add_tree(&host, no_pin, b"bytes")).cid;
    assert_eq!(pins(&host), []);
    let events = ask(&host, &Request::Stat(StatRequest::Block { cid: root }));
    assert!(matches!(&events[0], Event::Item(Item::Block(block)) if block.size.is_some()));
    host.shutdown(LONG).unwrap();
    let repo = Repo::open(dir.path(), &store::repo::RepoOptions::default()).unwrap();
    let cached = repo.cached().oldest_first().unwrap();
    assert_eq!(cached.len(), 1, "it stays as cache: {cached:?}");
    assert_eq!(cached[0].root, root);
}

#[test]
fn a_client_that_cannot_read_its_files_adds_nothing_and_hears_why() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let mut client = host.client().unwrap();
    client.send(&Request::Add(options())).unwrap();
    client.send_step(&Step::dir("tree"), None).unwrap();
    let message = "cannot open `tree/a`: permission denied".to_owned();
    client
        .send_step(
            &Step::Failed {
                message: message.clone(),
            },
            None,
        )
        .unwrap();
    let events = answers(&mut client);
    assert_eq!(failed(&events).message, message);
    assert_eq!(pins(&host), []);
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_refused_client_may_go_on_sending_and_hears_why() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let mut client = host.client().unwrap();
    client.send(&Request::Add(options())).unwrap();
    let file = file_of(b"");
    // Directories have no open files: refused, while more steps come than the socket holds.
    client
        .send_step(&Step::dir("d"), Some(file.as_fd()))
        .unwrap();
    let ended = std::iter::repeat_with(|| {
        client.send_step(&Step::symlink("s", "t".repeat(1000).as_str()), None)
    })
    .find_map(Result::err);
    assert!(matches!(ended, Some(ClientError::Ended)), "{ended:?}");
    let events = answers(&mut client);
    assert_eq!(failed(&events).kind, FailureKind::Usage);
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_file_leaves_nothing_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let mut client = host.client().unwrap();
    client.send(&Request::Add(options())).unwrap();
    // A file that never ends: only the client's going ends it.
    let zero = File::open("/dev/zero").unwrap();
    let no_store = Step::file("zero");
    client.send_step(&no_store, Some(zero.as_fd())).unwrap();
    assert!(matches!(client.next().unwrap(), Some(Event::Progress(_))));
    drop(client);
    // Ends what runs, without hanging up: it had ended by itself.
    assert_eq!(host.shutdown(LONG).unwrap(), 0);
    let host = self::host(dir.path());
    assert_eq!(pins(&host), []);
    host.shutdown(LONG).unwrap();
}

#[test]
fn nonsense_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    for target in ["hello", "bafkqabtimvwgy3yk/..", "store://nothing"] {
        let events = ask(&host, &Request::Get(content(target)));
        assert_eq!(failed(&events).kind, FailureKind::Usage, "{target}");
    }
    let bad = AddOptions {
        shape: Shape {
            profile: "best".into(),
            ..Shape::default()
        },
        ..options()
    };
    let mut client = host.client().unwrap();
    client.send(&Request::Add(bad)).unwrap();
    assert_eq!(failed(&answers(&mut client)).kind, FailureKind::Usage);
    let cat = Cat {
        content: content("bafyaabakaieac"),
        offset: 0,
        length: None,
    };
    let events = ask(&host, &Request::Cat(cat));
    assert!(
        failed(&events).message.contains("is a directory"),
        "{events:?}"
    );
    host.shutdown(LONG).unwrap();
}
