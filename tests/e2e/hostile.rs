//! Peers that do not mean well, written for it, against the real `store get`.

mod peer;

use std::time::Duration;

use crate::support::{ALONE, Finished, Node, Place, finish, output, same};
use peer::{Hostile, Lie};

/// A `get` from `peers` alone, which gives up after five seconds without a block.
fn get(place: &Place, repo: &str, cid: &str, peers: &[&str]) -> Finished {
    let mut get = place.store(repo);
    get.args(["get", cid, "--timeout", "5s"]).args(ALONE);
    for peer in peers {
        get.args(["--bootstrap", peer]);
    }
    finish(get.arg("-o").arg(place.path(&format!("{repo}-out"))))
}

/// Gets at most until it comes to a lie.
const TRIES: usize = 10;

/// A file of 24 MiB, an honest node that has it, and its CID.
fn honest(place: &Place) -> (std::path::PathBuf, Node, String) {
    let file = place.file("file", 9, 24 << 20);
    let node = place.node("honest", &[]);
    let cid = output(place.store("honest").args(["add", "--quiet"]).arg(&file));
    (file, node, cid)
}

#[test]
fn a_get_ends_well_from_the_honest_one_whatever_the_other_does() {
    let place = Place::new();
    let (file, honest, cid) = honest(&place);
    for lie in Lie::ALL {
        let hostile = Hostile::start(&file, lie);
        assert_eq!(hostile.root, cid, "it really has the content");
        // Who answers first is not for us to say: what it would have lied about, it may not be asked.
        let lied = (0..TRIES).any(|i| {
            let repo = format!("beside-{lie:?}-{i}");
            let got = get(&place, &repo, &cid, &[&hostile.address, honest.tcp()]);
            assert_eq!(got.code(), 0, "{lie:?}: {}", got.stderr);
            same(&file, &place.path(&format!("{repo}-out")));
            hostile.was_asked() && (!lie.is_proof() || got.stderr.contains(&hostile.peer_id))
        });
        assert!(
            lied,
            "{lie:?}: it was never asked, or the log does not name it"
        );
    }
}

#[test]
fn a_get_from_a_hostile_peer_alone_fails_in_bounded_time_and_says_so() {
    let place = Place::new();
    let (file, _honest, cid) = honest(&place);
    for lie in Lie::ALL {
        let hostile = Hostile::start(&file, lie);
        let repo = format!("alone-{lie:?}");
        let got = get(&place, &repo, &cid, &[&hostile.address]);
        assert!([3, 4].contains(&got.code()), "{lie:?}: {got:?}");
        assert_eq!(got.errors().len(), 1, "{lie:?}: {}", got.stderr);
        assert!(
            got.elapsed < Duration::from_secs(60),
            "{lie:?}: {:?}",
            got.elapsed
        );
        assert!(
            !place.path(&format!("{repo}-out")).exists(),
            "{lie:?} left a file"
        );
    }
}
