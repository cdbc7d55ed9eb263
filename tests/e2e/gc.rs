//! Collections and the quota, as an operator meets them.

mod rounds;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Place, finish, output, same};

const MIB: u64 = 1 << 20;

/// A number of `store repo stat --quick --json`.
fn stat(place: &Place, repo: &str, field: &str) -> u64 {
    let text = output(
        place
            .store(repo)
            .args(["repo", "stat", "--quick", "--json"]),
    );
    let stat: serde_json::Value = serde_json::from_str(&text).unwrap();
    stat[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field}: {text}"))
}

#[test]
fn what_is_unpinned_is_removed_and_its_space_comes_back() {
    let place = Place::new();
    let (kept, gone) = (
        place.file("kept", 1, 48 * MIB),
        place.file("gone", 2, 80 * MIB),
    );
    let kept_cid = output(place.store("repo").args(["add", "--quiet"]).arg(&kept));
    let gone_cid = output(place.store("repo").args(["add", "--quiet"]).arg(&gone));
    output(place.store("repo").args(["pin", "rm", &gone_cid]));
    let dry = output(place.store("repo").args(["gc", "--dry-run"]));
    assert!(dry.starts_with("would remove 81 blocks, "), "{dry}");
    assert!(stat(&place, "repo", "stored") > 128 * MIB);
    let said = output(place.store("repo").arg("gc"));
    assert!(said.starts_with("removed 81 blocks, "), "{said}");
    let (stored, disk) = (stat(&place, "repo", "stored"), stat(&place, "repo", "disk"));
    assert!(stored > 48 * MIB && stored < 49 * MIB, "{stored}");
    assert!(disk < 53 * MIB, "{disk}");
    let back = place.path("back");
    output(
        place
            .store("repo")
            .args(["get", &kept_cid, "-o"])
            .arg(&back),
    );
    same(&kept, &back);
    let missing = finish(
        place
            .store("repo")
            .args(["cat", "--timeout", "1s", &gone_cid]),
    );
    assert_ne!(missing.code(), 0);
}

#[test]
fn the_quota_is_kept_while_ten_times_as_much_passes_through() {
    let quota = 16 * MIB;
    let place = Place::new();
    let provider = place.node("provider", &[]);
    let small = |repo: &str| {
        let mut command = place.store(repo);
        command.env("STORE_STORAGE_QUOTA", "16MiB");
        command
    };
    let pinned = place.file("pinned", 1, 5 * MIB);
    let pinned_cid = output(small("small").args(["add", "--quiet"]).arg(&pinned));
    let mut last = String::new();
    for round in 0..40 {
        let file = place.file("passing", 100 + round, 4 * MIB);
        if round % 4 == 3 {
            last = output(
                small("small")
                    .args(["add", "--quiet", "--no-pin"])
                    .arg(&file),
            );
        } else {
            let cid = output(place.store("provider").args(["add", "--quiet"]).arg(&file));
            let link = output(place.store("provider").args(["share", &cid]));
            let bytes = finish(small("small").args(["cat", "--no-mdns", &link]));
            assert_eq!(bytes.stdout.len() as u64, 4 * MIB, "{}", bytes.stderr);
        }
        let stored = stat(&place, "small", "stored");
        assert!(stored <= quota, "{stored} after {round}");
        let disk = stat(&place, "small", "disk");
        assert!(disk <= 3 * quota, "{disk} after {round}");
    }
    let back = place.path("back");
    output(small("small").args(["get", &pinned_cid, "-o"]).arg(&back));
    // What is pinned is never evicted.
    same(&pinned, &back);
    let recent = finish(small("small").args(["cat", &last]));
    assert_eq!(
        recent.stdout.len() as u64,
        4 * MIB,
        "what was used last is here"
    );
    assert!(provider.stop().success());
}

#[test]
fn what_cannot_fit_is_refused_and_nothing_of_it_stays() {
    let place = Place::new();
    let small = || {
        let mut command = place.store("repo");
        command.env("STORE_STORAGE_QUOTA", "8MiB");
        command
    };
    let first = place.file("first", 1, 5 * MIB);
    output(small().args(["add", "--quiet"]).arg(&first));
    let before = stat(&place, "repo", "stored");
    let large = place.file("large", 2, 6 * MIB);
    let refused = finish(small().args(["add", "--quiet"]).arg(&large));
    assert_eq!(refused.code(), 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("quota of 8.0 MiB"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("storage.quota"),
        "{}",
        refused.stderr
    );
    assert_eq!(stat(&place, "repo", "stored"), before);
    // From a pipe nobody knows how much is to come.
    let mut piped = small();
    piped.args(["add", "--quiet", "-"]).stdin(Stdio::piped());
    piped.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It stops reading when it is full.
    let _ = stdin.write_all(&std::fs::read(&large).unwrap());
    drop(stdin);
    let refused = child.wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(refused.stdout, b"");
    assert_eq!(stat(&place, "repo", "stored"), before);
    // What is here already takes no room.
    output(small().args(["add", "--quiet"]).arg(&first));
}

/// Half of the store is exchanged ten times. `bench space` does it with more.
#[test]
fn ten_rounds_take_little_more_than_what_is_there() {
    for (mib, chunker) in [(192, "size-1048576"), (32, "size-4096")] {
        let place = Place::new();
        for sample in rounds::rounds(&place, 10, mib, chunker) {
            let limit = if sample.after == "gc" { 1.15 } else { 1.35 };
            assert!(
                sample.amplification() <= limit,
                "{chunker}: {sample:?}: {:.3}",
                sample.amplification()
            );
        }
    }
}

/// Killed fifty times at random moments; what is pinned is whole after each ten of them.
#[test]
fn a_collection_that_is_killed_loses_nothing_that_is_pinned() {
    let place = Place::new();
    let add = |name: &str, seed: u64, pinned: bool| {
        let file = place.file(name, seed, 2 * MIB);
        let mut add = place.store("repo");
        add.args(["add", "--quiet", "--chunker", "size-4096"]);
        if !pinned {
            add.arg("--no-pin");
        }
        (output(add.arg(&file)), file)
    };
    let kept: Vec<_> = (0..4).map(|i| add(&format!("kept-{i}"), i, true)).collect();
    for round in 0..50_u64 {
        add("passing", 1000 + round, false);
        let mut gc = place.store("repo");
        gc.arg("gc").stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = gc.spawn().unwrap();
        // The moment of the crash is what this test is about: from the opening to the end.
        std::thread::sleep(Duration::from_micros(round * 7919 % 120_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 10 == 9 {
            for (cid, file) in &kept {
                let back = place.path("back");
                output(
                    place
                        .store("repo")
                        .args(["get", "--force", cid, "-o"])
                        .arg(&back),
                );
                same(file, &back);
            }
        }
    }
    output(place.store("repo").arg("gc"));
    // 512 leaves and a node each.
    assert_eq!(stat(&place, "repo", "blocks"), 4 * 513);
}
