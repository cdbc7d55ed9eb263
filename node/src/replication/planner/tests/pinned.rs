//! Copies that their holders' own owners keep in any case.

use super::super::super::policy::{Policy, Tag};
use super::super::*;
use super::bench::{Bench, MIB, minutes, policy, segment};

fn level(bench: &Bench, number: u8) -> Option<Level> {
    let status = bench.planner.status(&segment(number)).unwrap();
    status.need.map(|(level, _)| level)
}

fn pinned(bench: &mut Bench, number: u8, member: u32, is_pinned: bool) {
    bench.tell(Event::Says {
        segment: segment(number),
        member: Member(member),
        is_pinned,
    });
}

/// We have it, or it is pinned here.
fn have(bench: &mut Bench, number: u8, policy: Policy, is_pinned: bool) {
    bench.tell(Event::Have {
        segment: segment(number),
        bytes: 64 * MIB,
        policy: Arc::new(policy),
        holders: Vec::new(),
        is_pinned,
    });
}

/// Whom we asked for leave to trim, since the last question.
fn asked(bench: &mut Bench) -> usize {
    let done = std::mem::take(&mut bench.done);
    let asks = |it: &&(Time, Action)| matches!(it.1, Action::AskToTrim { .. });
    done.iter().filter(asks).count()
}

#[test]
fn a_pinned_copy_takes_the_place_of_the_one_that_belongs_least() {
    let mut bench = Bench::new(5);
    let number = bench.ours(0);
    let order = bench.order(number);
    bench.have(number, Policy::default(), &[order[1], order[4]]);
    assert_eq!(level(&bench, number), Some(Level::Place));
    pinned(&mut bench, number, order[4], true);
    assert_eq!(level(&bench, number), None);
    bench.pass(minutes(1000));
    assert_eq!(bench.offers(), []);
    // Who was away has to show it again, and is believed then.
    bench.roster(&[order[4]]);
    bench.roster(&[]);
    assert_eq!(level(&bench, number), Some(Level::Minimum));
    bench.holds(number, order[4]);
    assert_eq!(level(&bench, number), None);
    // It is pinned no more: the right place gets its copy.
    pinned(&mut bench, number, order[4], false);
    assert_eq!(level(&bench, number), Some(Level::Place));
    bench.pass(minutes(62));
    let offers = bench.offers();
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(offers[0].2, order[2]);
}

#[test]
fn that_it_is_pinned_here_is_told_when_it_changes() {
    let mut bench = Bench::new(5);
    let number = bench.ours(4);
    let order = bench.order(number);
    let checks = |bench: &mut Bench| {
        let done = std::mem::take(&mut bench.done);
        let checks = done.into_iter().filter_map(|(_, action)| match action {
            Action::Check { member, .. } => Some(member.0),
            _ => None,
        });
        checks.collect::<Vec<_>>()
    };
    have(&mut bench, number, Policy::default(), true);
    bench.holds(number, order[0]);
    bench.holds(number, order[1]);
    assert_eq!(level(&bench, number), None, "ours stays where it is");
    assert_eq!(checks(&mut bench), [0; 0]);
    have(&mut bench, number, Policy::default(), false);
    assert_eq!(checks(&mut bench), order[..2]);
    assert_eq!(level(&bench, number), Some(Level::Place));
    have(&mut bench, number, policy(2, 3, 4), false);
    assert_eq!(checks(&mut bench), [0; 0], "nothing new");
}

#[test]
fn of_too_many_the_one_goes_whose_place_a_pinned_one_has() {
    let mut bench = Bench::new(6);
    let number = bench.ours(2);
    let order = bench.order(number);
    bench.have(number, policy(2, 3, 3), &[order[0], order[1], order[5]]);
    // We belong here, and it is the other's turn.
    bench.pass(minutes(100));
    assert_eq!(asked(&mut bench), 0);
    pinned(&mut bench, number, order[5], true);
    bench.pass(minutes(19));
    assert_eq!(asked(&mut bench), 0);
    bench.pass(minutes(2));
    assert_eq!(asked(&mut bench), 3);
}

#[test]
fn where_the_policy_allows_no_copy_a_pinned_one_has_no_place() {
    let mut bench = Bench::new(5);
    let number = bench.ours(0);
    let order = bench.order(number);
    let tags = &mut bench.members[order[4] as usize].tags;
    tags.insert("zone".into(), "far".into());
    bench.roster(&[]);
    let mut wanted = Policy::default();
    wanted.refused.push(Tag {
        key: "zone".into(),
        value: "far".into(),
    });
    bench.have(number, wanted, &[order[1], order[4]]);
    pinned(&mut bench, number, order[4], true);
    assert_eq!(level(&bench, number), Some(Level::Place));
    bench.pass(minutes(62));
    assert_eq!(bench.offers()[0].2, order[2]);
}

#[test]
fn of_two_on_one_host_the_pinned_one_counts() {
    let mut bench = Bench::new(5);
    let number = bench.ours(1);
    let order = bench.order(number);
    for member in [0, order[4]] {
        let tags = &mut bench.members[member as usize].tags;
        tags.insert("host".into(), "one".into());
    }
    bench.roster(&[]);
    // Ours has the better lot, and would count.
    bench.have(number, Policy::default(), &[order[0], order[2], order[4]]);
    bench.pass(minutes(100));
    assert_eq!(asked(&mut bench), 0);
    pinned(&mut bench, number, order[4], true);
    bench.pass(minutes(21));
    assert_eq!(asked(&mut bench), 3, "the other stays in any case");
}
