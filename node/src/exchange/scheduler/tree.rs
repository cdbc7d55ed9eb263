//! [`Tree`]: what is known of the DAG and not done yet.
//!
//! An *item* is a block by its CID, once, wherever it stands; a *node* is an item whose children are
//! known. A block that is done is forgotten, and a node when its last child is done, so memory follows
//! what is under way and not the size of the content: inner nodes are opened in depth-first order,
//! and no further ones while [`Tree::limit`] items are known. Those beyond are on this machine's
//! disk already, or are asked for when their turn comes.

use std::collections::{BTreeSet, HashMap, VecDeque};

use store::Cid;

use super::place::{Path, Place};
use super::recent::Recent;
use super::slab::Slab;
use super::strip::{Span, Strip};
use super::{Mode, RequestId, Stored};

/// Number of an item.
pub(super) type Ix = u32;

/// In the place of a child that is done.
pub(super) const DONE: Ix = Ix::MAX;

/// Inner nodes that are read from this machine's disk at once.
const LOOK_UPS: usize = 8;

/// Inner nodes that wait to be asked for at most: four Manifests full.
const ASKS: usize = 1024;

/// A session gives up when it knows this many times more items than it should: the path to one leaf
/// alone is that wide, which no honest DAG is.
const EXCESS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Known, and not looked for yet.
    Idle,
    /// Being read from this machine's disk.
    Looking,
    /// To be asked for.
    Queued,
    /// Asked for by this request.
    Asked(RequestId),
    /// Its children are known: a node.
    Open(u32),
    /// On no list any more.
    Done,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) cid: Cid,
    pub(super) state: State,
    pub(super) leaf: bool,
    /// Estimated bytes of a leaf.
    pub(super) size: u32,
    /// What of it is counted in [`Tree::queued_bytes`].
    queued_size: u64,
    /// Whether the block is on this machine's disk.
    pub(super) here: bool,
    /// The request that fetches it besides its owner; 0 for none.
    pub(super) copy: RequestId,
    /// Peers that do not have it, by their slots.
    pub(super) lacks: u64,
    /// Where it was first met.
    place: Place,
    /// The nodes it is a child of, and which child.
    pub(super) parents: Vec<(u32, u32)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) item: Ix,
    pub(super) cid: Cid,
    pub(super) children: Vec<Ix>,
    /// No child before this one is queued.
    pub(super) cursor: usize,
    pub(super) path: Path,
    /// What of the content is below it.
    span: Span,
    /// Children that are not done.
    open: usize,
    /// Slot of the peer that said which children are leaves.
    pub(super) told_by: Option<u8>,
}

#[derive(Debug)]
pub(super) struct Tree {
    mode: Mode,
    pub(super) limit: usize,
    pub(super) items: Slab<Item>,
    pub(super) nodes: Slab<Node>,
    by_cid: HashMap<Cid, Ix>,
    /// Idle inner nodes, in depth-first order.
    frontier: BTreeSet<(Place, Ix)>,
    /// Queued blocks that only a Manifest can bring: inner nodes, and blocks of unknown place.
    pub(super) asks: BTreeSet<(Place, Ix)>,
    /// Nodes that may have queued leaves, in depth-first order.
    pub(super) ready: BTreeSet<(Path, u32)>,
    /// Nodes in the order in which they were opened, where they are forgotten on demand.
    opened: VecDeque<u32>,
    recent: Recent,
    looking: usize,
    /// Leaves and asks that are queued.
    pub(super) queued: usize,
    /// Estimated bytes of the leaves among them.
    pub(super) queued_bytes: u64,
    /// Slots of peers that lack what they have not told of.
    pub(super) doubt: u64,
    /// Grows whenever something is queued.
    pub(super) generation: u64,
    /// Open the next node although the limit is reached: nothing else is left to do.
    forced: bool,
    pub(super) done_blocks: u64,
    pub(super) done_bytes: u64,
    pub(super) finished: bool,
    pub(super) strip: Strip,
    root: Cid,
}

impl Tree {
    pub(super) fn new(root: Cid, mode: Mode, limit: usize) -> Self {
        let mut tree = Self {
            mode,
            limit,
            items: Slab::new(),
            nodes: Slab::new(),
            by_cid: HashMap::new(),
            frontier: BTreeSet::new(),
            asks: BTreeSet::new(),
            ready: BTreeSet::new(),
            opened: VecDeque::new(),
            recent: Recent::new(limit / 4),
            looking: 0,
            queued: 0,
            queued_bytes: 0,
            doubt: 0,
            generation: 0,
            forced: false,
            done_blocks: 0,
            done_bytes: 0,
            finished: false,
            strip: Strip::new(),
            root,
        };
        if mode == Mode::Whole {
            let ix = tree.insert(root, false, 0, true, Place::ROOT);
            tree.frontier.insert((Place::ROOT, ix));
        }
        tree
    }

    fn insert(&mut self, cid: Cid, leaf: bool, size: u32, here: bool, place: Place) -> Ix {
        let (state, copy, parents) = (State::Idle, 0, Vec::new());
        let lacks = self.doubt;
        let ix = self.items.insert(Item {
            cid,
            state,
            leaf,
            size,
            queued_size: 0,
            here,
            copy,
            lacks,
            place,
            parents,
        });
        self.by_cid.insert(cid, ix);
        ix
    }

    pub(super) fn find(&self, cid: &Cid) -> Option<Ix> {
        self.by_cid.get(cid).copied()
    }

    /// Whether the block is to be asked for by its place.
    pub(super) fn has_place(&self, ix: Ix) -> bool {
        self.items[ix].leaf && !self.items[ix].parents.is_empty()
    }

    /// Moves an item to another state and keeps the lists of what waits.
    pub(super) fn set(&mut self, ix: Ix, state: State) {
        let before = self.items[ix].state;
        if before == state {
            return;
        }
        let key = (self.items[ix].place.clone(), ix);
        match before {
            State::Idle => drop(self.frontier.remove(&key)),
            State::Looking => self.looking -= 1,
            State::Queued => {
                self.queued -= 1;
                self.queued_bytes -= self.items[ix].queued_size;
                self.asks.remove(&key);
            }
            State::Asked(_) | State::Open(_) | State::Done => {}
        }
        self.items[ix].state = state;
        match state {
            State::Idle if self.mode == Mode::Whole && !self.items[ix].leaf => {
                self.frontier.insert(key);
            }
            State::Looking => self.looking += 1,
            State::Queued => {
                self.queued += 1;
                let size = u64::from(self.items[ix].size);
                self.items[ix].queued_size = size;
                self.queued_bytes += size;
                self.generation += 1;
                match self.items[ix].parents.first() {
                    Some(&(node, index)) if self.items[ix].leaf => self.make_ready(node, index),
                    _ => drop(self.asks.insert(key)),
                }
            }
            State::Idle | State::Asked(_) | State::Open(_) | State::Done => {}
        }
    }

    fn make_ready(&mut self, node: u32, index: u32) {
        let at = &mut self.nodes[node];
        at.cursor = at.cursor.min(index as usize);
        self.ready.insert((at.path.clone(), node));
    }

    /// A reader waits for this block: have it looked for now. Returns whether to look for it on this
    /// machine's disk first.
    pub(super) fn want(&mut self, cid: Cid) -> bool {
        let ix = match self.find(&cid) {
            Some(ix) => ix,
            None => self.insert(cid, false, 0, true, Place::ROOT),
        };
        if self.items[ix].state != State::Idle {
            return false;
        }
        let here = self.items[ix].here;
        self.set(ix, if here { State::Looking } else { State::Queued });
        here
    }

    /// Goes on to the next inner nodes: the ones to look up on this machine's disk are returned, the
    /// others queued. `Err` names the place where the DAG is too wide to go on.
    pub(super) fn advance(&mut self, idle: bool) -> Result<Vec<Cid>, Cid> {
        let mut look_up = Vec::new();
        while let Some((_, ix)) = self.frontier.first().cloned() {
            let full = self.items.len() >= self.limit;
            if full && idle && self.looking == 0 && self.queued == 0 {
                if self.items.len() >= EXCESS * self.limit {
                    return Err(self.items[ix].cid);
                }
                self.forced = true;
            } else if full || self.looking >= LOOK_UPS || self.asks.len() >= ASKS {
                break;
            }
            if self.items[ix].here {
                look_up.push(self.items[ix].cid);
                self.set(ix, State::Looking);
            } else {
                self.set(ix, State::Queued);
            }
        }
        Ok(look_up)
    }

    /// A block that was looked up is not on this machine after all.
    pub(super) fn absent(&mut self, cid: &Cid) {
        let Some(ix) = self.find(cid) else { return };
        self.items[ix].here = false;
        if self.items[ix].state == State::Looking {
            self.set(ix, State::Queued);
        }
    }

    /// A block is on this machine. Returns the slot of a peer that called it a leaf, and lied.
    pub(super) fn arrived(&mut self, stored: Stored, told_by: Option<u8>) -> Option<u8> {
        let ix = self.find(&stored.cid)?;
        if matches!(self.items[ix].state, State::Open(_)) {
            return None;
        }
        if stored.children.is_empty() {
            self.items[ix].size = stored.size;
            self.done(ix);
            return None;
        }
        let claimed = std::mem::replace(&mut self.items[ix].leaf, false);
        let liar = if claimed { self.teller(ix) } else { None };
        self.items[ix].here = true;
        let room = self.mode == Mode::OnDemand || self.items.len() < self.limit || self.forced;
        if room {
            self.forced = false;
            self.open(ix, stored, told_by);
        } else {
            self.set(ix, State::Idle);
        }
        liar
    }

    fn teller(&self, ix: Ix) -> Option<u8> {
        let (node, _) = *self.items[ix].parents.first()?;
        self.nodes[node].told_by
    }

    fn open(&mut self, ix: Ix, stored: Stored, told_by: Option<u8>) {
        let path = self.items[ix].place.path();
        let span = self.span(ix);
        let count = stored.children.len() as u64;
        let node = self.nodes.insert(Node {
            item: ix,
            cid: stored.cid,
            children: Vec::with_capacity(stored.children.len()),
            cursor: 0,
            path: path.clone(),
            span,
            open: 0,
            told_by,
        });
        self.set(ix, State::Open(node));
        self.done_blocks += 1;
        self.done_bytes += u64::from(stored.size);
        for (index, child) in (0_u32..).zip(stored.children) {
            if (child.leaf && child.here) || self.recent.contains(&child.cid) {
                self.done_blocks += 1;
                self.done_bytes += u64::from(child.size);
                self.strip.fill(span.part(index.into(), 1, count));
                self.nodes[node].children.push(DONE);
                continue;
            }
            let known = self.find(&child.cid);
            let at = known.unwrap_or_else(|| {
                let place = Place::child(&path, index);
                self.insert(child.cid, child.leaf, child.size, child.here, place)
            });
            self.nodes[node].children.push(at);
            self.nodes[node].open += 1;
            let before = self.items[at].state;
            if known.is_some() && child.leaf && before == State::Queued {
                // It waited to be asked for by name: now its place is known.
                self.set(at, State::Done);
            }
            self.items[at].leaf |= child.leaf && !matches!(before, State::Open(_));
            self.items[at].size = self.items[at].size.max(child.size);
            self.items[at].parents.push((node, index));
            if self.items[at].state != before {
                self.set(at, before);
            }
            if known.is_none() && self.mode == Mode::Whole {
                if child.leaf {
                    self.set(at, State::Queued);
                } else {
                    let key = (self.items[at].place.clone(), at);
                    self.frontier.insert(key);
                }
            }
        }
        if self.nodes[node].open == 0 {
            self.done(ix);
        } else if self.mode == Mode::OnDemand {
            self.opened.push_back(node);
            self.forget();
        }
    }

    /// What of the content is below an item, where it stands first.
    fn span(&self, ix: Ix) -> Span {
        let item = &self.items[ix];
        match item.parents.first() {
            Some(&(node, index)) => {
                let parent = &self.nodes[node];
                parent
                    .span
                    .part(index.into(), 1, parent.children.len() as u64)
            }
            None if item.cid == self.root => Span::WHOLE,
            None => Span::NOWHERE,
        }
    }

    /// The block, and all below it, is here. So may be nodes above it.
    fn done(&mut self, ix: Ix) {
        let mut rising = vec![ix];
        while let Some(ix) = rising.pop() {
            let leaf = !matches!(self.items[ix].state, State::Open(_));
            if let State::Open(number) = self.items[ix].state {
                let node = self.nodes.remove(number);
                self.ready.remove(&(node.path, number));
            }
            self.set(ix, State::Done);
            let item = self.items.remove(ix);
            self.by_cid.remove(&item.cid);
            self.recent.insert(item.cid);
            // What came ahead of its parents, for a reader, is counted when they are opened.
            let placed = !item.parents.is_empty() || item.cid == self.root;
            if leaf && (placed || self.mode == Mode::OnDemand) {
                self.done_blocks += 1;
                self.done_bytes += u64::from(item.size);
            }
            self.finished |= item.cid == self.root;
            if leaf && item.cid == self.root {
                self.strip.fill(Span::WHOLE);
            }
            for (first, (node, index)) in (0..).zip(item.parents) {
                let parent = &mut self.nodes[node];
                // What is below an inner node has filled its first place.
                if leaf || first > 0 {
                    let count = parent.children.len() as u64;
                    self.strip.fill(parent.span.part(index.into(), 1, count));
                }
                parent.children[index as usize] = DONE;
                parent.open -= 1;
                if parent.open == 0 {
                    rising.push(parent.item);
                }
            }
        }
    }

    /// On demand, forgets the nodes that were opened first while too much is known: what a reader
    /// wants of them later is asked for by name.
    fn forget(&mut self) {
        while self.items.len().max(self.opened.len()) > self.limit && self.opened.len() > 1 {
            let Some(number) = self.opened.pop_front() else {
                return;
            };
            let Some(node) = self.nodes.get(number) else {
                continue;
            };
            let (item, path) = (node.item, node.path.clone());
            let children = std::mem::take(&mut self.nodes[number].children);
            for child in children.into_iter().filter(|&child| child != DONE) {
                self.items[child]
                    .parents
                    .retain(|(parent, _)| *parent != number);
                if self.items[child].state == State::Queued {
                    // Its place is gone: queue it anew, by name.
                    self.set(child, State::Idle);
                    self.set(child, State::Queued);
                }
                self.drop_orphan(child);
            }
            self.ready.remove(&(path, number));
            self.nodes.remove(number);
            self.set(item, State::Idle);
            self.drop_orphan(item);
        }
    }

    fn drop_orphan(&mut self, ix: Ix) {
        if self.items[ix].state == State::Idle && self.items[ix].parents.is_empty() {
            let item = self.items.remove(ix);
            self.by_cid.remove(&item.cid);
        }
    }

    /// The child nodes that are not here and that the peer in `slot`, which gave all it has below
    /// `cid`, did not give: it has none of them.
    pub(super) fn lacking_below(&mut self, cid: &Cid, slot: u8) {
        let Some(ix) = self.find(cid) else { return };
        let State::Open(node) = self.items[ix].state else {
            return;
        };
        if self.nodes[node].told_by != Some(slot) {
            // Another peer told which children are leaves: what this one told is not known any more.
            return;
        }
        for i in 0..self.nodes[node].children.len() {
            let child = self.nodes[node].children[i];
            if child != DONE && !self.items[child].leaf && !self.items[child].here {
                self.items[child].lacks |= 1 << slot;
            }
        }
    }

    /// The first queued leaf of a node; without any, the node is ready no longer.
    pub(super) fn first_queued(&mut self, node: u32) -> Option<usize> {
        let at = &mut self.nodes[node];
        let items = &self.items;
        let queued = |&ix: &Ix| ix != DONE && items[ix].leaf && items[ix].state == State::Queued;
        let found = at.children[at.cursor..]
            .iter()
            .position(queued)
            .map(|i| at.cursor + i);
        match found {
            Some(i) => at.cursor = i,
            None => drop(self.ready.remove(&(at.path.clone(), node))),
        }
        found
    }

    /// Whether there are inner nodes that are not opened yet.
    pub(super) fn has_more(&self) -> bool {
        !self.frontier.is_empty() || self.looking > 0
    }

    /// The slot is given to another peer: nothing that was said of its last holder counts.
    pub(super) fn clear_slot(&mut self, slot: u8) {
        for item in self.items.values_mut() {
            item.lacks &= !(1 << slot);
        }
        self.doubt &= !(1 << slot);
        for node in self.nodes.values_mut() {
            node.told_by = node.told_by.filter(|teller| *teller != slot);
        }
        self.generation += 1;
    }
}
