//! `store members` among real nodes: all of them, with their tags; who said goodbye; who was killed.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, eventually, finish, output};

/// Until a dead member is known to all, and a little for a machine with other things to do.
const SOON: Duration = Duration::from_secs(60);

/// What the node on `repo` thinks of each: peer, health, zone.
fn members(place: &Place, repo: &str) -> Vec<(String, String, String)> {
    let text = output(place.store(repo).args(["members", "--json"]));
    let member = |line: &str| {
        let told: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&told["peer"]),
            text(&told["health"]),
            text(&told["tags"]["zone"]),
        )
    };
    let mut members: Vec<_> = text.lines().map(member).collect();
    members.sort();
    members
}

fn health(place: &Place, repo: &str, peer: &str) -> String {
    let members = members(place, repo);
    let found = members.into_iter().find(|(known, ..)| known == peer);
    found.map(|(_, health, _)| health).unwrap_or_default()
}

#[test]
fn three_nodes_know_each_other_and_who_is_gone() {
    let place = Place::new();
    let a = place.node("a", &["--tag", "zone=one,rack=7"]);
    let b = place.node("b", &["--bootstrap", a.tcp(), "--tag", "zone=two"]);
    let c = place.node("c", &["--bootstrap", a.tcp(), "--tag", "zone=three"]);
    let peer = |address: &str| address.rsplit('/').next().unwrap().to_owned();
    let [at_b, at_c] = [b.tcp(), c.tcp()].map(peer);
    let mut all = [
        (peer(a.tcp()), "one"),
        (at_b.clone(), "two"),
        (at_c.clone(), "three"),
    ]
    .map(|(peer, zone)| (peer, "alive".to_owned(), zone.to_owned()));
    all.sort();
    for repo in ["a", "b", "c"] {
        eventually("all three are known", SOON, || {
            (members(&place, repo) == all).then_some(())
        });
    }

    let shown = output(place.store("a").arg("members"));
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(lines[0].starts_with("PEER"), "{shown}");
    assert!(
        lines[1].contains("this node") && lines[1].contains("rack=7 zone=one"),
        "{shown}"
    );
    let first: Value = {
        let text = output(place.store("a").args(["members", "--json"]));
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    assert_eq!(first["local"], true);
    assert!(first["capacity"].as_u64().unwrap() > 0, "{first}");
    assert!(
        first["free"].as_u64().unwrap() <= first["capacity"].as_u64().unwrap(),
        "{first}"
    );

    assert!(c.stop().success());
    assert_eq!(
        health(&place, "a", &at_c),
        "left",
        "it told before it ended"
    );
    assert_eq!(health(&place, "b", &at_c), "left");

    b.kill();
    eventually("A sees that B is gone", SOON, || {
        (health(&place, "a", &at_b) == "gone").then_some(())
    });
    drop(a);
}

#[test]
fn without_a_node_there_are_no_members_to_be_listed() {
    let place = Place::new();
    let finished = finish(place.store("a").arg("members"));
    assert_eq!(finished.code(), 1);
    assert!(
        finished.stderr.contains("no node runs"),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains("store run"), "{}", finished.stderr);
    let finished = finish(place.store("a").args(["run", "--tag", "Zone=a"]));
    assert_eq!(finished.code(), 1);
    assert!(
        finished.stderr.contains("tag name `Zone`"),
        "{}",
        finished.stderr
    );
}
