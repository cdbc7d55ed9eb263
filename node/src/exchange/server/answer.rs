//! [`Answers`]: the answer to one request, from one store.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use store::blockstore::{Blockstore, StoreError};
use store::wire::{Extent, Leaf, Request, Response};

use super::have::Pages;
use super::manifest::Manifests;
use super::nodes::Nodes;
use super::piece::{Shelf, places};

/// Makes answers, and keeps what several ask for.
#[derive(Debug)]
pub(in crate::exchange) struct Answers {
    pub(super) pieces: Shelf,
    pages: Pages,
    manifests: Manifests,
}

impl Answers {
    /// Keeps so many bytes of hot blocks.
    pub(in crate::exchange) fn new(hot: usize) -> Self {
        let inner: Arc<Nodes> = Arc::default();
        Self {
            pieces: Shelf::new(hot, Arc::clone(&inner)),
            pages: Pages::new(inner),
            manifests: Manifests::default(),
        }
    }

    /// Answers `request` in one message. A block that cannot be read counts as missing: another peer may
    /// have it whole.
    ///
    /// # Errors
    /// When the store as a whole failed.
    pub(in crate::exchange) fn answer(
        &self,
        store: &dyn Blockstore,
        asker: PeerId,
        request: &Request,
        now: Instant,
    ) -> Result<Response, StoreError> {
        let max_bytes = request.max_bytes();
        match request {
            Request::Manifest { nodes, .. } => self.manifests.answer(store, nodes, max_bytes, now),
            Request::Get { extents, .. } => {
                let count = request.leaves();
                self.leaves(store, asker, extents, (count, max_bytes))
            }
            Request::Have { nodes, .. } => {
                let pages = self.pages.answer(store, nodes, now)?;
                Ok(Response::Have(pages))
            }
            // It is the swarm that knows them: see `seekers`.
            Request::Peers { .. } => Ok(Response::NotFound),
        }
    }

    /// The `count` children that the extents name, one entry for each, up to `max_bytes` of blocks; the
    /// first comes in any case.
    fn leaves(
        &self,
        store: &dyn Blockstore,
        asker: PeerId,
        extents: &[Extent],
        (count, max_bytes): (usize, usize),
    ) -> Result<Response, StoreError> {
        let places = places(extents, 0, u32::try_from(count).unwrap_or(u32::MAX));
        let mut leaves = self.pieces.read(store, asker, &places, max_bytes as u64)?;
        leaves.resize(count, Leaf::Cut);
        Ok(Response::Leaves(leaves))
    }
}

/// Takes a rotten block for a missing one (DESIGN §3).
pub(super) fn whole<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Corrupt { cid, reason }) => {
            tracing::warn!(%cid, reason, "a rotten block is not served");
            Ok(None)
        }
        other => other,
    }
}
