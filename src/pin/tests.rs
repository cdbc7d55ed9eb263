use tempfile::{TempDir, tempdir};

use super::*;
use crate::cid;
use crate::cid::{Codec, Version};
use crate::repo::{Repo, RepoOptions};

/// Long ago.
pub(super) const PAST: u64 = 10;
/// In some thousand years.
const FUTURE: u64 = 100_000_000_000;

pub(super) fn repo() -> (TempDir, Repo) {
    let dir = tempdir().unwrap();
    let options = RepoOptions {
        low_memory: true,
        ..RepoOptions::default()
    };
    let repo = Repo::open(dir.path(), &options).unwrap();
    (dir, repo)
}

fn root(number: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    cid::from_digest(Version::V1, Codec::DagPb, &digest)
}

fn wanted(number: u32) -> Wanted {
    Wanted::new(root(number), 5)
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

#[test]
fn pinning_again_changes_what_is_said_and_nothing_else() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let first = Wanted {
        name: Some("mine".into()),
        labels: vec![label("a=1"), label("b=2")],
        expiry: Expiry::At(FUTURE),
        ..wanted(1)
    };
    pins.add(&first).unwrap();
    let again = Wanted {
        labels: vec![label("b="), label("c=3")],
        expiry: Expiry::Unchanged,
        now: 9,
        ..wanted(1)
    };
    let pin = pins.add(&again).unwrap();
    assert_eq!(pins.get(&root(1)).unwrap().as_ref(), Some(&pin));
    assert_eq!((pin.created, pin.expires), (5, Some(FUTURE)));
    assert_eq!(pin.name.as_deref(), Some("mine"));
    let labels: Vec<_> = pin.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a=1", "c=3"]);
    // Whoever adds the same content for good has it for good, and nobody's later expiry is cut.
    for (expiry, expires) in [
        (Expiry::NotBefore(FUTURE - 1), Some(FUTURE)),
        (Expiry::NotBefore(FUTURE + 1), Some(FUTURE + 1)),
        (Expiry::Never, None),
        (Expiry::NotBefore(FUTURE), None),
        (Expiry::At(FUTURE), Some(FUTURE)),
    ] {
        let pin = pins
            .add(&Wanted {
                expiry,
                ..wanted(1)
            })
            .unwrap();
        assert_eq!(pin.expires, expires, "{expiry:?}");
    }
    let long = Wanted {
        name: Some("n".repeat(NAME_MAX + 1)),
        ..wanted(2)
    };
    assert!(matches!(pins.add(&long), Err(PinError::TooLong { .. })));
    assert_eq!(pins.list().unwrap().len(), 1);
}

#[test]
fn a_direct_pin_becomes_recursive_and_not_the_other_way_round() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let direct = Wanted {
        kind: PinKind::Direct,
        name: Some("block".into()),
        ..wanted(1)
    };
    pins.add(&direct).unwrap();
    assert_eq!(pins.get(&root(1)).unwrap().unwrap().kind, PinKind::Direct);
    let pin = pins.add(&wanted(1)).unwrap();
    assert_eq!(pin.name.as_deref(), Some("block"));
    assert_eq!(pins.list().unwrap(), [pin]);
    let error = pins.add(&direct).unwrap_err();
    assert!(matches!(error, PinError::Recursive { .. }), "{error}");
}

#[test]
fn an_expired_pin_is_not_there_and_is_removed_as_cache() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    for (number, time) in [(1, PAST), (2, FUTURE), (3, PAST + 1), (4, FUTURE + 1)] {
        let expiry = Expiry::At(time);
        pins.add(&Wanted {
            expiry,
            ..wanted(number)
        })
        .unwrap();
    }
    pins.add(&wanted(5)).unwrap();
    assert_eq!(pins.get(&root(1)).unwrap(), None);
    let roots = |pins: Vec<Pin>| {
        let mut roots: Vec<_> = pins.iter().map(|pin| pin.root).collect();
        roots.sort_unstable();
        roots
    };
    assert_eq!(roots(pins.list().unwrap()), [root(2), root(4), root(5)]);
    assert_eq!(pins.count().unwrap(), 5);
    assert!(repo.keep().is_pinned(&root(1).hash().to_bytes()).unwrap());
    assert_eq!(roots(pins.expire(PAST).unwrap()), [root(1)]);
    assert_eq!(roots(pins.expire(now()).unwrap()), [root(3)]);
    assert_eq!(pins.expire(now()).unwrap(), []);
    assert_eq!(pins.count().unwrap(), 3);
    assert!(!repo.keep().is_pinned(&root(1).hash().to_bytes()).unwrap());
    let cached = repo.cached().oldest_first().unwrap();
    assert_eq!(cached.len(), 2);
    // Whoever prolongs a pin keeps it.
    let longer = Expiry::At(FUTURE + 9);
    pins.add(&Wanted {
        expiry: longer,
        ..wanted(2)
    })
    .unwrap();
    assert_eq!(pins.expire(FUTURE).unwrap(), []);
    assert_eq!(roots(pins.expire(u64::MAX).unwrap()), [root(2), root(4)]);
    // A new pin of the same root begins anew.
    let pin = pins
        .add(&Wanted {
            now: 7,
            ..wanted(1)
        })
        .unwrap();
    assert_eq!(pin, Pin::new(root(1), 7));
}

#[test]
fn many_pins_come_in_pages_each_once() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let count = u32::try_from(2 * PAGE + 7).unwrap();
    let kind = |number: u32| PinKind::ALL[usize::from(number.is_multiple_of(2))];
    // Past `add`, which syncs each.
    let pin = |number| Pin {
        kind: kind(number),
        ..Pin::new(root(number), 1)
    };
    let rows = (0..count).map(|number| {
        let pin = pin(number);
        (key(pin.kind, &pin.root), Some(pin.encode()))
    });
    pins.write(&rows.collect::<Vec<_>>(), &root(0)).unwrap();
    let mut seen: Vec<Cid> = pins.list().unwrap().iter().map(|pin| pin.root).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..count).map(root).collect::<Vec<_>>());
    let mut some = 0;
    pins.for_each(&mut |_| {
        some += 1;
        some < PAGE + 3
    })
    .unwrap();
    assert_eq!(some, PAGE + 3);
    let direct = Filter {
        kind: Some(PinKind::Direct),
        ..Filter::default()
    };
    let mut removed = 0;
    pins.unpin_matching(&direct, &mut |pin| {
        removed += 1;
        pin.kind == PinKind::Direct
    })
    .unwrap();
    assert_eq!(removed, PAGE + 4);
    assert_eq!(pins.count().unwrap(), u64::from(count) - removed as u64);
    assert_eq!(repo.cached().oldest_first().unwrap().len(), removed);
}

#[test]
fn a_pin_is_replaced_in_one_step() {
    let (_dir, repo) = repo();
    let pins = repo.pins();
    let named = Wanted {
        name: Some("site".into()),
        labels: vec![label("a=1")],
        expiry: Expiry::At(FUTURE),
        ..wanted(1)
    };
    pins.add(&named).unwrap();
    let new = pins.replace(&root(1), &root(2), false, 9).unwrap();
    assert_eq!((new.name.as_deref(), new.created), (Some("site"), 9));
    assert_eq!((new.labels.len(), new.expires), (1, Some(FUTURE)));
    assert_eq!(pins.list().unwrap(), [new]);
    assert_eq!(repo.cached().oldest_first().unwrap()[0].root, root(1));
    // What is pinned for good stays so.
    pins.add(&wanted(3)).unwrap();
    let new = pins.replace(&root(2), &root(3), true, 9).unwrap();
    assert_eq!((new.name.as_deref(), new.expires), (Some("site"), None));
    assert_eq!(pins.list().unwrap().len(), 2);
    let error = pins.replace(&root(7), &root(8), false, 9).unwrap_err();
    assert!(matches!(error, PinError::NotPinned { .. }), "{error}");
    // Nothing to do.
    pins.replace(&root(3), &root(3), false, 9).unwrap();
    assert!(pins.get(&root(3)).unwrap().is_some());
}
