//! Who keeps a block: found upwards, from the block through the nodes that link to it, so that no pinned
//! DAG is walked.

use std::collections::HashSet;

use super::{Pin, PinKind, Pins, decode};
use crate::Block;
use crate::blockstore::{Blockstore, StoreError, schema};
use crate::cid::{self, Cid, Codec};
use crate::dag::Link;
use crate::keep::{Hold, Keep, pin_key};

/// Nodes that a search remembers at most; each takes some 100 bytes.
const VISITED_MAX: usize = 1 << 20;
/// Nodes that are looked at before a block counts as not pinned when that only saves a read.
const GLANCE: usize = 4096;
/// Parents that are read together. Some blocks have millions: an empty file, a block of zeros.
const PARENTS: usize = 64;

/// Why a block is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is pinned itself, in either way.
    Pin(Pin),
    /// It is below this recursive pin.
    Below(Pin),
    /// It is in a part that is held, or on the way there.
    Hold(Hold),
}

/// Who keeps a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// As many as were asked for, or found.
    pub holders: Vec<Holder>,
    /// Whether these are all.
    pub complete: bool,
}

impl Holder {
    /// The root of what is kept; `None` for a hold without a path, which nobody makes.
    #[must_use]
    pub fn root(&self) -> Option<&Cid> {
        match self {
            Self::Pin(pin) | Self::Below(pin) => Some(&pin.root),
            Self::Hold(hold) => hold.path.first(),
        }
    }
}

impl Pins {
    /// Who keeps the block of `cid`: `limit` of them at most. Blocks are found by multihash, so that the
    /// codec does not matter for the block itself.
    ///
    /// Reads index rows of what is above the block, and no block. The search ends unfinished at a million
    /// nodes.
    pub fn holders(&self, cid: &Cid, limit: usize) -> Result<Holders, StoreError> {
        let mut holders = Vec::new();
        let complete = self.climb(cid, VISITED_MAX, &mut |holder| {
            if holders.len() == limit {
                return false;
            }
            holders.push(holder);
            true
        })?;
        Ok(Holders { holders, complete })
    }

    /// Whether a recursive pin is seen at a glance that keeps all below `cid`, so that all of it is
    /// here (I3).
    pub fn is_whole(&self, cid: &Cid) -> Result<bool, StoreError> {
        let mut found = false;
        self.climb(cid, GLANCE, &mut |holder| {
            found = match holder {
                Holder::Pin(pin) => {
                    pin.kind == PinKind::Recursive && pin.root.codec() == cid.codec()
                }
                Holder::Below(_) => true,
                Holder::Hold(_) => false,
            };
            !found
        })?;
        Ok(found)
    }

    /// Calls `each` with every holder until it returns `false`. Whether all were met.
    fn climb(
        &self,
        cid: &Cid,
        visited_max: usize,
        each: &mut dyn FnMut(Holder) -> bool,
    ) -> Result<bool, StoreError> {
        let keep = Keep::new(self.store.clone());
        let mut climb = Climb {
            pins: self,
            now: super::now(),
            holds: keep.any_hold()?.then_some(keep),
            told: HashSet::new(),
            each,
        };
        let block = cid.hash().to_bytes();
        if !climb.itself(&block)? {
            return Ok(false);
        }
        let mut visited = HashSet::from([block.clone()]);
        let mut stack = vec![Parents::of(block)];
        while let Some(parents) = stack.last_mut() {
            let Some(parent) = parents.next(self)? else {
                stack.pop();
                continue;
            };
            if !climb.edge(&parent, &parents.child)? {
                return Ok(false);
            }
            if visited.contains(&parent) {
                continue;
            }
            if visited.len() >= visited_max {
                return Ok(false);
            }
            if !climb.node(&parent)? {
                return Ok(false);
            }
            visited.insert(parent.clone());
            stack.push(Parents::of(parent));
        }
        Ok(true)
    }
}

/// What is the same all the way up.
struct Climb<'a> {
    pins: &'a Pins,
    now: u64,
    /// Where there are holds at all.
    holds: Option<Keep>,
    /// Holds are met once for each of their blocks.
    told: HashSet<Vec<u8>>,
    each: &'a mut dyn FnMut(Holder) -> bool,
}

impl Climb<'_> {
    /// What keeps the block itself.
    fn itself(&mut self, block: &[u8]) -> Result<bool, StoreError> {
        for kind in PinKind::ALL {
            for codec in [Codec::DagPb, Codec::Raw] {
                if let Some(pin) = self.pin(kind, codec, block)?
                    && !(self.each)(Holder::Pin(pin))
                {
                    return Ok(false);
                }
            }
        }
        let holds = match &self.holds {
            Some(keep) => keep.holds_through(block)?,
            None => Vec::new(),
        };
        Ok(holds.into_iter().all(|hold| self.tell(hold)))
    }

    /// What keeps all below a node.
    fn node(&mut self, node: &[u8]) -> Result<bool, StoreError> {
        let pin = self.pin(PinKind::Recursive, Codec::DagPb, node)?;
        Ok(pin.is_none_or(|pin| (self.each)(Holder::Below(pin))))
    }

    /// What keeps this child of a node.
    fn edge(&mut self, node: &[u8], child: &[u8]) -> Result<bool, StoreError> {
        let Some(keep) = &self.holds else {
            return Ok(true);
        };
        let mut holds = keep.holds_at(node)?;
        if holds.is_empty() {
            return Ok(true);
        }
        let cid = holds[0].path.last().copied();
        let links = cid.map(|cid| self.pins.store.links(&cid)).transpose()?;
        let links = links.flatten().unwrap_or_default();
        let at: Vec<u64> = (0..)
            .zip(&links)
            .filter(|(_, link)| leads_to(link, child))
            .map(|(at, _)| at)
            .collect();
        let has = |hold: &Hold, at: u64| at.checked_sub(hold.first).is_some_and(|n| n < hold.count);
        holds.retain(|hold| at.iter().any(|at| has(hold, *at)));
        Ok(holds.into_iter().all(|hold| self.tell(hold)))
    }

    fn tell(&mut self, hold: Hold) -> bool {
        !self.told.insert(hold.key()) || (self.each)(Holder::Hold(hold))
    }

    fn pin(
        &self,
        kind: PinKind,
        codec: Codec,
        multihash: &[u8],
    ) -> Result<Option<Pin>, StoreError> {
        let key = pin_key(kind.tag(), codec.code(), multihash);
        let value = self.pins.store.table_get(schema::KEEP, &key)?;
        let pin = value.and_then(|value| decode(&key, &value));
        Ok(pin.filter(|pin| !pin.is_expired(self.now)))
    }
}

/// Whether a link holds the block of this multihash, be it through identity CIDs.
fn leads_to(link: &Link, child: &[u8]) -> bool {
    match Block::inline(&link.cid) {
        Some(block) => crate::dag::links(&block)
            .is_ok_and(|links| links.iter().any(|link| leads_to(link, child))),
        None => cid::Key::of(&link.cid).as_bytes() == child,
    }
}

/// The parents of a block, some at a time.
struct Parents {
    child: Vec<u8>,
    /// The next one is the last.
    page: Vec<Vec<u8>>,
    /// The row of the last one that was read.
    after: Option<Vec<u8>>,
    ended: bool,
}

impl Parents {
    const fn of(child: Vec<u8>) -> Self {
        Self {
            child,
            page: Vec::new(),
            after: None,
            ended: false,
        }
    }

    fn next(&mut self, pins: &Pins) -> Result<Option<Vec<u8>>, StoreError> {
        if self.page.is_empty() && !self.ended {
            let from = self.after.take().unwrap_or_else(|| self.child.clone());
            let page = &mut self.page;
            let mut last = None;
            let each = &mut |row: &[u8], _: &[u8]| {
                if row == from.as_slice() {
                    return true;
                }
                if !row.starts_with(&self.child) {
                    return false;
                }
                page.push(row[self.child.len()..].to_vec());
                last = Some(row.to_vec());
                page.len() < PARENTS
            };
            pins.store.table_scan_from(schema::PARENTS, &from, each)?;
            self.ended = page.len() < PARENTS;
            self.page.reverse();
            self.after = last;
        }
        Ok(self.page.pop())
    }
}
