//! [`Durability`]: what has been written, and how much of it is known to survive a loss of power.
//!
//! Invariant: a write that returned before a commit began is durable when that commit returns. So
//! that a block which one thread skips, because another has just written it, is covered too, a write
//! counts from before its first byte.
//!
//! A disk that was full does not end it for good: RocksDB keeps in memory what it could not write, and
//! flushes all of it once there is room, since it no longer trusts its log. A flush of all families that
//! succeeds after that shows that everything which was finished when it began is durable. Of
//! every other failure nobody knows what it took.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::{StoreError, Write};

/// How often it is tried whether a full disk has room again.
const RETRY: Duration = Duration::from_secs(1);

/// Counts of writes of each kind, and the error that ended all writing.
#[derive(Debug, Default)]
pub(super) struct Durability(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged: Track,
    bulk: Track,
    failed: Option<Failure>,
    /// When the disk may be tried again, once it was full.
    retry: Option<Instant>,
}

/// Three counts; `durable <= finished <= started`.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    started: u64,
    finished: u64,
    /// So many of the finished ones are known to be durable.
    durable: u64,
}

impl Track {
    const fn is_pending(self) -> bool {
        self.started > self.durable
    }
}

/// What a commit must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// Everything is durable.
    Nothing,
    /// Sync the log.
    Sync(Mark),
    /// Flush the memtables.
    Flush(Mark),
}

/// The writes that were finished when a commit began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    logged: u64,
    bulk: u64,
}

/// Why nothing more is written.
#[derive(Clone, Debug)]
enum Failure {
    Full(String),
    Damaged(String),
    Database(String),
}

impl Durability {
    /// Runs one write, between its two counts.
    pub(super) fn write<T>(
        &self,
        write: Write,
        run: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check()?;
        self.with(|state| state.track(write).started += 1);
        let result = run();
        // A failed write counts as finished too: some of it may be there.
        self.with(|state| state.track(write).finished += 1);
        self.noting(result)
    }

    /// What a commit that begins now must do. Refuses after a failure: what RocksDB holds in memory
    /// then can no longer be brought to disk, and no later success may hide that.
    pub(super) fn pending(&self) -> Result<Pending, StoreError> {
        self.check()?;
        Ok(self.with(|state| {
            let mark = state.finished();
            if state.bulk.is_pending() {
                Pending::Flush(mark)
            } else if state.logged.is_pending() {
                Pending::Sync(mark)
            } else {
                Pending::Nothing
            }
        }))
    }

    /// Notes how a sync or flush that began after `pending` ended.
    pub(super) fn settle(
        &self,
        pending: Pending,
        result: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.noting(result)?;
        self.with(|state| match pending {
            Pending::Nothing => {}
            Pending::Sync(mark) => state.logged.durable = state.logged.durable.max(mark.logged),
            // Logged blocks are in the same memtables.
            Pending::Flush(mark) => {
                state.logged.durable = state.logged.durable.max(mark.logged);
                state.bulk.durable = state.bulk.durable.max(mark.bulk);
            }
        });
        Ok(())
    }

    /// After a full disk, when it is time to look: what a flush of everything that succeeds makes
    /// durable. To one caller at a time.
    pub(super) fn retry(&self, now: Instant) -> Option<Pending> {
        self.with(|state| {
            let is_full = matches!(state.failed, Some(Failure::Full(_)));
            if !is_full || state.retry.is_some_and(|retry| now < retry) {
                return None;
            }
            state.retry = Some(now + RETRY);
            Some(Pending::Flush(state.finished()))
        })
    }

    /// That flush has succeeded: it goes on.
    pub(super) fn resume(&self, pending: Pending) -> Result<(), StoreError> {
        self.with(|state| {
            // Another failure meanwhile may be of another kind.
            if matches!(state.failed, Some(Failure::Full(_))) {
                state.failed = None;
            }
        });
        self.settle(pending, Ok(()))?;
        self.check()
    }

    /// Refuses if anything failed before: a database that could not write once is read-only until it
    /// is opened again, or the disk has room again; the kernel forgets what it failed to sync.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.with(|state| match state.failed.clone() {
            None => Ok(()),
            Some(Failure::Full(reason)) => Err(StoreError::Full { reason }),
            Some(Failure::Damaged(reason)) => Err(StoreError::Damaged { reason }),
            Some(Failure::Database(reason)) => Err(StoreError::Database { reason }),
        })
    }

    /// Remembers a failure to write.
    pub(super) fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let failure = match &result {
            Err(StoreError::Full { reason }) => Failure::Full(reason.clone()),
            Err(StoreError::Damaged { reason }) => Failure::Damaged(reason.clone()),
            Err(StoreError::Database { reason }) => Failure::Database(reason.clone()),
            _ => return result,
        };
        self.with(|state| {
            // The first one that is for good stays, and no full disk hides it.
            if matches!(state.failed, None | Some(Failure::Full(_))) {
                state.failed = Some(failure);
            }
        });
        result
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // Each critical section is a few additions: a panic cannot leave it half done.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    const fn finished(&self) -> Mark {
        Mark {
            logged: self.logged.finished,
            bulk: self.bulk.finished,
        }
    }

    const fn track(&mut self, write: Write) -> &mut Track {
        match write {
            Write::Logged => &mut self.logged,
            Write::Bulk => &mut self.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(durability: &Durability, write: Write) {
        durability.write(write, || Ok(())).unwrap();
    }

    #[test]
    fn a_small_add_that_meets_an_unflushed_bulk_add_flushes() {
        let durability = Durability::default();
        assert_eq!(durability.pending().unwrap(), Pending::Nothing);
        done(&durability, Write::Logged);
        assert!(matches!(durability.pending().unwrap(), Pending::Sync(_)));
        done(&durability, Write::Bulk);
        let pending = durability.pending().unwrap();
        assert!(matches!(pending, Pending::Flush(_)));
        durability.settle(pending, Ok(())).unwrap();
        assert_eq!(durability.pending().unwrap(), Pending::Nothing);
    }

    #[test]
    fn a_write_under_way_during_a_flush_is_not_taken_for_durable() {
        let durability = Durability::default();
        done(&durability, Write::Bulk);
        let pending = durability
            .write(Write::Bulk, || {
                let pending = durability.pending()?;
                durability.settle(pending, Ok(()))?;
                durability.pending()
            })
            .unwrap();
        assert!(
            matches!(pending, Pending::Flush(_)),
            "others may have seen its blocks"
        );
        assert!(matches!(durability.pending().unwrap(), Pending::Flush(_)));
    }

    #[test]
    fn two_commits_at_once_settle_once() {
        let durability = Durability::default();
        done(&durability, Write::Bulk);
        let first = durability.pending().unwrap();
        done(&durability, Write::Bulk);
        let second = durability.pending().unwrap();
        durability.settle(second, Ok(())).unwrap();
        durability.settle(first, Ok(())).unwrap();
        assert_eq!(durability.pending().unwrap(), Pending::Nothing);
    }

    fn full() -> StoreError {
        StoreError::Full {
            reason: "no space".into(),
        }
    }

    #[test]
    fn a_full_disk_that_has_room_again_is_written_to_again() {
        let durability = Durability::default();
        let start = Instant::now();
        assert_eq!(durability.retry(start), None);
        done(&durability, Write::Bulk);
        assert!(
            durability
                .write(Write::Logged, || Err::<(), _>(full()))
                .is_err()
        );
        let pending = durability.retry(start).unwrap();
        assert_eq!(durability.retry(start), None, "one at a time");
        // That flush has failed.
        assert!(durability.check().is_err());
        let again = start + RETRY;
        assert_eq!(durability.retry(again), Some(pending));
        durability.resume(pending).unwrap();
        assert_eq!(durability.pending().unwrap(), Pending::Nothing);
        done(&durability, Write::Logged);

        // What is worse is not forgiven, whether it came before or after.
        let damaged = || StoreError::Damaged {
            reason: "gone".into(),
        };
        assert!(durability.noting(Err::<(), _>(full())).is_err());
        let pending = durability.retry(again + RETRY).unwrap();
        assert!(durability.noting(Err::<(), _>(damaged())).is_err());
        assert!(durability.resume(pending).is_err());
        assert!(durability.noting(Err::<(), _>(full())).is_err());
        assert_eq!(durability.retry(again + RETRY * 2), None);
        assert!(matches!(
            durability.check(),
            Err(StoreError::Damaged { .. })
        ));
    }

    #[test]
    fn after_a_failure_no_commit_succeeds() {
        let durability = Durability::default();
        done(&durability, Write::Bulk);
        let pending = durability.pending().unwrap();
        assert!(durability.settle(pending, Err(full())).is_err());
        assert!(matches!(durability.pending(), Err(StoreError::Full { .. })));
        assert!(durability.write(Write::Logged, || Ok(())).is_err());
    }
}
