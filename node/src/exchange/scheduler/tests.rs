//! The scheduler's rules, one at a time; `sim` has them all at once.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::rngs::StdRng;
use store::cid::Codec;

use super::sim::{Dag, Member, Nature, Sim, appeared, random_run};
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

fn everything(dag: &Dag) -> HashSet<store::Cid> {
    dag.order.iter().copied().collect()
}

fn file(leaves: usize, size: u32) -> Dag {
    let mut dag = Dag::default();
    let leaves: Vec<_> = (0..leaves)
        .map(|_| dag.add(Codec::Raw, size, Vec::new()))
        .collect();
    let nodes: Vec<_> = leaves
        .chunks(64)
        .map(|children| dag.add(Codec::DagPb, 64 * 50, children.to_vec()))
        .collect();
    dag.add(Codec::DagPb, 50 * nodes.len() as u32, nodes);
    dag
}

#[test]
fn it_finishes_whenever_honest_peers_together_have_everything() {
    let seeds = std::env::var("STORE_SIM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300);
    let mut twice = 0;
    let mut total = 0;
    for seed in 0..seeds {
        let (run, size) = std::panic::catch_unwind(|| random_run(seed))
            .unwrap_or_else(|_| panic!("a rule was broken with seed {seed}"));
        assert_eq!(run.end, Action::Finished, "seed {seed}: {run:?}");
        twice += run.twice;
        total += size;
    }
    assert!(twice * 20 <= total, "{twice} of {total} bytes came twice");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 44] {
        let (a, b) = (random_run(seed).0, random_run(seed).0);
        assert_eq!(
            (a.took, a.twice, a.most_known),
            (b.took, b.twice, b.most_known)
        );
    }
}

#[test]
fn all_peers_are_used_at_once() {
    let dag = file(400, 1 << 20);
    let rate = 20 << 20;
    let peer = || Member::new(Nature::Honest, rate, 20, everything(&dag));
    let alone = Sim::new(&dag, task(&dag, Mode::Whole), vec![peer()])
        .run()
        .took;
    let four = (0..4).map(|_| peer()).collect();
    let four = Sim::new(&dag, task(&dag, Mode::Whole), four).run().took;
    let ideal = Duration::from_secs_f64(400.0 / 20.0);
    assert!(
        alone < ideal * 11 / 10,
        "one peer: {alone:?} where {ideal:?} is possible"
    );
    assert!(
        four < ideal / 4 * 12 / 10,
        "four peers: {four:?} where {:?} is possible",
        ideal / 4
    );
}

#[test]
fn a_long_fat_pipe_is_filled() {
    let dag = file(400, 1 << 20);
    let rate = 40 << 20;
    let far = Member::new(Nature::Honest, rate, 150, everything(&dag));
    let took = Sim::new(&dag, task(&dag, Mode::Whole), vec![far])
        .run()
        .took;
    let ideal = Duration::from_secs(10);
    assert!(
        took < ideal * 12 / 10,
        "{took:?} where {ideal:?} is possible"
    );
}

#[test]
fn memory_does_not_grow_with_the_content() {
    let dag = file(20_000, 1000);
    let mut task = task(&dag, Mode::Whole);
    task.limits.known_blocks = 512;
    let peer = Member::new(Nature::Honest, 100 << 20, 1, everything(&dag));
    let run = Sim::new(&dag, task, vec![peer]).run();
    assert_eq!(run.end, Action::Finished);
    // 313 inner nodes below the root, the limit, and one node that reached over it.
    assert!(
        run.most_known <= 512 + 313 + 64,
        "{} blocks known at once",
        run.most_known
    );
}

#[test]
fn a_liar_is_dropped_and_named_and_the_rest_comes_from_the_honest() {
    let dag = file(100, 100_000);
    let members = vec![
        Member::new(Nature::Honest, 1 << 20, 50, everything(&dag)),
        Member::new(Nature::Liar(2), 90 << 20, 1, everything(&dag)),
    ];
    let run = Sim::new(&dag, task(&dag, Mode::Whole), members).run();
    assert_eq!(run.end, Action::Finished);
    assert!(
        matches!(run.dropped[..], [(1, Reason::Lied(_))]),
        "{:?}",
        run.dropped
    );
}

#[test]
fn a_silent_peer_costs_its_deadline_and_is_dropped() {
    let dag = file(100, 100_000);
    let mut honest = Member::new(Nature::Honest, 1 << 20, 50, everything(&dag));
    honest.appears = Duration::from_millis(100);
    let members = vec![Member::new(Nature::Dead, 1, 1, everything(&dag)), honest];
    let run = Sim::new(&dag, task(&dag, Mode::Whole), members).run();
    assert_eq!(run.end, Action::Finished);
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
}

#[test]
fn nobody_has_it() {
    let dag = file(3, 1000);
    let run = Sim::new(&dag, task(&dag, Mode::Whole), Vec::new()).run();
    let Action::Fail(Defeat::NotFound { cid, tried }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(
        (cid, tried.as_str()),
        (dag.root.unwrap(), "no provider was found")
    );
    let empty = vec![Member::new(Nature::Honest, 1 << 20, 5, HashSet::new())];
    let run = Sim::new(&dag, task(&dag, Mode::Whole), empty).run();
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
        .map(|_| Member::new(Nature::Dead, 1, 1, HashSet::new()))
        .collect();
    let mut task = task(&dag, Mode::Whole);
    task.stall = Duration::from_secs(10);
    let run = Sim::new(&dag, task, dead).run();
    let Action::Fail(Defeat::Stalled { waited, state }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(
        (waited, state.as_str()),
        (task.stall, "3 providers, none answered")
    );
    // All inner nodes and some leaves are to be had, and no more.
    let some = everything(&dag)
        .into_iter()
        .filter(|cid| *cid != dag.order[1])
        .collect();
    let partial = vec![Member::new(Nature::Honest, 1 << 20, 5, some)];
    let run = Sim::new(&dag, task, partial).run();
    let Action::Fail(Defeat::Stalled { state, .. }) = run.end else {
        panic!("{:?}", run.end)
    };
    assert_eq!(state, "1 provider, none has the 1 missing blocks");
}

#[test]
fn what_is_here_needs_no_network() {
    let dag = Dag::random(&mut StdRng::seed_from_u64(5), 300);
    let mut sim = Sim::new(&dag, task(&dag, Mode::Whole), Vec::new());
    sim.here = everything(&dag);
    let run = sim.run();
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
    let here = HashSet::new();
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
    let inner = &dag.blocks[&root].1;
    let stored = |cid| Outcome::Stored(dag.stored(cid, &here, |_| true));
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
    let leaf = dag.blocks[&inner[0]].1[5];
    let asked = step(&mut scheduler, Event::Wants(vec![leaf]));
    let [
        Action::Get {
            leaves, extents, ..
        },
    ] = &asked[..]
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
fn what_a_reader_waits_for_comes_first() {
    let dag = file(200, 1 << 20);
    let here = HashSet::new();
    let root = dag.root.unwrap();
    let mut scheduler = Scheduler::new(task(&dag, Mode::Whole));
    step(&mut scheduler, Event::Tick);
    step(&mut scheduler, Event::Absent(root));
    let asked = step(&mut scheduler, appeared(7));
    let Some(Action::Manifest { request, .. }) = asked.first() else {
        panic!("{asked:?}")
    };
    let last = dag.blocks[dag.blocks[&root].1.last().unwrap()].1[3];
    step(&mut scheduler, Event::Wants(vec![last]));
    step(&mut scheduler, Event::Absent(last));
    let inner = dag.order.iter().rev().filter(|cid| !dag.is_leaf(cid));
    let blocks = inner
        .map(|cid| Outcome::Stored(dag.stored(cid, &here, |_| true)))
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
    let mut lying = dag.stored(&root, &HashSet::new(), |_| false);
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
    let inner = dag.stored(&leaves[0], &HashSet::new(), |_| true);
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
    assert_eq!(waits, [Action::WaitUntil(retry)]);
    let asked = scheduler.step(retry, Event::Tick);
    assert!(matches!(asked[0], Action::Manifest { .. }), "{asked:?}");
}

#[test]
fn a_dag_that_doubles_at_each_level_is_walked_once() {
    let mut dag = Dag::default();
    let mut top = dag.add(Codec::Raw, 1000, Vec::new());
    for _ in 0..200 {
        top = dag.add(Codec::DagPb, 100, vec![top, top]);
    }
    let peer = Member::new(Nature::Honest, 1 << 20, 5, everything(&dag));
    let run = Sim::new(&dag, task(&dag, Mode::Whole), vec![peer]).run();
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
    let mut task = task(&dag, Mode::Whole);
    task.limits.known_blocks = 100;
    let peer = Member::new(Nature::Honest, 1 << 20, 5, everything(&dag));
    let run = Sim::new(&dag, task, vec![peer]).run();
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
                let found = Event::Found(dag.stored(&cid, here, |_| true));
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
            Action::FindPeers => continue,
            other => panic!("{other:?}"),
        };
        here.extend(&cids);
        let stored = |cid| Outcome::Stored(dag.stored(cid, here, |_| true));
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
    let nodes = &dag.blocks[&root].1;
    for node in nodes {
        want(&mut scheduler, vec![*node]);
        for leaves in dag.blocks[node].1[..40.min(dag.blocks[node].1.len())].chunks(16) {
            want(&mut scheduler, leaves.to_vec());
        }
    }
    for node in nodes {
        want(&mut scheduler, dag.blocks[node].1.clone());
    }
    assert_eq!(here, everything(&dag));
}
