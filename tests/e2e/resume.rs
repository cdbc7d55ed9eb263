//! `get` killed with -9 on its way goes on where it was.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{ALONE, Metrics, Noise, Place, eventually, output, same};

/// What a killed `get` may have to fetch again: what was in flight at the default window, and where
/// nodes were not flushed yet (DESIGN §3), what is below them.
const UNFLUSHED: u64 = 64 << 20;
const IN_FLIGHT: u64 = 64 << 20;

/// Kills a `get` of `size` bytes once `part` of them have been sent, and gets it again.
fn killed_after(size: u64, part: u64) {
    let place = Place::new();
    let file = place.file("file", 6, size);
    let metrics = Metrics::free();
    let a = place.node("a", &metrics.flags());
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));

    let out = place.path("out");
    let get = || {
        let mut get = place.store("b");
        get.args(["get", &cid]).args(ALONE).arg("--bootstrap");
        get.arg(a.tcp()).arg("-o").arg(&out);
        get
    };
    let mut killed = get()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("so much was sent", Duration::from_secs(60), || {
        (metrics.sent() >= part).then_some(())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !out.exists(),
        "nothing stands under the name that was asked for before it is whole"
    );

    output(&mut get());
    same(&file, &out);
    let again = metrics.sent() - size;
    println!(
        "killed after {} MiB: fetched again: {} KiB",
        part >> 20,
        again >> 10
    );
    assert!(
        again <= UNFLUSHED + IN_FLIGHT,
        "{again} bytes were fetched again"
    );
}

#[test]
fn a_get_killed_halfway_fetches_little_again() {
    killed_after(512 << 20, 256 << 20);
}

/// `cargo test --workspace --test e2e -- --ignored fifty --nocapture`
#[test]
#[ignore = "some minutes"]
fn a_get_killed_at_fifty_moments_fetches_little_again() {
    let size = 256 << 20;
    let mut dice = Noise::new(50, u64::MAX);
    for _ in 0..50 {
        let mut bytes = [0; 8];
        dice.read_exact(&mut bytes).unwrap();
        // Not the last of it: it might be over before it is killed.
        killed_after(size, u64::from_le_bytes(bytes) % (size - (32 << 20)));
    }
}
