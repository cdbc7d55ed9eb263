//! Swarms by chance, with faults by chance.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::planner::{Settings, Time};
use super::super::policy::{Copies, Policy};
use super::{Fault, MIB, Node, Setup, World, minutes};

/// How large a random swarm may be.
#[derive(Clone, Copy)]
pub(in super::super) struct Size {
    pub(in super::super) members: u32,
    pub(in super::super) segments: usize,
}

/// What came of a random run.
#[derive(Debug, Default)]
pub(in super::super) struct Outcome {
    /// From the last fault until all was as it should be.
    pub(in super::super) settled: Time,
    pub(in super::super) moved: u64,
    pub(in super::super) trims: u64,
    /// Members that drained, and went.
    pub(in super::super) drained: u64,
}

fn swarm(rng: &mut StdRng, size: Size, seed: u64) -> (Setup, Vec<Node>) {
    let members = rng.random_range(4..=size.members);
    let zones = rng.random_range(1..4_u32);
    let most = size.segments / 4;
    let segments = (0..rng.random_range(most..=size.segments))
        .map(|_| rng.random_range(MIB..=64 * MIB))
        .collect::<Vec<_>>();
    // Room for four copies of each on average, of which some members have little.
    let share = segments.iter().sum::<u64>() * 8 / u64::from(members) + 512 * MIB;
    let nodes = (0..members).map(|number| {
        let part = if rng.random_bool(0.1) { 6 } else { 1 };
        let mut node = Node::new(number, share / part, number % zones);
        node.link = rng.random_range(4..100) * MIB;
        node
    });
    let mut nodes: Vec<_> = nodes.collect();
    if members > 6 && rng.random_bool(0.2) {
        nodes[0].lies = true;
    }
    let target = rng.random_range(2..=4);
    let copies = Copies::new(target - 1, target, target + rng.random_range(0..3));
    let policy = Policy {
        copies: copies.unwrap(),
        ..Policy::default()
    };
    let settings = Settings {
        rate: [2, 8, 32][rng.random_range(0..3)] * MIB,
        ..Settings::default()
    };
    let setup = Setup {
        seed,
        settings,
        segments,
        loss: [0, 10, 50][rng.random_range(0..3)],
        copies: usize::from(policy.copies.quorum()),
        usual: minutes(24 * 60),
        policy,
    };
    (setup, nodes)
}

/// Some faults in the first three hours, of which all that heal have healed after four.
fn faults(rng: &mut StdRng, world: &mut World, members: u32) {
    for _ in 0..rng.random_range(1..5) {
        let at = Duration::from_secs(rng.random_range(60..10_800));
        let member = rng.random_range(1..members);
        let back = at + Duration::from_secs(rng.random_range(5..3600));
        match rng.random_range(0..8) {
            0 => {
                world.plan(at, Fault::Down(member));
                world.plan(back, Fault::Up(member));
            }
            1 => world.plan(at, Fault::Destroyed(member)),
            2 => {
                let mut time = at;
                for _ in 0..20 {
                    world.plan(time, Fault::Down(member));
                    time += Duration::from_secs(rng.random_range(5..200));
                    world.plan(time, Fault::Up(member));
                    time += Duration::from_secs(rng.random_range(5..200));
                }
            }
            3 => {
                // A zone.
                for member in (0..members).filter(|it| it % 3 == member % 3) {
                    world.plan(at, Fault::Down(member));
                    world.plan(back, Fault::Up(member));
                }
            }
            4 => {
                let side: Vec<_> = (0..members).filter(|_| rng.random_bool(0.4)).collect();
                for member in side {
                    world.plan(at, Fault::Side(member, 1));
                    world.plan(back, Fault::Side(member, 0));
                }
            }
            5 => {
                for member in 0..members {
                    world.plan(at, Fault::Down(member));
                    let wait = Duration::from_secs(rng.random_range(5..120));
                    world.plan(at + wait, Fault::Up(member));
                }
            }
            6 => world.plan(at, Fault::Leaves(member)),
            _ => {
                // It was not there from the beginning: it comes back with what it had.
                world.plan(Duration::ZERO, Fault::Down(member));
                world.plan(back, Fault::Up(member));
            }
        }
    }
}

/// A swarm by chance through faults by chance, until all is as it should be.
pub(in super::super) fn random_run(seed: u64, size: Size) -> Outcome {
    let mut rng = StdRng::seed_from_u64(seed);
    let (setup, nodes) = swarm(&mut rng, size, seed);
    let members = u32::try_from(nodes.len()).unwrap();
    let mut world = World::new(setup, nodes);
    faults(&mut rng, &mut world, members);
    world.run_until(minutes(300));
    let start = world.now;
    let end = world.settle(minutes(10), minutes(24 * 60));
    assert!(
        end.is_some(),
        "seed {seed}: not settled after a day: {}",
        world.describe_unsettled()
    );
    assert_eq!(world.lost(), [0; 0], "seed {seed}: lost");
    Outcome {
        settled: end.unwrap().saturating_sub(start),
        moved: world.moved.iter().sum(),
        trims: world.trims,
        drained: world.drained,
    }
}
