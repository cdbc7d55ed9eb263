//! Which copies count.

use super::super::super::policy::Policy;
use super::super::*;
use super::bench::{Bench, candidate, minutes, policy, segment};

fn level(bench: &Bench, number: u8) -> Option<Level> {
    let status = bench.planner.status(&segment(number)).unwrap();
    status.need.map(|(level, _)| level)
}

fn checks(bench: &mut Bench) -> Vec<(Time, u32)> {
    let done = std::mem::take(&mut bench.done);
    let checks = done.into_iter().filter_map(|(at, action)| match action {
        Action::Check { member, .. } => Some((at, member.0)),
        _ => None,
    });
    checks.collect()
}

#[test]
fn a_copy_counts_once_its_holder_has_said_so_itself() {
    let mut bench = Bench::new(3);
    bench.have(1, Policy::default(), &[]);
    bench.done.clear();
    bench.tell(Event::Heard {
        segment: segment(1),
        holders: vec![Member(0), Member(1), Member(2)],
    });
    assert_eq!(level(&bench, 1), Some(Level::Last));
    let now = bench.now;
    assert_eq!(checks(&mut bench), [(now, 1), (now, 2)]);
    bench.holds(1, 1);
    assert_eq!(level(&bench, 1), Some(Level::Minimum));
    // The other is asked again, ever more seldom.
    bench.pass(minutes(4));
    let waits: Vec<_> = checks(&mut bench)
        .into_iter()
        .map(|(at, member)| (at.saturating_sub(now).as_secs(), member))
        .collect();
    assert_eq!(waits, [(30, 2), (90, 2), (210, 2)]);
    bench.holds(1, 2);
    assert_eq!(level(&bench, 1), None);
    assert_eq!(bench.planner.holders(&segment(1)).count(), 2);
    bench.pass(minutes(600));
    assert_eq!(checks(&mut bench), []);
}

#[test]
fn who_was_away_is_asked_again_and_counts_when_it_has_answered() {
    let mut bench = Bench::new(3);
    bench.have(1, Policy::default(), &[1, 2]);
    bench.roster(&[2]);
    assert_eq!(level(&bench, 1), Some(Level::Minimum));
    // Long enough to be due; but it may have its copy still.
    bench.sight(10, 2, 8);
    bench.pass(minutes(30));
    bench.done.clear();
    bench.members.push(candidate(3));
    bench.roster(&[]);
    bench.sight(10, 10, 0);
    let now = bench.now;
    assert_eq!(checks(&mut bench), [(now, 2)]);
    bench.pass(Time::from_secs(29));
    assert_eq!(bench.offers(), []);
    bench.holds(1, 2);
    assert!(matches!(level(&bench, 1), None | Some(Level::Place)));
    // It began anew without having been missed.
    let returned = vec![Member(1)];
    let roster = Arc::clone(&bench.planner.roster);
    bench.tell(Event::Roster { roster, returned });
    assert_eq!(level(&bench, 1), Some(Level::Minimum));
    assert_eq!(checks(&mut bench).len(), 1);
    bench.holds_not(1, 1);
    assert_eq!(bench.planner.common(Member(1)), []);
}

#[test]
fn two_on_one_host_are_one_copy() {
    let mut bench = Bench::new(4);
    for number in [1, 2] {
        let tags = &mut bench.members[number].tags;
        tags.insert("host".into(), "one".into());
    }
    bench.roster(&[]);
    bench.have(1, Policy::default(), &[1, 2]);
    assert_eq!(level(&bench, 1), Some(Level::Minimum));
    bench.pass(minutes(20));
    let offers = bench.offers();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].2, 3);
    bench.holds(1, 3);
    assert_eq!(level(&bench, 1), None);
}

#[test]
fn who_is_on_its_way_out_is_replaced_at_once() {
    let mut bench = Bench::new(4);
    let number = bench.ours(0);
    let order = bench.order(number);
    let (first, second, third) = (order[1], order[2], order[3]);
    bench.have(number, Policy::default(), &[first, second]);
    bench.pass(minutes(200));
    bench.done.clear();
    bench.members[first as usize].stays = false;
    bench.members[first as usize].takes = false;
    bench.roster(&[]);
    let now = bench.now;
    assert_eq!(bench.offers(), [(now, number, third)]);
    bench.holds(number, third);
    assert_eq!(level(&bench, number), None);
    // And we ourselves: our own copy does not count then.
    bench.members[first as usize] = candidate(first);
    bench.members[0].stays = false;
    bench.members[0].takes = false;
    bench.tell(Event::HoldsNot {
        segment: segment(number),
        member: Member(third),
    });
    bench.roster(&[]);
    assert_eq!(level(&bench, number), Some(Level::Minimum));
    assert_eq!(bench.planner.deficits()[Level::Minimum as usize].0, 1);
    // Its last word was that it has none; it is asked when that is ten minutes ago.
    bench.pass(minutes(11));
    let offers = bench.offers();
    assert_eq!(offers[0].2, third);
}

#[test]
fn everywhere_means_each_member_that_is_allowed() {
    let mut bench = Bench::new(200);
    let mut wanted = policy(1, 2, 2);
    wanted.everywhere = true;
    let all: Vec<_> = (1..200).collect();
    bench.have(1, wanted.clone(), &all[..150]);
    assert_eq!(level(&bench, 1), Some(Level::Below));
    bench.holds(1, 150);
    for member in 151..200 {
        bench.holds(1, member);
    }
    assert_eq!(level(&bench, 1), None);
    bench.pass(minutes(300));
    assert!(
        !bench
            .done
            .iter()
            .any(|it| matches!(it.1, Action::AskToTrim { .. }))
    );
    // Of ordinary segments no more are remembered than have a use; who is away makes room.
    bench.have(2, policy(1, 2, 2), &all);
    assert_eq!(bench.planner.holders(&segment(2)).count(), 128);
    bench.roster(&[1, 2, 3]);
    bench.holds(2, 199);
    assert!(
        bench
            .planner
            .holders(&segment(2))
            .any(|it| it == Member(199))
    );
    assert_eq!(bench.planner.holders(&segment(2)).count(), 128);
}

#[test]
fn who_failed_an_audit_is_not_believed_without_a_proof() {
    let mut bench = Bench::new(4);
    bench.have(1, Policy::default(), &[1, 2]);
    let (segment, member) = (segment(1), Member(1));
    bench.tell(Event::Broke { segment, member });
    let says = Event::Says {
        segment,
        member,
        is_pinned: false,
    };
    bench.done.clear();
    bench.tell(says.clone());
    let holders = vec![member];
    bench.tell(Event::Heard { segment, holders });
    assert_eq!(level(&bench, 1), Some(Level::Minimum));
    assert_eq!(checks(&mut bench), [], "nor asked");
    bench.tell(Event::Holds { segment, member });
    assert_ne!(level(&bench, 1), Some(Level::Minimum));
    // A day later its word is as good as another's.
    bench.tell(Event::Broke { segment, member });
    bench.pass(minutes(24 * 60 + 1));
    bench.tell(says);
    assert_ne!(level(&bench, 1), Some(Level::Minimum));
}
