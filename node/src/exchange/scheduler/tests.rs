//! The scheduler's rules, one at a time; `sim` has them all at once.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use store::cid::Codec;

use super::sim::{Dag, Done, Fault, Node, Setup, World, appeared};
use super::*;

const STALL: Duration = Duration::from_secs(20);

fn task(dag: &Dag, mode: Mode) -> Task {
    Task {
        root: dag.root.unwrap(),
        mode,
        stall: STALL,
        limits: Limits::default(),
        seed: 1,
    }
}

fn file(leaves: usize, size: u32) -> Dag {
    Dag::file(leaves, size, 64)
}

/// A peer of `rate` bytes per second that has everything.
fn peer(dag: &Dag, rate: u64, trip_ms: u64) -> Node {
    Node::new(rate, rate, Duration::from_millis(trip_ms)).holds_all(dag)
}

/// One download from these peers.
fn download(dag: &Dag, limits: Limits, stall: Duration, mut nodes: Vec<Node>) -> Done {
    nodes.push(Node::new(100 << 20, 1 << 30, Duration::from_millis(1)).downloads(Time::ZERO));
    let seed = 1;
    let setup = Setup {
        limits,
        stall,
        seed,
        ..Setup::default()
    };
    World::new(dag, setup, nodes).run().only()
}

#[test]
fn memory_does_not_grow_with_the_content() {
    let dag = file(20_000, 1000);
    let limits = Limits {
        known_blocks: 512,
        ..Limits::default()
    };
    let run = download(&dag, limits, STALL, vec![peer(&dag, 100 << 20, 1)]);
    assert_eq!(run.end, Action::Finished);
    // 313 inner nodes below the root, the limit, and one node that reached over it.
    let most = run.most_known;
    assert!(most <= 512 + 313 + 64, "{most} blocks known at once");
    assert!(
        run.most_kept < 1 << 20,
        "{} bytes for one peer",
        run.most_kept
    );
}

#[test]
fn a_liar_is_dropped_and_named_and_the_rest_comes_from_the_honest() {
    let dag = file(100, 100_000);
    let liar = peer(&dag, 90 << 20, 1).fault(Fault::Lies(2));
    let nodes = vec![peer(&dag, 1 << 20, 50), liar];
    let run = download(&dag, Limits::default(), STALL, nodes);
    assert_eq!(run.end, Action::Finished);
    assert!(
        matches!(run.dropped[..], [(1, Reason::Lied(_))]),
        "{:?}",
        run.dropped
    );
}

#[test]
fn a_silent_peer_costs_its_deadline() {
    let dag = file(100, 100_000);
    let honest = peer(&dag, 1 << 20, 50).appears(Duration::from_millis(200));
    let nodes = vec![peer(&dag, 1, 1).fault(Fault::Dead), honest];
    let run = download(&dag, Limits::default(), STALL, nodes);
    assert_eq!(run.end, Action::Finished);
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
}

#[test]
fn nobody_has_it() {
    let dag = file(3, 1000);
    let run = download(&dag, Limits::default(), STALL, Vec::new());
    let Action::Fail(Defeat::NotFound { cid, tried }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(
        (cid, tried.as_str()),
        (dag.root.unwrap(), "no provider was found")
    );
    let empty = peer(&dag, 1 << 20, 5).holds(&dag, |_| false);
    let run = download(&dag, Limits::default(), STALL, vec![empty]);
    let Action::Fail(Defeat::NotFound { tried, .. }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(tried, "1 provider asked, none has it");
    assert!(run.took <= STALL + Duration::from_secs(1));
}

#[test]
fn a_stall_says_what_it_waited_for() {
    let dag = file(3, 1000);
    let dead = (0..3)
        .map(|_| peer(&dag, 1, 1).fault(Fault::Dead))
        .collect();
    let stall = Duration::from_secs(10);
    let run = download(&dag, Limits::default(), stall, dead);
    let Action::Fail(Defeat::Stalled { waited, state }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(
        (waited, state.as_str()),
        (stall, "3 providers, none answered")
    );
    // All inner nodes and some leaves are to be had, and no more.
    let partial = peer(&dag, 1 << 20, 5).holds(&dag, |cid| *cid != dag.order[1]);
    let run = download(&dag, Limits::default(), STALL, vec![partial]);
    let Action::Fail(Defeat::Stalled { state, .. }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(state, "1 provider, none has the 1 missing blocks");
}

#[test]
fn what_is_here_needs_no_network() {
    let dag = Dag::random(&mut StdRng::seed_from_u64(5), 300, 100_000);
    let all = peer(&dag, 1 << 20, 1).downloads(Time::ZERO);
    let run = World::new(&dag, Setup::default(), vec![all]).run().only();
    assert_eq!(run.end, Action::Finished);
    assert!(run.took < Duration::from_millis(100), "{:?}", run.took);
}

/// Sends an event and returns the actions but for the last.
fn step(scheduler: &mut Scheduler<u32>, event: Event<u32>) -> Vec<Action<u32>> {
    let mut actions = scheduler.step(Time::from_millis(1), event);
    assert!(matches!(actions.pop(), Some(Action::WaitUntil(_))));
    actions
}

#[test]
fn on_demand_fetches_what_a_reader_asks_for_and_no_more() {
    let dag = file(100, 1000);
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::OnDemand));
    assert_eq!(step(&mut scheduler, appeared(7)), []);
    assert_eq!(
        step(&mut scheduler, Event::Wants(vec![root])),
        [Action::LookUp(root)]
    );
    let asked = step(&mut scheduler, Event::Absent(root));
    let [
        Action::Manifest {
            request,
            peer: 7,
            nodes,
            ..
        },
        Action::FindPeers,
    ] = &asked[..]
    else {
        panic!("{asked:?}")
    };
    assert_eq!(nodes, &[root]);
    let inner = dag.links(&root);
    let stored = |cid| Outcome::Stored(dag.stored(cid, |_| false, |_| true));
    let blocks = vec![stored(&root), stored(&inner[0])];
    let answer = Answer {
        request: *request,
        blocks,
        more: false,
        lie: None,
        over: true,
    };
    assert_eq!(
        step(&mut scheduler, Event::Answer(answer)),
        [],
        "nothing is wanted any more"
    );
    let leaf = dag.links(&inner[0])[5];
    let asked = step(&mut scheduler, Event::Wants(vec![leaf]));
    let gets = asked
        .iter()
        .filter(|action| matches!(action, Action::Get { .. }));
    assert_eq!(gets.count(), 1, "{asked:?}");
    let Some(Action::Get {
        leaves, extents, ..
    }) = asked.first()
    else {
        panic!("{asked:?}")
    };
    assert_eq!(leaves, &[leaf]);
    assert_eq!(
        (extents[0].node, extents[0].first, extents[0].count),
        (inner[0], 5, 1)
    );
}

#[test]
fn who_gave_the_root_is_not_asked_for_it_again_while_it_is_verified() {
    let dag = file(100, 1000);
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::OnDemand));
    step(&mut scheduler, appeared(7));
    step(&mut scheduler, Event::Wants(vec![root]));
    let asked = step(&mut scheduler, Event::Absent(root));
    let [Action::Manifest { request, .. }, ..] = asked[..] else {
        panic!("{asked:?}")
    };
    let came = Event::Received {
        request,
        bytes: 1000,
        over: true,
    };
    assert_eq!(step(&mut scheduler, came), []);
    // Another may be asked meanwhile: what came may be a lie.
    let asked = step(&mut scheduler, appeared(8));
    assert!(
        matches!(asked[..], [Action::Manifest { peer: 8, .. }]),
        "{asked:?}"
    );
}

#[test]
fn what_a_reader_waits_for_comes_first() {
    let dag = file(200, 1 << 20);
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::Whole));
    step(&mut scheduler, Event::Tick);
    step(&mut scheduler, Event::Absent(root));
    let asked = step(&mut scheduler, appeared(7));
    let Some(Action::Manifest { request, .. }) = asked.first() else {
        panic!("{asked:?}")
    };
    let last = dag.links(dag.links(&root).last().unwrap())[3];
    step(&mut scheduler, Event::Wants(vec![last]));
    step(&mut scheduler, Event::Absent(last));
    let inner = dag.order.iter().rev().filter(|cid| !dag.is_leaf(cid));
    let blocks = inner
        .map(|cid| Outcome::Stored(dag.stored(cid, |_| false, |_| true)))
        .collect();
    let answer = Answer {
        request: *request,
        blocks,
        more: false,
        lie: None,
        over: true,
    };
    let asked = step(&mut scheduler, Event::Answer(answer));
    let Some(Action::Get { leaves, .. }) = asked.first() else {
        panic!("{asked:?}")
    };
    assert_eq!(leaves[0], last, "before the first leaf of the file");
}

#[test]
fn a_leaf_with_links_is_a_lie_of_whoever_called_it_one() {
    let dag = file(100, 1000);
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::Whole));
    step(&mut scheduler, Event::Tick);
    step(&mut scheduler, Event::Absent(root));
    let asked = step(&mut scheduler, appeared(7));
    let Some(Action::Manifest { request, .. }) = asked.first() else {
        panic!("{asked:?}")
    };
    let mut lying = dag.stored(&root, |_| false, |_| false);
    lying
        .children
        .iter_mut()
        .for_each(|child| child.leaf = true);
    let blocks = vec![Outcome::Stored(lying)];
    let answer = Answer {
        request: *request,
        blocks,
        more: false,
        lie: None,
        over: true,
    };
    let asked = step(&mut scheduler, Event::Answer(answer));
    let Some(Action::Get {
        request, leaves, ..
    }) = asked.first()
    else {
        panic!("{asked:?}")
    };
    let inner = dag.stored(&leaves[0], |_| false, |_| true);
    let blocks = vec![Outcome::Stored(inner)];
    let answer = Answer {
        request: *request,
        blocks,
        more: false,
        lie: None,
        over: true,
    };
    let acted = step(&mut scheduler, Event::Answer(answer));
    let lied = Reason::Lied(format!("it called `{}` a leaf, which has links", leaves[0]));
    assert!(
        acted.contains(&Action::Drop {
            peer: 7,
            reason: lied
        }),
        "{acted:?}"
    );
}

#[test]
fn a_busy_peer_is_left_alone_until_its_time() {
    let dag = file(10, 1000);
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::Whole));
    step(&mut scheduler, Event::Tick);
    step(&mut scheduler, Event::Absent(root));
    let asked = step(&mut scheduler, appeared(7));
    let Some(Action::Manifest { request, .. }) = asked.first() else {
        panic!("{asked:?}")
    };
    let retry = Duration::from_secs(3);
    let waits = scheduler.step(
        Time::ZERO,
        Event::Busy {
            request: *request,
            retry,
        },
    );
    // Who else there is it may know all the same.
    let again = Duration::from_secs(1);
    assert_eq!(
        waits,
        [Action::AskPeers { peer: 7 }, Action::WaitUntil(again)]
    );
    let waits = scheduler.step(again, Event::Tick);
    assert_eq!(
        waits,
        [Action::AskPeers { peer: 7 }, Action::WaitUntil(retry)]
    );
    let asked = scheduler.step(retry, Event::Tick);
    assert!(
        matches!(asked[..], [Action::Manifest { .. }, ..]),
        "{asked:?}"
    );
}

#[test]
fn a_dag_that_doubles_at_each_level_is_walked_once() {
    let mut dag = Dag::default();
    let mut top = dag.add(Codec::Raw, 1000, Vec::new());
    for _ in 0..200 {
        top = dag.add(Codec::DagPb, 100, vec![top, top]);
    }
    let run = download(&dag, Limits::default(), STALL, vec![peer(&dag, 1 << 20, 5)]);
    assert_eq!(run.end, Action::Finished);
    assert_eq!(run.twice, 0);
}

#[test]
fn a_dag_too_deep_for_memory_is_refused() {
    let mut dag = Dag::default();
    let mut top = dag.add(Codec::Raw, 1000, Vec::new());
    for _ in 0..2000 {
        top = dag.add(Codec::DagPb, 100, vec![top]);
    }
    let limits = Limits {
        known_blocks: 100,
        ..Limits::default()
    };
    let run = download(&dag, limits, STALL, vec![peer(&dag, 1 << 20, 5)]);
    assert!(
        matches!(run.end, Action::Fail(Defeat::TooWide { .. })),
        "{:?}",
        run.end
    );
    assert!(run.most_known <= 500, "{}", run.most_known);
}

/// Does what the scheduler says until it rests. One peer has everything, and gives by each answer
/// what was asked for by name, and no more.
fn settle(
    scheduler: &mut Scheduler<u32>,
    dag: &Dag,
    here: &mut HashSet<store::Cid>,
    event: Event<u32>,
) {
    let mut todo = step(scheduler, event);
    while let Some(action) = todo.pop() {
        let (request, cids) = match action {
            Action::LookUp(cid) if here.contains(&cid) => {
                let found = Event::Found(dag.stored(&cid, |c| here.contains(c), |_| true));
                todo.extend(step(scheduler, found));
                continue;
            }
            Action::LookUp(cid) => {
                todo.extend(step(scheduler, Event::Absent(cid)));
                continue;
            }
            Action::Manifest { request, nodes, .. } => (request, nodes),
            Action::Get {
                request, leaves, ..
            } => (request, leaves),
            Action::FindPeers | Action::AskPeers { .. } => continue,
            Action::Have { request, nodes, .. } => {
                let held = Held::All;
                let page = |node| Page {
                    node,
                    held: held.clone(),
                };
                let pages = nodes.into_iter().map(page).collect();
                todo.extend(step(scheduler, Event::Have { request, pages }));
                continue;
            }
            other => panic!("{other:?}"),
        };
        here.extend(&cids);
        let stored = |cid| Outcome::Stored(dag.stored(cid, |c| here.contains(c), |_| true));
        let blocks = cids.iter().map(stored).collect();
        let answer = Answer {
            request,
            blocks,
            more: true,
            lie: None,
            over: true,
        };
        todo.extend(step(scheduler, Event::Answer(answer)));
    }
}

/// A reader goes through everything, then jumps about, with memory for a part of it.
#[test]
fn on_demand_forgets_what_it_has_no_room_for_and_still_finds_it() {
    let dag = file(1000, 1000);
    let root = dag.root.unwrap();
    let mut task = task(&dag, Mode::OnDemand);
    task.limits.known_blocks = 150;
    let mut scheduler = Scheduler::new(task);
    step(&mut scheduler, appeared(7));
    let mut here = HashSet::new();
    let mut want = |scheduler: &mut Scheduler<u32>, cids: Vec<store::Cid>| {
        let missing: Vec<_> = cids.into_iter().filter(|cid| !here.contains(cid)).collect();
        settle(scheduler, &dag, &mut here, Event::Wants(missing.clone()));
        assert!(
            missing.iter().all(|cid| here.contains(cid)),
            "all that was wanted came"
        );
        assert!(
            scheduler.tree.items.len() <= 150 + 64,
            "{}",
            scheduler.tree.items.len()
        );
    };
    want(&mut scheduler, vec![root]);
    let nodes = dag.links(&root);
    for node in nodes {
        want(&mut scheduler, vec![*node]);
        for leaves in dag.links(node)[..40.min(dag.links(node).len())].chunks(16) {
            want(&mut scheduler, leaves.to_vec());
        }
    }
    for node in nodes {
        want(&mut scheduler, dag.links(node).to_vec());
    }
    assert_eq!(here, dag.all());
}
