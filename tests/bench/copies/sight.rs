//! `bench copies sight`: one of ten is cut off from the other nine. It is not they that are lost, and it must
//! do nothing about it.

use std::thread;
use std::time::{Duration, Instant};

use super::Words;
use crate::fleet::contents::{Content, above_max, add, at_target, sizes};
use crate::fleet::{Lots, Plan, Swarm, mib};

const MEMBERS: usize = 10;
/// Within this all that cannot be reached are known to be gone.
const DOUBT: Duration = Duration::from_secs(60);

pub(super) fn run(words: &Words<'_>) -> bool {
    let scale = words.number("--scale", 60);
    let hours = words.number("--hours", 5);
    let count = words.number("--contents", 30);
    let seed = words.number("--seed", 1);
    let swarm = Swarm::new(Plan {
        members: MEMBERS,
        zones: MEMBERS,
        scale,
        quota: 1 << 30,
        is_apart: true,
        ..Plan::default()
    });
    let mut lots = Lots(seed);
    let sizes = sizes(count, words.mib(64), &mut lots);
    let flags = ["--replicas", "3", "--wait", "all"];
    let contents: Vec<Content> = (0..)
        .zip(sizes)
        .map(|(n, size)| add(&swarm, lots.one(MEMBERS), seed << 32 | n, size, &flags))
        .collect();
    let limit = Duration::from_secs(300);
    if let Err(why) = at_target(&swarm, &contents, limit) {
        println!("before anything happened {why}");
        return false;
    }
    let alone = lots.one(MEMBERS);
    let is_well = cut_off(&swarm, alone, Duration::from_secs(hours * 3600 / scale));
    swarm.meet();
    if let Err(why) = at_target(&swarm, &contents, limit) {
        println!("after the heal {why}");
        swarm.print_logs(30);
        return false;
    }
    thread::sleep(Duration::from_secs(3600 / scale));
    let above = above_max(&swarm, &contents).len();
    println!(
        "an hour (scaled) after the heal: segments held {:?}, {above} of {count} above max",
        swarm.held()
    );
    is_well && above == 0
}

/// What the one that is cut off does in this time.
fn cut_off(swarm: &Swarm, alone: usize, span: Duration) -> bool {
    let net = swarm.net.as_ref().expect("they are in namespaces");
    let others: Vec<usize> = (0..MEMBERS).filter(|i| *i != alone).collect();
    let held = swarm.held();
    let before = (swarm.received(), net.received(alone));
    println!("segments held {held:?}; {alone} is cut off");
    net.cut(&[alone], &others);
    let began = Instant::now();
    let (mut blind, mut early, mut late, mut pulls) = (None, 0, 0, 0);
    let mut least = held[alone];
    while began.elapsed() < span {
        let told = swarm.status(alone);
        let number = |what: &str| told[what].as_u64().expect("a number");
        if told["brakes"]["blind"] == true && blind.is_none() {
            blind = Some(began.elapsed().as_secs());
        }
        // Until the others are known to be gone, the last copies in sight are offered to those in doubt.
        let offers = if began.elapsed() < DOUBT {
            &mut early
        } else {
            &mut late
        };
        *offers = number("offers").max(*offers);
        pulls = pulls.max(number("pulls"));
        least = least.min(number("held_segments"));
        thread::sleep(Duration::from_millis(500));
    }
    let told = swarm.status(alone);
    let after = swarm.held();
    let moved = (swarm.received() - before.0, net.received(alone) - before.1);
    println!(
        "{:.0} s: blind after {blind:?} s, at the end {}, sees {}; offers under way at most {early} in the first \
         minute, {late} later, pulls {pulls}, segments \
         held at least {least} of {}; {:.1} MiB came to it, {:.1} MiB to the others, which hold {after:?}",
        span.as_secs_f64(),
        told["brakes"]["blind"],
        told["members"],
        held[alone],
        mib(moved.1),
        mib(moved.0 - moved.1)
    );
    net.heal(&[alone], &others);
    blind.is_some() && late == 0 && pulls == 0 && least == held[alone]
}
