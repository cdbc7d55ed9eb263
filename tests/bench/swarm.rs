//! Several nodes with limited uplinks, in network namespaces around a routing one: `bench swarm` and
//! `bench fan`. Needs root, `ip` and `tc`; touches no interface of the machine itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::net::Net;
use super::support::{Node, Place, eventually, finish, leaves, output, same, signal};
use super::{MIB, settle};
use rustix::process::Signal;

/// What befalls the first provider under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    /// It is stopped: its connections stay, nothing comes.
    Stall,
    /// Its uplink has a hundredth of its rate left.
    Slow,
    /// It is killed, and is there again ten seconds later.
    Return,
}

impl Fault {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "kill" => Self::Kill,
            "stall" => Self::Stall,
            "slow" => Self::Slow,
            "return" => Self::Return,
            other => panic!("`{other}` is no fault: kill, stall, slow and return are"),
        }
    }
}

/// One run of `bench swarm`.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) mib: u64,
    /// Uplinks of the providers in Mbit/s.
    pub(super) rates: Vec<u64>,
    /// Each provider holds a random half of the leaves, all together hold all.
    pub(super) halves: bool,
    /// After so many seconds.
    pub(super) fault: Option<(Fault, u64)>,
}

/// One downloader, several providers.
pub(super) fn swarm(plan: &Plan, rounds: usize) {
    for _ in 0..rounds {
        once(plan);
    }
}

/// Providers that have the content, and a downloader that is connected to all of them.
struct Scene {
    place: Place,
    file: PathBuf,
    net: Net,
    cid: String,
    providers: Vec<Node>,
    _downloader: Node,
}

impl Scene {
    fn new(plan: &Plan) -> Self {
        let place = Place::new();
        let file = place.file("file", 7, plan.mib * MIB);
        let limits = plan.rates.iter().copied().map(Some);
        let net = Net::new(&[None].into_iter().chain(limits).collect::<Vec<_>>());
        let mut cid = String::new();
        let mut providers: Vec<Node> = Vec::new();
        for i in 1..=plan.rates.len() {
            let repo = format!("p{i}");
            let mut add = net.store(&place, i, &repo);
            cid = output(add.args(["add", "--quiet", "--no-pin"]).arg(&file));
            if plan.halves {
                remove_half(&net, &place, i, plan);
            }
            let known = providers.first().map(|node| node.addresses[0].clone());
            let known: Vec<String> = known.into_iter().collect();
            providers.push(net.node(&place, i, &repo, &known));
        }
        let everybody: Vec<String> = providers
            .iter()
            .map(|node| node.addresses[0].clone())
            .collect();
        let downloader = net.node(&place, 0, "d", &everybody);
        eventually("all are connected", Duration::from_secs(30), || {
            let peers = output(net.store(&place, 0, "d").args(["peers", "--json"]));
            (peers.lines().count() >= plan.rates.len()).then_some(())
        });
        settle();
        Self {
            place,
            file,
            net,
            cid,
            providers,
            _downloader: downloader,
        }
    }
}

fn once(plan: &Plan) {
    let mut scene = Scene::new(plan);
    let (place, net) = (&scene.place, &scene.net);

    let before = net.received(0);
    let over = AtomicBool::new(false);
    let out = place.path("out");
    let (took, span) = thread::scope(|scope| {
        let watched = scope.spawn(|| watch(net, before, &over));
        let mut get = net.store(place, 0, "d");
        get.args(["get", &scene.cid, "--timeout", "120s", "-o"])
            .arg(&out);
        let began = Instant::now();
        if let Some((fault, after)) = plan.fault {
            let rate = plan.rates[0];
            let first = scene.providers.remove(0);
            scope.spawn(move || befall(net, place, first, fault, after, rate));
        }
        let got = finish(&mut get);
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        assert!(got.status.success(), "{}", got.stderr);
        (took, watched.join().expect("it only reads"))
    });
    same(&scene.file, &out);
    report(plan, net, before, took, span);
}

fn report(plan: &Plan, net: &Net, before: u64, took: Duration, span: Duration) {
    let bytes = (plan.mib * MIB) as f64;
    let full = plan.rates.iter().sum::<u64>() as f64 * 1e6 / 8.0;
    let share = |time: Duration| 100.0 * bytes / time.as_secs_f64() / full;
    let halves = if plan.halves { ", random halves" } else { "" };
    let fault = plan.fault.map_or_else(String::new, |(fault, after)| {
        format!(", {fault:?} after {after} s")
    });
    println!(
        "{:?} Mbit/s{halves}{fault}: {:.1} s; {:.1} % of the sum of uplinks for the whole command, \
         {:.1} % from first to last byte; {:.3} of the file on the wire, {:.3} in blocks",
        plan.rates,
        took.as_secs_f64(),
        share(took),
        share(span),
        (net.received(0) - before) as f64 / bytes,
        net.blocks_received(0) as f64 / bytes,
    );
    if let Some((fault, after)) = plan.fault {
        let cost = took.as_secs_f64() - allowed(plan, fault, after as f64);
        println!(
            "  it cost {cost:.1} s against what the remaining uplinks allow (at 94 % of their rate)"
        );
    }
}

/// How long the whole takes at 94 % of what the uplinks carry, headers and encryption being the rest.
fn allowed(plan: &Plan, fault: Fault, after: f64) -> f64 {
    let rate = |mbit: f64| mbit * 1e6 / 8.0 * 0.94;
    let all = rate(plan.rates.iter().sum::<u64>() as f64);
    let first = plan.rates[0] as f64;
    let rest = all
        - rate(if fault == Fault::Slow {
            first * 0.99
        } else {
            first
        });
    let left = (plan.mib * MIB) as f64 - all * after;
    match fault {
        Fault::Return if left > rest * 10.0 => after + 10.0 + (left - rest * 10.0) / all,
        _ => after + left / rest,
    }
}

fn befall(net: &Net, place: &Place, node: Node, fault: Fault, after: u64, rate: u64) {
    thread::sleep(Duration::from_secs(after));
    match fault {
        Fault::Kill => node.kill(),
        Fault::Stall => {
            // `ip netns exec` has become the command that it runs.
            signal(node.child(), Signal::STOP);
            // It stays so until everything is over; dropping it ends it.
            thread::sleep(Duration::from_secs(30));
        }
        Fault::Slow => {
            net.limit("change", 1, (rate / 100).max(1));
            thread::sleep(Duration::from_secs(30));
        }
        Fault::Return => {
            let address = node.addresses[0].clone();
            node.kill();
            thread::sleep(Duration::from_secs(10));
            let again = net.node(place, 1, "p1", &[]);
            assert_eq!(again.addresses[0], address, "it is the same peer");
            thread::sleep(Duration::from_secs(60));
        }
    }
}

/// From the first bytes of the content to the last, as the interface sees them.
fn watch(net: &Net, before: u64, over: &AtomicBool) -> Duration {
    const SOME: u64 = 128 << 10;
    let began = Instant::now();
    let mut seen = Vec::new();
    while !over.load(Ordering::Relaxed) {
        seen.push((began.elapsed(), net.received(0) - before));
        thread::sleep(Duration::from_millis(20));
    }
    let total = net.received(0) - before;
    let at = |bytes: u64| {
        seen.iter()
            .find(|(_, b)| *b >= bytes)
            .map_or(began.elapsed(), |(at, _)| *at)
    };
    at(total.saturating_sub(SOME)).saturating_sub(at(SOME))
}

/// Removes leaves of provider `i` so that it holds about a half, and each leaf stays with two of four.
fn remove_half(net: &Net, place: &Place, i: usize, plan: &Plan) {
    let mut gone = Vec::new();
    for (number, leaf) in leaves(&place.path("file")).into_iter().enumerate() {
        // Two holders by a hash of the number: a random half for each, none left out.
        let mix = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let providers = plan.rates.len() as u64;
        let (one, step) = (mix % providers, 1 + (mix >> 8) % (providers - 1));
        let holders = [one, (one + step) % providers];
        if !holders.contains(&(i as u64 - 1)) {
            gone.push(leaf);
        }
    }
    for some in gone.chunks(256) {
        output(
            net.store(place, i, &format!("p{i}"))
                .args(["block", "rm"])
                .args(some),
        );
    }
}

/// One provider, several downloaders at once: when the last one is done.
pub(super) fn fan(mib: u64, mbit: u64, downloaders: usize) {
    let place = Place::new();
    let file = place.file("file", 8, mib * MIB);
    let rates: Vec<Option<u64>> = (0..=downloaders).map(|_| Some(mbit)).collect();
    let net = Net::new(&rates);
    let provider = net.node(&place, 0, "p", &[]);
    let cid = output(
        net.store(&place, 0, "p")
            .args(["add", "--quiet"])
            .arg(&file),
    );
    let known = [provider.addresses[0].clone()];
    let nodes: Vec<Node> = (1..=downloaders)
        .map(|i| net.node(&place, i, &format!("d{i}"), &known))
        .collect();
    for i in 1..=downloaders {
        eventually("it is connected", Duration::from_secs(30), || {
            let peers = output(
                net.store(&place, i, &format!("d{i}"))
                    .args(["peers", "--json"]),
            );
            (!peers.is_empty()).then_some(())
        });
    }
    settle();
    let began = Instant::now();
    let mut times: Vec<f64> = thread::scope(|scope| {
        let get = |i: usize| {
            let (net, place, cid) = (&net, &place, &cid);
            move || {
                let mut get = net.store(place, i, &format!("d{i}"));
                get.args(["get", cid, "--timeout", "120s", "-o"])
                    .arg(place.path(&format!("out{i}")));
                output(&mut get);
                began.elapsed().as_secs_f64()
            }
        };
        let running: Vec<_> = (1..=downloaders).map(|i| scope.spawn(get(i))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("it got it"))
            .collect()
    });
    for i in 1..=downloaders {
        same(&file, &place.path(&format!("out{i}")));
    }
    times.sort_by(f64::total_cmp);
    let one = (mib * MIB) as f64 / (mbit as f64 * 1e6 / 8.0);
    let (first, last) = (times[0], times[times.len() - 1]);
    println!(
        "{mib} MiB from one uplink of {mbit} Mbit/s to {downloaders}: the first after {first:.1} s, the last after \
         {last:.1} s: {:.2} of the {one:.1} s that one copy needs",
        last / one
    );
    drop(nodes);
}
