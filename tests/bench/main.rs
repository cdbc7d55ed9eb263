//! `cargo run --example bench -- add|get|car|small|tree|gc|space|first|stdin|swarm|fan|copies`, with `--mib N`, `--files F`, `--blocks N`,
//! `--runs R`: whole commands, timed side by side with the limits of the machine, in one run. Machines are
//! noisy: quote the ratios.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

mod copies;
mod first;
mod gc;
mod many;
#[path = "../e2e/gc/rounds.rs"]
#[allow(unreachable_pub, clippy::unwrap_used, reason = "shared with the tests")]
mod rounds;

#[path = "../e2e/fleet.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared with the tests"
)]
mod fleet;
#[path = "../e2e/net.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the tests")]
mod net;
mod swarm;

#[path = "../e2e/support.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the tests use all of it, and may panic"
)]
mod support;

use support::{Place, output, same, sha256};

const MIB: u64 = 1 << 20;

/// One contender: its name, and a run that gives its time.
struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
    times: Vec<Duration>,
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
            times: Vec::new(),
        }
    }

    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times[times.len() / 2]
    }
}

/// Runs all contenders in turn, round by round, so that the machine's moods hit all of them.
fn race(rounds: usize, contenders: &mut [Contender<'_>]) {
    for round in 0..rounds {
        for contender in &mut *contenders {
            let time = (contender.run)(round);
            contender.times.push(time);
        }
    }
}

/// Prints each contender's median rate, and its ratio to those before the last.
fn report_rates(bytes: u64, contenders: &[Contender<'_>]) {
    let rate = |c: &Contender<'_>| bytes as f64 / MIB as f64 / c.median().as_secs_f64();
    for contender in contenders {
        let runs: Vec<u128> = contender.times.iter().map(Duration::as_millis).collect();
        println!(
            "{:<28} {:>8.1} MiB/s   runs {runs:?} ms",
            contender.name,
            rate(contender)
        );
    }
    let (last, limits) = contenders.split_last().expect("there are contenders");
    for limit in limits {
        println!(
            "{} / {}: {:.3}",
            last.name,
            limit.name,
            rate(last) / rate(limit)
        );
    }
}

fn timed<T>(what: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    let _ = what();
    started.elapsed()
}

fn settle() {
    rustix::fs::sync();
}

/// Uses so much memory once, as far as half of what is free, and gives it back: what is timed next gets it from the
/// kernel at once. A virtual machine whose host takes back what lies free has to ask for each page again, which costs
/// as much as copying it does, whoever happens to be the first.
fn warm(mib: u64) {
    let free = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = free.lines().find_map(|it| it.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok());
    let half = kib.map_or(0, |kib: u64| kib * 1024 / 2);
    let bytes = usize::try_from((mib * MIB).min(half)).expect("64 bits");
    std::hint::black_box(vec![1_u8; bytes]);
}

fn add(mib: u64, rounds: usize) {
    let place = Place::new();
    let file = place.file("file", 1, mib * MIB);
    settle();
    let cp = |round: usize| {
        let copy = place.path(&format!("copy-{round}"));
        let time = timed(|| {
            output(Command::new("cp").arg(&file).arg(&copy));
            output(Command::new("sync").arg("-f").arg(&copy));
        });
        std::fs::remove_file(copy).expect("it was just made");
        settle();
        time
    };
    let sha = |_| {
        timed(|| {
            std::hint::black_box(sha256(&file));
        })
    };
    let ours = |round: usize| {
        let repo = format!("repo-{round}");
        let time = timed(|| output(place.store(&repo).args(["add", "--quiet"]).arg(&file)));
        std::fs::remove_dir_all(place.path(&repo)).expect("it was just made");
        settle();
        time
    };
    let mut contenders = [
        Contender::new("cp + sync", cp),
        Contender::new("SHA-256 on one core", sha),
        Contender::new("store add", ours),
    ];
    race(rounds, &mut contenders);
    report_rates(mib * MIB, &contenders);
}

fn get(mib: u64, rounds: usize) {
    let place = Place::new();
    let file = place.file("file", 2, mib * MIB);
    let a = place.node("a", &[]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    settle();
    let memory = |_| timed(|| tcp_copy(std::io::repeat(7).take(mib * MIB), std::io::sink()));
    let copied = |round: usize| {
        let copy = place.path(&format!("copy-{round}"));
        let time = timed(|| {
            let (from, to) = (File::open(&file), File::create(&copy));
            tcp_copy(from.expect("it is there"), to.expect("it can be made"));
        });
        std::fs::remove_file(copy).expect("it was just made");
        settle();
        time
    };
    let ours = |round: usize| {
        let (repo, out) = (format!("b-{round}"), place.path(&format!("out-{round}")));
        let b = place.node(&repo, &["--bootstrap", a.tcp()]);
        // What is measured is the transfer: the node has met the other one before.
        support::eventually("they are connected", Duration::from_secs(10), || {
            let peers = output(place.store(&repo).args(["peers", "--json"]));
            (!peers.is_empty()).then_some(())
        });
        let mut get = place.store(&repo);
        let time = timed(|| output(get.args(["get", &cid, "-o"]).arg(&out)));
        same(&file, &out);
        assert!(b.stop().success());
        std::fs::remove_dir_all(place.path(&repo)).expect("it was just made");
        std::fs::remove_file(out).expect("it was just made");
        settle();
        time
    };
    let mut contenders = [
        Contender::new("TCP, memory to memory", memory),
        Contender::new("TCP, file to file", copied),
        Contender::new("store get", ours),
    ];
    race(rounds, &mut contenders);
    report_rates(mib * MIB, &contenders);
}

/// Sends all of `from` over a loopback connection into `to`.
fn tcp_copy(mut from: impl Read + Send, mut to: impl Write) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it listens");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            copy(&mut from, &mut stream);
        });
        let (mut stream, _) = listener.accept().expect("somebody connects");
        copy(&mut stream, &mut to);
    });
}

fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = from.read(&mut buffer).expect("it can be read");
        if n == 0 {
            return;
        }
        to.write_all(&buffer[..n]).expect("it can be written");
    }
}

fn car(mib: u64, rounds: usize) {
    let place = Place::new();
    let file = place.file("file", 3, mib * MIB);
    let archive = place.path("file.car");
    let cid = output(place.store("here").args(["add", "--quiet"]).arg(&file));
    output(
        place
            .store("here")
            .args(["car", "export", &cid, "-o"])
            .arg(&archive),
    );
    settle();
    let stored = |verb: &'static [&'static str], from: &'static str| {
        let (place, path) = (&place, place.path(from));
        move |round: usize| {
            let repo = format!("{}-{round}", verb[0]);
            let time = timed(|| output(place.store(&repo).args(verb).arg(&path)));
            std::fs::remove_dir_all(place.path(&repo)).expect("it was just made");
            settle();
            time
        }
    };
    let written = |verb: &'static [&'static str], same_as: &'static str| {
        let (place, cid) = (&place, &cid);
        move |_| {
            let out = place.path("out");
            let mut command = place.store("here");
            let time = timed(|| output(command.args(verb).arg(cid).arg("-o").arg(&out)));
            same(&place.path(same_as), &out);
            std::fs::remove_file(out).expect("it was just made");
            settle();
            time
        }
    };
    let mut into = [
        Contender::new("store add", stored(&["add", "--quiet"], "file")),
        Contender::new(
            "store car import",
            stored(&["car", "import", "--quiet"], "file.car"),
        ),
    ];
    race(rounds, &mut into);
    report_rates(mib * MIB, &into);
    let mut out_of = [
        Contender::new("store get -o", written(&["get"], "file")),
        Contender::new(
            "store car export -o",
            written(&["car", "export"], "file.car"),
        ),
    ];
    race(rounds, &mut out_of);
    report_rates(mib * MIB, &out_of);
}

fn small(rounds: usize) {
    let place = Place::new();
    let run = |repo: &str, round: usize| {
        let file = place.file("small", round as u64, 1024);
        timed(|| output(place.store(repo).args(["add", "--quiet"]).arg(file)))
    };
    output(place.store("alone").arg("init"));
    let served = place.node("served", &[]);
    let fresh = |round: usize| run(&format!("fresh-{round}"), round);
    let alone = |round: usize| run("alone", round);
    let beside = |round: usize| run("served", round);
    let mut contenders = [
        Contender::new("add of 1 KiB, a new repo", fresh),
        Contender::new("add of 1 KiB, no node", alone),
        Contender::new("add of 1 KiB, with a node", beside),
    ];
    race(rounds, &mut contenders);
    for contender in &contenders {
        let mut runs: Vec<f64> = contender
            .times
            .iter()
            .map(|t| t.as_secs_f64() * 1e3)
            .collect();
        runs.sort_by(f64::total_cmp);
        let (min, max) = (runs[0], runs[runs.len() - 1]);
        let median = contender.median().as_secs_f64() * 1e3;
        println!(
            "{:<28} median {median:.1} ms, min {min:.1}, max {max:.1}",
            contender.name
        );
    }
    assert!(served.stop().success());
}

/// Files that a directory of the tree has.
const IN_A_DIRECTORY: u64 = 200;

/// A tree of many files, added, added again unchanged, and looked at by `find`.
fn tree(mib: u64, files: u64, rounds: usize) {
    let place = Place::new();
    let size = (mib * MIB / files).max(1);
    for directory in 0..files.div_ceil(IN_A_DIRECTORY) {
        let name = format!("tree/{directory:05}");
        std::fs::create_dir_all(place.path(&name)).expect("it is ours");
        let first = directory * IN_A_DIRECTORY;
        for file in first..files.min(first + IN_A_DIRECTORY) {
            place.file(&format!("{name}/{file:07}"), file, size);
        }
    }
    settle();
    // Younger files are not trusted.
    std::thread::sleep(Duration::from_millis(2100));
    let tree = place.path("tree");
    let add = |repo: &str| {
        let mut command = place.store(repo);
        timed(|| output(command.args(["add", "--quiet"]).arg(&tree)))
    };
    let first = |round: usize| {
        let time = add(&format!("repo-{round}"));
        if round > 0 {
            std::fs::remove_dir_all(place.path(&format!("repo-{round}"))).expect("it is ours");
        }
        settle();
        time
    };
    let find = |_| {
        let mut command = Command::new("find");
        timed(|| output(command.arg(&tree).args(["-printf", "%p %s %T@ %C@ %i\\n"])))
    };
    let again = |_| add("repo-0");
    let mut contenders = [
        Contender::new("first add", first),
        Contender::new("find -printf", find),
        Contender::new("second add", again),
    ];
    race(rounds, &mut contenders);
    for contender in &contenders {
        let runs: Vec<u128> = contender.times.iter().map(Duration::as_millis).collect();
        println!(
            "{:<14} {:>7.2} s   runs {runs:?} ms",
            contender.name,
            contender.median().as_secs_f64()
        );
    }
    let [first, find, again] = contenders.each_ref().map(|c| c.median().as_secs_f64());
    println!(
        "{files} files of {size} bytes: first add / second add {:.1}",
        first / again
    );
    println!(
        "second add - 2 x find: {:.2} s (at most 0.5)",
        again - 2.0 * find
    );
}

/// What a store takes on disk while half of it is exchanged ten times.
fn space(mib: u64) {
    for (mib, chunker) in [(mib, "size-1048576"), (mib / 4, "size-4096")] {
        println!("{mib} MiB, --chunker {chunker}: bytes on disk for each stored one");
        let samples = rounds::rounds(&Place::new(), 10, mib, chunker);
        for after in ["add", "pin rm", "gc"] {
            let of_it = samples.iter().filter(|sample| sample.after == after);
            let figures: Vec<f64> = of_it.map(rounds::Sample::amplification).collect();
            let most = figures.iter().copied().fold(0.0, f64::max);
            let list: Vec<String> = figures
                .iter()
                .map(|figure| format!("{figure:.3}"))
                .collect();
            println!("after {after:<7} at most {most:.3}   {}", list.join(" "));
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: u64| {
        let value = args
            .iter()
            .position(|arg| arg == name)
            .and_then(|at| args.get(at + 1));
        value.map_or(default, |text| text.parse().expect("a number"))
    };
    let text = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let rounds_of =
        |name: &str, default| usize::try_from(option(name, default)).expect("a small number");
    let mib = option("--mib", 1024);
    let rounds = |default| usize::try_from(option("--runs", default)).expect("a small number");
    match args.first().map(String::as_str) {
        Some("add") => add(mib, rounds(5)),
        Some("get") => get(mib, rounds(5)),
        Some("tree") => tree(mib, option("--files", 100_000), rounds(3)),
        Some("small") => small(rounds(31)),
        Some("gc") => gc::run(&Place::new().path(""), option("--blocks", 1_000_000)),
        Some("car") => car(mib, rounds(5)),
        Some("space") => space(mib),
        Some("first") => first::byte(option("--mib", 4096), rounds(21)),
        Some("stdin") => many::run(option("--cids", 10_000), rounds(3)),
        Some("swarm") => {
            let rates = text("--rates").unwrap_or_else(|| "100,100,100,100".to_owned());
            let rates = rates.split(',').map(|rate| rate.parse().expect("Mbit/s"));
            let fault = text("--fault").map(|name| (swarm::Fault::named(&name), option("--at", 5)));
            let plan = swarm::Plan {
                mib,
                rates: rates.collect(),
                halves: args.iter().any(|arg| arg == "--halves"),
                fault,
            };
            swarm::swarm(&plan, rounds(1));
        }
        Some("fan") => swarm::fan(
            option("--mib", 128),
            option("--mbit", 50),
            rounds_of("--downloaders", 8),
        ),
        Some("copies") => copies::run(&args[1..]),
        _ => {
            let _ = writeln!(
                std::io::stderr(),
                "usage: bench add|get|car|small|tree|gc|space|first|stdin|swarm|fan [--mib N] [--runs R] [--files F] \
                 [--blocks N] [--cids N]\n       bench swarm [--rates 100,100,…] [--halves] [--fault kill|stall|slow|return --at S]\n       \
                 bench fan [--mbit N] [--downloaders N]\n       bench copies histories|quorum|large|sight|rot|liars|fetch [--seed N] …"
            );
            std::process::exit(2);
        }
    }
}
