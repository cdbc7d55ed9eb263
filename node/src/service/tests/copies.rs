//! Copies on other members, without a node, and with one that knows nobody.

use store::repo::{Repo, RepoOptions};

use super::*;
use crate::api::message::{
    CopiesAsked, MembershipRequest, PinExpiry, RepairChange, ReplicationRequest, Wanted,
};
use crate::node::Node;

fn asked(replicas: &str) -> CopiesAsked {
    CopiesAsked {
        replicas: Some(replicas.parse().unwrap()),
        ..CopiesAsked::default()
    }
}

/// Adds a file; `copies` as they are asked for.
fn add(host: &Host, bytes: &[u8], copies: CopiesAsked) -> Vec<Event> {
    let mut client = host.client().unwrap();
    client
        .send(&Request::Add(AddOptions {
            copies,
            ..options()
        }))
        .unwrap();
    let file = file_of(bytes);
    // Whoever is refused takes no more, and is told why by the events.
    let _ = client.send_step(&Step::file("a"), Some(file.as_fd()));
    let _ = client.send_step(&Step::Finish, None);
    answers(&mut client)
}

fn withdrawn(events: &[Event]) -> bool {
    let gone = |event: &Event| {
        matches!(
            event,
            Event::Item(Item::Wanted(Wanted { copies: None, .. }))
        )
    };
    events.iter().any(gone)
}

#[test]
fn without_a_node_wishes_are_kept_and_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    // In an open swarm only what asks for copies wants them.
    let plain = added(&add(&host, b"plain", CopiesAsked::default())).cid;
    assert!(!withdrawn(&ask(&host, &Request::Pin(rm(plain)))));
    let asks = added(&add(&host, b"asks", asked("2"))).cid;
    assert!(withdrawn(&ask(&host, &Request::Pin(rm(asks)))));
    // What is wanted and not pinned is a wish all the same, once.
    let want = Request::Replication(ReplicationRequest::Want {
        cid: asks,
        copies: asked("1/2/3"),
        expiry: PinExpiry::Never,
    });
    let events = ask(&host, &want);
    let [Event::Item(Item::Wanted(wanted)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(wanted.copies.as_ref().unwrap().target, 2);
    assert!(withdrawn(&ask(&host, &Request::Pin(rm(asks)))));
    let again = ask(&host, &Request::Pin(rm(asks)));
    assert_eq!(failed(&again).kind, FailureKind::NotFound);

    // In a private one each add does.
    let init = MembershipRequest::Init { force: false };
    ask(&host, &Request::Membership(init));
    let all = added(&add(&host, b"all", CopiesAsked::default())).cid;
    let none = added(&add(&host, b"none", asked("0"))).cid;
    assert!(withdrawn(&ask(&host, &Request::Pin(rm(all)))));
    assert!(!withdrawn(&ask(&host, &Request::Pin(rm(none)))));

    for request in [
        ReplicationRequest::Summary,
        ReplicationRequest::Status { cid: all },
        ReplicationRequest::Repair(RepairChange::Pause),
    ] {
        let failure = ask(&host, &Request::Replication(request));
        assert!(failed(&failure).message.contains("no node runs"));
    }
    let ailments = ask(&host, &Request::Replication(ReplicationRequest::Doctor));
    assert_eq!(failed(&ailments).kind, FailureKind::Partial);
    assert!(matches!(&ailments[0], Event::Item(Item::Ailment(it)) if it.kind == "no_node"));
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_node_says_what_is_wanted_and_takes_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let root = added(&add(&host, b"before the node", asked("2"))).cid;
    host.shutdown(LONG).unwrap();
    let repo = Repo::open(dir.path(), &RepoOptions::default()).unwrap();
    let node = Node::start(config(), repo).unwrap();
    let tell = |request: ReplicationRequest| {
        let mut client = Client::connect(dir.path()).unwrap();
        client.send(&Request::Replication(request)).unwrap();
        answers(&mut client)
    };
    let status = tell(ReplicationRequest::Status { cid: root });
    assert_eq!(failed(&status).kind, FailureKind::Partial, "{status:?}");
    let Event::Item(Item::Status(told)) = &status[0] else {
        panic!("{status:?}")
    };
    assert_eq!(told.owners, [node.peer_id()]);
    assert_eq!(told.wanted.as_ref().unwrap().target, 2);

    let rate = |change| match &tell(ReplicationRequest::Repair(change))[..] {
        [Event::Item(Item::Rate(rate)), Event::Done] => *rate,
        other => panic!("no rate: {other:?}"),
    };
    let configured = Some(32 << 20);
    assert_eq!(rate(RepairChange::Show).rate, configured);
    assert!(rate(RepairChange::Pause).paused);
    assert_eq!(rate(RepairChange::Rate(None)).rate, None, "no limit");
    assert_eq!(rate(RepairChange::Rate(Some(5))).rate, Some(5));
    let resumed = rate(RepairChange::Resume);
    assert_eq!((resumed.rate, resumed.configured), (configured, configured));
    node.shutdown().unwrap();
}
