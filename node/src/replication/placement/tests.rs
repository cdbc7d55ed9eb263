use std::collections::HashSet;

use super::super::policy::{Copies, Tag};
use super::*;

/// Peers are made, not drawn, so that all machines see the same places.
fn peer(number: u16) -> PeerId {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    let key = libp2p::identity::Keypair::ed25519_from_bytes(seed).unwrap();
    key.public().to_peer_id()
}

fn candidate(number: u16, zone: &str) -> Candidate {
    Candidate {
        member: Member(number.into()),
        peer: peer(number),
        weight: 160,
        tags: Tags::from([("zone".into(), zone.into())]),
        takes: true,
        stays: true,
    }
}

fn segment(number: u64) -> SegmentId {
    let cid = store::cid::parse("bafkqaaa").unwrap();
    let mut id = SegmentId::of([&cid]);
    id.0[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    id
}

fn policy(target: u8) -> Policy {
    Policy {
        copies: Copies::new(1, target, target).unwrap(),
        ..Policy::default()
    }
}

fn many(count: u16) -> Vec<Candidate> {
    (0..count).map(|number| candidate(number, "")).collect()
}

/// Places of so many segments.
fn places(members: &[Candidate], policy: &Policy, segments: u64) -> Vec<Vec<Member>> {
    let roster = Roster::new(members.iter().cloned());
    let field = roster.under(policy);
    (0..segments)
        .map(|n| field.place(&segment(n), &[], &[]))
        .collect()
}

#[test]
fn places_are_those_that_were_ever() {
    // They may not change with the program: members of two versions must agree.
    let members = many(5);
    let all = places(&members, &policy(3), 4);
    let all: Vec<Vec<u32>> = all
        .iter()
        .map(|it| it.iter().map(|it| it.0).collect())
        .collect();
    // Computed by a second program from the words of the document.
    assert_eq!(all, [[4, 2, 3], [1, 3, 4], [0, 2, 1], [0, 3, 2]]);
}

#[test]
fn the_order_in_which_members_are_named_does_not_matter() {
    let mut members = many(20);
    let before = places(&members, &policy(3), 50);
    members.reverse();
    members.push(members[3].clone());
    assert_eq!(places(&members, &policy(3), 50), before);
}

#[test]
fn who_has_twice_the_room_has_twice_the_segments() {
    let mut members = many(16);
    for (i, member) in members.iter_mut().enumerate() {
        member.weight = if i < 8 { 160 } else { 164 };
    }
    let mut large = 0_u32;
    for place in places(&members, &policy(1), 12_000) {
        large += u32::from(members[8..].iter().any(|it| it.member == place[0]));
    }
    // 8,000 expected; the standard deviation is 52.
    assert!((7_800..8_200).contains(&large), "{large}");
}

#[test]
fn a_member_that_goes_or_comes_moves_its_share_and_no_more() {
    for zones in [1, 3, 5] {
        let zone = |number: u16| format!("z{}", number % zones);
        let members: Vec<_> = (0..40).map(|n| candidate(n, &zone(n))).collect();
        let all = places(&members, &policy(3), 2000);
        let gone = Member(7);
        let fewer: Vec<_> = members
            .iter()
            .filter(|it| it.member != gone)
            .cloned()
            .collect();
        let mut moved = 0;
        for (before, after) in all.iter().zip(places(&fewer, &policy(3), 2000)) {
            let (before, after): (HashSet<_>, HashSet<_>) = (
                before.iter().copied().collect(),
                after.into_iter().collect(),
            );
            let new = after.difference(&before).count();
            assert_eq!(new, usize::from(before.contains(&gone)));
            moved += new;
        }
        // Three copies of 2,000 segments on 40 members: 150 each, plus chance.
        assert!((110..190).contains(&moved), "{moved}");
    }
}

#[test]
fn copies_are_in_as_many_zones_and_racks_as_can_be() {
    let mut members = Vec::new();
    for number in 0..30_u16 {
        let mut one = candidate(number, if number < 20 { "big" } else { "small" });
        one.tags.insert("rack".into(), format!("r{}", number % 4));
        members.push(one);
    }
    members.push(candidate(99, "tiny"));
    let zone = |member: &Member| {
        let member = members.iter().find(|it| it.member == *member).unwrap();
        (
            member.tags["zone"].clone(),
            member.tags.get("rack").cloned(),
        )
    };
    for place in places(&members, &policy(3), 200) {
        let zones: HashSet<_> = place.iter().map(|it| zone(it).0).collect();
        assert_eq!(zones.len(), 3);
    }
    for place in places(&members, &policy(5), 200) {
        let zones: HashSet<_> = place.iter().map(|it| zone(it).0).collect();
        let racks: HashSet<_> = place.iter().map(zone).collect();
        assert_eq!((place.len(), zones.len(), racks.len()), (5, 3, 5));
    }
}

#[test]
fn two_members_of_one_host_have_one_copy() {
    let mut members = many(4);
    for member in &mut members[..3] {
        member.tags.insert("host".into(), "nas".into());
    }
    for place in places(&members, &policy(3), 50) {
        assert_eq!(place.len(), 2);
        assert!(place.contains(&Member(3)));
    }
}

#[test]
fn who_is_full_keeps_what_it_has_and_gets_no_more() {
    let mut members = many(10);
    let full = Member(4);
    let before = places(&members, &policy(3), 300);
    members[4].takes = false;
    let roster = Roster::new(members.iter().cloned());
    let policy = policy(3);
    let field = roster.under(&policy);
    for (n, before) in (0..).zip(&before) {
        let without = field.place(&segment(n), &[], &[]);
        assert!(!without.contains(&full) && without.len() == 3);
        assert_eq!(field.place(&segment(n), &[full], &[]), *before);
    }
}

#[test]
fn a_policy_says_where() {
    let zones = ["a", "b", "c"];
    let members: Vec<_> = (0..30)
        .map(|n| candidate(n, zones[usize::from(n % 3)]))
        .collect();
    let tag = |value: &str| Tag {
        key: "zone".into(),
        value: value.into(),
    };
    let wanted = Policy {
        wanted: vec![tag("a"), tag("b")],
        ..policy(4)
    };
    let everywhere = Policy {
        everywhere: true,
        refused: vec![tag("c")],
        ..policy(1)
    };
    let zone = |member: &Member| {
        let member = members.iter().find(|it| it.member == *member);
        member.unwrap().tags["zone"].clone()
    };
    for place in places(&members, &wanted, 100) {
        let in_a = place.iter().filter(|it| zone(it) == "a").count();
        assert_eq!((in_a, place.len()), (2, 4));
    }
    for place in places(&members, &everywhere, 10) {
        assert_eq!(place.len(), 20);
        assert!(place.iter().all(|it| zone(it) != "c"));
    }
    assert_eq!(places(&[], &wanted, 1), [Vec::<Member>::new()]);
}

#[test]
fn holders_are_ranked_as_they_are_placed() {
    let members = many(12);
    let roster = Roster::new(members);
    let policy = policy(5);
    let field = roster.under(&policy);
    for n in 0..100 {
        let place = field.place(&segment(n), &[], &[]);
        let mut shuffled = place.clone();
        shuffled.sort_unstable();
        shuffled.insert(0, Member(99));
        let ranked = field.ranked(&segment(n), &shuffled);
        assert_eq!(ranked[..5], place);
        assert_eq!(ranked[5], Member(99));
    }
    let again = field.place(&segment(1), &[], &field.place(&segment(1), &[], &[])[..1]);
    assert_eq!(again[..4], field.place(&segment(1), &[], &[])[1..]);
}

#[test]
fn beside_what_is_pinned_the_best_of_the_others_have_the_rest() {
    let mut members = many(12);
    for (i, member) in members.iter_mut().enumerate() {
        let zone = if i % 3 == 0 { "a" } else { "b" };
        member.tags.insert("zone".into(), zone.into());
    }
    let roster = Roster::new(members);
    let policy = policy(3);
    let field = roster.under(&policy);
    let all: Vec<Member> = roster.members().collect();
    for n in 0..100 {
        let ranked = field.ranked(&segment(n), &all);
        let last = [ranked[11]];
        let places = field.place_beside(&last, &segment(n), &last, &[]);
        assert_eq!(
            places[..2],
            [last[0], ranked[0]],
            "beside one any is allowed"
        );
        // Two in one zone at most, with the one that is pinned.
        let zones: HashSet<bool> = places.iter().map(|it| it.0 % 3 == 0).collect();
        assert_eq!((places.len(), zones.len()), (3, 2));
        // More than are wanted: nobody else is.
        let many = &ranked[8..];
        assert_eq!(field.place_beside(many, &segment(n), many, &[]), many);
    }
}

/// `cargo test --workspace --lib -- --ignored --nocapture placement_of_many`
#[test]
#[ignore = "a measurement"]
fn placement_of_many() {
    let mut members = many(10_000);
    for (i, member) in members.iter_mut().enumerate() {
        member.weight = 140 + u16::try_from(i % 24).unwrap();
    }
    let roster = Roster::new(members);
    let policy = Policy::default();
    let field = roster.under(&policy);
    let began = std::time::Instant::now();
    let count: u32 = 10_000;
    for n in 0..count {
        assert_eq!(field.place(&segment(n.into()), &[], &[]).len(), 3);
    }
    println!(
        "{:?} for a segment among 10,000 members",
        began.elapsed() / count
    );
}
