//! Pins between real processes: what is said of them, and an update that moves the difference only.

use std::fs;

use crate::support::{Place, finish, output};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn pins_have_names_labels_and_ends() {
    let place = Place::new();
    let file = place.file("file", 1, 3 << 20);
    let store = |args: &str| {
        let mut command = place.store("repo");
        command.args(args.split_whitespace());
        command
    };
    let mut add =
        store("add -q --pin-name video --label team=film --label year=2026 --expire-in 30d");
    let cid = output(add.arg(&file));
    let line = output(&mut store("pin ls"));
    assert!(
        // Within the same second nothing of it is gone.
        ["29d 23h", "30d 0h"].iter().any(|left| {
            line.starts_with(&format!("{cid}  video  team=film  year=2026  {left} left"))
        }),
        "{line}"
    );
    for (filter, found) in [
        ("--name ide", 1),
        ("--name x", 0),
        ("--label team=film --label year=2026", 1),
        ("--label team=film --label year=2025", 0),
        ("--type direct", 0),
    ] {
        let listed = output(&mut store(&format!("pin ls {filter}")));
        assert_eq!(listed.lines().count(), found, "{filter}");
    }
    // Pinned again: what is said changes, the rest stays.
    output(&mut store(&format!(
        "pin add {cid} --no-expire --label year="
    )));
    assert_eq!(
        output(&mut store("pin ls")),
        format!("{cid}  video  team=film")
    );
    output(&mut store(&format!(
        "pin add {cid} --expire-at 2100-01-01T00:00:00Z"
    )));
    let pin = json(&output(&mut store("pin ls --json")));
    assert_eq!(pin["expires"], 4_102_444_800_u64, "{pin}");
    assert_eq!(pin["type"], "recursive", "{pin}");

    // A leaf is pinned by what is above it.
    let leaf = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_eq!(finish(&mut store(&format!("pin why {leaf}"))).code(), 3);
    let dir = place.path("dir");
    fs::create_dir(&dir).unwrap();
    fs::copy(&file, dir.join("file")).unwrap();
    let root = output(store("add -q").arg(&dir));
    let why = output(&mut store(&format!("pin why {cid}")));
    let expected = [
        format!("{cid}  recursive  video  team=film"),
        format!("{cid}  indirect through {root}"),
    ];
    for (line, expected) in why.lines().zip(&expected) {
        assert!(line.starts_with(expected), "{why}");
    }
    assert_eq!(why.lines().count(), 2, "{why}");
    let one = finish(&mut store(&format!("pin why {cid} --limit 1")));
    assert_eq!(one.text().lines().count(), 1);
    assert!(one.stderr.contains("--all"), "{}", one.stderr);

    assert_eq!(finish(&mut store("pin rm --label team=radio")).code(), 3);
    assert_eq!(finish(&mut store("pin rm")).code(), 2);
    output(&mut store("pin rm --label team=film"));
    // Still below the directory, and so `ls` says.
    let indirect = output(&mut store(&format!("pin ls {cid}")));
    assert_eq!(indirect, format!("{cid}  indirect through {root}"));
    let not = finish(&mut store(&format!("pin rm {cid}")));
    assert_eq!(not.code(), 3);
    assert!(not.stderr.contains("part of"), "{}", not.stderr);
    output(&mut store(&format!("pin rm {root}")));
    assert_eq!(output(&mut store("pin ls")), "");
    // What is unpinned is cache: a collection that spares the cache spares it.
    output(&mut store("gc --keep-cache"));
    output(store(&format!("get {root} -o")).arg(place.path("again")));
}

#[test]
fn an_update_moves_only_what_is_new() {
    let place = Place::new();
    let tree = place.path("tree");
    for dir in 0..10 {
        fs::create_dir_all(tree.join(dir.to_string())).unwrap();
        for file in 0..30 {
            let text = format!("{dir} {file}").repeat(1000);
            fs::write(tree.join(format!("{dir}/{file}")), text).unwrap();
        }
    }
    let a = place.node("a", &[]);
    let b = place.node("b", &["--bootstrap", a.tcp()]);
    let add = || output(place.store("a").args(["add", "-q"]).arg(&tree));
    let at_b = |args: &[&str]| output(place.store("b").args(args));
    let blocks = || {
        json(&at_b(&["repo", "stat", "--json"]))["blocks"]
            .as_u64()
            .unwrap()
    };

    let old = add();
    at_b(&["pin", "add", &old, "--name", "tree", "--timeout", "30s"]);
    let before = blocks();
    assert!(before > 300, "{before}");
    fs::write(tree.join("3/7"), "changed").unwrap();
    let new = add();
    let updated = at_b(&["pin", "update", &old, &new, "--json", "--timeout", "30s"]);
    let updated = json(&updated);
    // The top, one directory, one file.
    assert_eq!(updated["read"], 3, "{updated}");
    assert_eq!(updated["pin"]["name"], "tree", "{updated}");
    assert_eq!(blocks(), before + 3);
    assert_eq!(at_b(&["pin", "ls"]), format!("{new}  tree"));
    assert!(a.stop().success());
    at_b(&["get", &new, "-o", place.path("got").to_str().unwrap()]);
    crate::support::same(&tree, &place.path("got"));
    drop(b);
}

#[test]
fn a_pin_that_is_not_whole_is_named_with_what_it_lacks() {
    let place = Place::new();
    let one = place.file("one", 1, 3 << 20);
    let dir = place.path("dir");
    fs::create_dir(&dir).unwrap();
    fs::copy(place.file("two", 2, 2 << 20), dir.join("two")).unwrap();
    let store = |args: &str| {
        let mut command = place.store("repo");
        command.args(args.split_whitespace());
        command
    };
    let whole = output(store("add -q --pin-name video").arg(&one));
    // Its leaves stay in the file, where they can be spoiled.
    let spoiled = output(store("add -q --no-copy").arg(&dir));
    let said = output(&mut store("pin verify"));
    let expected = [
        format!("{whole}  video  whole: 4 blocks, 3.00 MiB"),
        format!("{spoiled}  whole: 4 blocks, 2.00 MiB"),
    ];
    assert_eq!(said.lines().count(), 2, "{said}");
    for line in &expected {
        assert!(said.lines().any(|said| said == line), "{said}");
    }

    place.file("dir/two", 3, 2 << 20);
    let verify = |args: &str| finish(&mut store(&format!("pin verify {args}")));
    let found = verify("");
    assert_eq!(found.code(), 5, "{}", found.stderr);
    let said = String::from_utf8(found.stdout).unwrap();
    assert_eq!(said.lines().count(), 4, "{said}");
    let rotten: Vec<&str> = said.lines().filter(|l| l.starts_with("rot ")).collect();
    for (line, at) in rotten.iter().zip(["0", "1048576"]) {
        let place = format!("pin {spoiled} in `two` at byte {at}");
        assert!(line.contains("bafkrei") && line.contains(&place), "{said}");
    }
    assert!(said.contains(&expected[0]), "{said}");
    let line = format!("{spoiled}  not whole: 2 of 4 blocks missing or rotten");
    assert!(said.contains(&line), "{said}");
    assert!(
        found.stderr.contains("one of 2 pins is not whole"),
        "{}",
        found.stderr
    );

    assert_eq!(verify(&whole).code(), 0);
    assert_eq!(verify(&format!("{whole} {spoiled}")).code(), 5);
    let json_lines = verify(&format!("--json {spoiled}")).stdout;
    let lines = String::from_utf8(json_lines).unwrap();
    let last = json(lines.lines().last().unwrap());
    assert_eq!(
        (&last["damaged"], &last["cid"]),
        (&2.into(), &spoiled.clone().into())
    );
    // Its root alone is whole.
    output(&mut store(&format!("pin rm {spoiled}")));
    output(&mut store(&format!("pin add --direct {spoiled}")));
    assert_eq!(verify("").code(), 0);
    // Its leaves are nobody's business now.
    output(&mut store("gc"));
    output(&mut store("verify"));
    output(&mut store(&format!("pin rm {spoiled}")));
    let not = verify(&format!("{spoiled} {whole}"));
    assert_eq!(not.code(), 3, "{}", not.stderr);
}
