//! Bits that flip, backups under load, repos of an older format: what happens on disk beside adds and
//! gets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ALONE, Finished, Node, Noise, Place, eventually, finish, output, same};

/// Copies a directory tree.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = finish(Command::new("cp").arg("-a").arg(from).arg(to));
    assert!(copied.status.success(), "{}", copied.stderr);
}

/// The files of a repo, by their names in it, but for its lock.
fn files(repo: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in [repo.to_owned(), repo.join("db")] {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let size = path.metadata().unwrap().len();
            if path.is_file() && size > 0 && name != "repo.lock" {
                files.push(path.strip_prefix(repo).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn flip(file: &Path, at: u64, bit: u8) {
    let mut bytes = fs::read(file).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1 << bit;
    fs::write(file, bytes).unwrap();
}

/// A repo with content in tables, in blob files and in the log, and what was added to it.
struct Filled {
    place: Place,
    contents: Vec<(String, PathBuf)>,
}

impl Filled {
    fn new() -> Self {
        let place = Place::new();
        let mut contents = Vec::new();
        let mut add = |place: &Place, name: &str, seed, size| {
            let file = place.file(name, seed, size);
            let mut add = place.store("repo");
            add.args(["add", "--quiet", "--name", name]).arg(&file);
            contents.push((output(&mut add), file));
        };
        // Past the log, and flushed.
        add(&place, "large", 1, 40 << 20);
        add(&place, "medium", 2, 3 << 20);
        fs::create_dir(place.path("tree")).unwrap();
        for number in 0..40 {
            place.file(&format!("tree/{number}"), 100 + number, 1000 * number);
        }
        let tree = place.path("tree");
        let mut command = place.store("repo");
        contents.push((
            output(command.args(["add", "--quiet"]).arg(&tree)),
            tree.clone(),
        ));
        output(place.store("repo").arg("id"));
        Self { place, contents }
    }

    /// Gets everything: right, or not at all. How many came.
    fn get_all(&self, repo: &str) -> usize {
        let mut came = 0;
        for (cid, file) in &self.contents {
            let target = self.place.path("got");
            let _ = fs::remove_dir_all(&target);
            let _ = fs::remove_file(&target);
            let mut get = self.place.store(repo);
            get.args(["get", cid, "--timeout", "1ms"]);
            get.args(ALONE).arg("-o");
            let got = finish(get.arg(&target));
            got.code();
            if got.status.success() {
                same(file, &target);
                came += 1;
            }
        }
        came
    }
}

fn verify(place: &Place, repo: &str, more: &[&str]) -> Finished {
    let mut verify = place.store(repo);
    verify.arg("verify").args(ALONE);
    finish(verify.args(more))
}

/// Files that nobody reads: RocksDB writes its options down for people, at each open anew.
fn is_read(file: &Path) -> bool {
    !file.to_string_lossy().contains("OPTIONS")
}

#[test]
fn a_flipped_bit_is_found_or_refused_and_never_served() {
    const FLIPS: usize = 20;
    let filled = Filled::new();
    let place = &filled.place;
    let whole = verify(place, "repo", &[]);
    assert_eq!(whole.code(), 0, "{}", whole.stderr);
    let all = filled.get_all("repo");
    assert_eq!(all, filled.contents.len());
    let repo = place.path("repo");
    let files: Vec<PathBuf> = files(&repo).into_iter().filter(|f| is_read(f)).collect();
    // Once in each file, and for the rest in proportion to their sizes, from a seed.
    let mut dice = Noise::new(7, u64::MAX);
    let mut below = |limit: u64| {
        let mut bytes = [0; 8];
        std::io::Read::read_exact(&mut dice, &mut bytes).unwrap();
        u64::from_le_bytes(bytes) % limit
    };
    let size = |file: &PathBuf| repo.join(file).metadata().unwrap().len();
    let total: u64 = files.iter().map(size).sum();
    let mut places: Vec<(PathBuf, u64)> = Vec::new();
    for file in &files {
        places.push((file.clone(), below(size(file))));
    }
    while places.len() < files.len() + FLIPS {
        let mut at = below(total);
        for file in &files {
            if at < size(file) {
                places.push((file.clone(), at));
                break;
            }
            at -= size(file);
        }
    }
    let (mut found, mut refused) = (0, 0);
    for (file, at) in places {
        let bit = u8::try_from(below(8)).unwrap();
        copy(&repo, &place.path("copy"));
        flip(&place.path("copy").join(&file), at, bit);
        let what = format!("{}, byte {at}, bit {bit}", file.display());
        let verified = verify(place, "copy", &[]);
        println!(
            "{what}: {} {}",
            verified.code(),
            verified.stderr.lines().next_back().unwrap_or_default()
        );
        // What it serves is right, or nothing.
        let came = filled.get_all("copy");
        match verified.code() {
            // The bit made no difference to anybody: all is there, and is right.
            0 => assert!(
                came == all && file == Path::new("format"),
                "{what}: {came} of {all} came, and nothing was found"
            ),
            5 if !verified.stdout.is_empty() => found += 1,
            code => {
                refused += 1;
                assert!(matches!(code, 1 | 5), "{what}: {}", verified.stderr);
                assert_eq!(verified.errors().len(), 1, "{what}: {}", verified.stderr);
            }
        }
    }
    assert!(
        found > 10 && refused > 1,
        "{found} found, {refused} refused"
    );
}

#[test]
fn what_is_rotten_is_fetched_from_others() {
    let filled = Filled::new();
    let place = &filled.place;
    copy(&place.path("repo"), &place.path("other"));
    fs::remove_file(place.path("other/identity.key")).unwrap();
    let other: Node = place.node("other", &[]);
    let repo = place.path("repo");
    let blobs: Vec<PathBuf> = files(&repo)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "blob"))
        .collect();
    assert!(!blobs.is_empty());
    for blob in &blobs {
        let size = repo.join(blob).metadata().unwrap().len();
        flip(&repo.join(blob), size / 2, 3);
        flip(&repo.join(blob), size / 3, 3);
    }
    let rotten = verify(place, "repo", &[]);
    assert_eq!(rotten.code(), 5, "{}", rotten.stderr);
    let lines = String::from_utf8(rotten.stdout).unwrap();
    let hit = lines.lines().filter(|line| line.starts_with("rot "));
    assert!(hit.clone().count() >= 2, "{lines}");
    assert!(lines.contains("`large` at byte "), "{lines}");
    let repaired = verify(place, "repo", &["--repair", "--bootstrap", other.tcp()]);
    assert_eq!(repaired.code(), 0, "{} {lines}", repaired.stderr);
    assert!(repaired.stderr.contains("repaired"), "{}", repaired.stderr);
    let whole = verify(place, "repo", &[]);
    assert_eq!(whole.code(), 0, "{}", whole.stderr);
    assert_eq!(filled.get_all("repo"), filled.contents.len());
    assert!(other.stop().success());
}

#[test]
fn a_backup_of_a_node_under_load_restores_to_a_repo_that_is_whole() {
    let place = Place::new();
    let node = place.node("repo", &[]);
    let add = |number: u64| {
        let file = place.file(&format!("file-{number}"), number, (number % 5 + 1) << 20);
        let cid = output(place.store("repo").args(["add", "--quiet"]).arg(&file));
        (cid, file)
    };
    let mut added: Vec<_> = (0..5).map(add).collect();
    let backups = place.path("backups");
    let backup = || {
        let made = output(place.store("repo").args(["backup", "--json"]).arg(&backups));
        serde_json::from_str::<serde_json::Value>(&made).unwrap()
    };
    let first = backup();
    // More is added while the second is made, and before it.
    let ended = std::sync::atomic::AtomicBool::new(false);
    let second = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut number = 100;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                add(number);
                number += 1;
            }
            number
        });
        added.extend((5..8).map(add));
        let second = backup();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(load.join().unwrap() > 100);
        second
    });
    let number = |of: &serde_json::Value, name: &str| of[name].as_u64().unwrap();
    assert!(number(&first, "copied") >= number(&first, "bytes"));
    let new = number(&second, "bytes") - number(&first, "bytes");
    assert!(
        number(&second, "copied") < new + new / 5 + (1 << 20),
        "{first} {second}"
    );
    assert!(node.stop().success());

    let mut restore = place.store("restored");
    output(restore.arg("restore").arg(&backups));
    let whole = verify(&place, "restored", &[]);
    assert_eq!(whole.code(), 0, "{}", whole.stderr);
    for (cid, file) in &added {
        let target = place.path("got");
        let _ = fs::remove_file(&target);
        let mut get = place.store("restored");
        output(get.args(["get", cid, "-o"]).arg(&target));
        same(file, &target);
    }
    let id = |repo: &str| output(place.store(repo).args(["id", "--json"]));
    assert_ne!(id("repo"), id("restored"));
    let again = finish(place.store("restored").arg("restore").arg(&backups));
    assert_eq!(again.code(), 1, "never over a repo: {}", again.stderr);
    let listed = output(place.store("none").args(["backup", "--list"]).arg(&backups));
    assert_eq!(listed.lines().count(), 2);
    output(
        place
            .store("none")
            .args(["backup", "--verify"])
            .arg(&backups),
    );
}

#[test]
fn a_node_scrubs_in_the_background() {
    let place = Place::new();
    let file = place.file("file", 1, 5 << 20);
    output(place.store("repo").args(["add", "--quiet"]).arg(&file));
    let mut run = place.store("repo");
    run.arg("run").args(ALONE);
    run.env("STORE_STORAGE_SCRUB_INTERVAL", "1s");
    let node = Node::start(run);
    let status = || {
        let text = output(place.store("repo").args(["verify", "--status", "--json"]));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    eventually("a whole pass", std::time::Duration::from_secs(30), || {
        let status = status();
        let done = status["finished"].as_u64()? > 0 && status["bytes"].as_u64()? > 5 << 20;
        done.then_some(())
    });
    assert_eq!(status()["found"], 0);
    assert!(node.stop().success());
}
