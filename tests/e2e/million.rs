//! Directories of very many entries: added in bounded memory, listed at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, eventually, output, peak_mib};

/// A directory of `count` files, each with its own number in it.
fn directory(place: &Place, count: u64) -> PathBuf {
    let path = place.path("many");
    fs::create_dir(&path).unwrap();
    for i in 0..count {
        fs::write(path.join(format!("entry-{i:07}")), i.to_string()).unwrap();
    }
    path
}

/// Runs a command to its end, whatever it prints; the most memory that it had resident, in MiB.
fn peak_of(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = eventually("the command ends", Duration::from_secs(1200), || {
        // An ended process has no figures any more; the last one seen is its peak.
        peak = peak.max(peak_mib(&child).unwrap_or(0));
        child.try_wait().unwrap()
    });
    assert!(status.success(), "{status}");
    peak
}

/// How long a command takes for its first line.
fn first_line(command: &mut Command) -> Duration {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let elapsed = began.elapsed();
    assert!(line.contains("entry-"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    elapsed
}

/// Gives how long `ls` takes for its first entry, and for all.
fn added_and_listed(count: u64) -> (Duration, Duration) {
    let place = Place::new();
    let path = directory(&place, count);
    let adding = peak_of(place.store("repo").args(["add", "--quiet"]).arg(&path));
    println!("add of {count} entries: {adding} MiB");
    assert!(adding < 500, "add took {adding} MiB");
    let again = Instant::now();
    let cid = output(place.store("repo").args(["add", "--quiet"]).arg(&path));
    println!("again: {:?}", again.elapsed());

    // The best of five: the machine has other things to do, too.
    let times = (0..5).map(|_| first_line(place.store("repo").args(["ls", &cid])));
    let first = times.min().unwrap();
    println!("ls: the first entry after {first:?}");
    let listing = peak_of(place.store("repo").args(["ls", &cid]));
    println!("ls: {listing} MiB");
    assert!(listing < 200, "ls took {listing} MiB");
    let began = Instant::now();
    let listed = output(place.store("repo").args(["ls", &cid]));
    let whole = began.elapsed();
    assert_eq!(listed.lines().count() as u64, count);
    (first, whole)
}

#[test]
fn a_directory_of_many_entries_is_added_and_listed_in_bounded_memory() {
    // The start of the program is most of either time here, and says nothing.
    added_and_listed(20_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_directory_of_a_million_entries_is_added_and_listed_in_bounded_memory() {
    let (first, whole) = added_and_listed(1_000_000);
    // Whoever gathers all before the first line needs half of the time for it at least.
    assert!(first * 4 < whole, "{first:?} of {whole:?}");
}
