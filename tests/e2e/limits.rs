//! Memory: bounded, however large the content.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{ALONE, Place, eventually, output, peak_mib, same};

/// Runs a command to its end and gives the most memory that it had resident, in MiB.
fn peak_of(command: &mut Command) -> u64 {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    eventually("the command ends", Duration::from_secs(1200), || {
        // An ended process has no figures any more; the last one seen is its peak.
        peak = peak.max(peak_mib(&child).unwrap_or(0));
        child.try_wait().unwrap()
    });
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    peak
}

fn adds_and_gets_within(size: u64, limit_mib: u64, low_memory: bool) {
    let place = Place::new();
    let file = place.file("file", 7, size);
    let setting = |command: &mut Command| {
        command.env("STORE_STORAGE_LOW_MEMORY", low_memory.to_string());
    };

    let mut add = place.store("a");
    add.args(["add", "--quiet"]).arg(&file);
    setting(&mut add);
    let adding = peak_of(&mut add);

    let mut run = place.store("a");
    run.arg("run").args(ALONE);
    setting(&mut run);
    let a = crate::support::Node::start(run);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));

    let out = place.path("out");
    let mut get = place.store("b");
    get.args(["get", &cid]).args(ALONE).arg("--bootstrap");
    get.arg(a.tcp()).arg("-o").arg(&out);
    setting(&mut get);
    let getting = peak_of(&mut get);
    let serving = peak_mib(a.child()).unwrap();
    same(&file, &out);

    println!(
        "{} MiB: add {adding}, get {getting}, serve {serving} MiB resident",
        size >> 20
    );
    for (what, peak) in [("add", adding), ("get", getting), ("serve", serving)] {
        assert!(
            peak < limit_mib,
            "{what} had {peak} MiB resident, {limit_mib} allowed"
        );
    }
}

#[test]
fn one_gib_stays_within_512_mib() {
    adds_and_gets_within(1 << 30, 512, false);
}

#[test]
fn one_gib_stays_within_200_mib_with_low_memory() {
    adds_and_gets_within(1 << 30, 200, true);
}

/// The long form: `cargo test --workspace --test e2e -- --ignored eight_gib`.
#[test]
#[ignore = "writes 40 GiB: a command of its own"]
fn eight_gib_stays_within_512_mib() {
    adds_and_gets_within(8 << 30, 512, false);
}

/// The long form: `cargo test --workspace --test e2e -- --ignored eight_gib`.
#[test]
#[ignore = "writes 40 GiB: a command of its own"]
fn eight_gib_stays_within_200_mib_with_low_memory() {
    adds_and_gets_within(8 << 30, 200, true);
}
