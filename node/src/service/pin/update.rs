//! `pin update`: reads, and fetches, only what the old content does not have.

use store::Cid;
use store::blockstore::Blockstore;
use store::dag::path::resolve;
use store::dag::{BlockSource, Diff};
use store::pin::{PinError, now};

use super::BATCH;
use crate::api::conversation::Speaker;
use crate::api::message::{Content, Failure, Item, Updated};
use crate::service::source::Source;
use crate::service::{Service, target};

impl Service {
    pub(super) fn pin_update(
        &self,
        old: &Cid,
        new: &Content,
        keep_old: bool,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        let named = target::parse(new)?;
        let pins = self.repo.pins();
        // First the lease: what is pinned after that stays whole until the end, unpinned or not.
        let lease = self.repo.lease();
        lease.root(old);
        if !pins.is_recursive(old)? {
            return Err(PinError::NotPinned { cid: *old }.into());
        }
        let source = Source::on_demand(self, speaker, &named, new.timeout);
        let (root, read) = source.watched(|| -> Result<(Cid, u64), Failure> {
            let root = resolve(&source, &named.target)?;
            lease.root(&root);
            let is_whole = |cid: &Cid| pins.is_whole(cid);
            let blocks: &dyn Blockstore = self.repo.blocks().as_ref();
            let mut diff = Diff::new(blocks, old, &root, &is_whole);
            let mut read = 0;
            // Where all of it is here nothing needs to be read, whatever it was before.
            let is_here = pins.is_whole(&root)?;
            while !is_here && !diff.is_done() {
                for block in source.blocks(&diff.wants(BATCH))? {
                    diff.supply(&block)?;
                    read += 1;
                }
            }
            Ok((root, read))
        })?;
        let pin = pins.replace(old, &root, keep_old, now())?;
        self.offer(root)?;
        let updated = Updated {
            pin: pin.into(),
            old: *old,
            read,
        };
        speaker.item(Item::Updated(updated.into()))?;
        Ok(())
    }
}
