//! A node that is about to leave: it takes nothing more, and says how far the others have what it has.

use std::collections::BTreeMap;

use store::Cid;
use store::wire::replica::ReplicaRequest;

use super::Replicator;
use crate::replication::placement::Member;
use crate::replication::planner::Event;
use crate::replication::report::{Draining, StuckContent};

/// Contents that are named.
const NAMED: usize = 64;

impl Replicator {
    /// Whether a member's copies count: it is not about to leave, as far as is known.
    pub(super) fn stays(&self, member: Member) -> bool {
        self.roster.stays(member)
    }

    /// What waits to be fetched for others is theirs to place elsewhere.
    pub(super) fn take_nothing_more(&mut self) {
        for (segment, offered) in self.pulls.drop_waiting() {
            for from in offered {
                self.say(&from, ReplicaRequest::Failed(segment));
            }
        }
    }

    pub(super) fn drain(&mut self, anew: bool) -> Draining {
        self.plan(Event::Drain { anew });
        let Some(drain) = self.planner.drain(self.now()) else {
            return Draining::default();
        };
        // What was found here at the start, and may be wanted, as far as has been heard.
        let undecided = if self.is_settled {
            0
        } else {
            let all = self.holdings.iter().map(|(segment, _)| segment);
            all.filter(|it| self.policy_of(it).is_none()).count()
        };
        let is_known = self.is_loaded && undecided == 0 && self.has_begun();
        let mut contents: BTreeMap<Cid, StuckContent> = BTreeMap::new();
        for stuck in &drain.stuck.1 {
            let held = self.holdings.get(&stuck.segment);
            let Some(root) = held.and_then(|it| it.roots().next().copied()) else {
                continue;
            };
            let is_full = contents.len() >= NAMED;
            if is_full && !contents.contains_key(&root) {
                continue;
            }
            let content = contents.entry(root).or_insert(StuckContent {
                root,
                segments: 0,
                copies: stuck.copies,
                wanted: stuck.wanted,
                why: stuck.why,
            });
            content.segments += 1;
            content.copies = content.copies.min(stuck.copies);
            content.why = content.why.min(stuck.why);
        }
        Draining {
            is_leaving: true,
            held: drain.held,
            needed: drain.needed,
            stuck: drain.stuck.0,
            contents: contents.into_values().collect(),
            unconfirmed: drain.unconfirmed.max(drain.promised) + undecided,
            is_over: drain.is_over && is_known,
            blind: self.is_blind,
        }
    }
}
