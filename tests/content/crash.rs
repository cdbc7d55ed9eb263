//! I2 and I3 under kill -9: what was committed is whole, and a pin reaches only present blocks.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use store::Block;
use store::blockstore::{Blockstore, Write};
use store::cid::{Codec, Version};
use store::dag::{Link, pb};
use store::pin::Wanted;
use store::repo::{Repo, RepoOptions};

/// Where the child finds its repo, and the number of its round.
const DIR: &str = "STORE_TEST_CRASH_DIR";
const ROUND: &str = "STORE_TEST_CRASH_ROUND";
const ROUNDS: u32 = 24;
const THREADS: u32 = 3;
/// In one round a child gets no further than this: its killer waits for fewer.
const ADDS: u32 = 60;

/// One add: leaves and the node above them, made from its name alone, so that the parent can make
/// them again.
struct Add {
    round: u32,
    thread: u32,
    number: u32,
}

impl Add {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            round: next()?,
            thread: next()?,
            number: next()?,
        })
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.round, self.thread, self.number)
    }

    /// Leaves first, the root last. Sizes are such that memtables fill up and are flushed meanwhile.
    fn blocks(&self) -> Vec<Block> {
        let size = [10, 900, 5000, 200_000][self.number as usize % 4];
        let leaf = |i: u32| {
            let name = format!("{} {i} ", self.name());
            let data: Vec<u8> = name.bytes().cycle().take(size).collect();
            let data = Bytes::from([name.into_bytes(), data].concat());
            Block::hash(Version::V1, Codec::Raw, data).unwrap()
        };
        let mut blocks: Vec<Block> = (0..8).map(leaf).collect();
        // Every add has one block in common with those of the other threads.
        blocks.push(leaf_of_all(self.round, self.number));
        let links = blocks
            .iter()
            .map(|block| Link {
                cid: *block.cid(),
                name: "".into(),
                tsize: size as u64,
            })
            .collect();
        let node = pb::Node { links, data: None };
        blocks.push(Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap());
        blocks
    }

    fn write(&self) -> Write {
        if (self.number + self.thread).is_multiple_of(2) {
            Write::Bulk
        } else {
            Write::Logged
        }
    }
}

fn leaf_of_all(round: u32, number: u32) -> Block {
    let data = format!("all {round} {number}").repeat(800);
    Block::hash(Version::V1, Codec::Raw, data.into()).unwrap()
}

fn open(path: &Path) -> Repo {
    let options = RepoOptions {
        low_memory: true,
        ..RepoOptions::default()
    };
    Repo::open(path, &options).unwrap()
}

#[test]
#[ignore = "the child of the test below: killed while it runs"]
fn writer() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    let repo = open(Path::new(&dir));
    // The test harness leaves its cursor behind a name.
    println!();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let repo = &repo;
            scope.spawn(move || {
                for number in 0..ADDS {
                    add(
                        repo,
                        &Add {
                            round,
                            thread,
                            number,
                        },
                    );
                }
            });
        }
    });
}

fn add(repo: &Repo, add: &Add) {
    let blocks = add.blocks();
    let root = *blocks.last().unwrap().cid();
    for some in blocks.chunks(4) {
        repo.blocks().put_many(some, add.write()).unwrap();
    }
    // Some commit, some leave that to the pin, some do not pin.
    if !add.number.is_multiple_of(3) {
        repo.blocks().commit().unwrap();
        println!("committed {}", add.name());
    }
    if add.number % 3 != 1 {
        repo.pins()
            .add(&Wanted {
                name: Some(add.name()),
                ..Wanted::new(root, 1)
            })
            .unwrap();
        println!("pinned {}", add.name());
    }
}

#[test]
fn kill_9_loses_nothing_that_was_committed_and_no_pin_dangles() {
    let dir = tempfile::tempdir().unwrap();
    // Moments that differ from run to run.
    let mut random = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos()
        | 1;
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let printed = run_and_kill(dir.path(), round, random % ADDS);
        let repo = open(dir.path());
        check_all(&repo, &printed);
        let pins = repo.pins().list().unwrap();
        let of_this = format!("{round} ");
        let names = pins.into_iter().filter_map(|pin| pin.name);
        let lines = names.filter(|name| name.starts_with(&of_this));
        check_all(
            &repo,
            &lines
                .map(|name| format!("pinned {name}"))
                .collect::<Vec<_>>(),
        );
        all.extend(printed);
    }
    // And nothing that came later did harm.
    check_all(&open(dir.path()), &all);
    assert!(all.iter().filter(|line| line.starts_with("pinned")).count() > 20);
}

fn check_all(repo: &Repo, lines: &[String]) {
    for line in lines {
        check(repo, line).unwrap_or_else(|what| panic!("`{line}` is not so: {what}"));
    }
}

/// Everything that the child said before and while it died.
fn run_and_kill(dir: &Path, round: u32, after: u32) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::writer", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut printed: Vec<String> = lines
        .by_ref()
        .filter(|line| line.starts_with("committed") || line.starts_with("pinned"))
        .take(after as usize + 1)
        .collect();
    child.kill().unwrap();
    printed.extend(lines.filter(|l| l.starts_with("committed") || l.starts_with("pinned")));
    child.wait().unwrap();
    // The last line may be cut: its name is then that of another, or none.
    printed.retain(|line| line.split(' ').count() == 4);
    printed
}

/// Whether what a line says is so.
fn check(repo: &Repo, line: &str) -> Result<(), String> {
    let (verb, name) = line.split_once(' ').unwrap();
    let blocks = Add::parse(name).ok_or("not a name")?.blocks();
    for block in &blocks {
        let found = repo
            .blocks()
            .get(block.cid())
            .map_err(|error| error.to_string())?;
        if found.as_ref() != Some(block.data()) {
            return Err(format!(
                "block {} is {:?}",
                block.cid(),
                found.map(|data| data.len())
            ));
        }
    }
    let root = blocks.last().unwrap().cid();
    let links = repo
        .blocks()
        .links(root)
        .map_err(|error| error.to_string())?;
    if links.map(|links| links.len()) != Some(9) {
        return Err("the links are not those of the node".into());
    }
    if verb == "pinned" && repo.pins().get(root).unwrap().is_none() {
        return Err("the pin is gone".into());
    }
    Ok(())
}
