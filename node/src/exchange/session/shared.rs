//! [`Shared`]: where blocks pass from the intake to the readers, and readers' wants to the driver.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::blockstore::StoreError;
use store::dag::{DagError, SourceError};
use store::{Block, Cid};
use tokio::sync::Notify;

use crate::exchange::scheduler::Defeat;

/// A reader that took a block this short a time ago follows the download.
const FOLLOWING: Duration = Duration::from_millis(500);
/// A block that nobody has taken for so long is not what readers are after.
const STALE: Duration = Duration::from_secs(10);
/// The intake looks again whether there is room after this long, if nobody wakes it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a session ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Finished,
    Cancelled,
    Defeat(Defeat),
    Full(String),
    Quota { quota: u64, live: u64, needed: u64 },
    Database(String),
    Dag(DagError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { reason } => Self::Full(reason),
            StoreError::Quota {
                quota,
                live,
                needed,
            } => Self::Quota {
                quota,
                live,
                needed,
            },
            StoreError::Dag(error) => Self::Dag(error),
            error => Self::Database(error.to_string()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: Cid,
    state: Mutex<State>,
    /// A block has come for a reader, or the session is over.
    arrived: Condvar,
    /// A reader has taken a block, or waits for one.
    taken: Condvar,
    /// What readers wait for has changed.
    pub(super) wants_changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Blocks that readers wait for: bounded by what each asks for at once.
    waiting: HashMap<Cid, Waiting>,
    next: u64,
    cache: Cache,
    last_taken: Option<Instant>,
    /// Bytes that readers took and that had come before they asked, since the driver was told.
    taken_ahead: u64,
    end: Option<End>,
}

#[derive(Debug)]
struct Waiting {
    readers: u32,
    /// Which was asked for first.
    order: u64,
    block: Option<Block>,
}

/// Blocks that came lately, for readers who follow the download: they need not be read from disk and
/// hashed again. The oldest stay, since the reader comes to them first.
#[derive(Debug)]
struct Cache {
    limit: u64,
    bytes: u64,
    blocks: HashMap<Cid, Block>,
    order: VecDeque<(Instant, Cid)>,
}

impl Cache {
    fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    fn insert(&mut self, now: Instant, block: &Block) {
        // What was taken from the front is cleared away, and what nobody came for.
        while let Some((at, cid)) = self.order.front().copied() {
            let stale = self.is_full() && at + STALE < now;
            if self.blocks.contains_key(&cid) && !stale {
                break;
            }
            self.order.pop_front();
            self.take(&cid);
        }
        if self.is_full() || self.blocks.contains_key(block.cid()) {
            return;
        }
        self.bytes += block.data().len() as u64;
        self.order.push_back((now, *block.cid()));
        self.blocks.insert(*block.cid(), block.clone());
    }

    fn take(&mut self, cid: &Cid) -> Option<Block> {
        let block = self.blocks.remove(cid)?;
        self.bytes -= block.data().len() as u64;
        Some(block)
    }
}

impl Shared {
    /// For a cache of `limit` bytes.
    pub(super) fn new(root: Cid, limit: u64) -> Self {
        let (blocks, order) = (HashMap::new(), VecDeque::new());
        let cache = Cache {
            limit,
            bytes: 0,
            blocks,
            order,
        };
        let state = State {
            waiting: HashMap::new(),
            next: 0,
            cache,
            last_taken: None,
            taken_ahead: 0,
            end: None,
        };
        Self {
            root,
            state: Mutex::new(state),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            wants_changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks of `cids` that came lately.
    pub(super) fn take(&self, cids: &[Cid]) -> Vec<Option<Block>> {
        let mut state = self.lock();
        let blocks: Vec<_> = cids.iter().map(|cid| state.cache.take(cid)).collect();
        let bytes = blocks
            .iter()
            .flatten()
            .map(|block| block.data().len() as u64);
        let bytes: u64 = bytes.sum();
        if blocks.iter().any(Option::is_some) {
            state.last_taken = Some(Instant::now());
            state.taken_ahead += bytes;
            self.taken.notify_all();
            self.wants_changed.notify_one();
        }
        blocks
    }

    /// The first of the blocks of `cids` that came lately, up to the first that is not among them.
    pub(super) fn take_first(&self, cids: &[Cid]) -> Vec<Block> {
        let there = {
            let cache = &self.lock().cache;
            let there = |cid: &&Cid| cache.blocks.contains_key(cid);
            cids.iter().take_while(there).count()
        };
        // Another reader may have taken one meanwhile.
        let blocks = self.take(&cids[..there]);
        blocks.into_iter().map_while(|block| block).collect()
    }

    /// Says that a reader waits for `cids`, which must be followed by [`Shared::wait`] or
    /// [`Shared::wait_for_first`].
    pub(super) fn expect(&self, cids: &[Cid]) {
        let mut state = self.lock();
        for cid in cids {
            let order = state.next;
            state.next += 1;
            let block = state.cache.take(cid);
            let waiting = Waiting {
                readers: 0,
                order,
                block,
            };
            state.waiting.entry(*cid).or_insert(waiting).readers += 1;
        }
        drop(state);
        self.taken.notify_all();
    }

    /// Bytes that readers took ahead of asking since this was called last.
    pub(super) fn taken_ahead(&self) -> u64 {
        std::mem::take(&mut self.lock().taken_ahead)
    }

    /// Tells the driver of what is waited for.
    pub(super) fn tell_driver(&self) {
        self.wants_changed.notify_one();
    }

    /// A block that a reader found by itself.
    pub(super) fn provide(&self, block: Block) {
        if let Some(waiting) = self.lock().waiting.get_mut(block.cid()) {
            waiting.block.get_or_insert(block);
        }
        self.arrived.notify_all();
    }

    /// Waits until all that was expected is there, or the session is over; `None` where a block is
    /// not there in the end.
    pub(super) fn wait(&self, cids: &[Cid]) -> Vec<Option<Block>> {
        let mut state = self.lock();
        let there = |state: &State| {
            let missing = |cid| state.waiting.get(cid).is_some_and(|w| w.block.is_none());
            state.end.is_some() || !cids.iter().any(missing)
        };
        while !there(&state) {
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.last_taken = Some(Instant::now());
        let mut blocks = Vec::with_capacity(cids.len());
        for cid in cids {
            let waiting = state.waiting.get_mut(cid).expect("expected before");
            blocks.push(waiting.block.clone());
            waiting.readers -= 1;
            if waiting.readers == 0 {
                state.waiting.remove(cid);
            }
        }
        blocks
    }

    /// The blocks of `cids`, which are all expected, up to the first that is not there; waits until there
    /// is one, or the session is over. What has come of the others is kept at hand.
    pub(super) fn wait_for_first(&self, cids: &[Cid]) -> Vec<Block> {
        let Some(first) = cids.first() else {
            return Vec::new();
        };
        let absent = |state: &mut State| {
            let waiting = state.waiting.get(first);
            state.end.is_none() && waiting.is_some_and(|waiting| waiting.block.is_none())
        };
        let waited = self.arrived.wait_while(self.lock(), absent);
        let mut guard = waited.unwrap_or_else(PoisonError::into_inner);
        let (state, now) = (&mut *guard, Instant::now());
        state.last_taken = Some(now);
        let (mut blocks, mut gap) = (Vec::new(), false);
        for cid in cids {
            let waiting = state.waiting.get_mut(cid).expect("expected before");
            let block = waiting.block.clone();
            waiting.readers -= 1;
            if waiting.readers == 0 {
                state.waiting.remove(cid);
            }
            gap |= block.is_none();
            match block {
                Some(block) if gap => state.cache.insert(now, &block),
                block => blocks.extend(block),
            }
        }
        blocks
    }

    /// Those of `cids`, which are all expected, that are there, as soon as one is; and whether the
    /// session is over.
    pub(super) fn arrivals(&self, cids: &[Cid], limit: Duration) -> (Vec<Block>, bool) {
        let there = |state: &State, cid: &Cid| {
            let waiting = state.waiting.get(cid);
            waiting.is_some_and(|waiting| waiting.block.is_some())
        };
        let nothing =
            |state: &mut State| state.end.is_none() && !cids.iter().any(|cid| there(state, cid));
        let waited = self
            .arrived
            .wait_timeout_while(self.lock(), limit, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = waited.0;
        let mut blocks = Vec::new();
        for cid in cids {
            let Some(waiting) = state.waiting.get_mut(cid) else {
                continue;
            };
            if let Some(block) = waiting.block.clone() {
                blocks.push(block);
                waiting.readers -= 1;
                if waiting.readers == 0 {
                    state.waiting.remove(cid);
                }
            }
        }
        let over = state.end.is_some();
        (blocks, over)
    }

    /// What readers wait for, the first first.
    pub(super) fn wants(&self) -> Vec<Cid> {
        let state = self.lock();
        let open = state
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.block.is_none());
        let by_order: BTreeMap<u64, Cid> = open.map(|(cid, w)| (w.order, *cid)).collect();
        by_order.into_values().collect()
    }

    /// Blocks have come, and are stored. Those that nobody waits for yet are kept at hand for readers
    /// who follow, if there are such.
    pub(super) fn arrived(&self, blocks: &[Block], keep: bool) {
        let now = Instant::now();
        let mut guard = self.lock();
        let state = &mut *guard;
        for block in blocks {
            match state.waiting.get_mut(block.cid()) {
                Some(waiting) => waiting.block = Some(block.clone()),
                None if keep => state.cache.insert(now, block),
                None => {}
            }
        }
        drop(guard);
        self.arrived.notify_all();
    }

    /// Waits while the cache is full and a reader follows: what comes then would have to be read from
    /// disk again. The download is paused by this, since bytes count as owed until they are taken in.
    /// Never waits while a reader waits.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.lock();
        loop {
            let follows = state.last_taken.is_some_and(|at| at.elapsed() < FOLLOWING);
            if !state.cache.is_full()
                || !follows
                || !state.waiting.is_empty()
                || state.end.is_some()
            {
                return;
            }
            let waited = self.taken.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the session is over.
    pub(super) fn wait_for_end(&self) {
        let mut state = self.lock();
        while state.end.is_none() {
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for `limit` at most.
    pub(super) fn wait_for_end_within(&self, limit: Duration) {
        let open = |state: &mut State| state.end.is_none();
        drop(self.arrived.wait_timeout_while(self.lock(), limit, open));
    }

    /// The session is over; the first word counts.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Ends the session as cancelled when the guard is dropped.
    pub(super) fn ends_when_dropped(self: &Arc<Self>) -> impl Drop + use<> {
        struct Guard(Arc<Shared>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.end(End::Cancelled);
            }
        }
        Guard(Arc::clone(self))
    }

    /// How it ended.
    pub(super) fn result(&self) -> Result<(), SourceError> {
        let end = self.lock().end.clone().unwrap_or(End::Cancelled);
        let error = match end {
            End::Finished => return Ok(()),
            End::Cancelled => SourceError::Cancelled,
            End::Full(reason) => StoreError::Full { reason }.into(),
            End::Quota {
                quota,
                live,
                needed,
            } => StoreError::Quota {
                quota,
                live,
                needed,
            }
            .into(),
            End::Database(reason) => StoreError::Database { reason }.into(),
            End::Dag(error) => error.into(),
            End::Defeat(Defeat::NotFound { cid, tried }) => SourceError::NotFound { cid, tried },
            End::Defeat(Defeat::Stalled { waited, state }) => SourceError::Stalled {
                root: self.root,
                waited,
                state,
            },
            End::Defeat(Defeat::TooWide { cid }) => {
                let reason = "it is deeper or wider than the memory of a session allows".to_owned();
                SourceError::Dag(DagError::Inconsistent { cid, reason })
            }
        };
        Err(error)
    }
}
