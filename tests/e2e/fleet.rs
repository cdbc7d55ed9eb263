//! Whole swarms of real processes: members of one private swarm with zones and quotas, in network namespaces of their
//! own or all on loopback, killed and started again. Shared with `bench copies`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::net::Net;
use crate::support::{ALONE, Node, Place, command, eventually, finish, output, program};

// By path: the benchmarks have this file from here, and look elsewhere for what is below it.
#[path = "fleet/contents.rs"]
pub mod contents;
#[path = "fleet/history.rs"]
pub mod history;
#[path = "fleet/liar.rs"]
pub mod liar;
#[path = "fleet/lies.rs"]
pub mod lies;
#[path = "fleet/rot.rs"]
pub mod rot;

/// Until all members know each other, on a machine with other things to do.
const MET: Duration = Duration::from_secs(180);

pub const MIB: u64 = 1 << 20;

/// What a swarm is made of.
pub struct Plan {
    pub members: usize,
    /// So many failure domains, by turns.
    pub zones: usize,
    /// By what all waits of replication are divided.
    pub scale: u64,
    /// `storage.quota` of each: however full this machine's disk is, members have room.
    pub quota: u64,
    /// In namespaces of their own, or all on loopback.
    pub is_apart: bool,
    /// Namespaces for others beside them.
    pub strangers: usize,
    /// Further settings of each, as the environment has them.
    pub settings: Vec<(&'static str, String)>,
}

impl Default for Plan {
    /// Three members on loopback, with the waits that there are.
    fn default() -> Self {
        Self {
            members: 3,
            zones: 1,
            scale: 1,
            quota: 1 << 30,
            is_apart: false,
            strangers: 0,
            settings: Vec::new(),
        }
    }
}

/// Nodes of one private swarm, each on its repo `0`, `1`, ….
pub struct Swarm {
    // Dropped in this order: who runs in a namespace or has files open goes first.
    nodes: Vec<Mutex<Option<Node>>>,
    up: Vec<AtomicBool>,
    addresses: Vec<Mutex<Option<String>>>,
    pub net: Option<Net>,
    pub place: Place,
    pub key: String,
    plan: Plan,
}

impl Swarm {
    /// All are started, and know each other with the room that they have.
    pub fn new(plan: Plan) -> Self {
        let place = Place::new();
        let count = plan.members;
        let net = plan
            .is_apart
            .then(|| Net::new(&vec![None; count + plan.strangers]));
        let key = output(place.store("0").args(["swarm", "init", "--quiet"]));
        for i in 1..count {
            output(place.store(&i.to_string()).args(["swarm", "join", &key]));
        }
        let swarm = Self {
            nodes: (0..count).map(|_| Mutex::new(None)).collect(),
            up: (0..count).map(|_| AtomicBool::new(false)).collect(),
            addresses: (0..count).map(|_| Mutex::new(None)).collect(),
            net,
            place,
            key,
            plan,
        };
        for i in 0..count {
            swarm.start(i);
        }
        swarm.meet();
        swarm
    }

    pub fn len(&self) -> usize {
        self.plan.members
    }

    /// The members of a zone.
    pub fn zone(&self, zone: usize) -> Vec<usize> {
        let of_it = |i: &usize| i % self.plan.zones == zone;
        (0..self.len()).filter(of_it).collect()
    }

    /// Where the others are, or were.
    fn known(&self, but: usize) -> Vec<String> {
        let others = self.addresses.iter().enumerate().filter(|(i, _)| *i != but);
        others
            .filter_map(|(_, address)| address.lock().expect("nobody panics with it").clone())
            .collect()
    }

    /// Starts a member that is not there.
    pub fn start(&self, i: usize) {
        let (repo, known) = (i.to_string(), self.known(i));
        let mut run = if let Some(net) = &self.net {
            net.run(&self.place, i, &repo, &known)
        } else {
            let mut run = self.place.store(&repo);
            run.arg("run").args(ALONE);
            for peer in &known {
                run.args(["--bootstrap", peer]);
            }
            run
        };
        run.args(["--tag", &format!("zone=z{}", i % self.plan.zones)]);
        run.env("STORE_STORAGE_QUOTA", self.plan.quota.to_string());
        let scale = self.plan.scale.to_string();
        run.env("STORE_REPLICATION_TIME_SCALE", scale);
        for (name, value) in &self.plan.settings {
            run.env(name, value);
        }
        let node = Node::start(run);
        let address = node.address("/ip4/").to_owned();
        *self.addresses[i].lock().expect("nobody panics with it") = Some(address);
        *self.nodes[i].lock().expect("nobody panics with it") = Some(node);
        self.up[i].store(true, Ordering::SeqCst);
    }

    /// Starts all of these at once.
    pub fn start_all(&self, these: &[usize]) {
        thread::scope(|scope| {
            for i in these {
                scope.spawn(|| self.start(*i));
            }
        });
    }

    /// Ends these as a crash would (SIGKILL), one right after the other.
    pub fn kill(&self, these: &[usize]) {
        let take = |i: &usize| {
            self.up[*i].store(false, Ordering::SeqCst);
            self.nodes[*i].lock().expect("nobody panics with it").take()
        };
        let dying: Vec<Node> = these.iter().filter_map(take).collect();
        for node in dying {
            node.kill();
        }
    }

    /// Has these end in order, one after the other: what they have is in files then.
    pub fn stop(&self, these: &[usize]) {
        for i in these {
            self.up[*i].store(false, Ordering::SeqCst);
            let node = self.nodes[*i].lock().expect("nobody panics with it").take();
            let ended = node.map(Node::stop);
            assert!(ended.is_none_or(|it| it.success()), "member {i} ends well");
        }
    }

    /// What a member has logged since this was last asked.
    pub fn log(&self, i: usize) -> Vec<String> {
        let node = self.nodes[i].lock().expect("nobody panics with it");
        node.as_ref().map(Node::log).unwrap_or_default()
    }

    /// The addresses of all that were started.
    pub fn all_known(&self) -> Vec<String> {
        self.known(usize::MAX)
    }

    /// Waits until each that is up sees this peer, alive.
    pub fn sees(&self, peer: &str) {
        for i in (0..self.len()).filter(|i| self.is_up(*i)) {
            eventually("a newcomer is known", MET, || {
                let (members, _) = self.json(i, &["members"]);
                let is_it = |it: &&Value| it["peer"] == peer && it["health"] == "alive";
                members.iter().any(|it| is_it(&it)).then_some(())
            });
        }
    }

    pub fn is_up(&self, i: usize) -> bool {
        self.up[i].load(Ordering::SeqCst)
    }

    /// The address of a member, with its peer id.
    pub fn address(&self, i: usize) -> String {
        let address = self.addresses[i].lock().expect("nobody panics with it");
        address.clone().expect("it was started")
    }

    /// A command beside member `i`.
    pub fn store(&self, i: usize) -> std::process::Command {
        let repo = i.to_string();
        match &self.net {
            Some(net) => net.store(&self.place, i, &repo),
            None => command(program(), &self.place.path(&repo)),
        }
    }

    /// The objects that a command prints, and its exit code.
    pub fn json(&self, i: usize, args: &[&str]) -> (Vec<Value>, i32) {
        let finished = finish(self.store(i).arg("--json").args(args));
        let text = String::from_utf8_lossy(&finished.stdout);
        let objects = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        (objects.collect(), finished.code())
    }

    /// `store status` of a member that runs.
    pub fn status(&self, i: usize) -> Value {
        let (mut told, code) = self.json(i, &["status"]);
        assert_eq!(code, 0, "member {i} says how it is");
        told.pop().expect("a status")
    }

    /// Waits until each that is up sees all that are up, with room.
    pub fn meet(&self) {
        let up: Vec<usize> = (0..self.len()).filter(|i| self.is_up(*i)).collect();
        for i in &up {
            eventually("members know each other", MET, || {
                let (members, _) = self.json(*i, &["members"]);
                let is_ready = |it: &&Value| {
                    it["health"] == "alive" && it["free"].as_u64().is_some_and(|free| free > 0)
                };
                (members.iter().filter(is_ready).count() >= up.len()).then_some(())
            });
        }
    }

    /// Bytes that came to all interfaces since these were made; 0 on loopback.
    pub fn received(&self) -> u64 {
        let net = self.net.as_ref();
        net.map_or(0, |net| (0..self.len()).map(|i| net.received(i)).sum())
    }

    /// Segments that each member holds, by its own count.
    pub fn held(&self) -> Vec<u64> {
        let held = |i| self.status(i)["held_segments"].as_u64();
        (0..self.len())
            .map(|i| held(i).expect("a number"))
            .collect()
    }

    /// The last lines that each member logged, for whoever looks for the reason.
    pub fn print_logs(&self, lines: usize) {
        for (i, node) in self.nodes.iter().enumerate() {
            let node = node.lock().expect("nobody panics with it");
            let log = node.as_ref().map(Node::log).unwrap_or_default();
            for line in &log[log.len().saturating_sub(lines)..] {
                println!("  {i}: {line}");
            }
        }
    }
}

/// Numbers by a seed (`SplitMix64`).
pub struct Lots(pub u64);

impl Lots {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to below `beyond`.
    pub fn within(&mut self, least: u64, beyond: u64) -> u64 {
        least + self.draw() % (beyond - least)
    }

    /// One of so many.
    pub fn one(&mut self, of: usize) -> usize {
        usize::try_from(self.within(0, of as u64)).expect("less than `of`")
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let other = self.one(i + 1);
            items.swap(i, other);
        }
    }
}

/// As people read it.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
