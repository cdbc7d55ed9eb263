//! `bench copies liars`: members that do not keep what they say, among honest ones. With the name of one it is
//! that one alone.

use std::time::Duration;

use super::Words;
use crate::fleet::liar::Lie;
use crate::fleet::lies::{Lies, found_out};

pub(super) fn run(words: &Words<'_>) -> bool {
    let scale = words.number("--scale", 600);
    let mut is_well = true;
    for lie in [Lie::Drops, Lie::Loses, Lie::Room] {
        if words
            .0
            .iter()
            .any(|it| Lie::named(it).is_some_and(|named| named != lie))
        {
            continue;
        }
        for _ in 0..words.number("--runs", 1) {
            let plan = Lies {
                lie,
                members: usize::try_from(words.number("--members", 4)).expect("a few"),
                scale,
                contents: words.number("--contents", 60),
                by_all: true,
                limit: Duration::from_secs(900),
            };
            let found = match found_out(&plan) {
                Ok(found) => found,
                Err(why) => {
                    println!("{lie:?}: FAILED: {why}");
                    is_well = false;
                    continue;
                }
            };
            let time = |time: Option<Duration>| {
                let hours = |it: Duration| it.as_secs_f64() * scale as f64 / 3600.0;
                time.map_or_else(
                    || "never".into(),
                    |it| format!("{:.1} s ({:.1} h)", it.as_secs_f64(), hours(it)),
                )
            };
            println!(
                "{lie:?}: trusted less after {}, given nothing new after {}, found out by all who asked after {}, its \
                 copies replaced after {}; trust in per cent, and whether it gets anything: {:?}; named by the doctor: {}",
                time(found.first),
                time(found.refused),
                time(found.by_all),
                time(found.mended),
                found.trust,
                found.is_named
            );
        }
    }
    is_well
}
