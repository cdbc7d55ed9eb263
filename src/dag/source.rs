//! [`BlockSource`]: where readers get verified blocks: this machine's store, or a session that
//! fetches them from others and waits.

use super::DagError;
use crate::block::Block;
use crate::blockstore::{Blockstore, StoreError};
use crate::cid::Cid;

/// A place that blocks come from. Blocks the caller until they are there.
pub trait BlockSource {
    /// The blocks, in the order of `cids`. A reader asks for what it needs next, some at a time, so
    /// that they are fetched and verified together; all or an error.
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError>;

    /// The first of the blocks, and as many of those right behind it as are there by then: at least one, where
    /// one is named. For a reader who goes on with what he has; that he comes to the others next is a reason
    /// to fetch them too. A source that has everything at hand gives all.
    fn first_blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        self.blocks(cids)
    }

    /// One block.
    fn block(&self, cid: &Cid) -> Result<Block, SourceError> {
        Ok(self
            .blocks(std::slice::from_ref(cid))?
            .pop()
            .expect("one block for one CID"))
    }
}

/// Why blocks did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nobody who was asked has it.
    #[error("block `{cid}` not found{}", if .tried.is_empty() { String::new() } else { format!(": {}", .tried) })]
    NotFound {
        /// The block.
        cid: Cid,
        /// Where it was looked for, for people; empty when only this machine was asked.
        tried: String,
    },
    /// No progress for as long as the caller was willing to wait.
    #[error("no block of `{root}` came for {} s: {state}", .waited.as_secs())]
    Stalled {
        /// The content.
        root: Cid,
        /// How long nothing came.
        waited: std::time::Duration,
        /// What it was waiting for, for people.
        state: String,
    },
    /// The caller's side went away.
    #[error("cancelled")]
    Cancelled,
    /// The store on this machine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came is no DAG that we can read.
    #[error(transparent)]
    Dag(#[from] DagError),
}

/// This machine's blocks, verified on their way out. A rotten block counts as missing.
pub struct Local<'a>(pub &'a dyn Blockstore);

impl BlockSource for Local<'_> {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let found = self.0.get_many(cids)?;
        let mut items = Vec::with_capacity(cids.len());
        for (cid, data) in cids.iter().zip(found) {
            let data = data.ok_or_else(|| SourceError::NotFound {
                cid: *cid,
                tried: String::new(),
            })?;
            items.push((*cid, data));
        }
        Block::verify_many(items)
            .into_iter()
            .zip(cids)
            .map(|(result, cid)| {
                let corrupt = |e: crate::block::BlockError| StoreError::Corrupt {
                    cid: *cid,
                    reason: e.to_string(),
                };
                Ok(result.map_err(corrupt)?)
            })
            .collect()
    }
}
