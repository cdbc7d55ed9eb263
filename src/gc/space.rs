//! Space: what the store takes on disk, and how what was removed comes back.
//!
//! RocksDB keeps a removed block's bytes until a compaction rewrites its blob file, and none does so by
//! itself here: always on, that cost up to 3.9 bytes written for each byte stored. It is switched on
//! for one compaction when there is enough to win.

use std::sync::atomic::Ordering;

use super::{Collector, Live, sweep};
use crate::blockstore::StoreError;

use super::live::Budget;

/// What the store takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of blocks that are stored, each once.
    pub live: u64,
    /// Bytes of the database's files, its log not counted.
    pub disk: u64,
}

impl Space {
    /// Whether there are more than `percent` bytes on disk for each hundred live ones, and more than
    /// `spare` besides.
    const fn exceeds(self, percent: u64, spare: u64) -> bool {
        self.disk.saturating_sub(self.live) > spare
            && self.disk.saturating_mul(100) > self.live.saturating_mul(percent)
    }
}

/// What is kept, and what is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that pins and holds keep, or that are in use.
    pub pinned: u64,
    /// Bytes that are only in the cache.
    pub cached: u64,
    /// Bytes that the next collection removes.
    pub reclaimable: u64,
}

/// Below this many bytes nobody cares for a factor, unless he asks.
pub const SPARE: u64 = 32 << 20;
/// What tables and files take, however little is in them.
pub const LEAST: u64 = 1 << 20;

impl Collector {
    /// What the store takes on disk.
    pub fn space(&self) -> Result<Space, StoreError> {
        Ok(Space {
            live: self.store.live_bytes(),
            disk: self.store.disk_bytes()?,
        })
    }

    /// Gives back the space of removed blocks, if more than `percent` bytes are on disk for each
    /// hundred live ones, and more than `spare` ([`SPARE`] or [`LEAST`]) besides. Rewrites the blocks
    /// that lie beside removed ones, which needs room for them. Says whether it did; at most one does at
    /// a time.
    pub fn reclaim(&self, percent: u64, spare: u64) -> Result<bool, StoreError> {
        let wasteful = |space: Space| space.exceeds(percent, spare);
        if !wasteful(self.space()?) || self.reclaiming.swap(true, Ordering::AcqRel) {
            return Ok(false);
        }
        let result = self
            .store
            .drop_tombstones()
            .and_then(|()| self.space())
            // Files of which nothing is left are gone already.
            .and_then(|space| {
                if wasteful(space) {
                    // What was put since the last collection began has hardly lost anything.
                    let old = self.old_files.swap(0, Ordering::Relaxed);
                    self.store.rewrite_blobs((old > 0).then_some(old))
                } else {
                    Ok(())
                }
            });
        self.reclaiming.store(false, Ordering::Release);
        result.map(|()| true)
    }

    /// Sorts all blocks by what keeps them: goes over the whole index, some seconds for each million.
    /// `None` when `watch` ended it.
    pub fn usage(&self, watch: &dyn Fn() -> bool) -> Result<Option<Usage>, StoreError> {
        let mut usage = Usage::default();
        let mut kept = Live::new(self.roots(false));
        let mut here = Live::new(self.roots(true));
        let mut at = Vec::new();
        loop {
            let (found, next) = sweep::page(&self.store, &at, None)?;
            kept.refresh()?;
            here.refresh()?;
            let keys: Vec<&[u8]> = found.iter().map(|(key, _)| key.as_slice()).collect();
            let kept = kept.keeps(&keys, Budget::UNLIMITED)?;
            let here = here.keeps(&keys, Budget::UNLIMITED)?;
            for (((_, entry), kept), here) in found.iter().zip(kept).zip(here) {
                let sum = match (kept, here) {
                    (true, _) => &mut usage.pinned,
                    (false, true) => &mut usage.cached,
                    (false, false) => &mut usage.reclaimable,
                };
                *sum += if entry.stored {
                    u64::from(entry.size)
                } else {
                    0
                };
            }
            match next {
                Some(next) if watch() => at = next,
                Some(_) => return Ok(None),
                None => return Ok(Some(usage)),
            }
        }
    }
}
