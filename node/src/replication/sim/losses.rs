//! How much is lost, beside what the model says (docs/replication.md, "How much is lost").
//!
//! At the rates of real disks nothing is lost in any run that can be waited for. So members fail so much more often
//! that it happens, repairs are as they are, and the model is asked about just that.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::planner::{Settings, Time};
use super::super::policy::Policy;
use super::{Fault, MIB, Node, Setup, World, minutes};

/// Who has failed is replaced by a new one after this long.
const REPLACED: Duration = Duration::from_secs(30 * 60);

/// Somewhere, with members that fail for good each by itself.
struct Place {
    name: &'static str,
    members: u32,
    /// Bytes per second, each way.
    link: u64,
    segments: usize,
    /// Each member fails after so long on average.
    mttf: Duration,
    lasts: Duration,
    /// By the documents, from a failure to the new copy: with two copies left, and with one.
    waits: [Duration; 2],
}

/// Ten at home, whose uplinks are slow: the tenth of a minute for each segment, ninety of which are on each member.
const HOME: Place = Place {
    name: "at home",
    members: 10,
    link: 10 * MIB,
    segments: 300,
    mttf: minutes(12 * 60),
    lasts: minutes(30 * 24 * 60),
    waits: [minutes(12), minutes(4)],
};

/// Forty with fast links. Those that are gone stay in its world, so many short runs are faster than a long one.
const RACKS: Place = Place {
    name: "in racks",
    members: 40,
    link: 32 * MIB,
    lasts: minutes(2 * 24 * 60),
    waits: [minutes(11), minutes(3)],
    ..HOME
};

/// What was seen, over all segments together.
#[derive(Clone, Copy, Default)]
struct Seen {
    lost: usize,
    /// Hours until they were lost, with two copies, and with one.
    hours: [f64; 3],
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

impl Place {
    /// Each member fails in its time, and another comes instead.
    fn faults(&self, seed: u64) -> (Vec<(Time, Fault)>, u32) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut faults = Vec::new();
        let mut next = self.members;
        for first in 0..self.members {
            let (mut member, mut at) = (first, Duration::ZERO);
            loop {
                // An old one fails no sooner than a new one, as the model has it.
                at += self.mttf.mul_f64(-rng.random_range(f64::EPSILON..1.0).ln());
                if at > self.lasts {
                    break;
                }
                faults.push((at, Fault::Destroyed(member)));
                at += REPLACED;
                (member, next) = (next, next + 1);
                faults.push((at, Fault::Up(member)));
            }
        }
        (faults, next)
    }

    fn run(&self, seed: u64) -> Seen {
        let (faults, members) = self.faults(seed);
        let nodes = (0..members).map(|number| {
            let mut node = Node::new(number, 64 << 30, 0);
            node.is_up = number < self.members;
            node.link = self.link;
            node
        });
        let setup = Setup {
            seed,
            settings: Settings::default(),
            policy: Policy::default(),
            segments: vec![64 * MIB; self.segments],
            loss: 5,
            copies: 3,
            // So many fail in a day that half of all would be gone.
            usual: self.mttf / 12,
        };
        let mut world = World::new(setup, nodes.collect());
        for (at, fault) in faults {
            world.plan(at, fault);
        }
        let step = Duration::from_secs(30);
        let mut found = Seen::default();
        while world.now < self.lasts {
            world.run_until(world.now + step);
            let mut copies = vec![0_u32; self.segments];
            for node in world.nodes.iter().filter(|it| it.is_up) {
                node.disk.iter().for_each(|it| copies[*it] += 1);
            }
            let count = |of: &dyn Fn(u32) -> bool| copies.iter().filter(|it| of(**it)).count();
            let are = [
                count(&|it| it > 0),
                count(&|it| it == 2),
                count(&|it| it == 1),
            ];
            for (sum, count) in found.hours.iter_mut().zip(are) {
                *sum += count as f64 * hours(step);
            }
            found.lost = self.segments - are[0];
        }
        found
    }

    /// By the model: the parts of the time with two copies and with one, and losses in an hour.
    fn modelled(&self) -> [f64; 3] {
        let mttf = hours(self.mttf);
        let [t3, t2] = self.waits.map(hours);
        let at_two = 3.0 / mttf * t3;
        let at_one = at_two * 2.0 / mttf * t2;
        [at_two, at_one, at_one / mttf]
    }

    /// Runs with these seeds, and says what was seen beside what is modelled.
    fn compare(&self, seeds: std::ops::Range<u64>) -> [f64; 3] {
        let mut sum = Seen::default();
        for seed in seeds {
            let found = self.run(seed);
            sum.lost += found.lost;
            for (sum, hours) in sum.hours.iter_mut().zip(found.hours) {
                *sum += hours;
            }
        }
        let [all, two, one] = sum.hours;
        let seen = [two / all, one / all, sum.lost as f64 / all];
        println!(
            "{}: {} lost in {all:.0} h of segments; with two copies, with one, lost in an hour: {seen:.6?}; by the \
             model {:.6?}",
            self.name,
            sum.lost,
            self.modelled()
        );
        seen
    }
}

#[test]
fn copies_are_made_anew_as_soon_as_the_model_supposes() {
    let home = Place {
        segments: 100,
        lasts: minutes(5 * 24 * 60),
        ..HOME
    };
    let seen = home.compare(0..2);
    let modelled = home.modelled();
    assert!(seen[0] > 0.0 && seen[0] < modelled[0] * 1.2, "{seen:?}");
    assert!(seen[1] > 0.0 && seen[1] < modelled[1] * 2.0, "{seen:?}");
}

/// `cargo test --workspace --lib -- --ignored --nocapture losses`
#[test]
#[ignore = "half an hour"]
fn losses_beside_the_model() {
    for (place, runs) in [(RACKS, 50), (HOME, 10)] {
        place.compare(0..runs);
    }
}
