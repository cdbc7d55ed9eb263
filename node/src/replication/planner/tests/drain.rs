//! A member that is about to go.

use super::super::*;
use super::bench::{Bench, candidate, minutes, policy, segment};
use crate::replication::policy::Policy;

/// We are about to go.
fn leave(bench: &mut Bench) {
    bench.members[0].stays = false;
    bench.members[0].takes = false;
    bench.roster(&[]);
}

fn look(bench: &mut Bench) -> Drain {
    bench.tell(Event::Drain { anew: false });
    bench.planner.drain(bench.now).unwrap()
}

/// Those that were asked whether they have it.
fn asked(bench: &mut Bench) -> Vec<u32> {
    let done = std::mem::take(&mut bench.done).into_iter();
    let asked = done.filter_map(|(_, action)| match action {
        Action::Check { member, .. } => Some(member.0),
        _ => None,
    });
    asked.collect()
}

#[test]
fn it_is_over_once_enough_others_have_confirmed_their_copies() {
    let mut bench = Bench::new(5);
    assert_eq!(bench.planner.drain(bench.now), None, "it stays");
    let number = bench.ours(0);
    let order = bench.order(number);
    bench.have(number, Policy::default(), &order[1..3]);
    leave(&mut bench);
    let drain = look(&mut bench);
    assert_eq!((drain.held.0, drain.needed.0, drain.stuck.0), (1, 1, 0));
    assert_eq!(drain.needed.1, drain.held.1, "one copy is missing");
    assert!(!drain.is_over);
    // It is offered at once.
    let now = bench.now;
    assert_eq!(bench.offers(), [(now, number, order[3])]);
    bench.holds(number, order[3]);
    bench.done.clear();

    let drain = look(&mut bench);
    assert_eq!((drain.needed.0, drain.unconfirmed), (0, 1));
    assert!(!drain.is_over, "they have not confirmed it");
    let mut all = asked(&mut bench);
    all.sort_unstable();
    let mut holders = order[1..4].to_vec();
    holders.sort_unstable();
    assert_eq!(all, holders);
    bench.holds(number, order[1]);
    bench.holds(number, order[2]);
    assert!(!look(&mut bench).is_over);
    // One had given it up, and nobody had heard of it.
    bench.holds_not(number, order[3]);
    let drain = look(&mut bench);
    assert_eq!((drain.needed.0, drain.is_over), (1, false));
    assert_eq!(bench.offers().last().unwrap().2, order[4]);
    bench.holds(number, order[4]);
    assert!(!look(&mut bench).is_over, "all of them once more");
    for member in [order[1], order[2], order[4]] {
        bench.holds(number, member);
    }
    assert!(look(&mut bench).is_over);
    assert!(look(&mut bench).is_over, "and it stays so");
    bench.tell(Event::Drain { anew: true });
    assert!(!bench.planner.drain(bench.now).unwrap().is_over);
}

#[test]
fn who_leaves_lets_nobody_count_on_its_copy() {
    let mut bench = Bench::new(5);
    let number = bench.ours(0);
    let order = bench.order(number);
    bench.have(number, Policy::default(), &order[1..]);
    assert_eq!(bench.answers(number, order[4], 1), (1, Answer::Keeps));
    // It may be that this is not known to who asks.
    leave(&mut bench);
    assert_eq!(bench.answers(number, order[4], 2), (2, Answer::Refuses));

    // Another may act on what was promised before: only afterwards are the others asked what they have.
    let drain = look(&mut bench);
    assert_eq!((drain.needed.0, drain.promised), (0, 1));
    let confirmed = |bench: &mut Bench| {
        for member in &order[1..4] {
            bench.holds(number, *member);
        }
        bench.holds_not(number, order[4]);
        look(bench).is_over
    };
    assert!(!confirmed(&mut bench));
    bench.done.clear();
    bench.pass(minutes(10));
    let drain = look(&mut bench);
    assert_eq!((drain.promised, drain.is_over), (0, false));
    assert_eq!(asked(&mut bench).len(), 3);
    assert!(confirmed(&mut bench));
}

#[test]
fn where_members_are_too_few_it_says_so_and_does_not_wait() {
    let mut bench = Bench::new(3);
    bench.have(1, Policy::default(), &[1, 2]);
    bench.have(2, policy(1, 2, 2), &[1, 2]);
    leave(&mut bench);
    look(&mut bench);
    for number in [1, 2] {
        bench.holds(number, 1);
        bench.holds(number, 2);
    }
    let drain = look(&mut bench);
    assert_eq!((drain.held.0, drain.needed.0, drain.stuck.0), (2, 1, 1));
    let stuck = Stuck {
        segment: segment(1),
        copies: 2,
        wanted: 3,
        why: Obstacle::Hosts(2),
    };
    assert_eq!(drain.stuck.1, [stuck]);
    assert!(drain.is_over);
    // A further member comes: it goes on.
    bench.members.push(candidate(3));
    bench.roster(&[]);
    let drain = look(&mut bench);
    assert_eq!((drain.stuck.0, drain.is_over), (0, false));
    assert_eq!(bench.offers().last().unwrap().2, 3);
}

#[test]
fn who_has_no_room_and_who_would_not_take_it_are_told_apart() {
    let mut bench = Bench::new(4);
    bench.members[3].takes = false;
    bench.have(1, Policy::default(), &[1, 2]);
    leave(&mut bench);
    assert_eq!(look(&mut bench).stuck.1[0].why, Obstacle::Full);
    bench.members[3].takes = true;
    bench.roster(&[]);
    assert_eq!(look(&mut bench).stuck.0, 0);
    bench.pass(minutes(4));
    bench.declined(1, 3, Declined::NoRoom);
    assert_eq!(look(&mut bench).stuck.1[0].why, Obstacle::Refused);
    bench.pass(minutes(11));
    assert_eq!(look(&mut bench).stuck.0, 0, "it is asked again");
    // Out of sight may be who would take it.
    bench.members[3].takes = false;
    bench.sight(10, 3, 7);
    bench.roster(&[]);
    assert_eq!(look(&mut bench).stuck.0, 0);
}

#[test]
fn everywhere_does_not_mean_on_who_goes() {
    let mut bench = Bench::new(4);
    let mut everywhere = policy(1, 2, 2);
    everywhere.everywhere = true;
    bench.have(1, everywhere, &[1, 2, 3]);
    leave(&mut bench);
    look(&mut bench);
    (1..4).for_each(|member| bench.holds(1, member));
    let drain = look(&mut bench);
    assert_eq!((drain.needed.0, drain.is_over), (0, true));
}
