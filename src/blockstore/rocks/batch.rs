//! Writing blocks: those that are missing, in batches of whole ones. And removing them.
//!
//! One thread at a time looks what is missing and writes it ([`Writer`]), so that the sums are exact,
//! the quota is never passed, and nothing is removed between a look and a write.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use super::lease::Lease;
use super::{RocksStore, failed};
use crate::block::Block;
use crate::blockstore::schema::{
    self, BLOCKS, Children, Entry, INDEX, LINKS, META, PARENTS, REFS, Sums,
};
use crate::blockstore::{Put, StoreError, Write};
use crate::cid::{self, Cid, Key};
use crate::dag::Link;

/// Blocks go to RocksDB in batches of this many bytes: it copies them twice, and what fits the
/// processor's cache is copied twice as fast as 16 MiB at once.
const BATCH_SIZE: usize = 1 << 20;
/// Besides its bytes a block takes about so many in a batch.
const ROWS: usize = 256;

/// What only the writing thread may use.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What is stored, all batches so far counted.
    pub(super) sums: Sums,
    /// What blocks are put now belong to; see [`Entry::born`].
    pub(super) generation: u64,
    /// Generations below this one are taken, whatever a crash takes away.
    pub(super) reserved: u64,
}

/// Changes of blocks to be written at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writes: WriteBatch,
    pub(super) put: Put,
    pub(super) sums: Sums,
    /// Nodes with links among them, and what they link to.
    changed: Vec<Vec<u8>>,
    /// Others, which no collection wanted to hear of.
    unheard: bool,
}

impl Batch {
    /// With room for the next of these blocks: a batch that grows is copied, to memory that the kernel clears first.
    fn for_next(blocks: &[&Block]) -> Self {
        let mut room = 0;
        for block in blocks {
            room += block.data().len() + ROWS;
            if room >= BATCH_SIZE {
                break;
            }
        }
        Self {
            writes: WriteBatch::with_capacity_bytes(room),
            ..Self::default()
        }
    }

    /// Writes a block with all that belongs to it, in the place of `old`.
    fn add(&mut self, store: &RocksStore, block: &Block, old: Option<Entry>, generation: u64) {
        let key = block.cid().hash().to_bytes();
        let entry = Entry {
            referenced: old.is_some_and(|old| old.referenced),
            ..self.describe(store, block.data(), &key, generation)
        };
        self.writes.put_cf(store.family(BLOCKS), &key, block.data());
        self.replace(store, &key, old, entry);
    }

    /// Writes what a block links to; its bytes may be anywhere. Returns the entry of one that is stored.
    pub(super) fn describe(
        &mut self,
        store: &RocksStore,
        data: &Bytes,
        key: &[u8],
        generation: u64,
    ) -> Entry {
        let (children, links) = schema::children(data);
        if children == Children::Stored {
            let held = store.write_links(&mut self.writes, key, &links);
            if store.leases.is_followed() {
                self.changed.push(key.to_vec());
                self.changed.extend(held);
            } else {
                self.unheard = true;
            }
        }
        let size = u32::try_from(data.len()).expect("a block has at most 2 MiB");
        Entry::stored(size, children, generation)
    }

    /// Writes the entry of a block that could not be had before.
    pub(super) fn replace(
        &mut self,
        store: &RocksStore,
        key: &[u8],
        old: Option<Entry>,
        entry: Entry,
    ) {
        self.writes.put_cf(store.family(INDEX), key, entry.encode());
        self.sums += Sums::of(entry);
        if let Some(old) = old {
            self.sums -= Sums::of(old);
        }
        self.put += Put {
            blocks: 1,
            bytes: u64::from(entry.size),
        };
    }
}

impl RocksStore {
    /// The right to write blocks.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        // What is in it is changed by single assignments, after the write that they tell of.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`crate::blockstore::Blockstore::put_many`].
    pub(super) fn put_missing(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        self.note_traffic();
        match self.try_put(blocks, write) {
            Err(StoreError::Quota { needed, .. }) if self.make_room(needed)? => {
                self.try_put(blocks, write)
            }
            result => result,
        }
    }

    /// All of `blocks`, or none where they would pass the quota.
    fn try_put(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        self.writable()?;
        let mut seen = HashSet::with_capacity(blocks.len());
        let wanted: Vec<&Block> = blocks
            .iter()
            .filter(|block| cid::identity_data(block.cid()).is_none())
            .filter(|block| seen.insert(block.cid().hash()))
            .collect();
        let keys: Vec<Vec<u8>> = wanted
            .iter()
            .map(|block| block.cid().hash().to_bytes())
            .collect();
        let mut writer = self.writer();
        let entries = self.raw_entries(&keys)?;
        // One that is only in a user's file may go with it: whoever puts it wants it kept.
        let missing = |entry: &Option<Entry>| !entry.is_some_and(Entry::is_stored);
        let needed = wanted.iter().zip(&entries);
        let needed = needed
            .filter(|(_, entry)| missing(entry))
            .map(|(block, _)| block.data().len() as u64)
            .sum();
        self.check_quota(&writer, needed)?;
        let mut put = Put::default();
        let mut batch = Batch::for_next(&wanted);
        for (at, ((block, key), entry)) in wanted.iter().zip(&keys).zip(entries).enumerate() {
            match entry {
                Some(there) if there.is_stored() => {
                    self.meet(&mut batch, &writer, key, there);
                }
                old => batch.add(self, block, old, writer.generation),
            }
            if batch.writes.size_in_bytes() >= BATCH_SIZE {
                let next = Batch::for_next(&wanted[at + 1..]);
                put += self.write_batch(&mut writer, std::mem::replace(&mut batch, next), write)?;
            }
        }
        put += self.write_batch(&mut writer, batch, write)?;
        Ok(put)
    }

    /// Somebody needs a block that is there: it counts as put now, if a lease is open to whom that
    /// matters. Whose it is is not known here: older ones than his may be open, and end before his.
    pub(super) fn meet(&self, batch: &mut Batch, writer: &Writer, key: &[u8], entry: Entry) {
        if entry.born < writer.generation && self.leases.oldest().is_some() {
            let entry = Entry {
                born: writer.generation,
                ..entry
            };
            batch.writes.put_cf(self.family(INDEX), key, entry.encode());
        }
    }

    /// Writes what a node links to, and that each of these blocks, which are returned, knows it.
    pub(super) fn write_links(
        &self,
        writes: &mut WriteBatch,
        key: &[u8],
        links: &[Link],
    ) -> Vec<Vec<u8>> {
        writes.put_cf(self.family(LINKS), key, schema::encode_links(links));
        let held = schema::held(links);
        for child in &held {
            writes.put_cf(self.family(PARENTS), schema::parent_row(child, key), []);
        }
        held
    }

    /// Waits until a removal that is under way is over: the next one knows what was leased before this.
    pub(crate) fn past_removals(&self) {
        drop(self.writer());
    }

    /// Which of these blocks are there, with `lease` on them: they are found again while it lives.
    pub(crate) fn lease_many(&self, cids: &[Cid], lease: &Lease) -> Result<Vec<bool>, StoreError> {
        if !lease.roots(cids) {
            return self.meet_many(cids);
        }
        self.past_removals();
        let keys: Vec<Vec<u8>> = cids.iter().map(|cid| cid.hash().to_bytes()).collect();
        let entries = self.raw_entries(&keys)?.into_iter();
        let there = entries.zip(cids).map(|(entry, cid)| {
            entry.is_some_and(Entry::is_there) || cid::identity_data(cid).is_some()
        });
        Ok(there.collect())
    }

    /// Which of these blocks are there. Somebody needs them: they count as put now, so that whoever has
    /// a lease finds them again.
    pub(crate) fn meet_many(&self, cids: &[Cid]) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<Vec<u8>> = cids.iter().map(|cid| cid.hash().to_bytes()).collect();
        let mut writer = self.writer();
        let mut batch = Batch::default();
        let mut there = Vec::with_capacity(cids.len());
        for ((cid, key), entry) in cids.iter().zip(&keys).zip(self.raw_entries(&keys)?) {
            let entry = entry.filter(|entry| entry.is_there());
            there.push(entry.is_some() || cid::identity_data(cid).is_some());
            if let Some(entry) = entry {
                self.meet(&mut batch, &writer, key, entry);
            }
        }
        self.write_batch(&mut writer, batch, Write::Logged)?;
        Ok(there)
    }

    /// Writes the batch, and what it adds to the sums, in one.
    pub(super) fn write_batch(
        &self,
        writer: &mut Writer,
        mut batch: Batch,
        write: Write,
    ) -> Result<Put, StoreError> {
        if batch.writes.is_empty() {
            return Ok(batch.put);
        }
        self.writable()?;
        if batch.sums != Sums::default() {
            batch
                .writes
                .merge_cf(self.family(META), schema::TOTALS, batch.sums.encode());
        }
        let mut options = WriteOptions::default();
        options.disable_wal(write == Write::Bulk);
        let run = || self.db.write_opt(batch.writes, &options).map_err(failed);
        self.durability.write(write, run)?;
        writer.sums += batch.sums;
        if batch.unheard {
            // One may have begun to listen since.
            self.leases.note_change_of_all();
        }
        if !batch.changed.is_empty() {
            self.leases.note_changes(&batch.changed);
        }
        Ok(batch.put)
    }

    /// Removes blocks with all that belongs to them; missing ones are not an error. What was removed.
    pub(crate) fn remove(&self, writer: &mut Writer, keys: &[Key]) -> Result<Put, StoreError> {
        let entries = self.raw_entries(keys)?.into_iter();
        let known = keys.iter().zip(entries);
        let known = known.filter_map(|(key, entry)| Some((key, entry?)));
        self.remove_known(writer, known)
    }

    /// The same of blocks whose entries were read under this writer.
    pub(crate) fn remove_known<'a>(
        &self,
        writer: &mut Writer,
        blocks: impl IntoIterator<Item = (&'a Key, Entry)>,
    ) -> Result<Put, StoreError> {
        let mut batch = Batch::default();
        let mut seen = HashSet::new();
        for (key, entry) in blocks {
            if !seen.insert(key) {
                continue;
            }
            let key = key.as_bytes();
            if entry.stored {
                batch.writes.delete_cf(self.family(BLOCKS), key);
            }
            batch.writes.delete_cf(self.family(INDEX), key);
            if entry.children == Children::Stored {
                for child in schema::held(&self.stored_links(key)?) {
                    let row = schema::parent_row(&child, key);
                    batch.writes.delete_cf(self.family(PARENTS), row);
                }
                batch.writes.delete_cf(self.family(LINKS), key);
            }
            if entry.referenced {
                self.table_scan(REFS, &schema::refs_of(key), &mut |row, _| {
                    batch.writes.delete_cf(self.family(REFS), row);
                    self.leave_clone(&mut batch, key, row);
                    true
                })?;
            }
            batch.sums -= Sums::of(entry);
            batch.put += Put {
                blocks: 1,
                bytes: u64::from(entry.size),
            };
        }
        // Logged, so that replaying older log records cannot bring a block back without its bytes.
        let removed = self.write_batch(writer, batch, Write::Logged)?;
        self.note_removal();
        Ok(removed)
    }

    /// Blocks that were there are not any more: whoever looked before has to look again.
    fn note_removal(&self) {
        self.removals.fetch_add(1, Ordering::Release);
    }

    /// Notes that the bytes of these blocks are not what they should be: they count as missing, and
    /// the next put writes them again. What they link to stays known, and so what they keep.
    pub(crate) fn mark_rotten(&self, keys: &[Key]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let mut batch = Batch::default();
        for (key, entry) in keys.iter().zip(self.raw_entries(keys)?) {
            let Some(entry) = entry else { continue };
            let entry = Entry {
                rotten: true,
                ..entry
            };
            batch
                .writes
                .put_cf(self.family(INDEX), key.as_bytes(), entry.encode());
        }
        self.write_batch(&mut writer, batch, Write::Logged)?;
        self.note_removal();
        Ok(())
    }

    /// What the index says of each multihash, of blocks that cannot be had too.
    pub(crate) fn raw_entries<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<Entry>>, StoreError> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        let found = self
            .db
            .batched_multi_get_cf(self.family(INDEX), keys.iter(), false);
        let malformed = || StoreError::Database {
            reason: "a malformed index entry; `store repo check` finds which".into(),
        };
        found
            .into_iter()
            .map(|value| match value.map_err(failed)? {
                Some(value) => Entry::decode(&value).map(Some).ok_or_else(malformed),
                None => Ok(None),
            })
            .collect()
    }

    /// The multihashes of the nodes that link to `key`, in their order, those up to `after` left out,
    /// until `each` returns `false`.
    pub(crate) fn parents(
        &self,
        key: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), StoreError> {
        // The least key that is greater.
        let start = after.map(|after| [key, after, &[0]].concat());
        self.table_scan_from(PARENTS, start.as_deref().unwrap_or(key), &mut |row, _| {
            row.strip_prefix(key).is_some_and(&mut *each)
        })
    }

    /// The first `limit` parents of each of these multihashes; by one pass where they are in order.
    pub(crate) fn parents_of_each<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        limit: usize,
        each: &mut dyn FnMut(Vec<Vec<u8>>),
    ) -> Result<(), StoreError> {
        let options = ReadOptions::default();
        let mut rows = self.db.raw_iterator_cf_opt(self.family(PARENTS), options);
        let mut before: Option<&[u8]> = None;
        for key in keys.iter().map(AsRef::as_ref) {
            // Often it is there already, from the one before.
            let there = rows.key().is_some_and(|row| row >= key);
            if !there || before.is_none_or(|before| before >= key) {
                rows.seek(key);
            }
            before = Some(key);
            let mut parents = Vec::new();
            while parents.len() < limit
                && let Some(parent) = rows.key().and_then(|row| row.strip_prefix(key))
            {
                parents.push(parent.to_vec());
                rows.next();
            }
            rows.status().map_err(failed)?;
            each(parents);
        }
        Ok(())
    }

    /// The links of a node, by its multihash; none where it is not here, or has none.
    pub(crate) fn stored_links(&self, key: &[u8]) -> Result<Vec<Link>, StoreError> {
        let links = self.db.get_pinned_cf(self.family(LINKS), key);
        let links = links.map_err(failed)?;
        let links = links.and_then(|links| schema::decode_links(&links));
        Ok(links.unwrap_or_default())
    }

    /// What was summed up so far.
    pub(crate) fn sums(&self) -> Sums {
        self.writer().sums
    }

    /// The sums on disk, as they are at the opening.
    pub(super) fn load_sums(&self) -> Result<Sums, StoreError> {
        let value = self.db.get_cf(self.family(META), schema::TOTALS);
        let value = value.map_err(failed)?;
        Ok(value.map(|value| Sums::decode(&value)).unwrap_or_default())
    }

    /// Counts all again, which takes a walk over the index, and mends the sums if they are wrong.
    pub(crate) fn count_again(&self) -> Result<Sums, StoreError> {
        Ok(self.recount(true)?.1)
    }

    /// What the sums say, and what counting all says; with `mend`, that is what they say from now on.
    pub(crate) fn recount(&self, mend: bool) -> Result<(Sums, Sums), StoreError> {
        let mut writer = self.writer();
        let mut counted = Sums::default();
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut entries = self.db.raw_iterator_cf_opt(self.family(INDEX), options);
        entries.seek_to_first();
        while let Some((_, value)) = entries.item() {
            if let Some(entry) = Entry::decode(value) {
                counted += Sums::of(entry);
            }
            entries.next();
        }
        entries.status().map_err(failed)?;
        let told = writer.sums;
        if mend && counted != told {
            let mut batch = WriteBatch::default();
            batch.put_cf(self.family(META), schema::TOTALS, counted.encode());
            self.durability
                .write(Write::Logged, || self.db.write(batch).map_err(failed))?;
            writer.sums = counted;
        }
        Ok((told, counted))
    }
}
