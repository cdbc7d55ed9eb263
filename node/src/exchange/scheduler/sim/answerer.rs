//! The answering side: what a peer does with a message, and how answers leave it, chunk by chunk. Who is
//! served, and when, the node's own queues say.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use rand::seq::IteratorRandom;
use store::Cid;

use super::super::*;
use super::dag::Dag;
use super::network::lasts;
use super::node::{Fault, Node};
use super::outlets::{Chunk, Turn};
use super::server::{What, Work};
use super::world::{Due, Given, Message, Part, Say, World};
use crate::exchange::server::queues::{self, Ticket};

/// Who asked within this time is told of to others.
const LATELY: Duration = Duration::from_secs(60);
/// Peers told of at once.
const TOLD: usize = 32;
/// How long a read takes, or the making of an answer.
const READ: Duration = Duration::from_millis(1);

impl World<'_> {
    /// A message has come to a peer.
    pub(super) fn hear(&mut self, from: u32, to: u32, message: Message) {
        let now = self.now;
        let node = &mut self.nodes[to as usize];
        if node.fault == Some(Fault::Dead) {
            return;
        }
        node.askers.insert(from, now);
        node.requests += 1;
        let (request, what, max_bytes) = match message {
            Message::Cancel(request, index) => {
                if let Some(ticket) = node.server.ticket(from, request) {
                    let from = index;
                    self.serve(to, queues::Event::Cancel { ticket, from });
                }
                return;
            }
            Message::Reset => {
                node.server.forget(from);
                return self.serve(to, queues::Event::Gone(from));
            }
            // Nobody waits for the answer: there is no number.
            Message::Peers => (RequestId::MAX, What::Peers, 0),
            Message::Have(request, nodes) => (request, What::Have(nodes), 0),
            Message::Manifest(request, nodes, max_bytes) => {
                (request, What::Manifest(nodes, max_bytes), max_bytes)
            }
            Message::Get(request, leaves, max_bytes) => {
                if self.breaks_off(from, to, request) {
                    return;
                }
                (request, What::Leaves(leaves, 0), max_bytes)
            }
        };
        let asker = from;
        let work = Work {
            asker,
            request,
            what,
        };
        let server = &mut self.nodes[to as usize].server;
        let event = server.order(work, max_bytes.into());
        self.serve(to, event);
    }

    /// Whether a faulty peer takes no notice of this Get.
    fn breaks_off(&mut self, from: u32, to: u32, request: RequestId) -> bool {
        let open = self.nodes[from as usize].open.contains_key(&request);
        let node = &self.nodes[to as usize];
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
            _ => return false,
        }
        true
    }

    /// A peer's queues go on.
    pub(super) fn serve(&mut self, i: u32, event: queues::Event<u32>) {
        let now = self.now;
        let node = &mut self.nodes[i as usize];
        let epoch = node.epoch;
        let actions = node.server.queues.step(now, event);
        node.most_held = node.most_held.max(node.server.queues.held());
        for action in actions {
            let server = &mut self.nodes[i as usize].server;
            match action {
                queues::Action::Read {
                    ticket,
                    from,
                    count,
                    max_bytes,
                    ..
                } => {
                    let piece = (from as usize, count as usize, max_bytes);
                    self.at(now + READ, Due::Piece(i, epoch, ticket, piece));
                }
                queues::Action::Busy { ticket, retry, .. } => {
                    server.finish(ticket, Say::Busy(retry));
                }
                queues::Action::Cut { ticket, .. } => server.cut(ticket),
                queues::Action::Close { asker } => {
                    for request in server.forget(asker) {
                        if self.nodes[asker as usize].open.contains_key(&request) {
                            self.fail(asker, i, request, Failure::Broken("closed".into()));
                        }
                    }
                    self.serve(i, queues::Event::Gone(asker));
                }
            }
        }
        let server = &mut self.nodes[i as usize].server;
        if !server.looks
            && let Some(look) = server.queues.next_look()
        {
            server.looks = true;
            self.at(look, Due::Look(i, epoch));
        }
        self.send(i);
    }

    /// A read is done.
    pub(super) fn read_is_done(&mut self, i: u32, ticket: Ticket, piece: (usize, usize, u64)) {
        let Some(work) = self.nodes[i as usize].server.works.get(&ticket) else {
            return self.serve(i, queues::Event::Failed { ticket });
        };
        let (asker, request) = (work.asker, work.request);
        let what = match &work.what {
            What::Leaves(..) => {
                let (leaves, part) = self.piece(i, ticket, piece);
                let bytes = part.bytes;
                let server = &mut self.nodes[i as usize].server;
                if part.over {
                    server.take(ticket);
                }
                server.outlets.put(asker, part, false);
                return self.serve(
                    i,
                    queues::Event::Read {
                        ticket,
                        leaves,
                        bytes,
                    },
                );
            }
            whole => whole.clone(),
        };
        let mut part = Part::of(request);
        part.over = true;
        match what {
            What::Manifest(nodes, max_bytes) => {
                manifest(
                    self.dag,
                    &self.nodes[i as usize],
                    &nodes,
                    max_bytes,
                    &mut part,
                );
            }
            What::Have(nodes) => part.say = Some(Say::Have(self.pages(asker, i, &nodes))),
            What::Peers => part.say = Some(Say::Peers(self.others(asker, i))),
            What::Leaves(..) => unreachable!("answered above"),
        }
        let bytes = part.bytes;
        let server = &mut self.nodes[i as usize].server;
        server.take(ticket);
        server.outlets.put(asker, part, true);
        let leaves = u32::MAX;
        self.serve(
            i,
            queues::Event::Read {
                ticket,
                leaves,
                bytes,
            },
        );
    }

    /// What a read of leaves brings, as the node's shelf has it: how many are settled.
    fn piece(&mut self, i: u32, ticket: Ticket, piece: (usize, usize, u64)) -> (u32, Part) {
        let dag = self.dag;
        let (from, count, max_bytes) = piece;
        let Node {
            server,
            has,
            fault,
            leaves_given,
            ..
        } = &mut self.nodes[i as usize];
        let Some(Work {
            request,
            what: What::Leaves(leaves, settled),
            ..
        }) = server.works.get_mut(&ticket)
        else {
            unreachable!("looked at before");
        };
        let mut part = Part::of(*request);
        for &block in leaves.iter().skip(from).take(count) {
            let missing = *fault == Some(Fault::Rides) || !has[block as usize];
            let size = if missing { 0 } else { dag.size(block).into() };
            if part.bytes + size > max_bytes && !part.blocks.is_empty() {
                break;
            }
            part.bytes += size;
            *leaves_given += u32::from(!missing);
            let given = match fault {
                _ if missing => Given::Missing,
                Some(Fault::Lies(n)) if *leaves_given >= *n => Given::Wrong,
                _ => Given::Right,
            };
            part.blocks.push((block, given));
        }
        *settled = from + part.blocks.len();
        part.over = *settled == leaves.len();
        (part.blocks.len() as u32, part)
    }

    /// What it says to hold.
    fn pages(&mut self, asker: u32, i: u32, asked: &[Cid]) -> Vec<Page> {
        let dag = self.dag;
        let [asker, node] = self
            .nodes
            .get_disjoint_mut([asker as usize, i as usize])
            .expect("nobody asks itself");
        let rides = node.fault == Some(Fault::Rides);
        let boasts = node.fault == Some(Fault::Boasts);
        let page = |cid: &Cid| {
            let links = dag.links(cid);
            let has: Vec<bool> = links.iter().map(|link| node.has_cid(link)).collect();
            if !rides && !asker.refused.is_empty() {
                // What it has by now it may be asked for again.
                for (link, _) in links.iter().zip(&has).filter(|(_, has)| **has) {
                    asker.refused.remove(&(i, *link));
                }
            }
            let held = if boasts {
                Held::All
            } else if rides || !has.contains(&true) {
                Held::Nothing
            } else if has.iter().all(|has| *has) {
                Held::All
            } else {
                Held::Some(has.into_iter().collect())
            };
            Page { node: *cid, held }
        };
        asked.iter().map(page).collect()
    }

    /// Some of those that asked lately.
    fn others(&mut self, asker: u32, i: u32) -> Vec<u32> {
        let now = self.now;
        let askers = &self.nodes[i as usize].askers;
        let lately = askers.iter().filter(|(_, at)| **at + LATELY > now);
        let others = lately.map(|(peer, _)| *peer).filter(|peer| *peer != asker);
        others.choose_multiple(&mut self.rng, TOLD)
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
            let mut outlets = std::mem::take(&mut self.nodes[from as usize].server.outlets);
            let turn = outlets.turn(|to| self.nodes[to as usize].down.full_until(now));
            self.nodes[from as usize].server.outlets = outlets;
            match turn {
                Turn::Of(to) => self.send_to(from, to),
                Turn::AllFull(until) => return self.at(until, Due::Retry(from)),
                Turn::Nobody => return,
            }
        }
    }

    fn send_to(&mut self, from: u32, to: u32) {
        let now = self.now;
        let trip = self.trip(from, to);
        let node = &mut self.nodes[from as usize];
        let (epoch, rate) = (node.epoch, node.rate(now));
        let Some(Chunk { bytes, part }) = node.server.outlets.chunk(to) else {
            return;
        };
        if let Some(census) = &mut self.census {
            census.sent(from, bytes);
        }
        let here = if bytes == 0 {
            now + trip
        } else {
            node.server.busy = true;
            let sent = now + lasts(bytes, rate);
            self.at(sent, Due::Free(from));
            let down = &mut self.nodes[to as usize].down;
            down.take(now + trip, sent + trip, bytes)
        };
        if let Some(part) = part {
            self.deliver(from, to, epoch, part, here);
        }
        if bytes > 0 {
            self.serve(from, queues::Event::Written { asker: to, bytes });
        }
    }

    fn deliver(&mut self, from: u32, to: u32, epoch: u32, part: Part, at: Time) {
        // One stream: nothing overtakes.
        let last = self.nodes[to as usize].streams.entry(from).or_default();
        *last = at.max(*last);
        let at = *last;
        self.at(at, Due::Arrive(from, to, epoch, part));
    }
}

/// The nodes asked for and those under them, up to so many bytes.
fn manifest(dag: &Dag, node: &Node, nodes: &[Cid], max_bytes: u32, part: &mut Part) {
    let rides = node.fault == Some(Fault::Rides);
    let mut queue: VecDeque<Cid> = nodes.iter().copied().collect();
    let mut seen = HashSet::new();
    while let Some(cid) = queue.pop_front() {
        let asked = nodes.contains(&cid);
        let leaf = dag.is_leaf(&cid);
        if rides || !node.has_cid(&cid) || (leaf && !asked) || !seen.insert(cid) {
            continue;
        }
        let size = u64::from(dag.size(Dag::number(&cid)));
        if part.bytes + size > u64::from(max_bytes) && !part.blocks.is_empty() {
            part.more = true;
            break;
        }
        part.bytes += size;
        part.blocks.push((Dag::number(&cid), Given::Right));
        queue.extend(dag.links(&cid));
    }
}
