//! [`Upkeep`]: what a node does for its repo by itself, on a thread of its own, a little at a time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use store::blockstore::StoreError;
use store::gc::{Collection, SPARE};
use store::repo::Repo;

/// How often it looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(60);
/// How often it looks for what interrupted commands left behind. The first time after a look or two,
/// when the node is up and quiet.
const ORPHANS: Duration = Duration::from_secs(24 * 60 * 60);
/// From here on, in bytes on disk for each hundred stored ones, space is given back.
const WASTEFUL: u64 = 125;
/// Room is made when less than this part of the quota is free, before a command has to wait for it.
const FREE: u64 = 20;

/// The thread; ends with this value, after what it does just now.
#[derive(Debug)]
pub(crate) struct Upkeep {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn is_set(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long; whether it was stopped.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Upkeep {
    /// Begins to look after `repo`.
    pub(crate) fn start(repo: Arc<Repo>) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("upkeep".into())
            .spawn(move || run(&repo, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.set();
        // It may be rewriting files, which takes as long as it takes and may be cut off at any time:
        // it is not waited for. Otherwise it ends at once.
        drop(self.thread.take());
    }
}

fn run(repo: &Repo, stop: &Stop) {
    let mut orphans = Instant::now();
    while !stop.wait(LOOK) {
        let mut work = || -> Result<(), StoreError> {
            let collector = repo.collector();
            if let Some(quota) = repo.blocks().quota() {
                collector.evict(quota / FREE)?;
            }
            if orphans <= Instant::now() {
                orphans = Instant::now() + ORPHANS;
                collector.collect(&Collection {
                    cache: false,
                    dry: false,
                    gentle: true,
                    watch: &|_| !stop.is_set(),
                })?;
            }
            if !stop.is_set() {
                collector.reclaim(WASTEFUL, SPARE)?;
            }
            Ok(())
        };
        if let Err(error) = work() {
            tracing::warn!(%error, "looking after the repo failed; it is tried again");
        }
    }
}
