use store::segment::SegmentId;

use super::*;

fn peer(number: u8) -> PeerId {
    let key = libp2p::identity::Keypair::ed25519_from_bytes([number; 32]).unwrap();
    key.public().to_peer_id()
}

/// A copy of member `number` on the host of that name.
fn copy(number: u8, live: bool, verified: bool) -> CopyStatus {
    CopyStatus {
        peer: peer(number),
        host: format!("h{number}"),
        local: number == 0,
        live,
        leaving: false,
        verified,
    }
}

fn segment(number: u8, copies: &[CopyStatus]) -> SegmentStatus {
    SegmentStatus {
        segment: SegmentId([number; 32]),
        bytes: 100,
        here: copies.iter().any(|it| it.local),
        copies: copies.to_vec(),
        need: None,
        offered: Vec::new(),
        audited: Some(Duration::from_secs(number.into())),
    }
}

fn root(segments: Vec<SegmentStatus>) -> RootStatus {
    let cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    RootStatus {
        root: store::cid::parse(cid).unwrap(),
        policy: Some(Policy::default()),
        owners: vec![peer(9)],
        segments,
    }
}

#[test]
fn the_part_that_has_fewest_copies_is_what_counts() {
    let all = [0, 1, 2].map(|number| copy(number, true, true));
    let mut short = segment(
        2,
        &[
            copy(0, true, true),
            copy(1, true, false),
            copy(3, false, true),
        ],
    );
    short.need = Some((Level::Minimum, Duration::from_millis(1500)));
    short.offered = vec![peer(4)];
    let told = ContentStatus::of(&root(vec![segment(1, &all), short]));
    assert_eq!((told.live, told.verified), (2, 1));
    assert_eq!((told.missing_segments, told.missing_bytes), (1, 200));
    assert_eq!(
        (told.segments, told.unknown_segments, told.bytes),
        (2, 0, 200)
    );
    assert!(!told.at_target);
    assert_eq!(told.fetching, [peer(4)]);
    assert_eq!(told.audited_ms, Some(2000));
    let next = told.next_repair.unwrap();
    assert_eq!((next.urgency, next.due_ms), (Urgency::Minimum, 1500));
    let share = |number| {
        let found = told.members.iter().find(|it| it.peer == peer(number));
        found.map(|it| (it.segments, it.verified, it.live))
    };
    assert_eq!(share(0), Some((2, 2, true)));
    assert_eq!(share(1), Some((2, 1, true)));
    assert_eq!(share(3), Some((1, 0, false)));
    assert_eq!(told.members[0].segments, 2, "who has most comes first");

    let told = ContentStatus::of(&root(vec![segment(1, &all)]));
    assert!(told.at_target);
    assert_eq!((told.live, told.verified, told.missing_bytes), (3, 3, 0));
}

#[test]
fn copies_on_one_host_are_one() {
    let mut all = [0, 1, 2].map(|number| copy(number, true, true));
    all[2].host = "h1".into();
    let told = ContentStatus::of(&root(vec![segment(1, &all)]));
    assert_eq!((told.verified, told.at_target), (2, false));
}

#[test]
fn what_this_member_knows_nothing_of_is_not_missing_and_not_there() {
    let all = [0, 1, 2].map(|number| copy(number, true, true));
    let told = ContentStatus::of(&root(vec![segment(1, &all), segment(2, &[])]));
    assert_eq!((told.unknown_segments, told.missing_segments), (1, 0));
    assert_eq!(told.verified, 3);
    assert!(!told.at_target);
    assert!(!ContentStatus::of(&root(Vec::new())).at_target);
}

#[test]
fn everywhere_is_what_the_planner_says() {
    let all = [0, 1, 2].map(|number| copy(number, true, true));
    let mut status = root(vec![segment(1, &all)]);
    status.policy.as_mut().unwrap().everywhere = true;
    assert!(ContentStatus::of(&status).at_target);
    status.segments[0].need = Some((Level::Place, Duration::ZERO));
    assert!(ContentStatus::of(&status).at_target, "all are there");
    status.segments[0].need = Some((Level::Below, Duration::ZERO));
    let told = ContentStatus::of(&status);
    assert_eq!((told.missing_segments, told.at_target), (1, false));
}

#[test]
fn what_programs_read_stays_as_it_is() {
    let all = [0, 1, 2].map(|number| copy(number, true, true));
    let told = ContentStatus::of(&root(vec![segment(1, &all)]));
    let json = serde_json::to_value(&told).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "cid",
        "at_target",
        "wanted",
        "owners",
        "segments",
        "unknown_segments",
        "bytes",
        "live",
        "verified",
        "missing_segments",
        "missing_bytes",
        "next_repair",
        "fetching",
        "audited_ms",
        "members",
    ];
    expected.sort_unstable();
    let mut keys = keys;
    keys.sort();
    assert_eq!(keys, expected);
    assert_eq!(json["wanted"]["where"], serde_json::json!([]));
    assert_eq!(serde_json::from_value::<ContentStatus>(json).unwrap(), told);
}

#[test]
fn what_is_left_takes_its_time_at_the_rate() {
    let summary = Summary {
        deficits: [(1, 10), (1, 20), (1, 30), (5, 1 << 40)],
        rate: 20,
        ..Summary::default()
    };
    let told = SwarmStatus::of(&summary, members::Sight::default(), Some(20));
    assert_eq!(told.left_ms, Some(3000), "better places are no deficit");
    assert_eq!(told.deficits[3].urgency, Urgency::Place);
    let paused = Summary { rate: 0, ..summary };
    let told = SwarmStatus::of(&paused, members::Sight::default(), Some(20));
    assert_eq!(told.left_ms, None);
    assert!(told.repair.paused && told.repair.configured == Some(20));
    let nothing = Summary {
        rate: 1,
        ..Summary::default()
    };
    assert_eq!(
        SwarmStatus::of(&nothing, members::Sight::default(), None).left_ms,
        None
    );
    assert_eq!(RepairRate::of(u64::MAX, None).rate, None);
}
