//! [`Durability`]: what has been written, and how much of it is known to survive a loss of power.
//!
//! Invariant: a write that returned before a commit began is durable when that commit returns. So
//! that a block which one thread skips, because another has just written it, is covered too, a write
//! counts from before its first byte.

use std::sync::{Mutex, PoisonError};

use super::super::{StoreError, Write};

/// Counts of writes of each kind, and the error that ended all writing.
#[derive(Debug, Default)]
pub(super) struct Durability(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged: Track,
    bulk: Track,
    failed: Option<Failure>,
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
            let mark = Mark {
                logged: state.logged.finished,
                bulk: state.bulk.finished,
            };
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

    /// Refuses if anything failed before: a database that could not write once is read-only until it
    /// is opened again, and the kernel forgets what it failed to sync.
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
            state.failed.get_or_insert(failure);
        });
        result
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // Each critical section is a few additions: a panic cannot leave it half done.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
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

    #[test]
    fn after_a_failure_no_commit_succeeds() {
        let durability = Durability::default();
        let full = || StoreError::Full {
            reason: "no space".into(),
        };
        done(&durability, Write::Bulk);
        let pending = durability.pending().unwrap();
        assert!(durability.settle(pending, Err(full())).is_err());
        assert!(matches!(durability.pending(), Err(StoreError::Full { .. })));
        assert!(durability.write(Write::Logged, || Ok(())).is_err());
    }
}
