//! [`Climb`]: from a block up through the nodes that link to it, past whatever keeps it.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::{Pin, PinKind, decode, now};
use super::Holder;
use super::place::way;
use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cid::{Cid, Codec};
use crate::keep::{Hold, Keep, pin_key};

/// Parents that are read together. Some blocks have millions: an empty file, a block of zeros.
const PARENTS: usize = 64;

/// Something that was met on the way up.
pub(super) enum Met {
    /// What keeps the block; each once.
    Holder(Holder),
    /// A node, or the block itself, that nothing links to.
    Top,
}

/// Told of what is met, and of the way there: the multihashes from the block up to what is kept for its
/// own sake: a root, a held child. `false` ends the climb.
pub(super) type Each<'a> = &'a mut dyn FnMut(Met, &[Vec<u8>]) -> Result<bool, StoreError>;

/// One climb, in bounded memory. It goes up to the top before it looks at the next parent: blocks with
/// millions of parents have their holders far above most of the time.
pub(super) struct Climb<'a> {
    store: &'a Arc<RocksStore>,
    /// Of expired pins nothing is said.
    now: u64,
    /// Where there are holds at all.
    holds: Option<Keep>,
    /// Holds are met once for each of their blocks.
    told: HashSet<Vec<u8>>,
    each: Each<'a>,
}

impl<'a> Climb<'a> {
    pub(super) fn new(store: &'a Arc<RocksStore>, each: Each<'a>) -> Result<Self, StoreError> {
        let keep = Keep::new(Arc::clone(store));
        Ok(Self {
            store,
            now: now(),
            holds: keep.any_hold()?.then_some(keep),
            told: HashSet::new(),
            each,
        })
    }

    /// Climbs from `block`, and remembers `visited_max` nodes at most. Whether all was looked at.
    pub(super) fn run(mut self, block: &[u8], visited_max: usize) -> Result<bool, StoreError> {
        // From the block up to where it is, and the parents of each that are still to be looked at.
        let mut trail = vec![block.to_vec()];
        let mut stack = vec![Parents::default()];
        let mut visited = HashSet::from([block.to_vec()]);
        if !self.itself(&trail)? {
            return Ok(false);
        }
        while let (Some(parents), Some(child)) = (stack.last_mut(), trail.last()) {
            let is_first = !parents.begun;
            let Some(parent) = parents.next(self.store, child)? else {
                if is_first && !(self.each)(Met::Top, &trail)? {
                    return Ok(false);
                }
                stack.pop();
                trail.pop();
                continue;
            };
            if !self.edge(&parent, &trail)? {
                return Ok(false);
            }
            if visited.contains(&parent) {
                continue;
            }
            if visited.len() >= visited_max {
                return Ok(false);
            }
            visited.insert(parent.clone());
            trail.push(parent);
            stack.push(Parents::default());
            if !self.node(&trail)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What keeps the block itself.
    fn itself(&mut self, trail: &[Vec<u8>]) -> Result<bool, StoreError> {
        let block = &trail[0];
        for kind in PinKind::ALL {
            for codec in [Codec::DagPb, Codec::Raw] {
                if let Some(pin) = self.pin(kind, codec, block)?
                    && !(self.each)(Met::Holder(Holder::Pin(pin)), trail)?
                {
                    return Ok(false);
                }
            }
        }
        let holds = match &self.holds {
            Some(keep) => keep.holds_through(block)?,
            None => Vec::new(),
        };
        self.tell(holds, trail)
    }

    /// What keeps all below the last of `trail`.
    fn node(&mut self, trail: &[Vec<u8>]) -> Result<bool, StoreError> {
        let Some(node) = trail.last() else {
            return Ok(true);
        };
        match self.pin(PinKind::Recursive, Codec::DagPb, node)? {
            Some(pin) => (self.each)(Met::Holder(Holder::Below(pin)), trail),
            None => Ok(true),
        }
    }

    /// What keeps the child of `node` that is the last of `trail`.
    fn edge(&mut self, node: &[u8], trail: &[Vec<u8>]) -> Result<bool, StoreError> {
        let (Some(keep), Some(child)) = (&self.holds, trail.last()) else {
            return Ok(true);
        };
        let mut holds = keep.holds_at(node)?;
        if holds.is_empty() {
            return Ok(true);
        }
        let links = self.store.stored_links(node)?;
        let at: Vec<u64> = (0..)
            .zip(&links)
            .filter(|(_, link)| way(std::slice::from_ref(link), child).is_some())
            .map(|(at, _)| at)
            .collect();
        let has = |hold: &Hold, at: u64| at.checked_sub(hold.first).is_some_and(|n| n < hold.count);
        holds.retain(|hold| at.iter().any(|at| has(hold, *at)));
        self.tell(holds, trail)
    }

    fn tell(&mut self, holds: Vec<Hold>, trail: &[Vec<u8>]) -> Result<bool, StoreError> {
        for hold in holds {
            if self.told.insert(hold.key()) && !(self.each)(Met::Holder(Holder::Hold(hold)), trail)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn pin(
        &self,
        kind: PinKind,
        codec: Codec,
        multihash: &[u8],
    ) -> Result<Option<Pin>, StoreError> {
        let key = pin_key(kind.tag(), codec.code(), multihash);
        let value = self.store.table_get(schema::KEEP, &key)?;
        let pin = value.and_then(|value| decode(&key, &value));
        Ok(pin.filter(|pin| !pin.is_expired(self.now)))
    }
}

/// The parents of a block, some at a time.
#[derive(Default)]
struct Parents {
    /// The next one is the last.
    page: Vec<Vec<u8>>,
    /// The last one that was read, where there may be more.
    after: Option<Vec<u8>>,
    begun: bool,
}

impl Parents {
    fn next(&mut self, store: &RocksStore, child: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.page.is_empty() && (!self.begun || self.after.is_some()) {
            let page = &mut self.page;
            store.parents(child, self.after.as_deref(), &mut |parent| {
                page.push(parent.to_vec());
                page.len() < PARENTS
            })?;
            self.after = page.last().filter(|_| page.len() == PARENTS).cloned();
            self.page.reverse();
            self.begun = true;
        }
        Ok(self.page.pop())
    }
}

/// The root of a hold, and the nodes of its path down to and without the block `key`, if that is on it;
/// else all.
pub(super) fn path_above(hold: &Hold, key: &[u8]) -> Vec<Cid> {
    let above = |cid: &&Cid| cid.hash().to_bytes() != key;
    hold.path.iter().take_while(above).copied().collect()
}
