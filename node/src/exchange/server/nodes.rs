//! [`Nodes`]: the children of nodes that are asked about again and again.

use std::sync::{Arc, Mutex, PoisonError};

use store::Cid;
use store::blockstore::{Blockstore, StoreError};

use super::answer::whole;
use super::hot::ByBytes;

/// Bytes of children kept: some fifty nodes of 1,024.
const LIMIT: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Nodes(Mutex<ByBytes<Cid, Arc<[Cid]>>>);

impl Default for Nodes {
    fn default() -> Self {
        Self(Mutex::new(ByBytes::new(LIMIT)))
    }
}

impl Nodes {
    /// The children of a node; `None` where it is not here. One that was removed since may be found.
    pub(super) fn children(
        &self,
        store: &dyn Blockstore,
        node: &Cid,
    ) -> Result<Option<Arc<[Cid]>>, StoreError> {
        // Each change leaves it whole.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(node) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(links) = whole(store.links(node))? else {
            return Ok(None);
        };
        let children: Arc<[Cid]> = links.iter().map(|link| link.cid).collect();
        let bytes = size_of_val(&*children) + size_of::<Cid>();
        lock().put(*node, Arc::clone(&children), bytes);
        Ok(Some(children))
    }
}
