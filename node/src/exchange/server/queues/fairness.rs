//! Many askers at once, in virtual time: who gets how much, and what that takes.

use std::time::Duration;

use super::rig::{Member, Rig, jain};
use super::*;

const MIB: u64 = 1 << 20;
/// Reads under way that turn out to bring more than was expected: a block each.
const SLACK: u64 = 4 * 2 * MIB;

/// Askers of directories of small files, of files by 256 KiB, 1 MiB and 2 MiB, patient and greedy ones.
fn mixed(count: u32) -> Vec<Member> {
    let requests = [
        (512, 4 << 10),
        (16, 256 << 10),
        (4, MIB),
        (1, 2 * MIB),
        (64, 64 << 10),
    ];
    let member = |i: u32| {
        let depth = [1, 2, 4, 16][i as usize / 5 % 4];
        Member::new(requests[i as usize % 5], depth, 100 * MIB)
    };
    (0..count).map(member).collect()
}

fn shares(rig: &Rig) -> Vec<u64> {
    rig.members
        .values()
        .map(|member| member.delivered)
        .collect()
}

#[test]
fn a_hundred_askers_share_an_uplink_evenly() {
    let mut rig = Rig::new(Bounds::default(), 40 * MIB, 2000 * MIB, mixed(100));
    rig.run_until(Duration::from_secs(60));
    let shares = shares(&rig);
    let total: u64 = shares.iter().sum();
    assert!(total > 40 * 59 * MIB, "the uplink is full: {total}");
    assert!(jain(&shares) >= 0.95, "{} {shares:?}", jain(&shares));
    assert!(rig.most_held <= Bounds::default().memory + SLACK);
}

#[test]
fn a_hundred_askers_share_a_slow_disk_evenly() {
    let mut rig = Rig::new(Bounds::default(), 4000 * MIB, 40 * MIB, mixed(100));
    rig.run_until(Duration::from_secs(60));
    let shares = shares(&rig);
    assert!(jain(&shares) >= 0.95, "{} {shares:?}", jain(&shares));
}

#[test]
fn slots_go_round_where_nobody_gives() {
    let bounds = Bounds {
        slots: Some(8),
        ..Bounds::default()
    };
    let mut rig = Rig::new(bounds, 20 * MIB, 2000 * MIB, mixed(40));
    rig.run_until(Duration::from_secs(600));
    let shares = shares(&rig);
    let total: u64 = shares.iter().sum();
    assert!(total > 20 * 580 * MIB, "the uplink is full: {total}");
    assert!(jain(&shares) >= 0.9, "{} {shares:?}", jain(&shares));
}

#[test]
fn who_reads_slowly_hinders_nobody_and_holds_little() {
    let mut members = vec![Member::new((4, MIB), 4, 100 * MIB); 4];
    members.extend(vec![Member::new((4, MIB), 16, 20 << 10); 100]);
    // And some that read nothing.
    members.extend(vec![Member::new((4, MIB), 16, 0); 20]);
    let bounds = Bounds {
        memory: 24 * MIB,
        ..Bounds::default()
    };
    let mut rig = Rig::new(bounds, 40 * MIB, 2000 * MIB, members);
    rig.run_until(Duration::from_secs(30));
    let before = shares(&rig);
    rig.run_until(Duration::from_secs(90));
    let after = shares(&rig);
    let fast: u64 = (0..4).map(|i| after[i] - before[i]).sum();
    assert!(fast > 40 * 60 * MIB * 8 / 10, "{} MiB", fast / MIB);
    assert!(rig.most_held <= 24 * MIB + SLACK, "{}", rig.most_held);
    assert!(
        rig.members.values().skip(104).all(|member| member.closed),
        "who reads nothing is not kept"
    );
}

#[test]
fn who_floods_is_told_busy_and_gets_no_more_than_the_others() {
    let mut members = vec![Member::new((4, MIB), 4, 100 * MIB); 10];
    members.push(Member::new((4, MIB), 5000, 100 * MIB));
    let mut rig = Rig::new(Bounds::default(), 40 * MIB, 2000 * MIB, members);
    rig.run_until(Duration::from_secs(20));
    let shares = shares(&rig);
    assert!(rig.members[&10].busy > 4000, "{}", rig.members[&10].busy);
    assert!(rig.members[&10].busy < 200_000, "it is told a useful time");
    assert!(rig.members.values().take(10).all(|member| member.busy == 0));
    assert!(jain(&shares) >= 0.98, "{shares:?}");
}

#[test]
fn a_flood_of_manifests_delays_nobody_and_is_told_busy() {
    let honest = Member::new((4, MIB), 4, 4000 * MIB);
    let mut flood = Member::new((1, 12 << 10), 160, 4000 * MIB);
    // What it takes to answer one; little of it is bytes.
    flood.whole = Some(64 << 10);
    let mut rig = Rig::new(
        Bounds::default(),
        4000 * MIB,
        1000 * MIB,
        vec![honest, flood],
    );
    rig.run_until(Duration::from_secs(2));
    let of_all = rig.members[&0].delivered * 100 / (2 * 1000 * MIB);
    assert!(of_all >= 45, "half is its due: {of_all} %");
    assert_eq!(rig.members[&0].busy, 0);
    let busy = rig.members[&1].busy;
    assert!(busy >= 32, "all beyond its bound, at once: {busy}");
}
