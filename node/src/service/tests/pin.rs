//! Pins as commands see them.

use super::*;
use crate::api::message::{Holder, PinExpiry};

fn dag(host: &Host, bytes: &[u8]) -> (Cid, Cid) {
    let root = added(&add_tree(host, options(), bytes)).cid;
    let ls = Ls {
        content: content(root.to_string()),
        resolve: false,
    };
    let entry = ask(host, &Request::Ls(ls))
        .into_iter()
        .find_map(|event| match event {
            Event::Item(Item::Entry(entry)) if entry.name == name("a") => Some(entry.cid),
            _ => None,
        });
    (root, entry.unwrap())
}

fn pin_add(host: &Host, root: Cid, direct: bool, marks: PinMarks) -> Vec<Event> {
    let add = PinRequest::Add {
        content: content(root.to_string()),
        direct,
        marks,
    };
    ask(host, &Request::Pin(add))
}

fn ls(host: &Host, cids: &[Cid], filter: PinFilter, kind: PinType) -> Vec<Event> {
    let ls = PinRequest::Ls {
        cids: cids.to_vec(),
        filter,
        kind,
    };
    ask(host, &Request::Pin(ls))
}

fn holders(events: &[Event]) -> Vec<&Holder> {
    let mut holders = Vec::new();
    for event in events {
        if let Event::Item(Item::Holder(holder)) = event {
            holders.push(&**holder);
        }
    }
    holders
}

#[test]
fn what_is_said_of_a_pin_is_listed_found_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let (root, file) = dag(&host, b"bytes");
    let marks = PinMarks {
        name: Some("a file".into()),
        labels: vec![("k".into(), "v".into())],
        expiry: PinExpiry::At(100_000_000_000),
    };
    let events = pin_add(&host, file, true, marks);
    let [Event::Item(Item::Pin(pin)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (pin.kind, pin.expires),
        (PinType::Direct, Some(100_000_000_000))
    );
    assert_eq!(pins(&host).len(), 2);
    let named = |name: &str| PinFilter {
        name: Some(name.into()),
        ..PinFilter::default()
    };
    let labelled = PinFilter {
        labels: vec![("k".into(), "v".into())],
        ..PinFilter::default()
    };
    let found = |filter, kind| ls(&host, &[], filter, kind).len() - 1;
    assert_eq!(found(named("file"), PinType::All), 1);
    assert_eq!(found(named("fill"), PinType::All), 0);
    assert_eq!(found(labelled.clone(), PinType::Direct), 1);
    assert_eq!(found(labelled.clone(), PinType::Recursive), 0);
    let indirect = ls(&host, &[], PinFilter::default(), PinType::Indirect);
    assert_eq!(failed(&indirect).kind, FailureKind::Usage);

    // It is a root by itself, and below the other one.
    let events = ls(&host, &[file], PinFilter::default(), PinType::Indirect);
    assert_eq!(holders(&events)[0].root, root);
    let why = PinRequest::Why {
        cid: file,
        limit: None,
    };
    let events = ask(&host, &Request::Pin(why));
    let kinds: Vec<_> = holders(&events).iter().map(|h| (h.kind, h.root)).collect();
    assert_eq!(kinds, [(PinType::Direct, file), (PinType::Indirect, root)]);

    // To remove, a name must be the whole name.
    let rm = |filter| {
        let cids = Vec::new();
        ask(&host, &Request::Pin(PinRequest::Rm { cids, filter }))
    };
    assert_eq!(failed(&rm(named("file"))).kind, FailureKind::NotFound);
    assert_eq!(failed(&rm(PinFilter::default())).kind, FailureKind::Usage);
    assert_eq!(rm(labelled).len(), 2);
    assert_eq!(pins(&host).len(), 1);
    let several = PinRequest::Rm {
        cids: vec![file, root],
        filter: PinFilter::default(),
    };
    // The first is not pinned, the second is unpinned all the same.
    let events = ask(&host, &Request::Pin(several));
    assert_eq!(failed(&events).kind, FailureKind::NotFound);
    assert!(matches!(&events[0], Event::Item(Item::Pin(pin)) if pin.cid == root));
    assert_eq!(pins(&host), []);
    let events = ls(&host, &[file], PinFilter::default(), PinType::All);
    assert_eq!(failed(&events).kind, FailureKind::NotFound);
    host.shutdown(LONG).unwrap();
}

#[test]
fn an_expired_pin_is_not_listed_and_added_anew() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let (root, _) = dag(&host, b"bytes");
    let marks = PinMarks {
        expiry: PinExpiry::At(10),
        ..PinMarks::default()
    };
    pin_add(&host, root, false, marks);
    assert_eq!(pins(&host), []);
    let (again, _) = dag(&host, b"bytes");
    assert_eq!(again, root);
    let [pin] = &pins(&host)[..] else {
        panic!("not pinned again")
    };
    assert_eq!(pin.expires, None);
    host.shutdown(LONG).unwrap();
}

#[test]
fn an_update_reads_only_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let mut bytes = sample(1 << 20);
    let (old, _) = dag(&host, &bytes);
    // One of a thousand chunks.
    bytes[500_000] ^= 1;
    let no_pin = AddOptions {
        no_pin: true,
        ..options()
    };
    let new = added(&add_tree(&host, no_pin, &bytes)).cid;
    let update = |old, new: Cid, keep_old| {
        let new = content(new.to_string());
        let request = PinRequest::Update { old, new, keep_old };
        ask(&host, &Request::Pin(request))
    };
    let events = update(old, new, true);
    let [Event::Item(Item::Updated(updated)), Event::Done] = &events[..] else {
        panic!("{events:?}")
    };
    // The directory, the file's nodes above the chunk, and the chunk.
    assert!(updated.read <= 4, "{}", updated.read);
    assert_eq!(updated.pin.name.as_deref(), Some("test"));
    assert_eq!(pins(&host).len(), 2);
    let events = update(new, old, false);
    assert!(matches!(&events[0], Event::Item(Item::Updated(updated)) if updated.read == 0));
    let roots: Vec<_> = pins(&host).iter().map(|pin| pin.cid).collect();
    assert_eq!(roots, [old]);
    assert_eq!(failed(&update(new, old, false)).kind, FailureKind::NotFound);
    host.shutdown(LONG).unwrap();
}
