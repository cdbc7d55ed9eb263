//! [`Collector`]: removes blocks that nothing keeps, beside the traffic.
//!
//! There is no mark phase. The family `parents` says which nodes link to a block, so a block is kept if
//! it, or any node above it, is pinned, held, in the cache or in use (`live`); that is asked for one
//! block after the other, in key order, a few hundred at a time. So there is nothing to remember
//! but the place in the index, memory is bounded, and a collection that was cut off goes on where it
//! was.
//!
//! Invariants:
//! - What is kept when a block is removed is looked at under the writer's lock: between the look and
//!   the removal no block is put, and whatever became kept since the first look is looked at again.
//! - A block that was put or met while a lease is open that is still open stays
//!   ([`Lease`](crate::blockstore::Lease)).
//! - A question that would take too long under the lock is answered with: kept.

mod block;
mod evict;
mod live;
mod space;
mod sweep;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::block::Removal;
pub use self::space::{LEAST, SPARE, Space, Usage};

use self::live::{Live, Roots};
use crate::blockstore::{Put, RocksStore, StoreError};
use crate::cached::Cached;
use crate::keep::Keep;
use crate::pin::{self, Pins};

/// Removes what nothing keeps.
pub struct Collector {
    store: Arc<RocksStore>,
    pins: Pins,
    keep: Keep,
    cached: Cached,
    /// One collection at a time; it guards no data.
    running: Mutex<()>,
    /// One at a time makes room, beside a collection too: who waits for room must not wait for that.
    evicting: Mutex<()>,
    /// Whether space is given back just now.
    reclaiming: AtomicBool,
    /// Blob files that were there when the last collection began; 0 where that is not known.
    old_files: AtomicU64,
}

/// What a collection is to do, and who watches it.
pub struct Collection<'a> {
    /// Remove content that is only in the cache too, unless it is in use.
    pub cache: bool,
    /// Only count.
    pub dry: bool,
    /// Share the processor with others while there is traffic.
    pub gentle: bool,
    /// Told how far it is, now and then; ends the collection by `false`.
    pub watch: &'a (dyn Fn(Collected) -> bool + Sync),
}

impl std::fmt::Debug for Collection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection")
            .field("cache", &self.cache)
            .field("dry", &self.dry)
            .finish_non_exhaustive()
    }
}

/// What a collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks that were looked at.
    pub seen: u64,
    /// Blocks that were removed.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Collected {
    fn removed(&mut self, put: Put) {
        self.blocks += put.blocks;
        self.bytes += put.bytes;
    }
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl Collector {
    /// For `store`, which asks it for room from now on.
    pub(crate) fn start(store: &Arc<RocksStore>, pins: Pins) -> Arc<Self> {
        let collector = Arc::new(Self {
            store: Arc::clone(store),
            pins,
            keep: Keep::new(Arc::clone(store)),
            cached: Cached::new(Arc::clone(store)),
            running: Mutex::default(),
            evicting: Mutex::default(),
            reclaiming: AtomicBool::new(false),
            old_files: AtomicU64::new(0),
        });
        let asked = Arc::downgrade(&collector);
        store.on_quota(Box::new(move |needed| {
            asked.upgrade().map_or(Ok(false), |it| it.make_room(needed))
        }));
        collector
    }

    /// Removes every block that nothing keeps and nobody uses. Others go on beside it. Space comes back
    /// by [`Collector::reclaim`].
    pub fn collect(&self, collection: &Collection<'_>) -> Result<Collected, StoreError> {
        let _running = self.running();
        if !collection.dry {
            for pin in self.pins.expire(pin::now())? {
                tracing::info!(root = %pin.root, name = pin.name, "a pin has expired");
            }
        }
        if collection.cache && !collection.dry {
            for cached in self.cached.oldest_first()? {
                self.cached.forget(&cached.root)?;
            }
        }
        if !collection.dry {
            let files = self.store.blob_files()?;
            self.old_files.store(files, Ordering::Relaxed);
        }
        let horizon = self.horizon(collection.dry);
        let live = Live::new(self.roots(!collection.cache));
        let mut sweep = sweep::Sweep::new(self, live, horizon, collection.dry)?;
        let mut pace = Pace::new(&self.store, collection.gentle);
        loop {
            let began = Instant::now();
            let done = sweep.step()?;
            if !(collection.watch)(sweep.collected()) || done {
                break;
            }
            pace.rest(began.elapsed());
        }
        if !collection.dry {
            self.store.sweep_clones()?;
        }
        let collected = sweep.collected();
        tracing::debug!(?collected, "a collection ended");
        Ok(collected)
    }

    /// What keeps blocks; with or without the cache.
    fn roots(&self, cache: bool) -> Roots<'_> {
        Roots {
            store: &self.store,
            keep: &self.keep,
            cached: if cache { Some(&self.cached) } else { None },
        }
    }

    /// The generation from which on blocks stay: that of the oldest lease, or else one that begins now,
    /// so that leases from now on have later ones.
    fn horizon(&self, dry: bool) -> u64 {
        if dry {
            return self.store.leases().oldest().unwrap_or(u64::MAX);
        }
        let next = self.store.next_generation();
        let oldest = self.store.leases().oldest();
        oldest.map_or(next, |oldest| oldest.min(next))
    }

    fn running(&self) -> MutexGuard<'_, ()> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves three fifths of the time to others, while there are any.
struct Pace<'a> {
    store: &'a RocksStore,
    gentle: bool,
    traffic: u64,
}

/// Rests longer than this are of no use to anybody.
const REST_MAX: Duration = Duration::from_millis(50);

impl<'a> Pace<'a> {
    fn new(store: &'a RocksStore, gentle: bool) -> Self {
        let traffic = store.traffic();
        Self {
            store,
            gentle,
            traffic,
        }
    }

    fn rest(&mut self, worked: Duration) {
        let traffic = self.store.traffic();
        if self.gentle && traffic != self.traffic {
            std::thread::sleep((worked * 3 / 2).min(REST_MAX));
        }
        self.traffic = traffic;
    }
}

#[cfg(test)]
mod tests;
