//! Clones of users' files: on a file system that can, where one can be made here, and what happens on
//! one that cannot.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Place, eventually, finish, output, same};

const MIB: u64 = 1 << 20;
/// What a file system may write for itself between two looks at it.
const NOISE: u64 = 6 * MIB;

/// A file system with clones, in a file; gone afterwards.
struct Btrfs {
    dir: TempDir,
}

impl Btrfs {
    /// `None`, and why, where none can be made here.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, mount) = (dir.path().join("image"), dir.path().join("mount"));
        File::create(&image).unwrap().set_len(1 << 30).unwrap();
        fs::create_dir(&mount).unwrap();
        let run = |command: &mut Command| {
            let done = command.output().map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            done.status.success().then_some(()).ok_or(said)
        };
        let made = run(Command::new("mkfs.btrfs").arg("-q").arg(&image)).and_then(|()| {
            let mut command = Command::new("mount");
            run(command.args(["-o", "loop"]).arg(&image).arg(&mount))
        });
        match made {
            Ok(()) => Some(Self { dir }),
            Err(error) => {
                eprintln!("left out: no btrfs can be made here: {}", error.trim());
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Bytes that are taken.
    fn used(&self) -> u64 {
        let dir = File::open(self.path()).unwrap();
        rustix::fs::syncfs(&dir).unwrap();
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left behind may still be in it.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

fn add(place: &Place, repo: &str, when: &str, path: &Path) -> Command {
    let mut add = place.store(repo);
    add.args(["add", "--quiet", when]).arg(path);
    add
}

fn stat(place: &Place, repo: &str) -> Value {
    let stat = output(place.store(repo).args(["repo", "stat", "--json"]));
    serde_json::from_str(&stat).unwrap()
}

/// How many clones a repo has.
fn clones(place: &Place, repo: &str) -> usize {
    fs::read_dir(place.path(repo).join("clones")).map_or(0, Iterator::count)
}

#[test]
fn a_clone_takes_no_room_outlives_its_file_and_goes_with_its_last_block() {
    let Some(btrfs) = Btrfs::new() else { return };
    let place = Place::within(&btrfs.path());
    let size = 96 * MIB;
    let file = place.file("file", 11, size);
    let copy = tempfile::NamedTempFile::new().unwrap();
    fs::copy(&file, copy.path()).unwrap();
    output(place.store("a").arg("init"));
    let before = btrfs.used();
    let cid = output(&mut add(&place, "a", "--reflink", &file));
    let taken = btrfs.used() - before;
    assert!(taken < NOISE, "{taken} bytes of {size}");
    let copied = output(&mut add(&place, "a", "--only-hash", &file));
    assert_eq!(cid, copied, "the same CID as ever");
    let told = stat(&place, "a");
    assert_eq!(
        (&told["clones"], &told["clone_bytes"]),
        (&1.into(), &size.into())
    );
    assert!(told["stored"].as_u64().unwrap() < MIB, "{told}");
    // Unchanged, it is known without reading.
    let again = finish(
        place
            .store("a")
            .args(["add", "--json", "--reflink"])
            .arg(&file),
    );
    assert_eq!(again.code(), 0);
    assert_eq!(clones(&place, "a"), 1);

    // Whatever becomes of the file, the bytes are there.
    let changed = File::options().write(true).open(&file).unwrap();
    changed.write_all_at(b"changed", 5 * MIB).unwrap();
    changed.set_len(90 * MIB).unwrap();
    // An open file would keep its bytes on disk.
    drop(changed);
    let out = place.path("out");
    let before = btrfs.used();
    output(place.store("a").args(["get", &cid, "-o"]).arg(&out));
    same(copy.path(), &out);
    let taken = btrfs.used().saturating_sub(before);
    assert!(taken < NOISE, "a get clones too, and took {taken}");
    fs::remove_file(&file).unwrap();
    fs::remove_file(&out).unwrap();
    output(place.store("a").args(["verify", &cid]));

    // A backup has it, and so has the repo that is made of it.
    let (backups, restored) = (place.path("backups"), place.path("restored"));
    output(place.store("a").arg("backup").arg(&backups));
    let mut restore = place.store("restored");
    output(
        restore
            .arg("restore")
            .arg(&backups)
            .arg("--repo")
            .arg(&restored),
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let out = elsewhere.path().join("out");
    output(place.store("restored").args(["get", &cid, "-o"]).arg(&out));
    same(copy.path(), &out);

    let before = btrfs.used();
    output(place.store("a").args(["pin", "rm", &cid]));
    output(place.store("a").arg("gc"));
    assert_eq!(clones(&place, "a"), 0);
    eventually("its room is there again", Duration::from_secs(60), || {
        (before.saturating_sub(btrfs.used()) > size - NOISE).then_some(())
    });
}

#[test]
fn an_add_that_was_killed_leaves_no_clone_that_nothing_needs() {
    let Some(btrfs) = Btrfs::new() else { return };
    let place = Place::within(&btrfs.path());
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..64 {
        place.file(&format!("tree/{number}"), number, 2 * MIB);
    }
    output(place.store("a").arg("init"));
    for enough in [1, 20, 40] {
        let mut killed = add(&place, "a", "--reflink", &tree)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("some are cloned", Duration::from_secs(60), || {
            let ended = killed.try_wait().unwrap().is_some();
            (ended || clones(&place, "a") >= enough).then_some(())
        });
        killed.kill().unwrap();
        killed.wait().unwrap();
        let pinned = output(place.store("a").args(["pin", "ls"]));
        if pinned.is_empty() {
            output(place.store("a").arg("gc"));
            assert_eq!(clones(&place, "a"), 0, "nothing is pinned: nothing stays");
        }
    }
    let cid = output(&mut add(&place, "a", "--reflink", &tree));
    assert_eq!(clones(&place, "a"), 64);
    output(place.store("a").args(["verify", &cid]));
}

#[test]
fn where_there_are_no_clones_always_says_so_and_auto_stores() {
    let place = Place::new();
    // On another file system than the repo nothing can be cloned, whatever either of them can.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let file = dir.path().join("file");
    fs::copy(place.file("original", 12, 3 * MIB), &file).unwrap();
    for flag in ["--reflink", "--reflink=always"] {
        let refused = finish(&mut add(&place, "a", flag, &file));
        assert_eq!(refused.code(), 1, "{}", refused.stderr);
        let named = format!("`{}` is not added: it cannot be cloned", file.display());
        assert!(refused.stderr.contains(&named), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("--reflink=auto"),
            "{}",
            refused.stderr
        );
        assert!(refused.stdout.is_empty());
    }
    assert_eq!(stat(&place, "a")["blocks"], 0);
    let cid = output(&mut add(&place, "a", "--reflink=auto", &file));
    fs::remove_file(&file).unwrap();
    let cat = finish(place.store("a").args(["cat", &cid]));
    assert_eq!(cat.stdout, fs::read(place.path("original")).unwrap());
    assert_eq!(clones(&place, "a"), 0);
    assert_eq!(stat(&place, "a")["stored"].as_u64().unwrap() / MIB, 3);
}

#[test]
fn what_no_clone_can_hold_is_stored_or_refused() {
    let place = Place::new();
    let file = place.file("file", 13, MIB);
    let old = ["--profile", "unixfs-v0-2015"];
    let refused = finish(add(&place, "a", "--reflink=always", &file).args(old));
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("raw leaves"), "{}", refused.stderr);
    output(add(&place, "a", "--reflink=auto", &file).args(old));
    let both = finish(add(&place, "a", "--reflink=auto", &file).arg("--no-copy"));
    assert_eq!(both.code(), 2, "{}", both.stderr);
    // Small files would take more room as clones.
    let small = place.file("small", 14, 1000);
    output(&mut add(&place, "a", "--reflink=always", &small));
    assert_eq!(clones(&place, "a"), 0);
}
