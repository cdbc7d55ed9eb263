use std::time::Duration;

use store::wire::member::{Holdings, MemberId, MemberRole, MemberState, Record, Step, Tags};

use super::*;

fn member(number: u8, host: &str, program: &str, health: Health) -> Member {
    let tags = [("host".to_owned(), host.to_owned())];
    Member {
        record: Record {
            id: MemberId([number; 32]),
            version: 1,
            addresses: Vec::new(),
            role: MemberRole::Storage,
            state: MemberState::Up,
            program: program.into(),
            capacity: Step::of(1 << 40),
            free: Step::of(1 << 39),
            load: 0,
            tags: Tags::new(tags).unwrap(),
            holdings: Holdings::default(),
        },
        health,
        local: number == 0,
        connected: true,
        rtt: None,
        seen: None,
    }
}

/// Three members, on three hosts, of a private swarm; all is well.
fn well() -> Facts {
    let members = (0..3).map(|n| member(n, &format!("h{n}"), "store/1", Health::Alive));
    let sight = Sight {
        usual: 3,
        in_sight: 3,
        vanished: 0,
    };
    let summary = Summary {
        pins: 1,
        rate: 1 << 20,
        ..Summary::default()
    };
    Facts {
        space: Some((100 << 30, 50 << 30)),
        scrub: 0,
        now: MADE + 1,
        private: true,
        accepted: 0,
        target: 3,
        metrics: true,
        node: Some((summary, sight, members.collect())),
    }
}

fn kinds(facts: &Facts) -> Vec<String> {
    ailments(facts).into_iter().map(|it| it.kind).collect()
}

#[test]
fn where_all_is_well_nothing_is_said() {
    assert_eq!(ailments(&well()), []);
}

#[test]
fn each_thing_is_seen_the_worst_first() {
    let mut facts = Facts {
        space: Some((100 << 30, 10 << 30)),
        scrub: 2,
        now: 5,
        private: false,
        metrics: false,
        ..well()
    };
    let (summary, sight, members) = facts.node.as_mut().unwrap();
    summary.read_only = Some("an I/O error".into());
    summary.deficits = [(4, 1), (3, 1), (2, 1), (1, 1)];
    summary.rate = 0;
    *sight = Sight {
        usual: 9,
        in_sight: 3,
        vanished: 6,
    };
    members[0].record.program = "store/2".into();
    members[1].health = Health::Gone(Duration::ZERO);
    let expected = [
        "read_only",
        "disk",
        "sight",
        "last_copies",
        "below_minimum",
        "paused",
        "hosts",
        "nobody_accepted",
        "scrub",
        "clock",
        "versions",
        "metrics",
    ];
    assert_eq!(kinds(&facts), expected);
    let all = ailments(&facts);
    let mild = all.iter().filter(|it| !it.serious).map(|it| &*it.kind);
    assert_eq!(mild.collect::<Vec<_>>(), ["versions", "metrics"]);
    assert!(all[3].what.starts_with("of 4 parts"), "{:?}", all[3]);

    facts.node = None;
    assert_eq!(kinds(&facts)[0], "no_node");
}

#[test]
fn rot_is_an_alarm_until_it_is_mended_and_a_member_while_it_gets_nothing() {
    let mut facts = well();
    let (summary, ..) = facts.node.as_mut().unwrap();
    let doubted = |trust, takes| Doubted {
        peer: libp2p::PeerId::random(),
        trust,
        takes,
    };
    summary.doubted = vec![doubted(0.25, false), doubted(0.5, true)];
    (summary.rotten, summary.mending) = (3, 2);
    let told: Vec<_> = ailments(&facts);
    let told: Vec<_> = told.iter().map(|it| (&*it.kind, it.serious)).collect();
    let expected = [("doubted", true), ("doubted", false), ("rot", true)];
    assert_eq!(told, expected);
    let (summary, ..) = facts.node.as_mut().unwrap();
    summary.mending = 0;
    summary.doubted.clear();
    let told = ailments(&facts);
    assert_eq!(told.len(), 1);
    assert!(told[0].kind == "rot" && !told[0].serious, "{told:?}");
    assert!(told[0].what.starts_with("3 parts"), "{told:?}");
}

#[test]
fn one_of_three_that_is_gone_is_worth_to_know_and_no_alarm() {
    let mut facts = well();
    let (_, sight, _) = facts.node.as_mut().unwrap();
    (sight.in_sight, sight.vanished, sight.usual) = (4, 1, 5);
    let found = ailments(&facts);
    assert_eq!(found.len(), 1);
    assert!(found[0].kind == "sight" && !found[0].serious);
}

#[test]
fn a_member_alone_is_told_once() {
    let mut facts = well();
    let (_, sight, members) = facts.node.as_mut().unwrap();
    (sight.in_sight, sight.usual) = (1, 1);
    members.truncate(1);
    assert_eq!(kinds(&facts), ["alone"]);
}

#[test]
fn two_on_one_host_are_one_place() {
    let mut facts = well();
    let (.., members) = facts.node.as_mut().unwrap();
    members[1] = member(1, "h0", "store/1", Health::Alive);
    assert_eq!(kinds(&facts), ["hosts"]);
    facts.target = 2;
    assert_eq!(kinds(&facts), Vec::<String>::new());
}

#[test]
fn a_small_quota_is_no_full_disk() {
    let facts = Facts {
        space: Some((1 << 20, 1 << 20)),
        ..well()
    };
    assert_eq!(ailments(&facts), []);
    let facts = Facts {
        space: Some((1 << 20, 0)),
        ..well()
    };
    assert_eq!(kinds(&facts), ["disk"]);
}
