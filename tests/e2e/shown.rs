//! What a download says of itself while it runs.

use serde_json::Value;

use crate::support::{Place, finish, output, same};

fn lines(stdout: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(stdout).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn a_get_tells_programs_what_each_peer_gave() {
    let place = Place::new();
    let file = place.file("file", 11, 40 << 20);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let peer = a.tcp().rsplit('/').next().unwrap().to_owned();
    let b = place.node("b", &["--bootstrap", a.tcp()]);

    let to = place.path("got");
    let mut get = place.store("b");
    get.args(["get", &cid, "--json", "--timeout", "30s", "-o"])
        .arg(&to);
    let got = finish(&mut get);
    assert_eq!(got.code(), 0, "{}", got.stderr);
    assert_eq!(got.stderr, "", "stderr is no terminal");
    same(&file, &to);

    let lines = lines(&got.stdout);
    let (result, events) = lines.split_last().unwrap();
    assert_eq!(result["cid"], cid.as_str(), "{result}");
    assert!(result["progress"].is_null(), "{result}");
    for event in events {
        let told = event.as_object().unwrap();
        assert_eq!(told.len(), 1, "{event}");
        assert!(
            told.contains_key("progress") || told.contains_key("waiting"),
            "{event}"
        );
    }
    let last = &events.last().unwrap()["progress"];
    assert_eq!(last["peers"].as_array().unwrap().len(), 1, "{last}");
    assert_eq!(last["peers"][0]["peer"], peer.as_str(), "{last}");
    assert_eq!(last["peers"][0]["share"], 100.0, "{last}");
    let gave = last["peers"][0]["bytes"].as_u64().unwrap();
    assert!((40 << 20..42 << 20).contains(&gave), "{last}");
    assert_eq!(last["bytes"], last["total"], "{last}");
    assert_eq!(last["eta"], 0, "{last}");

    // What is here already comes from nobody, and says so by saying nothing.
    let mut again = place.store("b");
    again
        .args(["get", &cid, "--json", "-o"])
        .arg(place.path("again"));
    let again = finish(&mut again);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert_eq!(self::lines(&again.stdout).len(), 1);
    drop((a, b));
}
