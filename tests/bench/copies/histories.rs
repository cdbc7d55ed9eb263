//! `bench copies histories`: contents are added while members die, zones are lost, and the swarm is cut in
//! two, by a seed.

use std::thread;
use std::time::{Duration, Instant};

use super::super::MIB;
use super::contents::{Content, Ended, above_max, add, at_target, read_back, sizes};
use super::{Lots, Plan, Swarm, Words, mib};

/// Members, in so many zones.
const MEMBERS: usize = 7;
const ZONES: usize = 3;
/// Contents are added by so many at once.
const ADDERS: u64 = 2;

/// What befalls the swarm.
#[derive(Clone, Debug)]
enum Fault {
    /// These are killed, and are back later.
    Kill(&'static str, Vec<usize>),
    /// Four are out of sight of the other three.
    Cut(Vec<usize>, Vec<usize>),
}

/// How long a history is, and of what.
struct Sizes {
    minutes: u64,
    scale: u64,
    contents: u64,
    mib: u64,
}

pub(super) fn run(words: &Words<'_>) -> bool {
    let sizes = Sizes {
        minutes: words.number("--minutes", 10),
        scale: words.number("--scale", 60),
        contents: words.number("--contents", 200),
        mib: words.mib(8 * 1024),
    };
    let first = words.number("--seed", 1);
    let mut failed = Vec::new();
    for seed in first..first + words.number("--histories", 10) {
        println!("history of seed {seed}");
        if let Err(why) = history(&sizes, seed) {
            println!("  FAILED, --histories 1 --seed {seed}: {why}");
            failed.push(seed);
        }
    }
    if failed.is_empty() {
        println!("all well");
    } else {
        println!("failed: {failed:?}");
    }
    failed.is_empty()
}

fn history(plan: &Sizes, seed: u64) -> Result<(), String> {
    // Twice the room for five copies of each, so that nobody is over 85 % full.
    let quota = (plan.mib * MIB * 5 * 2 / MEMBERS as u64).max(1 << 30);
    let swarm = Swarm::new(Plan {
        members: MEMBERS,
        zones: ZONES,
        scale: plan.scale,
        quota,
        is_apart: true,
    });
    let ended = lived(&swarm, plan, seed);
    if ended.is_err() {
        swarm.print_logs(30);
    }
    ended
}

fn lived(swarm: &Swarm, plan: &Sizes, seed: u64) -> Result<(), String> {
    let before = swarm.received();
    let began = Instant::now();
    let added: Vec<Content> = thread::scope(|scope| {
        let add_part = |part| move || add_all(swarm, plan, seed, part, began);
        let adders: Vec<_> = (0..ADDERS)
            .map(|part| scope.spawn(add_part(part)))
            .collect();
        befall(swarm, plan, &mut Lots(seed), began);
        let ends = adders.into_iter().map(thread::ScopedJoinHandle::join);
        ends.flat_map(|end| end.expect("an adder ends well"))
            .collect()
    });
    let over = Instant::now();
    swarm.meet();
    let met = over.elapsed();
    let with = |ended| move |content: &&Content| content.ended == ended;
    let acknowledged: Vec<Content> = added
        .iter()
        .filter(with(Ended::Acknowledged))
        .cloned()
        .collect();
    let partial = added.iter().filter(with(Ended::Partial)).count();
    let failed = added.iter().filter(with(Ended::Failed)).count();
    for content in added.iter().filter(|it| it.ended != Ended::Acknowledged) {
        println!("  {:?} at {}: {}", content.ended, content.at, content.said);
    }
    println!(
        "  {:.0} s; acknowledged {}, partial {partial}, failed {failed}",
        over.duration_since(began).as_secs_f64(),
        acknowledged.len()
    );
    let wanted: Vec<Content> = added
        .iter()
        .filter(|content| content.ended != Ended::Failed)
        .cloned()
        .collect();
    // The longest wait is an hour, and brakes may be on for ten minutes of these clocks.
    let hour = Duration::from_secs(3600 / plan.scale);
    let limit = hour * 3 + Duration::from_secs(300);
    let took = at_target(swarm, &wanted, limit)?;
    println!(
        "  at target {:.0} s after the last fault ({:.0} s of them until all had met)",
        (met + took).as_secs_f64(),
        met.as_secs_f64()
    );
    let at_first = above_max(swarm, &wanted).len();
    thread::sleep(hour);
    let above = above_max(swarm, &wanted).len();
    // What was put right in the meantime has one copy more until the old one is trimmed: half an hour and
    // what the questions take.
    let trimmed = settled(swarm, &wanted, hour * 2)?;
    let bytes: u64 = wanted.iter().map(|content| content.size).sum();
    let moved = swarm.received() - before;
    println!(
        "  above max {at_first}, an hour (scaled, {} s) later {above}, none after further {:.0} s; {} copies of {} \
         contents by the members' own count",
        hour.as_secs(),
        trimmed.as_secs_f64(),
        swarm.held().iter().sum::<u64>(),
        wanted.len()
    );
    println!(
        "  {:.0} MiB moved: {:.2} for each byte added, of which two are the copies",
        mib(moved),
        moved as f64 / bytes.max(1) as f64
    );
    let wrong = read_back(swarm, &wanted, &mut Lots(!seed));
    println!("  whole {} of {}", wanted.len() - wrong.len(), wanted.len());
    if !wrong.is_empty() {
        return Err(format!("not whole: {}", wrong.join("; ")));
    }
    Ok(())
}

/// Waits until nothing has more copies than it may, and all have as many as they should.
fn settled(swarm: &Swarm, contents: &[Content], limit: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    loop {
        at_target(swarm, contents, limit)?;
        let (above, elapsed) = (above_max(swarm, contents), began.elapsed());
        if above.is_empty() {
            return Ok(elapsed);
        }
        if elapsed > limit {
            return Err(format!("above max: {}", above.join("; ")));
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Adds each second content over most of the history, at members drawn by lot.
fn add_all(swarm: &Swarm, plan: &Sizes, seed: u64, part: u64, began: Instant) -> Vec<Content> {
    let mut lots = Lots(seed.wrapping_mul(1000) + part + 1);
    let count = (plan.contents + ADDERS - 1 - part) / ADDERS;
    let sizes = sizes(count.max(1), plan.mib / ADDERS, &mut lots);
    let span = Duration::from_secs(plan.minutes * 60) * 9 / 10;
    let mut added = Vec::new();
    for (n, size) in (0u32..).zip(sizes.into_iter().take(usize::try_from(count).unwrap_or(0))) {
        let due = began + span / u32::try_from(count).expect("a few") * n;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let up: Vec<usize> = (0..MEMBERS).filter(|i| swarm.is_up(*i)).collect();
        if up.is_empty() {
            continue;
        }
        let at = up[lots.one(up.len())];
        let flags = [
            "--replicas",
            "3",
            "--wait",
            "quorum",
            "--wait-timeout",
            "60s",
        ];
        let name = seed << 32 | part << 24 | u64::from(n);
        added.push(add(swarm, at, name, size, &flags));
    }
    added
}

/// One fault of each kind after the other, and again, until the time is over.
fn befall(swarm: &Swarm, plan: &Sizes, lots: &mut Lots, began: Instant) {
    let span = Duration::from_secs(plan.minutes * 60);
    // Of a history of ten minutes, a shorter one has shorter faults.
    let of_ten = |seconds: u64| (seconds * plan.minutes / 10).max(1);
    let mut deck: Vec<Fault> = Vec::new();
    loop {
        let pause = of_ten(lots.within(5, 30));
        thread::sleep(Duration::from_secs(pause));
        if began.elapsed() >= span {
            return;
        }
        let fault = deck.pop().unwrap_or_else(|| {
            deck = faults(swarm, lots);
            lots.shuffle(&mut deck);
            deck.pop().expect("there are some")
        });
        let hold = match &fault {
            Fault::Cut(..) => of_ten(180).max(15),
            Fault::Kill("all", _) => of_ten(10),
            Fault::Kill(..) => of_ten(lots.within(10, 90)),
        };
        let at = began.elapsed().as_secs();
        println!("  {at} s: {fault:?} for {hold} s");
        strike(swarm, &fault, Duration::from_secs(hold));
    }
}

fn faults(swarm: &Swarm, lots: &mut Lots) -> Vec<Fault> {
    let mut some = |count: usize| {
        let mut all: Vec<usize> = (0..MEMBERS).collect();
        lots.shuffle(&mut all);
        let others = all.split_off(count);
        (all, others)
    };
    let ((one, _), (two, _), (four, three)) = (some(1), some(2), some(4));
    vec![
        Fault::Kill("one", one),
        Fault::Kill("two", two),
        Fault::Kill("a zone", swarm.zone(lots.one(ZONES))),
        Fault::Cut(four, three),
        Fault::Kill("all", (0..MEMBERS).collect()),
    ]
}

fn strike(swarm: &Swarm, fault: &Fault, hold: Duration) {
    match fault {
        Fault::Kill(_, these) => {
            swarm.kill(these);
            thread::sleep(hold);
            swarm.start_all(these);
        }
        Fault::Cut(some, others) => {
            let net = swarm.net.as_ref().expect("they are in namespaces");
            net.cut(some, others);
            thread::sleep(hold);
            net.heal(some, others);
        }
    }
}
