//! [`Lease`]: what is in use, and so is not removed, though nothing keeps it yet.
//!
//! An add puts leaves long before the root that will be pinned, and may meet blocks that nobody keeps
//! any more. Blocks therefore have a generation, and each lease begins a new one; while it is open,
//! those that were put or met in its generation or later stay. A get needs what is below its
//! root, wherever it came from: that root counts as kept while the lease is open.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cid::Cid;

/// Roots of a lease that [`Lease::roots`] takes: some 50 MiB.
const ROOTS_MAX: usize = 1 << 20;

/// Changes that are remembered for a collection: 1 MiB.
const CHANGES_MAX: usize = 1 << 16;

/// All leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<State>,
    changes: Mutex<Changes>,
    /// Two, since a block that is taken for another might be removed.
    hashers: (RandomState, RandomState),
}

/// Blocks that may be kept from now on, and were not before.
#[derive(Debug, Default)]
struct Changes {
    /// The latest of them, by [`Leases::hash`].
    latest: VecDeque<u128>,
    /// How many came before these.
    before: u64,
    /// Those who want to hear of them.
    followers: usize,
}

/// While it lives, changes are remembered.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Leases>);

impl Drop for Follower {
    fn drop(&mut self) {
        let mut changes = self.0.changes();
        changes.followers -= 1;
        if changes.followers == 0 {
            changes.forget();
        }
    }
}

impl Changes {
    fn forget(&mut self) {
        self.before += self.latest.len() as u64;
        self.latest.clear();
    }
}

#[derive(Debug, Default)]
struct State {
    /// How many are open, by the generation in which they were opened.
    open: BTreeMap<u64, usize>,
    /// Each root in use, by [`Leases::hash`], and by how many.
    roots: HashMap<u128, usize>,
}

/// While it lives, nothing is removed that was put or met since it was opened, nor anything below its
/// roots.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    generation: u64,
    roots: Mutex<Vec<u128>>,
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
        !state.roots.is_empty() && state.roots.contains_key(&self.hash(key))
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // As for the state.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands for a multihash.
    pub(crate) fn hash(&self, key: &[u8]) -> u128 {
        let (a, b) = &self.hashers;
        u128::from(a.hash_one(key)) << 64 | u128::from(b.hash_one(key))
    }

    /// These blocks, or what is below them, may be kept from now on and were not before.
    pub(crate) fn note_changes<K: AsRef<[u8]>>(&self, keys: &[K]) {
        self.note(keys.iter().map(|key| self.hash(key.as_ref())));
    }

    fn note(&self, hashes: impl ExactSizeIterator<Item = u128>) {
        let mut changes = self.changes();
        if changes.followers == 0 {
            changes.before += hashes.len() as u64;
            return;
        }
        for hash in hashes {
            if changes.latest.len() == CHANGES_MAX {
                changes.latest.pop_front();
                changes.before += 1;
            }
            changes.latest.push_back(hash);
        }
    }

    /// Any block may be kept from now on.
    pub(crate) fn note_change_of_all(&self) {
        let mut changes = self.changes();
        changes.forget();
        changes.before += 1;
    }

    /// Remembers changes from now on.
    pub(crate) fn follow(leases: &Arc<Self>) -> Follower {
        leases.changes().followers += 1;
        Follower(Arc::clone(leases))
    }

    /// Whether anybody does.
    pub(crate) fn is_followed(&self) -> bool {
        self.changes().followers > 0
    }

    /// How many changes there were, and those after the first `seen`; `None` where they are not known
    /// any more.
    pub(crate) fn changes_since(&self, seen: u64) -> (u64, Option<Vec<u128>>) {
        let changes = self.changes();
        let now = changes.before + changes.latest.len() as u64;
        let known = seen.checked_sub(changes.before);
        let known = known.and_then(|known| usize::try_from(known).ok());
        (
            now,
            known.map(|known| changes.latest.iter().skip(known).copied().collect()),
        )
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
        let hash = |root: &Cid| self.leases.hash(&root.hash().to_bytes());
        let hashes: Vec<u128> = roots.iter().map(hash).collect();
        let mut state = self.leases.state();
        for hash in &hashes {
            *state.roots.entry(*hash).or_default() += 1;
        }
        drop(state);
        self.held().extend(&hashes);
        self.leases.note(hashes.into_iter());
    }

    fn held(&self) -> MutexGuard<'_, Vec<u128>> {
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
