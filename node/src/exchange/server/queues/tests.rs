//! The queues' rules, one by one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;

const MIB: u64 = 1 << 20;

fn order(ticket: u64, leaves: u32) -> Order {
    Order {
        ticket: Ticket(ticket),
        urgency: Urgency::Download,
        leaves,
        runs: Arc::default(),
        bytes: u64::MAX,
        weight: 100,
        whole: None,
    }
}

fn ask(queues: &mut Queues<u32>, asker: u32, order: Order) -> Vec<Action<u32>> {
    queues.step(Time::ZERO, Event::Asked { asker, order })
}

/// Settles the read of a ticket whole, and says what is read next.
fn settle(queues: &mut Queues<u32>, ticket: u64, leaves: u32, bytes: u64) -> Vec<Action<u32>> {
    let ticket = Ticket(ticket);
    queues.step(
        Time::ZERO,
        Event::Read {
            ticket,
            leaves,
            bytes,
        },
    )
}

fn reads(actions: &[Action<u32>]) -> Vec<(u64, u32, u32)> {
    let read = |action: &Action<u32>| match action {
        Action::Read {
            ticket,
            from,
            count,
            ..
        } => Some((ticket.0, *from, *count)),
        _ => None,
    };
    actions.iter().filter_map(read).collect()
}

fn written(queues: &mut Queues<u32>, asker: u32, bytes: u64) -> Vec<Action<u32>> {
    queues.step(Time::ZERO, Event::Written { asker, bytes })
}

#[test]
fn a_request_is_read_in_pieces_one_after_another() {
    let mut queues = Queues::new(Bounds::default(), 0);
    assert_eq!(reads(&ask(&mut queues, 1, order(1, 40))), [(1, 0, 16)]);
    assert_eq!(reads(&settle(&mut queues, 1, 16, 1600)), [(1, 16, 16)]);
    // A piece ends where its bytes do.
    assert_eq!(reads(&settle(&mut queues, 1, 4, 400)), [(1, 20, 16)]);
    assert_eq!(reads(&settle(&mut queues, 1, 16, 1600)), [(1, 36, 4)]);
    assert_eq!(settle(&mut queues, 1, 4, 400), []);
    assert_eq!(queues.outstanding(), 0);
    assert_eq!(queues.held(), 4000);
    written(&mut queues, 1, 4000);
    assert_eq!(queues.held(), 0);
}

#[test]
fn the_pipe_is_filled_and_no_more_is_read() {
    let mut queues = Queues::new(Bounds::default(), 0);
    ask(&mut queues, 1, order(1, 100));
    let mut next = settle(&mut queues, 1, 1, MIB);
    let mut held = MIB;
    while !next.is_empty() {
        next = settle(&mut queues, 1, 1, MIB);
        held += MIB;
    }
    assert_eq!(queues.held(), held);
    assert!(held <= Bounds::default().pipe);
    assert_eq!(reads(&written(&mut queues, 1, held)).len(), 1);
}

#[test]
fn urgency_orders_an_askers_own_requests_and_no_others() {
    let mut queues = Queues::new(Bounds::default(), 0);
    // The reads are taken by others.
    for (ticket, asker) in (1..=4).zip(90..) {
        ask(&mut queues, asker, order(ticket, 1));
    }
    let urgent = |ticket, urgency| Order {
        urgency,
        ..order(ticket, 1)
    };
    ask(&mut queues, 1, urgent(10, Urgency::Repair));
    ask(&mut queues, 1, urgent(11, Urgency::Download));
    ask(&mut queues, 1, urgent(12, Urgency::Reader));
    ask(&mut queues, 2, urgent(20, Urgency::Repair));
    let (mut order, mut under_way) = (Vec::new(), VecDeque::from([1, 2, 3, 4]));
    while let Some(ticket) = under_way.pop_front() {
        for (next, ..) in reads(&settle(&mut queues, ticket, 1, 100)) {
            order.push(next);
            under_way.push_back(next);
        }
    }
    assert_eq!(order.len(), 4);
    let own: Vec<u64> = order.iter().copied().filter(|t| *t < 20).collect();
    assert_eq!(own, [12, 11, 10]);
}

#[test]
fn a_newcomer_is_served_before_those_who_have_had_something() {
    let mut queues = Queues::new(Bounds::default(), 0);
    let mut under_way = Vec::new();
    for asker in 1..=20 {
        for ticket in 0..20 {
            let order = order(u64::from(asker) * 100 + ticket, 1);
            under_way.extend(reads(&ask(&mut queues, asker, order)));
        }
    }
    // Until all of them have had something.
    for _ in 0..100 {
        let (ticket, ..) = under_way.remove(0);
        under_way.extend(reads(&settle(&mut queues, ticket, 1, MIB / 4)));
        for asker in 1..=20 {
            under_way.extend(reads(&written(&mut queues, asker, MIB / 4)));
        }
    }
    ask(&mut queues, 99, order(1, 1));
    let mut turns = 0;
    while under_way.iter().all(|(ticket, ..)| *ticket != 1) {
        let (ticket, ..) = under_way.remove(0);
        under_way.extend(reads(&settle(&mut queues, ticket, 1, MIB / 4)));
        for asker in 1..=20 {
            under_way.extend(reads(&written(&mut queues, asker, MIB / 4)));
        }
        turns += 1;
    }
    assert!(turns <= 4, "{turns} of others came first");
}

#[test]
fn what_is_cancelled_is_not_read_and_said_to_be_cut() {
    let mut queues = Queues::new(Bounds::default(), 0);
    ask(&mut queues, 1, order(1, 40));
    let cancel = |queues: &mut Queues<u32>, ticket, from| {
        let ticket = Ticket(ticket);
        queues.step(Time::ZERO, Event::Cancel { ticket, from })
    };
    // What is being read comes.
    assert_eq!(cancel(&mut queues, 1, 5), []);
    let cut = Action::Cut {
        asker: 1,
        ticket: Ticket(1),
        from: 16,
    };
    assert_eq!(settle(&mut queues, 1, 16, 1600), [cut]);
    // One that waits.
    for ticket in 2..=5 {
        ask(&mut queues, 1, order(ticket, 1));
    }
    ask(&mut queues, 1, order(6, 3));
    let cut = |from| Action::Cut {
        asker: 1,
        ticket: Ticket(6),
        from,
    };
    assert_eq!(cancel(&mut queues, 6, 2), [], "two leaves are still wanted");
    assert_eq!(cancel(&mut queues, 6, 0), [cut(0)]);
    assert_eq!(cancel(&mut queues, 6, 0), [], "it is over");
}

#[test]
fn a_storm_of_cancels_leaves_nothing_behind() {
    let mut queues = Queues::new(Bounds::default(), 0);
    let mut reading = Vec::new();
    for ticket in 0..10_000 {
        reading.extend(reads(&ask(&mut queues, 1, order(ticket, 64))));
        let ticket = Ticket(ticket);
        queues.step(Time::ZERO, Event::Cancel { ticket, from: 0 });
    }
    for (ticket, ..) in reading {
        settle(&mut queues, ticket, 1, 100);
    }
    assert_eq!(queues.outstanding(), 0);
    assert_eq!((queues.weight, queues.leaves), (0, 0));
    written(&mut queues, 1, u64::MAX);
    assert_eq!(queues.held(), 0);
    // And it is served as before.
    assert_eq!(reads(&ask(&mut queues, 1, order(10_000, 1))).len(), 1);
}

#[test]
fn beyond_the_bounds_the_answer_is_busy_with_a_time() {
    let mut queues = Queues::new(Bounds::default(), 0);
    let mut busy = 0;
    for ticket in 0..5000 {
        for action in ask(&mut queues, 1, order(ticket, 64)) {
            if let Action::Busy { retry, .. } = action {
                assert!((SOONEST..=LATEST).contains(&retry));
                busy += 1;
            }
        }
    }
    assert!(busy > 4800, "{busy}");
    assert!(queues.outstanding() <= Bounds::default().requests);
    // Nobody else notices.
    let other = ask(&mut queues, 2, order(9999, 1));
    assert!(!matches!(other[..], [Action::Busy { .. }]), "{other:?}");
}

#[test]
fn who_goes_leaves_nothing_even_while_something_is_read() {
    let mut queues = Queues::new(Bounds::default(), 0);
    ask(&mut queues, 1, order(1, 2));
    ask(&mut queues, 1, order(2, 1));
    queues.step(Time::ZERO, Event::Gone(1));
    assert_eq!(queues.outstanding(), 0);
    assert!(queues.held() > 0, "a read is under way");
    // It comes back in the meantime.
    ask(&mut queues, 1, order(3, 1));
    for ticket in 1..=3 {
        settle(&mut queues, ticket, 1, 100);
    }
    assert_eq!(queues.held(), 100);
}

#[test]
fn an_answer_in_one_message_is_read_at_once() {
    let mut queues = Queues::new(Bounds::default(), 0);
    let whole = Order {
        whole: Some(0),
        bytes: 7 * MIB,
        ..order(1, 4000)
    };
    let actions = ask(&mut queues, 1, whole);
    let [
        Action::Read {
            count, max_bytes, ..
        },
    ] = actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!((count, max_bytes), (4000, 7 * MIB));
    assert_eq!(settle(&mut queues, 1, 4000, 7 * MIB), []);
    assert_eq!(queues.outstanding(), 0);
}

#[test]
fn an_answer_in_one_message_is_charged_for_its_work_and_tells_nothing_of_leaves() {
    let mut queues = Queues::new(Bounds::default(), 0);
    // The reads are taken by others.
    for (ticket, asker) in (1..=4).zip(90..) {
        ask(&mut queues, asker, order(ticket, 1));
    }
    for ticket in 100..200 {
        let whole = Some(MIB / 2);
        ask(
            &mut queues,
            1,
            Order {
                whole,
                ..order(ticket, 1)
            },
        );
        ask(&mut queues, 2, order(100 + ticket, 1));
    }
    let (mut mine, mut others) = (0, 0);
    let mut under_way: Vec<u64> = (1..=4).collect();
    while others < 50 {
        let ticket = under_way.remove(0);
        let (leaves, bytes) = if (100..200).contains(&ticket) {
            (u32::MAX, 0)
        } else {
            (1, MIB / 2)
        };
        let mut next = reads(&settle(&mut queues, ticket, leaves, bytes));
        for asker in [1, 2, 90, 91, 92, 93] {
            next.extend(reads(&written(&mut queues, asker, bytes)));
        }
        for (ticket, ..) in next {
            (mine, others) = match ticket {
                100..200 => (mine + 1, others),
                _ => (mine, others + 1),
            };
            under_way.push(ticket);
        }
    }
    // Nothing is ever written to it, so its rate is not known and it has one read at a time: it may have
    // less than its half, and must not have more.
    assert!(
        (10..=60).contains(&mine),
        "{mine} answers of no bytes while others had 50"
    );
    assert_eq!(queues.askers[&1].expected_of(&order(0, 1)), FIRST_LEAF);
}

mod slots {
    use super::*;

    fn open(slots: usize) -> Queues<u32> {
        let bounds = Bounds {
            slots: Some(slots),
            ..Bounds::default()
        };
        Queues::new(bounds, 3)
    }

    /// Who is served when all of `askers` ask at `now`, and is answered at once.
    fn served(queues: &mut Queues<u32>, now: Time, askers: &[u32], next: &mut u64) -> Vec<u32> {
        let mut served = Vec::new();
        for asker in askers {
            *next += 1;
            let order = order(*next, 32);
            let asker = *asker;
            let mut actions = queues.step(now, Event::Asked { asker, order });
            while let Some(action) = actions.pop() {
                if let Action::Read {
                    asker,
                    ticket,
                    count,
                    ..
                } = action
                {
                    served.push(asker);
                    let bytes = 1000;
                    let leaves = count;
                    actions.extend(queues.step(
                        now,
                        Event::Read {
                            ticket,
                            leaves,
                            bytes,
                        },
                    ));
                    actions.extend(queues.step(now, Event::Written { asker, bytes }));
                }
            }
        }
        served.sort_unstable();
        served
    }

    const ALL: [u32; 20] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ];

    #[test]
    fn all_are_served_while_they_are_fewer_than_slots() {
        let (mut queues, mut next) = (open(4), 0);
        for second in 0..60 {
            let now = Duration::from_secs(second);
            let served = served(&mut queues, now, &[1, 2, 3, 4, 5], &mut next);
            assert_eq!(served, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "at {second} s");
        }
    }

    #[test]
    fn who_gives_has_a_slot_and_the_others_wait_but_not_for_ever() {
        let (mut queues, mut next) = (open(4), 0);
        let givers = [3, 8, 12, 17];
        let mut last = [0_u64; 20];
        let mut whole = [0_u32; 20];
        for second in 0..300 {
            let now = Duration::from_secs(second);
            for peer in givers {
                queues.step(now, Event::Gave { peer, bytes: MIB });
            }
            let served = served(&mut queues, now, &ALL, &mut next);
            for asker in ALL {
                let pieces = served.iter().filter(|one| **one == asker).count();
                if pieces > 0 {
                    last[asker as usize] = second;
                }
                whole[asker as usize] += u32::from(pieces == 2);
                assert!(second - last[asker as usize] <= 21, "{asker} starves");
                if givers.contains(&asker) && second > 20 {
                    assert_eq!(pieces, 2, "{asker} has a slot at {second} s");
                }
            }
        }
        for asker in ALL.into_iter().filter(|asker| !givers.contains(asker)) {
            assert!(whole[asker as usize] < 90, "{asker} gave nothing");
        }
        let had_it = ALL.iter().filter(|asker| whole[**asker as usize] >= 20);
        assert!(
            had_it.count() >= 4 + 6,
            "the slot that goes round went round"
        );
    }

    #[test]
    fn who_is_through_makes_room_before_the_next_round() {
        let (mut queues, mut next) = (open(2), 0);
        let now = Duration::from_secs(11);
        queues.step(now, Event::Tick);
        assert_eq!(served(&mut queues, now, &[1, 2, 3], &mut next).len(), 6);
        // The first three are gone without a word; others come one by one, well within the round.
        for newcomer in 4..8 {
            let now = now + Duration::from_secs(2 * u64::from(newcomer - 3));
            let pieces = served(&mut queues, now, &[newcomer], &mut next);
            assert_eq!(pieces, [newcomer, newcomer], "all that it asked for");
        }
    }

    #[test]
    fn a_choked_asker_comes_back_well_before_the_next_round() {
        let (mut queues, mut next) = (open(2), 0);
        let now = Duration::from_secs(1);
        queues.step(now, Event::Tick);
        served(&mut queues, now, &ALL, &mut next);
        let order = order(9999, 1);
        let now = Duration::from_secs(2);
        let actions = queues.step(now, Event::Asked { asker: 19, order });
        let [Action::Busy { retry, .. }] = actions[..] else {
            panic!("{actions:?}")
        };
        assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&retry));
    }

    #[test]
    fn who_loses_its_slot_is_told_so_for_what_waits() {
        let mut queues = open(1);
        let asker_of = |queues: &mut Queues<u32>, asker, ticket, now| {
            let order = order(ticket, 100);
            queues.step(now, Event::Asked { asker, order })
        };
        // 1 and 2 have slots; 3 and 4 give more than they.
        for (asker, ticket) in [(1, 1), (1, 11), (2, 2), (2, 12)] {
            asker_of(&mut queues, asker, ticket, Time::ZERO);
        }
        let now = Duration::from_secs(9);
        for peer in [3, 4] {
            asker_of(&mut queues, peer, u64::from(peer), now);
            queues.step(now, Event::Gave { peer, bytes: MIB });
        }
        let now = Duration::from_secs(20);
        let mut busy: Vec<u32> = queues
            .step(now, Event::Tick)
            .into_iter()
            .filter_map(|action| match action {
                Action::Busy { asker, .. } => Some(asker),
                _ => None,
            })
            .collect();
        busy.dedup();
        assert!(
            !busy.is_empty() && busy.iter().all(|asker| [1, 2].contains(asker)),
            "{busy:?}"
        );
    }
}
