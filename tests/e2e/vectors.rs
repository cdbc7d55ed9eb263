//! Kubo's CIDs (tests/fixtures) by the program, from files on disk, and the files again from the CIDs.

#[path = "../vectors/cases.rs"]
mod cases;

use self::cases::cases;
use crate::support::{ALONE, Place, output};

/// Bytes of an input that may lie in memory, with a repo and an output beside it.
const SMALL: u64 = 64 << 20;

#[test]
fn the_program_gives_kubos_cids_and_the_inputs_back() {
    let mut wrong = Vec::new();
    for case in cases() {
        let place = if case.size() <= SMALL {
            Place::in_memory()
        } else {
            Place::new()
        };
        let input = case.make(&place.path(""));
        let mut add = place.store("repo");
        add.args(["add", "--quiet", "--profile", case.profile()])
            .args(&case.args);
        let cid = output(add.arg(&input));
        if cid != case.cid {
            wrong.push(format!("{}: {cid} instead of {}", case.name, case.cid));
            continue;
        }
        let back = place.path("output");
        let mut get = place.store("repo");
        get.args(["get", &cid]).args(ALONE).arg("-o");
        output(get.arg(&back));
        if let Some(difference) = case.difference(&input, &back) {
            wrong.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
