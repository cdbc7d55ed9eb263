//! References: blocks whose bytes lie in users' files, or in clones of them.
//!
//! Invariant: what is read from a file has the hash that was asked for, checked on each read, whatever
//! became of the file. Where a file is, and what told it from others when it was looked at, only helps
//! to find the bytes and to say by name which file has changed.

mod clones;
mod open;
mod rows;

use std::collections::HashSet;

use bytes::Bytes;

pub(super) use self::clones::Clones;
pub use self::clones::{CloneError, CloneUsage, ClonesHeld};
pub(super) use self::open::OpenFiles;
use super::RocksStore;
use super::batch::{Batch, Writer};
use crate::block::{Block, MAX_BLOCK_SIZE};
use crate::blockstore::schema::{self, BLOCKS, Entry, INDEX, REFS};
use crate::blockstore::{FileId, FileState, Put, ReferencedFile, StoreError, Write};
use crate::cid::{self, Cid, Key};
use crate::unixfs::Name;
use crate::unixfs::origin::Origin;

/// Places of one block that are tried at most.
const PLACES_MAX: usize = 16;

impl RocksStore {
    /// The number of a file to which blocks may be referred, as it is now; the same one as before where
    /// device and inode are known. `target` is where a file that is still being written will go.
    pub fn refer_to(&self, origin: &Origin, target: Option<&Name>) -> Result<FileId, StoreError> {
        let too_long = |path: &Name| path.as_bytes().len() > rows::PATH_MAX;
        if too_long(&origin.path) || target.is_some_and(too_long) {
            let reason = format!("a path is longer than {} bytes", rows::PATH_MAX);
            return Err(StoreError::Reference { reason });
        }
        // Only one thread at a time gives numbers.
        let _writer = self.writer();
        let inode = rows::inode_key(&origin.identity);
        let known = self.table_get(REFS, &inode)?;
        let known = known.and_then(|id| Some(FileId(u64::from_be_bytes(id.try_into().ok()?))));
        let file = match known {
            Some(file) => file,
            None => self.next_file()?,
        };
        let row = ReferencedFile {
            state: if target.is_some() {
                FileState::Growing
            } else {
                FileState::Whole
            },
            origin: origin.clone(),
            target: target.cloned(),
        };
        let changes = [
            (rows::file_key(file), Some(rows::encode_file(&row))),
            (inode, Some(file.0.to_be_bytes().to_vec())),
        ];
        self.table_write(REFS, &changes)?;
        Ok(file)
    }

    /// The users' files in which there are, or were, blocks.
    pub fn referenced_files(&self) -> Result<Vec<ReferencedFile>, StoreError> {
        let mut files = Vec::new();
        self.table_scan(REFS, rows::FILES, &mut |key, value| {
            let is_users = rows::file_of_key(key).is_some_and(|file| !clones::is_clone(file));
            files.extend(rows::decode_file(value).filter(|_| is_users));
            true
        })?;
        Ok(files)
    }

    /// The files in which the block was, if its bytes are in none of them any more; for people.
    pub fn lost_with(&self, cid: &Cid) -> Result<Vec<ReferencedFile>, StoreError> {
        let key = cid.hash().to_bytes();
        let entry = self.raw_entries(&[&key])?.pop().flatten();
        if !entry.is_some_and(|entry| entry.referenced && !entry.is_there()) {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        for (file, _) in self.places(&key)? {
            if seen.insert(file) {
                files.extend(self.file(file)?);
            }
        }
        Ok(files)
    }

    /// See [`crate::blockstore::Blockstore::put_referenced`].
    pub(super) fn put_references(
        &self,
        file: FileId,
        blocks: &[(Block, u64)],
        write: Write,
    ) -> Result<Put, StoreError> {
        self.writable()?;
        let mut writer = self.writer();
        let keys: Vec<Vec<u8>> = blocks
            .iter()
            .map(|(block, _)| block.cid().hash().to_bytes())
            .collect();
        let entries = self.raw_entries(&keys)?;
        let mut seen = HashSet::with_capacity(blocks.len());
        let mut batch = Batch::default();
        for (((block, offset), key), old) in blocks.iter().zip(&keys).zip(entries) {
            if cid::identity_data(block.cid()).is_some() {
                continue;
            }
            let is_first = seen.insert(key);
            if clones::is_clone(file) {
                // A clone is needed only for what is nowhere else in the repo.
                if !is_first {
                    continue;
                }
                if let Some(there) = old.filter(|old| old.is_there())
                    && (there.stored || self.is_in_clone(key)?)
                {
                    self.meet(&mut batch, &writer, key, there);
                    continue;
                }
                let row = rows::content_key(key, file, *offset);
                batch.writes.put_cf(self.family(REFS), row, []);
            }
            let row = rows::block_key(key, file, *offset);
            batch.writes.put_cf(self.family(REFS), row, []);
            if !is_first {
                continue;
            }
            self.refer_in_index(&mut batch, &writer, block, key, old);
        }
        self.write_batch(&mut writer, batch, write)
    }

    /// The index says that a block is in a user's file, besides what it said: `old`.
    fn refer_in_index(
        &self,
        batch: &mut Batch,
        writer: &Writer,
        block: &Block,
        key: &[u8],
        old: Option<Entry>,
    ) {
        if let Some(there) = old.filter(|old| old.is_there()) {
            let entry = Entry {
                referenced: true,
                born: writer.generation.max(there.born),
                ..there
            };
            batch.writes.put_cf(self.family(INDEX), key, entry.encode());
            return;
        }
        let entry = Entry {
            stored: false,
            referenced: true,
            ..batch.describe(self, block.data(), key, writer.generation)
        };
        if old.is_some_and(|old| old.stored) {
            batch.writes.delete_cf(self.family(BLOCKS), key);
        }
        batch.replace(self, key, old, entry);
    }

    /// The bytes of a block out of the files that back it; `None` where none has them any more: then
    /// it counts as missing from now on.
    pub(super) fn read_referenced(
        &self,
        cid: &Cid,
        entry: Entry,
    ) -> Result<Option<Bytes>, StoreError> {
        let key = cid.hash().to_bytes();
        let size = entry.size as usize;
        if size > MAX_BLOCK_SIZE {
            return Ok(None);
        }
        let places = self.places(&key)?;
        let mut changed = Vec::new();
        for (file, offset) in places {
            let Some(row) = self.file(file)? else {
                continue;
            };
            // Between its rename and the word of it, a file is at its target already.
            let paths = [Some(&row.origin.path), row.target.as_ref()];
            for path in paths.into_iter().flatten() {
                let Ok(bytes) = self.open_files.read(path, offset, size) else {
                    continue;
                };
                if let Ok(block) = Block::verify(*cid, bytes) {
                    if entry.rotten {
                        self.mark_sound(&key)?;
                    }
                    return Ok(Some(block.into_parts().1));
                }
            }
            changed.push((file, row));
        }
        for (file, row) in changed {
            self.note_changed(file, row);
        }
        if !entry.rotten && !entry.stored {
            self.mark_rotten(&[Key::of(cid)])?;
        }
        Ok(None)
    }

    /// Says once that a file is no longer what it was.
    fn note_changed(&self, file: FileId, row: ReferencedFile) {
        // A file that is being written is not whole on a crash, and nobody's fault.
        if row.state != FileState::Whole {
            return;
        }
        let path = row.origin.path.as_path().display().to_string();
        tracing::warn!(path, "a file has changed since it was added");
        let row = ReferencedFile {
            state: FileState::Changed,
            ..row
        };
        let change = (rows::file_key(file), Some(rows::encode_file(&row)));
        if let Err(error) = self.table_write(REFS, &[change]) {
            // The next reader finds out again.
            tracing::warn!(path, %error, "that could not be noted");
        }
    }

    /// The bytes are there again.
    fn mark_sound(&self, key: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let Some(entry) = self.raw_entries(&[key])?.pop().flatten() else {
            return Ok(());
        };
        if !entry.rotten || entry.stored {
            return Ok(());
        }
        let entry = Entry {
            rotten: false,
            ..entry
        };
        let mut batch = Batch::default();
        let index = self.family(INDEX);
        batch.writes.put_cf(index, key, entry.encode());
        self.write_batch(&mut writer, batch, Write::Logged)?;
        Ok(())
    }

    fn file(&self, file: FileId) -> Result<Option<ReferencedFile>, StoreError> {
        let row = self.table_get(REFS, &rows::file_key(file))?;
        let mut row = row.and_then(|row| rows::decode_file(&row));
        if let (Some(row), Some(path)) = (&mut row, self.clone_path(file)) {
            // Where the repo is now.
            row.origin.path = path;
        }
        Ok(row)
    }

    /// Files and offsets at which the block of this multihash is said to be.
    fn places(&self, key: &[u8]) -> Result<Vec<(FileId, u64)>, StoreError> {
        let prefix = schema::refs_of(key);
        let mut places = self.places_in_clones(key)?;
        self.table_scan(REFS, &prefix, &mut |row, _| {
            let place = rows::place(&row[prefix.len()..]);
            places.extend(place.filter(|(file, _)| !clones::is_clone(*file)));
            places.len() < PLACES_MAX
        })?;
        Ok(places)
    }

    /// Those of them that are in clones.
    fn places_in_clones(&self, key: &[u8]) -> Result<Vec<(FileId, u64)>, StoreError> {
        let prefix = schema::refs_of(key);
        let mut places = Vec::new();
        let first = [prefix.as_slice(), &clones::FIRST.to_be_bytes()].concat();
        self.table_scan_from(REFS, &first, &mut |row, _| {
            let place = row.strip_prefix(prefix.as_slice()).and_then(rows::place);
            places.extend(place);
            place.is_some() && places.len() < PLACES_MAX
        })?;
        Ok(places)
    }

    fn is_in_clone(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(!self.places_in_clones(key)?.is_empty())
    }

    /// What becomes of the rows of a clone when one of the rows of a block that is removed says that
    /// the block was in it: the doubt whether any other is.
    pub(super) fn leave_clone(&self, batch: &mut Batch, key: &[u8], row: &[u8]) {
        let place = row.strip_prefix(schema::refs_of(key).as_slice());
        if let Some((file, offset)) = place.and_then(rows::place)
            && clones::is_clone(file)
        {
            let refs = self.family(REFS);
            batch
                .writes
                .delete_cf(refs, rows::content_key(key, file, offset));
            batch.writes.put_cf(refs, rows::doubt_key(file), []);
        }
    }

    /// A number that no file has yet.
    fn next_file(&self) -> Result<FileId, StoreError> {
        let last = self.last_of_users()?;
        Ok(FileId(last.map_or(1, |FileId(last)| last + 1)))
    }
}

#[cfg(test)]
mod tests;
