//! [`Shelf`]: reads pieces of requests, batched, and what is hot only once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;
use store::Cid;
use store::blockstore::{Blockstore, StoreError};
use store::wire::{Extent, Leaf};

use super::answer::whole;
use super::hot::Hot;
use super::nodes::Nodes;

#[derive(Debug)]
pub(super) struct Shelf {
    hot: Mutex<Hot>,
    nodes: Arc<Nodes>,
}

/// The places of `count` leaves, from the leaf `from` of a request on: node and child.
pub(super) fn places(extents: &[Extent], from: u32, count: u32) -> Vec<Extent> {
    let (mut skip, mut left) = (from, count);
    let mut places = Vec::new();
    for extent in extents {
        let skipped = skip.min(extent.count);
        skip -= skipped;
        let taken = left.min(extent.count - skipped);
        if taken > 0 {
            left -= taken;
            places.push(Extent {
                node: extent.node,
                // The decoder has checked that first + count fits.
                first: extent.first + skipped,
                count: taken,
            });
        }
    }
    places
}

impl Shelf {
    /// Keeps so many bytes of hot blocks.
    pub(super) fn new(hot: usize, nodes: Arc<Nodes>) -> Self {
        Self {
            hot: Mutex::new(Hot::new(hot)),
            nodes,
        }
    }

    /// The leaves at these places, up to `max_bytes` of blocks, the first in any case. At least one entry,
    /// where a place is named.
    ///
    /// # Errors
    /// When the store as a whole failed. A block that cannot be read counts as not found.
    pub(super) fn read(
        &self,
        store: &dyn Blockstore,
        asker: PeerId,
        places: &[Extent],
        max_bytes: u64,
    ) -> Result<Vec<Leaf>, StoreError> {
        let mut cids: Vec<Option<Cid>> = Vec::new();
        for place in places {
            let children = self.nodes.children(store, &place.node)?;
            let children = children.as_deref().unwrap_or_default();
            let child = |i: u32| children.get(place.first as usize + i as usize).copied();
            cids.extend((0..place.count).map(child));
        }
        let known: Vec<Cid> = cids.iter().flatten().copied().collect();
        let mut sizes = store.sizes(&known)?.into_iter();
        let mut wanted = Vec::with_capacity(cids.len());
        let mut bytes = 0;
        for cid in cids {
            let size = cid.and_then(|_| sizes.next().flatten()).map(u64::from);
            bytes += size.unwrap_or(0);
            if bytes > max_bytes && !wanted.is_empty() {
                break;
            }
            wanted.push(cid.filter(|_| size.is_some()));
        }
        let blocks = self.blocks(store, asker, &wanted)?;
        Ok(blocks
            .into_iter()
            .map(|block| block.map_or(Leaf::NotFound, Leaf::Have))
            .collect())
    }

    fn blocks(
        &self,
        store: &dyn Blockstore,
        asker: PeerId,
        wanted: &[Option<Cid>],
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut blocks: Vec<Option<Bytes>> = {
            let mut hot = self.hot();
            let get = |cid: &Option<Cid>| cid.as_ref().and_then(|cid| hot.get(cid));
            wanted.iter().map(get).collect()
        };
        let cold = || {
            let places = wanted.iter().zip(&blocks).enumerate();
            places.filter_map(|(i, (cid, block))| block.is_none().then_some((i, (*cid)?)))
        };
        let (places, cids): (Vec<usize>, Vec<Cid>) = cold().unzip();
        let read = match store.get_many(&cids) {
            // One of them: the others are still there.
            Err(StoreError::Corrupt { .. }) => {
                let each = cids.iter().map(|cid| whole(store.get(cid)));
                each.collect::<Result<_, _>>()?
            }
            read => read?,
        };
        let (mut hot, now) = (self.hot(), Instant::now());
        for ((place, cid), data) in places.into_iter().zip(cids).zip(read) {
            if let Some(data) = &data {
                hot.read(cid, data, asker, now);
            }
            blocks[place] = data;
        }
        Ok(blocks)
    }

    fn hot(&self) -> MutexGuard<'_, Hot> {
        // Each change leaves it whole.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
