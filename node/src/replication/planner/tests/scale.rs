//! What one member's planning costs in a large swarm. A measurement: it prints, and checks no time.

use std::time::Instant;

use super::super::*;
use super::bench::{candidate, policy};

const MEMBERS: u32 = 10_000;

fn id(number: u64) -> SegmentId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    SegmentId(id)
}

/// A planner among so many members, with so many segments of three copies each: all others have said so.
fn planner(segments: u64) -> (Planner, Time) {
    let mut planner = Planner::new(Member(0), Settings::default(), 7);
    let roster = Arc::new(Roster::new((0..MEMBERS).map(candidate)));
    let now = Time::from_secs(60);
    let returned = Vec::new();
    planner.step(now, Event::Roster { roster, returned });
    let wanted = Arc::new(policy(2, 3, 5));
    for number in 0..segments {
        let segment = id(number);
        planner.step(
            now,
            Event::Have {
                segment,
                bytes: 64 << 20,
                policy: Arc::clone(&wanted),
                holders: Vec::new(),
                is_pinned: false,
            },
        );
        for other in [1, 2] {
            let member = Member(u32::try_from(number % 4999).unwrap() * 2 + other);
            planner.step(now, Event::Holds { segment, member });
        }
    }
    (planner, now)
}

#[test]
#[ignore = "a measurement of seconds"]
fn a_round_among_ten_thousand() {
    let begun = Instant::now();
    let roster = Arc::new(Roster::new((0..MEMBERS).map(candidate)));
    println!("a roster of {MEMBERS}: {:?}", begun.elapsed());
    // A million segments three times on ten thousand are 300 each; a member of 1 TiB has 16,384.
    for segments in [300, 16_384] {
        let begun = Instant::now();
        let (mut planner, now) = planner(segments);
        println!("{segments} segments, taken in: {:?}", begun.elapsed());
        let begun = Instant::now();
        let less = Roster::new((0..MEMBERS).filter(|it| *it != 7777).map(candidate));
        let returned = Vec::new();
        let less = Arc::new(less);
        planner.step(
            now,
            Event::Roster {
                roster: less,
                returned,
            },
        );
        println!("  one of {MEMBERS} goes: {:?}", begun.elapsed());
        let begun = Instant::now();
        let returned = Vec::new();
        let roster = Arc::clone(&roster);
        planner.step(now, Event::Roster { roster, returned });
        println!("  one comes, all are looked at: {:?}", begun.elapsed());
        assert_eq!(planner.len() as u64, segments);
    }
}
