//! Parts of contents: whoever holds one serves it, whatever content it is a part of, and what two
//! contents share moves once.

use std::path::Path;

use crate::support::{Metrics, Node, Place, leaves, output, same};

fn add(place: &Place, repo: &str, path: &Path) -> String {
    let mut add = place.store(repo);
    output(add.args(["add", "--quiet", "--no-pin"]).arg(path))
}

/// Gets into a node of its own, which knows these.
fn get(place: &Place, repo: &str, known: &[&Node], cid: &str) -> std::path::PathBuf {
    let bootstrap: Vec<&str> = known
        .iter()
        .flat_map(|n| ["--bootstrap", n.tcp()])
        .collect();
    let node = place.node(repo, &bootstrap);
    let out = place.path(&format!("{repo}-out"));
    let mut get = place.store(repo);
    output(get.args(["get", cid, "--timeout", "30s", "-o"]).arg(&out));
    assert!(node.stop().success());
    out
}

#[test]
fn a_holder_of_one_file_serves_its_part_of_a_directory() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("tree/sub")).unwrap();
    place.file("tree/one", 1, 5 << 20);
    let two = place.file("tree/sub/two", 2, 5 << 20);
    let tree = place.path("tree");

    // A has all of the directory but the leaves of one file; B has that file, and no more.
    let cid = add(&place, "a", &tree);
    output(place.store("a").args(["block", "rm"]).args(leaves(&two)));
    let a = place.node("a", &[]);
    add(&place, "b", &two);
    let b = place.node("b", &[]);
    same(&tree, &get(&place, "c", &[&a, &b], &cid));
}

#[test]
fn halves_of_a_file_make_it_whole() {
    let place = Place::new();
    let file = place.file("file", 3, 20 << 20);
    let leaves = leaves(&file);
    let cid = add(&place, "a", &file);
    add(&place, "b", &file);
    let every = |from: usize| leaves.iter().skip(from).step_by(2);
    output(place.store("a").args(["block", "rm"]).args(every(0)));
    output(place.store("b").args(["block", "rm"]).args(every(1)));
    let (a, b) = (place.node("a", &[]), place.node("b", &[]));
    same(&file, &get(&place, "c", &[&a, &b], &cid));
}

#[test]
fn of_a_second_version_what_is_new_moves() {
    let place = Place::new();
    for i in 0..64 {
        let directory = format!("tree/{:02}", i / 8);
        std::fs::create_dir_all(place.path(&directory)).unwrap();
        place.file(&format!("{directory}/{i:02}"), i, 1 << 20);
    }
    let tree = place.path("tree");
    let a = place.node("a", &[]);
    let first = add(&place, "a", &tree);
    let metrics = Metrics::free();
    let [flag, address] = metrics.flags();
    let b = place.node("b", &[flag, address, "--bootstrap", a.tcp()]);
    let get = |cid: &str, to: &str| {
        let out = place.path(to);
        let mut get = place.store("b");
        output(get.args(["get", cid, "--timeout", "30s", "-o"]).arg(&out));
        out
    };
    same(&tree, &get(&first, "first"));
    let before = metrics.received();
    assert!(before >= 64 << 20, "{before}");

    place.file("tree/03/30", 999, 1 << 20);
    let second = add(&place, "a", &tree);
    same(&tree, &get(&second, "second"));
    let moved = metrics.received() - before;
    println!("of 64 MiB with one file of 1 MiB changed, {moved} bytes moved");
    // The file, and the nodes above it.
    assert!(
        (1 << 20..(1 << 20) + (64 << 10)).contains(&moved),
        "{moved}"
    );
    drop((a, b));
}
