//! [`fetch`]: what every reader asks a [`BlockSource`] through.

use std::collections::HashMap;

use super::{BlockSource, DagError, SourceError};
use crate::block::Block;
use crate::cid::{self, Cid};

/// The blocks, in the order of `cids`. Asks `source` once, for each block once, and for none that
/// its CID carries; checks that it gave what it was asked for.
pub fn fetch(source: &dyn BlockSource, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
    let mut asked = Vec::with_capacity(cids.len());
    let mut found = HashMap::with_capacity(cids.len());
    for cid in cids {
        cid::check(cid).map_err(DagError::from)?;
        if found.contains_key(cid) {
            continue;
        }
        let inline = Block::inline(cid);
        if inline.is_none() {
            asked.push(*cid);
        }
        found.insert(*cid, inline);
    }
    if !asked.is_empty() {
        for block in source.blocks(&asked)? {
            let cid = *block.cid();
            let place = found.get_mut(&cid).filter(|place| place.is_none());
            *place.ok_or(DagError::Unwanted { cid })? = Some(block);
        }
    }
    let missing = |cid: &Cid| SourceError::NotFound {
        cid: *cid,
        tried: String::new(),
    };
    cids.iter()
        .map(|cid| found[cid].clone().ok_or_else(|| missing(cid)))
        .collect()
}

/// One block, like [`fetch`].
pub(crate) fn fetch_one(source: &dyn BlockSource, cid: &Cid) -> Result<Block, SourceError> {
    Ok(fetch(source, std::slice::from_ref(cid))?.remove(0))
}
