//! What is so, whatever anybody believes; and what must be.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::placement::Member;
use super::super::planner::Time;
use super::world::World;
use super::{Node, Setup};

/// Who is gone is believed here for so long at most, by the views of this simulator; and a round of confirmations
/// may have begun before.
const UNSEEN: Time = Time::from_secs(120);

impl World {
    /// At each trim: `target` others really have it, each on another host (here each is its own). What was destroyed since
    /// they gave leave counts: nobody can promise that.
    pub(super) fn assert_others_are_enough(&self, me: u32, segment: usize) {
        let others = self.nodes.iter().filter(|it| it.disk.contains(&segment));
        let others = others.filter(|it| it.candidate.member != Member(me) && !it.lies);
        let since = self.now.saturating_sub(self.setup.settings.grant);
        let destroyed = self.destroyed.get(&segment).into_iter().flatten();
        let count = others.count() + destroyed.filter(|it| **it >= since).count();
        let target = usize::from(self.policy.copies.target);
        assert!(
            count >= target,
            "seed {}: at {:?} member {me} trims segment {segment} with {count} others",
            self.setup.seed,
            self.now
        );
    }

    /// When a member says that it is drained: of each segment that it has there are `target` copies without it, on
    /// members that stay. Who has just died or was just cut off cannot have been missed yet; who lies is believed
    /// until it is caught.
    pub(super) fn assert_drained(&self, me: u32) {
        let target = usize::from(self.policy.copies.target);
        let since = self.now.saturating_sub(UNSEEN);
        let here = |it: &&Node| {
            let is_other = it.candidate.member != Member(me);
            let was_just = it.changed >= since;
            is_other && it.candidate.stays && (was_just || self.reach(me, it.candidate.member.0))
        };
        for segment in &self.nodes[me as usize].disk {
            let has = |it: &&Node| it.lies || it.disk.contains(segment);
            let count = self.nodes.iter().filter(here).filter(has).count();
            let destroyed = self.destroyed.get(segment).into_iter().flatten();
            let count = count + destroyed.filter(|it| **it >= since).count();
            assert!(
                count >= target,
                "seed {}: at {:?} member {me} goes, and segment {segment} has {count} copies",
                self.setup.seed,
                self.now
            );
        }
    }

    /// No more bytes are offered than the brakes let through: counted here once more.
    pub(super) fn hold_to_brakes(&mut self, me: u32, bytes: u64) {
        let rate = self.setup.settings.rate as f64;
        let (seed, now) = (self.setup.seed, self.now);
        let (at, left) = &mut self.nodes[me as usize].bucket;
        *left = (*left + now.saturating_sub(*at).as_secs_f64() * rate).min(4.0 * rate);
        *at = now;
        // What was refused is given back: a segment at most at each.
        assert!(
            *left > -1.0,
            "seed {seed}: member {me} offers too much at {now:?}"
        );
        *left -= bytes as f64;
    }

    /// What a refused offer gives back.
    pub(super) fn give_back(&mut self, me: u32, bytes: u64) {
        self.nodes[me as usize].bucket.1 += bytes as f64;
    }

    /// Segments that are not as they should be: too few copies though there are places, or too many.
    pub(in super::super) fn unsettled(&self) -> Vec<(usize, usize)> {
        let target = usize::from(self.policy.copies.target);
        let max = usize::from(self.policy.copies.max);
        let mut bad = Vec::new();
        for segment in 0..self.ids.len() {
            let there = self.nodes.iter().filter(|it| it.disk.contains(&segment));
            let count = there.filter(|it| it.counts()).count();
            let could = self
                .nodes
                .iter()
                .filter(|it| it.counts() && (it.candidate.takes || it.disk.contains(&segment)));
            let wanted = target.min(could.count());
            if (count > 0 && count < wanted) || count > max {
                bad.push((segment, count));
            }
        }
        bad
    }

    /// What is wanted, what is not so, and how the members are.
    pub(in super::super) fn describe_unsettled(&self) -> String {
        let bad = self.unsettled();
        let first = &bad[..bad.len().min(8)];
        let copies = self.policy.copies;
        let Setup { settings, loss, .. } = &self.setup;
        let mut text = format!(
            "{} of {} segments, (number, copies) {first:?}; wanted {copies:?}, rate {}, loss {loss}",
            bad.len(),
            self.ids.len(),
            settings.rate
        );
        for node in &self.nodes {
            let mib = |bytes: u64| bytes / super::MIB;
            let _ = write!(
                text,
                "\n  {}: {} of {} MiB, {} segments, {} on their way, up {}, gone {}, stays {}, takes {}, lies {}, side {}, \
                 sees {}, {:?}",
                node.candidate.member.0,
                mib(node.used),
                mib(node.capacity),
                node.disk.len(),
                node.fetching.len(),
                node.is_up,
                node.is_gone,
                node.candidate.stays,
                node.candidate.takes,
                node.lies,
                node.side,
                node.here.len(),
                node.candidate.tags
            );
        }
        text
    }

    /// Segments of which nobody has a copy, not even one who is away, though nothing destroyed them.
    pub(in super::super) fn lost(&self) -> Vec<usize> {
        let all: BTreeSet<_> = self.nodes.iter().flat_map(|it| &it.disk).collect();
        let lost = (0..self.ids.len()).filter(|it| !all.contains(it));
        lost.filter(|it| !self.destroyed.contains_key(it)).collect()
    }

    /// Runs until all is as it should be; says when that was.
    pub(in super::super) fn settle(&mut self, step: Time, most: Time) -> Option<Time> {
        let end = self.now + most;
        while self.now < end {
            if self.unsettled().is_empty() {
                return Some(self.now);
            }
            self.run_until(self.now + step);
        }
        self.unsettled().is_empty().then_some(self.now)
    }

    /// Bytes of all copies.
    pub(in super::super) fn stored(&self) -> u64 {
        self.nodes.iter().map(|it| it.used).sum()
    }
}
