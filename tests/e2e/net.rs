//! Network namespaces with nodes in them. Needs root, `ip` and `tc`; touches no interface of the machine
//! itself.

use std::process::{Command, Stdio};

use crate::support::{Node, Place, command, output, program};

/// Namespaces around a routing one, each with one interface. Gone when dropped.
pub struct Net {
    name: String,
    count: usize,
}

impl Net {
    /// Whether they can be made here.
    pub fn is_possible() -> bool {
        let name = format!("st{}p", std::process::id() % 100_000);
        let made = |verb: &str| {
            let mut ip = Command::new("ip");
            ip.args(["netns", verb, &name]).stderr(Stdio::null());
            ip.status().is_ok_and(|status| status.success())
        };
        made("add") && made("del")
    }

    /// One for each of `rates`: its uplink in Mbit/s, where it has a limit.
    pub fn new(rates: &[Option<u64>]) -> Self {
        let name = format!("st{}", std::process::id() % 100_000);
        let net = Self {
            name,
            count: rates.len(),
        };
        let router = net.router();
        run(&["ip", "netns", "add", &router]);
        run(&[
            "ip",
            "netns",
            "exec",
            &router,
            "sysctl",
            "-qw",
            "net.ipv4.ip_forward=1",
        ]);
        for (i, rate) in rates.iter().enumerate() {
            let (ns, far) = (net.ns(i), format!("v{i}"));
            run(&["ip", "netns", "add", &ns]);
            run(&[
                "ip", "link", "add", "e0", "netns", &ns, "type", "veth", "peer", "name", &far,
                "netns", &router,
            ]);
            let (near_address, far_address) =
                (format!("{}/24", address(i)), format!("10.88.{i}.1/24"));
            run(&[
                "ip",
                "-n",
                &router,
                "addr",
                "add",
                &far_address,
                "dev",
                &far,
            ]);
            run(&["ip", "-n", &router, "link", "set", &far, "up"]);
            run(&["ip", "-n", &ns, "addr", "add", &near_address, "dev", "e0"]);
            run(&["ip", "-n", &ns, "link", "set", "e0", "up"]);
            run(&["ip", "-n", &ns, "link", "set", "lo", "up"]);
            run(&[
                "ip",
                "-n",
                &ns,
                "route",
                "add",
                "default",
                "via",
                &format!("10.88.{i}.1"),
            ]);
            if let Some(rate) = rate {
                net.limit("add", i, *rate);
            }
        }
        net
    }

    /// Limits the uplink of namespace `i`: `verb` is `add` or `change`.
    pub fn limit(&self, verb: &str, i: usize, mbit: u64) {
        let rate = format!("{mbit}mbit");
        let ns = self.ns(i);
        let tc = [
            "ip", "netns", "exec", &ns, "tc", "qdisc", verb, "dev", "e0", "root", "tbf",
        ];
        run(&[
            &tc[..],
            &["rate", &rate, "burst", "256kb", "latency", "50ms"],
        ]
        .concat());
    }

    /// Limits what comes to namespace `i`.
    pub fn limit_down(&self, i: usize, mbit: u64) {
        let (rate, far) = (format!("{mbit}mbit"), format!("v{i}"));
        let tc = [
            "ip",
            "netns",
            "exec",
            &self.router(),
            "tc",
            "qdisc",
            "add",
            "dev",
            &far,
            "root",
            "tbf",
        ];
        run(&[
            &tc[..],
            &["rate", &rate, "burst", "256kb", "latency", "50ms"],
        ]
        .concat());
    }

    /// Any program, in namespace `i`.
    pub fn command(&self, i: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns(i)]).arg(program);
        command
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    fn ns(&self, i: usize) -> String {
        format!("{}n{i}", self.name)
    }

    /// A command of ours on `repo`, in namespace `i`.
    pub fn store(&self, place: &Place, i: usize, repo: &str) -> Command {
        let mut command = command("ip", &place.path(repo));
        command.args(["netns", "exec", &self.ns(i)]).arg(program());
        command
    }

    /// A node on `repo`, in namespace `i`, at port 4001.
    pub fn node(&self, place: &Place, i: usize, repo: &str, bootstrap: &[String]) -> Node {
        Node::start(self.run(place, i, repo, bootstrap))
    }

    /// The command that is such a node.
    pub fn run(&self, place: &Place, i: usize, repo: &str, bootstrap: &[String]) -> Command {
        let mut command = self.store(place, i, repo);
        command.args(["run", "--no-mdns", "--listen"]);
        command.arg(format!("/ip4/{}/tcp/4001", address(i)));
        command.env("STORE_METRICS_ADDRESS", "127.0.0.1:9090");
        for peer in bootstrap {
            command.args(["--bootstrap", peer]);
        }
        command
    }

    /// Nothing goes between some and others any more: the routing namespace drops it without a word.
    pub fn cut(&self, some: &[usize], others: &[usize]) {
        self.rules("add", some, others);
    }

    /// Undoes [`Net::cut`].
    pub fn heal(&self, some: &[usize], others: &[usize]) {
        self.rules("del", some, others);
    }

    fn rules(&self, verb: &str, some: &[usize], others: &[usize]) {
        let router = self.router();
        let pairs = some.iter().flat_map(|i| others.iter().map(move |j| (i, j)));
        for (i, j) in pairs.flat_map(|(i, j)| [(i, j), (j, i)]) {
            let (from, to) = (format!("10.88.{i}.0/24"), format!("10.88.{j}.0/24"));
            let rule = ["from", &from, "to", &to, "blackhole"];
            run(&[&["ip", "-n", &router, "rule", verb][..], &rule].concat());
        }
    }

    /// Bytes that have come to the interface of namespace `i`.
    pub fn received(&self, i: usize) -> u64 {
        let ns = self.ns(i);
        let file = "/sys/class/net/e0/statistics/rx_bytes";
        let text = run(&["ip", "netns", "exec", &ns, "cat", file]);
        text.trim().parse().expect("a number")
    }

    /// Bytes of blocks that peers sent to the node in namespace `i`, as it counts them itself.
    pub fn blocks_received(&self, i: usize) -> u64 {
        let ns = self.ns(i);
        let ask = "exec 3<>/dev/tcp/127.0.0.1/9090; \
                   printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
        let text = run(&["ip", "netns", "exec", &ns, "bash", "-c", ask]);
        let mut lines = text.lines();
        let line = lines.find(|l| l.starts_with("store_exchange_bytes_total{direction=\"in\"}"));
        line.and_then(|line| line.split_whitespace().last()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for i in 0..self.count {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.ns(i)])
                .status();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.router()])
            .status();
    }
}

/// Where namespace `i` is.
pub fn address(i: usize) -> String {
    format!("10.88.{i}.2")
}

fn run(args: &[&str]) -> String {
    output(Command::new(args[0]).args(&args[1..]))
}
