//! Many who want the same: each leaf leaves once, and who asks for another copy looks for it elsewhere.

use std::sync::Arc;
use std::time::Duration;

use super::*;

const LEAF: u64 = 128 << 10;

/// Asks for leaves of a node, from `first` on.
fn order(ticket: u64, first: u32, count: u32) -> Order {
    Order {
        ticket: Ticket(ticket),
        urgency: Urgency::Download,
        leaves: count,
        runs: Arc::new([Run {
            node: 7,
            first,
            count,
        }]),
        bytes: u64::from(count) * LEAF,
        weight: 100,
        whole: None,
    }
}

/// Asks a question by request-response.
fn question(ticket: u64, bytes: u64) -> Order {
    Order {
        runs: Arc::default(),
        urgency: Urgency::Reader,
        bytes,
        whole: Some(64 << 10),
        ..order(ticket, 0, 1)
    }
}

/// One disk, so that turns come one by one.
fn queues() -> Queues<u32> {
    let bounds = Bounds {
        reads: 1,
        ..Bounds::default()
    };
    Queues::new(bounds, 0)
}

fn reads(actions: &[Action<u32>]) -> Vec<u64> {
    let read = |action: &Action<u32>| match action {
        Action::Read { ticket, .. } => Some(ticket.0),
        _ => None,
    };
    actions.iter().filter_map(read).collect()
}

fn busy(actions: &[Action<u32>]) -> Vec<(u64, Duration)> {
    let busy = |action: &Action<u32>| match action {
        Action::Busy { ticket, retry, .. } => Some((ticket.0, *retry)),
        _ => None,
    };
    actions.iter().filter_map(busy).collect()
}

fn ask(queues: &mut Queues<u32>, now: Time, asker: u32, order: Order) -> Vec<Action<u32>> {
    queues.step(now, Event::Asked { asker, order })
}

/// A read is done and its leaf leaves: what is read next, at once or then.
fn goes(queues: &mut Queues<u32>, now: Time, asker: u32, ticket: u64) -> Vec<u64> {
    let read = Event::Read {
        ticket: Ticket(ticket),
        leaves: 1,
        bytes: LEAF,
    };
    let mut next = reads(&queues.step(now, read));
    let written = Event::Written { asker, bytes: LEAF };
    next.extend(reads(&queues.step(now, written)));
    next
}

const START: Time = Time::ZERO;

#[test]
fn who_asks_for_what_nobody_was_given_goes_first() {
    let mut queues = queues();
    assert_eq!(reads(&ask(&mut queues, START, 1, order(1, 0, 1))), [1]);
    ask(&mut queues, START, 2, order(2, 0, 1));
    ask(&mut queues, START, 3, order(3, 1, 1));
    ask(&mut queues, START, 4, order(4, 1, 1));
    assert_eq!(goes(&mut queues, START, 1, 1), [3]);
    // Nobody asks for anything new: then those who were put off, in their order.
    assert_eq!(goes(&mut queues, START, 3, 3), [2]);
    assert_eq!(goes(&mut queues, START, 2, 2), [4]);
}

#[test]
fn of_its_own_requests_that_one_is_read_first_of_which_nothing_was_given() {
    let mut queues = queues();
    ask(&mut queues, START, 1, order(1, 0, 1));
    ask(&mut queues, START, 2, order(2, 0, 1));
    ask(&mut queues, START, 2, order(3, 1, 1));
    assert_eq!(goes(&mut queues, START, 1, 1), [3]);
}

#[test]
fn a_reader_is_not_put_off() {
    let mut queues = queues();
    ask(&mut queues, START, 1, order(1, 0, 1));
    let urgency = Urgency::Reader;
    let urgent = Order {
        urgency,
        ..order(2, 0, 1)
    };
    ask(&mut queues, START, 2, urgent);
    ask(&mut queues, START, 3, order(3, 1, 1));
    assert_eq!(goes(&mut queues, START, 1, 1), [2]);
}

#[test]
fn who_is_put_off_for_long_is_sent_away_and_served_when_it_comes_back_for_the_same() {
    let mut queues = queues();
    ask(&mut queues, START, 1, order(1, 0, 1));
    ask(&mut queues, START, 2, order(2, 0, 1));
    for child in 3..20 {
        ask(&mut queues, START, 1, order(child.into(), child, 1));
    }
    // The newcomer's turn is the fourth.
    let mut next = 1;
    for _ in 0..6 {
        let then = goes(&mut queues, START, 1, next);
        assert!(then.len() == 1 && then[0] > 2, "{then:?}");
        next = then[0];
    }
    let told = queues.step(Duration::from_millis(1100), Event::Tick);
    assert_eq!(busy(&told), [(2, Duration::from_secs(1))]);
    let again = Duration::from_millis(2100);
    ask(&mut queues, again, 2, order(100, 0, 1));
    let mut had = Vec::new();
    while next != 100 && had.len() < 8 {
        next = goes(&mut queues, again, 1, next)[0];
        had.push(next);
    }
    assert_eq!(next, 100, "its turn comes as any other's: {had:?}");
}

#[test]
fn who_is_put_off_and_nobody_before_it_is_not_sent_away() {
    let mut queues = queues();
    ask(&mut queues, START, 1, order(1, 0, 1));
    ask(&mut queues, START, 2, order(2, 0, 1));
    ask(&mut queues, START, 3, order(3, 0, 1));
    let next = goes(&mut queues, START, 1, 1);
    let told = queues.step(Duration::from_secs(5), Event::Tick);
    assert_eq!((next, busy(&told)), (vec![2], Vec::new()));
}

#[test]
fn what_brings_no_blocks_waits_behind_none() {
    let mut queues = Queues::new(Bounds::default(), 0);
    // Nobody takes anything: pipes and the gate are full.
    for asker in 0..64 {
        let first = asker * 100;
        let actions = ask(&mut queues, START, asker, order(asker.into(), first, 64));
        let mut reading = reads(&actions);
        while let Some(ticket) = reading.pop() {
            let (leaves, bytes) = (2, 2 * LEAF);
            let ticket = Ticket(ticket);
            let read = Event::Read {
                ticket,
                leaves,
                bytes,
            };
            reading.extend(reads(&queues.step(START, read)));
        }
    }
    assert!(queues.held() < 4 << 20, "{}", queues.held());
    let blocks = [order(100, 7000, 1), question(101, 1 << 20)];
    for order in blocks {
        let begun = reads(&ask(&mut queues, START, 0, order));
        assert!(begun.is_empty(), "{begun:?}");
    }
    assert_eq!(reads(&ask(&mut queues, START, 0, question(102, 0))), [102]);
}

#[test]
fn of_many_who_wait_for_inner_nodes_those_stay_that_have_them_soon() {
    let mut queues = queues();
    // An uplink that takes 1 MiB each second.
    let mut now = START;
    let (asker, bytes) = (1000, LEAF);
    for ticket in 0..8 {
        ask(
            &mut queues,
            now,
            asker,
            order(ticket, u32::try_from(ticket).unwrap(), 1),
        );
        let (ticket, leaves) = (Ticket(ticket), 1);
        let read = Event::Read {
            ticket,
            leaves,
            bytes,
        };
        queues.step(now, read);
        now += Duration::from_millis(125);
        queues.step(now, Event::Written { asker, bytes });
    }
    ask(&mut queues, now, asker, order(50, 50, 1));
    for asker in 0..100 {
        let question = question(100 + u64::from(asker), 1 << 20);
        assert_eq!(busy(&ask(&mut queues, now, asker, question)), []);
    }
    let told = busy(&queues.step(now + Duration::from_secs(2), Event::Tick));
    assert_eq!(told.len(), 100 - 16, "16 of 64 KiB are a second");
    let first = told.first().map(|(ticket, _)| *ticket);
    assert_eq!(first, Some(100 + 16), "the oldest stay");
}
