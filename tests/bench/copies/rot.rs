//! `bench copies rot`: a hundredth of one member's leaves rots. How long until that is found, and until all is whole.

use std::time::Duration;

use super::Words;
use crate::fleet::rot::{Finder, Rot, rot};

pub(super) fn run(words: &Words<'_>) -> bool {
    let scale = words.number("--scale", 3000);
    let scrub = words.number("--scrub", 20);
    let first = words.number("--seed", 1);
    let mut is_well = true;
    for finder in [Finder::Audits, Finder::Scrub(scrub)] {
        for seed in first..first + words.number("--runs", 3) {
            let plan = Rot {
                members: usize::try_from(words.number("--members", 5)).expect("a few"),
                scale,
                contents: words.number("--contents", 100),
                mib: words.mib(128),
                seed,
                finder,
            };
            is_well &= told(&plan);
        }
    }
    is_well
}

fn told(plan: &Rot) -> bool {
    let healed = match rot(plan) {
        Ok(healed) => healed,
        Err(why) => {
            println!("{:?}, seed {}: FAILED: {why}", plan.finder, plan.seed);
            return false;
        }
    };
    let (flipped, leaves) = healed.leaves;
    let times = |time: Duration| match plan.finder {
        Finder::Audits => {
            let hours = time.as_secs_f64() * plan.scale as f64 / 3600.0;
            format!("{:.1} s ({hours:.1} h)", time.as_secs_f64())
        }
        Finder::Scrub(every) => {
            let part = time.as_secs_f64() / every as f64;
            format!("{:.1} s ({part:.2} of an interval)", time.as_secs_f64())
        }
    };
    println!(
        "{:?}, seed {}: bits flipped in {flipped} of {leaves} leaves; the first found after {}, all in {} segments \
         whole after {}; doctor {:?}",
        plan.finder,
        plan.seed,
        times(healed.first),
        healed.segments,
        times(healed.whole),
        healed.doctor
    );
    true
}
