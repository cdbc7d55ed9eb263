//! The main job between real nodes: add on one, get on another that knows only of a third.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::support::{ALONE, Node, Noise, Place, eventually, finish, output, same};

/// A tree with every kind of entry that a file system allows and people make.
fn odd_tree(top: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let write = |name: &[u8], content: &[u8]| {
        let path = top.join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write(b"plain.txt", b"plain\n");
    write(b"empty file", b"");
    write(b"deep/er/and/deeper still/x", &vec![7; 3 << 20]);
    write("ünï-код-漢字/🦀".as_bytes(), b"unicode");
    write(b" leading space", b"1");
    write(b"trailing space ", b"2");
    write(b"new\nline", b"3");
    write(b"-rf", b"4");
    write(b"quote'\"`$(x)", b"5");
    write(b"not \xff utf-8", b"6");
    write(b"back\\slash", b"7");
    write("n".repeat(255).as_bytes(), b"a name of 255 bytes");
    std::fs::create_dir_all(top.join("nothing/in/here")).unwrap();
    symlink("plain.txt", top.join("link")).unwrap();
    symlink("../outside/that/is/not/there", top.join("deep/dangling")).unwrap();
    for i in 0..300 {
        write(
            format!("many/{i:03}").as_bytes(),
            format!("file {i}").as_bytes(),
        );
    }
}

#[test]
fn content_travels_by_cid_and_its_new_holder_serves_it_on() {
    let place = Place::new();
    let file = place.file("file", 1, 1 << 30);
    let tree = place.path("tree");
    odd_tree(&tree);

    let c = place.node("c", &[]);
    let known = ["--bootstrap", c.tcp()];
    let a = place.node("a", &known);
    let b = place.node("b", &known);

    let file_cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let tree_cid = output(place.store("a").args(["add", "--quiet"]).arg(&tree));

    let get = |repo: &str, cid: &str, to: &str| {
        let to = place.path(to);
        output(
            place
                .store(repo)
                .args(["get", cid, "--timeout", "30s", "-o"])
                .arg(&to),
        );
        to
    };
    same(&file, &get("b", &file_cid, "file-at-b"));
    same(&tree, &get("b", &tree_cid, "tree-at-b"));

    // C only introduced them: the bytes went straight from A to B.
    let at_c: serde_json::Value = json(&output(place.store("c").args(["repo", "stat", "--json"])));
    assert_eq!(at_c["blocks"], 0, "{at_c}");

    assert!(a.stop().success());
    let d = place.node("d", &known);
    same(&file, &get("d", &file_cid, "file-at-d"));
    same(&tree, &get("d", &tree_cid, "tree-at-d"));
    drop((b, d));
}

#[test]
fn a_link_is_all_that_strangers_need() {
    let place = Place::new();
    let file = place.file("file", 2, 5 << 20);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let link = output(place.store("a").args(["share", &cid]));

    // By a command without a node, and by a node that knows nobody.
    let mut alone = place.store("alone");
    alone.args(["get", &link]).args(ALONE).arg("-o");
    output(alone.arg(place.path("got-alone")));
    same(&file, &place.path("got-alone"));

    let b = place.node("b", &[]);
    output(
        place
            .store("b")
            .args(["get", &link, "-o"])
            .arg(place.path("got-b")),
    );
    same(&file, &place.path("got-b"));
    drop((a, b));
}

#[test]
fn a_path_and_a_range_fetch_what_they_need_and_no_more() {
    let place = Place::new();
    let tree = place.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    let big = place.file("tree/sub/big", 3, 64 << 20);
    place.file("tree/other", 4, 64 << 20);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&tree));

    let mut cat = place.store("b");
    cat.arg("cat").arg(format!("{cid}/sub/big"));
    cat.args(ALONE).args(["--bootstrap", a.tcp()]);
    cat.args(["--offset", "20MiB", "--length", "3000000"]);
    let bytes = finish(&mut cat);
    assert!(bytes.status.success(), "{}", bytes.stderr);
    let whole = std::fs::read(&big).unwrap();
    assert!(
        bytes.stdout == whole[20 << 20..][..3_000_000],
        "the range differs"
    );

    // Four leaves of 1 MiB hold it, and the nodes above them are small.
    let stat = json(&output(place.store("b").args(["repo", "stat", "--json"])));
    let held = stat["bytes"].as_u64().unwrap();
    assert!((3_000_000..5 << 20).contains(&held), "{stat}");
}

#[test]
fn what_was_fetched_is_announced_for_a_time_and_what_is_pinned_for_good() {
    let place = Place::new();
    let file = place.file("file", 21, 3 << 20);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let mut run = place.store("b");
    run.env("STORE_EXCHANGE_ANNOUNCE_CACHED", "2s");
    run.arg("run").args(ALONE);
    let b = Node::start({
        run.args(["--bootstrap", a.tcp()]);
        run
    });
    let peer = b.tcp().rsplit('/').next().unwrap().to_owned();
    let knows = |repo: &str| {
        let mut providers = place.store(repo);
        let found = finish(providers.args(["providers", &cid, "--timeout", "2s"]));
        String::from_utf8(found.stdout).unwrap().contains(&peer)
    };
    assert!(!knows("a"));
    let mut get = place.store("b");
    output(
        get.args(["get", &cid, "--timeout", "30s", "-o"])
            .arg(place.path("got")),
    );
    let limit = Duration::from_secs(60);
    eventually("B is a provider", limit, || knows("a").then_some(()));

    // Others remember for two days what they were told; who comes now was told nothing.
    assert!(a.stop().success());
    let mut newcomers = 0;
    let mut newcomer_knows = || {
        newcomers += 1;
        let repo = format!("new-{newcomers}");
        let node = place.node(&repo, &["--bootstrap", b.tcp()]);
        let knows = knows(&repo);
        assert!(node.stop().success());
        knows
    };
    eventually("it is one no longer", limit, || {
        (!newcomer_knows()).then_some(())
    });
    output(place.store("b").args(["pin", "add", &cid]));
    eventually("it is one again", limit, || newcomer_knows().then_some(()));
    drop(b);
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_thousand_random_ranges_by_cat_equal_the_files() {
    let place = Place::new();
    let size = 100 << 20;
    let file = place.file("file", 10, size);
    let whole = std::fs::read(&file).unwrap();
    let _node = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let mut dice = Noise::new(11, u64::MAX);
    let mut below = |limit: u64| {
        let mut bytes = [0; 8];
        dice.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % limit
    };
    for _ in 0..1000 {
        let offset = below(size);
        // Mostly short, some across several leaves, some past the end.
        let magnitude = 1 + below(23);
        let length = below(1 << magnitude);
        let mut cat = place.store("a");
        cat.args(["cat", &cid, "--offset", &offset.to_string()]);
        let got = finish(cat.args(["--length", &length.to_string()]));
        assert!(got.status.success(), "{}", got.stderr);
        let end = size.min(offset + length);
        let expected = &whole[usize::try_from(offset).unwrap()..usize::try_from(end).unwrap()];
        assert!(got.stdout == expected, "{length} bytes at {offset} differ");
    }
}
