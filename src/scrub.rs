//! Whether what is on disk is what was written: [`Scrub`] looks at all of it in the background, again
//! and again; [`Pass`] and [`Dag`] look at all of it, or at one DAG, now.
//!
//! A block whose bytes are not what they should be counts as missing from then on, so that it is
//! fetched again, and put again. What it links to stays known, and stays kept.

mod dag;
mod examine;
mod finding;
mod pace;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::blockstore::{RocksStore, StoreError, schema};
use crate::pin;

pub use self::dag::Dag;
pub(crate) use self::finding::cid_of;
pub use self::finding::{Finding, Kind};
pub use self::state::ScrubState;

use self::examine::examine;

/// Blocks that were looked at together, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Examined {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many were looked at.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One pass over all blocks of a store, in the order of their keys.
pub struct Pass {
    store: Arc<RocksStore>,
    /// Where it goes on; `None` at its end.
    next: Option<Vec<u8>>,
}

impl Pass {
    /// From the first block.
    #[must_use]
    pub const fn new(store: Arc<RocksStore>) -> Self {
        Self::from(store, Vec::new())
    }

    const fn from(store: Arc<RocksStore>, key: Vec<u8>) -> Self {
        Self {
            store,
            next: Some(key),
        }
    }

    /// Looks at some more blocks, 16 MiB or 512 of them; `None` when all were looked at. Rotten ones are
    /// marked, and those that were and can be read again are so no longer.
    pub fn step(&mut self) -> Result<Option<Examined>, StoreError> {
        let Some(from) = self.next.take() else {
            return Ok(None);
        };
        let mut rows = self.store.rows(&from);
        self.next = rows.next.take();
        let mut examined = examine(&self.store, rows.found)?;
        let damage = rows.damage.into_iter().map(Finding::table);
        examined.findings.extend(damage);
        Ok(Some(examined))
    }
}

/// The scrub of a repo. What it has done is kept in the database, so that it goes on after a restart.
pub struct Scrub {
    store: Arc<RocksStore>,
    interval: Duration,
    state: ScrubState,
    /// Until the next step.
    pause: Duration,
}

impl Scrub {
    /// A scrub that looks at everything once in `interval`.
    pub fn new(store: Arc<RocksStore>, interval: Duration) -> Result<Self, StoreError> {
        let state = ScrubState::of(&store)?;
        let mut scrub = Self {
            store,
            interval,
            state,
            pause: Duration::ZERO,
        };
        scrub.pause = scrub.rest(Duration::ZERO).min(pace::FIRST);
        Ok(scrub)
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> &ScrubState {
        &self.state
    }

    /// How long to wait before the next step.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// Looks at some more blocks, and notes where it is. Begins again behind the last one, once the
    /// interval is over.
    pub fn step(&mut self) -> Result<Examined, StoreError> {
        let now = pin::now();
        if self.state.is_done() {
            if !self.is_over(now) {
                self.pause = self.rest(Duration::ZERO);
                return Ok(Examined::default());
            }
            self.state.begin(now);
        } else if self.state.started == 0 {
            self.state.begin(now);
        }
        let begun = Instant::now();
        let mut pass = Pass::from(Arc::clone(&self.store), self.state.cursor().to_vec());
        let examined = pass.step()?.unwrap_or_default();
        for finding in &examined.findings {
            tracing::warn!(%finding, "found by the scrub");
        }
        self.state.note(&examined, pass.next, pin::now());
        let change = (schema::SCRUB.to_vec(), Some(self.state.encode()));
        self.store.table_write(schema::META, &[change])?;
        self.pause = self.rest(begun.elapsed());
        Ok(examined)
    }

    fn is_over(&self, now: u64) -> bool {
        // Where the clock was set back, it is over too.
        now < self.state.started || now - self.state.started >= self.interval.as_secs()
    }

    fn rest(&self, took: Duration) -> Duration {
        let elapsed = Duration::from_secs(pin::now().saturating_sub(self.state.started));
        pace::pause(&pace::Pace {
            interval: self.interval,
            elapsed: if self.state.started == 0 {
                Duration::ZERO
            } else {
                elapsed
            },
            total: self.store.live_bytes(),
            done: self.state.bytes,
            is_done: self.state.is_done(),
            took,
        })
    }
}

#[cfg(test)]
mod tests;
