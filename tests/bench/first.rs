//! How long a reader waits for his first byte: `cat` by a cold command, with a node running, of a content
//! that a connected peer has.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::MIB;
use super::support::{Place, eventually, output};

/// Offsets into a content of `mib` MiB, from its start to its end; medians.
pub(super) fn byte(mib: u64, rounds: usize) {
    let place = Place::new();
    let file = place.file("file", 9, mib * MIB);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let mut version = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        output(place.store("a").arg("--version"));
        version.push(began.elapsed());
    }
    for (name, offset) in [
        ("the start", 0),
        ("the middle", mib * MIB / 2),
        ("the end", mib * MIB - 1),
    ] {
        let mut times = Vec::new();
        for round in 0..rounds {
            let repo = format!("b-{offset}-{round}");
            let b = place.node(&repo, &["--bootstrap", a.tcp()]);
            eventually("they are connected", Duration::from_secs(10), || {
                let peers = output(place.store(&repo).args(["peers", "--json"]));
                (!peers.is_empty()).then_some(())
            });
            let mut cat = place.store(&repo);
            cat.args(["cat", &cid, "--offset", &offset.to_string()]);
            let began = Instant::now();
            let mut child = cat.stdout(Stdio::piped()).spawn().expect("it starts");
            let mut one = [0];
            let mut stdout = child.stdout.take().expect("it is piped");
            stdout.read_exact(&mut one).expect("a byte comes");
            times.push(began.elapsed());
            drop(stdout);
            let _ = child.wait();
            assert!(b.stop().success());
            std::fs::remove_dir_all(place.path(&repo)).expect("it was just made");
        }
        print(&format!("first byte at {name}"), times);
    }
    print("store --version", version);
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:<26} median {:.1} ms, min {:.1}, max {:.1}",
        ms(times[times.len() / 2]),
        ms(times[0]),
        ms(times[times.len() - 1])
    );
}
