//! When what is missing is offered to whom.

use super::super::super::policy::Policy;
use super::super::*;
use super::bench::{Bench, MIB, candidate, minutes, policy, segment};

/// A bench where we are first for the segment, with the others in their order.
fn first(members: u32) -> (Bench, u8, Vec<u32>) {
    let bench = Bench::new(members);
    let number = bench.ours(0);
    let order = bench.order(number);
    (bench, number, order)
}

/// When the first offer comes after its need arose, in seconds.
fn waits(copies: Policy, holders: usize) -> u64 {
    let (mut bench, number, order) = first(8);
    let start = bench.now;
    bench.have(number, copies, &order[1..=holders]);
    bench.pass(minutes(300));
    bench.offers()[0].0.saturating_sub(start).as_secs()
}

#[test]
fn the_fewer_copies_the_sooner() {
    let wanted = || policy(2, 4, 6);
    assert!((120..=150).contains(&waits(wanted(), 0)));
    assert!((600..=630).contains(&waits(wanted(), 1)));
    assert!((3600..=3630).contains(&waits(wanted(), 2)));
}

#[test]
fn it_never_becomes_later_by_getting_worse_and_does_by_getting_better() {
    let (mut bench, number, order) = first(8);
    let start = bench.now;
    bench.have(number, policy(2, 4, 6), &order[1..=2]);
    bench.pass(minutes(55));
    bench.roster(&order[1..=1]);
    // Due five minutes from now, not ten.
    bench.pass(minutes(6));
    let offers = bench.offers();
    assert_eq!(offers.len(), 2, "all that is missing at once");
    assert!((3600..=3630).contains(&offers[0].0.saturating_sub(start).as_secs()));

    // Two of three holders are away for almost two minutes: that is over, and forgotten.
    let (mut bench, number, order) = first(8);
    bench.have(number, Policy::default(), &order[1..=2]);
    for _ in 0..20 {
        bench.roster(&order[1..=2]);
        bench.pass(Time::from_secs(110));
        bench.roster(&order[1..=1]);
        bench.holds(number, order[2]);
        bench.pass(Time::from_secs(110));
        bench.roster(&[]);
        bench.holds(number, order[1]);
    }
    assert_eq!(bench.offers(), []);
}

#[test]
fn what_is_due_is_restored_in_full() {
    let (mut bench, number, order) = first(8);
    bench.have(number, policy(2, 4, 6), &[]);
    bench.pass(minutes(4));
    let offers = bench.offers();
    let to: Vec<_> = offers.iter().map(|it| it.2).collect();
    assert_eq!(to, &order[1..4], "to those with the best lots");
    // One came: what is still missing does not wait an hour.
    bench.holds(number, to[0]);
    bench.declined(number, to[1], Declined::NoRoom);
    let now = bench.now;
    assert_eq!(bench.offers(), [(now, number, order[4])]);
    bench.holds(number, to[2]);
    bench.holds(number, order[4]);
    assert_eq!(bench.planner.deficits()[..3], [(0, 0); 3]);
}

#[test]
fn each_rank_waits_a_minute_longer_and_a_lease_makes_all_wait() {
    let mut bench = Bench::new(6);
    let number = bench.ours(2);
    let order = bench.order(number);
    let start = bench.now;
    let holders = [order[0], order[1]];
    bench.have(number, policy(3, 4, 6), &holders);
    bench.pass(minutes(13));
    let offers = bench.offers();
    assert!((720..=750).contains(&offers[0].0.saturating_sub(start).as_secs()));

    let mut bench = Bench::new(6);
    let start = bench.now;
    bench.have(number, policy(3, 4, 6), &holders);
    bench.pass(minutes(11));
    for _ in 0..100 {
        bench.tell(Event::Lease {
            segment: segment(number),
            lasts: minutes(1_000_000),
        });
        bench.pass(minutes(4));
    }
    // Five minutes each; six in a row are believed: for half an hour, not for ever.
    let first = bench.offers()[0].0.saturating_sub(start).as_secs() / 60;
    assert!((11 + 5 * 4 + 5..=12 + 6 * 5).contains(&first), "{first}");
}

#[test]
fn who_repairs_says_so_until_it_is_done() {
    let (mut bench, number, _) = first(6);
    let start = bench.now;
    bench.have(number, policy(1, 2, 6), &[]);
    bench.pass(minutes(20));
    let leases = bench
        .done
        .iter()
        .filter(|it| matches!(it.1, Action::Lease { .. }));
    // At half of the five minutes of each, until the offer is answered.
    let times: Vec<_> = leases
        .map(|it| it.0.saturating_sub(start).as_secs())
        .collect();
    assert_eq!(times.len(), 8, "{times:?}");
    assert!(times.windows(2).all(|it| it[1] - it[0] == 150), "{times:?}");
}

#[test]
fn an_offer_that_is_never_answered_gives_its_place_back() {
    let settings = Settings {
        at_once: 1,
        ..Settings::default()
    };
    let mut bench = Bench::with(4, settings);
    let number = bench.ours(0);
    let order = bench.order(number);
    bench.have(number, policy(1, 2, 6), &[]);
    bench.pass(minutes(4));
    assert_eq!(bench.offers()[0].2, order[1]);
    bench.pass(minutes(29));
    assert_eq!(bench.offers(), []);
    // Then another is asked, after the first backoff.
    bench.pass(minutes(2));
    assert_eq!(bench.offers()[0].2, order[2]);
    // Whose target is gone, at once.
    bench.roster(&[order[2]]);
    bench.pass(minutes(3));
    assert_eq!(bench.offers()[0].2, order[1]);
}

#[test]
fn a_segment_that_fails_rests_twice_as_long_each_time() {
    let (mut bench, number, _) = first(3);
    bench.have(number, policy(1, 2, 6), &[]);
    let mut times = Vec::new();
    while times.len() < 9 {
        bench.pass(Time::from_secs(1));
        for (at, _, to) in bench.offers() {
            times.push(at.as_secs());
            bench.declined(number, to, Declined::Failed);
            // Answers without an offer mean nothing.
            bench.declined(number, to, Declined::Failed);
        }
    }
    let rests: Vec<_> = times.windows(2).map(|it| it[1] - it[0]).collect();
    for (i, rest) in rests.iter().enumerate() {
        let backoff = (60 << i).min(64 * 60);
        assert!((backoff..=backoff + 2).contains(rest), "{rests:?}");
    }
    // One that comes off makes up for all: then it rests no longer than its target is passed over.
    bench.pass(minutes(65));
    let (_, _, to) = bench.offers()[0];
    bench.holds(number, to);
    bench.holds_not(number, to);
    bench.pass(minutes(11));
    let offers = bench.offers();
    assert_eq!((offers.len(), offers[0].2), (1, to));
}

#[test]
fn who_broke_its_word_is_passed_over_for_a_day() {
    let (mut bench, number, order) = first(3);
    bench.have(number, policy(1, 2, 6), &order[1..=1]);
    bench.tell(Event::Broke {
        segment: segment(number),
        member: Member(order[1]),
    });
    bench.pass(minutes(4));
    assert_eq!(bench.offers()[0].2, order[2]);
    let start = bench.now;
    let mut asked = None;
    while asked != Some(order[1]) {
        bench.declined(number, order[2], Declined::NoRoom);
        bench.pass(minutes(1));
        asked = bench.offers().first().map(|it| it.2);
    }
    let hours = bench.now.saturating_sub(start).as_secs() / 3600;
    assert!((23..=24).contains(&hours), "{hours}");
}

#[test]
fn brakes_by_bytes_and_by_number_hold_at_once_and_the_most_urgent_goes_first() {
    let settings = Settings {
        rate: 2 * MIB,
        at_once: 3,
        ..Settings::default()
    };
    let mut bench = Bench::with(5, settings);
    for number in 0..40 {
        let mut wanted = policy(1, 2, 4);
        wanted.priority = number % 4;
        bench.have(number, wanted, &[]);
    }
    bench.pass(minutes(5));
    let mut under_way = bench.offers();
    assert_eq!(under_way.len(), 3);
    let start = bench.now;
    let (mut offered, mut priorities) = (0, Vec::new());
    for _ in 0..600 {
        for (_, number, to) in std::mem::take(&mut under_way) {
            bench.holds(number, to);
        }
        bench.pass(Time::from_secs(1));
        under_way = bench.offers();
        offered += under_way.len() as u64 * 64 * MIB;
        priorities.extend(under_way.iter().map(|it| it.1 % 4));
        let seconds = bench.now.saturating_sub(start).as_secs();
        assert!(offered <= 2 * MIB * (seconds + 4) + 64 * MIB);
    }
    assert!(offered >= 2 * MIB * 600 - 64 * MIB, "{offered}");
    assert!(priorities.is_sorted_by(|a, b| a >= b), "{priorities:?}");
    // Stopped, and let go again.
    bench.tell(Event::Rate(0));
    for (_, number, to) in under_way {
        bench.holds(number, to);
    }
    bench.pass(minutes(100));
    assert_eq!(bench.offers(), []);
    bench.tell(Event::Rate(64 * MIB));
    bench.pass(Time::from_secs(2));
    assert!(!bench.offers().is_empty());
}

#[test]
fn while_too_much_is_out_of_sight_only_the_last_copy_is_repaired() {
    let (mut bench, number, order) = first(8);
    let other = (number + 1..=u8::MAX)
        .find(|it| bench.order(*it)[0] == 0)
        .unwrap();
    bench.have(number, Policy::default(), &order[1..=1]);
    bench.have(other, policy(1, 2, 3), &[]);
    bench.sight(20, 8, 12);
    bench.pass(minutes(300));
    assert!(bench.offers().iter().all(|it| it.1 == other));
    bench.sight(20, 11, 0);
    bench.pass(minutes(1));
    assert!(bench.offers().iter().any(|it| it.1 == number));
}

#[test]
fn places_are_mended_by_the_first_holder_alone_and_behind_repairs() {
    let settings = || Settings {
        at_once: 2,
        ..Settings::default()
    };
    // We are fourth of four holders; the third place is somebody's who has it not.
    let mut bench = Bench::with(5, settings());
    let number = bench.ours(3);
    let order = bench.order(number);
    bench.have(number, Policy::default(), &[order[0], order[1]]);
    bench.pass(minutes(1000));
    assert_eq!(bench.offers(), []);
    let status = bench.planner.status(&segment(number)).unwrap();
    assert_eq!(status.need.map(|it| it.0), Some(Level::Place));

    let mut bench = Bench::with(5, settings());
    let number = bench.ours(0);
    let order = bench.order(number);
    let start = bench.now;
    bench.have(number, Policy::default(), &[order[1], order[3]]);
    bench.pass(minutes(62));
    let offers = bench.offers();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].2, order[2]);
    assert!((3600..=3630).contains(&offers[0].0.saturating_sub(start).as_secs()));
    // It has no room: no second-best place is taken instead.
    bench.declined(number, order[2], Declined::NoRoom);
    bench.pass(minutes(5));
    assert_eq!(bench.offers(), []);
    bench.pass(minutes(6));
    assert_eq!(bench.offers().len(), 1);
}

#[test]
fn what_improves_places_leaves_half_of_the_offers_to_repairs() {
    let settings = Settings {
        at_once: 2,
        ..Settings::default()
    };
    let mut bench = Bench::with(5, settings);
    let ours: Vec<_> = (0..=u8::MAX)
        .filter(|it| bench.order(*it)[0] == 0)
        .collect();
    for number in &ours[..4] {
        let order = bench.order(*number);
        bench.have(*number, Policy::default(), &[order[3], order[4]]);
    }
    bench.pass(minutes(65));
    assert_eq!(bench.offers().len(), 1);
    bench.have(ours[4], policy(1, 2, 3), &[]);
    bench.pass(minutes(4));
    let offers = bench.offers();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].1, ours[4]);
}

#[test]
fn who_joins_is_offered_its_share_after_an_hour() {
    let mut bench = Bench::new(4);
    let mut number = 0;
    // A segment where the newcomer belongs, and we are first.
    bench.members.push(candidate(4));
    while bench.order(number)[0] != 0 || !bench.order(number)[..3].contains(&4) {
        number += 1;
    }
    let others: Vec<_> = bench
        .order(number)
        .into_iter()
        .filter(|it| *it != 0 && *it != 4)
        .collect();
    bench.members.pop();
    bench.have(number, Policy::default(), &others[..2]);
    bench.pass(minutes(100));
    assert_eq!(bench.offers(), []);
    bench.members.push(candidate(4));
    bench.roster(&[]);
    bench.pass(minutes(59));
    assert_eq!(bench.offers(), []);
    bench.pass(minutes(2));
    assert_eq!(bench.offers()[0].2, 4);
}
