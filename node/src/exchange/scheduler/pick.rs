//! [`Pick`]: which leaves a peer is asked for.
//!
//! First what readers wait for, then what they will come to, in order. The rest rarest first while
//! others download too, so that each leaf is soon at more than one place; at the start in extents that
//! begin anywhere, since the others are not known yet; and in order once it is clear that all who have
//! anything have everything.

use std::ops::Bound;
use std::time::Duration;

use rand::Rng;
use store::Cid;
use store::wire::{Extent, MAX_EXTENTS, MAX_LEAVES};

use super::peers::Holds;
use super::place::Path;
use super::tree::{DONE, Item, Ix, State};
use super::{Mode, PeerName, RequestId, Scheduler, Time};

/// Bytes that one peer is asked for side by side, in one request or several: so much its disk reads at
/// once.
const EXTENT: u64 = 4 << 20;
/// For so long after the first leaf was asked for, others may still turn up who began when we did.
const ALONE_AFTER: Duration = Duration::from_secs(5);
/// Leaves that are looked at for the rarest. Of so many one that is as good as the rarest is found,
/// and a look takes some tens of microseconds.
const LOOKED_AT: usize = 2048;
/// Nodes among which the place to begin is chosen.
const BEGINNINGS: usize = 512;
/// Bytes behind a reader's place that go in order, before all else.
const IN_ORDER: u64 = 16 << 20;

/// A Get in the making.
#[derive(Debug)]
pub(super) struct Pick {
    request: RequestId,
    pub(super) slot: u8,
    budget: u64,
    pub(super) extents: Vec<Extent>,
    pub(super) leaves: Vec<(Ix, u32)>,
    pub(super) cids: Vec<Cid>,
    pub(super) bytes: u64,
    full: bool,
    /// What those in these slots have is left to them: they bring it sooner.
    sooner: u64,
}

impl Pick {
    pub(super) const fn new(request: RequestId, slot: u8, budget: u64) -> Self {
        Self {
            request,
            slot,
            budget,
            extents: Vec::new(),
            leaves: Vec::new(),
            cids: Vec::new(),
            bytes: 0,
            full: false,
            sooner: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Whether the peer may be asked for the leaf.
    const fn may(&self, item: &Item) -> bool {
        item.lacks >> self.slot & 1 == 0 && self.sooner & !item.lacks == 0
    }

    /// Whether something was left to others, which may fail to bring it.
    pub(super) const fn left_some(&self) -> bool {
        self.sooner != 0
    }

    /// The first leaf always fits: a leaf larger than the budget must come all the same.
    fn add(&mut self, ix: Ix, cid: Cid, size: u32, node: Cid, index: u32) -> bool {
        let bytes = u64::from(size.max(1));
        let fits = self.leaves.is_empty() || self.bytes + bytes <= self.budget;
        let many = self.extents.len() == MAX_EXTENTS;
        let last = self.extents.last_mut();
        let joins = last.filter(|e| e.node == node && e.first + e.count == index);
        if !fits || self.leaves.len() == MAX_LEAVES || (many && joins.is_none()) {
            self.full = true;
            return false;
        }
        match joins {
            Some(extent) => extent.count += 1,
            None => self.extents.push(Extent {
                node,
                first: index,
                count: 1,
            }),
        }
        self.leaves.push((ix, size.max(1)));
        self.cids.push(cid);
        self.bytes += bytes;
        true
    }
}

/// A leaf that may be the rarest: the least is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    holders: u32,
    /// How many rivals it falls to before us.
    lot: u32,
    chance: u64,
    node: u32,
    index: u32,
}

impl<P: PeerName> Scheduler<P> {
    pub(super) fn pick_wanted(&mut self, pick: &mut Pick) {
        for i in 0..self.wants.len() {
            let Some(ix) = self.tree.find(&self.wants[i]) else {
                continue;
            };
            if !self.tree.has_place(ix) {
                continue;
            }
            let (node, index) = self.tree.items[ix].parents[0];
            if !self.take_leaf(pick, ix, node, index) && pick.full {
                return;
            }
        }
    }

    pub(super) fn pick_rest(&mut self, now: Time, name: P, pick: &mut Pick) {
        if self.tree.ready.is_empty() || pick.full {
            return;
        }
        if self.task.mode == Mode::OnDemand {
            let from = self.reader.place();
            return self.pick_in_order(pick, from, u64::MAX);
        }
        if let Some(from) = self.reader.place() {
            let window = IN_ORDER + self.reader.taken;
            self.pick_in_order(pick, Some(from), window);
        }
        if !pick.full && self.is_too_slow(now, name) {
            pick.sooner = self.sooner(now, name);
        }
        let began = *self.first_get.get_or_insert(now);
        if self.peers.any_part() {
            self.pick_rarest(pick);
        } else if now < began + ALONE_AFTER {
            self.pick_anywhere(pick, name);
        } else {
            self.pick_in_order(pick, None, u64::MAX);
        }
    }

    /// Whether the others will have brought all that is left long before this peer brings one leaf.
    fn is_too_slow(&self, now: Time, name: P) -> bool {
        if self.tree.has_more() || self.peers.all.len() < 2 {
            return false;
        }
        let peer = &self.peers.all[&name];
        let size = self.tree.queued_bytes / (self.tree.queued.max(1) as u64);
        let Some(takes) = peer.takes(now, size) else {
            return false;
        };
        let rate = self.peers.rate() - peer.pace.rate().unwrap_or_default();
        let left = self.tree.queued_bytes + self.owed;
        rate > 0 && takes > super::pace::takes(left, rate) * 2 + super::pace::SLACK
    }

    /// The slots of those that bring a leaf in half the time.
    fn sooner(&self, now: Time, name: P) -> u64 {
        let size = self.tree.queued_bytes / (self.tree.queued.max(1) as u64);
        let mine = self.peers.all[&name].takes(now, size).unwrap_or_default();
        let sooner = |peer: &&super::peers::Peer| {
            let takes = peer.snubbed.is_none().then(|| peer.takes(now, size));
            takes.flatten().is_some_and(|takes| takes * 2 < mine)
        };
        let sooner = self.peers.all.values().filter(sooner);
        sooner.fold(0, |slots, peer| slots | 1 << peer.slot)
    }

    /// Depth-first from a place on, or from the start and then around; as far as `window` bytes go,
    /// asked for or not.
    fn pick_in_order(&mut self, pick: &mut Pick, from: Option<(Path, u32)>, mut window: u64) {
        let bounded = window < u64::MAX;
        let near = from.map(|(path, _)| (path, 0));
        let (mut at, wrap) = (near.clone(), near);
        let mut wrapped = wrap.is_none();
        let mut from_start = wrapped;
        while !pick.full && window > 0 {
            let lower = match (&at, from_start) {
                (_, true) => Bound::Unbounded,
                (Some(at), false) => Bound::Included(at.clone()),
                (None, false) => break,
            };
            from_start = false;
            let next = self
                .tree
                .ready
                .range((lower, Bound::Unbounded))
                .next()
                .cloned();
            let Some(key) = next.filter(|key| !wrapped || wrap.as_ref().is_none_or(|w| key < w))
            else {
                if wrapped || bounded {
                    break;
                }
                (wrapped, from_start) = (true, true);
                continue;
            };
            self.pick_from(pick, key.1, &mut window);
            // The next key after this one, whether or not it is still ready.
            at = Some((key.0, key.1.saturating_add(1)));
        }
    }

    fn pick_from(&mut self, pick: &mut Pick, node: u32, window: &mut u64) {
        let Some(mut first) = self.tree.first_queued(node) else {
            return;
        };
        if let Some((path, index)) = self.reader.place()
            && path == self.tree.nodes[node].path
            && *window < u64::MAX
        {
            first = first.max(index as usize);
        }
        for index in first..self.tree.nodes[node].children.len() {
            let ix = self.tree.nodes[node].children[index];
            if ix == DONE || !self.tree.items[ix].leaf {
                continue;
            }
            *window = window.saturating_sub(u64::from(self.tree.items[ix].size));
            let index = as_index(index);
            if (!self.take_leaf(pick, ix, node, index) && pick.full) || *window == 0 {
                return;
            }
        }
        self.tree.first_queued(node);
    }

    /// Extents that begin anywhere, each as long as a disk reads at once.
    fn pick_anywhere(&mut self, pick: &mut Pick, name: P) {
        let mut run = self
            .peers
            .all
            .get_mut(&name)
            .and_then(|peer| peer.run.take());
        for _ in 0..4 {
            let Some((node, index, left)) = run.or_else(|| self.beginning()) else {
                break;
            };
            run = self.pick_run(pick, node, index, left, |_| true);
            if pick.full {
                break;
            }
            run = None;
        }
        if let Some(peer) = self.peers.all.get_mut(&name) {
            peer.run = run;
        }
        if pick.is_empty() {
            self.pick_in_order(pick, None, u64::MAX);
        }
    }

    /// A leaf by chance at which an extent may begin.
    fn beginning(&mut self) -> Option<(u32, u32, u64)> {
        let nth = self
            .rng
            .random_range(0..self.tree.ready.len().clamp(1, BEGINNINGS));
        let node = self.tree.ready.iter().nth(nth)?.1;
        let first = self.tree.first_queued(node)?;
        let children = &self.tree.nodes[node].children;
        let at = self.rng.random_range(first..children.len());
        let known = children[first..].iter().find(|&&ix| ix != DONE);
        let size = known.map_or(1, |&ix| self.tree.items[ix].size.max(1));
        let leaves = usize::try_from(EXTENT / u64::from(size)).unwrap_or(1);
        let at = at - at % leaves.clamp(1, MAX_LEAVES);
        Some((node, as_index(at.max(first)), EXTENT))
    }

    /// Takes leaves side by side from `index` on, over gaps. Returns where to go on.
    fn pick_run(
        &mut self,
        pick: &mut Pick,
        node: u32,
        index: u32,
        mut left: u64,
        fits: impl Fn(&Item) -> bool,
    ) -> Option<(u32, u32, u64)> {
        self.tree.nodes.get(node)?;
        for index in index.. {
            let &ix = self.tree.nodes[node].children.get(index as usize)?;
            if left == 0 {
                return None;
            }
            if ix == DONE {
                continue;
            }
            let item = &self.tree.items[ix];
            let size = u64::from(item.size);
            if !item.leaf || item.state != State::Queued || !fits(item) {
                continue;
            }
            if self.take_leaf(pick, ix, node, index) {
                left = left.saturating_sub(size);
            } else if pick.full {
                return Some((node, index, left));
            }
        }
        None
    }

    /// What the fewest hold of what the peer has; of equals what is this downloader's by lot, so that
    /// several do not take the same from one provider.
    fn pick_rarest(&mut self, pick: &mut Pick) {
        let slots = self.peers.slots();
        let rivals: Vec<u64> = self
            .peers
            .all
            .values()
            .filter(|peer| peer.holds == Holds::Part)
            .map(|peer| peer.salt)
            .collect();
        while !pick.full {
            let Some(best) = self.rarest(pick, slots, &rivals) else {
                break;
            };
            let before = pick.leaves.len();
            let left = pick.budget.saturating_sub(pick.bytes).max(1);
            let rare = |item: &Item| (slots & !item.lacks).count_ones() <= best.holders;
            self.pick_near(pick, best.node, best.index, left, rare);
            if pick.leaves.len() == before {
                break;
            }
        }
    }

    /// Takes leaves side by side from `index` on, up to the first that does not fit.
    fn pick_near(
        &mut self,
        pick: &mut Pick,
        node: u32,
        index: u32,
        mut left: u64,
        fits: impl Fn(&Item) -> bool,
    ) {
        for index in index.. {
            let Some(&ix) = self.tree.nodes[node].children.get(index as usize) else {
                return;
            };
            if ix == DONE || left == 0 || !fits(&self.tree.items[ix]) {
                return;
            }
            let size = u64::from(self.tree.items[ix].size);
            if !self.take_leaf(pick, ix, node, index) {
                return;
            }
            left = left.saturating_sub(size);
        }
    }

    /// The rarest leaf that the peer in `slot` has, with how many hold it, among [`LOOKED_AT`] from
    /// somewhere on.
    fn rarest(&mut self, pick: &Pick, slots: u64, rivals: &[u64]) -> Option<Candidate> {
        let nodes = self.tree.ready.len();
        let start = self.rng.random_range(0..nodes.clamp(1, BEGINNINGS));
        let mut best: Option<Candidate> = None;
        let mut seen = 0;
        let around = self.tree.ready.iter().skip(start);
        let around = around.chain(self.tree.ready.iter().take(start));
        for &(_, node) in around {
            let children = &self.tree.nodes[node].children;
            let from = self.tree.nodes[node].cursor;
            for (index, &ix) in children.iter().enumerate().skip(from) {
                if ix == DONE {
                    continue;
                }
                let item = &self.tree.items[ix];
                if !item.leaf || item.state != State::Queued || !pick.may(item) {
                    continue;
                }
                seen += 1;
                let holders = (slots & !item.lacks).count_ones();
                if best.as_ref().is_some_and(|best| best.holders < holders) {
                    continue;
                }
                let most = best.as_ref().filter(|best| best.holders == holders);
                let most = most.map_or(rivals.len(), |best| best.lot as usize);
                let candidate = Candidate {
                    holders,
                    lot: self.lot(rivals, &item.cid, most),
                    chance: self.rng.random(),
                    node,
                    index: as_index(index),
                };
                if best.as_ref().is_none_or(|best| candidate < *best) {
                    best = Some(candidate);
                }
            }
            if seen >= LOOKED_AT {
                break;
            }
        }
        best
    }

    /// How many rivals this leaf falls to before us, by a lot that all draw alike; not counted beyond one
    /// more than `most`.
    fn lot(&self, rivals: &[u64], cid: &Cid, most: usize) -> u32 {
        let Some(me) = self.salt else {
            return 0;
        };
        let digest = cid.hash().digest();
        let mut key = [0; 8];
        let n = digest.len().min(8);
        key[..n].copy_from_slice(&digest[..n]);
        let key = u64::from_le_bytes(key);
        let draw = |salt: u64| {
            let x = (salt ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
        };
        let mine = draw(me);
        let before = rivals.iter().filter(|&&rival| draw(rival) < mine);
        as_index(before.take(most + 1).count())
    }

    /// Adds a leaf to a request, if it is to be had from its peer and fits.
    pub(super) fn take_leaf(&mut self, pick: &mut Pick, ix: Ix, node: u32, index: u32) -> bool {
        let item = &self.tree.items[ix];
        if item.state != State::Queued || !pick.may(item) {
            return false;
        }
        if !self.add_leaf(pick, ix, node, index) {
            return false;
        }
        self.tree.set(ix, State::Asked(pick.request));
        true
    }

    /// Adds a leaf whoever owns it.
    pub(super) fn add_leaf(&mut self, pick: &mut Pick, ix: Ix, node: u32, index: u32) -> bool {
        let item = &self.tree.items[ix];
        pick.add(ix, item.cid, item.size, self.tree.nodes[node].cid, index)
    }
}

fn as_index(index: usize) -> u32 {
    u32::try_from(index).expect("a block has fewer links than 2^32")
}
