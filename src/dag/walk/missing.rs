//! Whether a store has the whole of a DAG.

use std::collections::HashSet;

use super::Walk;
use crate::blockstore::Blockstore;
use crate::cid::{Cid, Codec};
use crate::dag::{DagError, SourceError, outward};

/// The blocks of a DAG that `store` does not have, `limit` of them at most; none if the DAG is
/// whole. What is below a missing node cannot be known. Reads no block: links and sizes suffice, and
/// only inner nodes are remembered.
pub fn missing(store: &dyn Blockstore, root: &Cid, limit: usize) -> Result<Vec<Cid>, SourceError> {
    let mut found = Found {
        cids: Vec::new(),
        known: HashSet::new(),
        limit,
    };
    if Codec::of(root).map_err(DagError::from)? == Codec::Raw {
        found.check_leaves(store, &[*root])?;
        return Ok(found.cids);
    }
    let mut walk = Walk::inner(*root);
    while let Some(cid) = walk.want().filter(|_| found.cids.len() < limit) {
        let links = store.links(&cid)?;
        if links.is_none() {
            found.push(cid);
        }
        let links = outward(links.unwrap_or_default())?;
        walk.supply_links(&cid, &links)?;
        let is_leaf = |cid: &Cid| Codec::of(cid) == Ok(Codec::Raw);
        let leaves: Vec<Cid> = links
            .into_iter()
            .map(|link| link.cid)
            .filter(is_leaf)
            .collect();
        found.check_leaves(store, &leaves)?;
    }
    Ok(found.cids)
}

struct Found {
    cids: Vec<Cid>,
    /// The same: a leaf may be a child of many nodes.
    known: HashSet<Cid>,
    limit: usize,
}

impl Found {
    fn push(&mut self, cid: Cid) {
        if self.cids.len() < self.limit && self.known.insert(cid) {
            self.cids.push(cid);
        }
    }

    fn check_leaves(&mut self, store: &dyn Blockstore, leaves: &[Cid]) -> Result<(), SourceError> {
        let sizes = store.sizes(leaves)?;
        let absent = leaves.iter().zip(sizes).filter(|(_, size)| size.is_none());
        absent.for_each(|(cid, _)| self.push(*cid));
        Ok(())
    }
}
