//! How soon audits find out what they are for: whole swarms of auditors in virtual time, and members that
//! have lost, dropped or never had what they should have. `docs/replication.md` has the figures:
//! `cargo test --workspace --lib -- replication::audit::sim --ignored --nocapture`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use store::audit::Challenge;
use store::segment::Hold;

use super::*;

const DAY: f64 = 86_400.0;
/// Leaves of a segment: 64 MiB in leaves of 1 MiB.
const LEAVES: u64 = 64;
const MIB: f64 = 1_048_576.0;
const ROUND_TRIP: f64 = 0.02;
const MEMBERS: u32 = 10;
/// The one that is found out.
const BAD: Member = Member(0);

/// What is wrong with it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// This part of its leaves is lost, and it says so when it is asked.
    Lost(f64),
    /// It took all, keeps nothing, and makes answers up.
    Drops,
    /// It has this part of the leaves, and fetches the others over so many bits a second.
    Fetches(f64, f64),
    /// Nothing; its disk reads so many bytes a second, and seeks for each leaf.
    Slow(f64),
}

/// What was learnt about the bad one, until the end or until it was found out.
#[derive(Debug, Default)]
struct Learnt {
    /// When the first thing was found, in seconds.
    first: Option<f64>,
    /// When somebody first refused to give it more.
    refused: Option<f64>,
    /// Challenges about 32 leaves that it answered, and those that were late.
    full: u32,
    late: u32,
}

struct Swarm {
    /// For each member, what it holds.
    held: Vec<Vec<SegmentId>>,
    holders: BTreeMap<SegmentId, Vec<Member>>,
}

struct Of<'a>(&'a Swarm, Member);

impl Holdings for Of<'_> {
    fn count(&self) -> usize {
        self.0.held[self.1.0 as usize].len()
    }

    fn segment(&self, number: usize) -> Option<SegmentId> {
        self.0.held[self.1.0 as usize].get(number).copied()
    }

    fn others(&self, segment: &SegmentId) -> Vec<Member> {
        let holders = self.0.holders[segment].iter().copied();
        holders.filter(|member| *member != self.1).collect()
    }
}

impl Swarm {
    /// Three copies of each segment, so many segments a member.
    fn new(each: u32, rng: &mut StdRng) -> Self {
        let mut held = vec![Vec::new(); MEMBERS as usize];
        let mut holders = BTreeMap::new();
        let mut members: Vec<u32> = (0..MEMBERS).collect();
        for _ in 0..(each * MEMBERS).div_ceil(3) {
            let segment = SegmentId(rng.random());
            members.shuffle(rng);
            for member in &members[..3] {
                held[*member as usize].push(segment);
            }
            holders.insert(segment, members[..3].iter().copied().map(Member).collect());
        }
        Self { held, holders }
    }
}

/// What the bad one says to a challenge, and when.
fn reply(fault: Fault, asked: &Challenge, rng: &mut StdRng) -> (f64, Verdict) {
    let count = f64::from(u32::try_from(asked.leaves.len()).unwrap());
    let seek = rng.random_range(0.004..0.016);
    let read = |rate: f64| ROUND_TRIP + count * (seek + MIB / rate);
    // The same leaves each time: a hash of segment and number.
    let share = |leaf: u64| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&asked.segment.0[..8]);
        let mixed = (u64::from_le_bytes(bytes) ^ leaf).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        f64::from(u32::try_from(mixed >> 32).unwrap()) / f64::from(u32::MAX)
    };
    match fault {
        Fault::Lost(part) => {
            let lost = asked
                .leaves
                .iter()
                .copied()
                .filter(|leaf| share(*leaf) < part);
            let leaves: Vec<u64> = lost.collect();
            let verdict = if leaves.is_empty() {
                Verdict::Right
            } else {
                Verdict::Missing { leaves }
            };
            (read(150e6), verdict)
        }
        Fault::Drops => {
            let leaves = asked.leaves.clone();
            (ROUND_TRIP, Verdict::Wrong { leaves })
        }
        Fault::Fetches(kept, rate) => {
            let absent = asked.leaves.iter().filter(|leaf| share(**leaf) >= kept);
            let bytes = f64::from(u32::try_from(absent.count()).unwrap()) * MIB;
            // Headers take a twentieth; links are not always equally fast.
            let rate = rate * 0.95 * rng.random_range(0.8..1.2);
            (
                read(500e6).max(2.0 * ROUND_TRIP + bytes * 8.0 / rate),
                Verdict::Right,
            )
        }
        Fault::Slow(rate) => (read(rate), Verdict::Right),
    }
}

/// A swarm that audits.
struct Course {
    fault: Fault,
    swarm: Swarm,
    auditors: Vec<Auditor>,
    rng: StdRng,
    /// What comes when, to whom, by its number in `events`; 0 is a tick.
    queue: BinaryHeap<Reverse<(Time, u32, u64)>>,
    events: HashMap<u64, Event>,
    last: u64,
    /// The tick of each member that counts: one that came too late is passed over.
    ticks: Vec<Time>,
    learnt: Learnt,
}

impl Course {
    fn new(fault: Fault, each: u32, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let swarm = Swarm::new(each, &mut rng);
        let auditor = |_| Auditor::new(Settings::default(), StdRng::from_rng(&mut rng));
        let auditors = (0..MEMBERS).map(auditor).collect();
        let first = (1..MEMBERS).map(|member| Reverse((Time::ZERO, member, 0)));
        Self {
            fault,
            swarm,
            auditors,
            rng,
            queue: first.collect(),
            events: HashMap::new(),
            last: 0,
            ticks: vec![Time::ZERO; MEMBERS as usize],
            learnt: Learnt::default(),
        }
    }

    fn step(&mut self, now: Time, member: u32, number: u64) {
        let at = member as usize;
        if number == 0 && self.ticks[at] != now {
            return;
        }
        let event = self.events.remove(&number).unwrap_or(Event::Tick);
        let held = Of(&self.swarm, Member(member));
        let actions = self.auditors[at].step(now, event, &held);
        if self.learnt.refused.is_none() && !self.auditors[at].takes(BAD, now) {
            self.learnt.refused = Some(now.as_secs_f64());
        }
        for action in &actions {
            self.act(now, member, action);
        }
        if let Some(wake) = self.auditors[at].wake()
            && (number == 0 || wake < self.ticks[at])
        {
            self.ticks[at] = wake.max(now + Duration::from_millis(1));
            self.queue.push(Reverse((self.ticks[at], member, 0)));
        }
    }

    fn act(&mut self, now: Time, member: u32, action: &Action) {
        match *action {
            Action::Ask {
                id,
                segment,
                holder,
                nonce,
                leaves,
            } => {
                let (path, first, count) = (Vec::new(), 0, 0);
                let hold = Hold { path, first, count };
                let asked = Challenge::draw(segment, hold, nonce, LEAVES, leaves);
                let honest = Fault::Slow(150e6);
                let fault = if holder == BAD { self.fault } else { honest };
                let (took, verdict) = reply(fault, &asked, &mut self.rng);
                if holder == BAD && leaves == LEAVES_MAX {
                    let deadline = Settings::default().deadline.as_secs_f64();
                    self.learnt.full += 1;
                    self.learnt.late += u32::from(took > deadline + 2.0 * ROUND_TRIP);
                }
                self.last += 1;
                let took = Duration::from_secs_f64(took);
                let event = Event::Answered {
                    id,
                    took,
                    round_trip: Duration::from_secs_f64(ROUND_TRIP),
                    verdict,
                };
                self.events.insert(self.last, event);
                self.queue.push(Reverse((now + took, member, self.last)));
            }
            Action::Found {
                holder, outcome, ..
            } if outcome != Outcome::Right => {
                assert_eq!(holder, BAD);
                self.learnt.first.get_or_insert(now.as_secs_f64());
            }
            Action::Suspect { holder } => {
                let segments = &self.swarm.held[member as usize];
                let holds = |it: &&SegmentId| self.swarm.holders[*it].contains(&holder);
                let segments = segments.iter().filter(holds).copied().collect();
                self.last += 1;
                self.events
                    .insert(self.last, Event::Prove { holder, segments });
                self.queue.push(Reverse((now, member, self.last)));
            }
            _ => {}
        }
    }
}

/// Lets all members but the bad one audit for `days`, or until `enough`.
fn audited(fault: Fault, each: u32, seed: u64, days: f64, enough: fn(&Learnt) -> bool) -> Learnt {
    let mut course = Course::new(fault, each, seed);
    while let Some(Reverse((now, member, number))) = course.queue.pop() {
        if now.as_secs_f64() > days * DAY || enough(&course.learnt) {
            break;
        }
        course.step(now, member, number);
    }
    course.learnt
}

/// The median over seeds, in seconds.
fn median(seeds: u64, time: impl Fn(u64) -> Option<f64>) -> f64 {
    let mut times: Vec<f64> = (0..seeds)
        .map(|seed| time(seed).unwrap_or(f64::INFINITY))
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Leaves of a member that are asked for in a second: each copy once a day, on average.
fn leaves_a_second(each: u32) -> f64 {
    let settings = Settings::default();
    let full = 1.0 / f64::from(settings.full_every);
    let usual = f64::from(u32::try_from(settings.leaves).unwrap());
    let full_leaves = f64::from(u32::try_from(LEAVES_MAX).unwrap());
    f64::from(each) * (usual * (1.0 - full) + full_leaves * full) / DAY
}

/// When 1 − (1 − f)^k is a half, with all leaves asked for by then.
fn expected(lost: f64, each: u32) -> f64 {
    0.5_f64.ln() / (1.0 - lost).ln() / leaves_a_second(each)
}

#[test]
fn one_that_lost_a_hundredth_is_found_when_the_formula_says() {
    for each in [30, 300] {
        let found = median(15, |seed| {
            audited(Fault::Lost(0.01), each, seed, 30.0, |learnt| {
                learnt.first.is_some()
            })
            .first
        });
        let expected = expected(0.01, each);
        assert!(
            found < expected * 2.5 && found > expected / 4.0,
            "{found} s, expected {expected} s"
        );
    }
}

#[test]
fn one_that_drops_all_is_found_and_gets_nothing_new() {
    let learnt = audited(Fault::Drops, 300, 1, 30.0, |learnt| {
        learnt.refused.is_some()
    });
    assert!(learnt.first.unwrap() < DAY / 30.0, "{learnt:?}");
    // Whoever finds it out asks it for the rest at once.
    let between = learnt.refused.unwrap() - learnt.first.unwrap();
    assert!(between < 60.0, "{learnt:?}");
}

#[test]
fn one_that_fetches_what_it_is_asked_for_is_late() {
    let whole = audited(Fault::Fetches(0.0, 100e6), 300, 1, 4.0, |_| false);
    assert!(
        whole.full > 80 && whole.late * 10 >= whole.full * 9,
        "{whole:?}"
    );
    // An honest one with a slow disk is not.
    let slow = audited(Fault::Slow(40e6), 300, 1, 4.0, |_| false);
    assert!(slow.full > 80 && slow.late == 0, "{slow:?}");
}

#[test]
#[ignore = "prints the table of the documentation; takes minutes"]
fn figures() {
    println!(
        "| segments | lost 1 % | by the formula | lost 0.1 % | by the formula | drops all | refused |"
    );
    println!("|---|---|---|---|---|---|---|");
    let hours = |seconds: f64| format!("{:.2} h", seconds / 3600.0);
    for each in [10, 100, 1000] {
        let lost = |part: f64| {
            let found = |learnt: &Learnt| learnt.first.is_some();
            median(31, |seed| {
                audited(Fault::Lost(part), each, seed, 90.0, found).first
            })
        };
        let refused = |learnt: &Learnt| learnt.refused.is_some();
        let drops = |seed| audited(Fault::Drops, each, seed, 90.0, refused);
        println!(
            "| {each} | {} | {} | {} | {} | {} | {} |",
            hours(lost(0.01)),
            hours(expected(0.01, each)),
            hours(lost(0.001)),
            hours(expected(0.001, each)),
            hours(median(31, |seed| drops(seed).first)),
            hours(median(31, |seed| drops(seed).refused)),
        );
    }
    println!("| has | link | late of full challenges |");
    println!("|---|---|---|");
    for (kept, rate) in [
        (0.0, 100e6),
        (0.25, 100e6),
        (0.5, 100e6),
        (0.0, 50e6),
        (0.0, 200e6),
        (0.0, 1e9),
    ] {
        let learnt = audited(Fault::Fetches(kept, rate), 1000, 1, 2.0, |_| false);
        let share = 100.0 * f64::from(learnt.late) / f64::from(learnt.full);
        println!(
            "| {:.0} % | {:.0} Mbit/s | {share:.1} % of {} |",
            kept * 100.0,
            rate / 1e6,
            learnt.full
        );
    }
    for rate in [150e6, 60e6, 40e6, 25e6] {
        let learnt = audited(Fault::Slow(rate), 1000, 1, 2.0, |_| false);
        println!(
            "| all, a disk of {:.0} MB/s | – | {} of {} |",
            rate / 1e6,
            learnt.late,
            learnt.full
        );
    }
}
