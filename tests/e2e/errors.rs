//! I7: whatever goes wrong is one clear line and the right exit code, without a panic or a loss.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    ALONE, Finished, Place, eventually, finish, output, signal, wait, write_noise,
};

/// A CID that nobody has.
const NOWHERE: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
/// For what takes milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// Runs a command that must fail with `code`, and one line that has all of `words`.
fn fails(command: &mut Command, code: i32, words: &[&str]) -> Finished {
    let finished = finish(command);
    assert_eq!(finished.code(), code, "{command:?}: {}", finished.stderr);
    let errors = finished.errors();
    assert_eq!(errors.len(), 1, "{command:?}: {}", finished.stderr);
    for word in words {
        assert!(
            errors[0].contains(word),
            "{command:?}: `{}` lacks `{word}`",
            errors[0]
        );
    }
    // A node tells what it does, line by line, each with its time.
    let log = |line: &str| line.contains(" INFO ");
    let others = finished
        .stderr
        .lines()
        .filter(|line| !log(line) && !line.starts_with("error:"));
    for line in others {
        assert!(
            line.starts_with("hint:"),
            "{command:?}: {}",
            finished.stderr
        );
    }
    finished
}

/// A file system of `size` in memory, or of none: read only. Needs root.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path);
        let mounted = finish(&mut mount);
        if !mounted.status.success() {
            println!(
                "SKIPPED: a tmpfs cannot be mounted here: {}",
                mounted.stderr.trim()
            );
            return None;
        }
        Some(Self(path.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn add(place: &Place, file: &Path) -> String {
    output(place.store("repo").args(["add", "--quiet"]).arg(file))
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read() {
    let place = Place::new();
    let missing = place.path("missing");
    fails(
        place.store("repo").arg("add").arg(&missing),
        1,
        &["missing", "No such file"],
    );
    // Opens well, even for root, and fails when read.
    fails(
        place.store("repo").args(["add", "/proc/self/mem"]),
        1,
        &["mem"],
    );
    if !rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt;
        let secret = place.file("secret", 1, 10);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
        fails(
            place.store("repo").arg("add").arg(&secret),
            1,
            &["secret", "denied"],
        );
    }
    assert_eq!(output(place.store("repo").args(["pin", "ls"])), "");
}

#[test]
fn what_makes_no_sense_is_usage() {
    let place = Place::new();
    for verb in ["get", "cat", "ls", "share", "providers"] {
        fails(
            place.store("repo").args([verb, "hello"]),
            2,
            &["hello", "not a CID"],
        );
    }
    fails(
        place.store("repo").args(["pin", "rm", "hello"]),
        2,
        &["hello"],
    );
    fails(
        place.store("repo").args(["get", "store://hello"]),
        2,
        &["store://hello"],
    );
    for (flags, words) in [
        ("--chunker=rabbit", ["--chunker", "rabbit"]),
        ("--hash=md5", ["--hash", "md5"]),
        (
            "--hash=blake3 --cid-version=0",
            ["--cid-version", "sha2-256 only"],
        ),
        ("--inline --inline-limit=129", ["--inline-limit", "128"]),
        (
            "--max-hamt-fanout=100",
            ["--max-hamt-fanout", "power of two"],
        ),
        ("--raw-leaves --mode=0644", ["--raw-leaves", "permissions"]),
    ] {
        let mut add = place.store("repo");
        add.arg("add").args(flags.split(' ')).arg("x");
        fails(&mut add, 2, &words);
    }
    fails(
        place.store("repo").args(["add", "--profile", "mine", "x"]),
        2,
        &["mine"],
    );
    fails(
        place.store("repo").args(["run", "--listen", "nowhere"]),
        1,
        &["--listen", "nowhere"],
    );
    assert_eq!(finish(place.store("repo").arg("frobnicate")).code(), 2);
    assert_eq!(finish(place.store("repo").arg("--help")).code(), 0);
}

#[test]
fn a_content_that_nobody_has_is_not_found() {
    let place = Place::new();
    let out = place.path("out");
    let mut get = place.store("repo");
    get.args(["get", NOWHERE, "--timeout", "1s", "-o"])
        .arg(&out)
        .args(ALONE);
    let alone = fails(&mut get, 3, &[NOWHERE]);
    assert!(
        alone.elapsed < Duration::from_secs(15),
        "{:?}",
        alone.elapsed
    );
    assert!(!out.exists());

    let node = place.node("node", &[]);
    let mut get = place.store("repo");
    get.args([
        "get",
        NOWHERE,
        "--timeout",
        "2s",
        "--bootstrap",
        node.tcp(),
        "-o",
    ]);
    let asked = fails(get.arg(&out).args(ALONE), 3, &[NOWHERE]);
    assert!(
        asked.elapsed < Duration::from_secs(20),
        "{:?}",
        asked.elapsed
    );
    fails(
        place
            .store("repo")
            .args(["block", "stat", "--local", NOWHERE]),
        3,
        &[NOWHERE],
    );
}

#[test]
fn a_port_in_use() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    fails(
        place
            .store("repo")
            .args(["run", "--no-mdns", "--listen", &listen]),
        1,
        &[&port],
    );
    let metrics = format!("127.0.0.1:{port}");
    let mut run = place.store("repo");
    run.arg("run").args(ALONE).args(["--metrics", &metrics]);
    fails(&mut run, 1, &[&port]);
    // And nothing is left in the way.
    assert!(place.node("repo", &[]).stop().success());
}

#[test]
fn a_second_node_on_one_repo() {
    let place = Place::new();
    let node = place.node("repo", &[]);
    let mut second = place.store("repo");
    second.arg("run").args(ALONE);
    fails(&mut second, 1, &["already", "repo"]);
    output(place.store("repo").arg("id"));
    assert!(node.stop().success());
}

#[test]
fn a_repo_of_a_newer_format_is_left_alone() {
    let place = Place::new();
    output(place.store("repo").arg("init"));
    fs::write(place.path("repo/format"), "7\n").unwrap();
    fails(place.store("repo").args(["repo", "stat"]), 1, &["format 7"]);
    fails(place.store("repo").arg("run"), 1, &["format 7"]);
    assert_eq!(
        fs::read_to_string(place.path("repo/format")).unwrap(),
        "7\n"
    );

    // Nor does a directory become a repo that is something else.
    fs::create_dir(place.path("photos")).unwrap();
    fs::write(place.path("photos/cat.jpg"), "cat").unwrap();
    fails(place.store("photos").arg("init"), 1, &["photos", "no repo"]);
    assert_eq!(entries(&place.path("photos")).len(), 1);
}

#[test]
fn garbage_in_the_settings_names_its_place() {
    let place = Place::new();
    output(place.store("repo").arg("init"));
    let file = place.path("repo/store.toml");
    for (text, words) in [
        (
            "[network]\nnmae = \"x\"\n",
            &["store.toml", "line 2", "nmae"][..],
        ),
        (
            "[network]\n\nmdns = 3\n",
            &["line 3", "network.mdns", "boolean"],
        ),
        ("\u{1}garbage", &["line 1"]),
    ] {
        fs::write(&file, text).unwrap();
        fails(place.store("repo").arg("id"), 1, words);
    }
    fs::remove_file(file).unwrap();
    fails(
        place.store("repo").arg("id").env("STORE_NETWROK_NAME", "x"),
        1,
        &["STORE_NETWROK_NAME"],
    );
    let mut named = place.store("repo");
    fails(
        named.args(["id", "--config", "/no/such/file"]),
        1,
        &["/no/such/file"],
    );
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    let small = place.file("small", 1, 300 << 10);
    let big = place.file("big", 2, 96 << 20);
    let Some(disk) = Tmpfs::new(&place.path("disk"), "size=48m") else {
        return;
    };
    let store = || place.store("disk/repo");

    let cid = output(store().args(["add", "--quiet"]).arg(&small));
    fails(store().arg("add").arg(&big), 1, &["full"]);
    let kept = finish(store().args(["cat", &cid]).args(ALONE));
    assert!(kept.status.success(), "{}", kept.stderr);
    assert!(
        kept.stdout == fs::read(&small).unwrap(),
        "what was added before is whole"
    );
    assert_eq!(output(store().args(["pin", "ls"])), cid);

    // The disk that a get writes to.
    let big = add(&place, &big);
    let out = disk.0.join("out");
    fails(
        place.store("repo").args(["get", &big, "-o"]).arg(&out),
        1,
        &["no space", "out"],
    );
    assert_eq!(
        entries(&disk.0),
        [disk.0.join("repo")],
        "nothing is left of it"
    );
}

#[test]
fn a_node_goes_on_when_a_full_disk_has_room_again() {
    let place = Place::new();
    let (before, after) = (
        place.file("before", 1, 300 << 10),
        place.file("after", 3, 5 << 20),
    );
    let big = place.file("big", 2, 96 << 20);
    let Some(disk) = Tmpfs::new(&place.path("disk"), "size=256m") else {
        return;
    };
    let store = || place.store("disk/repo");
    let add = |path: &Path| {
        let mut add = store();
        add.args(["add", "--quiet"]).arg(path);
        add
    };
    let node = place.node("disk/repo", &[]);
    let kept = output(&mut add(&before));
    let ballast = disk.0.join("ballast");
    write_noise(&ballast, 4, 200 << 20);
    fails(&mut add(&big), 1, &["full"]);
    assert_eq!(
        output(store().args(["pin", "ls"])),
        kept,
        "it still answers"
    );

    fs::remove_file(&ballast).unwrap();
    let added = eventually("there is room again", SOON, || {
        let added = finish(&mut add(&after));
        added.status.success().then(|| added.text())
    });
    let big_cid = output(&mut add(&big));
    // What it said is true without it.
    node.kill();
    for (cid, file) in [(kept, &before), (added, &after), (big_cid, &big)] {
        let got = finish(store().args(["cat", &cid]).args(ALONE));
        assert!(got.status.success(), "{}", got.stderr);
        assert!(got.stdout == fs::read(file).unwrap(), "{cid} is whole");
    }
    assert!(finish(store().arg("verify")).status.success());
}

#[test]
fn a_target_that_cannot_be_written() {
    let place = Place::new();
    let cid = add(&place, &place.file("file", 1, 5000));
    let get = |to: &Path| {
        let mut get = place.store("repo");
        get.args(["get", &cid, "-o"]).arg(to);
        get
    };
    fails(
        &mut get(&place.path("no/such/dir/out")),
        1,
        &["no/such/dir"],
    );
    if let Some(disk) = Tmpfs::new(&place.path("read-only"), "ro") {
        fails(
            &mut get(&disk.0.join("out")),
            1,
            &["read-only", "cannot be written"],
        );
    }

    let there = place.path("there");
    fs::write(&there, "mine").unwrap();
    let refused = fails(&mut get(&there), 1, &["there", "exists"]);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
    output(get(&there).arg("--force"));
    assert_eq!(
        fs::read(&there).unwrap(),
        fs::read(place.path("file")).unwrap()
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    let cid = add(&place, &place.file("file", 1, 8 << 20));
    let mut cat = place.store("repo");
    cat.args(["cat", &cid])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = cat.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let status = wait(&mut child, SOON).expect("it ends");
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

/// Presses Ctrl-C, and says how the command ended.
fn interrupt(mut child: Child) -> (Option<i32>, String) {
    signal(&child, Signal::INT);
    let status = wait(&mut child, SOON).expect("it ends soon");
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (status.code(), said)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::piped())
}

#[test]
fn ctrl_c_during_an_add_keeps_nothing_of_it() {
    let place = Place::new();
    let start = || {
        let mut add = place.store("repo");
        let mut child = quiet(&mut add)
            .args(["add", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(&vec![7; 5 << 20])
            .unwrap();
        child
    };
    // The pipe holds 64 KiB, so somebody has read nearly all of it: the command itself, or the node.
    assert_eq!(interrupt(start()), (Some(130), String::new()));
    assert_eq!(output(place.store("repo").args(["pin", "ls"])), "");

    let node = place.node("repo", &[]);
    assert_eq!(interrupt(start()), (Some(130), String::new()));
    assert_eq!(output(place.store("repo").args(["pin", "ls"])), "");
    assert!(node.stop().success());
}

#[test]
fn ctrl_c_during_a_get_leaves_what_it_can_go_on_with() {
    let place = Place::new();
    let file = place.file("file", 1, 192 << 20);
    let node = place.node("far", &[]);
    let cid = output(place.store("far").args(["add", "--quiet"]).arg(&file));
    let dir = place.path("out");
    fs::create_dir(&dir).unwrap();
    let mut get = place.store("repo");
    quiet(&mut get)
        .args(["get", &cid, "--bootstrap", node.tcp(), "-o"])
        .arg(dir.join("file"));
    let child = get.args(ALONE).spawn().unwrap();
    eventually("something is written", SOON, || {
        let begun = |path: &PathBuf| fs::metadata(path).is_ok_and(|part| part.len() > 0);
        entries(&dir).pop().filter(begun)
    });
    // Now it cannot finish.
    signal(node.child(), Signal::STOP);
    assert_eq!(interrupt(child), (Some(130), String::new()));
    let [part] = &entries(&dir)[..] else {
        panic!("not one file: {:?}", entries(&dir));
    };
    let name = part.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(".file.store-part-"), "{name}");
    signal(node.child(), Signal::CONT);
    assert!(node.stop().success());
}

#[test]
fn a_node_ends_in_order_when_it_is_told_to() {
    let place = Place::new();
    let node = place.node("repo", &[]);
    eventually("the log says where it listens", SOON, || {
        node.log()
            .iter()
            .find(|line| line.contains("listening"))
            .cloned()
    });
    assert_eq!(node.stop().code(), Some(0), "SIGTERM");
    assert_eq!(
        place.node("repo", &[]).end(Signal::INT).code(),
        Some(130),
        "Ctrl-C"
    );
    let left: Vec<PathBuf> = entries(&place.path("repo"));
    assert!(
        !left.iter().any(|path| path.ends_with("api.sock")),
        "{left:?}"
    );
    write_noise(&place.path("file"), 3, 1000);
    add(&place, &place.path("file"));
}
