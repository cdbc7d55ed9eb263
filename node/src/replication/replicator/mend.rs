//! Copies of our own that are not whole: found, fetched again, and counted only then.
//!
//! What is doubted (by an audit, by the scrub, by another member) is looked through. Where one copy is rotten, others on
//! the same disk are likely to be: all are looked through then, one by one and slowly, instead of
//! being found by one audit each.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use store::Cid;
use store::blockstore::Blockstore as _;
use store::cid::Key;
use store::dag::source::Local;
use store::segment::{Hold, SegmentId};
use store::wire::member::MemberId;
use store::wire::replica::Offer;

use super::Replicator;
use super::holdings::{Held, Holdings};
use super::notes::Note;
use super::pull;
use crate::replication::planner;

/// Own copies that are fetched again at once at most; the search for more waits for them.
const BROKEN_MAX: usize = 64;

/// Copies that wait to be looked through at most; of others the audits tell again. 32 bytes each.
const DOUBTED_MAX: usize = 4096;

/// Copies that are looked through at once.
const LOOKS: usize = 2;

/// Three parts of the time belong to others while all copies are looked through.
const SHARE: u32 = 3;

/// All are looked through so often at most, however much is found.
const ROUND: Duration = Duration::from_secs(24 * 60 * 60);

/// Between two tries to fetch one of them.
const AGAIN: Duration = Duration::from_secs(5 * 60);

/// See the module.
#[derive(Default)]
pub(super) struct Mending {
    /// Those that are not whole, [`BROKEN_MAX`] at most.
    broken: HashMap<SegmentId, Broken>,
    /// Those that may not be.
    doubted: BTreeSet<SegmentId>,
    looks: usize,
    /// All copies of a number below this are still to be looked through. Downwards: what takes the place of one that goes has
    /// been looked at then.
    round: Option<usize>,
    /// When the last round began.
    rounded: Option<Duration>,
    /// How many have been found.
    found: u64,
}

/// A copy of ours that is not whole.
struct Broken {
    held: Held,
    /// When it is to be fetched again, if it does not come before.
    again: Duration,
}

impl Mending {
    /// Those that are fetched again, and how many have been found since the node began.
    pub(super) fn sum(&self) -> (usize, u64) {
        (self.broken.len(), self.found)
    }

    /// This one is whole again. What it was held for, if it was not.
    pub(super) fn mended(&mut self, segment: &SegmentId) -> Option<Held> {
        self.broken.remove(segment).map(|it| it.held)
    }

    /// What to look through next, and whether that is urgent.
    fn next(&mut self, holdings: &Holdings) -> Option<(SegmentId, bool)> {
        if let Some(segment) = self.doubted.pop_first() {
            return Some((segment, true));
        }
        let left = self.round?.min(holdings.sum().0);
        self.round = left.checked_sub(1).filter(|left| *left > 0);
        let segment = holdings.numbered(left.checked_sub(1)?)?;
        Some((segment, false))
    }

    /// Looks all through from now on, if that was not done lately.
    fn begin_round(&mut self, now: Duration, every: Duration, count: usize) {
        if self.rounded.is_none_or(|last| now >= last + every) {
            self.rounded = Some(now);
            self.round = Some(count);
        }
    }
}

impl Replicator {
    /// Our own copy may not be whole.
    pub(super) fn doubt(&mut self, segment: SegmentId) {
        if self.mending.doubted.len() < DOUBTED_MAX {
            self.mending.doubted.insert(segment);
        }
        self.look_through();
    }

    /// Reads copies of our own through, as many as there is time for.
    pub(super) fn look_through(&mut self) {
        while self.mending.looks < LOOKS && self.mending.broken.len() < BROKEN_MAX {
            let Some((segment, is_urgent)) = self.mending.next(&self.holdings) else {
                return;
            };
            let known = self.holdings.get(&segment);
            let Some((hold, bytes)) = known.map(|it| (it.hold().clone(), it.bytes)) else {
                continue;
            };
            self.mending.looks += 1;
            self.task(|context| async move {
                let begun = Instant::now();
                let read = context.with_blocks(move |blocks| {
                    let read = pull::fetch(&Local(blocks), &hold, &segment, bytes);
                    read.inspect_err(|error| {
                        tracing::warn!(%segment, %error, "a copy here is not whole");
                    })
                    .is_ok()
                });
                let is_whole = read.await.unwrap_or(true);
                if is_whole && !is_urgent {
                    tokio::time::sleep(begun.elapsed() * SHARE).await;
                }
                Some(Note::Scrubbed { segment, is_whole })
            });
        }
    }

    /// A copy that is not whole does not count, here or anywhere, until it has been fetched again.
    pub(super) fn on_scrubbed(&mut self, segment: SegmentId, is_whole: bool) {
        self.mending.looks -= 1;
        if !is_whole {
            self.broke(segment);
        }
        self.look_through();
    }

    fn broke(&mut self, segment: SegmentId) {
        let holders = self.holders(&segment);
        let Some(held) = self.holdings.remove(&segment) else {
            return;
        };
        let (now, every) = (self.now(), self.context.scaled(ROUND));
        self.mending.found += 1;
        self.mending.begin_round(now, every, self.holdings.sum().0);
        self.plan(planner::Event::Lost { segment });
        self.fetch_again(segment, &held, holders);
        let again = now + self.context.scaled(AGAIN);
        self.mending.broken.insert(segment, Broken { held, again });
    }

    fn fetch_again(&mut self, segment: SegmentId, held: &Held, holders: Vec<MemberId>) {
        let offer = Offer {
            segment,
            hold: held.hold().clone(),
            bytes: held.bytes,
            idle: false,
            pins: Vec::new(),
            holders,
        };
        self.pulls.push(offer, None);
        self.pull_next();
    }

    /// Tries those again that could not be fetched, and goes on with the search.
    pub(super) fn mend_broken(&mut self) {
        let now = self.now();
        let due = |it: &(&SegmentId, &Broken)| it.1.again <= now && !self.pulls.has(it.0);
        let broken = self.mending.broken.iter().filter(due);
        let broken: Vec<_> = broken
            .map(|(segment, it)| (*segment, it.held.clone()))
            .collect();
        for (segment, held) in broken {
            let holders = self.right_places(held.hold(), &segment);
            self.fetch_again(segment, &held, holders);
            if let Some(broken) = self.mending.broken.get_mut(&segment) {
                broken.again = now + self.context.scaled(AGAIN);
            }
        }
        self.look_through();
    }

    /// These blocks are rotten: what is above them is found.
    pub(super) fn rotten(&self, keys: Vec<Key>) {
        self.work(move |context| {
            let repo = context.repo.upgrade()?;
            let chain = |key: &Key| match repo.pins().whereabouts(key) {
                Ok(found) => Some(found.chain),
                Err(error) => {
                    tracing::warn!(%error, "it cannot be found out what a rotten block is of");
                    None
                }
            };
            Some(Note::Rotten(keys.iter().filter_map(chain).collect()))
        });
    }

    /// Each of these leads from a root to a rotten block: the segments that it is in, or above, are doubted.
    pub(super) fn on_rotten(&mut self, chains: Vec<Vec<Cid>>) {
        let mut below: Vec<(SegmentId, Hold, Cid)> = Vec::new();
        for chain in chains {
            let root = chain.first().map(|root| self.holdings.of_root(root));
            for segment in root.unwrap_or_default() {
                let places = self.holdings.get(&segment).map(|held| &held.places);
                let of_root = places.into_iter().flatten();
                let holds = of_root.map(|place| &place.hold);
                let Some(hold) = holds.into_iter().find(|it| it.root() == chain.first()) else {
                    continue;
                };
                if hold.path.starts_with(&chain) {
                    self.doubt(segment);
                } else if chain.starts_with(&hold.path) {
                    below.push((segment, hold.clone(), chain[hold.path.len()]));
                }
            }
        }
        self.work(move |context| {
            let blocks = context.blocks()?;
            let is_in = |hold: &Hold, child: &Cid| {
                let links = hold.path.last().and_then(|node| blocks.links(node).ok()?);
                let children = links.as_ref().and_then(|links| hold.extent(links));
                children.is_some_and(|all| all.iter().any(|link| link.cid == *child))
            };
            let segments = below
                .into_iter()
                .filter(|(_, hold, child)| is_in(hold, child));
            Some(Note::Doubted(
                segments.map(|(segment, ..)| segment).collect(),
            ))
        });
    }
}

#[cfg(test)]
mod tests {
    use store::Block;
    use store::cid::{Codec, Version};

    use super::super::holdings::Place;
    use super::*;

    fn holdings(count: u8) -> Holdings {
        let block = Block::hash(Version::V1, Codec::Raw, vec![1].into()).unwrap();
        let mut holdings = Holdings::default();
        for number in 0..count {
            let hold = Hold {
                path: vec![*block.cid()],
                first: number.into(),
                count: 1,
            };
            holdings.insert(SegmentId([number; 32]), 1, Place::held(hold));
        }
        holdings
    }

    #[test]
    fn a_round_comes_to_each_copy_though_some_go_on_the_way() {
        let mut holdings = holdings(40);
        let mut mending = Mending::default();
        assert_eq!(mending.next(&holdings), None, "nothing was found yet");
        let hour = Duration::from_secs(3600);
        mending.begin_round(hour, ROUND, 40);
        mending.doubted.insert(SegmentId([7; 32]));
        assert_eq!(mending.next(&holdings), Some((SegmentId([7; 32]), true)));
        let mut seen = BTreeSet::new();
        while let Some((segment, is_urgent)) = mending.next(&holdings) {
            assert!(!is_urgent && seen.insert(segment));
            // Each fourth is rotten.
            if segment.0[0] % 4 == 0 {
                holdings.remove(&segment);
            }
        }
        assert_eq!(seen.len(), 40);
        mending.begin_round(hour + ROUND / 2, ROUND, 30);
        assert_eq!(mending.next(&holdings), None, "not twice a day");
        mending.begin_round(hour + ROUND, ROUND, 30);
        assert!(mending.next(&holdings).is_some());
    }
}
