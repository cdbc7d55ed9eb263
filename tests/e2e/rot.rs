//! A disk that rots, and members that lie about what they have: found out, and healed. The long form is `bench copies
//! rot` and `bench copies liars`.

use std::time::Duration;

use crate::fleet::liar::Lie;
use crate::fleet::lies::{FoundOut, Lies, found_out};
use crate::fleet::rot::{Finder, Healed, Rot, rot};

fn rots(finder: Finder) -> Healed {
    let plan = Rot {
        members: 3,
        // A day is 24 s.
        scale: 3600,
        contents: 12,
        mib: 12,
        seed: 1,
        finder,
    };
    let healed = rot(&plan).unwrap_or_else(|why| panic!("{why}"));
    let (flipped, leaves) = healed.leaves;
    assert!(
        leaves > 500 && flipped * 100 >= leaves,
        "{flipped} of {leaves}"
    );
    assert!(healed.segments > 1, "{}", healed.segments);
    healed
}

#[test]
fn bits_that_flip_in_a_hundredth_of_the_leaves_are_found_by_audits_and_healed() {
    let healed = rots(Finder::Audits);
    assert!(!healed.doctor.is_empty(), "the doctor says so");
}

#[test]
fn bits_that_flip_in_a_hundredth_of_the_leaves_are_found_by_the_scrub_and_healed() {
    let healed = rots(Finder::Scrub(2));
    assert!(!healed.doctor.is_empty(), "the doctor says so");
}

fn lies(lie: Lie, contents: u64) -> FoundOut {
    let plan = Lies {
        lie,
        members: 3,
        scale: 3600,
        contents,
        by_all: false,
        limit: Duration::from_secs(120),
    };
    let found = found_out(&plan).unwrap_or_else(|why| panic!("{why}"));
    assert!(found.is_named && found.refused.is_some(), "{found:?}");
    found
}

#[test]
fn one_that_acknowledges_and_drops_gets_nothing_more_and_its_copies_are_made_anew() {
    let found = lies(Lie::Drops, 10);
    assert!(found.mended.is_some(), "{found:?}");
}

#[test]
fn one_that_tells_of_room_that_it_has_not_gets_nothing_more() {
    lies(Lie::Room, 10);
}
