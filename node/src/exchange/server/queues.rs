//! [`Queues`]: who is served next, how much at once, and who is told to come back. Pure: the clock and
//! the seed are arguments, so that the simulator runs the same rules as the node.
//!
//! What was asked for waits in its asker's own queue and is read in pieces of about [`PIECE`] bytes.
//! Askers take turns by deficit round robin over bytes ([`turns`]), those first who ask for what nobody
//! was given lately ([`given`]); where uploads are a reward, they
//! hold slots ([`slots`]). What was read waits in its asker's pipe, which is as long as a fifth of a second
//! of what it takes: a slow reader holds little, and nobody waits behind it. All pipes together are as
//! long as the uplink needs ([`gate`]).

mod asker;
mod gate;
mod given;
mod order;
mod pipe;
mod serve;
mod slots;
mod turns;

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod model;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

#[cfg(test)]
use store::wire::Urgency;

use self::asker::{Asker, FIRST_LEAF, Request};
use self::gate::Gate;
use self::given::Given;
pub(in crate::exchange) use self::order::{Action, Bounds, Event, Order, Run, Ticket};
use self::pipe::Meter;
use self::slots::{Admission, Slots};
use self::turns::Turns;
use crate::exchange::scheduler::Time;

/// Leaves in one piece: what is read at once is verified, written and cancelled at once.
const PIECE_LEAVES: u32 = 16;
/// How often the queues look at their askers for those that take nothing, and for slots.
const LOOK: Duration = Duration::from_secs(1);
/// A request that was cut short by a bound may come back after this long, at the soonest and the latest.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(10);
/// Bytes per second that are taken for true before anything was measured, for the words of a Busy.
const FIRST_RATE: u64 = 10 << 20;

/// The size of an answer in one message before any was made.
const FIRST_ANSWER: u64 = 64 << 10;

/// A read that was begun.
#[derive(Debug)]
struct UnderWay<P> {
    /// `None`: it has gone.
    asker: Option<P>,
    charge: u64,
    /// What it costs its asker's turn at least.
    least: u64,
}

/// The queues of all askers. See the module's documentation.
#[derive(Debug)]
pub(in crate::exchange) struct Queues<P> {
    bounds: Bounds,
    askers: BTreeMap<P, Asker>,
    requests: HashMap<Ticket, Request<P>>,
    reading: HashMap<Ticket, UnderWay<P>>,
    turns: Turns<P>,
    slots: Slots<P>,
    /// Bytes read, or being read, and not yet written.
    held: u64,
    weight: u64,
    /// Leaves of all requests that are not read.
    leaves: u64,
    meter: Meter,
    gate: Gate,
    /// Of what is held: what waits for those that take nothing, as of the last look.
    stalled: u64,
    given: Given,
    /// Requests whose answers bring no blocks, the oldest first, and whether one of them is next.
    light: VecDeque<Ticket>,
    light_is_next: bool,
    /// Turns of those who asked for what was not given lately.
    turns_had: u64,
    /// The usual size of an answer in one message.
    answer: u64,
    look: Time,
    /// Somebody waited for memory that others held, since the last look.
    is_short: bool,
}

impl<P: Copy + Ord> Queues<P> {
    pub(in crate::exchange) fn new(bounds: Bounds, seed: u64) -> Self {
        Self {
            askers: BTreeMap::new(),
            requests: HashMap::new(),
            reading: HashMap::new(),
            turns: Turns::default(),
            slots: Slots::new(bounds.slots, bounds.askers, seed),
            held: 0,
            weight: 0,
            leaves: 0,
            meter: Meter::default(),
            gate: Gate::new(),
            stalled: 0,
            given: Given::default(),
            light: VecDeque::new(),
            light_is_next: false,
            turns_had: 0,
            answer: FIRST_ANSWER,
            look: Time::ZERO,
            is_short: false,
            bounds,
        }
    }

    /// Goes on. `now` never goes back. See [`Queues::next_look`] for when to come back without an event.
    pub(in crate::exchange) fn step(&mut self, now: Time, event: Event<P>) -> Vec<Action<P>> {
        let mut actions = Vec::new();
        match event {
            Event::Asked { asker, order } => self.admit(now, asker, &order, &mut actions),
            Event::Cancel { ticket, from } => self.cancel(now, ticket, from, &mut actions),
            Event::Forget { ticket } => self.end(now, ticket),
            Event::Read {
                ticket,
                leaves,
                bytes,
            } => self.read(now, ticket, leaves, bytes, &mut actions),
            Event::Failed { ticket } => {
                self.land(now, ticket, 0);
                self.end(now, ticket);
            }
            Event::Written { asker, bytes } => self.freed(now, asker, bytes, true),
            Event::Freed { asker, bytes } => self.freed(now, asker, bytes, false),
            Event::Gave { peer, bytes } => self.slots.gave(peer, bytes),
            Event::Gone(asker) => self.gone(asker),
            Event::Tick => {}
        }
        if now >= self.look {
            self.look(now, &mut actions);
        }
        self.begin_reads(now, &mut actions);
        actions
    }

    /// When to call [`Queues::step`] with [`Event::Tick`], if nothing happens before. `None`: nothing
    /// is due.
    pub(in crate::exchange) fn next_look(&self) -> Option<Time> {
        let is_idle = self.askers.is_empty() && self.slots.is_idle();
        (!is_idle).then_some(self.look)
    }

    /// Bytes read, or being read, and not yet written.
    pub(in crate::exchange) const fn held(&self) -> u64 {
        self.held
    }

    /// Requests that are not over.
    #[cfg(test)]
    pub(in crate::exchange) fn outstanding(&self) -> usize {
        self.requests.len()
    }

    fn admit(&mut self, now: Time, asker: P, order: &Order, actions: &mut Vec<Action<P>>) {
        let ticket = order.ticket;
        if order.leaves == 0 || self.requests.contains_key(&ticket) {
            return;
        }
        let askers = &self.askers;
        let is_idle = |peer: &P| askers.get(peer).is_none_or(Asker::is_idle);
        let admission = self.slots.admit(now, asker, is_idle);
        let refused = match admission {
            Admission::Choked(retry) => Some(retry),
            Admission::Yes | Admission::Crumb => self.too_much(asker, order),
        };
        if let Some(retry) = refused {
            actions.push(Action::Busy {
                asker,
                ticket,
                retry,
            });
            return;
        }
        let crumb = admission == Admission::Crumb;
        let one = self.askers.entry(asker).or_insert_with(|| Asker::new(now));
        one.push(order);
        self.leaves += u64::from(order.leaves);
        self.weight += order.weight;
        self.requests
            .insert(ticket, Request::new(asker, order, crumb));
        if order.is_light() {
            self.light.push_back(ticket);
            return;
        }
        // It may ask for something else now.
        self.turns.recall_one(&asker);
        self.enlist(asker);
    }

    /// When to come back, if a request is more than may wait.
    fn too_much(&self, asker: P, order: &Order) -> Option<Duration> {
        let of_all = self.weight + order.weight > self.bounds.weight_of_all;
        let all = || self.wait_for(self.leaves * FIRST_LEAF, &self.meter);
        let Some(one) = self.askers.get(&asker) else {
            let is_full = of_all || self.askers.len() >= self.bounds.askers;
            return is_full.then(all);
        };
        if of_all {
            return Some(all());
        }
        let bounds = &self.bounds;
        let bytes = one.expected() + one.expected_of(order);
        let is_full = one.requests() >= bounds.requests
            || one.leaves() + u64::from(order.leaves) > bounds.leaves
            || one.weight() + order.weight > bounds.weight
            // Who has nothing queued may ask for one thing of any size.
            || (one.requests() > 0 && bytes > bounds.bytes);
        is_full.then(|| self.wait_for(one.expected() / 2, one.pipe.meter()))
    }

    /// How long so many bytes take at that rate, within reason.
    fn wait_for(&self, bytes: u64, meter: &Meter) -> Duration {
        let rate = meter.rate().or_else(|| self.meter.rate());
        let rate = rate.unwrap_or(FIRST_RATE).max(1);
        let millis = bytes.saturating_mul(1000) / rate;
        Duration::from_millis(millis).clamp(SOONEST, LATEST)
    }

    fn cancel(&mut self, now: Time, ticket: Ticket, from: u32, actions: &mut Vec<Action<P>>) {
        let Some(request) = self.requests.get_mut(&ticket) else {
            return;
        };
        let asker = request.asker;
        let dropped = request.cut(from);
        let is_over = request.is_over() && !self.reading.contains_key(&ticket);
        let (next, total) = (request.next(), request.total());
        self.unqueue(asker, dropped);
        if is_over {
            self.end(now, ticket);
            if next < total {
                actions.push(Action::Cut {
                    asker,
                    ticket,
                    from: next,
                });
            }
        }
    }

    /// So many leaves will not be read.
    fn unqueue(&mut self, asker: P, leaves: u32) {
        self.leaves -= u64::from(leaves);
        if let Some(one) = self.askers.get_mut(&asker) {
            one.unqueue(leaves);
        }
    }

    fn read(
        &mut self,
        now: Time,
        ticket: Ticket,
        leaves: u32,
        bytes: u64,
        actions: &mut Vec<Action<P>>,
    ) {
        let Some(request) = self.requests.get_mut(&ticket) else {
            self.land(now, ticket, 0);
            return;
        };
        let asker = request.asker;
        if bytes > 0 {
            for leaf in request.names(request.next()).take(leaves as usize) {
                self.given.gave(now, leaf);
            }
        }
        // A read that settles nothing would be begun again and again.
        let queued = request.advance(leaves.max(1), bytes);
        let (over, crumb) = (request.is_over(), request.is_crumb());
        let (next, total) = (request.next(), request.total());
        let in_pieces = !request.is_whole();
        self.land(now, ticket, bytes);
        self.unqueue(asker, queued);
        if !in_pieces && bytes > 0 {
            self.answer = (self.answer + bytes).div_ceil(2);
        }
        // Inner nodes and pages say nothing of what leaves are like.
        if in_pieces && let Some(one) = self.askers.get_mut(&asker) {
            one.measured(leaves, bytes);
        }
        self.slots.served(now, asker, bytes);
        if over || crumb {
            self.end(now, ticket);
            if next < total {
                actions.push(if crumb && !over {
                    let retry = self.slots.again(now);
                    Action::Busy {
                        asker,
                        ticket,
                        retry,
                    }
                } else {
                    Action::Cut {
                        asker,
                        ticket,
                        from: next,
                    }
                });
            }
        }
        self.enlist(asker);
    }

    /// A read is no longer under way; `bytes` of it wait to be written.
    fn land(&mut self, now: Time, ticket: Ticket, bytes: u64) {
        let Some(read) = self.reading.remove(&ticket) else {
            return;
        };
        self.held -= read.charge;
        if let Some(one) = read.asker.and_then(|asker| self.askers.get_mut(&asker)) {
            one.pipe.landed(now, read.charge, bytes);
            one.refund(read.charge, bytes.max(read.least));
            self.held += bytes;
            if bytes > 0 {
                self.meter.begin(now);
            }
        }
    }

    fn freed(&mut self, now: Time, asker: P, bytes: u64, taken: bool) {
        let Some(one) = self.askers.get_mut(&asker) else {
            return;
        };
        let bytes = one.pipe.freed(now, bytes, taken);
        self.held -= bytes;
        if taken {
            let rate = self.meter.took(now, bytes, self.held == 0);
            if let Some(rate) = rate {
                self.gate.measured(now, rate, self.bounds.memory);
            }
        }
        self.enlist(asker);
    }

    /// Forgets a request, without a word to its asker.
    fn end(&mut self, now: Time, ticket: Ticket) {
        let Some(request) = self.requests.remove(&ticket) else {
            return;
        };
        self.weight -= request.weight();
        self.leaves -= u64::from(request.unread());
        if let Some(one) = self.askers.get_mut(&request.asker) {
            one.remove(now, ticket, &request);
        }
    }

    /// Forgets a request, and tells its asker when to come back.
    fn turn_away(
        &mut self,
        now: Time,
        (asker, ticket): (P, Ticket),
        retry: Duration,
        actions: &mut Vec<Action<P>>,
    ) {
        self.end(now, ticket);
        actions.push(Action::Busy {
            asker,
            ticket,
            retry,
        });
    }

    fn gone(&mut self, asker: P) {
        let Some(one) = self.askers.remove(&asker) else {
            self.slots.gone(&asker);
            return;
        };
        for ticket in one.tickets() {
            if let Some(request) = self.requests.remove(&ticket) {
                self.weight -= request.weight();
                self.leaves -= u64::from(request.unread());
            }
        }
        // What is being read still takes memory until it is done.
        for read in self.reading.values_mut() {
            read.asker = read.asker.filter(|reader| *reader != asker);
        }
        self.held -= one.pipe.unwritten();
        self.turns.left(&asker);
        self.slots.gone(&asker);
    }

    /// What is done once a second: slots, and those that take nothing.
    fn look(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        self.look = now + LOOK;
        let busy = self.askers.iter().filter(|(_, one)| !one.is_idle());
        let interested = busy.map(|(asker, _)| *asker);
        for asker in self.slots.round(now, interested) {
            self.choke(now, asker, actions);
        }
        for (asker, one) in &mut self.askers {
            if one.pipe.is_stuck(now) {
                actions.push(Action::Close { asker: *asker });
            }
        }
        if std::mem::take(&mut self.is_short) {
            self.make_room(now, actions);
        }
        self.send_away(now, actions);
        self.shorten_the_line(now, actions);
        self.stalled = 0;
        for one in self.askers.values_mut() {
            self.stalled += one.pipe.stalled(now);
            one.pipe.looked_at(now);
        }
        self.askers.retain(|asker, one| {
            let forgotten = one.is_forgotten(now);
            if forgotten {
                self.turns.left(asker);
            }
            !forgotten
        });
    }

    /// Others wait for memory: those that take longest to give theirs back have to go, until a quarter
    /// of it is free.
    fn make_room(&self, now: Time, actions: &mut Vec<Action<P>>) {
        let drips = self.askers.iter().filter(|(_, one)| one.pipe.is_drip(now));
        let mut drips: Vec<_> = drips
            .map(|(asker, one)| (one.pipe.unwritten(), *asker))
            .collect();
        drips.sort_unstable_by(|a, b| b.cmp(a));
        let mut freed = 0;
        for (bytes, asker) in drips {
            if freed >= self.bounds.memory / 4 {
                return;
            }
            freed += bytes;
            actions.push(Action::Close { asker });
        }
    }

    /// An asker has lost its slot: what was not read is left to a later round.
    fn choke(&mut self, now: Time, asker: P, actions: &mut Vec<Action<P>>) {
        let Some(one) = self.askers.get(&asker) else {
            return;
        };
        let retry = self.slots.again(now);
        for ticket in one.tickets() {
            if self.reading.contains_key(&ticket) {
                // Its asker gets what is being read, and then the word.
                if let Some(request) = self.requests.get_mut(&ticket) {
                    request.make_crumb();
                }
                continue;
            }
            self.turn_away(now, (asker, ticket), retry, actions);
        }
    }
}
