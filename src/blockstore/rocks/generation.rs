//! Generations of blocks: what was put since when.

use std::sync::atomic::Ordering;

use super::batch::Writer;
use super::lease::{Lease, Leases};
use super::{RocksStore, StoreError};
use crate::blockstore::schema::{self, META};

/// Generations that are reserved at once: no write for each of them.
const RESERVE: u64 = 1 << 20;

impl RocksStore {
    /// Opens a lease: what is put or met from now on is not removed while it lives.
    #[must_use]
    pub fn lease(&self) -> Lease {
        // Under the writer, so that no collection begins in between.
        let mut writer = self.writer();
        let generation = self.begin_generation(&mut writer);
        Leases::open(&self.leases, generation)
    }

    /// Begins a new generation, and returns it: what is put from now on is told from what was before.
    pub(crate) fn next_generation(&self) -> u64 {
        self.begin_generation(&mut self.writer())
    }

    fn begin_generation(&self, writer: &mut Writer) -> u64 {
        let next = writer.generation + 1;
        if next >= writer.reserved {
            let reserved = next + RESERVE;
            let mut value = Vec::new();
            schema::put_varint(&mut value, reserved);
            // It is in the same log and the same flush as the blocks that bear it. Where nothing can
            // be written, no block will.
            match self.table_write(META, &[(schema::GENERATION.to_vec(), Some(value))]) {
                Ok(()) => writer.reserved = reserved,
                Err(error) => tracing::debug!(%error, "no generations were reserved"),
            }
        }
        writer.generation = next;
        next
    }

    /// One that no block on disk has.
    pub(super) fn load_generation(&self) -> Result<u64, StoreError> {
        let value = self.table_get(META, schema::GENERATION)?;
        let generation = value.and_then(|value| schema::take_varint(&mut value.as_slice()));
        Ok(generation.unwrap_or(0))
    }

    /// Notes that somebody reads or writes.
    pub(super) fn note_traffic(&self) {
        self.traffic.fetch_add(1, Ordering::Relaxed);
    }

    /// How often somebody read or wrote.
    pub(crate) fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }
}
