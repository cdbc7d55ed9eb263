//! Askers, a disk and an uplink in virtual time, around the queues.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// What the uplink gives to one asker before the next.
const SLICE: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Read(Ticket),
    Uplink,
    /// An asker's own link can take more.
    Link(u32),
    Ask(u32),
    Look,
}

/// What an asker does.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Leaves and their size, of each of its requests.
    pub(super) request: (u32, u64),
    /// Requests that it keeps under way.
    pub(super) depth: u32,
    /// Bytes per second that its link takes; 0: it reads nothing.
    pub(super) rate: u64,
    /// Set for one that asks for answers in one message: bytes that the disk reads in the time that one of
    /// them takes.
    pub(super) whole: Option<u64>,
    pub(super) delivered: u64,
    pub(super) busy: u32,
    pub(super) closed: bool,
    pipe: VecDeque<u64>,
    free: Time,
    under_way: u32,
    retry: Option<Duration>,
}

impl Member {
    pub(super) fn new(request: (u32, u64), depth: u32, rate: u64) -> Self {
        Self {
            request,
            depth,
            rate,
            whole: None,
            delivered: 0,
            busy: 0,
            closed: false,
            pipe: VecDeque::new(),
            free: Time::ZERO,
            under_way: 0,
            retry: None,
        }
    }
}

pub(super) struct Rig {
    pub(super) queues: Queues<u32>,
    pub(super) members: BTreeMap<u32, Member>,
    pub(super) now: Time,
    pub(super) most_held: u64,
    /// Bytes per second.
    uplink: u64,
    disk: u64,
    disk_free: Time,
    uplink_busy: bool,
    /// Whose slice is next.
    round: VecDeque<u32>,
    due: BinaryHeap<Reverse<(Time, u64, Due)>>,
    number: u64,
    tickets: BTreeMap<Ticket, (u32, u32, u64)>,
    reads: BTreeMap<Ticket, (u32, u64)>,
    next_ticket: u64,
}

impl Rig {
    pub(super) fn new(bounds: Bounds, uplink: u64, disk: u64, members: Vec<Member>) -> Self {
        let members: BTreeMap<u32, Member> = (0..).zip(members).collect();
        let mut rig = Self {
            queues: Queues::new(bounds, 1),
            now: Time::ZERO,
            most_held: 0,
            uplink,
            disk,
            disk_free: Time::ZERO,
            uplink_busy: false,
            round: VecDeque::new(),
            due: BinaryHeap::new(),
            number: 0,
            tickets: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_ticket: 0,
            members,
        };
        let ids: Vec<u32> = rig.members.keys().copied().collect();
        for id in ids {
            // Not all in the same instant.
            rig.at(Duration::from_millis(u64::from(id % 17)), Due::Ask(id));
        }
        rig.at(Time::ZERO, Due::Look);
        rig
    }

    fn at(&mut self, time: Time, due: Due) {
        self.number += 1;
        self.due.push(Reverse((time, self.number, due)));
    }

    pub(super) fn run_until(&mut self, end: Time) {
        while let Some(Reverse((time, _, due))) = self.due.pop() {
            if time > end {
                self.at(time, due);
                break;
            }
            self.now = time;
            match due {
                Due::Read(ticket) => self.read_done(ticket),
                Due::Uplink => {
                    self.uplink_busy = false;
                    self.uplink();
                }
                Due::Link(id) => {
                    if !self.members[&id].pipe.is_empty() {
                        self.round.push_back(id);
                    }
                    self.uplink();
                }
                Due::Ask(id) => self.ask(id),
                Due::Look => {
                    self.step(Event::Tick);
                    // Those that lost a slot come back too.
                    let ids: Vec<u32> = self.members.keys().copied().collect();
                    for id in ids {
                        if let Some(retry) = self.members.get_mut(&id).unwrap().retry.take() {
                            self.at(self.now + retry, Due::Ask(id));
                        }
                    }
                    self.at(self.now + Duration::from_secs(1), Due::Look);
                }
            }
        }
        self.now = end;
    }

    pub(super) fn step(&mut self, event: Event<u32>) {
        let actions = self.queues.step(self.now, event);
        self.most_held = self.most_held.max(self.queues.held());
        for action in actions {
            self.act(action);
        }
    }

    /// Asks for as much as it wants to have under way; who is told Busy comes back then.
    fn ask(&mut self, id: u32) {
        let member = &self.members[&id];
        if member.closed {
            return;
        }
        let ((leaves, size), whole) = (member.request, member.whole);
        for _ in member.under_way..member.depth {
            self.members.get_mut(&id).unwrap().under_way += 1;
            self.next_ticket += 1;
            let ticket = Ticket(self.next_ticket);
            self.tickets.insert(ticket, (id, leaves, size));
            let order = Order {
                ticket,
                urgency: Urgency::Download,
                leaves,
                runs: Arc::default(),
                bytes: u64::from(leaves) * size,
                weight: 200,
                whole,
            };
            self.step(Event::Asked { asker: id, order });
        }
        let member = self.members.get_mut(&id).unwrap();
        if let Some(retry) = member.retry.take() {
            self.at(self.now + retry, Due::Ask(id));
        }
    }

    fn act(&mut self, action: Action<u32>) {
        match action {
            Action::Read {
                asker,
                ticket,
                count,
                max_bytes,
                ..
            } => {
                let (_, _, size) = self.tickets[&ticket];
                let leaves = u32::try_from(max_bytes / size).unwrap().clamp(1, count);
                let bytes = u64::from(leaves) * size;
                let work = bytes.max(self.members[&asker].whole.unwrap_or_default());
                self.disk_free = self.disk_free.max(self.now) + time_of(work, self.disk);
                self.reads.insert(ticket, (leaves, bytes));
                assert!(self.reads.len() <= 4, "reads under way are bounded");
                let done = self.disk_free + Duration::from_micros(200);
                self.at(done, Due::Read(ticket));
            }
            Action::Busy {
                asker,
                ticket,
                retry,
            } => {
                self.tickets.remove(&ticket);
                let member = self.members.get_mut(&asker).unwrap();
                member.busy += 1;
                member.under_way -= 1;
                member.retry = Some(retry);
            }
            Action::Cut { asker, ticket, .. } => {
                self.tickets.remove(&ticket);
                self.members.get_mut(&asker).unwrap().under_way -= 1;
                self.at(self.now, Due::Ask(asker));
            }
            Action::Close { asker } => {
                let member = self.members.get_mut(&asker).unwrap();
                member.closed = true;
                member.pipe.clear();
                self.round.retain(|id| *id != asker);
                self.step(Event::Gone(asker));
            }
        }
    }

    fn read_done(&mut self, ticket: Ticket) {
        let (leaves, bytes) = self.reads.remove(&ticket).unwrap();
        let known = self.tickets.get_mut(&ticket);
        if let Some((id, left, _)) = known {
            let id = *id;
            *left -= leaves;
            let is_done = *left == 0;
            let member = self.members.get_mut(&id).unwrap();
            if !member.closed {
                if member.pipe.is_empty() {
                    self.round.push_back(id);
                }
                member.pipe.push_back(bytes);
            }
            if is_done {
                member.under_way -= 1;
                self.tickets.remove(&ticket);
                self.at(self.now, Due::Ask(id));
            }
        }
        self.step(Event::Read {
            ticket,
            leaves,
            bytes,
        });
        self.uplink();
    }

    /// One slice on its way, and then the next asker's.
    fn uplink(&mut self) {
        if self.uplink_busy {
            return;
        }
        while let Some(id) = self.round.pop_front() {
            let member = self.members.get_mut(&id).unwrap();
            let Some(first) = member.pipe.front_mut() else {
                continue;
            };
            if member.rate == 0 {
                continue;
            }
            if member.free > self.now {
                let free = member.free;
                self.at(free, Due::Link(id));
                continue;
            }
            let bytes = SLICE.min(*first);
            *first -= bytes;
            if *first == 0 {
                member.pipe.pop_front();
            }
            member.delivered += bytes;
            member.free = self.now + time_of(bytes, member.rate);
            if !member.pipe.is_empty() {
                self.round.push_back(id);
            }
            self.uplink_busy = true;
            self.at(self.now + time_of(bytes, self.uplink), Due::Uplink);
            self.step(Event::Written { asker: id, bytes });
            return;
        }
    }
}

pub(super) fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

/// Jain's index: 1 where all have the same, 1/n where one has all.
#[allow(clippy::cast_precision_loss, reason = "a measurement")]
pub(super) fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}
