//! Copies on other members, between real nodes: waited for, looked at, made again when a member dies; and what
//! is said where there are too few members, or no node.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Finished, Node, Place, eventually, finish, output, same, signal};

/// Until a dead member is known to be gone, and a copy is made in its place, on a machine with other things
/// to do.
pub const SOON: Duration = Duration::from_secs(120);

/// Waits of replication are so much shorter: ten minutes are a second.
const SCALE: &str = "600";

/// Repos of one private swarm.
pub struct Swarm {
    pub place: Place,
    key: String,
    scale: &'static str,
}

impl Swarm {
    /// Its first member is `a`.
    fn new() -> Self {
        Self::at(SCALE)
    }

    /// With waits so many times shorter.
    pub fn at(scale: &'static str) -> Self {
        let place = Place::new();
        let key = output(place.store("a").args(["swarm", "init", "--quiet"]));
        Self { place, key, scale }
    }

    /// A node on `repo`, which the others find by `at`.
    pub fn node(&self, repo: &str, at: Option<&Node>) -> Node {
        if repo != "a" {
            output(self.place.store(repo).args(["swarm", "join", &self.key]));
        }
        let mut run = self.place.store(repo);
        run.args(["run", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        if let Some(at) = at {
            run.args(["--bootstrap", at.tcp()]);
        }
        // However full this machine's disk is, the members have room.
        run.env("STORE_STORAGE_QUOTA", "1GiB");
        run.env("STORE_REPLICATION_TIME_SCALE", self.scale);
        Node::start(run)
    }

    pub fn run(&self, repo: &str, args: &[&str]) -> Finished {
        finish(self.place.store(repo).args(args))
    }

    /// The objects that a command prints, and its exit code.
    pub fn json(&self, repo: &str, args: &[&str]) -> (Vec<Value>, i32) {
        let finished = finish(self.place.store(repo).arg("--json").args(args));
        let text = std::str::from_utf8(&finished.stdout).unwrap().lines();
        let objects = text.map(|line| serde_json::from_str(line).unwrap());
        (objects.collect(), finished.code())
    }

    /// Waits until `repo` sees so many members, all with room.
    pub fn sees(&self, repo: &str, count: usize) {
        eventually("all members are known, with their room", SOON, || {
            let (members, _) = self.json(repo, &["members"]);
            let ready = |it: &&Value| {
                it["health"] == "alive" && it["free"].as_u64().is_some_and(|free| free > 1 << 20)
            };
            (members.iter().filter(ready).count() == count).then_some(())
        });
    }

    pub fn add(&self, repo: &str, file: &str, seed: u64, more: &[&str]) -> Finished {
        let file = self.place.file(file, seed, 3 << 20);
        let mut add = self.place.store(repo);
        finish(add.args(["add", "--quiet"]).arg(&file).args(more))
    }

    /// The status of a content, once it is at its target there.
    pub fn at_target(&self, repo: &str, cid: &str) -> Value {
        eventually("as many copies as are wanted", SOON, || {
            let (mut told, code) = self.json(repo, &["status", cid]);
            (code == 0).then(|| told.pop().unwrap())
        })
    }
}

pub fn peer(node: &Node) -> String {
    node.tcp().rsplit('/').next().unwrap().to_owned()
}

/// Who has a copy, by the status of a content.
pub fn holders(status: &Value) -> Vec<String> {
    let live = status["members"].as_array().unwrap().iter();
    let live = live.filter(|it| it["live"] == true);
    live.map(|it| it["peer"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn copies_are_waited_for_looked_at_and_made_again() {
    let swarm = Swarm::new();
    let a = swarm.node("a", None);
    let others = ["b", "c"].map(|repo| (repo, swarm.node(repo, Some(&a))));
    swarm.sees("a", 3);

    let quorum = swarm.add("a", "one", 1, &["--wait", "quorum"]);
    let cid = quorum.text();
    assert_eq!(cid.lines().count(), 1, "the CID and nothing else: {cid}");
    let all = swarm.add("a", "two", 2, &["--wait", "all", "--priority", "3"]);
    let second = all.text();
    assert!(all.stderr.contains("all copies are made"), "{}", all.stderr);

    for cid in [&cid, &second] {
        let status = swarm.at_target("a", cid);
        assert_eq!(status["cid"], cid.as_str());
        assert_eq!(
            (&status["live"], &status["verified"]),
            (&3.into(), &3.into())
        );
        assert_eq!(status["wanted"]["target"], 3, "{status}");
        assert_eq!(status["missing_segments"], 0, "{status}");
        assert_eq!(status["owners"], serde_json::json!([peer(&a)]));
        let mut expected = vec![peer(&a)];
        expected.extend(others.iter().map(|(_, node)| peer(node)));
        let mut held = holders(&status);
        held.sort();
        expected.sort();
        assert_eq!(held, expected);
        for repo in ["a", "b", "c"] {
            eventually("each has what belongs to it", SOON, || {
                let (local, code) = swarm.json(repo, &["status", cid, "--local"]);
                (code == 0 && local[0]["complete"] == true).then_some(())
            });
        }
    }
    let shown = swarm.run("a", &["status", &cid]).text();
    for part in [
        "3 copies (2 to 5), by 1 owner",
        "3 verified, 3 live",
        "this node",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    look_at_the_node(&swarm);

    // A fourth comes, and one of the first dies: its copies are made there.
    let d = swarm.node("d", Some(&a));
    swarm.sees("a", 4);
    let [(_, b), (_, c)] = others;
    let (dead, fourth) = (peer(&b), peer(&d));
    b.kill();
    for cid in [&cid, &second] {
        let found = eventually("the copy is made on the fourth", SOON, || {
            let (told, code) = swarm.json("a", &["status", cid]);
            let held = holders(told.last()?);
            let moved = held.contains(&fourth) && !held.contains(&dead);
            (code == 0 && moved).then(|| told[0].clone())
        });
        assert_eq!(found["verified"], 3, "{found}");
    }
    drop((a, c, d));
}

/// What the node says of itself, and lets itself be told.
fn look_at_the_node(swarm: &Swarm) {
    let (told, code) = swarm.json("a", &["status"]);
    assert_eq!(code, 0);
    let told = &told[0];
    assert_eq!(
        (&told["members"]["in_sight"], &told["pins"]),
        (&3.into(), &2.into())
    );
    assert_eq!(told["held_segments"], 2, "{told}");
    assert_eq!(told["repair"]["rate"], 32 << 20, "{told}");
    assert_eq!(told["brakes"]["blind"], false, "{told}");
    let shown = swarm.run("a", &["status"]).text();
    assert!(shown.contains("3 of 3 in sight"), "{shown}");

    let rate = |args: &[&str]| swarm.run("a", &[&["repair"], args].concat()).text();
    assert_eq!(
        rate(&["--rate", "64MiB"]),
        "64.0 MiB/s, by the settings 32.0 MiB/s"
    );
    assert_eq!(rate(&["--pause"]), "paused; 32.0 MiB/s when resumed");
    let (found, code) = swarm.json("a", &["doctor"]);
    assert_eq!(code, 6);
    assert_eq!(found[0]["kind"], "paused", "{found:?}");
    assert_eq!(rate(&["--resume"]), "32.0 MiB/s");
    assert_eq!(rate(&[]), "32.0 MiB/s");
    let (found, code) = swarm.json("a", &["doctor"]);
    assert_eq!(code, 0, "{found:?}");
    assert!(found.iter().all(|it| it["serious"] == false), "{found:?}");
}

#[test]
fn two_members_are_too_few_for_three_copies_and_that_is_said() {
    let swarm = Swarm::new();
    let a = swarm.node("a", None);
    let b = swarm.node("b", Some(&a));
    swarm.sees("a", 2);
    let waits = ["--replicas", "3", "--wait", "all", "--wait-timeout", "10s"];
    let partial = swarm.add("a", "file", 3, &waits);
    assert_eq!(partial.code(), 6, "{}", partial.stderr);
    let cid = String::from_utf8(partial.stdout.clone()).unwrap();
    let cid = cid.trim_end();
    assert!(cid.starts_with("bafy"), "{cid}");
    let [error] = partial.errors()[..] else {
        panic!("{}", partial.stderr)
    };
    assert!(error.contains("only 0 of 1 part has all copies"), "{error}");
    assert!(
        partial.stderr.contains("repair loop goes on"),
        "{}",
        partial.stderr
    );

    // Two are a quorum of three, and below target.
    let again = ["--replicas", "3", "--wait", "quorum"];
    assert_eq!(swarm.add("a", "file", 3, &again).text(), cid);
    let status = swarm.run("a", &["status", cid]);
    assert_eq!(status.code(), 6);
    assert!(
        status.stderr.contains("2 verified copies of 3"),
        "{}",
        status.stderr
    );

    // With what there are members for it is at its target.
    let set = swarm.run(
        "a",
        &["pin", "set", cid, "--replicas", "2", "--wait", "all"],
    );
    assert_eq!(set.text(), format!("{cid}  2 copies (2 to 4)"));
    swarm.at_target("a", cid);

    // Who unpins it wants no copies either, and says so.
    let rm = swarm.run("a", &["pin", "rm", cid]);
    assert_eq!(rm.code(), 0, "{}", rm.stderr);
    assert!(
        rm.stderr.contains("no copies on other members"),
        "{}",
        rm.stderr
    );
    assert_eq!(swarm.run("a", &["status", cid]).code(), 3);
    assert_eq!(swarm.run("a", &["pin", "rm", cid]).code(), 3);
    drop((a, b));
}

#[test]
fn without_a_node_the_command_serves_until_there_are_copies() {
    let swarm = Swarm::new();
    let a = swarm.node("a", None);
    let others = ["b", "c"].map(|repo| swarm.node(repo, Some(&a)));
    swarm.sees("a", 3);
    output(swarm.place.store("d").args(["swarm", "join", &swarm.key]));
    let file = swarm.place.file("file", 7, 3 << 20);
    let add = |more: &[&str]| {
        let mut add = swarm.place.store("d");
        add.args(["add", "--quiet", "--replicas", "3"]).arg(&file);
        add.env("STORE_NETWORK_BOOTSTRAP", a.tcp());
        add.env("STORE_NETWORK_MDNS", "false");
        add.env("STORE_NETWORK_LISTEN", "/ip4/127.0.0.1/tcp/0");
        finish(add.args(more))
    };
    let added = add(&["--wait", "quorum"]);
    let cid = added.text();
    assert_eq!(cid.lines().count(), 1, "the CID and nothing else: {cid}");
    // Nothing of it is at its adder's any more.
    std::fs::remove_dir_all(swarm.place.path("d")).unwrap();
    let out = swarm.place.path("out");
    let mut get = swarm.place.store("c");
    output(get.args(["get", &cid, "--timeout", "60s", "-o"]).arg(&out));
    same(&file, &out);
    let told = eventually("the third copy follows by itself", SOON, || {
        let told = ["a", "b", "c"].map(|repo| swarm.json(repo, &["status", &cid]));
        told.into_iter().find(|(_, code)| *code == 0)?.0.pop()
    });
    let mut expected = [&a, &others[0], &others[1]].map(peer).to_vec();
    let mut held = holders(&told);
    expected.sort();
    held.sort();
    assert_eq!(held, expected, "who adds and goes has no copy that counts");
    drop((a, others));
}

/// Waits for the line that a command prints.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_node_that_dies_while_copies_are_waited_for_is_a_partial() {
    let swarm = Swarm::new();
    let a = swarm.node("a", None);
    let b = swarm.node("b", Some(&a));
    swarm.sees("a", 2);
    // It is here, and says nothing.
    signal(b.child(), Signal::STOP);
    let file = swarm.place.file("file", 8, 3 << 20);
    let mut add = swarm.place.store("a");
    add.args(["add", "--quiet", "--replicas", "3", "--wait", "quorum"]);
    add.arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = add.spawn().unwrap();
    let cid = first_line(&mut child);
    assert!(cid.starts_with("bafy"), "{cid}");
    let placing = || {
        let (told, _) = swarm.json("a", &["status", &cid]);
        (told.last()?["segments"] == 1).then_some(())
    };
    eventually("its copies are being made", SOON, placing);
    a.kill();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(6), "{said}");
    assert!(said.contains("is added, but"), "{said}");
    // How far it was is told a few times a second.
    let heard = ["0 of 1 part had a quorum", "none was heard of"];
    assert!(heard.iter().any(|it| said.contains(it)), "{said}");
    assert!(said.contains("store run"), "{said}");

    // What it said is so: the next node has the copies made.
    signal(b.child(), Signal::CONT);
    let a = swarm.node("a", Some(&b));
    eventually("the copy that was missing", SOON, || {
        let (told, _) = swarm.json("a", &["status", &cid]);
        (told.last()?["verified"] == 2).then_some(())
    });
    drop((a, b));
}

#[test]
fn without_a_node_and_alone_a_wish_is_kept() {
    let swarm = Swarm::new();
    let mut add = swarm.place.store("a");
    let file = swarm.place.file("file", 4, 3 << 20);
    add.args(["add", "--quiet", "--wait", "quorum"]).arg(&file);
    add.env("STORE_NETWORK_MDNS", "false");
    add.env("STORE_NETWORK_LISTEN", "/ip4/127.0.0.1/tcp/0");
    let alone = finish(&mut add);
    assert_eq!(alone.code(), 6, "{}", alone.stderr);
    let why = "no other member is here";
    assert!(alone.stderr.contains(why), "{}", alone.stderr);
    assert!(alone.stdout.starts_with(b"bafy"), "{:?}", alone.stdout);
    for args in [&["status"][..], &["repair", "--pause"]] {
        let refused = swarm.run("a", args);
        assert_eq!(refused.code(), 1, "{args:?}");
        assert!(refused.stderr.contains("store run"), "{}", refused.stderr);
    }
    let (found, code) = swarm.json("a", &["doctor"]);
    assert_eq!((code, found[0]["kind"].as_str()), (6, Some("no_node")));

    // The next node makes the copies of what was added before it.
    let cid = swarm.add("a", "file", 4, &["--replicas", "2"]).text();
    let dropped = swarm.add("a", "other", 5, &[]).text();
    let rm = swarm.run("a", &["pin", "rm", &dropped]);
    assert!(
        rm.stderr.contains("no copies on other members"),
        "{}",
        rm.stderr
    );
    // What is added again without a word is wanted as before.
    assert_eq!(swarm.add("a", "file", 4, &[]).text(), cid);
    let a = swarm.node("a", None);
    let b = swarm.node("b", Some(&a));
    let status = swarm.at_target("a", &cid);
    assert_eq!(status["wanted"]["target"], 2, "{status}");
    assert!(holders(&status).contains(&peer(&b)), "{status}");
    assert_eq!(swarm.run("a", &["status", &dropped]).code(), 3);
    drop((a, b));
}

#[test]
fn in_an_open_swarm_only_what_asks_for_copies_wants_them() {
    let place = Place::new();
    let a = place.node("a", &[]);
    let add = |seed: u64, more: &[&str]| {
        let file = place.file("file.iso", seed, 1000);
        let mut add = place.store("a");
        output(add.args(["add", "--quiet"]).arg(&file).args(more))
    };
    let status = |cid: &str| finish(place.store("a").args(["status", cid])).code();
    assert_eq!(status(&add(6, &[])), 3, "nobody wants copies");
    assert_eq!(
        status(&add(7, &["--replicas", "2"])),
        6,
        "and nobody makes them"
    );
    a.stop();
    let mut run = place.store("a");
    run.args(["run", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    run.env("STORE_REPLICATION_DEFAULTS", "*.iso=2");
    let a = Node::start(run);
    assert_eq!(status(&add(8, &[])), 6, "by its name");
    assert_eq!(status(&add(9, &["--replicas", "0"])), 3);
    drop(a);
}

/// Whoever starts alone, where nobody of its swarm is, is the one that is cut off.
#[test]
fn a_node_that_starts_alone_misses_the_others() {
    let swarm = Swarm::at("20");
    let a = swarm.node("a", None);
    let b = swarm.node("b", Some(&a));
    let c = swarm.node("c", Some(&a));
    swarm.sees("b", 3);
    b.stop();
    a.kill();
    c.kill();

    let b = swarm.node("b", None);
    let (status, code) = swarm.json("b", &["status"]);
    let seen = (
        &status[0]["members"]["usual"],
        &status[0]["members"]["in_sight"],
    );
    assert_eq!((code, seen), (0, (&3.into(), &1.into())), "{status:?}");
    assert_eq!(status[0]["brakes"]["blind"], true, "{status:?}");
    let (found, code) = swarm.json("b", &["doctor"]);
    let sight = |it: &Value| it["kind"] == "sight" && it["serious"] == true;
    assert!(code == 6 && found.iter().any(sight), "{found:?}");
    let (members, _) = swarm.json("b", &["members"]);
    let gone = members.iter().filter(|it| it["health"] == "gone");
    assert_eq!(gone.count(), 2, "{members:?}");

    let a = swarm.node("a", Some(&b));
    let c = swarm.node("c", Some(&b));
    for repo in ["a", "b", "c"] {
        eventually(
            "all are in sight again, and nothing is held back",
            SOON,
            || {
                let (status, _) = swarm.json(repo, &["status"]);
                let members = &status[0]["members"];
                let all = members["in_sight"] == 3 && members["vanished"] == 0;
                (all && status[0]["brakes"]["blind"] == false).then_some(())
            },
        );
    }
    drop((a, b, c));
}
