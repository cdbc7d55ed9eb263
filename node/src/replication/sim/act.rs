//! What a member's driver does for its planner: sends, fetches, gives up.

use std::time::Duration;

use super::super::placement::Member;
use super::super::planner::{Action, Declined, Event, Level};
use super::letter::Letter;
use super::world::{Thing, World};

impl World {
    pub(super) fn act(&mut self, me: u32, action: Action) {
        let by = Member(me);
        match action {
            Action::Offer { segment, to, level } => {
                let number = self.numbers[&segment];
                self.hold_to_brakes(me, self.setup.segments[number]);
                let planner = &self.nodes[me as usize].planner;
                let holders = planner.holders(&segment).chain([by]).collect();
                let letter = Letter::Offer {
                    segment: number,
                    level,
                    holders,
                };
                self.send(me, to.0, letter);
            }
            Action::Lease { segment, lasts } => {
                let planner = &self.nodes[me as usize].planner;
                for other in planner.holders(&segment).collect::<Vec<_>>() {
                    let news = Event::Lease { segment, lasts };
                    self.send(me, other.0, Letter::News(news));
                }
            }
            Action::AskToTrim { segment, of, ask } => {
                let news = Event::TrimAsked { segment, by, ask };
                self.send(me, of.0, Letter::News(news));
            }
            Action::AnswerTrim {
                segment,
                to,
                ask,
                answer,
            } => {
                let news = Event::TrimAnswered {
                    segment,
                    by,
                    ask,
                    answer,
                };
                self.send(me, to.0, Letter::News(news));
            }
            Action::Trim { segment } => {
                let number = self.numbers[&segment];
                self.assert_others_are_enough(me, number);
                self.trims += 1;
                self.drop_copy(me, number);
            }
            Action::Release { segment } => {
                let number = self.numbers[&segment];
                self.drop_copy(me, number);
            }
            Action::Retract { segment, to } => {
                for other in to {
                    let member = by;
                    let news = Event::HoldsNot { segment, member };
                    self.send(me, other.0, Letter::News(news));
                }
            }
            Action::Check { segment, member } => {
                let planner = &self.nodes[me as usize].planner;
                let holders = planner.holders(&segment).collect();
                let letter = Letter::Check {
                    segment,
                    is_pinned: self.nodes[me as usize]
                        .pinned
                        .contains(&self.numbers[&segment]),
                    holders,
                };
                self.send(me, member.0, letter);
            }
        }
    }

    fn drop_copy(&mut self, me: u32, segment: usize) {
        let bytes = self.setup.segments[segment];
        let node = &mut self.nodes[me as usize];
        assert!(node.disk.remove(&segment), "it gives up what it has not");
        assert!(
            !node.pinned.contains(&segment),
            "it gives up what is pinned"
        );
        node.used -= bytes;
        self.measure(me);
    }

    /// Whether a member has room; the others see that.
    fn measure(&mut self, me: u32) {
        let node = &mut self.nodes[me as usize];
        let takes = !node.is_full();
        if node.candidate.stays && takes != node.candidate.takes {
            node.candidate.takes = takes;
            self.see_change();
        }
    }

    /// A member is to fetch a segment.
    pub(super) fn offered(
        &mut self,
        from: u32,
        to: u32,
        segment: usize,
        level: Level,
        holders: &[Member],
    ) {
        let bytes = self.setup.segments[segment];
        let node = &mut self.nodes[to as usize];
        if node.lies || node.disk.contains(&segment) {
            let holds = Event::Holds {
                segment: self.ids[segment],
                member: Member(to),
            };
            self.send(to, from, Letter::News(holds));
            return;
        }
        if let Some(askers) = node.fetching.get_mut(&segment) {
            askers.push(from);
            return;
        }
        let coming: u64 = node
            .fetching
            .keys()
            .map(|it| self.setup.segments[*it])
            .sum();
        if !node.candidate.stays || (node.used + coming + bytes) * 100 > node.capacity * 90 {
            self.decline(to, from, segment, Declined::NoRoom);
            return;
        }
        node.fetching.insert(segment, vec![from]);
        let nodes = &self.nodes;
        let sources = holders.iter().map(|it| it.0);
        let honest = sources.filter(|it| nodes[*it as usize].disk.contains(&segment));
        let near = honest.filter(|it| self.reach(to, *it));
        let Some(source) = near.min_by_key(|it| nodes[*it as usize].uplink) else {
            self.nodes[to as usize].fetching.remove(&segment);
            self.decline(to, from, segment, Declined::Failed);
            return;
        };
        // Links serve one after the other: each gets its share over time.
        let (a, b) = (&self.nodes[source as usize], &self.nodes[to as usize]);
        let start = self.now.max(a.uplink).max(b.downlink);
        let takes = Duration::from_secs_f64(bytes as f64 / a.link.min(b.link) as f64);
        let lives = (a.life, b.life);
        let end = start + takes;
        self.nodes[source as usize].uplink = end;
        self.nodes[to as usize].downlink = end;
        self.at(
            end,
            Thing::Fetched {
                from: source,
                to,
                segment,
                lives,
                level,
            },
        );
    }

    pub(super) fn fetched(
        &mut self,
        (from, to): (u32, u32),
        segment: usize,
        lives: (u32, u32),
        level: Level,
    ) {
        let node = &self.nodes[to as usize];
        if !node.is_up || node.life != lives.1 {
            return;
        }
        let source = &self.nodes[from as usize];
        let came = source.life == lives.0 && self.reach(from, to) && source.disk.contains(&segment);
        let bytes = self.setup.segments[segment];
        let node = &mut self.nodes[to as usize];
        let askers = node.fetching.remove(&segment).unwrap_or_default();
        if !came {
            for asker in askers {
                self.decline(to, asker, segment, Declined::Failed);
            }
            return;
        }
        node.disk.insert(segment);
        node.used += bytes;
        self.moved[level as usize] += bytes;
        self.measure(to);
        let holders = askers.iter().map(|it| Member(*it)).chain([Member(from)]);
        self.have(to, segment, holders.collect());
        for asker in askers {
            let holds = Event::Holds {
                segment: self.ids[segment],
                member: Member(to),
            };
            self.send(to, asker, Letter::News(holds));
        }
    }
}
