//! Whether an add fits under the quota, before anything is written.

use store::blockstore::{Blockstore, Measure};
use store::unixfs::import::ImportOptions;

use super::log::Log;
use super::{Run, Service};
use crate::api::conversation::Conversation;
use crate::api::message::{AddOptions, Failure};

/// Nodes take up to this part of the bytes of the files below them...
const NODES: u64 = 64;
/// ...and some more, for small ones.
const SOME: u64 = 1 << 16;

impl Service {
    /// Refuses what cannot fit. Where it is clear that it does, nothing is read; else everything is
    /// read and hashed to tell what of it is new, and content that is only in the cache makes room.
    pub(super) fn check_room(
        &self,
        options: &AddOptions,
        import: &ImportOptions,
        bytes: u64,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let blocks = self.repo.blocks();
        let Some(quota) = blocks.quota() else {
            return Ok(());
        };
        if options.reflink.is_some() && blocks.can_clone() {
            // Clones take none of it; where one cannot be made after all, the quota holds all the same.
            return Ok(());
        }
        let at_most = bytes.saturating_add(bytes / NODES + SOME);
        if blocks.live_bytes().saturating_add(at_most) <= quota {
            return Ok(());
        }
        let lease = self.repo.lease();
        let log = Log::new(blocks, None);
        let measure = Measure::new(blocks, quota);
        self.import(
            &Run {
                options,
                import,
                log: &log,
                lease: &lease,
                clones: &blocks.hold_clones(),
                store: Some(&measure as &dyn Blockstore),
            },
            conversation,
        )?;
        let needed = measure.bytes();
        if self.repo.collector().make_room(needed)? {
            return Ok(());
        }
        Err(measure.over(needed).into())
    }
}
