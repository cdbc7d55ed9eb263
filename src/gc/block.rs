//! Removal of one block that somebody names.

use super::live::Live;
use super::sweep;
use super::{Collected, Collector};
use crate::blockstore::StoreError;
use crate::cid::{Cid, Key};
use crate::pin;

/// What became of a block that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone. This was its size in bytes.
    Removed(u32),
    /// It is pinned, held, or below something that is, or somebody uses it just now.
    Kept,
    /// It was not here.
    NotHere,
}

impl Collector {
    /// Removes the block of `cid` unless something keeps it; the cache does not. What is below it stays,
    /// until a collection finds that nothing keeps it.
    ///
    /// The look and the removal are as in a collection, so that what becomes kept in between stays.
    pub fn remove_block(&self, cid: &Cid) -> Result<Removal, StoreError> {
        self.pins.expire(pin::now())?;
        let key = Key::of(cid);
        let Some(entry) = self.store.raw_entries(&[&key])?.pop().flatten() else {
            return Ok(Removal::NotHere);
        };
        let horizon = self.horizon(false);
        let mut live = Live::new(self.roots(false));
        let block = vec![(key.as_bytes().to_vec(), entry)];
        let victims = sweep::victims(&mut live, horizon, block)?;
        let mut removed = Collected::default();
        sweep::remove(self, &mut live, horizon, victims, &mut removed)?;
        if removed.blocks == 0 {
            return Ok(Removal::Kept);
        }
        self.cached.forget(cid)?;
        Ok(Removal::Removed(entry.size))
    }
}
