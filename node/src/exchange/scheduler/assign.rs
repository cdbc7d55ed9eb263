//! Who is asked for what next.
//!
//! Manifests go ahead of leaves. Leaves go in the order of the readers, then depth-first from where
//! the first reader is; each peer that has room takes the next run, so that all are used and each gets
//! contiguous extents.

use std::ops::Bound;

use rand::seq::SliceRandom;
use store::Cid;
use store::block::MAX_BLOCK_SIZE;
use store::wire::{Extent, MAX_EXTENTS, MAX_LEAVES};

use super::peers::MANIFESTS;
use super::tree::{Ix, State};
use super::{Action, Mode, PeerName, Request, RequestId, Scheduler, Time};

/// Manifests under way at once, over all peers: each may bring a page of inner nodes.
const ALL_MANIFESTS: u32 = 8;
/// Nodes in one Manifest of ours: more would leave nothing for the other peers.
const NODES: usize = 64;
/// Raw blocks in one Manifest of ours, by name because their place is not known: they are large.
const RAW: usize = 4;
/// A page of inner nodes while everything is fetched: 20 GiB of leaves of 1 MiB.
const PAGE: u64 = 1 << 20;
/// The same for a reader, who needs one path only but saves round trips by a little more.
const SMALL_PAGE: u64 = 128 << 10;
/// The root may be asked of this many peers at once while none has given anything: most of them may
/// be dead, or have nothing.
const FIRST_ASKED: usize = 3;
/// A Get has room for this much even where the links claim less.
const LEAST_BYTES: u64 = 256 << 10;

impl<P: PeerName> Scheduler<P> {
    /// Gives each peer that has room something to do, until none has or nothing is left.
    pub(super) fn assign(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        loop {
            let mut asked = false;
            for peer in self.by_merit(now) {
                asked |=
                    self.ask_manifest(now, peer, actions) || self.ask_leaves(now, peer, actions);
            }
            if !asked || self.tree.queued == 0 {
                break;
            }
        }
        self.hedge(now, actions);
    }

    /// Peers that may be asked, the best first: those that have given something before others, then by
    /// rate, then by what is known from earlier; equals by chance.
    fn by_merit(&mut self, now: Time) -> Vec<P> {
        let free = self.peers.all.iter().filter(|(_, peer)| peer.is_free(now));
        let mut order: Vec<_> = free.map(|(name, peer)| (peer.merit(), *name)).collect();
        order.shuffle(&mut self.rng);
        order.sort_by(|(a, _), (b, _)| b.cmp(a));
        order.into_iter().map(|(_, name)| name).collect()
    }

    fn ask_manifest(&mut self, now: Time, name: P, actions: &mut Vec<Action<P>>) -> bool {
        let under_way: u32 = self.peers.all.values().map(|peer| peer.manifests).sum();
        let Some(peer) = self.peers.all.get(&name) else {
            return false;
        };
        if !peer.is_free(now) || peer.manifests >= MANIFESTS || under_way >= ALL_MANIFESTS {
            return false;
        }
        let lacks = 1_u64 << peer.slot;
        let tree = &self.tree;
        let can = |ix: &Ix| {
            let item = &tree.items[*ix];
            item.state == State::Queued && item.lacks & lacks == 0 && !tree.has_place(*ix)
        };
        let wanted = self.wants.iter().filter_map(|cid| tree.find(cid));
        let mut picked: Vec<Ix> = Vec::new();
        let mut raw = 0;
        for ix in wanted
            .chain(tree.asks.iter().map(|(_, ix)| *ix))
            .filter(can)
        {
            raw += usize::from(is_raw(&tree.items[ix].cid));
            if picked.len() == NODES || raw > RAW {
                break;
            }
            if !picked.contains(&ix) {
                picked.push(ix);
            }
        }
        if picked.is_empty() {
            return false;
        }
        let cids: Vec<Cid> = picked.iter().map(|ix| tree.items[*ix].cid).collect();
        let id = self.next_request;
        for ix in picked {
            self.tree.set(ix, State::Asked(id));
        }
        self.send_manifest(now, name, cids, actions);
        true
    }

    fn send_manifest(&mut self, now: Time, name: P, nodes: Vec<Cid>, actions: &mut Vec<Action<P>>) {
        // Raw blocks are asked for by name when their place is not known: they are larger than nodes.
        let leaves = nodes.iter().filter(|cid| is_raw(cid)).count();
        let leaf_bytes = (leaves * MAX_BLOCK_SIZE) as u64;
        let page = if self.task.mode == Mode::Whole {
            PAGE
        } else {
            SMALL_PAGE
        };
        let bytes = (page + leaf_bytes).min(2 * MAX_BLOCK_SIZE as u64);
        let request = self.begin(now, name, nodes.clone(), true, bytes);
        actions.push(Action::Manifest {
            request,
            peer: name,
            nodes,
            max_bytes: whole(bytes),
        });
    }

    /// Asks further peers for the root, while nobody has given anything yet.
    fn hedge(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        if self.peers.any_proven() {
            return;
        }
        let root = self.task.root;
        let Some(ix) = self.tree.find(&root) else {
            return;
        };
        let State::Asked(_) = self.tree.items[ix].state else {
            return;
        };
        let lacks = self.tree.items[ix].lacks;
        let asked = self
            .requests
            .values()
            .filter(|request| !request.overdue)
            .count();
        let mut free = self.by_merit(now);
        free.retain(|name| {
            let peer = &self.peers.all[name];
            peer.requests == 0 && lacks >> peer.slot & 1 == 0
        });
        for name in free.into_iter().take(FIRST_ASKED.saturating_sub(asked)) {
            self.send_manifest(now, name, vec![root], actions);
        }
    }

    fn ask_leaves(&mut self, now: Time, name: P, actions: &mut Vec<Action<P>>) -> bool {
        let owed = self.peers.owed();
        let first = !self.peers.any_proven();
        let Some(peer) = self.peers.all.get(&name) else {
            return false;
        };
        if !peer.is_free(now) || peer.nothing_at == Some(self.tree.generation) {
            return false;
        }
        let size = peer.pace.request_size();
        let room = peer.pace.window().saturating_sub(peer.owed);
        let budget = size
            .min(room)
            .min(self.task.limits.total_bytes.saturating_sub(owed));
        // Half a request is not worth its overhead while others are under way.
        if budget < size && peer.owed > 0 {
            return false;
        }
        // A peer that has given nothing yet is not trusted with what a reader waits for.
        let trusted = peer.proven || first;
        let mut pick = Pick::new(self.next_request, peer.slot, budget);
        if trusted {
            self.pick_wanted(&mut pick);
        }
        let urgent = !pick.leaves.is_empty();
        self.pick_in_order(&mut pick);
        if pick.leaves.is_empty() {
            let generation = self.tree.generation;
            if let Some(peer) = self.peers.all.get_mut(&name) {
                peer.nothing_at = trusted.then_some(generation);
            }
            return false;
        }
        let Pick {
            extents,
            leaves,
            bytes,
            ..
        } = pick;
        let request = self.begin(now, name, leaves.clone(), false, bytes);
        let max_bytes = whole(bytes.max(LEAST_BYTES));
        actions.push(Action::Get {
            request,
            peer: name,
            extents,
            leaves,
            max_bytes,
            urgent,
        });
        true
    }

    fn pick_wanted(&mut self, pick: &mut Pick) {
        for i in 0..self.wants.len() {
            let Some(ix) = self.tree.find(&self.wants[i]) else {
                continue;
            };
            if !self.tree.has_place(ix) {
                continue;
            }
            let (node, index) = self.tree.items[ix].parents[0];
            if !self.take_leaf(pick, ix, node, index) && pick.is_full() {
                return;
            }
        }
    }

    /// Depth-first from the first reader's place on, then from the start.
    fn pick_in_order(&mut self, pick: &mut Pick) {
        if self.task.mode == Mode::OnDemand && self.tree.ready.is_empty() {
            return;
        }
        let wanted = self.wants.iter().find_map(|cid| self.tree.find(cid));
        let near = wanted
            .and_then(|ix| self.tree.path_above(ix))
            .map(|path| (path, 0));
        let (mut at, wrap) = (near.clone(), near);
        let mut wrapped = wrap.is_none();
        let mut from_start = wrapped;
        while !pick.is_full() {
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
                if wrapped {
                    break;
                }
                (wrapped, from_start) = (true, true);
                continue;
            };
            self.pick_from(pick, key.1);
            // The next key after this one, whether or not it is still ready.
            at = Some((key.0, key.1.saturating_add(1)));
        }
    }

    fn pick_from(&mut self, pick: &mut Pick, node: u32) {
        let Some(first) = self.tree.first_queued(node) else {
            return;
        };
        for index in first..self.tree.nodes[node].children.len() {
            let ix = self.tree.nodes[node].children[index];
            if ix == super::tree::DONE || !self.tree.items[ix].leaf {
                continue;
            }
            let index = u32::try_from(index).expect("a block has fewer links than 2^32");
            if !self.take_leaf(pick, ix, node, index) && pick.is_full() {
                return;
            }
        }
        self.tree.first_queued(node);
    }

    /// Adds a leaf to a request, if it is to be had from its peer and fits.
    fn take_leaf(&mut self, pick: &mut Pick, ix: Ix, node: u32, index: u32) -> bool {
        let item = &self.tree.items[ix];
        if item.state != State::Queued || item.lacks >> pick.slot & 1 == 1 {
            return false;
        }
        let cid = item.cid;
        if !pick.add(cid, item.size, self.tree.nodes[node].cid, index) {
            return false;
        }
        self.tree.set(ix, State::Asked(pick.request));
        true
    }

    fn begin(
        &mut self,
        now: Time,
        name: P,
        cids: Vec<Cid>,
        manifest: bool,
        bytes: u64,
    ) -> RequestId {
        let id = self.next_request;
        self.next_request += 1;
        let peer = self
            .peers
            .all
            .get_mut(&name)
            .expect("picked from the peers");
        peer.requests += 1;
        peer.manifests += u32::from(manifest);
        peer.owed += bytes;
        let sent = peer.pace.sent(now);
        let deadline = now + peer.pace.patience(peer.owed);
        let (sent_at, received, overdue) = (now, false, false);
        let request = Request {
            peer: name,
            cids,
            manifest,
            bytes,
            sent,
            sent_at,
            deadline,
            came: 0,
            gave: false,
            received,
            overdue,
        };
        self.requests.insert(id, request);
        id
    }
}

fn is_raw(cid: &Cid) -> bool {
    cid.codec() == store::cid::Codec::Raw.code()
}

fn whole(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A Get in the making.
#[derive(Debug)]
struct Pick {
    request: RequestId,
    slot: u8,
    budget: u64,
    extents: Vec<Extent>,
    leaves: Vec<Cid>,
    bytes: u64,
    full: bool,
}

impl Pick {
    const fn new(request: RequestId, slot: u8, budget: u64) -> Self {
        Self {
            request,
            slot,
            budget,
            extents: Vec::new(),
            leaves: Vec::new(),
            bytes: 0,
            full: false,
        }
    }

    const fn is_full(&self) -> bool {
        self.full
    }

    /// The first leaf always fits: a leaf larger than the budget must come all the same.
    fn add(&mut self, cid: Cid, size: u32, node: Cid, index: u32) -> bool {
        let size = u64::from(size.max(1));
        let fits = self.leaves.is_empty() || self.bytes + size <= self.budget;
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
        self.leaves.push(cid);
        self.bytes += size;
        true
    }
}
