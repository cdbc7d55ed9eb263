//! [`Reader`]: where readers are, and how far ahead of them is fetched.
//!
//! Where everything is fetched, what lies behind a reader goes in order. Where only what is asked for
//! is, leaves behind the reader are asked for before it comes to them: none at first, then twice as
//! many each time that it goes on where it was; none again when it goes elsewhere.

use std::collections::VecDeque;

use store::Cid;

use super::place::Path;
use super::tree::{DONE, Ix, State};
use super::{Action, MAX_WANTS, Mode, PeerName, Scheduler};

/// Read ahead of a reader that has just gone on, in bytes.
const LEAST_AHEAD: u64 = 2 << 20;
/// At most: seconds of a fast link.
const MOST_AHEAD: u64 = 32 << 20;
/// Leaves ahead at most, however small.
const MOST_LEAVES: usize = 4096;

/// Where readers are.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The place of the first leaf that was wanted last.
    at: Option<(Path, u32)>,
    /// The place of the last one.
    up_to: Option<(Path, u32)>,
    /// Bytes that readers have taken since.
    pub(super) taken: u64,
    /// How many bytes ahead may be asked for.
    window: u64,
    /// What was asked for ahead and not read yet, in order.
    ahead: VecDeque<Ahead>,
    bytes: u64,
    /// The next child to ask for ahead, and for each level above the one after that.
    next: Vec<(u32, Path, u32)>,
}

#[derive(Debug)]
struct Ahead {
    place: (Path, u32),
    node: u32,
    ix: Ix,
    size: u32,
}

impl Reader {
    /// The place of the first leaf that was wanted last.
    pub(super) fn place(&self) -> Option<(Path, u32)> {
        self.at.clone()
    }

    fn read_up_to(&mut self, place: &(Path, u32)) {
        while self.ahead.front().is_some_and(|leaf| leaf.place <= *place) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(leaf) = self.ahead.pop_front() {
            self.bytes -= u64::from(leaf.size);
        }
    }
}

impl<P: PeerName> Scheduler<P> {
    pub(super) fn want(&mut self, mut cids: Vec<Cid>, actions: &mut Vec<Action<P>>) {
        cids.truncate(MAX_WANTS);
        for cid in &cids {
            if self.tree.want(*cid) {
                actions.push(Action::LookUp(*cid));
            }
        }
        self.wants = cids;
        let placed = self.wants.iter().filter_map(|cid| self.tree.find(cid));
        let placed: Vec<Ix> = placed.filter(|ix| self.tree.has_place(*ix)).collect();
        let (Some(&first), Some(&last)) = (placed.first(), placed.last()) else {
            return;
        };
        let (Some(from), Some(to)) = (self.tree.place_in(first), self.tree.place_in(last)) else {
            return;
        };
        let reached = self
            .reader
            .next
            .first()
            .map(|(_, path, index)| (path.clone(), *index));
        let goes_on = self.reader.at.as_ref().is_some_and(|at| *at <= from)
            && reached.is_some_and(|reached| from <= reached);
        let same = self.reader.at.as_ref() == Some(&from);
        self.reader.at = Some(from);
        self.reader.taken = 0;
        if self.task.mode == Mode::Whole || same {
            return;
        }
        let further = self.reader.up_to.as_ref().is_none_or(|up_to| *up_to < to);
        if goes_on && !further {
            // It takes one by one what it has asked for, which may be all that it wants.
            return;
        }
        self.reader.up_to = Some(to.clone());
        if goes_on {
            self.grow();
            self.reader.read_up_to(&to);
            let behind = self
                .reader
                .next
                .first()
                .is_none_or(|(_, path, index)| (path, *index) <= (&to.0, to.1));
            if behind {
                self.reader.next = self.tree.after(last);
            }
            return;
        }
        // The reader went elsewhere: nobody waits for what lies behind its old place.
        for leaf in std::mem::take(&mut self.reader.ahead) {
            let item = self.tree.items.get(leaf.ix);
            let idle = item.is_some_and(|item| {
                item.state == State::Queued
                    && item.parents.first() == Some(&(leaf.node, leaf.place.1))
                    && !self.wants.contains(&item.cid)
            });
            if idle {
                self.tree.set(leaf.ix, State::Idle);
            }
        }
        self.reader.bytes = 0;
        self.reader.window = 0;
        self.reader.next = self.tree.after(last);
    }

    fn grow(&mut self) {
        let most = MOST_AHEAD.min(self.task.limits.total_bytes / 2);
        self.reader.window = (self.reader.window * 2).max(LEAST_AHEAD).min(most);
    }

    /// Readers have taken blocks that had come before they asked.
    pub(super) fn taken(&mut self, bytes: u64) {
        self.reader.taken = self.reader.taken.saturating_add(bytes);
        if self.task.mode == Mode::Whole || self.reader.ahead.is_empty() {
            return;
        }
        if self.reader.taken >= self.reader.window / 2 {
            self.grow();
        }
        let mut left = bytes;
        while let Some(leaf) = self.reader.ahead.front() {
            let size = u64::from(leaf.size);
            if left < size / 2 {
                break;
            }
            left = left.saturating_sub(size);
            self.reader.pop();
        }
    }

    /// On demand, asks for leaves ahead of the reader as far as its window goes.
    pub(super) fn read_ahead(&mut self, actions: &mut Vec<Action<P>>) {
        if self.task.mode == Mode::Whole {
            return;
        }
        while self.reader.bytes < self.reader.window && self.reader.ahead.len() < MOST_LEAVES {
            let Some((node, path, index)) = self.reader.next.first_mut() else {
                return;
            };
            let known = self
                .tree
                .nodes
                .get(*node)
                .filter(|known| known.path == *path);
            let Some(&child) = known.and_then(|known| known.children.get(*index as usize)) else {
                // The node is done, or at its end: on behind it.
                self.reader.next.remove(0);
                continue;
            };
            let place = (path.clone(), *index);
            let (node, at) = (*node, *index);
            if child == DONE {
                *index += 1;
                continue;
            }
            let item = &self.tree.items[child];
            match item.state {
                State::Open(below) => {
                    *index += 1;
                    let path = self.tree.nodes[below].path.clone();
                    self.reader.next.insert(0, (below, path, 0));
                }
                State::Idle if !item.leaf => {
                    let (cid, here) = (item.cid, item.here);
                    self.tree
                        .set(child, if here { State::Looking } else { State::Queued });
                    if here {
                        actions.push(Action::LookUp(cid));
                    }
                    return;
                }
                _ if !item.leaf => return,
                state => {
                    *index += 1;
                    let (size, here) = (item.size, item.here);
                    if state == State::Idle && !here {
                        self.tree.set(child, State::Queued);
                        self.reader.bytes += u64::from(size);
                        self.reader.ahead.push_back(Ahead {
                            place,
                            node,
                            ix: child,
                            size,
                        });
                    }
                    let _ = at;
                }
            }
        }
    }
}

impl super::tree::Tree {
    /// The path of the node that a block stands in, and its number there.
    fn place_in(&self, ix: Ix) -> Option<(Path, u32)> {
        let (node, index) = *self.items[ix].parents.first()?;
        Some((self.nodes[node].path.clone(), index))
    }

    /// What comes after a block: in its node, and in those above it.
    fn after(&self, ix: Ix) -> Vec<(u32, Path, u32)> {
        let mut next = Vec::new();
        let mut at = ix;
        // No deeper than a path is long.
        while let Some(&(node, index)) = self.items[at].parents.first()
            && next.len() < 64
        {
            next.push((node, self.nodes[node].path.clone(), index + 1));
            at = self.nodes[node].item;
        }
        next
    }
}
