//! [`Writer`]: what the swarm remembers goes to disk behind its back, so that its task never waits for
//! a disk (I4).
//!
//! All of it is soft state (peers, provider records, roots to announce), which the swarm tells again:
//! when the disk falls behind by more than [`QUEUE`] records, the newest are not written. That costs a
//! lookup after a restart, no more.

use std::sync::Arc;

use store::blockstore::StoreError;
use store::records::Family;
use store::repo::Repo;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;

/// Records that wait for the disk at most: 10 MiB of the largest.
const QUEUE: usize = 8192;

/// Records that are written together at most.
const BATCH: usize = 512;

/// One change of a family; no value deletes the key.
#[derive(Debug)]
struct Change {
    family: Family,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// The swarm's end of the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Change>,
    metrics: Metrics,
}

/// Tells when everything has been written, after the last [`Writer`] is gone.
pub(crate) type Written = oneshot::Receiver<()>;

impl Writer {
    /// Starts the thread that writes to `repo`.
    pub(crate) fn start(repo: Arc<Repo>, metrics: Metrics) -> (Self, Written) {
        let (queue, changes) = mpsc::channel(QUEUE);
        let (done, written) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            write(&repo, changes);
            // Whoever waits may want to open it again.
            drop(repo);
            // Who does not wait for it does not care.
            let _ = done.send(());
        });
        (Self { queue, metrics }, written)
    }

    pub(crate) fn put(&self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        self.change(Change {
            family,
            key,
            value: Some(value),
        });
    }

    pub(crate) fn delete(&self, family: Family, key: Vec<u8>) {
        self.change(Change {
            family,
            key,
            value: None,
        });
    }

    fn change(&self, change: Change) {
        if self.queue.try_send(change).is_err() {
            self.metrics.swarm().unwritten.inc();
        }
    }
}

fn write(repo: &Repo, mut changes: mpsc::Receiver<Change>) {
    let mut batch = Vec::new();
    while changes.blocking_recv_many(&mut batch, BATCH) > 0 {
        if let Err(error) = write_batch(repo, &mut batch) {
            tracing::warn!(%error, "what was learned of the swarm could not be written");
        }
        batch.clear();
    }
}

fn write_batch(repo: &Repo, batch: &mut [Change]) -> Result<(), StoreError> {
    for family in [Family::Peers, Family::Providers, Family::Roots] {
        let changes: Vec<_> = batch
            .iter_mut()
            .filter(|change| change.family == family)
            .map(|change| (std::mem::take(&mut change.key), change.value.take()))
            .collect();
        if !changes.is_empty() {
            repo.records(family).write_batch(&changes)?;
        }
    }
    Ok(())
}
