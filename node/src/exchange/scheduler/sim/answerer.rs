//! The answering side: what a peer does with a message, and how answers leave it, chunk by chunk.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use rand::seq::IteratorRandom;
use store::Cid;

use super::super::*;
use super::dag::{Block, Dag};
use super::network::{CHUNK, lasts};
use super::node::{Fault, Node};
use super::server::{Job, What};
use super::world::{Due, Message, Part, World};

/// Who asked within this time is told of to others.
const LATELY: Duration = Duration::from_secs(60);
/// Peers told of at once.
const TOLD: usize = 32;

impl World<'_> {
    /// A message has come to a peer: it answers.
    pub(super) fn hear(&mut self, from: u32, to: u32, message: Message) {
        let dag = self.dag;
        let now = self.now;
        let node = &mut self.nodes[to as usize];
        node.askers.insert(from, now);
        if node.stalled_until(now) == Some(Time::MAX) && node.fault == Some(Fault::Dead) {
            return;
        }
        let epoch = node.epoch;
        node.requests += 1;
        let rides = node.fault == Some(Fault::Rides);
        match message {
            Message::Cancel(request, index) => {
                node.server.cancel(from, request, index as usize);
                self.send(to);
            }
            Message::Reset => node.server.forget(from),
            Message::Peers => {
                let lately = node.askers.iter().filter(|(_, at)| **at + LATELY > now);
                let others = lately.map(|(peer, _)| *peer).filter(|peer| *peer != from);
                let told = others.choose_multiple(&mut self.rng, TOLD);
                let at = now + self.trip(to, from);
                for peer in told {
                    self.at(at, Due::Appear(from, peer));
                }
            }
            Message::Have(request, asked) => self.tell(from, to, request, &asked),
            Message::Manifest(request, nodes, max_bytes) => {
                let what = manifest(dag, node, &nodes, max_bytes, rides);
                let job = Job {
                    request,
                    epoch,
                    what,
                    sent: 0,
                };
                node.server.push(from, job);
                self.send(to);
            }
            Message::Get(request, leaves, max_bytes) => {
                let what = What::Leaves {
                    end: leaves.len(),
                    leaves,
                    next: 0,
                    room: max_bytes.into(),
                    gave: false,
                };
                let job = Job {
                    request,
                    epoch,
                    what,
                    sent: 0,
                };
                self.take_get(from, to, job);
            }
        }
    }

    fn take_get(&mut self, from: u32, to: u32, job: Job) {
        let request = job.request;
        let open = self.nodes[from as usize].open.contains_key(&request);
        let node = &mut self.nodes[to as usize];
        let requests = node.requests;
        match node.fault {
            Some(Fault::Busy) if requests.is_multiple_of(2) && open => {
                self.nodes[from as usize].open.remove(&request);
                let retry = Duration::from_millis(300);
                let at = self.now + self.trip(to, from);
                self.at(at, Due::Tell(from, Event::Busy { request, retry }));
            }
            Some(Fault::Flaky(n)) if requests.is_multiple_of(n) && open => {
                self.fail(from, to, request, Failure::Broken("reset".into()));
            }
            _ => {
                node.server.push(from, job);
                self.send(to);
            }
        }
    }

    /// Tells what it holds.
    fn tell(&mut self, from: u32, to: u32, request: RequestId, asked: &[Cid]) {
        let dag = self.dag;
        let node = &self.nodes[to as usize];
        let rides = node.fault == Some(Fault::Rides);
        let boasts = node.fault == Some(Fault::Boasts);
        let page = |cid: &Cid| {
            let links = dag.links(cid);
            let held = if boasts {
                Held::All
            } else if rides || !links.iter().any(|link| node.has_cid(link)) {
                Held::Nothing
            } else if links.iter().all(|link| node.has_cid(link)) {
                Held::All
            } else {
                Held::Some(links.iter().map(|link| node.has_cid(link)).collect())
            };
            Page { node: *cid, held }
        };
        let pages: Vec<Page> = asked.iter().map(page).collect();
        let links = pages.iter().flat_map(|page| dag.links(&page.node));
        let has: Vec<Cid> = links.filter(|link| node.has_cid(link)).copied().collect();
        let at = self.now + self.trip(to, from);
        let asker = &mut self.nodes[from as usize];
        // What it has by now it may be asked for again.
        if !rides {
            for known in has {
                asker.refused.remove(&(to, known));
            }
        }
        if asker.open.remove(&request).is_some() {
            self.at(at, Due::Tell(from, Event::Have { request, pages }));
        }
    }

    /// Sends the next chunk, if the uplink is free.
    pub(super) fn send(&mut self, from: u32) {
        let now = self.now;
        while !self.nodes[from as usize].server.busy && !self.nodes[from as usize].gone {
            if let Some(until) = self.nodes[from as usize].stalled_until(now) {
                if until < Time::MAX {
                    self.at(until, Due::Retry(from));
                }
                return;
            }
            let waiting = self.nodes[from as usize].server.waiting();
            let full = |to: &u32| self.nodes[*to as usize].down.full_until(now);
            let (may, full): (Vec<_>, Vec<_>) = waiting
                .map(|to| (to, full(&to)))
                .partition(|(_, full)| full.is_none());
            let server = &mut self.nodes[from as usize].server;
            let Some(to) = may
                .first()
                .and_then(|_| server.next(|to| may.contains(&(to, None))))
            else {
                if let Some(at) = full.iter().filter_map(|(_, at)| *at).min() {
                    self.at(at, Due::Retry(from));
                }
                return;
            };
            self.send_to(from, to);
        }
    }

    fn send_to(&mut self, from: u32, to: u32) {
        let (dag, now) = (self.dag, self.now);
        let trip = self.trip(from, to);
        let node = &mut self.nodes[from as usize];
        let rides = node.fault == Some(Fault::Rides);
        let rate = node.rate(now);
        let Node { server, has, .. } = node;
        let Some(job) = server.front(to) else {
            return;
        };
        let epoch = job.epoch;
        let mut part = Part::of(job.request);
        let may = |block: Block| !rides && has[block as usize];
        let Some(size) = job.next_size(dag, may, &mut part) else {
            server.pop(to);
            return self.deliver(from, to, epoch, part, now + trip);
        };
        let bytes = CHUNK.min(size - job.sent);
        job.sent += bytes;
        if job.sent == size {
            node.leaves_given += 1;
            let lies = matches!(node.fault, Some(Fault::Lies(n)) if node.leaves_given >= n);
            job.sent_whole(size, lies, &mut part);
            if part.over {
                server.pop(to);
            }
        }
        server.busy = true;
        let sent = now + lasts(bytes, rate);
        self.at(sent, Due::Free(from));
        let down = &mut self.nodes[to as usize].down;
        let here = down.take(now + trip, sent + trip, bytes);
        if part.over || !part.blocks.is_empty() {
            self.deliver(from, to, epoch, part, here);
        }
    }

    fn deliver(&mut self, from: u32, to: u32, epoch: u32, part: Part, at: Time) {
        // One stream: nothing overtakes.
        let at = at.max(
            *self.nodes[to as usize]
                .streams
                .get(&from)
                .unwrap_or(&Time::ZERO),
        );
        self.nodes[to as usize].streams.insert(from, at);
        self.at(at, Due::Arrive(from, to, epoch, part));
    }
}

fn manifest(dag: &Dag, node: &Node, nodes: &[Cid], max_bytes: u32, rides: bool) -> What {
    let mut queue: VecDeque<Cid> = nodes.iter().copied().collect();
    let (mut seen, mut bytes, mut blocks, mut more) = (HashSet::new(), 0, Vec::new(), false);
    while let Some(cid) = queue.pop_front() {
        let asked = nodes.contains(&cid);
        let leaf = dag.is_leaf(&cid);
        if rides || !node.has_cid(&cid) || (leaf && !asked) || !seen.insert(cid) {
            continue;
        }
        let size = u64::from(dag.size(Dag::number(&cid)));
        if bytes + size > u64::from(max_bytes) && !blocks.is_empty() {
            more = true;
            break;
        }
        bytes += size;
        blocks.push(Dag::number(&cid));
        queue.extend(dag.links(&cid));
    }
    What::Manifest {
        blocks,
        bytes,
        more,
    }
}
