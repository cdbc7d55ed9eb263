//! [`Adds`]: what was added before, and from which files: so that an unchanged file is not read again,
//! and one that was cut off is read from where it was.
//!
//! In the family `adds` (docs/storage.md has the bytes). A row is about one path and one [`Shape`]. It
//! is written after the blocks that it speaks of are durable, and it keeps nothing: whoever uses it
//! looks whether they are there still. It says when it was used last, to the day, and goes when that is
//! [`FORGET_AFTER_DAYS`] ago: files that vanished age out.

mod row;

use std::fmt::Debug;
use std::sync::Arc;

use self::row::{Row, Segment};
use crate::block::{Block, BlockError};
use crate::blockstore::{Change, Lease, RocksStore, StoreError, schema};
use crate::cid::{Cid, Codec, Version};
use crate::dag::SourceError;
use crate::dag::walk::missing;
use crate::unixfs::data::Metadata;
use crate::unixfs::import;
use crate::unixfs::layout::Part;
use crate::unixfs::origin::Origin;

/// Rows that nobody used for this long are removed.
pub const FORGET_AFTER_DAYS: u64 = 30;

/// How often rows are looked at for that; a row's day is as exact as this.
const LOOK_EVERY_DAYS: u64 = 7;

/// Rows that are removed in one batch.
const REMOVE_BATCH: usize = 4096;

/// The key of the day on which rows were last removed. No path's: those have eight bytes in front.
const PRUNED: &[u8] = b"pruned";

/// A day in nanoseconds.
const DAY: i64 = 24 * 3600 * 1_000_000_000;

/// All that makes the CID of the same bytes another one, as a hash: the profile, and whatever else
/// there is to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape([u8; 8]);

impl Shape {
    /// The shape that `choices` are: what differs must print differently.
    pub fn of(choices: &impl Debug) -> Result<Self, BlockError> {
        let text = format!("{choices:?}");
        let block = Block::hash(Version::V1, Codec::Raw, text.into())?;
        let digest = block.cid().hash().digest();
        Ok(Self(digest[..8].try_into().expect("a digest is longer")))
    }
}

/// A file that may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Where it lies, and as what it was seen just now.
    pub origin: &'a Origin,
    /// What its root is to say of it.
    pub metadata: Metadata,
}

/// What was added before.
#[derive(Clone)]
pub struct Adds {
    store: Arc<RocksStore>,
    shape: Shape,
    /// The clock, in days since 1970.
    today: u64,
}

impl Adds {
    /// Files as `shape` makes them, at the time `now` in nanoseconds since 1970.
    #[must_use]
    pub fn new(store: Arc<RocksStore>, shape: Shape, now: i64) -> Self {
        let today = u64::try_from(now / DAY).unwrap_or(0);
        Self {
            store,
            shape,
            today,
        }
    }

    /// The roots of those files that were added unchanged before and are whole here; they stay while
    /// `lease` lives. Reads no block: for a file of one block, one look into the index.
    pub fn known(
        &self,
        files: &[Wanted<'_>],
        lease: &Lease,
    ) -> Result<Vec<Option<Part>>, StoreError> {
        let keys: Vec<Vec<u8>> = files
            .iter()
            .map(|file| row::key(self.shape, &file.origin.path))
            .collect();
        let values = self.store.table_get_many(schema::ADDS, &keys)?;
        let mut rows: Vec<Option<Row>> = files
            .iter()
            .zip(values)
            .map(|(file, value)| Row::decode(&value?).filter(|row| row.is_of(file)))
            .collect();
        let single = |row: &&Row| row.is_one_block;
        let roots: Vec<Cid> = rows
            .iter()
            .flatten()
            .filter(single)
            .map(|row| row.root.cid)
            .collect();
        let mut present = self.store.lease_many(&roots, lease)?.into_iter();
        let mut seen = Vec::new();
        for (slot, key) in rows.iter_mut().zip(keys) {
            let Some(row) = slot else { continue };
            let whole = if row.is_one_block {
                present.next().unwrap_or(false)
            } else {
                // First the lease: nothing below it goes between the look and the use.
                lease.root(&row.root.cid);
                self.store.past_removals();
                self.is_whole(&row.root.cid)?
            };
            if !whole {
                *slot = None;
            } else if row.day + LOOK_EVERY_DAYS <= self.today {
                row.day = self.today;
                seen.push((key, Some(row.encode())));
            }
        }
        if !seen.is_empty() {
            self.store.table_write(schema::ADDS, &seen)?;
        }
        Ok(rows
            .into_iter()
            .map(|row| row.map(|row| row.root))
            .collect())
    }

    fn is_whole(&self, root: &Cid) -> Result<bool, StoreError> {
        match missing(self.store.as_ref(), root, 1) {
            Ok(missing) => Ok(missing.is_empty()),
            Err(SourceError::Store(error)) => Err(error),
            // No DAG that we would make: it is made anew.
            Err(_) => Ok(false),
        }
    }

    /// The first leaves of a file that was cut off, as far as they are here; none if it was not.
    pub fn begun(&self, origin: &Origin) -> Result<Vec<Part>, StoreError> {
        let mut leaves = Vec::new();
        let prefix = row::segments(self.shape, &origin.path);
        self.store
            .table_scan(schema::ADDS, &prefix, &mut |_, value| {
                let segment = Segment::decode(value).filter(|segment| {
                    segment.identity == origin.identity && segment.before == leaves.len() as u64
                });
                let more = segment.is_some();
                leaves.extend(segment.into_iter().flat_map(|segment| segment.leaves));
                more
            })?;
        let cids: Vec<Cid> = leaves.iter().map(|leaf| leaf.cid).collect();
        let present = self.store.meet_many(&cids)?;
        let whole = present.iter().take_while(|&&there| there).count();
        leaves.truncate(whole);
        Ok(leaves)
    }

    /// The row of a file that is complete, and the end of those of its parts.
    pub fn complete(&self, file: &import::File) -> Result<Vec<Change>, StoreError> {
        let path = &file.origin.path;
        let mut changes = Vec::new();
        if !file.is_one_block {
            let prefix = row::segments(self.shape, path);
            self.store
                .table_scan(schema::ADDS, &prefix, &mut |key, _| {
                    changes.push((key.to_vec(), None));
                    true
                })?;
        }
        let row = Row {
            day: self.today,
            identity: file.origin.identity,
            metadata: file.metadata,
            root: file.root,
            is_one_block: file.is_one_block,
        };
        changes.push((row::key(self.shape, path), Some(row.encode())));
        Ok(changes)
    }

    /// The row of some leaves of a file that is not complete.
    #[must_use]
    pub fn part(&self, begun: import::Begun<'_>) -> Change {
        let segment = Segment {
            identity: begun.origin.identity,
            before: begun.before,
            leaves: begun.leaves.to_vec(),
        };
        let key = row::segment(self.shape, &begun.origin.path, begun.before);
        (key, Some(segment.encode(self.today)))
    }

    /// Writes rows. The blocks that they speak of must be durable.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.store.table_write(schema::ADDS, changes)
    }

    /// Removes what nobody used for long, if that was not done this week. How many rows it was.
    pub fn prune(&self) -> Result<u64, StoreError> {
        let pruned = self.store.table_get(schema::ADDS, PRUNED)?;
        let pruned = pruned.and_then(|value| schema::take_varint(&mut value.as_slice()));
        if pruned.is_some_and(|day| self.today < day.saturating_add(LOOK_EVERY_DAYS)) {
            return Ok(0);
        }
        let mut removed = 0;
        let mut changes: Vec<Change> = Vec::new();
        let mut result = Ok(());
        self.store
            .table_scan(schema::ADDS, &[], &mut |key, value| {
                let used = row::day(value).unwrap_or(0);
                if key != PRUNED && used.saturating_add(FORGET_AFTER_DAYS) <= self.today {
                    changes.push((key.to_vec(), None));
                }
                if changes.len() >= REMOVE_BATCH {
                    removed += changes.len() as u64;
                    result = self.write(&std::mem::take(&mut changes));
                }
                result.is_ok()
            })?;
        result?;
        removed += changes.len() as u64;
        let mut day = Vec::new();
        schema::put_varint(&mut day, self.today);
        changes.push((PRUNED.to_vec(), Some(day)));
        self.write(&changes)?;
        Ok(removed)
    }
}

#[cfg(test)]
mod tests;
