//! Writing blocks: those that are missing, in batches of whole ones.

use std::collections::HashSet;

use rocksdb::{WriteBatch, WriteOptions};

use super::{RocksStore, failed};
use crate::block::Block;
use crate::blockstore::schema::{self, BLOCKS, Entry, INDEX, LINKS};
use crate::blockstore::{Put, StoreError, Write};
use crate::cid::{self, Cid, Codec, Key};

/// Blocks go to RocksDB in batches of this many bytes: it copies them twice, and what fits the
/// processor's cache is copied twice as fast as 16 MiB at once.
const BATCH_SIZE: usize = 1 << 20;

/// Whole blocks to be written at once.
#[derive(Default)]
struct Batch {
    writes: WriteBatch,
    keys: Vec<Key>,
    /// Bytes of the blocks.
    size: usize,
}

impl Batch {
    fn add(&mut self, store: &RocksStore, block: &Block) -> Result<(), StoreError> {
        let key = Key::of(block.cid());
        let data = block.data();
        let size = u32::try_from(data.len()).expect("a block has at most 2 MiB");
        let (children, links) = schema::children(Codec::of(block.cid())?, data);
        let entry = Entry { size, children }.encode();
        self.writes
            .put_cf(store.family(BLOCKS), key.as_bytes(), data);
        self.writes
            .put_cf(store.family(INDEX), key.as_bytes(), entry);
        if let Some(links) = links {
            self.writes
                .put_cf(store.family(LINKS), key.as_bytes(), links);
        }
        self.size += data.len();
        self.keys.push(key);
        Ok(())
    }
}

impl RocksStore {
    /// [`crate::blockstore::Blockstore::put_many`].
    pub(super) fn put_missing(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        self.durability.check()?;
        let mut put = Put::default();
        let mut batch = Batch::default();
        for block in self.missing(blocks)? {
            batch.add(self, block)?;
            if batch.size >= BATCH_SIZE {
                put += self.write_blocks(std::mem::take(&mut batch), write)?;
            }
        }
        put += self.write_blocks(batch, write)?;
        Ok(put)
    }

    /// Those of `blocks` that are not there yet, each once.
    fn missing<'a>(&self, blocks: &'a [Block]) -> Result<Vec<&'a Block>, StoreError> {
        let mut seen = HashSet::with_capacity(blocks.len());
        let mut wanted: Vec<&Block> = blocks
            .iter()
            .filter(|block| cid::identity_data(block.cid()).is_none())
            .filter(|block| seen.insert(block.cid().hash()))
            .collect();
        let cids: Vec<&Cid> = wanted.iter().map(|block| block.cid()).collect();
        let mut entries = self.entries(&cids)?.into_iter();
        wanted.retain(|_| entries.next().flatten().is_none());
        Ok(wanted)
    }

    fn write_blocks(&self, batch: Batch, write: Write) -> Result<Put, StoreError> {
        if batch.keys.is_empty() {
            return Ok(Put::default());
        }
        let mut options = WriteOptions::default();
        options.disable_wal(write == Write::Bulk);
        let run = || self.db.write_opt(batch.writes, &options).map_err(failed);
        self.durability.write(write, run)?;
        let mut rotten = self.rotten();
        if !rotten.is_empty() {
            rotten.retain(|key| !batch.keys.contains(key));
        }
        Ok(Put {
            blocks: batch.keys.len() as u64,
            bytes: batch.size as u64,
        })
    }
}
