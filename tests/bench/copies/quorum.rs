//! `bench copies quorum`: what waiting for a quorum costs, and what is said where a member is killed
//! meanwhile.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Words;
use crate::fleet::{Plan, Swarm};
use crate::support::{finish, output, sha256};
use crate::{MIB, settle, timed, warm};

pub(super) fn run(words: &Words<'_>) -> bool {
    let mib = words.mib(1024);
    let mut ratios = Vec::new();
    let mut usual = Duration::ZERO;
    for round in 0..words.number("--runs", 3) {
        let (ratio, waited) = race(mib, round);
        ratios.push(ratio);
        usual = waited;
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "add --wait quorum / (plain add + one copy): {:.2} (at most 2)   runs {ratios:.2?}",
        ratios[ratios.len() / 2]
    );
    // Who adds, the other two, and at several moments.
    let mut is_well = true;
    for victim in 0..3 {
        for part in [1, 3] {
            is_well &= killed(mib, victim, usual * part / 4);
        }
    }
    is_well
}

fn swarm(mib: u64) -> Swarm {
    Swarm::new(Plan {
        members: 3,
        zones: 1,
        scale: 1,
        quota: mib * MIB * 8,
        is_apart: false,
        ..Plan::default()
    })
}

fn file(swarm: &Swarm, name: &str, seed: u64, mib: u64) -> PathBuf {
    let file = swarm.place.file(name, seed, mib * MIB);
    settle();
    file
}

fn race(mib: u64, round: u64) -> (f64, Duration) {
    let swarm = swarm(mib);
    let first = file(&swarm, "first", 2 * round, mib);
    let mut cid = String::new();
    // Of memory each takes some four times the content, in files and in the nodes.
    warm(5 * mib);
    let plain = timed(|| {
        let mut add = swarm.store(0);
        cid = output(add.args(["add", "--quiet", "--replicas", "0"]).arg(&first));
    });
    std::fs::remove_file(first).expect("it was just made");
    settle();
    warm(5 * mib);
    let copy = timed(|| output(swarm.store(1).args(["pin", "add", &cid])));
    let second = file(&swarm, "second", 2 * round + 1, mib);
    warm(5 * mib);
    let quorum = timed(|| {
        let mut add = swarm.store(0);
        add.args(["add", "--quiet", "--replicas", "3", "--wait", "quorum"]);
        output(add.arg(&second))
    });
    let ratio = quorum.as_secs_f64() / (plain + copy).as_secs_f64();
    println!(
        "{mib} MiB: plain add {:.2} s, one copy {:.2} s, add --wait quorum {:.2} s: {ratio:.2}",
        plain.as_secs_f64(),
        copy.as_secs_f64(),
        quorum.as_secs_f64()
    );
    (ratio, quorum)
}

/// Kills a member while 0 adds, and looks whether what is said then is true.
fn killed(mib: u64, victim: usize, after: Duration) -> bool {
    let swarm = swarm(mib);
    let file = file(&swarm, "file", 99 + victim as u64, mib);
    let finished = thread::scope(|scope| {
        let add = scope.spawn(|| {
            let mut add = swarm.store(0);
            add.args(["add", "--quiet", "--replicas", "3", "--wait", "quorum"]);
            finish(add.args(["--wait-timeout", "60s"]).arg(&file))
        });
        thread::sleep(after);
        swarm.kill(&[victim]);
        add.join().expect("a command ends")
    });
    let cid = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    let code = finished.code();
    let said = finished.stderr.lines().last().unwrap_or_default();
    let is_true = match code {
        // Of each part one more member has a copy at least, and not of each the same one.
        0 => is_left(&swarm, usize::from(victim == 0), &cid, &file),
        6 => !cid.is_empty(),
        _ => victim == 0,
    };
    let verdict = if is_true { "true" } else { "NOT TRUE" };
    println!(
        "member {victim} killed after {:.2} s: exit code {code} after {:.2} s: {verdict}; {said}",
        after.as_secs_f64(),
        finished.elapsed.as_secs_f64()
    );
    is_true
}

/// Whether those that are left give it back whole, to one of them.
fn is_left(swarm: &Swarm, by: usize, cid: &str, file: &Path) -> bool {
    let out = swarm.place.path("out");
    let mut get = swarm.store(by);
    get.args(["get", cid, "--timeout", "60s", "-o"]);
    finish(get.arg(&out)).status.success() && sha256(&out) == sha256(file)
}
