//! Who keeps a block: found upwards, from the block through the nodes that link to it, so that no pinned
//! DAG is walked. `climb` has the way up, `place` what is read on the way down again.

mod climb;
mod place;

use self::climb::{Climb, Each, Met};
pub use self::place::Place;
use super::{Pin, PinKind, Pins};
use crate::blockstore::{StoreError, schema};
use crate::cid::{Cid, Codec, Key};
use crate::keep::Hold;
use crate::scrub::cid_of;

/// Nodes that a search for all holders remembers at most; each takes some 100 bytes.
const VISITED_MAX: usize = 1 << 20;
/// Nodes that are looked at to say where a block is, so that one in a million directories is told soon
/// too.
const NEARBY: usize = 1 << 16;
/// Nodes that are looked at before a block counts as not pinned when that only saves a read.
const GLANCE: usize = 4096;
/// Holders that are told of where a block is; more help nobody.
const HELD: usize = 16;

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

/// What a block is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Who keeps it: the first sixteen that are found.
    pub held: Vec<Held>,
    /// From a root, that of the first holder if there is one, down to the block: all that somebody has to
    /// be asked for who has the root and perhaps not this block. It has at least the block.
    pub chain: Vec<Cid>,
}

/// One that keeps a block, and where the block stands below its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub holder: Holder,
    /// Where the block was met first below it, as far as that can be read.
    pub place: Place,
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

    /// The pin, if it is one.
    #[must_use]
    pub const fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Pin(pin) | Self::Below(pin) => Some(pin),
            Self::Hold(_) => None,
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
        let complete = self.climb(&Key::of(cid), VISITED_MAX, &mut |met, _| {
            let Met::Holder(holder) = met else {
                return Ok(true);
            };
            if holders.len() == limit {
                return Ok(false);
            }
            holders.push(holder);
            Ok(true)
        })?;
        Ok(Holders { holders, complete })
    }

    /// Whether a recursive pin is seen at a glance that keeps all below `cid`, so that all of it is
    /// here (I3).
    pub fn is_whole(&self, cid: &Cid) -> Result<bool, StoreError> {
        let mut found = false;
        self.climb(&Key::of(cid), GLANCE, &mut |met, _| {
            found |= match met {
                Met::Holder(Holder::Pin(pin)) => {
                    pin.kind == PinKind::Recursive && pin.root.codec() == cid.codec()
                }
                Met::Holder(Holder::Below(_)) => true,
                Met::Holder(Holder::Hold(_)) | Met::Top => false,
            };
            Ok(!found)
        })?;
        Ok(found)
    }

    /// Where the block of this key stands: below which roots, in which file, at which byte.
    ///
    /// Reads the nodes between the block and the roots; what cannot be read of them is left out. The
    /// search ends at 65,536 nodes.
    pub fn whereabouts(&self, key: &Key) -> Result<Whereabouts, StoreError> {
        let mut found = Whereabouts::default();
        let mut top = Vec::new();
        self.climb(key, NEARBY, &mut |met, trail| {
            match met {
                Met::Holder(holder) => {
                    let chain = self.chain(&holder, trail);
                    let place = self.place(&chain);
                    found.held.push(Held { holder, place });
                    if found.chain.is_empty() {
                        found.chain = chain;
                    }
                }
                // Nothing links to it: as good a root as any where nobody keeps one.
                Met::Top if top.is_empty() => top = trail.to_vec(),
                Met::Top => {}
            }
            Ok(found.held.len() < HELD)
        })?;
        if let (true, Some(root)) = (found.chain.is_empty(), top.last()) {
            let codec = if top.len() == 1 {
                self.codec_of(root)?
            } else {
                Codec::DagPb
            };
            let root = Key::from_bytes(root).and_then(|key| cid_of(&key, codec));
            found.chain = root.map_or_else(Vec::new, |root| self.down(vec![root], &top));
        }
        Ok(found)
    }

    /// How a block without anything above it is read.
    fn codec_of(&self, key: &[u8]) -> Result<Codec, StoreError> {
        let entry = self.store.raw_entries(&[key])?.pop().flatten();
        let node = entry.is_some_and(|entry| entry.children == schema::Children::Stored);
        Ok(if node { Codec::DagPb } else { Codec::Raw })
    }

    fn climb(&self, key: &Key, visited_max: usize, each: Each<'_>) -> Result<bool, StoreError> {
        Climb::new(&self.store, each)?.run(key.as_bytes(), visited_max)
    }
}

#[cfg(test)]
mod tests;
