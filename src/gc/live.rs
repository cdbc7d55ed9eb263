//! [`Live`]: is this block kept? Asked upwards, from the block to what holds it.

use std::collections::{HashMap, HashSet};

use crate::blockstore::{Follower, Leases, RocksStore, StoreError, schema};
use crate::cached::Cached;
use crate::keep::{Keep, Kinds};

/// Answers of either kind that are remembered at most; 32 bytes each.
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
    /// Nodes that are kept with all below them. What keeps them may go meanwhile: then they stay until
    /// the next collection.
    kept: HashSet<u128>,
    /// Nodes that nothing kept as it was at the last [`Live::refresh`]: of each answer, all that it rests
    /// on.
    dead: HashSet<u128>,
    /// Some of these were forgotten since.
    forgot: bool,
    /// Held children by node.
    held: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    kinds: Kinds,
    /// How many blocks may have become kept, up to the last refresh.
    seen: u64,
    _follower: Follower,
}

/// What may be kept that was not.
pub(super) enum Changed {
    Nothing,
    /// These blocks, and none that keeps others.
    Only(HashSet<u128>),
    All,
}

/// A block whose parents are looked at.
struct Frame {
    key: Vec<u8>,
    page: std::vec::IntoIter<Vec<u8>>,
    /// The last parent of the page, where there are more.
    more: Option<Vec<u8>>,
}

impl Frame {
    /// With the first parents; a full page of them may have others behind it.
    fn new(key: Vec<u8>, page: Vec<Vec<u8>>) -> Self {
        let more = page.last().filter(|_| page.len() == PAGE).cloned();
        Self {
            key,
            page: page.into_iter(),
            more,
        }
    }
}

/// How much may be read for one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(u64);

impl Budget {
    pub(super) const UNLIMITED: Self = Self(u64::MAX);
    /// Some milliseconds.
    pub(super) const UNDER_LOCK: Self = Self(500);
}

impl<'a> Live<'a> {
    pub(super) fn new(roots: Roots<'a>) -> Self {
        Self {
            roots,
            kept: HashSet::new(),
            dead: HashSet::new(),
            // Whatever was before: nothing is known of it.
            forgot: true,
            held: HashMap::new(),
            kinds: Kinds::default(),
            seen: 0,
            _follower: Leases::follow(roots.store.leases()),
        }
    }

    /// Forgets what was not kept, if more of it may be kept now. Says for which of the blocks that were
    /// asked about since the last refresh the answer may be another one. To be called before questions.
    pub(super) fn refresh(&mut self) -> Result<Changed, StoreError> {
        let (now, changes) = self.roots.store.leases().changes_since(self.seen);
        let forgot = std::mem::take(&mut self.forgot);
        if now == self.seen && !forgot {
            return Ok(Changed::Nothing);
        }
        self.seen = now;
        self.held.clear();
        self.kinds = self.roots.keep.kinds()?;
        let only = changes.filter(|_| !forgot);
        let only = only.filter(|changes| !changes.iter().any(|hash| self.dead.contains(hash)));
        Ok(if let Some(changes) = only {
            Changed::Only(changes.into_iter().collect())
        } else {
            self.dead.clear();
            Changed::All
        })
    }

    /// Whether each of these blocks is kept: for its own sake, or by a node above it. Where `budget`,
    /// for each of them, is used up: yes. The keys are in their order: one pass finds their parents.
    pub(super) fn keeps<K: AsRef<[u8]>>(
        &mut self,
        keys: &[K],
        budget: Budget,
    ) -> Result<Vec<bool>, StoreError> {
        let mut pages = Vec::with_capacity(keys.len());
        self.roots
            .store
            .parents_of_each(keys, PAGE, &mut |parents| pages.push(parents))?;
        keys.iter()
            .zip(pages)
            .map(|(key, parents)| {
                let key = key.as_ref();
                let frame = Frame::new(key.to_vec(), parents);
                Ok(self.keeps_below(frame, budget)?
                    || self.roots.keep_below(key)?
                    || (self.kinds.alone && self.roots.keep.is_kept_alone(key)?))
            })
            .collect()
    }

    /// Whether a node above the block is kept with all below it, or a hold keeps it.
    fn keeps_below(&mut self, first: Frame, budget: Budget) -> Result<bool, StoreError> {
        let mut left = budget.0;
        let mut stack = vec![first];
        while let Some(frame) = stack.last_mut() {
            if left == 0 {
                return Ok(true);
            }
            left -= 1;
            let Some(parent) = frame.page.next() else {
                if let Some(last) = frame.more.take() {
                    let key = std::mem::take(&mut frame.key);
                    *frame = self.frame(key, Some(&last))?;
                } else {
                    let dead = std::mem::take(&mut frame.key);
                    stack.pop();
                    // The first is asked for once, and there are many.
                    if !stack.is_empty() {
                        self.remember(&dead, false);
                    }
                }
                continue;
            };
            let child = std::mem::take(&mut frame.key);
            let held = self.holds(&parent, &child)?;
            if let Some(frame) = stack.last_mut() {
                frame.key = child;
            }
            let known = if held {
                Some(true)
            } else {
                self.known(&parent)?
            };
            match known {
                Some(false) => {}
                Some(true) => {
                    // What is kept keeps all below it.
                    for frame in &stack[1..] {
                        self.remember(&frame.key, true);
                    }
                    return Ok(true);
                }
                None => stack.push(self.frame(parent, None)?),
            }
        }
        Ok(false)
    }

    /// What is known about a node without its parents.
    fn known(&mut self, key: &[u8]) -> Result<Option<bool>, StoreError> {
        let hash = self.hash(key);
        if self.kept.contains(&hash) {
            return Ok(Some(true));
        }
        if self.dead.contains(&hash) {
            return Ok(Some(false));
        }
        if self.roots.keep_below(key)? {
            self.remember(key, true);
            return Ok(Some(true));
        }
        Ok(None)
    }

    fn frame(&self, key: Vec<u8>, after: Option<&[u8]>) -> Result<Frame, StoreError> {
        let mut page = Vec::new();
        self.roots.store.parents(&key, after, &mut |parent| {
            page.push(parent.to_vec());
            page.len() < PAGE
        })?;
        Ok(Frame::new(key, page))
    }

    /// As [`Changed::Only`] has it.
    pub(super) fn hash(&self, key: &[u8]) -> u128 {
        self.roots.store.leases().hash(key)
    }

    fn remember(&mut self, key: &[u8], kept: bool) {
        let hash = self.hash(key);
        let memo = if kept { &mut self.kept } else { &mut self.dead };
        if memo.len() >= MEMO_MAX {
            memo.clear();
            self.forgot |= !kept;
        }
        memo.insert(hash);
    }

    /// Whether a hold on some children of `parent` is one on `child`.
    fn holds(&mut self, parent: &[u8], child: &[u8]) -> Result<bool, StoreError> {
        if !self.kinds.holds {
            return Ok(false);
        }
        let held = &mut self.held;
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
