//! [`SessionSource`]: a session's blocks, for readers who block.

use std::sync::Arc;
use std::time::Duration;

use store::blockstore::{Blockstore, StoreError};
use store::dag::source::Local;
use store::dag::{BlockSource, SourceError};
use store::{Block, Cid};

use super::shared::Shared;

/// Blocks that one reader waits for at once at most; the scheduler puts so many in order.
const AT_ONCE: usize = 256;

/// Blocks from this machine, and from others as they come.
///
/// Blocks its caller until they are there or the session ends; not to be used by async tasks.
#[derive(Clone)]
pub struct SessionSource {
    store: Arc<dyn Blockstore>,
    shared: Arc<Shared>,
}

impl SessionSource {
    pub(super) fn new(store: Arc<dyn Blockstore>, shared: Arc<Shared>) -> Self {
        Self { store, shared }
    }

    /// Waits until the session is over: of one that fetches the whole, all is here and durable then.
    ///
    /// # Errors
    /// Why not all came.
    pub fn finish(&self) -> Result<(), SourceError> {
        self.shared.wait_for_end();
        self.shared.result()
    }

    /// Says that a reader waits for `cids`, each of them once: [`SessionSource::arrivals`] hands them out.
    pub fn expect(&self, cids: &[Cid]) {
        self.shared.expect(cids);
        self.shared.tell_driver();
    }

    /// Those of `cids`, which are all expected, that have come, as soon as one has, or `limit` has
    /// passed; and whether the session is over. What is handed out is expected no longer.
    #[must_use]
    pub fn arrivals(&self, cids: &[Cid], limit: Duration) -> (Vec<Block>, bool) {
        self.shared.arrivals(cids, limit)
    }

    /// Waits until the session is over, and no longer than `limit`.
    pub fn wait_for_end(&self, limit: Duration) {
        self.shared.wait_for_end_within(limit);
    }

    /// What is on this machine's disk, verified; `None` where it is missing or rotten.
    fn local(&self, cids: &[Cid]) -> Result<Vec<Option<Block>>, SourceError> {
        let found = match self.store.get_many(cids) {
            Ok(found) => found,
            Err(StoreError::Corrupt { .. }) => return self.local_singly(cids),
            Err(error) => return Err(error.into()),
        };
        let mut blocks = vec![None; cids.len()];
        let there = cids.iter().zip(found).enumerate();
        let there = there.filter_map(|(i, (cid, data))| Some((i, (*cid, data?))));
        let (places, items): (Vec<_>, Vec<_>) = there.unzip();
        for (place, block) in places.into_iter().zip(Block::verify_many(items)) {
            // Rotten bytes count as missing.
            blocks[place] = block.ok();
        }
        Ok(blocks)
    }

    fn local_singly(&self, cids: &[Cid]) -> Result<Vec<Option<Block>>, SourceError> {
        let one = |cid: &Cid| match Local(&*self.store).block(cid) {
            Ok(block) => Ok(Some(block)),
            Err(SourceError::NotFound { .. } | SourceError::Store(StoreError::Corrupt { .. })) => {
                Ok(None)
            }
            Err(error) => Err(error),
        };
        cids.iter().map(one).collect()
    }

    fn some(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let mut blocks = self.shared.take(cids);
        fill(cids, &mut blocks, |missing| self.local(missing))?;
        fill(cids, &mut blocks, |missing| Ok(self.await_all(missing)))?;
        // The session may have finished meanwhile: then all is on disk.
        fill(cids, &mut blocks, |missing| self.local(missing))?;
        cids.iter()
            .zip(blocks)
            .map(|(cid, block)| block.ok_or_else(|| self.missing(cid)))
            .collect()
    }

    fn await_all(&self, cids: &[Cid]) -> Vec<Option<Block>> {
        self.shared.expect(cids);
        self.look_again(cids);
        self.shared.tell_driver();
        self.shared.wait(cids)
    }

    /// What was stored between the first look and [`Shared::expect`] has passed us by: looks again,
    /// before others are asked for it.
    fn look_again(&self, cids: &[Cid]) {
        match self.store.sizes(cids) {
            Ok(sizes) if sizes.iter().any(Option::is_some) => {
                let here = cids.iter().zip(&sizes).filter(|(_, size)| size.is_some());
                let here: Vec<Cid> = here.map(|(cid, _)| *cid).collect();
                for block in self.local(&here).into_iter().flatten().flatten() {
                    self.shared.provide(block);
                }
            }
            // An error of the store ends the session, and with it the wait.
            Ok(_) | Err(_) => {}
        }
    }

    /// What is on this machine's disk of the first of `cids`, up to the first that is not.
    fn first_local(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let sizes = self.store.sizes(cids)?;
        let here = sizes.iter().take_while(|size| size.is_some()).count();
        let blocks = self.local(&cids[..here])?;
        Ok(blocks.into_iter().map_while(|block| block).collect())
    }

    fn missing(&self, cid: &Cid) -> SourceError {
        match self.shared.result() {
            Ok(()) => SourceError::NotFound {
                cid: *cid,
                tried: String::new(),
            },
            Err(error) => error,
        }
    }
}

impl BlockSource for SessionSource {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let mut blocks = Vec::with_capacity(cids.len());
        for some in cids.chunks(AT_ONCE) {
            blocks.extend(self.some(some)?);
        }
        Ok(blocks)
    }

    fn first_blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        let cids = &cids[..cids.len().min(AT_ONCE)];
        let mut blocks = self.shared.take_first(cids);
        if blocks.is_empty() {
            blocks = self.first_local(cids)?;
        }
        if blocks.is_empty() {
            // All of them are wanted, the first one first.
            self.shared.expect(cids);
            self.look_again(cids);
            self.shared.tell_driver();
            blocks = self.shared.wait_for_first(cids);
        }
        if blocks.is_empty() {
            // The session may have finished meanwhile: then all is on disk.
            blocks = self.first_local(cids)?;
        }
        match cids.first() {
            Some(first) if blocks.is_empty() => Err(self.missing(first)),
            _ => Ok(blocks),
        }
    }
}

/// Looks for what is still missing.
fn fill(
    cids: &[Cid],
    blocks: &mut [Option<Block>],
    look: impl FnOnce(&[Cid]) -> Result<Vec<Option<Block>>, SourceError>,
) -> Result<(), SourceError> {
    let empty: Vec<usize> = (0..cids.len()).filter(|&i| blocks[i].is_none()).collect();
    if empty.is_empty() {
        return Ok(());
    }
    let missing: Vec<Cid> = empty.iter().map(|&i| cids[i]).collect();
    for (i, block) in empty.into_iter().zip(look(&missing)?) {
        blocks[i] = block;
    }
    Ok(())
}

impl std::fmt::Debug for SessionSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSource").finish_non_exhaustive()
    }
}
