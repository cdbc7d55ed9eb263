//! Adding again: what has not changed is not read, what was cut off goes on, what cannot be read is
//! named, and the rest is added.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Finished, Place, eventually, finish, output};

const MIB: u64 = 1 << 20;

/// Waits until what lies at `path`, and in it, is two seconds old: younger files are not trusted.
fn settled(path: &Path) {
    eventually("two seconds are over", Duration::from_secs(10), || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_millis()).unwrap();
        let changed = fs::metadata(path).unwrap();
        let changed = changed.ctime() * 1000 + changed.ctime_nsec() / 1_000_000;
        (now - changed > 2100).then_some(())
    });
}

/// The root, and the bytes that were read for it.
fn added(command: &mut Command) -> (String, u64) {
    let line = output(command.arg("--json"));
    let json: Value = serde_json::from_str(&line).unwrap();
    let root = json["cid"].as_str().unwrap().to_owned();
    (root, json["bytes_read"].as_u64().unwrap())
}

fn add(place: &Place, repo: &str, more: &[&str], path: &Path) -> (String, u64) {
    added(place.store(repo).arg("add").args(more).arg(path))
}

/// A tree of three small files and one of many blocks; its bytes.
fn tree(place: &Place) -> u64 {
    fs::create_dir_all(place.path("tree/sub")).unwrap();
    for (seed, name) in (1..).zip(["tree/a", "tree/sub/b", "tree/sub/c"]) {
        place.file(name, seed, 5000);
    }
    place.file("tree/large", 9, 3 * MIB + 1);
    settled(&place.path("tree/large"));
    15_000 + 3 * MIB + 1
}

#[test]
fn an_unchanged_tree_is_not_read_again_with_a_node_and_without() {
    let place = Place::new();
    let bytes = tree(&place);
    let path = place.path("tree");
    let (root, read) = add(&place, "repo", &[], &path);
    assert_eq!(read, bytes);
    assert_eq!(add(&place, "repo", &[], &path), (root.clone(), 0));
    let node = place.node("repo", &[]);
    assert_eq!(add(&place, "repo", &[], &path), (root.clone(), 0));
    assert!(node.stop().success());
    // Asked to read, made in another way, or seen through another path: read.
    assert_eq!(add(&place, "repo", &["--no-cache"], &path).1, bytes);
    let other = ["--chunker", "size-4096"];
    assert_eq!(add(&place, "repo", &other, &path).1, bytes);
    assert_eq!(add(&place, "repo", &other, &path).1, 0);
    fs::rename(place.path("tree"), place.path("moved")).unwrap();
    assert_eq!(
        add(&place, "repo", &[], &place.path("moved")),
        (root, bytes)
    );
}

#[test]
fn what_changed_is_read_whatever_its_size_and_time() {
    let place = Place::new();
    tree(&place);
    let path = place.path("tree");
    add(&place, "repo", &[], &path);
    // The same size, and the old time: only the inode's own time tells.
    let file = path.join("sub/b");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    place.file("tree/sub/b", 77, 5000);
    fs::File::open(&file).unwrap().set_modified(before).unwrap();
    let (root, read) = add(&place, "repo", &[], &path);
    assert_eq!(read, 5000);
    assert_eq!(root, add(&place, "fresh", &[], &path).0);
    // It is too young to be trusted, and stays so.
    assert_eq!(add(&place, "repo", &[], &path), (root, 5000));
}

fn partial(finished: &Finished) -> Vec<&str> {
    assert_eq!(finished.code(), 6, "{}", finished.stderr);
    finished
        .stderr
        .lines()
        .filter(|line| line.starts_with("not added: "))
        .collect()
}

/// Whoever is root may read everything: what cannot be read here is no file.
#[test]
fn what_cannot_be_added_is_named_and_the_rest_is_added() {
    let place = Place::new();
    tree(&place);
    let whole = add(&place, "repo", &[], &place.path("tree")).0;
    let _socket = std::os::unix::net::UnixListener::bind(place.path("tree/sub/socket")).unwrap();
    let result = finish(
        place
            .store("repo")
            .args(["add", "--quiet"])
            .arg(place.path("tree")),
    );
    let named = partial(&result);
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].contains("tree/sub/socket") && named[0].contains("a socket"));
    assert_eq!(String::from_utf8_lossy(&result.stdout).trim(), whole);
    assert_eq!(result.errors().len(), 1, "{}", result.stderr);

    // A path that is not there, beside one that is.
    let mut add = place.store("repo");
    add.args(["add", "--json"]);
    add.arg(place.path("missing")).arg(place.path("tree/a"));
    let result = finish(&mut add);
    assert_eq!(partial(&result).len(), 1);
    let lines: Vec<Value> = String::from_utf8(result.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["name"], "a");
    assert!(lines[1]["path"].as_str().unwrap().ends_with("/missing"));
    assert!(
        lines[1]["skipped"]
            .as_str()
            .unwrap()
            .contains("No such file")
    );

    // Nothing at all.
    let result = finish(
        place
            .store("repo")
            .arg("add")
            .arg(place.path("tree/sub/socket")),
    );
    assert_eq!((result.code(), result.errors().len()), (1, 1));
}

#[test]
fn rules_leave_out_what_they_match() {
    let place = Place::new();
    tree(&place);
    let path = place.path("tree");
    fs::write(place.path("rules"), "# no c\nc\n/sub/b\n").unwrap();
    let rules = place.path("rules");
    let by_file = ["--ignore-rules-path", rules.to_str().unwrap()];
    let by_flags = ["--ignore", "c", "--ignore", "b"];
    let (root, _) = add(&place, "repo", &by_file, &path);
    assert_eq!(add(&place, "repo", &by_flags, &path).0, root);
    fs::remove_file(path.join("sub/b")).unwrap();
    fs::remove_file(path.join("sub/c")).unwrap();
    assert_eq!(add(&place, "repo", &[], &path).0, root);
    let bad = finish(
        place
            .store("repo")
            .args(["add", "--ignore", "[z-a]"])
            .arg(&path),
    );
    assert_eq!(bad.code(), 2, "{}", bad.stderr);
}

/// Kills an add once it has read `after` bytes of `path`; says whether it was still at it.
fn killed(place: &Place, path: &Path, after: u64) {
    let mut add = place.store("repo");
    add.args(["add", "--quiet"]).arg(path);
    let mut child = add
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let io = format!("/proc/{}/io", child.id());
    eventually("it has read so much", Duration::from_secs(120), || {
        let io = fs::read_to_string(&io).ok()?;
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: "))?;
        (read.parse::<u64>().unwrap() > after).then_some(())
    });
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was faster than the kill");
}

#[test]
fn one_large_file_that_was_cut_off_goes_on_where_it_was() {
    let place = Place::new();
    let size = 640 * MIB;
    let file = place.file("large", 5, size);
    settled(&file);
    killed(&place, &file, 450 * MIB);
    let (root, read) = add(&place, "repo", &[], &file);
    // What was read up to the last durable point is not read again: at least 128 of 450 MiB.
    assert!(read <= size - 128 * MIB, "{} MiB read again", read / MIB);
    let mut hash = place.store("other");
    hash.args(["add", "--quiet", "--only-hash"]).arg(&file);
    assert_eq!(root, output(&mut hash));
    assert_eq!(add(&place, "repo", &[], &file), (root, 0));
}

#[test]
fn a_tree_that_was_cut_off_goes_on_where_it_was() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    let (count, size) = (60, 10 * MIB);
    for i in 0..count {
        place.file(&format!("tree/{i:02}"), i, size);
    }
    settled(&tree.join("59"));
    killed(&place, &tree, 420 * MIB);
    let (root, read) = add(&place, "repo", &[], &tree);
    assert!(read <= count * size - 120 * MIB, "{} MiB", read / MIB);
    assert_eq!(add(&place, "repo", &[], &tree), (root, 0));
}
