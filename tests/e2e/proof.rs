//! Proofs of leaves through the program.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{ALONE, Finished, Place, finish, output, write_noise};

fn verify(place: &Place, file: &Path, cid: &[&str]) -> Finished {
    // A repo that is not there: none is needed.
    let mut verify = place.store("nowhere");
    verify.args(["proof", "verify", "--json"]);
    let finished = finish(verify.arg(file).args(cid));
    assert!(!place.path("nowhere").exists());
    finished
}

#[test]
fn a_leaf_is_proven_to_who_knows_the_root_alone() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("a"), "first\n").unwrap();
    write_noise(&tree.join("deep/noise"), 4, 5_000_000);
    let add = |args: &[&str]| {
        let mut add = place.store("a");
        output(add.args(["add", "--quiet"]).args(args).arg(&tree))
    };
    let cid = add(&[]);
    let file = place.path("proof.car");
    let prove = |cid: &str, leaf: &str| {
        let mut prove = place.store("a");
        finish(
            prove
                .args(["proof", cid, "--force", "--leaf", leaf, "-o"])
                .arg(&file),
        )
    };
    assert_eq!(prove(&cid, "3").code(), 0);
    let proven: Value = serde_json::from_str(&verify(&place, &file, &[&cid]).text()).unwrap();
    assert_eq!(proven["root"], *cid);
    assert_eq!(proven["path"], serde_json::json!(["deep", "noise"]));
    assert_eq!(proven["file"]["first"], 2 << 20);
    assert_eq!(proven["file"]["count"], 1 << 20);
    assert_eq!(proven["file"]["size"], 5_000_000);
    assert_eq!(proven["blocks"], 4);

    // The bytes are those of the file.
    let leaf = proven["leaf"].as_str().unwrap();
    let bytes = finish(place.store("a").args(["block", "get", leaf])).stdout;
    let whole = fs::read(tree.join("deep/noise")).unwrap();
    assert_eq!(bytes, whole[2 << 20..3 << 20]);
    // Any tool that reads a CAR file reads it.
    let listed = output(place.store("a").args(["car", "ls", "--verify"]).arg(&file));
    assert_eq!(listed.lines().count(), 2 + 4);
    let human = output(place.store("b").args(["proof", "verify"]).arg(&file));
    assert!(human.contains("deep/noise") && human.contains("2097152 to 3145727 of 5000000"));

    let other = add(&["--cid-version", "0"]);
    let refused = verify(&place, &file, &[&other]);
    assert_eq!(refused.code(), 5);
    assert!(
        refused.stderr.contains(&format!("not about `{other}`")),
        "{}",
        refused.stderr
    );
    let mut flipped = fs::read(&file).unwrap();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(&file, flipped).unwrap();
    let refused = verify(&place, &file, &[]);
    assert_eq!(refused.code(), 5);
    assert_eq!(refused.errors().len(), 1);
    assert!(
        refused
            .stderr
            .contains(&format!("block 4: the bytes given for `{leaf}`"))
    );

    let beyond = prove(&cid, "6");
    assert_eq!(beyond.code(), 3);
    assert!(
        beyond.stderr.contains("there are 6, from 0 to 5"),
        "{}",
        beyond.stderr
    );
    // Below a path, and of old nodes, whose leaves are nodes themselves.
    assert_eq!(prove(&format!("{other}/deep/noise"), "4").code(), 0);
    let proven: Value = serde_json::from_str(&verify(&place, &file, &[]).text()).unwrap();
    assert_eq!(proven["file"]["first"], 4 << 20);
    assert_eq!(proven["file"]["count"], 5_000_000 - (4 << 20));
}

#[test]
fn no_other_leaf_is_fetched() {
    let place = Place::new();
    let noise = place.file("noise", 9, 8 << 20);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&noise));
    let file = place.path("proof.car");
    let mut prove = place.store("b");
    prove.args(["proof", &cid, "--leaf", "5"]).args(ALONE);
    output(prove.args(["--bootstrap", a.tcp(), "-o"]).arg(&file));
    let proven: Value = serde_json::from_str(&verify(&place, &file, &[&cid]).text()).unwrap();
    assert_eq!(proven["file"]["first"], 5 << 20);
    let stat = output(place.store("b").args(["repo", "stat", "--json"]));
    let stat: Value = serde_json::from_str(&stat).unwrap();
    assert_eq!(stat["blocks"], 2, "{stat}");
}
