//! Swarms by chance: a content, downloaders, peers that hold all of it together, and peers with faults.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::{Limits, Time};
use super::dag::Dag;
use super::mbit;
use super::node::{Fault, Node};
use super::optimum::least;
use super::report::{Done, Run};
use super::world::{Setup, World};

/// How many seeds a test goes through: `STORE_SIM_SEEDS`, or so many; and where it begins:
/// `STORE_SIM_SEED` is the only one, if it is set.
pub(in super::super) fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok());
    match number("STORE_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORE_SIM_SEEDS").unwrap_or(count),
    }
}

/// A run, and the least time that it could have taken.
pub(in super::super) struct Trial {
    pub(in super::super) run: Run,
    pub(in super::super) least: Time,
    /// Peers that left, stalled or became slow: what they owed may have come twice.
    pub(in super::super) faults: u64,
    /// Bytes of the largest leaf.
    pub(in super::super) leaf: u64,
}

impl Trial {
    pub(in super::super) fn ratio(&self) -> f64 {
        self.run.took().as_secs_f64() / self.least.as_secs_f64()
    }

    /// A downloader's rate over its fair share: what each would have if all links were as full as can be
    /// until all are done at once.
    pub(in super::super) fn share(&self, done: &Done) -> f64 {
        self.least.as_secs_f64() / done.took.as_secs_f64()
    }
}

fn random_fault(rng: &mut StdRng) -> Fault {
    let at = Duration::from_millis(rng.random_range(500..8000));
    let back = rng.random_bool(0.5).then(|| at + Duration::from_secs(10));
    match rng.random_range(0..9) {
        0 => Fault::Lies(rng.random_range(1..40)),
        1 => Fault::Busy,
        2 => Fault::Flaky(rng.random_range(2..6)),
        3 => Fault::Killed(at, back),
        4 => Fault::Stalls(at, back),
        5 => Fault::Slows(at),
        6 => Fault::Dead,
        7 => Fault::Boasts,
        _ => Fault::Rides,
    }
}

fn random_node(rng: &mut StdRng) -> Node {
    let up = mbit(rng.random_range(8..60));
    let trip = Duration::from_millis(rng.random_range(1..120));
    let node = Node::new(up, mbit(rng.random_range(100..1000)), trip);
    if rng.random_bool(0.3) {
        node.loss(rng.random_range(1..20))
    } else {
        node
    }
}

/// A swarm by chance in which honest peers that stay hold everything together.
pub(in super::super) fn random_run(seed: u64) -> Trial {
    let mut rng = StdRng::seed_from_u64(seed);
    let leaves = rng.random_range(150..400);
    let size = 1 << rng.random_range(17..20);
    let dag = if rng.random_bool(0.3) {
        Dag::random(&mut rng, leaves, size)
    } else {
        Dag::file(leaves, size, rng.random_range(20..1024))
    };
    let honest = rng.random_range(1..4_u32);
    let partial = rng.random_bool(0.5);
    let mut nodes = Vec::new();
    for i in 0..honest {
        // Inner nodes are everybody's; each leaf is at honest peer number `n % honest`, at least.
        let some: Vec<bool> = dag.order.iter().map(|_| rng.random_bool(0.3)).collect();
        let held = |cid: &store::Cid| {
            let n = Dag::number(cid);
            !partial || n % honest == i || !dag.is_leaf(cid) || some[n as usize]
        };
        nodes.push(random_node(&mut rng).holds(&dag, held));
    }
    let mut faults = 0;
    for _ in 0..rng.random_range(0..4) {
        let fault = random_fault(&mut rng);
        faults += 1;
        let share = if fault == Fault::Boasts { 0.5 } else { 1.0 };
        let some: Vec<bool> = dag.order.iter().map(|_| rng.random_bool(share)).collect();
        let held = |cid: &store::Cid| !dag.is_leaf(cid) || some[Dag::number(cid) as usize];
        let at = Duration::from_millis(rng.random_range(0..2000));
        nodes.push(
            random_node(&mut rng)
                .holds(&dag, held)
                .fault(fault)
                .appears(at),
        );
    }
    let downloads = if rng.random_bool(0.5) {
        1
    } else {
        rng.random_range(2..7)
    };
    for _ in 0..downloads {
        let mut node = random_node(&mut rng).downloads(Time::ZERO);
        if rng.random_bool(0.2) {
            // A download that goes on: some is here.
            node = node.holds(&dag, |cid| Dag::number(cid).is_multiple_of(5));
        }
        if downloads > 1 && rng.random_bool(0.1) {
            node = node.fault(Fault::Rides);
        }
        nodes.push(node);
    }
    let limits = Limits {
        known_blocks: rng.random_range(500..2000),
        ..Limits::default()
    };
    // Half of the swarms are private; in open ones there may be fewer slots than the eight of a node.
    let slots = [None, None, Some(8), Some(4)][rng.random_range(0..4)];
    let setup = Setup {
        limits,
        seed,
        slots,
        ..Setup::default()
    };
    let least = least(&dag, &nodes);
    let leaf = u64::from(2 * size);
    let run = World::new(&dag, setup, nodes).run();
    Trial {
        run,
        least,
        faults,
        leaf,
    }
}
