//! Bytes in users' files: a `get` does not store what it writes, goes on from what it wrote, and serves
//! others from there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{ALONE, Node, Place, eventually, finish, output, same};

const MIB: u64 = 1 << 20;

/// Bytes on disk of all that is in a directory.
fn on_disk(dir: &Path) -> u64 {
    let text = output(Command::new("du").args(["-s", "--block-size=1"]).arg(dir));
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// A node whose repo may store `quota` at most.
fn small_node(place: &Place, repo: &str, quota: &str, bootstrap: &str) -> Node {
    let mut run = place.store(repo);
    run.arg("run").args(ALONE);
    run.args(["--bootstrap", bootstrap]);
    run.env("STORE_STORAGE_QUOTA", quota);
    Node::start(run)
}

/// Names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_get_of_three_times_the_quota_is_served_from_its_file() {
    let place = Place::new();
    let file = place.file("file", 3, 48 * MIB);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let b = small_node(&place, "b", "16MiB", a.tcp());
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    let b_file = out.join("file");
    output(place.store("b").args(["get", &cid, "-o"]).arg(&b_file));
    same(&file, &b_file);
    assert_eq!(names(&out), ["file"], "nothing else is left");
    let stored = on_disk(&place.path("b"));
    assert!(stored < 8 * MIB, "the repo took {stored} bytes");

    // A third one has it from the second alone, and so from its file.
    assert!(a.stop().success());
    let get = |repo: &str, out: &Path| {
        let mut get = place.store(repo);
        get.args(["get", &cid, "--timeout", "5s"]);
        get.args(ALONE).args(["--bootstrap", b.tcp()]);
        get.arg("-o").arg(out);
        get
    };
    output(&mut get("c", &place.path("c-out")));
    same(&file, &place.path("c-out"));
    // With its own repo it copies: no part of it is missing.
    output(
        place
            .store("b")
            .args(["get", &cid, "-o"])
            .arg(place.path("again")),
    );
    same(&file, &place.path("again"));

    // Moved, it is not there any more, and the file is named.
    fs::rename(&b_file, out.join("moved")).unwrap();
    let cat = finish(place.store("b").args(["cat", &cid, "--timeout", "2s"]));
    assert_ne!(cat.code(), 0);
    let named = format!("`{}` has changed since it was added", b_file.display());
    assert!(cat.stderr.contains(&named), "{}", cat.stderr);
    // Back at its place it is found again.
    fs::rename(out.join("moved"), &b_file).unwrap();
    let back = finish(place.store("b").args(["cat", &cid]));
    assert_eq!(back.stdout, fs::read(&file).unwrap());
}

#[test]
fn a_get_killed_in_the_middle_goes_on_with_its_file_and_stores_nothing() {
    let place = Place::new();
    let size = 256 * MIB;
    let file = place.file("file", 4, size);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    let get = || {
        let mut get = place.store("b");
        get.args(["get", &cid, "--bootstrap", a.tcp()]);
        get.args(ALONE).arg("-o");
        get.arg(out.join("file"))
            .env("STORE_STORAGE_QUOTA", "16MiB");
        get
    };
    let mut killed = get()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = eventually("half of it is written", Duration::from_secs(60), || {
        let part = fs::read_dir(&out).unwrap().next()?.unwrap();
        (part.metadata().unwrap().len() > size / 2).then_some(part.path())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    let name = part.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(".file.store-part-"), "{name}");
    output(&mut get());
    same(&file, &out.join("file"));
    assert_eq!(names(&out), ["file"]);
}

#[test]
fn an_add_without_a_copy_takes_no_room_and_never_gives_a_wrong_byte() {
    let place = Place::new();
    let size = 256 * MIB;
    let file = place.file("file", 5, size);
    let add = |repo: &str, path: &Path| {
        output(
            place
                .store(repo)
                .args(["add", "--quiet", "--no-copy"])
                .arg(path),
        )
    };
    let cid = add("a", &file);
    let taken = on_disk(&place.path("a"));
    assert!(taken < size / 100, "{taken} bytes of {size}");
    let copied = output(place.store("b").args(["add", "--quiet", "-n"]).arg(&file));
    assert_eq!(cid, copied, "the same CID as ever");
    let out = place.path("out");
    output(place.store("a").args(["get", &cid, "-o"]).arg(&out));
    same(&file, &out);

    let small = place.file("small", 6, 5 * MIB);
    let cid = add("a", &small);
    let whole = fs::read(&small).unwrap();
    let cat = || {
        finish(
            place
                .store("a")
                .args(["cat", &cid, "--timeout", "1s", "--no-mdns"]),
        )
    };
    assert_eq!(cat().stdout, whole);
    let told = format!("`{}` has changed since it was added", small.display());
    let fails = |what: &str| {
        let cat = cat();
        assert_ne!(cat.code(), 0, "{what}");
        assert!(whole.starts_with(&cat.stdout), "{what}: a wrong byte");
        assert!(cat.stderr.contains(&told), "{what}: {}", cat.stderr);
    };
    // One byte of the third leaf.
    let mut changed = whole.clone();
    changed[2 << 20] ^= 1;
    fs::write(&small, &changed).unwrap();
    fails("changed");
    fs::write(&small, &whole[..3 << 20]).unwrap();
    fails("cut");
    fs::remove_file(&small).unwrap();
    fails("gone");
    fs::write(&small, &whole).unwrap();
    assert_eq!(cat().stdout, whole, "the bytes are what counts");
    // An add without the flag stores: then the file may go.
    output(place.store("a").args(["add", "--quiet"]).arg(&small));
    fs::remove_file(&small).unwrap();
    assert_eq!(cat().stdout, whole);
}

#[test]
fn what_a_changed_file_has_lost_comes_from_others_and_the_file_is_named() {
    let place = Place::new();
    let file = place.file("file", 9, 5 * MIB);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let ours = place.path("ours");
    fs::copy(&file, &ours).unwrap();
    output(place.store("b").args(["add", "--no-copy"]).arg(&ours));
    let mut changed = fs::read(&ours).unwrap();
    changed[(2 << 20) + 7] ^= 1;
    fs::write(&ours, changed).unwrap();
    let out = place.path("out");
    let mut get = place.store("b");
    get.args(["get", &cid, "--bootstrap", a.tcp()]);
    get.args(ALONE).arg("-o");
    let got = finish(get.arg(&out));
    assert_eq!(got.code(), 0, "{}", got.stderr);
    same(&file, &out);
    let named = ours.to_str().unwrap();
    assert!(got.stderr.contains(named), "{}", got.stderr);
    // From now on it is here, whatever others do.
    assert!(a.stop().success());
    fs::remove_file(&out).unwrap();
    let cat = finish(place.store("b").args(["cat", &cid, "--no-mdns"]));
    assert_eq!(cat.stdout, fs::read(&file).unwrap());
}

#[test]
fn a_get_with_a_pin_copies_in_what_was_only_in_files() {
    let place = Place::new();
    let file = place.file("file", 10, 5 * MIB);
    let cid = output(
        place
            .store("a")
            .args(["add", "--quiet", "--no-copy"])
            .arg(&file),
    );
    let out = place.path("out");
    output(
        place
            .store("a")
            .args(["get", "--pin", &cid, "-o"])
            .arg(&out),
    );
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::remove_file(&out).unwrap();
    let cat = finish(place.store("a").args(["cat", &cid, "--no-mdns"]));
    assert_eq!(cat.stdout, bytes);
}

#[test]
fn what_cannot_stay_where_it_is_is_refused() {
    let place = Place::new();
    let file = place.file("file", 8, 5000);
    let mut old = place.store("a");
    old.args(["add", "--nocopy", "--profile", "unixfs-v0-2015"]);
    let refused = finish(old.arg(&file));
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("raw leaves"), "{}", refused.stderr);
    let mut piped = place.store("a");
    let refused = finish(piped.args(["add", "--no-copy", "-"]));
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("standard input"),
        "{}",
        refused.stderr
    );
}
