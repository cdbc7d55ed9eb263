//! What time does to records: wishes expire, tombstones go, and who was away too long begins anew.

use store::Cid;
use store::blockstore::StoreError;
use store::records::Records;
use store::wire::member::MemberId;

use super::edit::Edit;
use super::row::{self, ALIVE, EXPIRES, RESYNC, Row, TOMBSTONE};
use super::{KEPT, Pins};

/// Records that one call looks at: a tenth of a second's work.
const AT_ONCE: usize = 4096;

impl Pins {
    /// Does what the time of day asks for: says which roots an owner wants no longer because its wish has expired,
    /// and forgets tombstones, and wishes that expired more than [`KEPT`] ago. Durable when it returns. To be called
    /// every minute or so, and at once again while it says anything: each call does a bounded part of it.
    ///
    /// Also notes that this member runs.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn expire(&self, now: u64) -> Result<Vec<Cid>, StoreError> {
        let mut state = self.state();
        let mut edit = Edit::default();
        let mut roots = Vec::new();
        for (at, place) in self.due(EXPIRES, now)? {
            self.expire_one(at, &place, now, &mut edit, &mut roots)?;
        }
        for (at, place) in self.due(TOMBSTONE, now)? {
            let tombstone = self.row_at(&place)?;
            let tombstone = tombstone.filter(|row| row.record.wanted.is_none());
            match tombstone {
                Some(row) if row.taken.saturating_add(KEPT) <= now => edit.remove(&row),
                _ => edit.clear(row::timed(TOMBSTONE, at, &place)),
            }
        }
        edit.set(ALIVE.to_vec(), now.to_be_bytes().to_vec());
        state.write(&self.records, edit)?;
        drop(state);
        self.records.sync()?;
        roots.sort_unstable();
        roots.dedup();
        Ok(roots)
    }

    fn expire_one(
        &self,
        at: u64,
        place: &[u8],
        now: u64,
        edit: &mut Edit,
        roots: &mut Vec<Cid>,
    ) -> Result<(), StoreError> {
        let row = self.row_at(place)?;
        let Some((expires, row)) = row.and_then(|row| Some((row.expires()?, row))) else {
            edit.clear(row::timed(EXPIRES, at, place));
            return Ok(());
        };
        if at == expires {
            roots.push(row.record.root);
        }
        let end = expires.saturating_add(KEPT);
        if end <= now {
            edit.remove(&row);
        } else {
            edit.clear(row::timed(EXPIRES, at, place));
            edit.set(row::timed(EXPIRES, end, place), Vec::new());
        }
        Ok(())
    }

    /// Whether this member was away longer than others remember what was withdrawn. It has discarded what others
    /// wanted, and gives nothing out before it has compared its records with another member's and said so
    /// ([`Pins::resynced`]).
    #[must_use]
    pub fn needs_resync(&self) -> bool {
        self.state().resync
    }

    /// It has learned anew what others want.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn resynced(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        self.records.delete(RESYNC)?;
        state.resync = false;
        drop(state);
        self.records.sync()
    }

    fn row_at(&self, place: &[u8]) -> Result<Option<Row>, StoreError> {
        row::key_of(place).map_or(Ok(None), |key| self.row(&key))
    }

    /// Rows whose time has come, [`AT_ONCE`] at most.
    fn due(&self, kind: u8, now: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut due = Vec::new();
        self.records.for_prefix(&[kind], &mut |key, _| {
            let timed = row::timed_in(key).filter(|(at, _)| *at <= now);
            let more = timed.is_some() && due.len() < AT_ONCE;
            due.extend(timed);
            more
        })?;
        Ok(due)
    }
}

/// Before anything else: looks how long this member was away.
pub(super) fn come_back(records: &Records, me: MemberId, now: u64) -> Result<(), StoreError> {
    let alive = records.get(ALIVE)?;
    let alive = alive.and_then(|bytes| Some(row::number(&bytes)?.0));
    if alive.is_some_and(|alive| now.saturating_sub(alive) > KEPT) {
        tracing::warn!(
            days = KEPT / 86_400,
            "this member was away for longer than withdrawn pins are remembered: it learns anew what others want"
        );
        // If it ends in between, it begins again: the last time of running changes only behind it.
        records.put(RESYNC, &[])?;
        discard(records, me)?;
    }
    records.put(ALIVE, &now.to_be_bytes())?;
    records.sync()
}

/// Removes the records of all others.
fn discard(records: &Records, me: MemberId) -> Result<(), StoreError> {
    let mut start = Some(vec![row::RECORD]);
    while let Some(from) = start.take() {
        let mut edit = Edit::default();
        let mut failed = None;
        records.for_each_from(&from, &mut |key, value| {
            if key.first() != Some(&row::RECORD) {
                return false;
            }
            if edit.changes().len() >= AT_ONCE {
                start = Some(key.to_vec());
                return false;
            }
            match Row::decode(value) {
                Ok(row) if row.record.owner != me => edit.remove(&row),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        records.write_batch(edit.changes())?;
    }
    Ok(())
}
