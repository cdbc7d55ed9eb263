//! Small swarms under each fault, from several seeds.

use std::time::Duration;

use super::world::{Links, World};
use crate::members::Health;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// All know that a dead member is gone within this.
const DETECTED: Duration = Duration::from_secs(30);

fn gone(health: Option<Health>) -> bool {
    matches!(health, Some(Health::Gone(_)))
}

fn alive(health: Option<Health>) -> bool {
    matches!(health, Some(Health::Alive))
}

/// A swarm that has connected itself.
fn swarm(seed: u64, members: usize) -> World {
    let mut world = World::settled(seed, members);
    world.run(MINUTE);
    assert!(world.agrees());
    world
}

#[test]
fn members_that_know_one_of_them_come_to_know_all() {
    for (seed, members) in [(1, 2), (2, 3), (3, 20), (4, 100)] {
        let mut world = World::new(seed);
        world.join(None);
        for at in 1..members {
            world.join(Some(at / 2));
        }
        let took = world.until(MINUTE, World::agrees);
        assert!(took <= 30 * SECOND, "{members} members: {took:?}");
    }
}

#[test]
fn a_dead_member_is_gone_for_all_within_thirty_seconds() {
    for (seed, members) in [(1, 2), (2, 3), (3, 4), (4, 10), (5, 64), (6, 200)] {
        let mut world = swarm(seed, members);
        world.crash(0);
        let took = world.until(DETECTED, |world| world.all_think(0, gone));
        assert!(took >= 6 * SECOND, "it has time to refute: {took:?}");
        if members > 2 {
            world.kill(1);
            world.until(DETECTED, |world| world.all_think(1, gone));
        }
    }
}

#[test]
fn one_word_alone_makes_nobody_gone() {
    for seed in 0..5 {
        let mut world = swarm(seed, 8);
        // One member that nothing of the first reaches, and that reaches all others.
        let (accuser, victim) = (world.nodes[1].core.id(), world.nodes[0].core.id());
        let now = world.now;
        for at in 2..8 {
            let version = world.nodes[at].core.record(&victim).unwrap().version();
            // Not even if it says so again and again, and the victim cannot answer in time.
            for _ in 0..3 {
                world.nodes[at].core.accused(accuser, victim, version, now);
            }
        }
        world.run(MINUTE);
        assert!((2..8).all(|at| alive(world.opinion(at, 0))));
    }
}

/// Whatever version an accuser names, it cannot drive the victim's number up, nor outlive a refutation.
#[test]
fn a_version_that_was_never_signed_is_no_accusation() {
    let mut world = swarm(3, 8);
    let (victim, now) = (world.nodes[0].core.id(), world.now);
    let version = |world: &World| world.nodes[0].core.record(&victim).unwrap().version();
    let before = version(&world);
    for accuser in 1..4 {
        let accuser = world.nodes[accuser].core.id();
        for node in world
            .nodes
            .iter_mut()
            .filter(|node| node.core.id() != accuser)
        {
            assert!(!node.core.accused(accuser, victim, u64::MAX, now));
        }
    }
    world.run(MINUTE);
    assert_eq!(version(&world), before);
    assert!(world.all_think(0, alive));
}

/// The machine's clock went back over a restart: the others know a higher version than the new one.
#[test]
fn who_comes_back_with_a_lower_version_goes_above_the_old_one() {
    let mut world = swarm(4, 6);
    world.kill(2);
    world.until(DETECTED, |world| world.all_think(2, gone));
    world.restart_at(2, 0, 0);
    world.until(MINUTE, World::agrees);
}

#[test]
fn who_says_goodbye_has_left_at_once() {
    for members in [3, 64, 200] {
        let mut world = swarm(7, members);
        world.leave(0);
        world.run(2 * SECOND);
        let left = |health| matches!(health, Some(Health::Left(_)));
        assert!(world.all_think(0, left));
    }
}

#[test]
fn who_comes_back_is_alive_for_all() {
    for seed in 0..5 {
        let mut world = swarm(seed, 12);
        world.kill(3);
        world.until(DETECTED, |world| world.all_think(3, gone));
        world.restart(3, 0);
        world.until(10 * SECOND, |world| world.all_think(3, alive));
        world.until(MINUTE, World::agrees);
    }
}

#[test]
fn flapping_members_disturb_nobody_else() {
    let mut world = swarm(11, 30);
    for round in 0..20 {
        for at in 0..3 {
            if world.is_up(at) {
                world.kill(at);
            } else {
                world.restart(at, 5 + at);
            }
        }
        world.run(Duration::from_secs(5 + round % 4 * 7));
        for at in 3..30 {
            assert!(world.all_think(at, |health| {
                // Whoever just came back may not have heard of all yet.
                !matches!(health, Some(Health::Gone(_) | Health::Left(_)))
            }));
        }
    }
}

#[test]
fn five_packets_lost_of_a_hundred_kill_nobody() {
    for (seed, again, members) in [(1, true, 60), (2, true, 150), (3, false, 60), (4, false, 8)] {
        let mut world = swarm(seed, members);
        world.links = Links { loss: 0.05, again };
        for _ in 0..30 {
            world.run(20 * SECOND);
            for at in 0..members {
                assert!(!(0..members).any(|by| by != at && gone(world.opinion(by, at))));
            }
        }
        // And who really dies is found all the same.
        world.crash(0);
        world.until(2 * DETECTED, |world| world.all_think(0, gone));
    }
}

#[test]
fn a_slow_member_takes_nobody_for_gone_and_is_not_taken_for_gone() {
    let mut world = swarm(5, 20);
    world.nodes[0].slow = Duration::from_millis(900);
    world.run(10 * MINUTE);
    assert!(world.agrees());
}

#[test]
fn two_halves_part_and_find_each_other_again() {
    for (seed, members, small) in [(1, 7, 3), (2, 40, 20), (3, 150, 50), (4, 10, 1)] {
        let mut world = swarm(seed, members);
        world.partition(|at| u8::from(at < small));
        world.run(2 * MINUTE);
        for by in 0..members {
            for of in 0..members {
                let same = (by < small) == (of < small);
                let right = if same { alive } else { gone };
                assert!(
                    by == of || right(world.opinion(by, of)),
                    "{members}: {by} of {of}"
                );
            }
            let sight = world.nodes[by].core.sight(world.now);
            assert_eq!(sight.usual, members);
            let rest = if by < small { small } else { members - small };
            assert_eq!(sight.in_sight, rest);
            assert_eq!(
                sight.is_eclipsed(),
                4 * (members - rest) > members,
                "{sight:?}"
            );
        }
        world.heal();
        let took = world.until(5 * MINUTE, World::agrees);
        assert!(took <= 3 * MINUTE, "{members}: {took:?}");
        world.run(11 * MINUTE);
        let sight = world.nodes[0].core.sight(world.now);
        assert_eq!((sight.in_sight, sight.vanished), (members, 0));
    }
}

/// The one who is cut off loses sight of the others within a minute, also where it is a sample only.
#[test]
fn who_is_cut_off_knows_it() {
    for members in [10, 300] {
        let mut world = swarm(9, members);
        // A tenth is still in sight.
        world.partition(|at| u8::from(at % 10 == 0));
        world.run(40 * SECOND);
        assert!(world.nodes[0].core.sight(world.now).is_eclipsed());
    }
}

#[test]
fn a_quiet_swarm_costs_less_than_four_kibibytes_a_second() {
    for (seed, members) in [(1, 3), (2, 64), (3, 300)] {
        let mut world = swarm(seed, members);
        world.run(MINUTE);
        world.sent();
        world.run(10 * MINUTE);
        let both = 2 * world.sent() / 600;
        assert!(both < 4096, "{members} members: {both} bytes a second");
        assert!(world.claims > 0);
        // A minute in which one of them dies, too.
        world.kill(0);
        world.run(MINUTE);
        let both = 2 * world.sent() / 60;
        assert!(
            both < 4096,
            "{members} members, one of them dead: {both} bytes a second"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let history = || {
        let mut world = swarm(42, 25);
        world.links.loss = 0.02;
        world.kill(3);
        world.run(MINUTE);
        (world.sent(), world.claims)
    };
    assert_eq!(history(), history());
}

/// Each begins with the others missed, and finds them by what it remembers alone.
#[test]
fn all_that_are_killed_and_started_again_at_once_find_each_other() {
    for (seed, members) in [(1, 2), (2, 7), (3, 50)] {
        let mut world = swarm(seed, members);
        for at in 0..members {
            world.kill(at);
        }
        world.run(SECOND);
        for at in 0..members {
            world.restart_remembering(at);
            let sight = world.nodes[at].core.sight(world.now);
            assert_eq!((sight.usual, sight.in_sight), (members, 1));
            assert!(sight.is_eclipsed(), "it knows what it does not see");
        }
        let clear = |world: &World| {
            let mut all = world.nodes.iter();
            all.all(|node| !node.core.sight(world.now).is_eclipsed())
        };
        let took = world.until(MINUTE, clear);
        assert!(took <= 15 * SECOND, "{members}: {took:?}");
        world.until(MINUTE, World::agrees);
        let sight = world.nodes[0].core.sight(world.now);
        assert_eq!((sight.usual, sight.vanished), (members, 0));
    }
}

#[test]
fn who_starts_where_nobody_is_is_not_the_whole_swarm() {
    let mut world = swarm(4, 7);
    world.kill(0);
    world.nodes[0].side = 1;
    // However long it was off: that is no time in which it missed anybody.
    world.run(3 * 24 * 60 * MINUTE / 10);
    world.restart_remembering(0);
    for _ in 0..12 {
        let sight = world.nodes[0].core.sight(world.now);
        assert_eq!((sight.usual, sight.in_sight), (7, 1));
        assert!(sight.is_eclipsed());
        world.run(5 * MINUTE);
    }
    // And once more, with what it remembers of whom it missed.
    world.kill(0);
    world.run(SECOND);
    world.restart_remembering(0);
    assert!(world.nodes[0].core.sight(world.now).is_eclipsed());
    world.heal();
    world.until(5 * MINUTE, World::agrees);
    assert!(!world.nodes[0].core.sight(world.now).is_eclipsed());
}

#[test]
fn who_left_meanwhile_is_not_missed_and_who_died_is() {
    let mut world = swarm(5, 9);
    world.kill(0);
    world.run(MINUTE);
    for at in 1..6 {
        world.leave(at);
    }
    world.kill(6);
    world.run(2 * MINUTE);
    world.restart_remembering(0);
    world.until(2 * MINUTE, |world| {
        let sight = world.nodes[0].core.sight(world.now);
        (sight.usual, sight.in_sight, sight.vanished) == (4, 3, 1)
    });
    assert!(!world.nodes[0].core.sight(world.now).is_eclipsed());
    world.run(11 * MINUTE);
    assert_eq!(world.nodes[0].core.sight(world.now).vanished, 0);
}
