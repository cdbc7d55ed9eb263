//! The swarms that must come out right.

use std::time::Duration;

use super::super::planner::{Settings, Time};
use super::super::policy::{Copies, Policy};
use super::matrix::{Size, random_run};
use super::{Fault, MIB, Node, Setup, World, minutes};

/// `STORE_SIM_SEED` is the only one, if it is set; else so many.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let seed = std::env::var("STORE_SIM_SEED");
    match seed.ok().and_then(|it| it.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

fn run_seeds(count: u64, size: Size) {
    let (mut worst, mut sum) = (Time::ZERO, Time::ZERO);
    let (mut trims, mut moved, mut drained) = (0, 0, 0);
    let seeds = seeds(count);
    let number = u32::try_from(seeds.end - seeds.start).unwrap();
    for seed in seeds {
        // Also where something panics deep within.
        let run = std::panic::catch_unwind(|| random_run(seed, size));
        let run = run.unwrap_or_else(|_| panic!("STORE_SIM_SEED={seed} fails"));
        worst = worst.max(run.settled);
        sum += run.settled;
        trims += run.trims;
        moved += run.moved;
        drained += run.drained;
    }
    println!(
        "{number} seeds: settled {:?} after five hours on average, {worst:?} at most; {} GiB moved, {trims} trims, \
         {drained} drained",
        sum / number,
        moved >> 30
    );
    assert!(
        number == 1 || (trims > 0 && moved > 0 && drained > 0),
        "nothing has happened"
    );
}

#[test]
fn a_hundred_swarms_by_chance() {
    let size = Size {
        members: 14,
        segments: 80,
    };
    run_seeds(100, size);
}

/// `cargo test --workspace --lib -- --ignored --nocapture a_thousand_swarms`; `STORE_SIM_SEED=n` runs one of them.
#[test]
#[ignore = "three quarters of an hour"]
fn a_thousand_swarms_by_chance() {
    let size = Size {
        members: 50,
        segments: 2000,
    };
    run_seeds(1000, size);
}

/// A swarm where everything is where it belongs; those from `up` on are not here yet.
fn settled(members: u32, up: u32, segments: usize) -> World {
    let nodes = (0..members).map(|number| {
        let mut node = Node::new(number, 64 << 30, 0);
        node.is_up = number < up;
        node
    });
    let setup = Setup {
        seed: 1,
        settings: Settings::default(),
        policy: Policy::default(),
        segments: vec![8 * MIB; segments],
        loss: 5,
        copies: 3,
        usual: minutes(24 * 60),
    };
    World::new(setup, nodes.collect())
}

#[test]
fn what_adders_have_pinned_moves_only_when_it_is_pinned_no_more() {
    let nodes = (0..20).map(|number| {
        let mut node = Node::new(number, 64 << 30, 0);
        // Each added ten of the segments.
        node.pinned = (0..200).filter(|it| it % 20 == number as usize).collect();
        node
    });
    let setup = Setup {
        seed: 1,
        settings: Settings::default(),
        policy: Policy {
            copies: Copies::new(2, 3, 3).unwrap(),
            ..Policy::default()
        },
        segments: vec![8 * MIB; 200],
        loss: 5,
        copies: 3,
        usual: minutes(24 * 60),
    };
    let mut world = World::new(setup, nodes.collect());
    let copies = |world: &World| -> Vec<usize> {
        let nodes = &world.nodes;
        let count = |it: usize| nodes.iter().filter(|node| node.disk.contains(&it)).count();
        (0..200).map(count).collect()
    };
    assert_eq!(copies(&world), [3; 200]);
    world.run_until(minutes(24 * 60));
    assert_eq!((world.moved, world.trims), ([0; 4], 0));
    // Half of them pin nothing any more.
    for member in 0..10 {
        world.plan(minutes(24 * 60), Fault::Unpins(member));
    }
    world.run_until(minutes(48 * 60));
    assert_eq!(world.moved[..3], [0; 3], "only places are mended");
    // Of a hundred segments some fifteen were where they belong.
    let moved = world.moved[3] / (8 * MIB);
    assert!((70..=95).contains(&moved), "{moved}");
    assert_eq!(world.trims, moved);
    assert_eq!(copies(&world), [3; 200]);
}

#[test]
fn members_that_come_and_go_for_minutes_move_next_to_nothing() {
    let mut world = settled(20, 20, 200);
    let stored = world.stored();
    for member in 0..20 {
        let mut at = minutes(5) + Duration::from_secs(60 * u64::from(member));
        while at < minutes(600) {
            world.plan(at, Fault::Down(member));
            world.plan(at + Duration::from_secs(95), Fault::Up(member));
            at += minutes(20);
        }
    }
    world.run_until(minutes(720));
    let moved: u64 = world.moved.iter().sum();
    println!("{} % moved", moved as f64 * 100.0 / stored as f64);
    assert!(moved * 100 < stored, "{moved} of {stored}");
    assert_eq!(world.unsettled(), []);
}

#[test]
fn one_of_a_hundred_that_joins_moves_its_share() {
    let mut world = settled(101, 100, 2000);
    let share = world.stored() / 101;
    world.run_until(minutes(30));
    world.plan(minutes(30), Fault::Up(100));
    world.run_until(minutes(12 * 60));
    let moved: u64 = world.moved.iter().sum();
    println!("{} of its share moved", moved as f64 / share as f64);
    assert!(moved * 10 <= share * 12, "{moved} of {share}");
    assert!(moved * 10 >= share * 7, "{moved} of {share}");
}

#[test]
fn one_of_a_hundred_that_leaves_moves_its_share() {
    let mut world = settled(100, 100, 2000);
    let share = world.nodes[7].used;
    world.run_until(minutes(30));
    world.plan(minutes(30), Fault::Leaves(7));
    // Nothing waits for the hour of what is below its target.
    world.run_until(minutes(75));
    assert!(world.nodes[7].is_gone);
    world.run_until(minutes(12 * 60));
    let moved: u64 = world.moved.iter().sum();
    println!("{} of its share moved", moved as f64 / share as f64);
    assert!(world.nodes[7].is_gone);
    assert!(moved * 10 <= share * 12, "{moved} of {share}");
    assert!(moved >= share, "{moved} of {share}");
    assert_eq!(world.unsettled(), []);
}

#[test]
fn whoever_is_cut_off_from_most_repairs_last_copies_only_and_trims_nothing() {
    let mut world = settled(20, 20, 600);
    let side = 0..3_usize;
    let copies = |world: &World| -> Vec<usize> {
        let side = &world.nodes[..3];
        let count = |it: usize| side.iter().filter(|node| node.disk.contains(&it)).count();
        (0..600).map(count).collect()
    };
    world.run_until(minutes(10));
    let before = copies(&world);
    for member in side.clone() {
        world.plan(minutes(10), Fault::Side(member as u32, 1));
    }
    world.run_until(minutes(300));
    let after = copies(&world);
    let mut last = 0;
    let mut several = 0;
    for (before, after) in before.into_iter().zip(after) {
        match before {
            0 => assert_eq!(after, 0),
            1 => {
                assert!((2..=3).contains(&after));
                last += 1;
            }
            _ => {
                assert_eq!(after, before);
                several += 1;
            }
        }
    }
    assert!(last > 50 && several > 10, "{last} {several}");
    assert_eq!(world.trims, 0);
    for member in side {
        world.plan(minutes(300), Fault::Side(member as u32, 0));
    }
    world.run_until(minutes(301));
    let end = world.settle(minutes(10), minutes(24 * 60));
    assert!(end.is_some(), "{:?}", world.unsettled());
}
