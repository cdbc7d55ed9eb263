//! `get --stdin`: many contents in one conversation.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{ALONE, Finished, Node, Place, finish, output, same};

/// Runs `command` with `input` on its standard input.
fn fed(command: &mut Command, place: &Place, input: &str) -> Finished {
    let path = place.path("input");
    std::fs::write(&path, input).unwrap();
    finish(command.stdin(std::fs::File::open(path).unwrap()))
}

/// So many files of 4 KiB of their own in the directory `dir`, and their CIDs, added to `repo`.
fn many(place: &Place, repo: &str, dir: &str, count: u64) -> Vec<(String, std::path::PathBuf)> {
    std::fs::create_dir_all(place.path(dir)).unwrap();
    let files: Vec<_> = (0..count)
        .map(|i| place.file(&format!("{dir}/{i:05}"), 1000 + i, 4096))
        .collect();
    let added = output(place.store(repo).args(["add", "--quiet"]).args(&files));
    let cids: Vec<String> = added.lines().map(str::to_owned).collect();
    assert_eq!(cids.len(), files.len());
    cids.into_iter().zip(files).collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    std::fs::read_dir(dir).unwrap().map(name).collect()
}

fn pair(place: &Place) -> (Node, Node) {
    let a = place.node("a", &[]);
    let b = place.node("b", &["--bootstrap", a.tcp()]);
    (a, b)
}

/// A CID that nobody has.
const NOBODYS: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

#[test]
fn what_can_be_had_is_written_and_the_rest_is_named() {
    let place = Place::new();
    let (a, b) = pair(&place);
    let small = many(&place, "a", "small", 500);
    // Larger ones among them: a tree, a path into it, a file of many leaves, an empty file.
    let tree = place.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    place.file("tree/sub/inner", 7, 3 << 20);
    std::fs::write(tree.join("plain"), "plain").unwrap();
    let big = place.file("big", 8, 20 << 20);
    let empty = place.file("empty", 9, 0);
    let add = |path: &Path| output(place.store("a").args(["add", "--quiet"]).arg(path));
    let (tree_cid, big_cid, empty_cid) = (add(&tree), add(&big), add(&empty));

    let mut input: Vec<String> = small.iter().map(|(cid, _)| cid.clone()).collect();
    input.insert(300, format!("/ipfs/{big_cid}\n{empty_cid}"));
    input.insert(200, format!("  {tree_cid}/sub/inner \n\nno CID"));
    input.insert(100, format!("{tree_cid}\n{NOBODYS}"));
    // Without a line's end at the end.
    let input = input.join("\n");

    let to = place.path("to");
    let mut get = place.store("b");
    get.args(["get", "--stdin", "--timeout", "3s", "-o"])
        .arg(&to);
    let got = fed(&mut get, &place, &input);
    assert_eq!(got.code(), 6, "{}", got.stderr);
    let not_got = got
        .stderr
        .lines()
        .filter(|line| line.starts_with("not got: "));
    let mut not_got: Vec<_> = not_got.collect();
    not_got.sort_unstable();
    assert_eq!(not_got.len(), 2, "{}", got.stderr);
    assert!(not_got[0].contains(NOBODYS), "{not_got:?}");
    assert!(not_got[1].contains("no CID"), "{not_got:?}");
    assert!(
        got.errors()[0].contains("2 of 506 contents"),
        "{:?}",
        got.errors()
    );

    for (cid, file) in &small {
        assert_eq!(
            std::fs::read(to.join(cid)).unwrap(),
            std::fs::read(file).unwrap()
        );
    }
    same(&tree, &to.join(&tree_cid));
    same(&tree.join("sub/inner"), &to.join("inner"));
    same(&big, &to.join(&big_cid));
    same(&empty, &to.join(&empty_cid));
    assert_eq!(names(&to).len(), 504, "nothing else is left");
    let lines: BTreeSet<_> = String::from_utf8(got.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 504);
    let inner = format!("  {}", to.join("inner").display());
    assert!(lines.iter().any(|line| line.ends_with(&inner)), "a path");
    drop((a, b));
}

#[test]
fn what_is_there_stays_unless_told_otherwise() {
    let place = Place::new();
    let small = many(&place, "a", "small", 2);
    let two = format!("{}\n{}\n", small[0].0, small[1].0);
    let to = place.path("to");
    std::fs::create_dir(&to).unwrap();
    let there = to.join(&small[0].0);
    std::fs::write(&there, "mine").unwrap();
    let mut get = place.store("a");
    get.args(["get", "--stdin", "--json", "-o"]).arg(&to);
    let got = fed(&mut get, &place, &two);
    assert_eq!(got.code(), 6, "{}", got.stderr);
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    let lines: Vec<serde_json::Value> = String::from_utf8(got.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let with = |field: &str| lines.iter().find(|line| !line[field].is_null()).unwrap();
    assert!(
        with("error")["error"].as_str().unwrap().contains("exists"),
        "{lines:?}"
    );
    assert_eq!(with("cid")["cid"], small[1].0.as_str());
    assert_eq!(with("cid")["bytes"], 4096);
    let mut get = place.store("a");
    get.args(["get", "--stdin", "--force", "-o"]).arg(&to);
    let got = fed(&mut get, &place, &two);
    assert_eq!(got.code(), 0, "{}", got.stderr);
    same(&small[0].1, &there);
}

#[test]
fn each_is_written_before_the_next_is_named() {
    let place = Place::new();
    let (a, b) = pair(&place);
    let small = many(&place, "a", "small", 3);
    let to = place.path("to");
    let mut get = place.store("b");
    get.args(["get", "--stdin", "-o"]).arg(&to);
    let mut child = get
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for (cid, file) in &small {
        writeln!(input, "{cid}").unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with(cid.as_str()), "{line}");
        same(file, &to.join(cid));
    }
    drop(input);
    let status = crate::support::wait(&mut child, Duration::from_secs(30)).unwrap();
    assert!(status.success());
    drop((a, b));
}

#[test]
fn a_command_without_a_node_finds_the_peers_that_it_is_told_of() {
    let place = Place::new();
    let a = place.node("a", &[]);
    let small = many(&place, "a", "small", 300);
    let input: Vec<_> = small.iter().map(|(cid, _)| cid.as_str()).collect();
    let to = place.path("to");
    let mut get = place.store("b");
    get.args(["get", "--stdin"]).args(ALONE);
    get.args(["--bootstrap", a.tcp(), "-o"]).arg(&to);
    let got = fed(&mut get, &place, &input.join("\n"));
    assert_eq!(got.code(), 0, "{}", got.stderr);
    for (cid, file) in &small {
        same(file, &to.join(cid));
    }
    drop(a);
}
