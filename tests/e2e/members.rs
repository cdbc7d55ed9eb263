//! Private swarms between real nodes: made, joined, fetched in; strangers get nothing; who has the old key
//! is out.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, eventually, finish, output, same};

/// What "within a minute" means.
const MINUTE: Duration = Duration::from_secs(60);

fn init(place: &Place, repo: &str, more: &[&str]) -> String {
    let mut command = place.store(repo);
    output(command.args(["swarm", "init", "--quiet"]).args(more))
}

/// Joins with the key on standard input, as the manual says.
fn join(place: &Place, repo: &str, key: &str) -> String {
    let mut command = place.store(repo);
    let mut child = command
        .args(["swarm", "join", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{key}").unwrap();
    let finished = child.wait_with_output().unwrap();
    assert!(finished.status.success());
    String::from_utf8(finished.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

fn id(place: &Place, repo: &str) -> String {
    output(place.store(repo).args(["swarm", "id"]))
}

fn peers(place: &Place, repo: &str) -> usize {
    output(place.store(repo).arg("peers")).lines().count()
}

#[test]
fn members_share_strangers_get_nothing_and_an_old_key_is_out_within_a_minute() {
    let place = Place::new();
    let file = place.file("file", 5, 3 << 20);

    // Without a node.
    let key = init(&place, "a", &[]);
    assert_eq!(join(&place, "b", &key), id(&place, "a"));
    assert_eq!(id(&place, "b"), id(&place, "a"));
    assert!(id(&place, "a").starts_with("p-"));
    assert_eq!(id(&place, "stranger"), "main");

    let quic = ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "-vv"];
    let a = place.node("a", &quic);
    let at_a = ["--bootstrap", a.tcp()];
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let b = place.node("b", &at_a);
    let copy = place.path("copy");
    let mut get = place.store("b");
    output(get.args(["get", &cid, "--timeout", "30s", "-o"]).arg(&copy));
    same(&file, &copy);

    // Strangers: of the open swarm, of another, and one that is told where all of it is.
    init(&place, "other", &[]);
    for repo in ["stranger", "other"] {
        let node = place.node(repo, &at_a);
        for address in &a.addresses {
            let refused = finish(place.store(repo).args(["connect", address]));
            assert_eq!(refused.code(), 3, "{}", refused.stderr);
            assert!(
                refused.stderr.contains("private swarm"),
                "{}",
                refused.stderr
            );
        }
        let nothing = place.path("nothing");
        let mut get = place.store(repo);
        let got = finish(
            get.args(["get", &cid, "--timeout", "3s", "-o"])
                .arg(&nothing),
        );
        assert!([3, 4].contains(&got.code()), "{}", got.stderr);
        assert!(!nothing.exists());
        assert_eq!(peers(&place, repo), 0);
        drop(node);
    }
    assert_eq!(peers(&place, "a"), 1, "its member is still there");

    // The key of A is replaced under its running node: B is out.
    let replaced = Instant::now();
    let new = init(&place, "a", &["--force"]);
    assert_ne!(new, key);
    assert!(replaced.elapsed() < Duration::from_secs(10));
    eventually(
        "B is out",
        MINUTE.saturating_sub(replaced.elapsed()),
        || (peers(&place, "a") == 0 && peers(&place, "b") == 0).then_some(()),
    );
    let more = place.file("more", 6, 1 << 20);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&more));
    let mut get = place.store("b");
    assert!([3, 4].contains(&finish(get.args(["get", &cid, "--timeout", "3s"])).code()));

    // With the new key it is back, and finds A where it was.
    join(&place, "b", &new);
    let copy = place.path("more-at-b");
    let mut get = place.store("b");
    output(get.args(["get", &cid, "--timeout", "60s", "-o"]).arg(&copy));
    same(&more, &copy);

    // Of the keys nothing was told.
    let log = a.log().join("\n") + &b.log().join("\n");
    assert!(log.contains("moving to another swarm"), "it was logged");
    let config = output(place.store("a").args(["config", "show"]));
    for key in [&key, &new] {
        let secret = key.rsplit('-').next().unwrap();
        assert!(!log.contains(secret) && !config.contains(secret));
    }
}

#[test]
fn keys_are_handled_with_care() {
    let place = Place::new();
    let error = |repo: &str, args: &[&str], code: i32| {
        let finished = finish(place.store(repo).arg("swarm").args(args));
        assert_eq!(finished.code(), code, "{}", finished.stderr);
        finished.stderr
    };
    assert!(error("a", &["key"], 1).contains("no private swarm"));
    assert!(error("a", &["leave"], 1).contains("no private swarm"));

    let told = output(place.store("a").args(["swarm", "init"]));
    let key = told.lines().next().unwrap();
    assert!(told.contains("keep it like a password"));
    assert_eq!(output(place.store("a").args(["swarm", "key"])), key);
    assert!(error("a", &["init"], 1).contains("--force"));
    assert_eq!(output(place.store("a").args(["swarm", "key"])), key);

    // A typo is told, and the key is not.
    let typo = key.replacen(key.chars().last().unwrap(), "7", 1);
    let typo = if typo == key {
        key[..key.len() - 1].to_owned()
    } else {
        typo
    };
    let told = error("b", &["join", &typo], 2);
    assert!(told.contains("swarm key"), "{told}");
    assert!(!told.contains(typo.rsplit('-').next().unwrap()), "{told}");
    assert_eq!(id(&place, "b"), "main");

    let json = |args: &[&str]| -> serde_json::Value {
        let text = output(place.store("a").args(["swarm", "--json"]).args(args));
        serde_json::from_str(&text).unwrap()
    };
    let shown = json(&["id"]);
    assert_eq!(shown["private"], true);
    assert_eq!(shown["network"], id(&place, "a"));
    assert!(shown.get("key").is_none());
    assert_eq!(json(&["key"])["key"], key);
    assert_eq!(json(&["leave"])["network"], "main");
    assert_eq!(id(&place, "a"), "main");
    assert!(!place.path("a").join("swarm.key").exists());
}

#[test]
fn owners_are_accepted_and_refused() {
    let place = Place::new();
    let swarm = |args: &[&str]| finish(place.store("a").arg("swarm").args(args));
    let identity: serde_json::Value =
        serde_json::from_str(&output(place.store("b").args(["id", "--json"]))).unwrap();
    let owner = identity["peer"].as_str().unwrap();
    assert_eq!(swarm(&["accept", "--list"]).text(), "");
    assert_eq!(swarm(&["accept", owner]).code(), 2, "without a quota");
    assert_eq!(swarm(&["accept", "nobody", "--quota", "1GiB"]).code(), 2);
    swarm(&["accept", owner, "--quota", "1GiB"]).text();
    swarm(&["accept", owner, "--quota", "50GiB"]).text();
    let listed = swarm(&["accept", "--list"]).text();
    assert_eq!(listed, format!("{owner}  50.0 GiB"));
    swarm(&["refuse", owner]).text();
    assert_eq!(swarm(&["refuse", owner]).code(), 3);
    assert_eq!(swarm(&["accept", "--list"]).text(), "");
}
