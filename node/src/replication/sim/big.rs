//! A million segments on ten thousand members: the real membership first, and then the real planner of each member, one
//! of whom dies. Lighter than [`World`](super::World): nothing is lost on the way, nobody lies, and all who see the same
//! share one roster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use store::segment::SegmentId;

use super::super::placement::{Member, Roster};
use super::super::planner::{Action, Event, Planner, Settings, Sight, Time};
use super::super::policy::Policy;
use super::{MIB, Node, minutes};
use crate::members;

const MEMBERS: u32 = 10_000;
const SEGMENTS: u32 = 1_000_000;
const BYTES: u64 = 64 * MIB;
/// Who dies.
const VICTIM: u32 = 7777;
/// From one member to another.
const DELAY: Duration = Duration::from_millis(50);
/// Bytes per second, each way.
const LINK: u64 = 32 * MIB;

/// What happens to a member.
enum Thing {
    Tick,
    News(Event),
    /// It hears that one is dead.
    Learns,
    /// A segment has come, which `by` offered.
    Fetched {
        segment: SegmentId,
        by: Member,
    },
    /// `by` asks whether it has this.
    Check {
        segment: SegmentId,
        by: Member,
    },
}

struct Swarm {
    now: Time,
    planners: Vec<Planner>,
    /// Who has each segment, by its number.
    holders: Vec<Vec<Member>>,
    policy: Arc<Policy>,
    /// All but the dead.
    less: Arc<Roster>,
    due: BinaryHeap<Reverse<(Time, u64, u32)>>,
    things: BTreeMap<u64, Thing>,
    count: u64,
    /// When each member's downlink is free.
    free: Vec<Time>,
    moved: u64,
    /// The longest that a planner thought, by this machine's clock.
    longest: Duration,
}

fn id(number: u32) -> SegmentId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(
        &u64::from(number)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes(),
    );
    id[28..].copy_from_slice(&number.to_be_bytes());
    SegmentId(id)
}

fn number(id: &SegmentId) -> usize {
    let last: [u8; 4] = id.0[28..].try_into().unwrap();
    u32::from_be_bytes(last) as usize
}

fn roster(but: Option<u32>) -> Arc<Roster> {
    let members = (0..MEMBERS).filter(|it| Some(*it) != but);
    let nodes = members.map(|it| Node::new(it, 64 << 30, it % 50));
    Arc::new(Roster::new(nodes.map(|it| it.candidate)))
}

/// Does it with each part of so many, on two threads.
fn in_two<T: Send>(count: u32, part: impl Fn(std::ops::Range<u32>) -> Vec<T> + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let other = scope.spawn(|| part(count / 2..count));
        let mut all = part(0..count / 2);
        all.extend(other.join().unwrap());
        all
    })
}

impl Swarm {
    /// Everything is where it belongs, and all know it.
    fn settled() -> Self {
        let whole = roster(None);
        let policy = Arc::new(Policy::default());
        let holders = in_two(SEGMENTS, |part| {
            let field = whole.under(&policy);
            part.map(|it| field.place(&id(it), &[], &[])).collect()
        });
        let mut shares = vec![Vec::new(); MEMBERS as usize];
        for (number, holders) in (0..).zip(&holders) {
            for member in holders {
                shares[member.0 as usize].push(number);
            }
        }
        let planners = in_two(MEMBERS, |part| {
            part.map(|me| Self::planner(me, &shares[me as usize], &holders, &whole, &policy))
                .collect()
        });
        let mut swarm = Self {
            now: Duration::from_secs(1),
            planners,
            holders,
            policy,
            less: roster(Some(VICTIM)),
            due: BinaryHeap::new(),
            things: BTreeMap::new(),
            count: 0,
            free: vec![Duration::ZERO; MEMBERS as usize],
            moved: 0,
            longest: Duration::ZERO,
        };
        for member in 0..MEMBERS {
            swarm.wake(member);
        }
        swarm
    }

    fn planner(
        me: u32,
        share: &[u32],
        holders: &[Vec<Member>],
        roster: &Arc<Roster>,
        policy: &Arc<Policy>,
    ) -> Planner {
        let mut planner = Planner::new(Member(me), Settings::default(), u64::from(me));
        let now = Duration::from_secs(1);
        let mut tell = |event| {
            let done = planner.step(now, event);
            assert!(done.is_empty(), "nothing is to do: {done:?}");
        };
        tell(Event::Sight(Sight {
            usual: MEMBERS as usize,
            here: MEMBERS as usize,
            vanished: 0,
        }));
        tell(Event::Roster {
            roster: Arc::clone(roster),
            returned: Vec::new(),
        });
        for number in share {
            let segment = id(*number);
            tell(Event::Have {
                segment,
                bytes: BYTES,
                policy: Arc::clone(policy),
                holders: Vec::new(),
                is_pinned: false,
            });
            let others = holders[*number as usize].iter();
            for &member in others.filter(|it| it.0 != me) {
                tell(Event::Holds { segment, member });
            }
        }
        planner
    }

    fn at(&mut self, time: Time, to: u32, thing: Thing) {
        self.count += 1;
        self.due.push(Reverse((time, self.count, to)));
        self.things.insert(self.count, thing);
    }

    fn news(&mut self, to: Member, event: Event) {
        self.at(self.now + DELAY, to.0, Thing::News(event));
    }

    /// Wakes a planner when it wants to be. More often than that does no harm.
    fn wake(&mut self, member: u32) {
        if let Some(next) = self.planners[member as usize].next() {
            self.at(next.max(self.now), member, Thing::Tick);
        }
    }

    fn has(&self, member: Member, segment: &SegmentId) -> bool {
        self.holders[number(segment)].contains(&member)
    }

    fn run_until(&mut self, end: Time) {
        while let Some(Reverse((time, _, _))) = self.due.peek()
            && *time <= end
        {
            let Some(Reverse((time, count, to))) = self.due.pop() else {
                break;
            };
            self.now = time;
            let thing = self.things.remove(&count).unwrap();
            if to != VICTIM {
                self.happen(to, thing);
            }
        }
        self.now = end;
    }

    fn happen(&mut self, me: u32, thing: Thing) {
        match thing {
            Thing::Tick => {
                if self.planners[me as usize]
                    .next()
                    .is_some_and(|it| it <= self.now)
                {
                    self.tell(me, Event::Tick);
                }
            }
            Thing::News(event) => self.tell(me, event),
            Thing::Learns => {
                let sight = Sight {
                    usual: MEMBERS as usize,
                    here: MEMBERS as usize - 1,
                    vanished: 1,
                };
                self.tell(me, Event::Sight(sight));
                let (roster, returned) = (Arc::clone(&self.less), Vec::new());
                self.tell(me, Event::Roster { roster, returned });
            }
            Thing::Fetched { segment, by } => {
                if !self.has(Member(me), &segment) {
                    self.holders[number(&segment)].push(Member(me));
                    self.moved += BYTES;
                }
                let (policy, holders) = (Arc::clone(&self.policy), vec![by]);
                let is_pinned = false;
                self.tell(
                    me,
                    Event::Have {
                        segment,
                        bytes: BYTES,
                        policy,
                        holders,
                        is_pinned,
                    },
                );
                self.news(
                    by,
                    Event::Holds {
                        segment,
                        member: Member(me),
                    },
                );
            }
            Thing::Check { segment, by } => {
                let member = Member(me);
                let (is_pinned, has) = (false, self.has(member, &segment));
                let answer = if has {
                    Event::Says {
                        segment,
                        member,
                        is_pinned,
                    }
                } else {
                    Event::HoldsNot { segment, member }
                };
                self.news(by, answer);
                self.tell(
                    me,
                    Event::Says {
                        segment,
                        member: by,
                        is_pinned,
                    },
                );
            }
        }
    }

    fn tell(&mut self, me: u32, event: Event) {
        let began = Instant::now();
        let actions = self.planners[me as usize].step(self.now, event);
        self.longest = self.longest.max(began.elapsed());
        for action in actions {
            self.act(Member(me), action);
        }
        self.wake(me);
    }

    fn act(&mut self, by: Member, action: Action) {
        match action {
            Action::Offer { segment, to, .. } => {
                assert_ne!(to.0, VICTIM, "nobody sees it");
                let free = &mut self.free[to.0 as usize];
                *free = (*free).max(self.now) + Duration::from_secs(BYTES / LINK);
                let then = *free;
                self.at(then, to.0, Thing::Fetched { segment, by });
            }
            Action::Lease { segment, lasts } => {
                for other in self.others(by, &segment) {
                    self.news(other, Event::Lease { segment, lasts });
                }
            }
            Action::Check { segment, member } => {
                self.at(self.now + DELAY, member.0, Thing::Check { segment, by });
            }
            Action::AskToTrim { segment, of, ask } => {
                self.news(of, Event::TrimAsked { segment, by, ask });
            }
            Action::AnswerTrim {
                segment,
                to,
                ask,
                answer,
            } => {
                self.news(
                    to,
                    Event::TrimAnswered {
                        segment,
                        by,
                        ask,
                        answer,
                    },
                );
            }
            Action::Trim { segment } | Action::Release { segment } => {
                let others = self.others(by, &segment).len();
                assert!(others >= 3, "{by:?} trims {segment} with {others} others");
                self.holders[number(&segment)].retain(|it| *it != by);
            }
            Action::Retract { segment, to } => {
                for other in to {
                    self.news(
                        other,
                        Event::HoldsNot {
                            segment,
                            member: by,
                        },
                    );
                }
            }
        }
    }

    /// Who of the living has it beside this one.
    fn others(&self, me: Member, segment: &SegmentId) -> Vec<Member> {
        let all = self.holders[number(segment)].iter().copied();
        all.filter(|it| *it != me && it.0 != VICTIM).collect()
    }
}

/// What this process has in memory, in bytes; nothing where that cannot be read.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// `cargo test --workspace --lib -- --ignored --nocapture a_million_segments`
#[test]
#[ignore = "minutes, and gigabytes"]
fn a_million_segments_on_ten_thousand_members() {
    let began = Instant::now();
    let known = members::sim::one_dies(MEMBERS as usize, VICTIM as usize, memory);
    let last = known.after.iter().max().unwrap();
    println!(
        "{MEMBERS} members: {} bytes a second each; one dies, known to all after {last:?}; {} KiB a member; {:.0?}",
        known.quiet,
        known.memory / u64::from(MEMBERS) / 1024,
        began.elapsed()
    );
    assert!(known.quiet < 4096 && *last < Duration::from_secs(30));

    let before = memory();
    let mut swarm = Swarm::settled();
    println!(
        "{SEGMENTS} segments of three copies: {} KiB a member; {:.0?}",
        memory().saturating_sub(before) / u64::from(MEMBERS) / 1024,
        began.elapsed()
    );
    let dies = minutes(10);
    swarm.run_until(dies);
    assert_eq!(swarm.moved, 0, "nothing has happened");
    let lacking = swarm
        .holders
        .iter()
        .filter(|it| it.contains(&Member(VICTIM)));
    let share = lacking.count() as u64 * BYTES;
    for (member, after) in (0..).zip(known.after) {
        swarm.at(dies + after, member, Thing::Learns);
    }
    let whole = |swarm: &Swarm| {
        let living = |it: &&Member| it.0 != VICTIM;
        let mut all = swarm.holders.iter();
        all.all(|it| it.iter().filter(living).count() >= 3)
    };
    let mut took = Duration::ZERO;
    while took < minutes(60) && !whole(&swarm) {
        took += minutes(1);
        swarm.run_until(dies + took);
    }
    assert!(whole(&swarm), "not made anew within an hour");
    swarm.run_until(dies + minutes(120));
    println!(
        "its {} GiB are there again after {} min, {:.2} of them moved within two hours; the longest round of a planner \
         {:.0?}; all in {:.0?}",
        share >> 30,
        took.as_secs() / 60,
        swarm.moved as f64 / share as f64,
        swarm.longest,
        began.elapsed()
    );
    assert!(swarm.moved * 10 <= share * 12, "more than its share");
}
