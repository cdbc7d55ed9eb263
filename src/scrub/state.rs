//! [`ScrubState`]: how far a scrub is, as it is kept in the family `default` under the key `scrub`.

use super::Examined;
use crate::blockstore::{RocksStore, StoreError, schema};

/// How far the scrub is. Times are in seconds since 1970; 0 is never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubState {
    /// When the pass began that is under way, or is the last.
    pub started: u64,
    /// When the last pass ended that looked at everything.
    pub finished: u64,
    /// Blocks that this pass has looked at.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What this pass has found.
    pub found: u64,
    /// Where it goes on; nothing at its end.
    cursor: Option<Vec<u8>>,
}

impl ScrubState {
    /// As the database has it. One that cannot be read is one that never began.
    pub fn of(store: &RocksStore) -> Result<Self, StoreError> {
        let value = store.table_get(schema::META, schema::SCRUB)?;
        Ok(value
            .and_then(|value| Self::decode(&value))
            .unwrap_or_default())
    }

    /// Whether this pass has looked at everything.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.started != 0 && self.cursor.is_none()
    }

    pub(super) fn cursor(&self) -> &[u8] {
        self.cursor.as_deref().unwrap_or_default()
    }

    pub(super) fn begin(&mut self, now: u64) {
        *self = Self {
            started: now.max(1),
            finished: self.finished,
            cursor: Some(Vec::new()),
            ..Self::default()
        };
    }

    pub(super) fn note(&mut self, examined: &Examined, next: Option<Vec<u8>>, now: u64) {
        self.blocks += examined.blocks;
        self.bytes += examined.bytes;
        self.found += examined.findings.len() as u64;
        if next.is_none() {
            self.finished = now;
        }
        self.cursor = next;
    }

    /// Five varints in the order of the fields, then nothing at the end of a pass, or a 1 and the
    /// cursor.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [
            self.started,
            self.finished,
            self.blocks,
            self.bytes,
            self.found,
        ] {
            schema::put_varint(&mut out, number);
        }
        if let Some(cursor) = &self.cursor {
            out.push(1);
            out.extend_from_slice(cursor);
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || schema::take_varint(&mut bytes);
        let (started, finished, blocks) = (number()?, number()?, number()?);
        let (bytes_done, found) = (number()?, number()?);
        let cursor = match bytes.split_first() {
            None => None,
            Some((1, cursor)) => Some(cursor.to_vec()),
            Some(_) => return None,
        };
        Some(Self {
            started,
            finished,
            blocks,
            bytes: bytes_done,
            found,
            cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back() {
        let state = ScrubState {
            started: 300,
            finished: 1,
            blocks: 2,
            bytes: 1 << 40,
            found: 3,
            cursor: Some(vec![0x12, 0x20, 7]),
        };
        assert_eq!(ScrubState::decode(&state.encode()), Some(state.clone()));
        let done = ScrubState {
            cursor: None,
            ..state
        };
        assert_eq!(ScrubState::decode(&done.encode()), Some(done.clone()));
        assert!(done.is_done());
        assert_eq!(ScrubState::decode(&[1, 2]), None);
    }
}
