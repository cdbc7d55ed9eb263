//! When a copy is given up.

use std::sync::LazyLock;

use rand::Rng as _;

use super::super::super::placement::Candidate;
use super::super::super::policy::{Policy, Tag};
use super::super::*;
use super::bench::{Bench, minutes, policy, segment};

/// A bench where we are last of six holders, one more than five; and the others.
fn last() -> (Bench, u8, Vec<u32>) {
    let mut bench = Bench::new(6);
    let number = bench.ours(5);
    let others: Vec<_> = bench.order(number)[..5].to_vec();
    bench.have(number, Policy::default(), &others);
    (bench, number, others)
}

/// The question that was put to each, if it was.
fn asked(bench: &mut Bench) -> Option<(u64, BTreeSet<u32>)> {
    let done = std::mem::take(&mut bench.done);
    let asked: Vec<_> = done
        .into_iter()
        .filter_map(|(_, action)| match action {
            Action::AskToTrim { of, ask, .. } => Some((ask, of.0)),
            _ => None,
        })
        .collect();
    let (ask, _) = *asked.last()?;
    let of = asked.into_iter().filter(|it| it.0 == ask).map(|it| it.1);
    Some((ask, of.collect()))
}

fn answer(bench: &mut Bench, number: u8, by: u32, ask: u64, answer: Answer) {
    bench.tell(Event::TrimAnswered {
        segment: segment(number),
        by: Member(by),
        ask,
        answer,
    });
}

fn keeps(bench: &mut Bench, number: u8, by: &[u32], ask: u64) {
    for by in by {
        answer(bench, number, *by, ask, Answer::Keeps);
    }
}

fn is_trimmed(bench: &Bench) -> bool {
    bench
        .done
        .iter()
        .any(|it| matches!(it.1, Action::Trim { .. }))
}

#[test]
fn one_too_many_goes_after_target_others_have_shown_theirs() {
    let (mut bench, number, others) = last();
    bench.pass(minutes(19));
    assert_eq!(asked(&mut bench), None);
    bench.pass(minutes(2));
    let (ask, of) = asked(&mut bench).unwrap();
    assert_eq!(of, others.iter().copied().collect());
    keeps(&mut bench, number, &others[..2], ask);
    // Nobody counts twice, nobody for another question, nor ourselves.
    keeps(&mut bench, number, &others[..2], ask);
    keeps(&mut bench, number, &others[2..], ask ^ 1);
    keeps(&mut bench, number, &[0], ask);
    answer(&mut bench, number, others[3], ask, Answer::Refuses);
    assert!(!is_trimmed(&bench) && bench.planner.len() == 1);
    keeps(&mut bench, number, &others[4..], ask);
    assert!(is_trimmed(&bench) && bench.planner.is_empty());
    let (_, action) = bench.done.last().unwrap();
    let Action::Retract { to, .. } = action else {
        panic!("{action:?}");
    };
    assert_eq!(to.len(), 5);
    assert_eq!(bench.planner.next(), None);
}

#[test]
fn leave_that_comes_late_is_none() {
    let (mut bench, number, others) = last();
    bench.pass(minutes(21));
    let (ask, _) = asked(&mut bench).unwrap();
    bench.pass(minutes(5));
    keeps(&mut bench, number, &others, ask);
    assert!(!is_trimmed(&bench));
    // It is asked anew, later, and the old leave does not count then either.
    bench.pass(minutes(3));
    assert_eq!(asked(&mut bench), None);
    bench.pass(minutes(3));
    let (again, _) = asked(&mut bench).unwrap();
    assert_ne!(ask, again);
    keeps(&mut bench, number, &others, ask);
    assert!(!is_trimmed(&bench));
    keeps(&mut bench, number, &others, again);
    assert!(is_trimmed(&bench));
}

#[test]
fn who_is_on_one_host_with_another_counts_once_and_who_leaves_not_at_all() {
    let (mut bench, number, others) = last();
    for other in &others[..2] {
        let tags = &mut bench.members[*other as usize].tags;
        tags.insert("host".into(), "one".into());
    }
    let mut wanted = policy(1, 3, 3);
    wanted.priority = 1;
    bench.roster(&[]);
    bench.have(number, wanted, &[]);
    bench.pass(minutes(22));
    let (ask, _) = asked(&mut bench).unwrap();
    keeps(&mut bench, number, &others[..3], ask);
    assert!(!is_trimmed(&bench));
    bench.members[others[3] as usize].stays = false;
    bench.roster(&[]);
    keeps(&mut bench, number, &others[3..4], ask);
    assert!(!is_trimmed(&bench));
}

#[test]
fn who_is_wrong_about_another_finds_out_when_it_asks() {
    let (mut bench, number, others) = last();
    bench.pass(minutes(21));
    let (ask, _) = asked(&mut bench).unwrap();
    keeps(&mut bench, number, &others[..2], ask);
    answer(&mut bench, number, others[2], ask, Answer::HasNot);
    // Five are not too many.
    keeps(&mut bench, number, &others[3..], ask);
    assert!(!is_trimmed(&bench));
    assert_eq!(bench.planner.holders(&segment(number)).count(), 4);
    bench.pass(minutes(300));
    assert_eq!(asked(&mut bench), None);
}

#[test]
fn whoever_gave_leave_does_not_ask_and_whoever_asks_gives_none() {
    let (mut bench, number, others) = last();
    let give = |bench: &mut Bench, ask| bench.answers(number, others[0], ask);
    bench.pass(minutes(19));
    assert_eq!(give(&mut bench, 17), (17, Answer::Keeps));
    // Ten minutes of the promise; its own twenty went on meanwhile.
    bench.pass(minutes(9));
    assert_eq!(asked(&mut bench), None);
    bench.pass(minutes(2));
    let (ask, _) = asked(&mut bench).unwrap();
    assert_eq!(give(&mut bench, 18), (18, Answer::Refuses));
    keeps(&mut bench, number, &others[..3], ask);
    assert_eq!(give(&mut bench, 19), (19, Answer::HasNot));
}

#[test]
fn nothing_is_given_up_out_of_sight() {
    let (mut bench, number, others) = last();
    bench.pass(minutes(21));
    let (ask, _) = asked(&mut bench).unwrap();
    bench.sight(20, 6, 14);
    keeps(&mut bench, number, &others, ask);
    bench.tell(Event::Unwanted {
        segment: segment(number),
    });
    bench.pass(minutes(500));
    assert!(!is_trimmed(&bench) && bench.planner.len() == 1);
    bench.sight(20, 20, 0);
    assert!(bench.planner.is_empty());
    assert!(
        bench
            .done
            .iter()
            .any(|it| matches!(it.1, Action::Release { .. }))
    );
}

#[test]
fn time_out_of_sight_counts_for_nothing_and_costs_no_more() {
    let (mut bench, _, _) = last();
    bench.pass(minutes(15));
    bench.sight(6, 3, 3);
    bench.pass(minutes(60));
    assert_eq!(asked(&mut bench), None);
    bench.sight(6, 6, 0);
    assert_eq!(asked(&mut bench), None, "five are left of its twenty");
    bench.pass(minutes(4));
    assert_eq!(asked(&mut bench), None);
    bench.pass(minutes(2));
    assert!(asked(&mut bench).is_some());
}

#[test]
fn what_nobody_wants_goes_once_promises_are_over() {
    let mut bench = Bench::new(3);
    bench.have(1, Policy::default(), &[1, 2]);
    bench.tell(Event::TrimAsked {
        segment: segment(1),
        by: Member(1),
        ask: 1,
    });
    bench.tell(Event::Unwanted {
        segment: segment(1),
    });
    bench.pass(minutes(9));
    assert_eq!(bench.planner.len(), 1);
    bench.pass(minutes(2));
    assert!(bench.planner.is_empty());
    // Wanted again in time, it stays.
    bench.have(2, Policy::default(), &[1, 2]);
    bench.tell(Event::TrimAsked {
        segment: segment(2),
        by: Member(1),
        ask: 1,
    });
    bench.tell(Event::Unwanted {
        segment: segment(2),
    });
    bench.have(2, Policy::default(), &[]);
    bench.pass(minutes(100));
    assert_eq!(bench.planner.len(), 1);
    // Rotten, it is gone at once, and the others hear of it.
    bench.done.clear();
    bench.tell(Event::Lost {
        segment: segment(2),
    });
    assert!(matches!(&bench.done[..], [(_, Action::Retract { to, .. })] if to.len() == 2));
}

#[test]
fn where_the_first_to_go_stays_it_is_the_next_ones_turn() {
    // Six copies, of five at most, and ours is the last but one. The last may be pinned, which nobody tells.
    let mut bench = Bench::new(6);
    let number = bench.ours(4);
    let mut others = bench.order(number);
    others.retain(|it| *it != 0);
    bench.have(number, Policy::default(), &others);
    bench.pass(minutes(24));
    assert_eq!(asked(&mut bench), None);
    bench.pass(minutes(3));
    let (ask, of) = asked(&mut bench).unwrap();
    assert_eq!(of.len(), 5);
    // It is another's turn by now, who gave up its own.
    bench.tell(Event::HoldsNot {
        segment: segment(number),
        member: Member(others[4]),
    });
    keeps(&mut bench, number, &others[..3], ask);
    assert!(!is_trimmed(&bench));
}

#[test]
fn a_full_member_keeps_no_more_than_it_must() {
    let mut bench = Bench::new(6);
    let number = bench.ours(3);
    let others = bench.order(number)[..3].to_vec();
    bench.have(number, Policy::default(), &others);
    bench.pass(minutes(100));
    assert_eq!(asked(&mut bench), None);
    bench.tell(Event::Full(true));
    bench.pass(minutes(21));
    let (ask, _) = asked(&mut bench).unwrap();
    keeps(&mut bench, number, &others, ask);
    assert!(is_trimmed(&bench));
    // A copy that is needed stays.
    bench.have(number, Policy::default(), &others[..2]);
    bench.pass(minutes(100));
    assert_eq!(asked(&mut bench), None);
}

#[test]
fn a_copy_where_none_is_wanted_goes_once_there_are_enough() {
    let mut bench = Bench::new(5);
    bench.members[0].tags.insert("zone".into(), "far".into());
    bench.roster(&[]);
    let mut wanted = Policy::default();
    wanted.refused.push(far());
    bench.have(1, wanted, &[1, 2]);
    bench.pass(minutes(100));
    assert_eq!(asked(&mut bench), None);
    bench.holds(1, 3);
    bench.pass(minutes(21));
    let (ask, _) = asked(&mut bench).unwrap();
    keeps(&mut bench, 1, &[1, 2, 3], ask);
    assert!(is_trimmed(&bench));
}

/// Three holders of which two want theirs gone, where two must stay. Whatever comes in which order, late, twice or
/// never, and whoever begins anew between, two stay.
#[test]
fn no_interleaving_of_two_trimmers_breaks_a_promise() {
    let (mut trims, mut refusals) = (0, 0);
    for seed in 0..20_000 {
        let mut history = History::new(seed);
        for _ in 0..40 {
            history.go_on();
            let copies = history.planners.iter().filter(|it| !it.is_empty()).count();
            assert!(copies >= 2, "seed {seed}");
        }
        trims += history.planners.iter().filter(|it| it.is_empty()).count();
        refusals += history.refusals;
    }
    // Else it has shown nothing.
    assert!(trims > 500 && refusals > 500, "{trims} {refusals}");
}

struct History {
    rng: StdRng,
    now: Time,
    planners: Vec<Planner>,
    /// Under way: to whom, and what.
    letters: Vec<(Member, Event)>,
    refusals: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let planners = (0..3).map(|me| trimmer(me, Time::ZERO, &mut rng)).collect();
        Self {
            rng,
            now: minutes(25),
            planners,
            letters: Vec::new(),
            refusals: 0,
        }
    }

    fn go_on(&mut self) {
        let me = self.rng.random_range(0..3_u32);
        let any = (!self.letters.is_empty()).then(|| self.rng.random_range(0..self.letters.len()));
        let (me, event) = match (self.rng.random_range(0..20), any) {
            (0, _) => {
                self.now += minutes([1, 4, 5, 25][self.rng.random_range(0..4)]);
                (me, Event::Tick)
            }
            // It has forgotten all but what it has.
            (1, _) if !self.planners[me as usize].is_empty() => {
                self.planners[me as usize] = trimmer(me, self.now, &mut self.rng);
                return;
            }
            (2, Some(at)) => {
                self.letters.remove(at);
                return;
            }
            (3, Some(at)) => {
                let (to, event) = self.letters[at].clone();
                (to.0, event)
            }
            (4..=15, Some(at)) => {
                let (to, event) = self.letters.remove(at);
                (to.0, event)
            }
            _ => (me, Event::Tick),
        };
        let by = Member(me);
        for action in self.planners[me as usize].step(self.now, event) {
            match action {
                Action::AskToTrim { segment, of, ask } => {
                    let event = Event::TrimAsked { segment, by, ask };
                    self.letters.push((of, event));
                }
                Action::AnswerTrim {
                    segment,
                    to,
                    ask,
                    answer,
                } => {
                    self.refusals += usize::from(answer == Answer::Refuses);
                    let event = Event::TrimAnswered {
                        segment,
                        by,
                        ask,
                        answer,
                    };
                    self.letters.push((to, event));
                }
                // Nobody hears of it.
                _ => {}
            }
        }
    }
}

/// One of three holders on three hosts. The first two believe that theirs is where none is wanted.
fn trimmer(me: u32, now: Time, rng: &mut StdRng) -> Planner {
    static MEMBERS: LazyLock<Vec<Candidate>> =
        LazyLock::new(|| (0..3).map(super::bench::candidate).collect());
    let mut members = MEMBERS.clone();
    if me < 2 {
        let tags = &mut members[me as usize].tags;
        tags.insert("zone".into(), "far".into());
    }
    let mut wanted = policy(1, 2, 2);
    wanted.refused.push(far());
    let mut planner = Planner::new(Member(me), Settings::default(), rng.random());
    let roster = Arc::new(Roster::new(members));
    let returned = Vec::new();
    planner.step(now, Event::Roster { roster, returned });
    let have = Event::Have {
        segment: segment(1),
        bytes: 1,
        policy: Arc::new(wanted),
        holders: Vec::new(),
        is_pinned: false,
    };
    planner.step(now, have);
    for member in (0..3).filter(|it| *it != me).map(Member) {
        let segment = segment(1);
        planner.step(now, Event::Holds { segment, member });
    }
    planner
}

fn far() -> Tag {
    Tag {
        key: "zone".into(),
        value: "far".into(),
    }
}

#[test]
fn of_many_that_are_one_too_many_a_few_are_asked_for_at_once() {
    let mut bench = Bench::new(6);
    let numbers: Vec<u8> = (0..=255).filter(|it| bench.order(*it)[5] == 0).collect();
    assert!(numbers.len() > 16);
    for number in &numbers {
        let others = bench.order(*number)[..5].to_vec();
        bench.have(*number, Policy::default(), &others);
    }
    let mut given_up = 0;
    for _ in 0..120 {
        bench.pass(minutes(1));
        let done = std::mem::take(&mut bench.done);
        let mut questions = BTreeSet::new();
        for (_, action) in done {
            if let Action::AskToTrim { segment, ask, .. } = action {
                questions.insert((segment, ask));
            }
        }
        assert!(questions.len() <= 16, "{} at once", questions.len());
        for (segment, ask) in questions {
            let others: Vec<_> = bench.planner.holders(&segment).collect();
            for by in others {
                bench.tell(Event::TrimAnswered {
                    segment,
                    by,
                    ask,
                    answer: Answer::Keeps,
                });
            }
        }
        let trims = bench.done.iter();
        given_up += trims
            .filter(|it| matches!(it.1, Action::Trim { .. }))
            .count();
    }
    assert_eq!(given_up, numbers.len(), "and all of them go");
}
