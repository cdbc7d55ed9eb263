use std::collections::HashMap;

use rand::SeedableRng;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PING: Duration = Duration::from_millis(40);

/// Segments by number, and who else has them.
#[derive(Default)]
struct Held(Vec<(SegmentId, Vec<Member>)>);

impl Holdings for Held {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn segment(&self, number: usize) -> Option<SegmentId> {
        self.0.get(number).map(|(id, _)| *id)
    }

    fn others(&self, segment: &SegmentId) -> Vec<Member> {
        let found = self.0.iter().find(|(id, _)| id == segment);
        found.map_or_else(Vec::new, |(_, others)| others.clone())
    }
}

fn id(number: u16) -> SegmentId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_le_bytes());
    SegmentId(id)
}

fn held(count: u16, others: &[u32]) -> Held {
    let others: Vec<_> = others.iter().copied().map(Member).collect();
    Held((0..count).map(|i| (id(i), others.clone())).collect())
}

/// One who answers at once as he is told to, and what was found.
struct Course {
    auditor: Auditor,
    held: Held,
    now: Time,
    coming: Vec<(Time, Event)>,
    asked: Vec<(Time, SegmentId, Member)>,
    /// How many leaves each was asked for.
    leaves: Vec<usize>,
    told: Vec<Action>,
}

impl Course {
    fn new(held: Held) -> Self {
        Self {
            auditor: Auditor::new(Settings::default(), StdRng::seed_from_u64(7)),
            held,
            now: HOUR,
            coming: Vec::new(),
            asked: Vec::new(),
            leaves: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Until `end`, with `reply` to each question, which takes as long as it says.
    fn run(&mut self, end: Time, mut reply: impl FnMut(Member, ChallengeId) -> (Duration, Event)) {
        loop {
            let next = self.coming.iter().map(|(at, _)| *at).min();
            let wake = self.auditor.wake().unwrap_or(self.now);
            let at = next.map_or(wake, |next| next.min(wake)).max(self.now);
            if at > end {
                self.now = end;
                return;
            }
            self.now = at;
            let place = self.coming.iter().position(|(due, _)| *due <= at);
            let event = place.map_or(Event::Tick, |place| self.coming.swap_remove(place).1);
            for action in self.auditor.step(at, event, &self.held) {
                if let Action::Ask {
                    id,
                    holder,
                    segment,
                    leaves,
                    ..
                } = action
                {
                    assert!([8, LEAVES_MAX].contains(&leaves));
                    self.asked.push((at, segment, holder));
                    self.leaves.push(leaves);
                    let (after, event) = reply(holder, id);
                    self.coming.push((at + after, event));
                } else {
                    self.told.push(action);
                }
            }
            assert!(self.auditor.flights.len() <= 4);
        }
    }

    fn outcomes(&self) -> HashMap<Outcome, usize> {
        let mut outcomes = HashMap::new();
        for action in &self.told {
            if let Action::Found { outcome, .. } = action {
                *outcomes.entry(*outcome).or_default() += 1;
            }
        }
        outcomes
    }
}

fn answer(id: ChallengeId, took: Duration, verdict: Verdict) -> (Duration, Event) {
    let event = Event::Answered {
        id,
        took,
        round_trip: PING,
        verdict,
    };
    (took, event)
}

fn right(_: Member, id: ChallengeId) -> (Duration, Event) {
    answer(id, PING, Verdict::Right)
}

fn wrong(_: Member, id: ChallengeId) -> (Duration, Event) {
    answer(id, PING, Verdict::Wrong { leaves: vec![3] })
}

fn silent(_: Member, id: ChallengeId) -> (Duration, Event) {
    (Settings::default().patience, Event::Silent { id })
}

#[test]
fn what_is_held_later_comes_up_within_its_day() {
    let mut course = Course::new(held(0, &[1, 2]));
    course.auditor.step(HOUR, Event::Tick, &course.held);
    assert_eq!(course.auditor.wake(), None);
    for (hour, count) in [(1, 1), (2, 200)] {
        course.held = held(count, &[1, 2]);
        course.run(hour * HOUR, right);
        course.auditor.step(hour * HOUR, Event::Tick, &course.held);
    }
    course.run(2 * HOUR + DAY, right);
    assert!(course.asked.len() > 150, "{}", course.asked.len());
}

#[test]
fn each_segment_comes_up_once_a_day_and_each_holder_in_turn() {
    let mut course = Course::new(held(200, &[1, 2]));
    course.run(HOUR + 4 * DAY, right);
    // Four rounds, as far as the pauses between them are as long as they should be.
    assert!((760..=840).contains(&course.asked.len()));
    assert!(course.outcomes().keys().eq([&Outcome::Right]));
    for number in 0..200 {
        let of_it = course
            .asked
            .iter()
            .filter(|(_, segment, _)| *segment == id(number));
        let holders: Vec<_> = of_it.map(|(.., holder)| *holder).collect();
        assert!((3..=5).contains(&holders.len()), "{holders:?}");
        // Asked while the other was busy, one may come twice in a row.
        assert!(holders.contains(&Member(1)) && holders.contains(&Member(2)));
    }
    let gaps = course
        .asked
        .windows(2)
        .map(|pair| pair[1].0.saturating_sub(pair[0].0));
    let mean = DAY / 200;
    assert!(gaps.into_iter().all(|gap| gap <= mean * 2));
}

#[test]
fn no_member_is_asked_two_things_at_once_and_no_more_are_asked_than_may_be() {
    let mut course = Course::new(held(60_000, &[1, 2, 3, 4, 5, 6]));
    let slow = Duration::from_secs(14);
    let mut busy: HashMap<Member, u32> = HashMap::new();
    course.run(HOUR + HOUR / 2, |holder, id| {
        *busy.entry(holder).or_default() += 1;
        answer(id, slow, Verdict::Right)
    });
    // Four at once, fourteen seconds each, in half an hour.
    let most = 4 * 30 * 60 / 14 + 4;
    assert!(
        (most - 20..=most).contains(&course.asked.len()),
        "{}",
        course.asked.len()
    );
    assert_eq!(busy.len(), 6);
    let mut until: HashMap<Member, Time> = HashMap::new();
    for (at, _, holder) in &course.asked {
        assert!(
            until
                .insert(*holder, *at + slow)
                .is_none_or(|end| end <= *at)
        );
    }
}

#[test]
fn what_could_not_be_asked_is_made_up_for_within_bounds() {
    let mut course = Course::new(held(2400, &[1, 2, 3, 4, 5]));
    course.run(HOUR + HOUR, right);
    let before = course.asked.len();
    // Suspended for half a day.
    course.now += DAY / 2;
    let end = course.now + Duration::from_secs(60);
    course.run(end, right);
    let more = course.asked.len() - before;
    assert!(
        (95..=140).contains(&more),
        "an hour's worth is 100, not {more}"
    );
}

#[test]
fn wrong_counts_at_once_and_the_member_is_told() {
    let mut course = Course::new(held(1, &[1]));
    course.run(HOUR + 2 * DAY, wrong);
    let tell = Action::Tell {
        holder: Member(1),
        segment: id(0),
        leaves: vec![3],
    };
    let found = Action::Found {
        segment: id(0),
        holder: Member(1),
        leaves: course.leaves[0],
        outcome: Outcome::Wrong,
    };
    assert_eq!(course.told[..2], [tell, found]);
    assert_eq!(Outcome::Wrong.counts(), Some(false));
}

#[test]
fn three_wrong_answers_in_a_day_mean_a_day_without_new_ones() {
    let mut course = Course::new(held(24, &[1, 2]));
    let (member, mut left) = (Member(1), 3);
    course.run(HOUR + DAY / 2, |holder, id| {
        if holder == member && left > 0 {
            left -= 1;
            return wrong(holder, id);
        }
        right(holder, id)
    });
    let at = course.now;
    assert!(!course.auditor.takes(member, at) && course.auditor.takes(Member(2), at));
    assert!(course.auditor.score(member, at) < 0.35);
    assert!((course.auditor.score(Member(2), at) - 1.0).abs() < 1e-9);
    // Nobody is banned for ever.
    assert!(course.auditor.takes(member, at + DAY));
    assert!(course.auditor.score(member, at + 7 * DAY) > 0.95);
    // Spread over more than a day they are not too many.
    let mut course = Course::new(held(1, &[1]));
    course.run(HOUR + 6 * DAY, wrong);
    assert!(course.asked.len() >= 5);
    assert!(course.auditor.takes(member, course.now));
}

#[test]
fn what_is_missing_counts_at_once_and_weighs_a_fifth() {
    let missing = |_, id| answer(id, PING, Verdict::Missing { leaves: vec![0] });
    let mut course = Course::new(held(1, &[1]));
    while course.outcomes().is_empty() {
        let end = course.now + HOUR;
        course.run(end, missing);
    }
    assert_eq!(course.outcomes()[&Outcome::Missing], 1);
    assert_eq!(Outcome::Missing.counts(), Some(false));
    let score = course.auditor.score(Member(1), course.now);
    assert!((0.82..0.86).contains(&score), "{score}");
    assert_eq!(course.auditor.doubted(course.now), []);
    // Who acknowledges and drops is found by each, and loses most of its weight in a day; never all.
    let mut course = Course::new(held(100, &[1]));
    course.run(HOUR + DAY, missing);
    let score = course.auditor.score(Member(1), course.now);
    assert!((0.05..0.1).contains(&score), "{score}");
    assert_eq!(
        course.auditor.doubted(course.now),
        [(Member(1), score, true)]
    );
}

#[test]
fn who_has_lied_is_to_show_the_rest_and_its_word_is_not_taken_for_a_week() {
    let mut course = Course::new(held(24, &[1, 2]));
    let member = Member(1);
    let lies = |holder, id| {
        if holder == member {
            wrong(holder, id)
        } else {
            right(holder, id)
        }
    };
    while !course.outcomes().contains_key(&Outcome::Wrong) {
        assert!(course.auditor.believes(member, course.now));
        let end = course.now + HOUR / 4;
        course.run(end, lies);
    }
    let suspects = |course: &Course| {
        let told = course.told.iter();
        told.filter(|it| **it == Action::Suspect { holder: member })
            .count()
    };
    assert_eq!(suspects(&course), 1);
    let now = course.now;
    assert!(!course.auditor.believes(member, now) && course.auditor.believes(Member(2), now));
    let before = course.asked.len();
    let segments = (0..24).map(id).collect();
    let prove = Event::Prove {
        holder: member,
        segments,
    };
    course.coming.push((now, prove));
    course.run(now + HOUR / 60, lies);
    let asked: Vec<_> = course.asked[before..]
        .iter()
        .filter(|it| it.2 == member)
        .collect();
    assert!(
        asked.len() >= 24,
        "all of them, one after the other: {}",
        asked.len()
    );
    assert!(!course.auditor.takes(member, course.now));
    assert_eq!(suspects(&course), 1, "once");
    assert!(!course.auditor.believes(member, now + 6 * DAY));
    assert!(course.auditor.believes(member, course.now + 7 * DAY));
}

#[test]
fn no_more_proofs_wait_than_may_and_who_rests_is_not_asked_for_any() {
    let mut course = Course::new(held(1, &[1]));
    let prove = |count: u16| Event::Prove {
        holder: Member(1),
        segments: (0..count).map(id).collect(),
    };
    course.coming.push((HOUR, prove(u16::MAX)));
    course.run(HOUR, silent);
    // One of them is asked for.
    assert_eq!(course.auditor.proofs.len(), PROOFS_MAX - 1);
    course.run(HOUR + HOUR / 60, silent);
    assert!(course.auditor.proofs.is_empty(), "one question, no answer");
}

#[test]
fn room_that_is_told_of_and_not_there_is_a_lie_and_a_broken_word_is_none() {
    let step = |auditor: &mut Auditor, now, what| {
        let member = Member(1);
        let told = Event::Unkept { member, what };
        assert_eq!(auditor.step(now, told, &Held::default()), []);
    };
    let minutes = |count: u32| Duration::from_secs(60) * count;
    let auditor = || Auditor::new(Settings::default(), StdRng::seed_from_u64(7));
    // Refused again and again: three times, ten minutes apart, are too many.
    let mut liar = auditor();
    let at = (0..=20).find(|minute| {
        step(&mut liar, HOUR + minutes(*minute), Unkept::Room);
        !liar.takes(Member(1), HOUR + minutes(*minute))
    });
    assert_eq!(at, Some(20));
    let now = HOUR + minutes(20);
    let score = liar.score(Member(1), now);
    assert!((0.76..0.78).contains(&score), "{score}");
    assert_eq!(liar.doubted(now), [(Member(1), score, false)]);
    assert!(
        liar.takes(Member(1), now + DAY),
        "nobody is banned for ever"
    );
    // All that was offered while nobody knew that it had become full is one thing.
    let mut full = auditor();
    for _ in 0..1000 {
        step(&mut full, HOUR, Unkept::Room);
    }
    assert!(full.score(Member(1), HOUR) > 0.9 && full.takes(Member(1), HOUR));
    assert_eq!(full.doubted(HOUR), []);
    // Who cannot fetch what it accepted may be out of reach of those who have it: it gets less, and something.
    let mut unlucky = auditor();
    for minute in (0..24 * 60).step_by(10) {
        step(&mut unlucky, HOUR + minutes(minute), Unkept::Word);
    }
    let score = unlucky.score(Member(1), HOUR + DAY);
    assert!((0.07..0.12).contains(&score), "{score}");
    assert!(unlucky.takes(Member(1), HOUR + DAY));
}

#[test]
fn late_is_a_matter_of_trust() {
    let allowed = Settings::default().deadline + 2 * PING;
    let mut course = Course::new(held(10, &[1]));
    course.run(HOUR + DAY, |_, id| answer(id, allowed, Verdict::Right));
    assert_eq!(
        course.outcomes().len(),
        1,
        "to the millisecond it is in time"
    );
    let mut course = Course::new(held(10, &[1]));
    let late = allowed + Duration::from_millis(1);
    course.run(HOUR + DAY, |_, id| answer(id, late, Verdict::Right));
    assert!(course.outcomes()[&Outcome::Late] >= 8);
    assert_eq!(Outcome::Late.counts(), None);
    let score = course.auditor.score(Member(1), course.now);
    assert!((0.5..0.65).contains(&score), "{score}");
    assert!(course.auditor.takes(Member(1), course.now));
}

#[test]
fn who_answers_pings_late_gains_little_by_it() {
    let mut course = Course::new(held(10, &[1]));
    course.run(HOUR + DAY, |_, id| {
        let took = Duration::from_millis(2700);
        let round_trip = Duration::from_secs(5);
        let verdict = Verdict::Right;
        (
            took,
            Event::Answered {
                id,
                took,
                round_trip,
                verdict,
            },
        )
    });
    assert!(course.outcomes().keys().eq([&Outcome::Late]));
}

#[test]
fn a_silent_member_is_asked_three_times_before_it_counts_as_offline() {
    let mut course = Course::new(held(1, &[1]));
    while course.asked.is_empty() {
        let end = course.now + HOUR / 4;
        course.run(end, silent);
    }
    let start = course.asked[0].0;
    course.run(start + HOUR / 2, silent);
    let after: Vec<_> = course
        .asked
        .iter()
        .map(|(at, ..)| at.saturating_sub(start).as_secs())
        .collect();
    // Fifteen seconds of patience; then a minute, then four.
    assert_eq!(after, [0, 75, 330]);
    let found = Action::Found {
        segment: id(0),
        holder: Member(1),
        leaves: *course.leaves.last().unwrap(),
        outcome: Outcome::Silent,
    };
    assert_eq!(course.told, [Action::Offline { holder: Member(1) }, found]);
    assert_eq!(Outcome::Silent.counts(), None);
    assert!((course.auditor.score(Member(1), course.now) - 1.0).abs() < 1e-9);
}

#[test]
fn who_answers_the_second_time_was_never_silent() {
    let mut course = Course::new(held(100, &[1]));
    let mut asked = 0;
    course.run(HOUR + DAY, |holder, id| {
        asked += 1;
        if asked % 3 == 0 {
            right(holder, id)
        } else {
            silent(holder, id)
        }
    });
    assert!(!course.told.contains(&Action::Offline { holder: Member(1) }));
    assert!(course.outcomes().keys().eq([&Outcome::Right]));
}

#[test]
fn others_are_asked_while_one_is_silent() {
    let mut course = Course::new(held(300, &[1, 2]));
    course.run(HOUR + DAY, |holder, id| {
        if holder == Member(1) {
            silent(holder, id)
        } else {
            right(holder, id)
        }
    });
    let right = course.outcomes()[&Outcome::Right];
    assert!(right > 250, "{right}");
    let silent = course
        .asked
        .iter()
        .filter(|(.., holder)| *holder == Member(1))
        .count();
    assert!((3..40).contains(&silent), "{silent}");
    let offline = Action::Offline { holder: Member(1) };
    assert_eq!(
        course
            .told
            .iter()
            .filter(|action| **action == offline)
            .count(),
        1
    );
}

#[test]
fn ones_own_fault_is_not_the_others() {
    let mut course = Course::new(held(20, &[1]));
    course.run(HOUR + DAY, |_, id| (PING, Event::Dropped { id }));
    assert!(course.asked.len() > 15 && course.told.is_empty());
    course.run(HOUR + 2 * DAY, |_, id| answer(id, PING, Verdict::Unknown));
    assert!(
        course
            .told
            .iter()
            .all(|action| matches!(action, Action::Scrub { .. }))
    );
    assert!(!course.told.is_empty());
    assert!((course.auditor.score(Member(1), course.now) - 1.0).abs() < 1e-9);
}

#[test]
fn a_worker_that_forgets_does_not_stop_it() {
    let mut course = Course::new(held(100, &[1, 2, 3, 4, 5]));
    course.run(HOUR + DAY, |_, id| (100 * DAY, Event::Dropped { id }));
    // Four at once, given up after a minute each.
    assert!(course.asked.len() > 90, "{}", course.asked.len());
}

#[test]
fn a_scaled_day_is_shorter_and_a_disk_is_not_faster() {
    let settings = Settings::default().scaled(60);
    assert_eq!(settings.interval, DAY / 60);
    assert_eq!(settings.refusal, DAY / 60);
    assert_eq!(settings.deadline, Settings::default().deadline);
}

#[test]
fn no_more_members_are_remembered_than_may_be() {
    let mut auditor = Auditor::new(Settings::default(), StdRng::seed_from_u64(1));
    let settings = auditor.settings;
    for number in 0..=u32::try_from(STANDINGS_MAX).unwrap() {
        let standing = auditor.standing(Member(number), HOUR);
        if number != 5 {
            standing.wrong(HOUR, &settings);
        }
    }
    assert_eq!(auditor.standings.len(), STANDINGS_MAX);
    assert!(
        !auditor.standings.contains_key(&Member(5)),
        "the best one went"
    );
}
