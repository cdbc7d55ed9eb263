//! A history by a seed: contents are added while members die, zones are lost, and the swarm is cut in two. At its end all
//! that was acknowledged is at its target, no more often than it may, and whole.

use std::thread;
use std::time::{Duration, Instant};

use super::contents::{Content, Ended, above_max, add, at_target, read_back, sizes};
use super::{Lots, MIB, Plan, Swarm, mib};

/// Members, in so many zones.
const MEMBERS: usize = 7;
const ZONES: usize = 3;
/// Contents are added by so many at once.
const ADDERS: u64 = 2;
/// Until who is dead is known to be, and those that are back know each other: no scale shortens that.
const SIGHT: Duration = Duration::from_secs(60);
/// MiB a second that copies come to at the least, on a machine with other things to do.
const RATE: u64 = 2;

/// Until those whose turn it is have asked the others for leave, on a machine with other things to do: no scale
/// shortens that either.
const ASKED: Duration = Duration::from_secs(15);

/// What befalls the swarm.
#[derive(Clone, Debug)]
enum Fault {
    /// These are killed, and are back later.
    Kill(&'static str, Vec<usize>),
    /// Four are out of sight of the other three.
    Cut(Vec<usize>, Vec<usize>),
}

/// How long a history is, and of what.
pub struct History {
    pub span: Duration,
    /// By what all waits of replication are divided.
    pub scale: u64,
    pub contents: u64,
    pub mib: u64,
    /// In namespaces of their own: then the swarm is cut in two, too.
    pub is_apart: bool,
}

/// Lives it; `Err` says what is not as it should be.
pub fn history(plan: &History, seed: u64) -> Result<(), String> {
    // Twice the room for five copies of each, so that nobody is over 85 % full.
    let quota = (plan.mib * MIB * 5 * 2 / MEMBERS as u64).max(1 << 30);
    let swarm = Swarm::new(Plan {
        members: MEMBERS,
        zones: ZONES,
        scale: plan.scale,
        quota,
        is_apart: plan.is_apart,
        ..Plan::default()
    });
    let ended = lived(&swarm, plan, seed);
    if ended.is_err() {
        swarm.print_logs(30);
    }
    ended
}

fn lived(swarm: &Swarm, plan: &History, seed: u64) -> Result<(), String> {
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
    print_ends(&added, over.duration_since(began));
    let wanted: Vec<Content> = added
        .iter()
        .filter(|content| content.ended != Ended::Failed)
        .cloned()
        .collect();
    let bytes: u64 = wanted.iter().map(|content| content.size).sum();
    let hour = Duration::from_secs(3600) / u32::try_from(plan.scale).expect("a small number");
    // The longest wait is an hour, and a minute for each rank; all may have to be moved.
    let moves = Duration::from_secs(bytes * 3 / MIB / RATE);
    let took = at_target(swarm, &wanted, hour * 6 / 5 + SIGHT + moves)?;
    println!(
        "  at target {:.0} s after the last fault ({:.0} s of them until all had met)",
        (met + took).as_secs_f64(),
        met.as_secs_f64()
    );
    let at_first = above_max(swarm, &wanted).len();
    thread::sleep(hour);
    let an_hour_later = above_max(swarm, &wanted).len();
    let above = settled(swarm, &wanted);
    let received = swarm.received() - before;
    println!(
        "  above max {at_first}, an hour (scaled, {} s) later {an_hour_later}, after {} s more {}; {} copies of {} contents by the members' own count",
        hour.as_secs(),
        ASKED.as_secs(),
        above.len(),
        swarm.held().iter().sum::<u64>(),
        wanted.len()
    );
    println!(
        "  {:.0} MiB moved: {:.2} for each byte added, of which two are the copies",
        mib(received),
        received as f64 / bytes.max(1) as f64
    );
    let wrong = read_back(swarm, &wanted, &mut Lots(!seed));
    println!("  whole {} of {}", wanted.len() - wrong.len(), wanted.len());
    if !wrong.is_empty() {
        return Err(format!("not whole: {}", wrong.join("; ")));
    }
    if !above.is_empty() {
        return Err(format!("above max: {}", above.join("; ")));
    }
    at_target(swarm, &wanted, SIGHT).map(drop)
}

/// How the adds ended.
fn print_ends(added: &[Content], took: Duration) {
    let with = |ended| move |content: &&Content| content.ended == ended;
    let acknowledged = added.iter().filter(with(Ended::Acknowledged)).count();
    let partial = added.iter().filter(with(Ended::Partial)).count();
    let failed = added.iter().filter(with(Ended::Failed)).count();
    for content in added.iter().filter(|it| it.ended != Ended::Acknowledged) {
        println!("  {:?} at {}: {}", content.ended, content.at, content.said);
    }
    println!(
        "  {:.0} s; acknowledged {}, partial {partial}, failed {failed}",
        took.as_secs_f64(),
        acknowledged
    );
}

/// Those with more copies than may be once there are none, or [`ASKED`] is over.
fn settled(swarm: &Swarm, contents: &[Content]) -> Vec<String> {
    let began = Instant::now();
    loop {
        let above = above_max(swarm, contents);
        if above.is_empty() || began.elapsed() > ASKED {
            return above;
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// Adds each second content over most of the history, at members drawn by lot.
fn add_all(swarm: &Swarm, plan: &History, seed: u64, part: u64, began: Instant) -> Vec<Content> {
    let mut lots = Lots(seed.wrapping_mul(1000) + part + 1);
    let count = (plan.contents + ADDERS - 1 - part) / ADDERS;
    let sizes = sizes(count.max(1), plan.mib / ADDERS, &mut lots);
    let span = plan.span * 9 / 10;
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

/// One fault of each kind after the other, and again, until the time is over; of a short time each kind once.
fn befall(swarm: &Swarm, plan: &History, lots: &mut Lots, began: Instant) {
    // Of a history of ten minutes; a shorter one has shorter faults.
    let of_ten = |seconds: u64| (seconds * plan.span.as_secs() / 600).max(1);
    let mut deck: Vec<Fault> = faults(swarm, lots);
    lots.shuffle(&mut deck);
    let mut is_first = true;
    loop {
        let pause = of_ten(lots.within(5, 30));
        thread::sleep(Duration::from_secs(pause));
        is_first &= !deck.is_empty();
        if began.elapsed() >= plan.span && !is_first {
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
    let mut faults = vec![
        Fault::Kill("one", one),
        Fault::Kill("two", two),
        Fault::Kill("a zone", swarm.zone(lots.one(ZONES))),
        Fault::Kill("all", (0..MEMBERS).collect()),
    ];
    if swarm.net.is_some() {
        faults.push(Fault::Cut(four, three));
    }
    faults
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
