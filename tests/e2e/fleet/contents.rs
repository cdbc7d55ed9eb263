//! Contents that are added with copies, looked after, and read back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Lots, MIB, Swarm};
use crate::support::{finish, sha256};

/// How an add ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As many copies as were waited for are there.
    Acknowledged,
    /// It is added, and copies are missing.
    Partial,
    /// Nothing is promised.
    Failed,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Content {
    pub cid: String,
    pub hash: [u8; 32],
    pub size: u64,
    /// Who added it, and so has it pinned.
    pub at: usize,
    pub ended: Ended,
    /// What was said of the copies where they were not all there.
    pub said: String,
}

/// Makes `size` bytes by `seed`, and adds them at `at` with these flags.
pub fn add(swarm: &Swarm, at: usize, seed: u64, size: u64, flags: &[&str]) -> Content {
    let name = format!("content-{seed:x}");
    let file = swarm.place.file(&name, seed, size);
    let mut add = swarm.store(at);
    let finished = finish(add.args(["add", "--quiet"]).args(flags).arg(&file));
    let hash = sha256(&file);
    std::fs::remove_file(&file).expect("it was just made");
    let cid = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    let ended = match finished.code() {
        0 => Ended::Acknowledged,
        6 if !cid.is_empty() => Ended::Partial,
        _ => Ended::Failed,
    };
    let said = finished.stderr.lines().last().unwrap_or_default();
    Content {
        cid,
        hash,
        size,
        at,
        ended,
        said: said.to_owned(),
    }
}

/// How it is with copies of a content, by whoever added it.
pub struct Copies {
    pub is_at_target: bool,
    /// Of one segment: of members that are here.
    pub live: u64,
    pub max: u64,
    pub text: String,
}

pub fn look(swarm: &Swarm, content: &Content) -> Option<Copies> {
    let (mut told, code) = swarm.json(content.at, &["status", &content.cid]);
    let told = told.pop()?;
    let shares = told["members"].as_array()?.iter();
    let has_it = |it: &&serde_json::Value| it["live"] == true && it["segments"] != 0;
    Some(Copies {
        is_at_target: code == 0,
        live: shares.filter(has_it).count() as u64,
        max: told["wanted"]["max"].as_u64()?,
        text: told.to_string(),
    })
}

/// Waits until there are as many copies of each as are wanted: how long it took, or what is still missing.
pub fn at_target(swarm: &Swarm, contents: &[Content], limit: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    let mut waited = contents.to_vec();
    let mut last = began.elapsed();
    loop {
        waited.retain(|content| !look(swarm, content).is_some_and(|it| it.is_at_target));
        if waited.is_empty() {
            return Ok(last);
        }
        last = began.elapsed();
        if last > limit {
            let mut text = format!("after {limit:?} {} are not at target:", waited.len());
            for content in waited.iter().take(3) {
                let told = look(swarm, content).map_or_else(|| "no answer".into(), |it| it.text);
                let _ = write!(text, "\n  at {}: {told}", content.at);
            }
            return Err(text);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Those with more copies than may be, each with how many.
pub fn above_max(swarm: &Swarm, contents: &[Content]) -> Vec<String> {
    let look = |content: &Content| {
        let copies = look(swarm, content)?;
        (copies.live > copies.max).then(|| format!("{} {}", copies.live, content.cid))
    };
    contents.iter().filter_map(look).collect()
}

/// Reads each back by a member drawn by lot: those that are not as they were.
pub fn read_back(swarm: &Swarm, contents: &[Content], lots: &mut Lots) -> Vec<String> {
    let out = swarm.place.path("out");
    let mut wrong = Vec::new();
    for content in contents {
        let by = lots.one(swarm.len());
        let mut get = swarm.store(by);
        get.args(["get", &content.cid, "--timeout", "60s", "-o"]);
        let finished = finish(get.arg(&out));
        if !finished.status.success() {
            let told = finished.stderr.trim();
            wrong.push(format!("{} by {by}: {told}", content.cid));
        } else if sha256(&out) != content.hash {
            wrong.push(format!("{} by {by}: other bytes", content.cid));
        }
        let _ = std::fs::remove_file(&out);
    }
    wrong
}

/// Sizes of `count` contents of `mib` together, each one segment.
pub fn sizes(count: u64, mib: u64, lots: &mut Lots) -> Vec<u64> {
    let mean = (mib * MIB / count).max(2);
    // From half to one and a half of the mean: that many together, and one segment has 64 MiB.
    let size = |_| (mean / 2 + lots.within(0, mean)).min(60 * MIB);
    (0..count).map(size).collect()
}
