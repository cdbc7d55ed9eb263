//! Ten thousand members. One pointer a member and view, so that it fits in 1.5 GiB.

use std::time::{Duration, Instant};

use super::world::World;
use crate::members::Health;

/// What a large swarm came to, of whom one died.
pub(crate) struct Known {
    /// Bytes a second that each sent and received while nothing happened.
    pub(crate) quiet: usize,
    /// After how long each knew of the death; of the dead itself nothing.
    pub(crate) after: Vec<Duration>,
    /// Bytes that all of this takes.
    pub(crate) memory: u64,
}

/// So many members, one of whom dies. Ends where somebody does not know it within half a minute.
pub(crate) fn one_dies(members: usize, victim: usize, memory: impl Fn() -> u64) -> Known {
    const STEP: Duration = Duration::from_millis(500);
    let second = Duration::from_secs(1);
    let before = memory();
    let mut world = World::settled(1, members);
    world.run(60 * second);
    assert!(world.agrees());
    world.sent();
    world.run(60 * second);
    let quiet = 2 * world.sent() / 60;
    world.kill(victim);
    let mut after = vec![None; members];
    after[victim] = Some(Duration::ZERO);
    let mut passed = Duration::ZERO;
    while after.contains(&None) {
        assert!(passed < 30 * second, "somebody does not know it");
        world.run(STEP);
        passed += STEP;
        for (by, after) in after.iter_mut().enumerate() {
            if after.is_none() && matches!(world.opinion(by, victim), Some(Health::Gone(_))) {
                *after = Some(passed);
            }
        }
    }
    Known {
        quiet,
        after: after.into_iter().flatten().collect(),
        memory: memory().saturating_sub(before),
    }
}

/// `cargo test -p store-node --lib -- --ignored --nocapture ten_thousand`
#[test]
#[ignore = "minutes, and gigabytes"]
fn ten_thousand_members() {
    let second = Duration::from_secs(1);
    let began = Instant::now();
    let mut world = World::settled(1, 10_000);
    println!("created after {:.0?}", began.elapsed());
    world.run(60 * second);
    assert!(world.agrees());
    world.sent();
    println!("connected after {:.0?}", began.elapsed());
    world.run(60 * second);
    let quiet = 2 * world.sent() / 60;
    println!(
        "quiet: {quiet} bytes a second, sent and received; {} announcements",
        world.claims
    );
    for (name, silent) in [("killed", false), ("without power", true)] {
        let victim = usize::from(silent);
        if silent {
            world.crash(victim);
        } else {
            world.kill(victim);
        }
        let gone = |health| matches!(health, Some(Health::Gone(_)));
        let took = world.until(30 * second, |world| world.all_think(victim, gone));
        world.run((60 * second).saturating_sub(took));
        let both = 2 * world.sent() / 60;
        println!("{name}: known to all after {took:?}, {both} bytes a second in that minute");
        assert!(both < 4096);
    }
    let at = world.join(Some(7));
    let took = world.until(120 * second, |world| {
        world.nodes[at].core.inside().count() == 9999
    });
    println!("a newcomer knows all after {took:?}");
    assert!(quiet < 4096);
    println!("all in {:.0?}", began.elapsed());
}
