//! Eviction: content that is only in the cache makes room, the least recently used first.

use std::sync::PoisonError;

use super::live::Live;
use super::sweep;
use super::{Collected, Collection, Collector, SPARE};
use crate::blockstore::StoreError;
use crate::cid::Cid;

/// When room is made, this part of the quota more than is needed: not for each batch anew.
const SLACK: u64 = 16;
/// From here on, in bytes on disk for each hundred stored ones, space is given back.
const WASTEFUL: u64 = 130;
/// Blocks that are removed together while a content is walked.
const BATCH: usize = 256;

impl Collector {
    /// Removes content from the cache until at least `needed` bytes fit under the quota, or nothing is
    /// left that could go; then also what something left behind that did not come to its end. Says
    /// whether they fit now.
    pub fn make_room(&self, needed: u64) -> Result<bool, StoreError> {
        if self.evict(needed)? {
            return Ok(true);
        }
        let live = Live::new(self.roots(true));
        let mut sweep = sweep::Sweep::new(self, live, self.horizon(false), false)?;
        while !sweep.step()? {}
        Ok(self.fits(needed))
    }

    /// Removes content from the cache, the least recently used first, until at least `needed` bytes fit
    /// under the quota, or the cache is empty. Says whether they fit now.
    pub fn evict(&self, needed: u64) -> Result<bool, StoreError> {
        let _one = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have made room meanwhile.
        if self.fits(needed) {
            return Ok(true);
        }
        let slack = self.store.quota().unwrap_or(0) / SLACK;
        let horizon = self.horizon(false);
        let mut collected = Collected::default();
        for cached in self.cached.oldest_first()? {
            if self.fits(needed.saturating_add(slack)) {
                break;
            }
            let key = cached.root.hash().to_bytes();
            if !self.store.leases().is_root(&key) {
                self.cached.forget(&cached.root)?;
                self.remove_below(&cached.root, horizon, &mut collected)?;
            }
        }
        self.store.sweep_clones()?;
        tracing::debug!(?collected, "room was made");
        // What a command without a node removes, no node gives back.
        self.reclaim(WASTEFUL, SPARE)?;
        Ok(self.fits(needed))
    }

    fn fits(&self, needed: u64) -> bool {
        let quota = self.store.quota().unwrap_or(u64::MAX);
        self.store.live_bytes().saturating_add(needed) <= quota
    }

    /// Removes the blocks below and including `root` that nothing keeps, from the top down: as many as
    /// were removed are looked at, and their children.
    fn remove_below(
        &self,
        root: &Cid,
        horizon: u64,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        let mut live = Live::new(self.roots(true));
        let mut pending = vec![root.hash().to_bytes()];
        while !pending.is_empty() {
            let mut some = pending.split_off(pending.len().saturating_sub(BATCH));
            some.sort_unstable();
            some.dedup();
            let entries = self.store.raw_entries(&some)?;
            let blocks = some.into_iter().zip(entries);
            let blocks = blocks.filter_map(|(key, entry)| Some((key, entry?)));
            let victims = sweep::victims(&mut live, horizon, blocks.collect())?;
            // Before the nodes go, and their links with them.
            for victim in &victims {
                pending.extend(sweep::children(self, victim.key.as_bytes())?);
            }
            sweep::remove(self, &mut live, horizon, victims, collected)?;
        }
        Ok(())
    }

    /// Removes what an add left behind that did not come to its end: blocks that nothing keeps.
    pub fn collect_orphans(&self) -> Result<Collected, StoreError> {
        self.collect(&Collection {
            cache: false,
            dry: false,
            gentle: true,
            watch: &|_| true,
        })
    }
}
