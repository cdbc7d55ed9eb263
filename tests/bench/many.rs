//! `get --stdin` of many small contents from one connected peer.

use std::path::PathBuf;
use std::time::Duration;

use super::support::{Place, eventually, finish, output};
use super::{settle, timed};

/// Bytes of each content: one block.
const SIZE: u64 = 4096;

/// Gets `count` CIDs of 4 KiB each, of files that were added one by one, into an empty directory of
/// an empty node.
pub(crate) fn run(count: u64, rounds: usize) {
    let place = Place::new();
    std::fs::create_dir(place.path("files")).expect("it is ours");
    let files: Vec<PathBuf> = (0..count)
        .map(|n| place.file(&format!("files/{n:06}"), n, SIZE))
        .collect();
    let a = place.node("a", &[]);
    let mut cids = Vec::new();
    for files in files.chunks(1000) {
        cids.push(output(
            place.store("a").args(["add", "--quiet"]).args(files),
        ));
    }
    let list = place.path("cids");
    std::fs::write(&list, cids.join("\n")).expect("it is ours");
    settle();
    let mut rates = Vec::new();
    for round in 0..rounds {
        let (repo, out) = (format!("b-{round}"), place.path(&format!("out-{round}")));
        let b = place.node(&repo, &["--bootstrap", a.tcp()]);
        eventually("they are connected", Duration::from_secs(10), || {
            let peers = output(place.store(&repo).args(["peers", "--json"]));
            (!peers.is_empty()).then_some(())
        });
        let mut get = place.store(&repo);
        get.args(["get", "--stdin", "-o"]).arg(&out);
        get.stdin(std::fs::File::open(&list).expect("it was just written"));
        let time = timed(|| {
            let got = finish(&mut get);
            assert!(got.status.success(), "{}", got.stderr);
        });
        let there = std::fs::read_dir(&out).expect("it was just made").count();
        assert_eq!(there as u64, count, "all are there");
        assert!(b.stop().success());
        rates.push(count as f64 / time.as_secs_f64());
        for path in [place.path(&repo), out] {
            std::fs::remove_dir_all(path).expect("it is ours");
        }
        settle();
    }
    rates.sort_by(f64::total_cmp);
    let list: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    println!(
        "{count} CIDs of {SIZE} bytes: {:.0} a second (at least 3,000)   runs {}",
        rates[rates.len() / 2],
        list.join(" ")
    );
}
