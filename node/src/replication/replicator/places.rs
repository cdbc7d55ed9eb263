//! [`Placings`]: contents that were just added, whose copies are made at once: somebody may wait for them.
//!
//! Each segment is offered to those that should have it, for the sake of this content, also where they have
//! it already: each copy is held for all that it is wanted for. Who does not take it is replaced by the
//! next. What cannot be placed is left to the repairs, and tried again when the members change.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use store::Cid;
use store::segment::SegmentId;
use tokio::sync::watch;

use super::Replicator;
use super::offers::Offered;
use crate::replication::placement::Member;
use crate::replication::policy::Policy;
use crate::replication::report::Placed;

/// Contents that are placed at once at most; further ones are left to the repairs.
const PLACINGS: usize = 1024;
/// Segments of which offers are under way, over all contents.
const AT_ONCE: usize = 16;
/// Members that would not have a segment, and that are passed over.
const REFUSED: usize = 16;
/// Tries with one member that is busy, or could not be reached: it may have just come.
const TRIES: u8 = 3;
/// Reasons that are told.
const REASONS: usize = 8;
/// Whoever has just begun may not know the others yet: before this it is not over.
const BEGINNING: Duration = Duration::from_secs(10);
/// A content comes to its quorum as long as a segment of it has within this time.
const LATELY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Placings {
    all: Vec<Placing>,
}

/// One content.
struct Placing {
    root: Cid,
    segments: Vec<Segment>,
    /// Those to begin with, by their numbers.
    queue: VecDeque<usize>,
    /// Those to go on with at the next look at who is here.
    later: BTreeSet<usize>,
    /// When a segment last came to its quorum, or the first was begun.
    progress: Duration,
    placed: Placed,
    watchers: Vec<watch::Sender<Placed>>,
}

/// One segment.
struct Segment {
    id: SegmentId,
    bytes: u64,
    /// Others that have it, for the sake of this content.
    done: BTreeSet<Member>,
    asked: BTreeSet<Member>,
    refused: BTreeSet<Member>,
    /// How often each could not.
    failed: BTreeMap<Member, u8>,
    /// As counted in [`Placed`].
    at_quorum: bool,
    at_target: bool,
    is_stuck: bool,
}

impl Replicator {
    /// Has copies of a content made that is whole here, and tells `watcher` how far that is.
    pub(super) fn place(&mut self, root: Cid, watcher: Option<watch::Sender<Placed>>) {
        let copies = self.wanted(&root);
        let mut all = self.placings.all.iter_mut();
        if let Some(placing) = all.find(|placing| placing.root == root) {
            placing.watchers.extend(watcher);
            placing.begin_anew(copies);
            self.place_next();
            return;
        }
        let mut placing = self.placing(root);
        placing.watchers.extend(watcher);
        if self.placings.all.len() < PLACINGS {
            self.placings.all.push(placing);
            self.place_next();
        } else {
            placing.placed.over = true;
            placing.placed.reasons =
                vec!["too much is being placed: the repairs will do it".into()];
            placing.tell();
        }
    }

    fn placing(&self, root: Cid) -> Placing {
        let segments = self.holdings.of_root(&root).into_iter().filter_map(|id| {
            let held = self.holdings.get(&id)?;
            Some(Segment {
                id,
                bytes: held.bytes,
                done: BTreeSet::new(),
                asked: BTreeSet::new(),
                refused: BTreeSet::new(),
                failed: BTreeMap::new(),
                at_quorum: false,
                at_target: false,
                is_stuck: false,
            })
        });
        let segments: Vec<Segment> = segments.collect();
        let copies = self.wanted(&root);
        let bytes: u64 = segments.iter().map(|it| it.bytes).sum();
        let placed = Placed {
            segments: segments.len(),
            bytes: (bytes, bytes.saturating_mul(copies as u64)),
            ..Placed::default()
        };
        Placing {
            root,
            queue: (0..segments.len()).collect(),
            later: BTreeSet::new(),
            progress: self.now(),
            segments,
            placed,
            watchers: Vec::new(),
        }
    }

    /// Copies of each segment that are wanted, as far as there are members for them.
    fn wanted(&self, root: &Cid) -> usize {
        let policy = self.policies.get(root);
        policy.map_or(1, |policy| self.roster.under(policy).target().max(1))
    }

    /// Begins with as many segments as may be under way.
    fn place_next(&mut self) {
        let mut all = std::mem::take(&mut self.placings.all);
        let under_way = all.iter().flat_map(|it| &it.segments);
        let mut under_way = under_way.filter(|it| !it.asked.is_empty()).count();
        let now = self.now();
        for placing in &mut all {
            while under_way < AT_ONCE
                && let Some(number) = placing.next(now)
            {
                under_way += usize::from(self.offer_on(placing, number));
            }
            placing.placed.over = placing.is_idle() && self.has_begun();
            placing.tell();
        }
        all.retain(|placing| !placing.is_done());
        // Offers end by notes, so nothing was added meanwhile.
        self.placings.all = all;
    }

    pub(super) fn has_begun(&self) -> bool {
        (self.ours.is_some() && self.roster.len() > 1) || self.now() > BEGINNING
    }

    /// Offers a segment to those that lack it; whether anybody was asked.
    fn offer_on(&mut self, placing: &mut Placing, number: usize) -> bool {
        let Some(policy) = self.policies.get(&placing.root).cloned() else {
            placing.left("it is not wanted any more");
            return false;
        };
        let segment = &mut placing.segments[number];
        let missing = self.missing(segment, &policy);
        let targets = self.targets(segment, &policy, missing);
        let is_short = targets.len() < missing && segment.asked.is_empty();
        segment.is_stuck = is_short;
        for &target in &targets {
            segment.asked.insert(target);
        }
        let id = segment.id;
        placing.count(number, self.copies(number, placing), &policy, self.now());
        if is_short {
            let reason = if self.roster.members().all(|it| it == self.me) {
                "no other member is here"
            } else {
                "no further member takes it"
            };
            placing.left(reason);
        }
        let is_asked = !targets.is_empty();
        for target in targets {
            self.offer(id, target, false);
        }
        is_asked
    }

    /// Copies that are missing, with those under way taken for made: first those of the quorum, for which somebody
    /// may wait, and then the rest.
    fn missing(&self, segment: &Segment, policy: &Policy) -> usize {
        let target = match self.roster.under(policy).target() {
            target if policy.everywhere || segment.at_quorum => target,
            target => target.min(policy.copies.quorum().into()),
        };
        let others = segment.done.iter().chain(&segment.asked).copied();
        // Copies of those that are about to leave do not count, our own neither.
        let all = others.chain(self.ours).filter(|it| self.stays(*it));
        let count = if policy.everywhere {
            all.count()
        } else {
            let hosts = all.map(|it| self.roster.host(it));
            hosts.collect::<BTreeSet<_>>().len()
        };
        target.saturating_sub(count)
    }

    fn targets(&self, segment: &Segment, policy: &Policy, missing: usize) -> Vec<Member> {
        let mut holders: Vec<Member> = segment.done.iter().copied().collect();
        holders.extend(self.ours);
        let refused: Vec<Member> = segment.refused.iter().copied().collect();
        let field = self.roster.under(policy);
        let may_have = self.roster.is_allowed(self.me, policy);
        let is_pinned = may_have && self.is_pinned(&segment.id);
        let pinned = [self.me];
        let pinned = if is_pinned { &pinned[..] } else { &[] };
        let mut hosts: BTreeSet<_> = holders.iter().chain(&segment.asked).copied().collect();
        let staying = hosts.iter().filter(|it| self.stays(**it));
        let mut used: BTreeSet<_> = staying.map(|it| self.roster.host(*it)).collect();
        let mut targets = Vec::new();
        for place in field.place_beside(pinned, &segment.id, &holders, &refused) {
            let is_new = hosts.insert(place);
            let is_apart = policy.everywhere || used.insert(self.roster.host(place));
            if targets.len() < missing && is_new && is_apart {
                targets.push(place);
            }
        }
        targets
    }

    /// Hosts that have it and stay: this one, and those that showed a receipt.
    fn copies(&self, number: usize, placing: &Placing) -> usize {
        let done = placing.segments[number].done.iter().copied();
        let hosts = done
            .chain(self.ours)
            .filter(|it| self.stays(*it))
            .map(|it| self.roster.host(it).ok_or(it));
        hosts.collect::<HashSet<_>>().len()
    }

    /// An offer has ended.
    pub(super) fn placed(&mut self, id: SegmentId, member: Member, ended: &Offered) {
        let mut all = std::mem::take(&mut self.placings.all);
        for placing in &mut all {
            let Some(number) = placing.number_of(&id) else {
                continue;
            };
            let segment = &mut placing.segments[number];
            if !segment.asked.remove(&member) {
                continue;
            }
            match ended {
                Offered::Holds => {
                    segment.done.insert(member);
                    placing.placed.bytes.0 += segment.bytes;
                }
                Offered::Failed(_) | Offered::Unkept(_) if segment.fails(member) < TRIES => {
                    placing.later.insert(number);
                    continue;
                }
                Offered::NoRoom | Offered::Refused | Offered::Failed(_) | Offered::Unkept(_) => {
                    if segment.refused.len() < REFUSED {
                        segment.refused.insert(member);
                    }
                    let name = self.name(member);
                    placing.left(&match ended {
                        Offered::Failed(why) | Offered::Unkept(why) => format!("{name}: {why}"),
                        Offered::NoRoom => format!("{name} has no room"),
                        _ => format!("{name} does not store for this owner"),
                    });
                }
            }
            if let Some(policy) = self.policies.get(&placing.root).cloned() {
                let copies = self.copies(number, placing);
                placing.count(number, copies, &policy, self.now());
            }
            match &placing.segments[number] {
                segment if segment.at_target => {}
                // The others come to their quorum first.
                segment if segment.at_quorum => placing.queue.push_back(number),
                _ => placing.queue.push_front(number),
            }
        }
        self.placings.all = all;
        self.place_next();
    }

    /// Goes on with what failed, and is worth another try.
    pub(super) fn place_later(&mut self) {
        for placing in &mut self.placings.all {
            placing.queue.extend(std::mem::take(&mut placing.later));
        }
        self.place_next();
    }

    /// The members have changed: what could not be placed may be now.
    pub(super) fn retry_placings(&mut self) {
        for placing in &mut self.placings.all {
            placing.placed.reasons.clear();
            let stuck = placing.segments.iter_mut().enumerate();
            for (number, segment) in stuck.filter(|(_, it)| it.is_stuck) {
                segment.is_stuck = false;
                segment.refused.clear();
                placing.queue.push_back(number);
            }
        }
        self.place_next();
    }

    /// What people call a member.
    fn name(&self, member: Member) -> String {
        let candidate = self.roster.candidate(member);
        candidate.map_or_else(|| "a member".to_owned(), |it| it.peer.to_string())
    }
}

impl Segment {
    /// Notes that a member could not; how often it could not.
    fn fails(&mut self, member: Member) -> u8 {
        let times = self.failed.entry(member).or_default();
        *times = times.saturating_add(1);
        *times
    }
}

impl Placing {
    /// Begins anew with the copies that are there or under way: what is wanted may have changed, and so may those
    /// who could not take it.
    fn begin_anew(&mut self, copies: usize) {
        for segment in &mut self.segments {
            segment.at_quorum = false;
            segment.at_target = false;
            segment.is_stuck = false;
            segment.refused.clear();
            segment.failed.clear();
        }
        self.queue = (0..self.segments.len()).collect();
        self.later.clear();
        let bytes: u64 = self.segments.iter().map(|it| it.bytes).sum();
        self.placed = Placed {
            segments: self.segments.len(),
            bytes: (self.placed.bytes.0, bytes.saturating_mul(copies as u64)),
            ..Placed::default()
        };
    }

    fn number_of(&self, id: &SegmentId) -> Option<usize> {
        // In order: they come from an ordered set.
        self.segments.binary_search_by_key(id, |it| it.id).ok()
    }

    /// The next to begin with. While others come to their quorum, for which somebody may wait, those that are there
    /// already take no bandwidth from them. Where none of these has got there lately, one at a time goes on.
    fn next(&mut self, now: Duration) -> Option<usize> {
        let number = *self.queue.front()?;
        let are_under_way = |at_quorum: bool| {
            let mut segments = self.segments.iter();
            segments.any(|it| !it.asked.is_empty() && it.at_quorum == at_quorum)
        };
        let is_late = now >= self.progress + LATELY;
        if self.segments[number].at_quorum
            && are_under_way(false)
            && (!is_late || are_under_way(true))
        {
            return None;
        }
        self.queue.pop_front()
    }

    /// Counts a segment anew, of which there are so many copies.
    fn count(&mut self, number: usize, copies: usize, policy: &Policy, now: Duration) {
        let segment = &mut self.segments[number];
        let wanted = usize::from(policy.copies.target);
        let quorum = usize::from(policy.copies.quorum());
        let at_target = if policy.everywhere {
            segment.asked.is_empty() && !segment.is_stuck && segment.refused.is_empty()
        } else {
            copies >= wanted
        };
        if copies >= quorum && !segment.at_quorum {
            segment.at_quorum = true;
            self.progress = now;
            self.placed.at_quorum += 1;
        }
        if at_target && !segment.at_target {
            segment.at_target = true;
            self.placed.at_target += 1;
        }
    }

    /// Something is left to the repairs.
    fn left(&mut self, reason: &str) {
        let reasons = &mut self.placed.reasons;
        if reasons.len() < REASONS && !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
    }

    /// Whether nothing is tried now.
    fn is_idle(&self) -> bool {
        let waits = !self.queue.is_empty() || !self.later.is_empty();
        !waits && self.segments.iter().all(|it| it.asked.is_empty())
    }

    /// Whether nothing is left to do.
    fn is_done(&self) -> bool {
        self.is_idle() && self.segments.iter().all(|it| it.at_target)
    }

    fn tell(&mut self) {
        if self.placed.at_target == self.placed.segments {
            // What went wrong on the way does not matter any more.
            self.placed.reasons.clear();
        }
        self.watchers.retain(|watcher| !watcher.is_closed());
        for watcher in &self.watchers {
            watcher.send_if_modified(|placed| {
                let is_new = *placed != self.placed;
                placed.clone_from(&self.placed);
                is_new
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_waits_for_goes_first_and_the_rest_where_it_is_late() {
        let segment = |number: u8| Segment {
            id: SegmentId([number; 32]),
            bytes: 1,
            done: BTreeSet::new(),
            asked: BTreeSet::new(),
            refused: BTreeSet::new(),
            failed: BTreeMap::new(),
            at_quorum: number < 2,
            at_target: false,
            is_stuck: false,
        };
        let mut placing = Placing {
            root: store::cid::parse("bafkqaaa").unwrap(),
            segments: (0..4).map(segment).collect(),
            queue: VecDeque::from([2, 3, 0, 1]),
            later: BTreeSet::new(),
            progress: Duration::ZERO,
            placed: Placed::default(),
            watchers: Vec::new(),
        };
        let mut next = |secs, ended: &[usize]| {
            for ended in ended {
                placing.segments[*ended].asked.clear();
            }
            let number = placing.next(Duration::from_secs(secs))?;
            placing.segments[number].asked.insert(Member(9));
            Some(number)
        };
        assert_eq!([next(0, &[]), next(0, &[])], [Some(2), Some(3)]);
        assert_eq!(next(9, &[]), None, "two are on their way to their quorum");
        assert_eq!(next(9, &[2]), None, "one still is");
        assert_eq!(next(10, &[]), Some(0), "it is late");
        assert_eq!(next(10, &[]), None, "one at a time");
        assert_eq!(next(10, &[0]), Some(1));

        placing.queue.push_back(0);
        placing.segments[3].asked.clear();
        let now = Duration::from_secs(1);
        assert_eq!(placing.next(now), Some(0), "nobody waits any more");
    }
}
