//! [`Session`]: one download, from all who have it.
//!
//! The decisions are the scheduler's; here are the hands. The *driver*, a task, tells the scheduler
//! what happens and does what it says. The *intake*, a blocking thread, verifies answers and stores
//! them: nothing reaches the store or a reader that is not a [`Block`](store::Block) (I1). Readers
//! block in a [`SessionSource`].

mod asked;
mod candidates;
mod deeds;
mod driver;
mod intake;
mod rate;
mod shared;
mod sort;
mod source;
mod sources;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use store::Cid;
use store::blockstore::Blockstore;
use store::dag::SourceError;
use store::wire::Urgency;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::driver::Driver;
use self::shared::Shared;
pub use self::source::SessionSource;
pub use self::sources::SourceProgress;
use super::budget::Budget;
use super::landing::Landing;
use super::outbound::Outbound;
use super::scheduler::Task;
pub use super::scheduler::{Mode, Phase};

/// What a session is to do.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Where to look first: addresses from a link, say.
    pub addresses: Vec<Multiaddr>,
    /// How much of the content to fetch.
    pub mode: Mode,
    /// What it is for: a reader gets more of what all downloads may take than a download, and that
    /// more than a copy in the background.
    pub urgency: Urgency,
    /// Give up after this long without anything new.
    pub stall: Duration,
    /// A file that leaves go to instead of the store, once that is decided.
    pub landing: Option<Arc<Landing>>,
}

/// How far a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionProgress {
    /// What it does.
    pub phase: Phase,
    /// Peers that it asks.
    pub peers: usize,
    /// Bytes of the content's blocks that are here, as far as it has been walked.
    pub bytes_done: u64,
    /// Bytes of all blocks, as the root claims; known once the root is here, and the whole is fetched.
    pub bytes_total_hint: Option<u64>,
    /// Blocks that are here, as far as the content has been walked.
    pub blocks_done: u64,
    /// Bytes that came from peers.
    pub bytes_fetched: u64,
    /// Bytes per second from peers, over the last seconds.
    pub rate: u64,
    /// Peers that gave something, who gave most first; at most 64.
    pub sources: Vec<SourceProgress>,
    /// Per cent of each 64th of the content, in its order, that are here; empty before anything of it
    /// is known.
    pub strip: Vec<u8>,
}

/// A download. Dropping it ends it; what has come stays in the store.
pub struct Session {
    shared: Arc<Shared>,
    store: Arc<dyn Blockstore>,
    progress: watch::Receiver<SessionProgress>,
    _cancel: DropGuard,
}

impl Session {
    /// Begins. Must be called within a tokio runtime.
    pub(super) fn start(
        outbound: Arc<dyn Outbound>,
        store: Arc<dyn Blockstore>,
        root: Cid,
        options: SessionOptions,
        budget: &Budget,
    ) -> Self {
        let mut share = budget.join(options.urgency);
        let limits = share.limits();
        let task = Task {
            root,
            mode: options.mode,
            stall: options.stall,
            limits,
            seed: rand::random(),
        };
        let cancel = CancellationToken::new();
        let shared = Arc::new(Shared::new(root, limits.total_bytes / 2));
        let (report, progress) = watch::channel(SessionProgress::default());
        let driver = Driver::new(
            outbound,
            Arc::clone(&store),
            (task, share),
            options.addresses,
            options.landing,
            &shared,
        );
        let (stop, ends) = (cancel.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // Whatever ends the driver, a panic too, readers must not wait for ever.
            let _wakes_readers = ends.ends_when_dropped();
            let driver = Box::pin(driver.run(report));
            stop.run_until_cancelled_owned(driver).await;
        });
        Self {
            shared,
            store,
            progress,
            _cancel: cancel.drop_guard(),
        }
    }

    /// A source for readers on blocking threads.
    #[must_use]
    pub fn source(&self) -> SessionSource {
        SessionSource::new(Arc::clone(&self.store), Arc::clone(&self.shared))
    }

    /// How far it is, now and whenever it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<SessionProgress> {
        self.progress.clone()
    }

    /// Waits until the whole content is here and durable. A session that fetches on demand has no
    /// such end: it waits until it fails.
    ///
    /// # Errors
    /// As for its readers.
    pub async fn finish(&self) -> Result<(), SourceError> {
        let mut progress = self.progress.clone();
        // Ends with the driver, which has told how it ended before.
        while progress.changed().await.is_ok() {}
        self.shared.result()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}
