//! Two machines on one LAN, nothing configured: namespaces joined by a veth pair.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Node, Place, command, eventually, finish, output, program, same};

/// Two network namespaces with one cable between them; gone with the test.
struct Lan {
    names: [String; 2],
}

impl Lan {
    /// `None`, and a line that says so, where namespaces cannot be made.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let names = [format!("store-{id}-l"), format!("store-{id}-r")];
        let lan = Self { names };
        let [left, right] = &lan.names;
        let made = ip(&["netns", "add", left]).and_then(|()| ip(&["netns", "add", right]));
        if let Err(why) = made {
            println!("SKIPPED: network namespaces cannot be made here: {why}");
            return None;
        }
        let veth = [
            "link", "add", "eth0", "netns", left, "type", "veth", "peer", "name", "eth0",
        ];
        ip(&[&veth[..], &["netns", right]].concat()).unwrap();
        for (name, address) in [(left, "10.77.0.1/24"), (right, "10.77.0.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "eth0"]).unwrap();
            ip(&["-n", name, "link", "set", "eth0", "up"]).unwrap();
            ip(&["-n", name, "link", "set", "lo", "up"]).unwrap();
            // Where a LAN has a router, its default route is how multicast finds the interface.
            ip(&["-n", name, "route", "add", "default", "dev", "eth0"]).unwrap();
        }
        Some(lan)
    }

    /// `store` on the machine `side` of this LAN.
    fn store(&self, side: usize, place: &Place, repo: &str) -> Command {
        let mut inside = command("ip", &place.path(repo));
        inside
            .args(["netns", "exec", &self.names[side]])
            .arg(program());
        inside
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

#[test]
fn nodes_of_one_lan_find_each_other_within_five_seconds() {
    let Some(lan) = Lan::new() else { return };
    let place = Place::new();
    let file = place.file("file", 8, 20 << 20);
    let start = |side, repo| {
        let mut run = lan.store(side, &place, repo);
        run.arg("run");
        Node::start(run)
    };
    let left = start(0, "left");
    let right = start(1, "right");
    let started = Instant::now();
    eventually("they see each other", Duration::from_secs(5), || {
        let peers = output(lan.store(1, &place, "right").args(["peers", "--json"]));
        (peers.lines().count() > 0).then_some(())
    });
    println!("found each other after {:?}", started.elapsed());

    let cid = output(
        lan.store(0, &place, "left")
            .args(["add", "--quiet"])
            .arg(&file),
    );
    output(
        lan.store(1, &place, "right")
            .args(["get", &cid, "-o"])
            .arg(place.path("out")),
    );
    same(&file, &place.path("out"));

    // A command without a node finds it the same way.
    let mut get = lan.store(1, &place, "alone");
    let got = finish(get.args(["get", &cid, "-o"]).arg(place.path("out-alone")));
    assert!(got.status.success(), "{}", got.stderr);
    same(&file, &place.path("out-alone"));
    drop((left, right));
}
