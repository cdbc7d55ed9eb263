//! `bench copies fetch`: one that keeps no leaves, and fetches those that it is asked for over a slow link.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Words;
use crate::MIB;
use crate::fleet::contents::{Ended, add};
use crate::fleet::liar::{self, Asked, Lie};
use crate::fleet::{Plan, Swarm};
use crate::net::address;

/// Honest ones.
const MEMBERS: usize = 2;
/// Leaves of each content, of 1 MiB.
const LEAVES: u64 = 40;
/// Given up after this.
const LIMIT: Duration = Duration::from_secs(1800);

/// Challenges that were answered, and those that were late.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    late: u64,
}

pub(super) fn run(words: &Words<'_>) -> bool {
    let mbit = words.number("--mbit", 100);
    let contents = words.number("--contents", 12);
    let swarm = Swarm::new(Plan {
        members: MEMBERS,
        scale: words.number("--scale", 3600),
        quota: contents * LEAVES * MIB * 4,
        is_apart: true,
        strangers: 1,
        settings: vec![(
            "STORE_LOG_LEVEL",
            "info,store_node::replication=debug".into(),
        )],
        ..Plan::default()
    });
    let net = swarm.net.as_ref().expect("they are in namespaces");
    net.limit_down(MEMBERS, mbit);
    let mut liar = Fetcher::start(&swarm);
    swarm.sees(&liar.peer);
    let flags = ["--replicas", "3", "--wait", "all"];
    for n in 0..contents {
        let added = add(&swarm, 0, n, LEAVES * MIB, &flags);
        if added.ended != Ended::Acknowledged {
            println!("before anything is asked: {}", added.said);
            return false;
        }
    }
    let wanted = words.number("--challenges", 30);
    // Of the one that fetches and of the honest ones; of all leaves and of few.
    let (mut theirs, mut honest) = ([Count::default(); 2], [Count::default(); 2]);
    let began = Instant::now();
    while theirs[0].all < wanted && began.elapsed() < LIMIT {
        thread::sleep(Duration::from_secs(1));
        for line in (0..MEMBERS).flat_map(|i| swarm.log(i)) {
            let of = if line.contains(&liar.peer) {
                &mut theirs
            } else {
                &mut honest
            };
            count(&line, of);
        }
    }
    let trust = (0..MEMBERS).map(|i| swarm.status(i)["doubted"][0]["trust"].clone());
    let trust: Vec<_> = trust.collect();
    let share = |count: Count| 100.0 * count.late as f64 / count.all.max(1) as f64;
    println!(
        "over {mbit} Mbit/s: of 32 leaves late {:.1} % of {}, of 8 leaves {:.1} % of {}; honest: {:.1} % of {}, {:.1} % of {}; \
         trusted to {trust:?} % after {:.0} s",
        share(theirs[0]),
        theirs[0].all,
        share(theirs[1]),
        theirs[1].all,
        share(honest[0]),
        honest[0].all,
        share(honest[1]),
        honest[1].all,
        began.elapsed().as_secs_f64()
    );
    liar.end();
    theirs[0].all >= wanted && theirs[0].late * 10 >= theirs[0].all * 9
}

/// Takes in a line of the log in which the end of a challenge is told.
fn count(line: &str, counts: &mut [Count; 2]) {
    let (Some(at), Some(leaves)) = (line.find("outcome="), line.find("leaves=")) else {
        return;
    };
    let is_full = line[leaves..].starts_with("leaves=32");
    let outcome = &line[at + "outcome=".len()..];
    let count = &mut counts[usize::from(!is_full)];
    if outcome.starts_with("Right") || outcome.starts_with("Late") {
        count.all += 1;
        count.late += u64::from(outcome.starts_with("Late"));
    } else {
        println!("  {line}");
    }
}

/// The liar, in the namespace behind those of the members: this program, started again.
struct Fetcher {
    child: Child,
    peer: String,
}

impl Fetcher {
    fn start(swarm: &Swarm) -> Self {
        let net = swarm.net.as_ref().expect("they are in namespaces");
        let program = std::env::current_exe().expect("it runs");
        let mut command = net.command(MEMBERS, &program);
        command.args(["copies", "liar", "fetches", &swarm.key]);
        command.arg(swarm.place.path("liar"));
        command.arg(format!("/ip4/{}/tcp/4001", address(MEMBERS)));
        command.args(swarm.all_known());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let peer = lines.next().expect("it says who it is");
        // What it says of itself is for people.
        thread::spawn(move || {
            let mut slowest = 0;
            for line in lines {
                let took = line.rsplit(' ').next().and_then(|it| it.parse().ok());
                slowest = slowest.max(took.unwrap_or(0_u64));
            }
            println!("  its slowest answer took {slowest} ms");
        });
        Self { child, peer }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.end();
    }
}

/// `bench copies liar LIE KEY REPO LISTEN KNOWN…`: the liar itself, until it is killed.
pub(super) fn be_liar(words: &[String]) {
    let [lie, key, repo, listen, known @ ..] = words else {
        panic!("bench copies liar LIE KEY REPO LISTEN KNOWN…");
    };
    let plan = liar::Plan {
        lie: Lie::named(lie).expect("the name of a lie"),
        key: key.clone(),
        listen: listen.clone(),
        known: known.to_vec(),
        room: 8 << 30,
        zone: "z0".into(),
    };
    let asked = |asked| {
        if let Asked::Leaves(count, took) = asked {
            println!("{count} {}", took.as_millis());
        }
    };
    let (_stop, stopped) = tokio::sync::oneshot::channel();
    let running = liar::run(
        plan,
        Path::new(repo),
        |peer| println!("{peer}"),
        asked,
        stopped,
    );
    liar::runtime().block_on(running);
}
