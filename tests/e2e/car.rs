//! CAR files through the program: out of one repo, into another, cut, flipped and fetched.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{ALONE, Place, finish, output, same, write_noise};

fn tree(place: &Place) -> PathBuf {
    let tree = place.path("tree");
    fs::create_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("hello"), "hello, world\n").unwrap();
    write_noise(&tree.join("deep/noise"), 4, 5_000_000);
    tree
}

fn pins(place: &Place, repo: &str) -> String {
    output(place.store(repo).args(["pin", "ls"]))
}

#[test]
fn a_tree_goes_out_of_one_repo_and_into_another() {
    let place = Place::new();
    let tree = tree(&place);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&tree));
    let car = place.path("tree.car");
    let export = || {
        let mut export = place.store("a");
        export.args(["car", "export", &cid]);
        export
    };
    output(export().arg("-o").arg(&car));
    let printed = finish(&mut export());
    assert!(printed.status.success());
    assert_eq!(
        printed.stdout,
        fs::read(&car).unwrap(),
        "the same each time"
    );

    let refused = finish(export().arg("-o").arg(&car));
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    output(export().arg("--force").arg("-o").arg(&car));

    let mut import = place.store("b");
    let line = output(
        import
            .args(["car", "import", "--name", "from a car"])
            .arg(&car),
    );
    assert_eq!(line, format!("{cid}  pinned"));
    assert!(pins(&place, "b").contains("from a car"));
    let got = place.path("got");
    output(place.store("b").args(["get", &cid, "-o"]).arg(&got));
    same(&tree, &got);

    // From a pipe, and once more: nothing changes.
    let mut import = place.store("c");
    import.args(["car", "import", "--quiet", "-"]);
    let mut export = export().stdout(Stdio::piped()).spawn().unwrap();
    import.stdin(export.stdout.take().unwrap());
    assert_eq!(output(&mut import), cid);
    assert!(export.wait().unwrap().success());
    assert!(pins(&place, "c").starts_with(&cid));

    let mut list = place.store("nowhere");
    let listed = output(list.args(["car", "ls", "--json", "--verify"]).arg(&car));
    let lines: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["car"]["roots"][0], *cid);
    assert_eq!(lines[1]["block"]["cid"], *cid);
    let block = &lines[lines.len() - 1]["block"];
    let end = block["data_offset"].as_u64().unwrap() + block["size"].as_u64().unwrap();
    assert_eq!(end, fs::metadata(&car).unwrap().len());
    assert!(!place.path("nowhere").exists(), "it needs no repo");
}

#[test]
fn a_part_of_a_tree_is_a_car_of_its_own() {
    let place = Place::new();
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(tree(&place)));
    let export = |more: &[&str]| {
        let finished = finish(place.store("a").args(["car", "export"]).args(more));
        assert!(finished.status.success(), "{}", finished.stderr);
        let path = place.path("part.car");
        fs::write(&path, finished.stdout).unwrap();
        output(place.store("a").args(["car", "ls"]).arg(path))
            .lines()
            .count()
            - 2
    };
    let noise = format!("{cid}/deep/noise");
    assert_eq!(export(&[&cid]), 9);
    assert_eq!(export(&[&cid, "--scope", "entity"]), 1);
    assert_eq!(export(&[&noise]), 6);
    assert_eq!(export(&[&noise, "--scope", "block"]), 1);
    assert_eq!(export(&[&noise, "--range", "0:1048575"]), 2);
    assert_eq!(export(&[&noise, "--range", "-1:*"]), 2);
    for (flag, value) in [("--scope", "some"), ("--range", "5"), ("--range", "2:1")] {
        let refused = finish(place.store("a").args(["car", "export", &cid, flag, value]));
        assert_eq!(refused.code(), 2);
        assert!(refused.stderr.contains(flag), "{}", refused.stderr);
    }
}

#[test]
fn what_is_broken_is_refused_and_what_came_before_it_is_kept() {
    let place = Place::new();
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(tree(&place)));
    let whole = finish(place.store("a").args(["car", "export", &cid])).stdout;
    let import = |repo: &str, bytes: &[u8], more: &[&str]| {
        let path = place.path("broken.car");
        fs::write(&path, bytes).unwrap();
        finish(
            place
                .store(repo)
                .args(["car", "import"])
                .args(more)
                .arg(path),
        )
    };
    let has = |repo: &str| {
        let stat = output(place.store(repo).args(["repo", "stat", "--json"]));
        serde_json::from_str::<Value>(&stat).unwrap()["blocks"]
            .as_u64()
            .unwrap()
    };
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let found = import("flipped", &flipped, &[]);
    assert_eq!(found.code(), 5);
    assert_eq!(found.errors().len(), 1);
    assert!(found.stderr.contains("is corrupt"), "{}", found.stderr);
    assert!(
        found.stderr.contains("8 blocks are kept"),
        "{}",
        found.stderr
    );
    assert!(String::from_utf8_lossy(&found.stdout).contains("not pinned"));
    assert_eq!(has("flipped"), 8);
    assert_eq!(pins(&place, "flipped"), "");

    let found = import("cut", &whole[..whole.len() - 100], &[]);
    assert_eq!(found.code(), 5);
    let end = format!("cut off at byte {}", whole.len() - 100);
    assert!(found.stderr.contains(&end), "{}", found.stderr);

    let found = import("a file", &b"hello, world".repeat(20), &[]);
    assert_eq!(found.code(), 5);
    assert!(found.stderr.contains("no CAR file"), "{}", found.stderr);
    let missing = finish(place.store("a").args(["car", "import", "/nowhere/a.car"]));
    assert_eq!(missing.code(), 1);
    assert!(
        missing.stderr.contains("/nowhere/a.car"),
        "{}",
        missing.stderr
    );
}

fn fixture(name: &str) -> PathBuf {
    // Absolute: commands run in directories of their own.
    let folder = fs::canonicalize("../tests/fixtures/car").unwrap();
    folder.join(name)
}

#[test]
fn a_root_that_is_not_whole_is_told_and_not_pinned() {
    let place = Place::new();
    let import = |repo: &str, name: &str, more: &[&str]| {
        finish(
            place
                .store(repo)
                .args(["car", "import"])
                .args(more)
                .arg(fixture(name)),
        )
    };
    let found = import("a", "incomplete.car", &[]);
    assert_eq!(found.code(), 6);
    assert!(
        found.stderr.contains("1 of 1 roots are not whole"),
        "{}",
        found.stderr
    );
    assert!(String::from_utf8_lossy(&found.stdout).contains("is missing"));
    assert_eq!(pins(&place, "a"), "");
    assert_eq!(import("a", "incomplete.car", &["--no-pin"]).code(), 0);
    // The other half comes with another file.
    assert_eq!(import("a", "good-v2.car", &[]).code(), 0);
    assert_eq!(pins(&place, "a").lines().count(), 1);

    let found = import("b", "dag-cbor.car", &[]);
    assert_eq!(found.code(), 6);
    assert!(
        found.stderr.contains("kept as raw blocks"),
        "{}",
        found.stderr
    );
    let found = import("c", "unknown-hash.car", &[]);
    assert_eq!(found.code(), 6);
    assert!(found.stderr.contains("left out"), "{}", found.stderr);
    assert_eq!(pins(&place, "c").lines().count(), 1, "its root is whole");
}

#[test]
fn an_export_fetches_what_is_not_here() {
    let place = Place::new();
    let tree = tree(&place);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&tree));
    let (here, there) = (place.path("here.car"), place.path("there.car"));
    output(
        place
            .store("a")
            .args(["car", "export", &cid, "-o"])
            .arg(&there),
    );
    let mut export = place.store("b");
    export.args(["car", "export", &cid]).args(ALONE);
    output(export.args(["--bootstrap", a.tcp(), "-o"]).arg(&here));
    same(&there, &here);
    // Nobody has it: one clear line, and no file.
    let absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let mut export = place.store("c");
    export.args(["car", "export", absent]).args(ALONE);
    let failed = finish(
        export
            .args(["--timeout", "1s", "-o"])
            .arg(place.path("absent.car")),
    );
    assert!([3, 4].contains(&failed.code()), "{}", failed.stderr);
    assert!(!place.path("absent.car").exists());
}
