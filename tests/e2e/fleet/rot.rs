//! A disk that rots: bits are flipped in a hundredth of one member's leaves while it does not run. Audits or the scrub find
//! them, and they are fetched again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::contents::{Content, Ended, add, at_target, read_back, sizes};
use super::{Lots, Plan, Swarm};
use crate::support::{finish, output};

/// Whose disk it is.
const VICTIM: usize = 1;
/// Leaves are cut so small that a small content has many.
const LEAF: u64 = 16 << 10;
/// Until all copies are made, on a machine with other things to do.
const MADE: Duration = Duration::from_secs(180);
/// Until all is found and fetched again.
const WHOLE: Duration = Duration::from_secs(900);

/// What finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// The others' questions and its own; nothing is scrubbed.
    Audits,
    /// The scrub, once in so many seconds; audits come once a day.
    Scrub(u64),
}

/// How much rots.
pub struct Rot {
    pub members: usize,
    /// By what all waits of replication are divided; while the scrub is looked at, they are not.
    pub scale: u64,
    pub contents: u64,
    pub mib: u64,
    pub seed: u64,
    pub finder: Finder,
}

/// How long it took.
pub struct Healed {
    /// Leaves of which a bit was flipped, and all that the member has.
    pub leaves: (usize, usize),
    /// Segments that were found not to be whole.
    pub segments: u64,
    /// From the start of the node: until the first was found,
    pub first: Duration,
    /// and until all were whole again.
    pub whole: Duration,
    /// What the doctor said meanwhile.
    pub doctor: BTreeSet<String>,
}

/// Lets it rot; `Err` says what is not as it should be.
pub fn rot(plan: &Rot) -> Result<Healed, String> {
    let (scale, scrub) = match plan.finder {
        Finder::Audits => (plan.scale, "off".to_owned()),
        Finder::Scrub(seconds) => (1, format!("{seconds}s")),
    };
    let swarm = Swarm::new(Plan {
        members: plan.members,
        zones: plan.members,
        scale,
        settings: vec![("STORE_STORAGE_SCRUB_INTERVAL", scrub)],
        ..Plan::default()
    });
    let rotted = rotted(&swarm, plan);
    if rotted.is_err() {
        swarm.print_logs(30);
    }
    rotted
}

fn rotted(swarm: &Swarm, plan: &Rot) -> Result<Healed, String> {
    let mut lots = Lots(plan.seed);
    let chunker = format!("size-{LEAF}");
    let flags = ["--chunker", &chunker, "--replicas", "3", "--wait", "all"];
    let sizes = sizes(plan.contents, plan.mib, &mut lots);
    let mut contents: Vec<Content> = Vec::new();
    for (n, size) in (0..).zip(sizes) {
        let at = lots.one(swarm.len());
        contents.push(add(swarm, at, plan.seed << 32 | n, size, &flags));
    }
    if let Some(content) = contents.iter().find(|it| it.ended != Ended::Acknowledged) {
        return Err(format!("before anything rots: {}", content.said));
    }
    let repo = swarm.place.path(&VICTIM.to_string());
    swarm.stop(&[VICTIM]);
    // What is in the log only is written into files when the database is opened again.
    output(swarm.store(VICTIM).arg("id"));
    let leaves = flip_a_hundredth(&repo, &mut lots);
    if leaves.0 == 0 {
        return Err(format!("of {} leaves none was to rot", leaves.1));
    }
    let began = Instant::now();
    swarm.start(VICTIM);
    let mut healed = Healed {
        leaves,
        segments: 0,
        first: Duration::ZERO,
        whole: Duration::ZERO,
        doctor: BTreeSet::new(),
    };
    watch(swarm, began, &mut healed)?;
    at_target(swarm, &contents, MADE)?;
    let wrong = read_back(swarm, &contents, &mut lots);
    if wrong.is_empty() {
        Ok(healed)
    } else {
        Err(format!("not whole: {}", wrong.join("; ")))
    }
}

/// Until all that the victim has is what it should be, as it reads it itself.
fn watch(swarm: &Swarm, began: Instant, healed: &mut Healed) -> Result<(), String> {
    loop {
        let told = swarm.status(VICTIM);
        let number = |name: &str| told[name].as_u64().unwrap_or_default();
        healed.segments = number("rotten");
        if healed.segments > 0 && healed.first.is_zero() {
            healed.first = began.elapsed();
        }
        let (found, _) = swarm.json(VICTIM, &["doctor"]);
        let kinds = found.iter().filter(|it| it["kind"] == "rot");
        let marks = kinds.map(|it| if it["serious"] == true { "!" } else { "-" });
        healed.doctor.extend(marks.map(str::to_owned));
        if healed.segments > 0 && number("mending") == 0 {
            let whole = began.elapsed();
            if finish(swarm.store(VICTIM).arg("verify")).code() == 0 {
                healed.whole = whole;
                // More may have been found while that was read.
                healed.segments = swarm.status(VICTIM)["rotten"].as_u64().unwrap_or_default();
                return Ok(());
            }
        }
        if began.elapsed() > WHOLE {
            let verified = finish(swarm.store(VICTIM).arg("verify"));
            let mut text = format!("after {WHOLE:?} not all is whole again: {told:?}");
            let _ = write!(text, "\n{}", String::from_utf8_lossy(&verified.stdout));
            return Err(text);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Flips one bit in a hundredth of the leaves that lie in the blob files of a repo that nobody has open: in how many, and
/// how many there are.
fn flip_a_hundredth(repo: &Path, lots: &mut Lots) -> (usize, usize) {
    let mut leaves = Vec::new();
    for entry in fs::read_dir(repo.join("db")).expect("a repo has one") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|it| it == "blob") {
            let values = values(&fs::read(&path).expect("it can be read"));
            leaves.extend(values.into_iter().map(|at| (path.clone(), at)));
        }
    }
    let count = leaves.len().div_ceil(100).min(leaves.len());
    let all = leaves.len();
    lots.shuffle(&mut leaves);
    for (path, (at, size)) in &leaves[..count] {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.expect("it is ours");
        let at = at + lots.within(0, *size);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("it is there");
        byte[0] ^= 1 << lots.within(0, 8);
        file.write_all_at(&byte, at).expect("it can be written");
    }
    (count, all)
}

/// Where the values of whole leaves are in a blob file of `RocksDB`: after a header of 30 bytes come records, each with a header of
/// 32 (key size, value size, expiration, two checksums; `db/blob/blob_log_format.h`), key and value.
fn values(file: &[u8]) -> Vec<(u64, u64)> {
    let mut values = Vec::new();
    let mut at = 30;
    let number = |at: usize| {
        let bytes = file.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    while let (Some(key), Some(size)) = (number(at), number(at + 8)) {
        let value = at as u64 + 32 + key;
        // What is behind the last record is a footer of another form.
        let Some(end) = value
            .checked_add(size)
            .filter(|it| *it <= file.len() as u64)
        else {
            break;
        };
        if size == LEAF {
            values.push((value, size));
        }
        at = usize::try_from(end).expect("it is within the file");
    }
    values
}
