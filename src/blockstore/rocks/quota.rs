//! The quota: a hard limit on the bytes of stored blocks.

use std::sync::atomic::Ordering;

use super::RocksStore;
use super::batch::Writer;
use crate::blockstore::StoreError;

/// Frees at least so many bytes, if it can; says whether it freed any.
pub(crate) type MakeRoom = Box<dyn Fn(u64) -> Result<bool, StoreError> + Send + Sync>;

impl RocksStore {
    /// Limits the bytes of stored blocks from now on; `None`: no limit. What is there already stays.
    /// Bytes in users' files, to which there are only references, do not count.
    pub fn set_quota(&self, quota: Option<u64>) {
        self.quota
            .store(quota.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The limit, if there is one.
    #[must_use]
    pub fn quota(&self) -> Option<u64> {
        let quota = self.quota.load(Ordering::Relaxed);
        (quota != u64::MAX).then_some(quota)
    }

    /// Bytes of stored blocks.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        u64::try_from(self.sums().stored_bytes).unwrap_or(0)
    }

    /// Sets who is asked to make room when a put would pass the quota; the first one stays.
    pub(crate) fn on_quota(&self, make_room: MakeRoom) {
        // A second one would be a second collector on one store, which nobody makes.
        let _ = self.room.set(make_room);
    }

    /// Whether there may be more room now. Must not be called with the writer.
    pub(super) fn make_room(&self, needed: u64) -> Result<bool, StoreError> {
        self.room.get().map_or(Ok(false), |room| room(needed))
    }

    pub(super) fn check_quota(&self, writer: &Writer, needed: u64) -> Result<(), StoreError> {
        let quota = self.quota.load(Ordering::Relaxed);
        let live = u64::try_from(writer.sums.stored_bytes).unwrap_or(0);
        if needed == 0 || live.saturating_add(needed) <= quota {
            return Ok(());
        }
        Err(StoreError::Quota {
            quota,
            live,
            needed,
        })
    }
}
