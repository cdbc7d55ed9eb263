//! [`Edit`]: what one batch changes, on disk and in memory; and [`State`], which is kept in memory.

use std::collections::{BTreeMap, HashMap};

use store::blockstore::{Change, StoreError};
use store::records::Records;
use store::wire::member::MemberId;
use store::wire::reconcile::Item;

use super::row::{self, EXPIRES, Row, TOMBSTONE};
use super::{KEPT, MAX_OWNERS, MAX_RECORDS};
use crate::reconcile::Tree;

/// What is known of all records without reading them: about 1.1 MiB, and 80 bytes for each owner.
pub(super) struct State {
    /// Of the live ones.
    pub(super) tree: Tree,
    owners: HashMap<MemberId, Owner>,
    total: usize,
    /// Rises with each batch.
    pub(super) edits: u64,
    /// What others want has to be learned anew.
    pub(super) resync: bool,
}

#[derive(Default)]
struct Owner {
    records: usize,
    /// That it is at its limit has been logged.
    told: bool,
}

/// Why there is no room for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    Owner,
    All,
}

impl State {
    /// Counts what is on disk.
    pub(super) fn load(records: &Records) -> Result<Self, StoreError> {
        let mut state = Self {
            // Four levels do for four million too: the lists below are 64 items long then.
            tree: Tree::new(1 << 20),
            owners: HashMap::new(),
            total: 0,
            edits: 0,
            resync: records.get(row::RESYNC)?.is_some(),
        };
        let mut sound = true;
        records.for_prefix(&[row::RECORD], &mut |key, value| {
            match row::item_in(key, value) {
                Some((true, item)) => state.tree.insert(&item),
                Some((false, _)) => {}
                None => sound = false,
            }
            true
        })?;
        records.for_prefix(&[row::ROOT], &mut |key, _| {
            match row::place_in(key) {
                Some((_, owner)) => state.count(owner, 1),
                None => sound = false,
            }
            true
        })?;
        if !sound {
            tracing::warn!("some rows of pin records are malformed, and not counted");
        }
        Ok(state)
    }

    /// All records, tombstones too.
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.tree.bytes() + self.owners.capacity() * (size_of::<(MemberId, Owner)>() + 1)
    }

    /// Whether there is room for one more record of `owner`, who may have `limit`, behind those of `edit`.
    pub(super) fn room(&self, edit: &Edit, owner: &MemberId, limit: usize) -> Result<(), NoRoom> {
        let known = self.owners.get(owner).map(|owner| owner.records);
        let added = edit.counts.get(owner).copied().unwrap_or(0);
        let records = known.unwrap_or(0).saturating_add_signed(added);
        let new_owners = edit.counts.len() + self.owners.len();
        let all = self.total.saturating_add_signed(edit.counts.values().sum());
        if records >= limit {
            Err(NoRoom::Owner)
        } else if all >= MAX_RECORDS || known.is_none() && new_owners >= MAX_OWNERS {
            Err(NoRoom::All)
        } else {
            Ok(())
        }
    }

    /// Whether that an owner is at its limit is still to be logged.
    pub(super) fn tell(&mut self, owner: &MemberId) -> bool {
        let owner = self.owners.get_mut(owner);
        owner.is_none_or(|owner| !std::mem::replace(&mut owner.told, true))
    }

    /// Writes a batch, and takes over what it changes.
    pub(super) fn write(&mut self, records: &Records, edit: Edit) -> Result<(), StoreError> {
        if edit.changes.is_empty() {
            return Ok(());
        }
        records.write_batch(&edit.changes)?;
        self.edits += 1;
        for (item, there) in &edit.items {
            if *there {
                self.tree.insert(item);
            } else {
                self.tree.remove(item);
            }
        }
        for (owner, change) in edit.counts {
            self.count(owner, change);
        }
        Ok(())
    }

    fn count(&mut self, id: MemberId, change: isize) {
        let owner = self.owners.entry(id).or_default();
        owner.records = owner.records.saturating_add_signed(change);
        self.total = self.total.saturating_add_signed(change);
        if owner.records == 0 {
            self.owners.remove(&id);
        }
    }
}

/// Changes that are written together or not at all.
#[derive(Default)]
pub(super) struct Edit {
    changes: Vec<Change>,
    /// Items that come, and those that go.
    items: Vec<(Item, bool)>,
    counts: BTreeMap<MemberId, isize>,
}

impl Edit {
    /// The rows.
    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// A record, in the place of `old`.
    pub(super) fn put(&mut self, new: &Row, old: Option<&Row>) {
        if let Some(old) = old {
            self.remove(old);
        }
        let place = new.place();
        match new.item() {
            Some(item) => self.items.push((item, true)),
            None => self.set(
                row::timed(TOMBSTONE, tombstone_end(new), &place),
                Vec::new(),
            ),
        }
        if let Some(expires) = new.expires() {
            // Of one that has expired already, nobody is told.
            let at = if new.taken < expires {
                expires
            } else {
                expires.saturating_add(KEPT)
            };
            self.set(row::timed(EXPIRES, at, &place), Vec::new());
        }
        self.set(new.key(), new.encode());
        self.set(place, Vec::new());
        *self.counts.entry(new.record.owner).or_default() += 1;
    }

    /// A record goes.
    pub(super) fn remove(&mut self, old: &Row) {
        let place = old.place();
        match old.item() {
            Some(item) => self.items.push((item, false)),
            None => self.clear(row::timed(TOMBSTONE, tombstone_end(old), &place)),
        }
        if let Some(expires) = old.expires() {
            self.clear(row::timed(EXPIRES, expires, &place));
            self.clear(row::timed(EXPIRES, expires.saturating_add(KEPT), &place));
        }
        self.clear(old.key());
        self.clear(place);
        *self.counts.entry(old.record.owner).or_default() -= 1;
    }

    pub(super) fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push((key, Some(value)));
    }

    pub(super) fn clear(&mut self, key: Vec<u8>) {
        self.changes.push((key, None));
    }
}

/// When a tombstone may go, by this member's clock.
const fn tombstone_end(row: &Row) -> u64 {
    row.taken.saturating_add(KEPT)
}
