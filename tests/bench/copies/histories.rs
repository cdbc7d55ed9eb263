//! `bench copies histories`: histories by a seed, in their long form.

use std::time::Duration;

use super::Words;
use crate::fleet::history::{History, history};

pub(super) fn run(words: &Words<'_>) -> bool {
    let plan = History {
        span: Duration::from_secs(60 * words.number("--minutes", 10)),
        scale: words.number("--scale", 60),
        contents: words.number("--contents", 200),
        mib: words.mib(8 * 1024),
        is_apart: true,
    };
    let first = words.number("--seed", 1);
    let mut failed = Vec::new();
    for seed in first..first + words.number("--histories", 10) {
        println!("history of seed {seed}");
        if let Err(why) = history(&plan, seed) {
            println!("  FAILED, --histories 1 --seed {seed}: {why}");
            failed.push(seed);
        }
    }
    if failed.is_empty() {
        println!("all well");
    } else {
        println!("failed: {failed:?}");
    }
    failed.is_empty()
}
