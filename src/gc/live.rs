//! [`Live`]: is this block kept? Asked upwards, from the block to what holds it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cached::Cached;
use crate::keep::Keep;

/// Answers that are remembered at most; 48 bytes each.
const MEMO_MAX: usize = 1 << 20;
/// Parents that are read at once.
const PAGE: usize = 256;
/// Nodes whose held children are remembered.
const HELD_MAX: usize = 64;

/// What keeps blocks.
#[derive(Clone, Copy)]
pub(super) struct Roots<'a> {
    pub(super) store: &'a RocksStore,
    pub(super) keep: &'a Keep,
    /// None where the cache does not count.
    pub(super) cached: Option<&'a Cached>,
}

impl Roots<'_> {
    /// Whether all below this block is kept for the block's own sake.
    fn keep_below(&self, key: &[u8]) -> Result<bool, StoreError> {
        if self.store.leases().is_root(key) || self.keep.is_pinned(key)? {
            return Ok(true);
        }
        self.cached.map_or(Ok(false), |cached| cached.is_root(key))
    }
}

/// Answers for many blocks, remembering those for nodes.
pub(super) struct Live<'a> {
    roots: Roots<'a>,
    memo: HashMap<u128, bool>,
    hashers: (RandomState, RandomState),
    /// Held children by node; `None` until it is known whether there are any holds at all.
    held: Option<HashMap<Vec<u8>, HashSet<Vec<u8>>>>,
    any_holds: bool,
    /// What was known about roots and parents when the memo was empty.
    changes: u64,
}

/// A block whose parents are looked at.
struct Frame {
    key: Vec<u8>,
    page: std::vec::IntoIter<Vec<u8>>,
    /// The last parent of the page, where there are more.
    more: Option<Vec<u8>>,
}

/// How much may be read for one answer.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    pub(super) const fn unlimited() -> Self {
        Self(u64::MAX)
    }

    /// Some milliseconds.
    pub(super) const fn under_lock() -> Self {
        Self(2_000)
    }
}

impl<'a> Live<'a> {
    pub(super) fn new(roots: Roots<'a>) -> Self {
        Self {
            roots,
            memo: HashMap::new(),
            hashers: (RandomState::new(), RandomState::new()),
            held: None,
            any_holds: false,
            changes: roots.store.leases().changes(),
        }
    }

    /// Forgets everything if more may be kept now than when it was found out. Says whether that was so.
    pub(super) fn refresh(&mut self) -> bool {
        let now = self.roots.store.leases().changes();
        if now == self.changes {
            return false;
        }
        self.memo.clear();
        self.held = None;
        self.changes = now;
        true
    }

    /// Whether the block is kept: for its own sake, or by a node above it. When `budget` is used up:
    /// yes.
    pub(super) fn keeps(&mut self, key: &[u8], budget: &mut Budget) -> Result<bool, StoreError> {
        Ok(self.keeps_below(key, budget)? || self.roots.keep.is_kept_alone(key)?)
    }

    /// Whether the block is kept with all below it.
    fn keeps_below(&mut self, key: &[u8], budget: &mut Budget) -> Result<bool, StoreError> {
        if let Some(known) = self.known(key)? {
            return Ok(known);
        }
        let mut stack = vec![self.frame(key.to_vec(), None)?];
        while let Some(frame) = stack.last_mut() {
            if budget.0 == 0 {
                return Ok(true);
            }
            budget.0 -= 1;
            let Some(parent) = frame.page.next() else {
                if let Some(last) = frame.more.take() {
                    let key = std::mem::take(&mut frame.key);
                    *frame = self.frame(key, Some(&last))?;
                } else {
                    let dead = std::mem::take(&mut frame.key);
                    stack.pop();
                    self.remember(&dead, false);
                }
                continue;
            };
            let child = std::mem::take(&mut frame.key);
            let held = self.holds(&parent, &child)?;
            if let Some(frame) = stack.last_mut() {
                frame.key = child;
            }
            match if held {
                Some(true)
            } else {
                self.known(&parent)?
            } {
                Some(false) => {}
                Some(true) => {
                    // What is kept keeps all below it.
                    for frame in &stack {
                        self.remember(&frame.key, true);
                    }
                    return Ok(true);
                }
                None => stack.push(self.frame(parent, None)?),
            }
        }
        Ok(false)
    }

    /// What is known about a block without its parents.
    fn known(&mut self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        if let Some(known) = self.memo.get(&self.hash(key)) {
            return Ok(Some(*known));
        }
        if self.roots.keep_below(key)? {
            self.remember(key, true);
            return Ok(Some(true));
        }
        Ok(None)
    }

    fn frame(&self, key: Vec<u8>, after: Option<&[u8]>) -> Result<Frame, StoreError> {
        let mut page: Vec<Vec<u8>> = Vec::new();
        let mut full = false;
        self.roots.store.parents(&key, after, &mut |parent| {
            page.push(parent.to_vec());
            full = page.len() == PAGE;
            !full
        })?;
        let more = page.last().filter(|_| full).cloned();
        Ok(Frame {
            key,
            page: page.into_iter(),
            more,
        })
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let (a, b) = &self.hashers;
        u128::from(a.hash_one(key)) << 64 | u128::from(b.hash_one(key))
    }

    fn remember(&mut self, key: &[u8], kept: bool) {
        if self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        let hash = self.hash(key);
        self.memo.insert(hash, kept);
    }

    /// Whether a hold on some children of `parent` is one on `child`.
    fn holds(&mut self, parent: &[u8], child: &[u8]) -> Result<bool, StoreError> {
        let held = if let Some(held) = &mut self.held {
            held
        } else {
            self.any_holds = self.roots.keep.any_holds()?;
            self.held.insert(HashMap::new())
        };
        if !self.any_holds {
            return Ok(false);
        }
        if let Some(children) = held.get(parent) {
            return Ok(children.contains(child));
        }
        let children = held_children(self.roots, parent)?;
        let found = children.contains(child);
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.insert(parent.to_vec(), children);
        Ok(found)
    }
}

/// The blocks that holds on this node's children keep, with all below them.
fn held_children(roots: Roots<'_>, node: &[u8]) -> Result<HashSet<Vec<u8>>, StoreError> {
    let extents = roots.keep.held_extents(node)?;
    if extents.is_empty() {
        return Ok(HashSet::new());
    }
    let links = roots.store.stored_links(node)?;
    let mut children = HashSet::new();
    for (first, count) in extents {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let extent: Vec<_> = links.iter().skip(first).take(count).cloned().collect();
        children.extend(schema::held(&extent));
    }
    Ok(children)
}
