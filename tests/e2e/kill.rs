//! I2: `add` returned means that the bytes survive. Killed at random moments, and watched by strace.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Noise, Place, command, finish, output, program, same};

/// Random numbers for the rounds' sizes and moments.
struct Dice(Noise);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % limit
    }
}

/// What a round leaves behind.
struct Ledger {
    place: Place,
    /// File by the CID that was printed for it.
    printed: HashMap<String, PathBuf>,
    /// CIDs that a killed add may have pinned just before it could print them.
    unheard: BTreeSet<String>,
}

impl Ledger {
    fn new() -> Self {
        Self {
            place: Place::new(),
            printed: HashMap::new(),
            unheard: BTreeSet::new(),
        }
    }

    /// Starts to add a new file, calls `kill` with the running command at a random moment, and takes
    /// down what was printed.
    fn round(&mut self, dice: &mut Dice, round: u64, kill: impl FnOnce(&mut std::process::Child)) {
        let size = if round.is_multiple_of(3) {
            dice.below(4096)
        } else {
            dice.below(48 << 20)
        };
        let file = self
            .place
            .file(&format!("file-{round}"), 1000 + round, size);
        let mut add = self.place.store("repo");
        add.args(["add", "--quiet"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = add.spawn().unwrap();
        // The moment of the crash is what this test is about.
        std::thread::sleep(Duration::from_micros(dice.below(150_000)));
        kill(&mut child);
        child.wait().unwrap();
        let mut printed = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        if let Some(cid) = printed.strip_suffix('\n') {
            self.printed.insert(cid.to_owned(), file);
        } else {
            let mut only_hash = self.place.store("elsewhere");
            only_hash.args(["add", "--quiet", "--only-hash"]).arg(&file);
            self.unheard.insert(output(&mut only_hash));
            std::fs::remove_file(file).unwrap();
        }
    }

    /// The repo opens, every CID that was printed is whole, and nothing else is pinned: but for an
    /// add that was killed between its pin and its line, whose content must then be whole too.
    fn check(&self) {
        let pins = output(self.place.store("repo").args(["pin", "ls", "--json"]));
        let mut pinned = BTreeSet::new();
        for line in pins.lines() {
            let pin: serde_json::Value = serde_json::from_str(line).unwrap();
            pinned.insert(pin["cid"].as_str().unwrap().to_owned());
        }
        for (cid, file) in &self.printed {
            assert!(pinned.remove(cid), "{cid} was printed and is not pinned");
            let out = self.place.path("out");
            let mut get = self.place.store("repo");
            get.args(["get", cid, "--no-mdns", "--force", "--timeout", "2s", "-o"]);
            output(get.arg(&out));
            same(file, &out);
        }
        for cid in pinned {
            assert!(
                self.unheard.contains(&cid),
                "{cid} is pinned and nobody added it"
            );
            let mut cat = self.place.store("repo");
            let whole = finish(cat.args(["cat", &cid, "--no-mdns", "--timeout", "2s"]));
            assert!(
                whole.status.success(),
                "{cid} is pinned and not whole: {}",
                whole.stderr
            );
        }
    }
}

#[test]
fn fifty_adds_killed_without_a_node_lose_nothing_that_was_printed() {
    let (mut ledger, mut dice) = (Ledger::new(), Dice(Noise::new(1, u64::MAX)));
    for round in 0..50 {
        ledger.round(&mut dice, round, |child| child.kill().unwrap());
        if round % 10 == 9 {
            ledger.check();
        }
    }
    println!(
        "{} of 50 adds were quicker than their end",
        ledger.printed.len()
    );
}

#[test]
fn twenty_five_adds_killed_beside_a_node_lose_nothing_that_was_printed() {
    let (mut ledger, mut dice) = (Ledger::new(), Dice(Noise::new(2, u64::MAX)));
    let node = ledger.place.node("repo", &[]);
    for round in 0..25 {
        ledger.round(&mut dice, round, |child| child.kill().unwrap());
    }
    ledger.check();
    assert!(node.stop().success());
    ledger.check();
}

#[test]
fn twenty_five_nodes_killed_under_an_add_lose_nothing_that_was_printed() {
    let (mut ledger, mut dice) = (Ledger::new(), Dice(Noise::new(3, u64::MAX)));
    for round in 0..25 {
        let node = ledger.place.node("repo", &[]);
        ledger.round(&mut dice, round, |_| node.kill());
        if round % 5 == 4 {
            ledger.check();
        }
    }
}

#[test]
fn each_write_to_the_repo_is_synced_before_the_cid_is_printed() {
    let place = Place::new();
    for (name, size) in [("small", 1024), ("bulk", 100 << 20)] {
        let file = place.file(name, 5, size);
        let repo = place.path(&format!("repo-{name}"));
        let trace = place.path(&format!("trace-{name}"));
        let mut strace = command("strace", &repo);
        strace.args(["-f", "-y", "-s", "80", "-e"]);
        strace.arg("trace=write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat");
        strace
            .arg("-o")
            .arg(&trace)
            .arg(program())
            .args(["add", "--quiet"])
            .arg(&file);
        let cid = output(&mut strace);
        let trace = std::fs::read_to_string(&trace).unwrap();
        let unsynced = unsynced_at_print(&trace, &repo, &cid);
        assert!(
            unsynced.is_empty(),
            "{name}: written and not synced: {unsynced:#?}"
        );
        assert!(
            trace.contains(&format!("{}/db/", repo.display())),
            "the database was traced"
        );
    }
}

/// The files under `repo` whose last write has no later sync when `cid` is written to stdout. A file
/// that was removed by then needs none; a rename moves what is owed.
fn unsynced_at_print(trace: &str, repo: &Path, cid: &str) -> BTreeSet<String> {
    let repo = repo.to_str().unwrap();
    let mut owed = BTreeSet::new();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(char::is_whitespace).unwrap();
        let call = call.trim_start();
        // A sync counts from where it begins, a write until where it ends.
        let (begins, ends) = if call.starts_with("<...") {
            (None, begun.remove(thread))
        } else if call.contains("<unfinished ...>") {
            begun.insert(thread, call);
            (Some(call), None)
        } else {
            (Some(call), Some(call))
        };
        if let Some(call) = begins {
            if call.starts_with("write(1<") && call.contains(cid) {
                return owed;
            }
            if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
                owed.remove(path_of(call));
            }
            if call.starts_with("unlink") {
                owed.retain(|path| !call.contains(&format!("{path}\"")));
            }
            if call.starts_with("rename") {
                let names: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
                if let [from, to] = names[..] {
                    let moved = owed.iter().find(|path| path.ends_with(from)).cloned();
                    if let Some(path) = moved {
                        owed.remove(&path);
                        owed.insert(to.to_owned());
                    }
                }
            }
        }
        if let Some(call) = ends {
            let writes = ["write", "pwrite"]
                .iter()
                .any(|name| call.starts_with(name));
            let path = path_of(call);
            if writes && path.starts_with(repo) {
                owed.insert(path.to_owned());
            }
        }
    }
    panic!("the trace has no line that prints {cid}");
}

/// The path that `strace -y` gives for a call's descriptor.
fn path_of(call: &str) -> &str {
    let start = call.find('<').map_or(0, |at| at + 1);
    call[start..].split_once('>').map_or("", |(path, _)| path)
}
