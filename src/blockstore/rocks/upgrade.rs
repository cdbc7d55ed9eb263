//! From format 1 to format 2: rows of parents, and the sums. Done again from the beginning if it was cut
//! off; each step writes what is there already once more. From format 2 to format 3: one more family, which
//! opening makes.

use rocksdb::WriteBatch;

use super::{RocksStore, failed};
use crate::blockstore::schema::{self, BLOCKS, Children, Entry, INDEX, KEEP, LINKS, PARENTS};
use crate::blockstore::{StoreError, Write};
use crate::cid::{self, Codec};
use crate::dag::Link;

/// Rows that are written together.
const ROWS: usize = 4096;

/// What an upgrade does, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Nodes whose links were looked at.
    pub nodes: u64,
    /// Rows that say which node links to a block.
    pub parents: u64,
    /// Nodes whose links had never been read, since they came by a raw CID.
    pub decoded: u64,
}

impl RocksStore {
    /// Brings a database of format `from` to the newest; with `dry`, only says what that would do. Durable
    /// when it returns.
    pub(crate) fn upgrade_from(&self, from: u32, dry: bool) -> Result<Upgrade, StoreError> {
        if from < 2 {
            self.upgrade_to_2(dry)
        } else {
            Ok(Upgrade::default())
        }
    }

    /// Takes a family away from the database in `path`, as if an older program had made it.
    #[cfg(test)]
    pub(crate) fn drop_family(path: &std::path::Path, name: &str) {
        let losses = super::options::LogLosses::default();
        let database = super::options::database(false, &losses).unwrap();
        let families = super::options::families(super::StoreOptions::default());
        let mut db = rocksdb::DB::open_cf_descriptors(&database, path, families).unwrap();
        db.drop_cf(name).unwrap();
    }

    /// Brings a database of format 1 to format 2; with `dry`, only says what that would do. Durable
    /// when it returns.
    fn upgrade_to_2(&self, dry: bool) -> Result<Upgrade, StoreError> {
        let mut upgrade = Upgrade::default();
        let mut undecided = self.pinned_nodes()?;
        let mut batch = WriteBatch::default();
        let mut result = Ok(());
        self.table_scan(LINKS, &[], &mut |key, value| {
            upgrade.nodes += 1;
            let links = schema::decode_links(value).unwrap_or_default();
            undecided.extend(nodes_among(&links));
            for child in schema::held(&links) {
                upgrade.parents += 1;
                batch.put_cf(self.family(PARENTS), schema::parent_row(&child, key), []);
            }
            if batch.len() >= ROWS {
                result = self.flush_rows(&mut batch, dry);
            }
            result.is_ok()
        })?;
        result?;
        // Their own links may lead to more of them.
        while let Some(key) = undecided.pop() {
            let Some(links) = self.decide(&key, &mut batch)? else {
                continue;
            };
            upgrade.decoded += 1;
            undecided.extend(nodes_among(&links));
            self.flush_rows(&mut batch, dry)?;
        }
        self.flush_rows(&mut batch, dry)?;
        if !dry {
            self.count_again()?;
            self.table_sync()?;
        }
        Ok(upgrade)
    }

    fn flush_rows(&self, batch: &mut WriteBatch, dry: bool) -> Result<(), StoreError> {
        let batch = std::mem::take(batch);
        if dry || batch.is_empty() {
            return Ok(());
        }
        self.durability
            .write(Write::Logged, || self.db.write(batch).map_err(failed))
    }

    /// The roots of pins that are nodes.
    fn pinned_nodes(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut nodes = Vec::new();
        self.table_scan(KEEP, b"p", &mut |_, mut value| {
            let cid = schema::take_bytes(&mut value).and_then(|cid| cid::from_bytes(cid).ok());
            nodes.extend(cid.and_then(|cid| node(&cid)));
            true
        })?;
        Ok(nodes)
    }

    /// Reads the links of a node that was put by a raw CID; `None` where they were read before, or
    /// are none.
    fn decide(&self, key: &[u8], batch: &mut WriteBatch) -> Result<Option<Vec<Link>>, StoreError> {
        let entry = self.raw_entries(&[key])?.pop().flatten();
        let Some(entry) = entry.filter(|entry| entry.children == Children::Undecided) else {
            return Ok(None);
        };
        // What cannot be read keeps nothing.
        let Ok(Some(data)) = self.db.get_cf(self.family(BLOCKS), key) else {
            return Ok(None);
        };
        let (children, links) = schema::children(&data.into());
        if children == Children::Undecided {
            return Ok(None);
        }
        let entry = Entry { children, ..entry };
        batch.put_cf(self.family(INDEX), key, entry.encode());
        if children == Children::Stored {
            self.write_links(batch, key, &links);
        }
        Ok(Some(links))
    }
}

fn nodes_among(links: &[Link]) -> impl Iterator<Item = Vec<u8>> {
    links.iter().filter_map(|link| node(&link.cid))
}

/// The multihash of a block that is read as a node.
fn node(cid: &cid::Cid) -> Option<Vec<u8>> {
    let stored = cid::identity_data(cid).is_none();
    (stored && Codec::of(cid) == Ok(Codec::DagPb)).then(|| cid.hash().to_bytes())
}
