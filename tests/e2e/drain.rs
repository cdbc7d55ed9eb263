//! Members that are taken out: what they have is elsewhere before they say that they can be stopped; and what is
//! said where that cannot be.

use std::fs;

use serde_json::Value;

use crate::copies::{SOON, Swarm, holders, peer};
use crate::support::{Node, eventually, finish, same};

/// An hour is three minutes: longer than anything here may take, so that nothing waits for it.
const SCALE: &str = "20";

/// Whether `repo` knows that a member is about to leave.
fn leaves(swarm: &Swarm, repo: &str, who: &str) -> bool {
    let (members, _) = swarm.json(repo, &["members"]);
    let member = members.iter().find(|it| it["peer"] == who);
    member.is_some_and(|it| it["leaving"] == true)
}

#[test]
fn what_a_member_has_is_elsewhere_before_it_can_be_stopped() {
    let swarm = Swarm::at(SCALE);
    let a = swarm.node("a", None);
    let mut others: Vec<(&str, Node)> = ["b", "c", "d", "e"]
        .into_iter()
        .map(|repo| (repo, swarm.node(repo, Some(&a))))
        .collect();
    swarm.sees("a", 5);
    let contents: Vec<String> = (1..=6)
        .map(|seed| {
            let added = swarm.add("a", &format!("file{seed}"), seed, &["--wait", "all"]);
            added.text()
        })
        .collect();

    // The one that has most of it, besides the owner.
    let held: Vec<String> = contents
        .iter()
        .flat_map(|cid| holders(&swarm.at_target("a", cid)))
        .collect();
    let count = |node: &Node| held.iter().filter(|it| **it == peer(node)).count();
    others.sort_by_key(|(_, node)| count(node));
    let (leaver, node) = others.pop().unwrap();
    let (gone, had) = (peer(&node), count(&node));
    assert!(had >= 3, "twelve copies on four members");

    let (told, code) = swarm.json(leaver, &["drain", "--status"]);
    assert_eq!((code, &told[0]["draining"]), (3, &false.into()));
    let (told, code) = swarm.json(leaver, &["drain", "--wait-timeout", "90s"]);
    let told = told.last().unwrap();
    assert_eq!((code, &told["complete"]), (0, &true.into()), "{told}");
    assert_eq!(told["held_segments"], had, "{told}");
    assert_eq!(told["needed_segments"], 0, "{told}");
    assert!(leaves(&swarm, "a", &gone));
    let shown = swarm.run(leaver, &["drain", "--status"]).text();
    assert!(shown.contains("can be stopped"), "{shown}");
    // It has all of it still, and it does not count.
    for cid in &contents {
        let status = swarm.at_target("a", cid);
        assert!(!holders(&status).contains(&gone), "{status}");
    }
    let (status, _) = swarm.json(leaver, &["status"]);
    assert_eq!(status[0]["draining"], true);
    // It takes nothing new.
    let late = swarm.add("a", "late", 9, &["--wait", "all"]).text();
    assert!(!holders(&swarm.at_target("a", &late)).contains(&gone));

    node.stop();
    for cid in &contents {
        let (status, code) = swarm.json("a", &["status", cid]);
        // There may be four: two who make up for it at the same time make one each.
        let is_there = holders(&status[0]).contains(&gone);
        assert_eq!((code, is_there), (0, false), "{status:?}");
    }
    let (reader, _) = others[0];
    for (seed, cid) in (1..).zip(&contents) {
        let file = swarm.place.path(&format!("read{seed}"));
        let mut get = swarm.place.store(reader);
        finish(get.args(["get", cid, "-o"]).arg(&file)).text();
        same(&file, &swarm.place.path(&format!("file{seed}")));
        fs::remove_file(file).unwrap();
    }

    // Started again it is still about to leave, until somebody lets it stay.
    let node = swarm.node(leaver, Some(&a));
    eventually("it says that it leaves", SOON, || {
        leaves(&swarm, "a", &gone).then_some(())
    });
    let (found, _) = swarm.json("a", &["doctor"]);
    assert!(found.iter().any(|it| it["kind"] == "leaving"), "{found:?}");
    let (found, _) = swarm.json(leaver, &["doctor"]);
    assert!(found.iter().any(|it| it["kind"] == "draining"), "{found:?}");
    let shown = swarm.run(leaver, &["drain", "--cancel"]).text();
    assert!(shown.contains("it stays"), "{shown}");
    eventually("it stays", SOON, || {
        (!leaves(&swarm, "a", &gone)).then_some(())
    });
    drop((a, others, node));
}

#[test]
fn where_a_member_is_still_needed_it_is_said_why() {
    let swarm = Swarm::at(SCALE);
    let a = swarm.node("a", None);
    let b = swarm.node("b", Some(&a));
    let c = swarm.node("c", Some(&a));
    swarm.sees("a", 3);
    let cid = swarm.add("a", "file", 1, &["--wait", "all"]).text();
    let two = ["--replicas", "2/2/3", "--wait", "all"];
    swarm.add("a", "other", 2, &two).text();
    let alone = swarm.add("c", "alone", 3, &["--replicas", "0"]).text();

    let drain = ["drain", "--wait-timeout", "90s"];
    let (told, code) = swarm.json("c", &drain);
    assert_eq!(code, 6, "{told:?}");
    let told = told.last().unwrap();
    let stuck = told["stuck"].as_array().unwrap();
    let expected = serde_json::json!({
        "cid": cid, "segments": 1, "copies": 2, "wanted": 3, "why": "hosts", "hosts": 2,
    });
    assert_eq!(*stuck, [expected], "of two copies there are enough: {told}");
    let refused = swarm.run("c", &drain);
    let [error] = refused.errors()[..] else {
        panic!("{}", refused.stderr)
    };
    assert!(error.contains("2 of 3 copies are elsewhere"), "{error}");
    assert!(error.contains("on 2 hosts"), "{error}");

    // A further member makes it possible; but for what is nowhere else, and is to be nowhere else.
    let d = swarm.node("d", Some(&a));
    let only = eventually("copies are made there", SOON, || {
        let (told, code) = swarm.json("c", &drain);
        let told: Value = told.last()?.clone();
        (told["stuck_segments"] == 0).then_some((told, code))
    });
    assert_eq!((only.1, &only.0["only_here"]), (6, &1.into()), "{only:?}");
    assert_eq!(only.0["only_here_first"], serde_json::json!([alone]));
    swarm.run("c", &["pin", "rm", &alone]).text();
    let done = swarm.run("c", &drain).text();
    assert!(done.contains("can be stopped"), "{done}");
    c.stop();
    let (status, code) = swarm.json("a", &["status", &cid]);
    assert_eq!((code, &status[0]["verified"]), (0, &3.into()), "{status:?}");
    drop((a, b, d));
}
