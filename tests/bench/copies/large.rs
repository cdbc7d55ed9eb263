//! `bench copies large`: a file that no member has room for, on eight members.

use std::time::Duration;

use super::Words;
use crate::fleet::{Lots, Plan, Swarm, mib};
use crate::support::{ALONE, finish, output, same};
use crate::{MIB, settle};

const MEMBERS: usize = 8;

pub(super) fn run(words: &Words<'_>) -> bool {
    let quota = words.mib(512) * MIB;
    let swarm = Swarm::new(Plan {
        members: MEMBERS,
        zones: MEMBERS,
        scale: words.number("--scale", 1),
        quota,
        is_apart: false,
        ..Plan::default()
    });
    let size = quota + quota / 2;
    let file = swarm.place.file("file", 5, size);
    settle();
    let mut add = swarm.store(0);
    add.args(["add", "--quiet", "--no-copy", "--replicas", "3"]);
    add.args(["--wait", "all", "--wait-timeout", "280s"]);
    let finished = finish(add.arg(&file));
    let cid = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    println!(
        "{:.0} MiB on {MEMBERS} members with a quota of {:.0} MiB: exit code {} after {:.1} s; segments held {:?}",
        mib(size),
        mib(quota),
        finished.code(),
        finished.elapsed.as_secs_f64(),
        swarm.held()
    );
    let mut is_well = finished.code() == 0;
    if !is_well {
        println!("{}", finished.stderr.trim());
    }
    let mut lots = Lots(words.number("--seed", 1));
    // First the one that has the file and another, then any.
    for round in 0..words.number("--runs", 3) {
        let mut all: Vec<usize> = (0..MEMBERS).collect();
        lots.shuffle(&mut all);
        let with_file = all.iter().position(|i| *i == 0).expect("0 is among them");
        if round == 0 {
            all.swap(0, with_file);
        }
        let lost = &all[..2];
        swarm.kill(lost);
        let client = format!("client-{round}");
        output(
            swarm
                .place
                .store(&client)
                .args(["swarm", "join", &swarm.key]),
        );
        let out = swarm.place.path("out");
        let mut get = swarm.place.store(&client);
        get.args(["get", &cid, "--timeout", "60s"]).args(ALONE);
        get.args(["--bootstrap", &swarm.address(all[2])]);
        let got = finish(get.arg("-o").arg(&out));
        println!(
            "without {lost:?}: exit code {} after {:.1} s {}",
            got.code(),
            got.elapsed.as_secs_f64(),
            got.stderr.lines().last().unwrap_or_default()
        );
        if got.status.success() {
            same(&file, &out);
        } else {
            is_well = false;
        }
        let _ = std::fs::remove_file(out);
        std::fs::remove_dir_all(swarm.place.path(&client)).expect("it was just made");
        swarm.start_all(lost);
        swarm.meet();
        std::thread::sleep(Duration::from_secs(1));
    }
    is_well
}
