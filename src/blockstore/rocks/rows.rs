//! Rows of the families `index` and `blocks` side by side, as a scrub and `verify` need them: each key
//! that either has, what the index says of it, and its bytes.
//!
//! A damaged table stops an iterator before it says at which key. The other family's keys then lead
//! past the damage, so that what is behind it is looked at too.

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};

use super::RocksStore;
use crate::blockstore::schema::{BLOCKS, Entry, INDEX};

/// Rows that are read together at most.
const ROWS: usize = 512;
/// Bytes of blocks that are read together, up to one block more: enough to fill a hasher's sixteen
/// lanes with any blocks that we make.
const BYTES: usize = 16 << 20;

/// One key, and what each of the two families has for it.
#[derive(Debug)]
pub(crate) struct Row {
    /// A multihash; an orphan's may be none.
    pub(crate) key: Vec<u8>,
    pub(crate) told: Told,
    pub(crate) held: Held,
}

/// What the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Entry(Entry),
    Nothing,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// What lies in `blocks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Bytes(Bytes),
    Nothing,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// Some rows, as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// In the order of their keys.
    pub(crate) found: Vec<Row>,
    /// Where the next rows begin; `None` at the end.
    pub(crate) next: Option<Vec<u8>>,
    /// What could not be looked at, since nothing leads past it.
    pub(crate) damage: Vec<String>,
}

/// One family, from a key on.
struct Cursor<'a> {
    rows: DBRawIteratorWithThreadMode<'a, DB>,
}

enum At<'a> {
    Key(&'a [u8]),
    End,
    Broken(String),
}

impl<'a> Cursor<'a> {
    fn new(
        snapshot: &'a SnapshotWithThreadMode<'a, DB>,
        family: &ColumnFamily,
        from: &[u8],
    ) -> Self {
        let mut options = ReadOptions::default();
        // One pass over everything must not push out what others need.
        options.fill_cache(false);
        let mut rows = snapshot.raw_iterator_cf_opt(family, options);
        rows.seek(from);
        Self { rows }
    }

    fn at(&self) -> At<'_> {
        match (self.rows.key(), self.rows.status()) {
            (Some(key), _) => At::Key(key),
            (None, Ok(())) => At::End,
            (None, Err(error)) => At::Broken(error.into_string()),
        }
    }

    fn value(&self) -> &[u8] {
        self.rows.value().unwrap_or_default()
    }
}

impl RocksStore {
    /// The rows from the key `from` on, some of them.
    pub(crate) fn rows(&self, from: &[u8]) -> Rows {
        // Of one moment: a block is put and removed with its entry, and is never seen without.
        let snapshot = self.db.snapshot();
        let mut index = Cursor::new(&snapshot, self.family(INDEX), from);
        let mut blocks = Cursor::new(&snapshot, self.family(BLOCKS), from);
        let mut rows = Rows::default();
        let mut bytes = 0;
        while let Some(row) = self.next_row(&snapshot, &mut index, &mut blocks, &mut rows.damage) {
            if let Held::Bytes(held) = &row.held {
                bytes += held.len();
            }
            let next = after(&row.key);
            rows.found.push(row);
            if rows.found.len() >= ROWS || bytes >= BYTES {
                rows.next = Some(next);
                break;
            }
        }
        rows
    }

    /// The next key that either of the two has, or lies behind what cannot be read; `None` at the end,
    /// or where nothing leads past the damage.
    fn next_row(
        &self,
        snapshot: &SnapshotWithThreadMode<'_, DB>,
        index: &mut Cursor<'_>,
        blocks: &mut Cursor<'_>,
        damage: &mut Vec<String>,
    ) -> Option<Row> {
        Some(match (index.at(), blocks.at()) {
            (At::End, At::End) => return None,
            (At::Key(told), At::Key(held)) if told == held => {
                let row = row(told, decode(index.value()), copied(blocks));
                index.rows.next();
                blocks.rows.next();
                row
            }
            (At::Key(told), At::Key(held)) if told > held => {
                let row = row(held, Told::Nothing, copied(blocks));
                blocks.rows.next();
                row
            }
            (At::End, At::Key(held)) => {
                let row = row(held, Told::Nothing, copied(blocks));
                blocks.rows.next();
                row
            }
            (At::Key(told), At::Key(_) | At::End) => {
                let row = row(told, decode(index.value()), Held::Nothing);
                index.rows.next();
                row
            }
            (At::Key(told), At::Broken(reason)) => {
                let held = self.held(snapshot, told);
                if !matches!(held, Held::Unreadable(_)) {
                    // It was another one, of which the index knows nothing.
                    damage.push(format!("family `{BLOCKS}`: {reason}"));
                }
                let row = row(told, decode(index.value()), held);
                blocks.rows.seek(after(&row.key));
                index.rows.next();
                row
            }
            (At::Broken(reason), At::Key(held)) => {
                let told = self.told(snapshot, held);
                if !matches!(told, Told::Unreadable(_)) {
                    // It was another one, whose bytes are lost.
                    damage.push(format!("family `{INDEX}`: {reason}"));
                }
                let row = row(held, told, copied(blocks));
                index.rows.seek(after(&row.key));
                blocks.rows.next();
                row
            }
            (At::Broken(reason), _) => {
                damage.push(format!("family `{INDEX}`: {reason}"));
                return None;
            }
            (At::End, At::Broken(reason)) => {
                damage.push(format!("family `{BLOCKS}`: {reason}"));
                return None;
            }
        })
    }
}

/// The first key behind `key`.
pub(crate) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn row(key: &[u8], told: Told, held: Held) -> Row {
    Row {
        key: key.to_vec(),
        told,
        held,
    }
}

fn copied(blocks: &Cursor<'_>) -> Held {
    Held::Bytes(Bytes::copy_from_slice(blocks.value()))
}

fn decode(value: &[u8]) -> Told {
    Entry::decode(value).map_or_else(
        || Told::Unreadable("a malformed index entry".into()),
        Told::Entry,
    )
}

impl RocksStore {
    /// The rows of these keys, in their order; [`Told::Nothing`] and [`Held::Nothing`] where neither
    /// family has one.
    pub(crate) fn rows_of(&self, keys: &[Vec<u8>]) -> Vec<Row> {
        let snapshot = self.db.snapshot();
        let read = |key: &Vec<u8>| row(key, self.told(&snapshot, key), self.held(&snapshot, key));
        keys.iter().map(read).collect()
    }

    fn told(&self, snapshot: &SnapshotWithThreadMode<'_, DB>, key: &[u8]) -> Told {
        match snapshot.get_pinned_cf(self.family(INDEX), key) {
            Ok(Some(value)) => decode(&value),
            Ok(None) => Told::Nothing,
            Err(error) => Told::Unreadable(error.into_string()),
        }
    }

    fn held(&self, snapshot: &SnapshotWithThreadMode<'_, DB>, key: &[u8]) -> Held {
        match snapshot.get_pinned_cf(self.family(BLOCKS), key) {
            Ok(Some(value)) => Held::Bytes(Bytes::copy_from_slice(&value)),
            Ok(None) => Held::Nothing,
            Err(error) => Held::Unreadable(error.into_string()),
        }
    }
}
