//! Rounds of add and remove of half a store, and what it takes on disk after each command.

use std::fs;
use std::path::Path;

use crate::support::{Place, output};

const MIB: u64 = 1 << 20;

/// Bytes on disk and bytes of blocks after a command.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub after: &'static str,
    pub disk: u64,
    pub live: u64,
}

impl Sample {
    /// Bytes on disk for each byte of a block.
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn amplification(&self) -> f64 {
        self.disk as f64 / self.live as f64
    }
}

/// Fills a store with `mib`, then exchanges half of it `rounds` times: the new half is added, the older
/// one unpinned, and `store gc` run.
pub fn rounds(place: &Place, rounds: u64, mib: u64, chunker: &str) -> Vec<Sample> {
    let half = mib * MIB / 2;
    let add = |round: u64| {
        let file = place.file("half", 1000 + round, half);
        let mut add = place.store("repo");
        add.args(["add", "--quiet", "--chunker", chunker]);
        let cid = output(add.arg(&file));
        fs::remove_file(file).unwrap();
        cid
    };
    let mut samples = Vec::new();
    let mut sample = |after| {
        samples.push(Sample {
            after,
            disk: disk(&place.path("repo")),
            live: live(place),
        });
    };
    let mut kept = [add(0), add(1)];
    sample("add");
    for round in 1..=rounds {
        let new = add(round + 1);
        sample("add");
        let [old, newer] = kept;
        output(place.store("repo").args(["pin", "rm", &old]));
        kept = [newer, new];
        sample("pin rm");
        output(place.store("repo").arg("gc"));
        sample("gc");
    }
    samples
}

fn live(place: &Place) -> u64 {
    let stat = output(
        place
            .store("repo")
            .args(["repo", "stat", "--quick", "--json"]),
    );
    let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
    stat["stored"].as_u64().unwrap()
}

/// What the files below `path` take, by the blocks of the file system.
fn disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path).unwrap();
    let below = if meta.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| disk(&entry.unwrap().path())).sum()
    } else {
        0
    };
    meta.blocks() * 512 + below
}
