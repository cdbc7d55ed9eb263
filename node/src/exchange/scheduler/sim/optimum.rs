//! The least time that downloads can take, by what the links can carry: no scheduler does better.
//!
//! Leaves that only some peers hold must leave those at least once; all copies together must leave
//! somebody; and each downloader must take in the whole. The largest of these is the bound, after the
//! search and two round trips.

use std::time::Duration;

use super::super::Time;
use super::dag::Dag;
use super::node::{Fault, Node};
use super::world::SEARCH;

impl Node {
    /// When what it sends changes.
    fn changes(&self) -> Vec<f64> {
        let times = match &self.fault {
            Some(Fault::Killed(at, back) | Fault::Stalls(at, back)) => vec![Some(*at), *back],
            Some(Fault::Slows(at)) => vec![Some(*at)],
            _ => Vec::new(),
        };
        let times = times.into_iter().flatten().chain([self.appears]);
        times.map(|at| at.as_secs_f64()).collect()
    }

    /// Bytes per second that it can give at a time.
    fn gives(&self, now: f64) -> f64 {
        let up = self.up as f64;
        if now < self.appears.as_secs_f64() {
            return 0.0;
        }
        match &self.fault {
            Some(Fault::Killed(at, back) | Fault::Stalls(at, back)) => {
                let back = back.map_or(f64::INFINITY, |back| back.as_secs_f64());
                if now >= at.as_secs_f64() && now < back {
                    0.0
                } else {
                    up
                }
            }
            Some(Fault::Slows(at)) if now >= at.as_secs_f64() => up / 100.0,
            Some(Fault::Lies(_) | Fault::Dead | Fault::Rides) => 0.0,
            // It waits as often as it gives.
            Some(Fault::Busy) => up / 2.0,
            _ => up,
        }
    }
}

/// How long until these have sent so many bytes.
fn takes(senders: &[&Node], bytes: f64) -> f64 {
    let mut times: Vec<f64> = senders.iter().flat_map(|node| node.changes()).collect();
    times.sort_by(f64::total_cmp);
    times.push(f64::INFINITY);
    let (mut now, mut left) = (0.0, bytes);
    for next in times {
        let rate: f64 = senders.iter().map(|node| node.gives(now)).sum();
        if rate > 0.0 && now + left / rate <= next {
            return now + left / rate;
        }
        left -= rate * (next - now).min(1e9);
        now = next;
    }
    f64::INFINITY
}

/// The least time until the last is done, if all begin at once.
pub(in super::super) fn least(dag: &Dag, nodes: &[Node]) -> Time {
    let sources: Vec<&Node> = nodes.iter().filter(|node| node.begins.is_none()).collect();
    let downloads: Vec<&Node> = nodes.iter().filter(|node| node.begins.is_some()).collect();
    let size: f64 = dag.leaves().map(|(_, size)| size as f64).sum();
    let mut least: f64 = 0.0;
    for set in 1_u32..1 << sources.len().min(10) {
        let within = |i: usize| set >> i & 1 == 1;
        let only = |(block, size): (u32, u64)| {
            let outside = |(i, node): (usize, &&Node)| !within(i) && node.has(block);
            let held = sources.iter().enumerate().any(outside);
            if held { 0.0 } else { size as f64 }
        };
        let bytes: f64 = dag.leaves().map(only).sum();
        let members: Vec<&Node> = sources
            .iter()
            .enumerate()
            .filter(|(i, _)| within(*i))
            .map(|(_, node)| *node)
            .collect();
        if bytes > 0.0 {
            least = least.max(takes(&members, bytes));
        }
    }
    let all: Vec<&Node> = nodes.iter().collect();
    least = least.max(takes(&all, size * downloads.len() as f64));
    for node in &downloads {
        least = least.max(size / node.down.rate as f64);
    }
    let trip = sources
        .iter()
        .map(|node| node.latency)
        .min()
        .unwrap_or_default();
    let mine = downloads
        .iter()
        .map(|node| node.latency)
        .min()
        .unwrap_or_default();
    Duration::from_secs_f64(least) + SEARCH / 2 + 4 * (trip + mine)
}
