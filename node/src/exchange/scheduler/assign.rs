//! Who is asked next: manifests ahead of leaves, the best peer first, each up to its window.

use rand::seq::SliceRandom;
use store::Cid;
use store::block::MAX_BLOCK_SIZE;
use store::wire::MAX_ROOTS;

use super::peers::MANIFESTS;
use super::pick::Pick;
use super::request::{Kind, Leaves};
use super::tree::{Ix, State};
use super::{Action, Mode, PeerName, Request, RequestId, Scheduler, Time};

/// Manifests under way at once, over all peers: each may bring a page of inner nodes.
const ALL_MANIFESTS: u32 = 8;
/// Nodes in one Manifest of ours: more would leave nothing for the other peers.
const NODES: usize = 64;
/// Raw blocks in one Manifest of ours, by name because their place is not known, while they may be
/// large: with what has come from them, as many as are likely to fit.
const RAW: usize = 4;
/// Blocks that must have come before others are taken to be of their size.
const SAMPLE: u64 = 8;
/// A page of inner nodes while everything is fetched: 20 GiB of leaves of 1 MiB.
const PAGE: u64 = 1 << 20;
/// The same for a reader, who needs one path only but saves round trips by a little more.
const SMALL_PAGE: u64 = 128 << 10;
/// The root may be asked of this many peers at once while none has given anything: most of them may
/// be dead, or have nothing.
const FIRST_ASKED: usize = 3;
/// A Get has room for this much even where the links claim less.
const LEAST_BYTES: u64 = 256 << 10;
/// While half of the budget is out, a peer that needs longer than this for a leaf gets none.
const SLOW: std::time::Duration = std::time::Duration::from_secs(4);

impl<P: PeerName> Scheduler<P> {
    /// Gives each peer that has room something to do, until none has or nothing is left.
    pub(super) fn assign(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        self.read_ahead(actions);
        let generation = self.tree.generation;
        let idle = |peer: &super::peers::Peer| peer.nothing_at == Some(generation);
        let mut order = self.by_merit(now);
        order.retain(|name| !self.tree.asks.is_empty() || !idle(&self.peers.all[name]));
        while self.tree.queued > 0 && !order.is_empty() {
            // Who has no room, or nothing that it could be asked for, has not in the next round either.
            order.retain(|peer| {
                self.ask_manifest(now, *peer, actions) || self.ask_leaves(now, *peer, actions)
            });
        }
        self.hedge(now, actions);
        self.steal(now, actions);
        self.rescue(now, actions);
        self.ask_around(now, actions);
    }

    /// Peers that may be asked, the best first: those that have given something before others, then by
    /// rate, then by what is known from earlier; equals by chance.
    pub(super) fn by_merit(&mut self, now: Time) -> Vec<P> {
        let free = self.peers.all.iter().filter(|(_, peer)| peer.is_free(now));
        let mut order: Vec<_> = free.map(|(name, peer)| (peer.merit(), *name)).collect();
        if order.len() > 1 {
            order.shuffle(&mut self.rng);
            order.sort_by(|(a, _), (b, _)| b.cmp(a));
        }
        order.into_iter().map(|(_, name)| name).collect()
    }

    fn ask_manifest(&mut self, now: Time, name: P, actions: &mut Vec<Action<P>>) -> bool {
        if self.tree.asks.is_empty() && self.wants.is_empty() {
            return false;
        }
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
        let (mut raw, most) = (0, self.raw_at_once());
        for ix in wanted
            .chain(tree.asks.iter().map(|(_, ix)| *ix))
            .filter(can)
        {
            let leaf = is_raw(&tree.items[ix].cid);
            if raw + usize::from(leaf) > most || picked.len() - raw + usize::from(!leaf) > NODES {
                break;
            }
            if !picked.contains(&ix) {
                raw += usize::from(leaf);
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
        let leaf_bytes = leaves as u64 * self.raw_size();
        let page = if self.task.mode == Mode::Whole {
            PAGE
        } else {
            SMALL_PAGE
        };
        let bytes = (page + leaf_bytes).min(2 * MAX_BLOCK_SIZE as u64);
        // How much will come is not known: a little is owed, as for the nodes of one directory.
        let owed = SMALL_PAGE + leaf_bytes;
        let request = self.begin(now, name, Kind::Manifest(nodes.clone()), owed);
        actions.push(Action::Manifest {
            request,
            peer: name,
            nodes,
            max_bytes: whole(bytes),
        });
    }

    /// What a raw block that is asked for by name is taken to have, in bytes: twice what blocks had so
    /// far. Of larger ones fewer fit in an answer, and the rest is asked for again.
    fn raw_size(&self) -> u64 {
        if self.fetched_blocks < SAMPLE {
            return MAX_BLOCK_SIZE as u64;
        }
        let mean = self.fetched_bytes / self.fetched_blocks;
        (2 * mean).clamp(1, MAX_BLOCK_SIZE as u64)
    }

    /// Raw blocks in one Manifest at most.
    fn raw_at_once(&self) -> usize {
        let fit = 2 * MAX_BLOCK_SIZE as u64 / self.raw_size();
        // With the nodes, as many as a Manifest can name.
        usize::try_from(fit).map_or(RAW, |fit| fit.clamp(RAW, MAX_ROOTS - NODES))
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
            // Also who has answered: what it gave is being verified.
            let asked = |request: &Request<P>| request.peer == *name;
            !self.requests.values().any(asked) && lacks >> peer.slot & 1 == 0
        });
        for name in free.into_iter().take(FIRST_ASKED.saturating_sub(asked)) {
            self.send_manifest(now, name, vec![root], actions);
        }
    }

    /// How many bytes of leaves the peer may be asked for now; `None` if it is to wait.
    pub(super) fn room(&self, now: Time, name: P) -> Option<u64> {
        let peer = self.peers.all.get(&name)?;
        if !peer.is_free(now) {
            return None;
        }
        let total = self.task.limits.total_bytes;
        let out = self.owed + self.held;
        let size = peer.pace.request_size();
        let room = peer.pace.window().saturating_sub(peer.queued(now));
        // A part of a request is not worth its overhead while others are under way.
        if out >= total || (room < size && peer.gets > 0) {
            return None;
        }
        // Slow peers together do not take the budget from the fast.
        if out >= total / 2
            && peer
                .takes(now, u64::from(peer.leaf))
                .is_some_and(|t| t > SLOW)
        {
            return None;
        }
        Some(size.min(room.max(1)).min(total - out))
    }

    fn ask_leaves(&mut self, now: Time, name: P, actions: &mut Vec<Action<P>>) -> bool {
        let first = !self.peers.any_proven();
        let generation = self.tree.generation;
        let Some(peer) = self.peers.all.get(&name) else {
            return false;
        };
        if peer.nothing_at == Some(generation) || self.waits_for_pages(peer) {
            return false;
        }
        let Some(budget) = self.room(now, name) else {
            return false;
        };
        let Some(peer) = self.peers.all.get(&name) else {
            return false;
        };
        // A peer that has given nothing yet is not trusted with what a reader waits for.
        let trusted = peer.proven || first;
        let mut pick = Pick::new(self.next_request, peer.slot, budget);
        if trusted {
            self.pick_wanted(&mut pick);
        }
        let urgent = !pick.is_empty();
        self.pick_rest(now, name, &mut pick);
        if pick.is_empty() {
            if let Some(peer) = self.peers.all.get_mut(&name) {
                peer.nothing_at = (!pick.left_some()).then_some(generation);
            }
            return false;
        }
        self.send_get(now, name, pick, urgent, actions);
        true
    }

    pub(super) fn send_get(
        &mut self,
        now: Time,
        name: P,
        pick: Pick,
        urgent: bool,
        actions: &mut Vec<Action<P>>,
    ) {
        let Pick {
            extents,
            leaves,
            cids,
            bytes,
            ..
        } = pick;
        let end = leaves.len();
        let largest = leaves.iter().map(|(_, size)| *size).max();
        let leaves = Leaves {
            all: leaves,
            next: 0,
            end,
        };
        let request = self.begin(now, name, Kind::Leaves(leaves), bytes);
        if let Some(peer) = self.peers.all.get_mut(&name) {
            peer.leaf = peer.leaf.max(largest.unwrap_or_default());
        }
        let max_bytes = whole(bytes.max(LEAST_BYTES));
        actions.push(Action::Get {
            request,
            peer: name,
            extents,
            leaves: cids,
            max_bytes,
            urgent,
        });
    }

    pub(super) fn begin(&mut self, now: Time, name: P, kind: Kind, owed: u64) -> RequestId {
        let id = self.next_request;
        self.next_request += 1;
        let peer = self
            .peers
            .all
            .get_mut(&name)
            .expect("picked from the peers");
        peer.open.push(id);
        peer.owed += owed;
        self.owed += owed;
        match kind {
            Kind::Manifest(_) => peer.manifests += 1,
            Kind::Have(_) => peer.poll.under_way = true,
            Kind::Leaves(_) => {
                if peer.gets == 0 {
                    (peer.heard, peer.leaf) = (now, 0);
                }
                peer.gets += 1;
            }
        }
        let deadline = now + peer.pace.patience(peer.owed);
        if !matches!(kind, Kind::Leaves(_)) {
            self.questions_due = self.questions_due.min(deadline);
        }
        let request = Request {
            peer: name,
            kind,
            owed,
            held: 0,
            sent: peer.pace.sent(now),
            sent_at: now,
            deadline,
            gave: false,
            received: false,
            overdue: false,
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
