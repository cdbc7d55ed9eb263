//! What the scheduler is to achieve, each against what the links allow.

use std::time::Duration;

use store::Cid;

use super::super::{Action, Mode, Time};
use super::dag::Dag;
use super::matrix::{Trial, random_run, seeds};
use super::mbit;
use super::node::{Fault, Node};
use super::report::{Run, jain};
use super::world::{Setup, World};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn gibibyte() -> Dag {
    Dag::file(1024, 1 << 20, 1024)
}

fn provider(dag: &Dag, rate: u64, trip: u64) -> Node {
    Node::new(mbit(rate), mbit(1000), ms(trip)).holds_all(dag)
}

fn downloader(up: u64) -> Node {
    Node::new(mbit(up), mbit(1000), ms(2)).downloads(Time::ZERO)
}

fn run(dag: &Dag, nodes: Vec<Node>) -> Run {
    let run = World::new(dag, Setup::default(), nodes).run();
    for done in &run.downloads {
        assert_eq!(done.end, Action::Finished, "{done:?}");
        assert!(
            done.most_kept < 1 << 20,
            "{} bytes for one peer",
            done.most_kept
        );
    }
    run
}

/// How long one download of the whole took, with at most a hundredth fetched twice.
fn one(dag: &Dag, mut providers: Vec<Node>) -> f64 {
    providers.push(downloader(1000));
    let done = run(dag, providers).only();
    assert!(done.whole, "all is here");
    assert!(
        done.twice * 100 <= done.came,
        "{} of {} twice",
        done.twice,
        done.came
    );
    done.took.as_secs_f64()
}

#[test]
fn four_uplinks_are_filled_to_95_percent_of_their_sum_whatever_their_rates_and_distances() {
    let dag = gibibyte();
    for trip in [1, 20, 100] {
        for rates in [[100, 100, 100, 100], [200, 100, 50, 25], [100, 100, 100, 1]] {
            let ideal = dag.bytes() as f64 / mbit(rates.iter().sum()) as f64;
            let took = one(&dag, rates.map(|rate| provider(&dag, rate, trip)).into());
            println!(
                "{rates:?} Mbit/s, {trip} ms: {took:.2} s, {:.3} of the sum",
                ideal / took
            );
            assert!(
                ideal / took >= 0.95,
                "{rates:?}, {trip} ms: {took} s where {ideal} is possible"
            );
        }
    }
}

#[test]
fn one_far_peer_is_enough_to_fill_a_gigabit() {
    let dag = gibibyte();
    let ideal = dag.bytes() as f64 / mbit(1000) as f64;
    let took = one(&dag, vec![provider(&dag, 1000, 100)]);
    assert!(ideal / took >= 0.95, "{took} s where {ideal} is possible");
}

#[test]
fn providers_of_random_halves_are_used_to_95_percent() {
    let dag = gibibyte();
    let chance = |cid: &Cid| u32::from(cid.hash().digest()[6]);
    let half = |i: u32| {
        // Each half holds what none of the four would.
        let held = |cid: &Cid| {
            chance(cid) >> i & 1 == 1 || chance(cid).trailing_zeros() >= 4 || !dag.is_leaf(cid)
        };
        provider(&dag, 100, 5).holds(&dag, held)
    };
    let ideal = dag.bytes() as f64 / mbit(400) as f64;
    let took = one(&dag, (0..4).map(half).collect());
    println!("random halves: {took:.2} s, {:.3} of the sum", ideal / took);
    assert!(ideal / took >= 0.95, "{took} s where {ideal} is possible");
}

/// One of four at 100 Mbit/s has a fault from the tenth second on.
fn with_fault(dag: &Dag, fault: Fault) -> f64 {
    let mut providers = vec![
        provider(dag, 100, 5),
        provider(dag, 100, 5),
        provider(dag, 100, 5),
    ];
    providers.push(provider(dag, 100, 5).fault(fault));
    one(dag, providers)
}

#[test]
fn a_peer_that_is_killed_stalls_or_slows_down_costs_two_seconds_at_most() {
    let dag = gibibyte();
    let ideal = 10.0 + (dag.bytes() as f64 - 10.0 * mbit(400) as f64) / mbit(300) as f64;
    let at = ms(10_000);
    for fault in [
        Fault::Killed(at, None),
        Fault::Stalls(at, None),
        Fault::Slows(at),
    ] {
        let took = with_fault(&dag, fault.clone());
        println!("{fault:?}: {:.2} s more than possible", took - ideal);
        assert!(
            took <= ideal + 2.0,
            "{fault:?}: {took} s where {ideal} is possible"
        );
    }
}

#[test]
fn a_peer_that_returns_after_ten_seconds_is_used_again() {
    let dag = gibibyte();
    let (at, back) = (ms(5000), Some(ms(15_000)));
    // Ten seconds of four hundred Mbit/s are lost by a quarter.
    let ideal = dag.bytes() as f64 / mbit(400) as f64 + 2.5;
    for fault in [Fault::Killed(at, back), Fault::Stalls(at, back)] {
        let took = with_fault(&dag, fault.clone());
        println!("{fault:?}: {:.2} s more than possible", took - ideal);
        assert!(
            took <= ideal + 1.0,
            "{fault:?}: {took} s where {ideal} is possible"
        );
    }
}

/// What requests for parts of leaves could gain: leaves of 1 MiB against leaves of 16 KiB.
#[test]
fn leaves_of_a_mebibyte_lose_little_on_slow_uplinks() {
    for rates in [[100, 100, 100, 1], [10, 10, 10, 1], [1, 1, 1, 1]] {
        let took = |leaves, size| {
            let dag = Dag::file(leaves, size, 1024);
            let took = one(&dag, rates.map(|rate| provider(&dag, rate, 20)).into());
            mbit(rates.iter().sum()) as f64 * took / dag.bytes() as f64
        };
        let (large, small) = (took(256, 1 << 20), took(16_384, 16 << 10));
        println!("{rates:?} Mbit/s: {large:.3} and {small:.3} of the time at full rate");
        assert!(large <= small * 1.05, "{rates:?}: {large} against {small}");
    }
}

/// How much longer than one copy at the provider's 50 Mbit/s the last of many needs, and how fair it is.
fn crowd(count: usize, leaves: usize, size: u32) -> f64 {
    let dag = Dag::file(leaves, size, 1024);
    let mut nodes = vec![provider(&dag, 50, 2)];
    nodes.extend((0..count).map(|_| downloader(100)));
    let run = run(&dag, nodes);
    let (came, twice) = run.bytes();
    let rates: Vec<f64> = run
        .downloads
        .iter()
        .map(|done| 1.0 / done.took.as_secs_f64())
        .collect();
    let one = dag.bytes() as f64 / mbit(50) as f64;
    let ratio = run.took().as_secs_f64() / one;
    let share = twice as f64 / came as f64;
    let given: u64 = run
        .downloads
        .iter()
        .filter_map(|done| done.from.get(&0))
        .sum();
    let copies = given as f64 / dag.bytes() as f64;
    println!(
        "1 to {count}: {ratio:.3} of one copy's time, the provider gave {copies:.2}, fairness {:.3}, \
         twice {share:.4}",
        jain(&rates)
    );
    // A hundredth, and what may come twice of a small content.
    let most = came / 100 + 3 * u64::from(size) * count as u64;
    assert!(twice <= most, "{twice} of {came} bytes came twice");
    assert!(jain(&rates) > 0.95, "all are done at about the same time");
    ratio
}

#[test]
fn eight_downloaders_of_one_provider_feed_each_other() {
    assert!(crowd(8, 512, 1 << 20) <= 1.25);
}

#[test]
fn thirty_two_downloaders_of_one_provider_feed_each_other() {
    assert!(crowd(32, 1024, 128 << 10) <= 1.25);
}

#[test]
fn a_hundred_downloaders_of_a_small_content_feed_each_other() {
    assert!(crowd(100, 256, 128 << 10) <= 1.5);
}

#[test]
#[ignore = "a minute"]
fn two_hundred_downloaders_of_one_provider_feed_each_other() {
    for count in [100, 200] {
        assert!(crowd(count, 1024, 128 << 10) <= 1.25);
    }
}

#[test]
#[ignore = "minutes"]
fn a_thousand_downloaders_of_one_provider_feed_each_other() {
    assert!(crowd(1000, 1024, 128 << 10) <= 1.5);
}

/// Downloaders that give nothing and all want one provider's content: what each has when the first is
/// done, and how long each took.
fn takers(count: usize, slots: Option<usize>) -> (f64, Vec<f64>) {
    let dag = Dag::file(256, 128 << 10, 1024);
    let mut nodes = vec![provider(&dag, 50, 2)];
    nodes.extend((0..count).map(|_| downloader(100).fault(Fault::Rides)));
    let setup = Setup {
        slots,
        ..Setup::default()
    };
    let run = World::new(&dag, setup, nodes).run();
    let whole = run.downloads.iter().filter(|done| done.whole).count();
    assert_eq!(whole, count, "all have everything in the end");
    let rates: Vec<f64> = run
        .downloads
        .iter()
        .map(|done| 1.0 / done.took.as_secs_f64())
        .collect();
    let mut took: Vec<f64> = run
        .downloads
        .iter()
        .map(|done| done.took.as_secs_f64())
        .collect();
    took.sort_by(f64::total_cmp);
    let fair = count as f64 * dag.bytes() as f64 / mbit(50) as f64;
    println!(
        "{count} takers, slots {slots:?}: fairness {:.3}, first done at {:.2} of the time for all, last at {:.2}",
        jain(&rates),
        took[0] / fair,
        took[count - 1] / fair,
    );
    (
        jain(&rates),
        took.into_iter().map(|took| took / fair).collect(),
    )
}

#[test]
fn equal_takers_of_one_provider_have_equal_rates() {
    let (fairness, took) = takers(30, None);
    assert!(fairness >= 0.99, "{fairness}");
    assert!(took[29] <= 1.05, "the uplink is full: {took:?}");
}

#[test]
fn slots_go_round_among_takers() {
    let (fairness, took) = takers(30, Some(8));
    assert!(fairness >= 0.8, "{fairness}");
    assert!(took[29] <= 1.2, "the uplink is full: {took:?}");
}

/// When the last giver and the last of those that only take were done, of a crowd at one provider.
fn riders(slots: Option<usize>) -> (f64, f64) {
    let dag = Dag::file(512, 256 << 10, 1024);
    let mut nodes = vec![provider(&dag, 50, 2)];
    nodes.extend((0..16).map(|_| downloader(20)));
    nodes.extend((0..8).map(|_| downloader(20).fault(Fault::Rides)));
    let setup = Setup {
        slots,
        ..Setup::default()
    };
    let run = World::new(&dag, setup, nodes).run();
    let one = dag.bytes() as f64 / mbit(50) as f64;
    let last = |of: std::ops::Range<u32>| {
        let these = run.downloads.iter().filter(|done| of.contains(&done.node));
        these
            .map(|done| done.took.as_secs_f64() / one)
            .fold(0.0, f64::max)
    };
    let (givers, riders) = (last(1..17), last(17..25));
    println!(
        "slots {slots:?}: givers done after {givers:.2} times one copy, riders after {riders:.2}"
    );
    (givers, riders)
}

#[test]
fn in_an_open_swarm_who_gives_is_done_before_who_only_takes() {
    let (givers, riders) = riders(Some(8));
    let (private, private_riders) = self::riders(None);
    assert!(givers * 1.3 < riders, "{givers} {riders}");
    assert!(givers < private, "whoever gives is better off with slots");
    assert!(private_riders < private * 1.1, "members are served alike");
}

/// How long a reader of so many Mbit/s waits, once it is going, over two uplinks of a hundred.
fn waits(mode: Mode, from: usize, rate: u64) -> Duration {
    let dag = Dag::file(512, 256 << 10, 256);
    let reader = downloader(100).reads(&dag, mode, from, mbit(rate));
    let nodes = vec![provider(&dag, 100, 20), provider(&dag, 100, 20), reader];
    let done = run(&dag, nodes).only();
    println!("{mode:?} from {from} at {rate}: waited {:?}", done.waited);
    // What a reader waits for may be fetched a second time.
    assert!(done.twice * 100 <= done.came, "{} twice", done.twice);
    done.waited
}

#[test]
fn a_reader_at_half_the_rate_of_the_link_never_waits() {
    for mode in [Mode::OnDemand, Mode::Whole] {
        for from in [0, 256] {
            assert_eq!(
                waits(mode, from, 100),
                Duration::ZERO,
                "{mode:?} from {from}"
            );
        }
        // One that is faster than the link waits for the link.
        assert!(waits(mode, 0, 400) > ms(1000));
    }
}

/// No downloader's rate is below this part of its fair share, from its beginning to its end, faults and
/// free riders, slots and restarts included. An optimum that no order of requests reaches counts as fair:
/// whoever is passed over for long falls below.
const STARVED: f64 = 0.2;

/// Goes through seeds: content exact, little twice, nobody starved, and how near the optimum.
fn go_through(count: u64) {
    let (mut ratios, mut twice, mut came) = (Vec::new(), 0, 0);
    let mut least_share = (f64::INFINITY, 0);
    for seed in seeds(count) {
        let trial = std::panic::catch_unwind(|| random_run(seed));
        let trial = trial.unwrap_or_else(|_| panic!("a rule was broken: STORE_SIM_SEED={seed}"));
        check(seed, &trial);
        let bytes = trial.run.bytes();
        (came, twice) = (came + bytes.0, twice + bytes.1);
        ratios.push((trial.ratio(), seed));
        let shares = trial.run.downloads.iter().map(|done| trial.share(done));
        let share = shares.fold(f64::INFINITY, f64::min);
        if share < least_share.0 {
            least_share = (share, seed);
        }
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |percent: usize| ratios[(ratios.len() - 1) * percent / 100];
    let (median, high, worst) = (at(50), at(99), at(100));
    let share = twice as f64 / came as f64;
    println!(
        "{} seeds: median {median:?}, 99th {high:?}, worst {worst:?} times the optimum; {share:.4} twice; \
         least share {least_share:?}",
        ratios.len()
    );
    if ratios.len() > 1 {
        assert!(median.0 <= 1.3, "median {median:?}");
        // A hundredth of two hundred seeds is two, give or take as many; of two thousand it is what it is.
        let by_chance = if ratios.len() < 1000 { 2 } else { 0 };
        let beyond = ratios.iter().filter(|(ratio, _)| *ratio > 2.0).count();
        assert!(
            beyond <= ratios.len() / 100 + by_chance,
            "99th percentile {high:?}"
        );
        assert!(share <= 0.01, "{share} came twice");
    }
}

fn check(seed: u64, trial: &Trial) {
    for done in &trial.run.downloads {
        let node = done.node;
        assert_eq!(
            done.end,
            Action::Finished,
            "STORE_SIM_SEED={seed}, peer {node}: {done:?}"
        );
        assert!(
            done.whole,
            "STORE_SIM_SEED={seed}, peer {node}: something is missing"
        );
        assert!(
            done.most_kept < 1 << 20,
            "STORE_SIM_SEED={seed}, peer {node}: {} bytes kept",
            done.most_kept
        );
        let share = trial.share(done);
        assert!(
            share >= STARVED,
            "STORE_SIM_SEED={seed}, peer {node}: {share} of its fair share"
        );
        // A hundredth, a few leaves, and what was in flight at peers that failed.
        let most = done.came / 100 + 4 * trial.leaf + trial.faults * (2 << 20);
        assert!(
            done.twice <= most,
            "STORE_SIM_SEED={seed}, peer {node}: {} twice",
            done.twice
        );
    }
}

#[test]
fn it_ends_well_whenever_honest_peers_together_have_everything() {
    go_through(200);
}

#[test]
#[ignore = "two minutes"]
fn it_ends_well_over_two_thousand_seeds() {
    go_through(2000);
}

/// It had all that was left to ask for, and was asked again for what it had said to lack.
#[test]
fn seed_1658_in_which_a_peer_with_a_part_was_taken_for_whole() {
    check(1658, &random_run(1658));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 44] {
        let told = |trial: Trial| {
            let downloads = trial.run.downloads.into_iter();
            downloads
                .map(|done| (done.took, done.came, done.most_known))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(random_run(seed)), told(random_run(seed)));
    }
}
