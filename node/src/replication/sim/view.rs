//! Who a member believes is here. It lags: who came is seen after seconds, who went after some twenty.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;

use super::super::placement::{Member, Roster};
use super::super::planner::{Event, Sight};
use super::minutes;
use super::world::{Thing, World};

/// Nobody is missed sooner.
const MISSED: Duration = Duration::from_secs(15);

impl World {
    /// Something has changed: each sees it in its time.
    pub(super) fn see_change(&mut self) {
        for member in 0..self.nodes.len() as u32 {
            if self.nodes[member as usize].is_up {
                let soon = Duration::from_millis(self.rng.random_range(500..5000));
                let late = Duration::from_millis(self.rng.random_range(15_100..25_000));
                self.at(self.now + soon, Thing::View(member));
                self.at(self.now + late, Thing::View(member));
            }
        }
    }

    /// A member looks who is here, and tells its planner.
    pub(super) fn view(&mut self, me: u32) {
        let now = self.now;
        let mut here = std::collections::BTreeMap::new();
        let mut returned = Vec::new();
        let old = self.nodes[me as usize].here.clone();
        for other in 0..self.nodes.len() as u32 {
            let node = &self.nodes[other as usize];
            let before = old.get(&other);
            if self.reach(me, other) {
                if before.is_some_and(|life| *life != node.life) {
                    returned.push(Member(other));
                }
                here.insert(other, node.life);
            } else if let Some(life) = before.filter(|_| node.candidate.stays) {
                let since = node.changed.max(self.nodes[me as usize].changed);
                if now < since + MISSED {
                    here.insert(other, *life);
                }
            }
        }
        let key: Vec<_> = here
            .keys()
            .map(|it| {
                let candidate = &self.nodes[*it as usize].candidate;
                (*it, candidate.takes, candidate.stays)
            })
            .collect();
        let nodes = &self.nodes;
        let roster = self.rosters.entry(key).or_insert_with(|| {
            let here = here.keys().map(|it| nodes[*it as usize].candidate.clone());
            Arc::new(Roster::new(here))
        });
        let roster = Arc::clone(roster);
        let goodbye: Vec<_> = self
            .nodes
            .iter()
            .map(|it| it.is_gone && !it.candidate.stays)
            .collect();
        let usual = self.setup.usual;
        let node = &mut self.nodes[me as usize];
        let said_goodbye = |it: &u32| goodbye[*it as usize];
        for other in old.keys().filter(|it| !here.contains_key(it)) {
            node.vanished.insert(*other, now);
        }
        node.vanished.retain(|it, since| {
            !here.contains_key(it) && !said_goodbye(it) && *since + minutes(10) > now
        });
        node.usual.extend(here.keys().map(|it| (*it, now)));
        node.usual
            .retain(|it, seen| !said_goodbye(it) && *seen + usual > now);
        let sight = Sight {
            usual: node.usual.len(),
            here: here.len(),
            vanished: node.vanished.len(),
        };
        let again = node.vanished.values().min().map(|it| *it + minutes(10));
        node.here = here;
        if let Some(again) = again {
            self.at(again, Thing::View(me));
        }
        self.tell(me, Event::Sight(sight));
        self.tell(me, Event::Roster { roster, returned });
    }
}
