//! The intake: verifies answers, stores what is good, wakes readers, and tells the driver.
//!
//! Two blocking threads for each session: one hashes while the other stores. What has piled up
//! meanwhile is verified together, since sixteen blocks are hashed at once, at twice the pace of a few; where hashing is
//! what takes the time, it waits a little for the sixteenth. Blocks are stored past the
//! log and made durable each [`COMMIT_BYTES`], so that a process that is killed loses at most twice that.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::block::Block;
use store::blockstore::{Blockstore, StoreError, Write};
use store::wire::Bits;
use store::{Cid, dag};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::driver::Note;
use super::shared::{End, Shared};
use super::sort::{self, Claims, Sorted};
use crate::exchange::landing::{Landing, here};
use crate::exchange::scheduler::{Answer, Event, Outcome, RequestId};

/// Stored bytes after which they are made durable.
const COMMIT_BYTES: u64 = 32 << 20;
/// Blocks that are hashed together.
const LANES: usize = 16;
/// Blocks that are taken in together at most, so that readers need not wait for the rest.
const TOGETHER: usize = 32;
/// A batch that is not full waits for more so many times as long as the last one took to be hashed. Where blocks come
/// slower than that, nothing waits for the hashing.
const PATIENCE: u32 = 4;

/// An answer to take in.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: RequestId,
    pub(super) claims: Claims,
    /// Whether it is the last part of its answer.
    pub(super) over: bool,
}

/// A part of an answer that has been verified: which request's, whether it is the last, what was good
/// of it.
type Verified = (RequestId, bool, Sorted);

/// Ends the session if the thread that stores panics: whoever waits for it would wait for ever.
struct TellsIfItPanics(mpsc::Sender<Note>);

impl Drop for TellsIfItPanics {
    fn drop(&mut self) {
        if thread::panicking() {
            let end = End::Database("storing what came panicked".to_owned());
            let _ = self.0.blocking_send(Note::End(end));
        }
    }
}

pub(super) struct Intake {
    store: Arc<dyn Blockstore>,
    shared: Arc<Shared>,
    root: Cid,
    notes: mpsc::Sender<Note>,
    landing: Option<Arc<Landing>>,
    /// Whether a batch may wait for more: not where somebody reads as it comes.
    is_patient: bool,
    uncommitted: u64,
    /// Makes durable what was stored before, while more comes: the disk would stop the network
    /// otherwise. One at a time.
    commit: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Intake {
    pub(super) const fn new(
        store: Arc<dyn Blockstore>,
        shared: Arc<Shared>,
        root: Cid,
        notes: mpsc::Sender<Note>,
        landing: Option<Arc<Landing>>,
        is_patient: bool,
    ) -> Self {
        Self {
            store,
            shared,
            root,
            notes,
            landing,
            is_patient,
            uncommitted: 0,
            commit: None,
        }
    }

    /// Works until there is no more to do, or storing fails: then the session is over.
    pub(super) fn run(self, mut jobs: mpsc::Receiver<Job>) {
        // One batch is hashed while another is stored.
        let (verified, batches) = sync_channel(1);
        let is_patient = self.is_patient;
        let storing = thread::spawn(move || self.store_all(&batches));
        let mut patience = Duration::ZERO;
        while let Some(first) = jobs.blocking_recv() {
            let batch = Batch::gather(first, &mut jobs, patience);
            let began = Instant::now();
            let batch = batch.verify();
            if is_patient {
                patience = began.elapsed() * PATIENCE;
            }
            if verified.send(batch).is_err() {
                break;
            }
        }
        drop(verified);
        if storing.join().is_err() {
            tracing::error!("storing what came panicked");
        }
    }

    /// Stores what has been verified.
    fn store_all(mut self, batches: &Receiver<Vec<Verified>>) {
        let _tells = TellsIfItPanics(self.notes.clone());
        let mut undecided = self.landing.clone();
        for batch in batches {
            // Where leaves go is decided by the root, and cannot be before it has come: a lie may be
            // the first answer.
            if undecided.is_some()
                && self.store.has(&self.root).unwrap_or(false)
                && let Some(landing) = undecided.take()
            {
                landing.wait_for_decision();
            }
            if let Err(end) = self.take_in(batch) {
                // Nobody listens any more if the session has ended otherwise.
                let _ = self.notes.blocking_send(Note::End(end));
                break;
            }
        }
        // The session's own end commits the rest, and says what fails.
        let _ = self.join_commit();
    }

    /// Waits for the commit that runs, if one does.
    fn join_commit(&mut self) -> Result<(), End> {
        match self.commit.take().map(JoinHandle::join) {
            Some(Ok(result)) => Ok(result?),
            Some(Err(_)) => Err(End::Database("a commit panicked".to_owned())),
            None => Ok(()),
        }
    }

    fn take_in(&mut self, sorted: Vec<Verified>) -> Result<(), End> {
        let blocks: Vec<Block> = sorted
            .iter()
            .flat_map(|(_, _, sorted)| sorted.good.iter().map(|(block, _)| block.clone()))
            .collect();
        for block in &blocks {
            // No peer's fault: the content itself cannot be read.
            dag::links(block).map_err(End::Dag)?;
        }
        let lands = if let Some(landing) = &self.landing {
            landing.put(&*self.store, &blocks)?
        } else {
            self.store.put_many(&blocks, Write::Bulk)?;
            false
        };
        if let Some(root) = blocks.iter().find(|block| *block.cid() == self.root) {
            let _ = self.notes.blocking_send(Note::Total(sort::total(root)));
        }
        let mut events = Vec::with_capacity(sorted.len());
        for (request, over, sorted) in sorted {
            let mut outcomes = sorted.missing;
            for (block, bits) in &sorted.good {
                outcomes.push(Outcome::Stored(sort::describe(&*self.store, block, bits)?));
            }
            let Sorted { more, lie, .. } = sorted;
            events.push(Event::Answer(Answer {
                request,
                blocks: outcomes,
                more,
                lie,
                over,
            }));
        }
        // What came before is taken first: a reader who follows would have to read this from disk again.
        self.shared.wait_for_room();
        // The driver hears of blocks before readers do: one who reads on asks for their children, which
        // the scheduler must know by then.
        for event in events {
            let _ = self.notes.blocking_send(Note::Event(event));
        }
        // Nobody follows a download into a file.
        self.shared.arrived(&blocks, !lands);
        self.uncommitted += blocks
            .iter()
            .map(|block| block.data().len() as u64)
            .sum::<u64>();
        if self.uncommitted >= COMMIT_BYTES {
            self.join_commit()?;
            let store = Arc::clone(&self.store);
            let landing = self.landing.clone();
            self.commit = Some(thread::spawn(move || {
                // A reference is not durable before the bytes that it speaks of.
                landing.map_or(Ok(()), |landing| landing.sync())?;
                store.commit()
            }));
            self.uncommitted = 0;
        }
        Ok(())
    }
}

/// What is taken in together.
#[derive(Default)]
struct Batch {
    /// Each with the number of its blocks.
    jobs: Vec<(Job, usize)>,
    /// The blocks of all of them, in their order.
    blocks: Vec<(Cid, Bytes)>,
}

impl Batch {
    /// All that is there, and what comes while there is patience and room beside those that are hashed at once.
    fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>, patience: Duration) -> Self {
        let until = Instant::now() + patience;
        let mut batch = Self::default();
        let mut next = Some(first);
        while let Some(job) = next {
            batch.push(job);
            if batch.blocks.len() >= TOGETHER {
                break;
            }
            next = jobs.try_recv().ok().or_else(|| {
                let left = until.saturating_duration_since(Instant::now());
                if batch.blocks.len().is_multiple_of(LANES) || left.is_zero() {
                    return None;
                }
                let more = async { tokio::time::timeout(left, jobs.recv()).await };
                Handle::current().block_on(more).ok()?
            });
        }
        batch
    }

    fn push(&mut self, job: Job) {
        let before = self.blocks.len();
        self.blocks.extend(job.claims.items());
        self.jobs.push((job, self.blocks.len() - before));
    }

    /// Verifies the blocks of all answers together, and sorts each answer out.
    fn verify(self) -> Vec<Verified> {
        let mut results = Vec::with_capacity(self.blocks.len());
        let mut blocks = self.blocks.into_iter();
        while blocks.len() > 0 {
            results.extend(Block::verify_many(blocks.by_ref().take(LANES).collect()));
        }
        let mut results = results.into_iter();
        let sort = |(job, count): (Job, usize)| {
            let own = results.by_ref().take(count).collect();
            (job.request, job.over, job.claims.sort(own))
        };
        self.jobs.into_iter().map(sort).collect()
    }
}

/// Looks a block up on this machine's disk, for the scheduler, and then for readers; a rotten one
/// counts as missing.
pub(super) fn look_up(
    store: &dyn Blockstore,
    shared: &Shared,
    notes: &mpsc::Sender<Note>,
    cid: Cid,
) -> Result<(), End> {
    let block = here(store, &cid)?;
    let event = match &block {
        Some(block) => Event::Found(sort::describe(store, block, &Bits::default())?),
        None => Event::Absent(cid),
    };
    if let Some(root) = block.as_ref().filter(|_| cid == shared.root) {
        let _ = notes.blocking_send(Note::Total(sort::total(root)));
    }
    let _ = notes.blocking_send(Note::Event(event));
    if let Some(block) = block {
        shared.provide(block);
    }
    Ok(())
}
