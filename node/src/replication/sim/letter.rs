//! What members say to each other, and what they do about it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use store::segment::SegmentId;

use super::super::placement::Member;
use super::super::planner::{Answer, Declined, Event, Level};
use super::minutes;
use super::world::{Thing, World};

/// What one member says to another.
pub(super) enum Letter {
    Offer {
        segment: usize,
        level: Level,
        holders: Vec<Member>,
    },
    /// It holds this, and keeps it perhaps in any case; so do those; and you?
    Check {
        segment: SegmentId,
        is_pinned: bool,
        holders: Vec<Member>,
    },
    /// An answer, or news.
    News(Event),
    /// All that it has, what of it is pinned, and whether the other is to say the same.
    All(Arc<[BTreeSet<usize>; 2]>, bool),
}

impl World {
    pub(super) fn send(&mut self, from: u32, to: u32, letter: Letter) {
        if self.rng.random_range(0..1000) < self.setup.loss {
            return;
        }
        let delay = Duration::from_millis(self.rng.random_range(1..150));
        self.at(self.now + delay, Thing::Letter { from, to, letter });
    }

    pub(super) fn deliver(&mut self, from: u32, to: u32, letter: Letter) {
        if !self.reach(from, to) {
            if let Letter::Offer { segment, .. } = letter {
                // The connection failed, and its asker sees that.
                self.decline(to, from, segment, Declined::Failed);
            }
            return;
        }
        let lies = self.nodes[to as usize].lies;
        match letter {
            Letter::Offer {
                segment,
                level,
                holders,
            } => self.offered(from, to, segment, level, &holders),
            Letter::Check {
                segment,
                is_pinned,
                holders,
            } => self.checked(from, to, (segment, is_pinned), holders),
            Letter::News(Event::TrimAsked { .. }) if lies => {
                // It has nothing to show.
            }
            Letter::News(event) => {
                if let Event::TrimAnswered {
                    segment,
                    answer: Answer::Keeps,
                    ..
                } = &event
                {
                    let number = self.numbers[segment];
                    if !self.nodes[from as usize].disk.contains(&number) {
                        // It was shown when it was sent; this one has been destroyed meanwhile.
                        return;
                    }
                }
                if let Event::Declined {
                    segment,
                    why: Declined::NoRoom,
                    ..
                } = &event
                {
                    self.give_back(to, self.setup.segments[self.numbers[segment]]);
                }
                self.tell(to, event);
            }
            Letter::All(theirs, answer) => self.compare(from, to, &theirs, answer),
        }
    }

    /// Is told that another has a segment, and who has it besides; says the same.
    fn checked(
        &mut self,
        from: u32,
        me: u32,
        (segment, theirs): (SegmentId, bool),
        holders: Vec<Member>,
    ) {
        let node = &self.nodes[me as usize];
        let has = node.lies || node.disk.contains(&self.numbers[&segment]);
        let is_pinned = node.pinned.contains(&self.numbers[&segment]);
        let known: Vec<_> = node.planner.holders(&segment).collect();
        let member = Member(me);
        let answer = if has {
            Event::Says {
                segment,
                member,
                is_pinned,
            }
        } else {
            Event::HoldsNot { segment, member }
        };
        self.send(me, from, Letter::News(answer));
        if !known.is_empty() {
            let holders = known;
            let news = Event::Heard { segment, holders };
            self.send(me, from, Letter::News(news));
        }
        let member = Member(from);
        self.tell(
            me,
            Event::Says {
                segment,
                member,
                is_pinned: theirs,
            },
        );
        self.tell(me, Event::Heard { segment, holders });
    }

    /// Another has said all that it has.
    fn compare(&mut self, from: u32, me: u32, theirs: &[BTreeSet<usize>; 2], answer: bool) {
        let [theirs, pinned] = theirs;
        let member = Member(from);
        for segment in self.nodes[me as usize].planner.common(member) {
            if !theirs.contains(&self.numbers[&segment]) {
                self.tell(me, Event::HoldsNot { segment, member });
            }
        }
        let both = theirs.intersection(&self.nodes[me as usize].disk);
        for number in both.copied().collect::<Vec<_>>() {
            let segment = self.ids[number];
            let is_pinned = pinned.contains(&number);
            self.tell(
                me,
                Event::Says {
                    segment,
                    member,
                    is_pinned,
                },
            );
        }
        if answer {
            let mine = self.all(me);
            self.send(me, from, Letter::All(mine, false));
        }
    }

    fn all(&self, member: u32) -> Arc<[BTreeSet<usize>; 2]> {
        let node = &self.nodes[member as usize];
        Arc::new([node.disk.clone(), node.pinned.clone()])
    }

    pub(super) fn decline(&mut self, by: u32, to: u32, segment: usize, why: Declined) {
        let segment = self.ids[segment];
        let member = Member(by);
        let event = Event::Declined {
            segment,
            member,
            why,
        };
        if self.reach(by, to) {
            self.send(by, to, Letter::News(event));
        } else {
            self.tell(to, event);
        }
    }

    /// Two holders compare what they have, at random, every ten minutes.
    pub(super) fn reconcile(&mut self, me: u32) {
        let node = &self.nodes[me as usize];
        if !node.is_up {
            return;
        }
        let others: Vec<u32> = node.here.keys().copied().filter(|it| *it != me).collect();
        if !node.lies {
            for _ in 0..2 {
                let Some(other) = others.choose(&mut self.rng).copied() else {
                    break;
                };
                if !self.nodes[other as usize].lies {
                    let mine = self.all(me);
                    self.send(me, other, Letter::All(mine, true));
                }
            }
        }
        self.at(self.now + minutes(10), Thing::Reconcile(me));
    }

    /// Each half hour a member has one other show each segment that both have. Only liars have anything to fear.
    pub(super) fn audit(&mut self, me: u32) {
        if !self.nodes[me as usize].is_up {
            return;
        }
        if self.nodes.iter().any(|it| it.lies) {
            let disk: Vec<_> = self.nodes[me as usize].disk.iter().copied().collect();
            for number in disk {
                let segment = self.ids[number];
                let planner = &self.nodes[me as usize].planner;
                let holders: Vec<_> = planner.holders(&segment).collect();
                let Some(member) = holders.choose(&mut self.rng).copied() else {
                    continue;
                };
                if self.reach(me, member.0) && self.nodes[member.0 as usize].lies {
                    self.tell(me, Event::Broke { segment, member });
                }
            }
        }
        self.at(self.now + minutes(30), Thing::Audit(me));
    }
}
