//! [`Lease`]: what is in use, and so is not removed, though nothing keeps it yet.
//!
//! An add puts leaves long before the root that will be pinned, and may meet blocks that nobody keeps
//! any more. Blocks therefore have a generation, and each lease begins a new one; while it is open,
//! those that were put or met in its generation or later stay. A get needs what is below its
//! root, wherever it came from: that root counts as kept while the lease is open.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cid::Cid;

/// Roots of a lease that [`Lease::roots`] takes: some 50 MiB.
const ROOTS_MAX: usize = 1 << 20;

/// All leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<State>,
    /// Grows when something may be kept from now on that was not before.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// How many are open, by the generation in which they were opened.
    open: BTreeMap<u64, usize>,
    /// The hash of each root in use, and by how many: two roots of one hash keep each other for a
    /// while, which does no harm.
    roots: HashMap<u64, usize>,
    hasher: RandomState,
}

/// While it lives, nothing is removed that was put or met since it was opened, nor anything below its
/// roots.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    generation: u64,
    roots: Mutex<Vec<u64>>,
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section is one or two calls on its maps: a panic leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(leases: &Arc<Self>, generation: u64) -> Lease {
        *leases.state().open.entry(generation).or_default() += 1;
        Lease {
            leases: Arc::clone(leases),
            generation,
            roots: Mutex::default(),
        }
    }

    /// The first generation in which a lease was opened that is open still.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.state().open.keys().next().copied()
    }

    /// Whether all below this multihash is in use.
    pub(crate) fn is_root(&self, key: &[u8]) -> bool {
        let state = self.state();
        !state.roots.is_empty() && state.roots.contains_key(&state.hasher.hash_one(key))
    }

    /// Something may be kept from now on that was not before.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was so.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

impl Lease {
    /// Uses all that is below `root` too, now or later.
    pub fn root(&self, root: &Cid) {
        self.hold(std::slice::from_ref(root));
    }

    /// Uses all that is below these too, unless it has a million of them already: says whether it does.
    /// What a collection is just removing may go still: look for it after
    /// [`RocksStore::past_removals`](super::RocksStore::past_removals).
    pub(crate) fn roots(&self, roots: &[Cid]) -> bool {
        let held = self.held().len();
        let fits = held + roots.len() <= ROOTS_MAX;
        if fits {
            self.hold(roots);
        }
        fits
    }

    fn hold(&self, roots: &[Cid]) {
        let mut held = self.held();
        let mut state = self.leases.state();
        for root in roots {
            let hash = state.hasher.hash_one(root.hash().to_bytes().as_slice());
            *state.roots.entry(hash).or_default() += 1;
            held.push(hash);
        }
        drop(state);
        self.leases.note_change();
    }

    fn held(&self) -> MutexGuard<'_, Vec<u64>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        if let Some(count) = state.open.get_mut(&self.generation) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.generation);
            }
        }
        let roots = self.roots.get_mut().unwrap_or_else(PoisonError::into_inner);
        for root in roots {
            if let Some(count) = state.roots.get_mut(root) {
                *count -= 1;
                if *count == 0 {
                    state.roots.remove(root);
                }
            }
        }
    }
}
