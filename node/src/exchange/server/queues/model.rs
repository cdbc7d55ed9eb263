//! The queues against a simple model, over random histories: what is delivered is what was asked for
//! less what was cancelled, in order for each request, and every request ends once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Ask {
        asker: u8,
        leaves: u32,
        urgency: u8,
    },
    Cancel {
        which: usize,
        from: u32,
    },
    Forget {
        which: usize,
    },
    /// Some read that is under way comes to its end.
    Read {
        which: usize,
        all: bool,
    },
    Fail {
        which: usize,
    },
    Write {
        asker: u8,
        bytes: u64,
    },
    Gone {
        asker: u8,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let asker = 0..6_u8;
    prop_oneof![
        6 => (asker.clone(), 1..60_u32, 0..3_u8)
            .prop_map(|(asker, leaves, urgency)| Step::Ask { asker, leaves, urgency }),
        2 => (any::<usize>(), 0..60_u32).prop_map(|(which, from)| Step::Cancel { which, from }),
        1 => any::<usize>().prop_map(|which| Step::Forget { which }),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(which, all)| Step::Read { which, all }),
        1 => any::<usize>().prop_map(|which| Step::Fail { which }),
        6 => (asker.clone(), 1..3_000_000_u64)
            .prop_map(|(asker, bytes)| Step::Write { asker, bytes }),
        1 => asker.prop_map(|asker| Step::Gone { asker }),
        2 => (0..3000_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// What the model knows of a request.
#[derive(Debug)]
struct Known {
    asker: u8,
    leaves: u32,
    /// The least that it was cancelled from.
    cancelled: u32,
    delivered: u32,
}

#[derive(Default)]
struct Model {
    now: Time,
    next: u64,
    live: BTreeMap<Ticket, Known>,
    /// Reads under way: where they begin, and how many leaves at most.
    reads: BTreeMap<Ticket, (u32, u32, u64)>,
    unwritten: BTreeMap<u8, u64>,
}

const URGENCIES: [Urgency; 3] = [Urgency::Reader, Urgency::Download, Urgency::Repair];
const LEAF: u64 = 200_000;

/// Of three nodes, so that several ask for the same.
fn order(ticket: Ticket, leaves: u32, urgency: Urgency) -> Order {
    let run = Run {
        node: ticket.0 % 3,
        first: 0,
        count: leaves,
    };
    Order {
        ticket,
        urgency,
        leaves,
        runs: Arc::new([run]),
        bytes: u64::MAX,
        weight: 100,
        whole: None,
    }
}

impl Model {
    fn apply(&mut self, queues: &mut Queues<u8>, step: &Step) {
        match step {
            Step::Ask {
                asker,
                leaves,
                urgency,
            } => {
                self.next += 1;
                let ticket = Ticket(self.next);
                let known = Known {
                    asker: *asker,
                    leaves: *leaves,
                    cancelled: *leaves,
                    delivered: 0,
                };
                self.live.insert(ticket, known);
                let order = order(ticket, *leaves, URGENCIES[usize::from(*urgency)]);
                let asker = *asker;
                self.step(queues, Event::Asked { asker, order });
            }
            Step::Cancel { which, from } => {
                let Some(ticket) = nth(&self.live, *which) else {
                    return;
                };
                let from = *from;
                let known = self.live.get_mut(&ticket).unwrap();
                known.cancelled = known.cancelled.min(from);
                self.step(queues, Event::Cancel { ticket, from });
            }
            Step::Forget { which } => {
                if let Some(ticket) = nth(&self.live, *which) {
                    self.live.remove(&ticket);
                    self.step(queues, Event::Forget { ticket });
                }
            }
            Step::Read { which, all } => {
                if let Some(ticket) = nth(&self.reads, *which) {
                    self.read(queues, ticket, *all);
                }
            }
            Step::Fail { which } => {
                if let Some(ticket) = nth(&self.reads, *which) {
                    self.reads.remove(&ticket);
                    self.live.remove(&ticket);
                    self.step(queues, Event::Failed { ticket });
                }
            }
            Step::Write { asker, bytes } => {
                let there = self.unwritten.entry(*asker).or_default();
                let bytes = (*bytes).min(*there);
                *there -= bytes;
                let asker = *asker;
                self.step(queues, Event::Written { asker, bytes });
            }
            Step::Gone { asker } => {
                self.live.retain(|_, known| known.asker != *asker);
                self.unwritten.remove(asker);
                self.step(queues, Event::Gone(*asker));
            }
            Step::Pass { millis } => {
                self.now += Duration::from_millis(*millis);
                self.step(queues, Event::Tick);
            }
        }
    }

    fn read(&mut self, queues: &mut Queues<u8>, ticket: Ticket, all: bool) {
        let (from, count, max_bytes) = self.reads.remove(&ticket).unwrap();
        let fits = u32::try_from((max_bytes / LEAF).max(1)).unwrap_or(u32::MAX);
        let leaves = if all { count.min(fits) } else { 1 };
        let bytes = u64::from(leaves) * LEAF;
        if let Some(known) = self.live.get_mut(&ticket) {
            assert_eq!(known.delivered, from, "in order, without a gap");
            known.delivered += leaves;
            assert!(known.delivered <= known.leaves);
            *self.unwritten.entry(known.asker).or_default() += bytes;
            // Over, if nothing behind it is wanted; else the queues will say how it ends.
            if known.delivered == known.leaves {
                self.live.remove(&ticket);
            }
        }
        self.step(
            queues,
            Event::Read {
                ticket,
                leaves,
                bytes,
            },
        );
    }

    fn step(&mut self, queues: &mut Queues<u8>, event: Event<u8>) {
        for action in queues.step(self.now, event) {
            match action {
                Action::Read {
                    asker,
                    ticket,
                    from,
                    count,
                    max_bytes,
                } => {
                    let known = &self.live[&ticket];
                    assert_eq!(known.asker, asker);
                    assert_eq!(known.delivered, from);
                    assert!(count > 0 && from + count <= known.leaves);
                    assert!(
                        from < known.cancelled.max(1),
                        "what is cancelled is not read"
                    );
                    let before = self.reads.insert(ticket, (from, count, max_bytes));
                    assert!(before.is_none(), "one read at a time");
                    assert!(self.reads.len() <= Bounds::default().reads);
                }
                Action::Busy { ticket, .. } => {
                    assert!(self.live.remove(&ticket).is_some(), "it ends once");
                }
                Action::Cut { ticket, from, .. } => {
                    let known = self.live.remove(&ticket).expect("it ends once");
                    assert_eq!(known.delivered, from);
                    assert!(from >= known.cancelled, "nobody cancelled that");
                }
                Action::Close { asker } => {
                    self.live.retain(|_, known| known.asker != asker);
                    self.unwritten.remove(&asker);
                    self.step(queues, Event::Gone(asker));
                }
            }
        }
    }

    /// All reads come to their end, and all is written.
    fn drain(&mut self, queues: &mut Queues<u8>) {
        for _ in 0..10_000 {
            while let Some(ticket) = nth(&self.reads, 0) {
                self.read(queues, ticket, true);
            }
            for asker in 0..6 {
                let bytes = self.unwritten.remove(&asker).unwrap_or(0);
                self.step(queues, Event::Written { asker, bytes });
            }
            if self.reads.is_empty() && self.live.is_empty() {
                return;
            }
        }
        panic!("requests are never answered: {:?}", self.live);
    }
}

fn nth<T>(map: &BTreeMap<Ticket, T>, which: usize) -> Option<Ticket> {
    (!map.is_empty()).then(|| *map.keys().nth(which % map.len()).unwrap())
}

proptest! {
    #[test]
    fn every_request_is_answered_once_in_order(steps in prop::collection::vec(step(), 0..300)) {
        for slots in [None, Some(2)] {
            let bounds = Bounds { slots, ..Bounds::default() };
            let mut queues = Queues::new(bounds, 7);
            let mut model = Model::default();
            for step in &steps {
                model.apply(&mut queues, step);
                prop_assert!(queues.held() <= Bounds::default().memory + (8 << 20));
            }
            model.drain(&mut queues);
            prop_assert_eq!(queues.held(), 0);
            prop_assert_eq!(queues.outstanding(), 0);
            prop_assert_eq!((queues.weight, queues.leaves), (0, 0));
        }
    }
}
