//! [`Server`]: the answering side of a peer. The queues are the node's own; here is what a node's hands keep
//! around them: what each ticket is for, and what waits for each asker's connection.

use std::collections::HashMap;
use std::sync::Arc;

use store::Cid;
use store::wire::Urgency;

use super::super::RequestId;
use super::dag::Block;
use super::outlets::Outlets;
use super::world::{Given, Part, Say};
use crate::exchange::server::queues::{Bounds, Event, Order, Queues, Run, Ticket};

/// What a request takes in memory, about.
const WEIGHT: u64 = 1024;

/// A request under way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) asker: u32,
    pub(super) request: RequestId,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Leaves, of which so many have had an entry: in parts, on the bulk stream.
    Leaves(Vec<Block>, usize),
    /// One answer to one question: inner nodes up to so many bytes, what is held of some, and who else asked.
    Manifest(Vec<Cid>, u32),
    Have(Vec<Cid>),
    Peers,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) queues: Queues<u32>,
    pub(super) works: HashMap<Ticket, Work>,
    tickets: HashMap<(u32, RequestId), Ticket>,
    pub(super) outlets: Outlets,
    /// A chunk is leaving.
    pub(super) busy: bool,
    /// The queues will be looked after.
    pub(super) looks: bool,
    next: u64,
}

impl Server {
    pub(super) fn new(slots: Option<usize>, seed: u64) -> Self {
        let bounds = Bounds {
            slots,
            ..Bounds::default()
        };
        Self {
            queues: Queues::new(bounds, seed),
            works: HashMap::new(),
            tickets: HashMap::new(),
            outlets: Outlets::default(),
            busy: false,
            looks: false,
            next: 0,
        }
    }

    /// Takes note of a request: what the queues are told of it.
    pub(super) fn order(&mut self, work: Work, max_bytes: u64) -> Event<u32> {
        self.next += 1;
        let ticket = Ticket(self.next);
        let asker = work.asker;
        let (urgency, leaves, whole) = match &work.what {
            What::Leaves(leaves, _) => (Urgency::Download, leaves.len() as u32, false),
            _ => (Urgency::Reader, 1, true),
        };
        let runs = match &work.what {
            What::Leaves(leaves, _) => leaves.iter().map(|leaf| Self::run(*leaf)).collect(),
            _ => Arc::default(),
        };
        self.tickets.insert((asker, work.request), ticket);
        self.works.insert(ticket, work);
        let order = Order {
            ticket,
            urgency,
            leaves,
            runs,
            bytes: max_bytes,
            weight: WEIGHT,
            whole: whole.then_some(64 << 10),
        };
        Event::Asked { asker, order }
    }

    /// A leaf as the queues know it.
    fn run(leaf: Block) -> Run {
        Run {
            node: u64::from(leaf),
            first: 0,
            count: 1,
        }
    }

    pub(super) fn ticket(&self, asker: u32, request: RequestId) -> Option<Ticket> {
        self.tickets.get(&(asker, request)).copied()
    }

    /// Forgets a request.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Work> {
        let work = self.works.remove(&ticket)?;
        self.tickets.remove(&(work.asker, work.request));
        Some(work)
    }

    /// The request is over with these words.
    pub(super) fn finish(&mut self, ticket: Ticket, say: Say) {
        let Some(work) = self.take(ticket) else {
            return;
        };
        let mut part = Part::of(work.request);
        (part.over, part.say) = (true, Some(say));
        self.outlets
            .put(work.asker, part, !matches!(work.what, What::Leaves(..)));
    }

    /// What is left of a request is not given.
    pub(super) fn cut(&mut self, ticket: Ticket) {
        let Some(work) = self.take(ticket) else {
            return;
        };
        let mut part = Part::of(work.request);
        part.over = true;
        if let What::Leaves(leaves, settled) = work.what {
            let cut = leaves[settled..].iter().map(|leaf| (*leaf, Given::Cut));
            part.blocks.extend(cut);
        }
        self.outlets.put(work.asker, part, false);
    }

    /// Nothing of an asker is kept: its requests that were under way.
    pub(super) fn forget(&mut self, asker: u32) -> Vec<RequestId> {
        self.outlets.forget(asker);
        let of = |(ticket, work): (&Ticket, &Work)| (work.asker == asker).then_some(*ticket);
        let mut tickets: Vec<Ticket> = self.works.iter().filter_map(of).collect();
        tickets.sort_unstable();
        let works = tickets.into_iter().filter_map(|ticket| self.take(ticket));
        works.map(|work| work.request).collect()
    }
}
