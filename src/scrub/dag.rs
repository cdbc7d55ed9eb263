//! [`Dag`]: all blocks of one DAG, read and checked.

use std::sync::Arc;

use super::{Examined, Finding, Kind, examine::examine};
use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cid::{self, Cid, Codec};
use crate::dag::{DagError, Link, SourceError, Walk};

/// Blocks that are looked at together: sixteen are hashed at once.
const BATCH: usize = 16;

/// A walk over a DAG that goes on behind what is rotten or damaged, as far as its links are known.
pub struct Dag {
    store: Arc<RocksStore>,
    walk: Walk,
}

impl Dag {
    /// Everything below and including `root`.
    #[must_use]
    pub fn new(store: Arc<RocksStore>, root: Cid) -> Self {
        Self {
            store,
            walk: Walk::new(root),
        }
    }

    /// Looks at some more blocks; `None` when all were looked at.
    pub fn step(&mut self) -> Result<Option<Examined>, SourceError> {
        let wanted = self.walk.wants(BATCH);
        if wanted.is_empty() {
            return Ok(None);
        }
        let keys: Vec<Vec<u8>> = wanted
            .iter()
            .filter(|cid| cid::identity_data(cid).is_none())
            .map(|cid| cid.hash().to_bytes())
            .collect();
        let mut examined = examine(&self.store, self.store.rows_of(&keys))?;
        for cid in wanted {
            let links = match self.links(&cid) {
                Ok(links) => links,
                Err(reason) => {
                    let key = cid.hash().to_bytes();
                    examined
                        .findings
                        .push(Finding::of(Kind::Links, &key, reason));
                    Vec::new()
                }
            };
            self.walk.supply_links(&cid, &links)?;
        }
        Ok(Some(examined))
    }

    /// As they were read when the block came, also of one that is rotten now.
    fn links(&self, cid: &Cid) -> Result<Vec<Link>, String> {
        if Codec::of(cid) != Ok(Codec::DagPb) {
            return Ok(Vec::new());
        }
        if let Some(block) = crate::Block::inline(cid) {
            return crate::dag::links(&block).map_err(|error: DagError| error.to_string());
        }
        let key = cid.hash().to_bytes();
        let row = self.store.table_get(schema::LINKS, &key);
        // Whether it should have had some is said by its entry, which is looked at.
        let row = row.map_err(|error: StoreError| error.to_string())?;
        let links = row.map(|row| schema::decode_links(&row).ok_or("its links are malformed"));
        Ok(links.transpose()?.unwrap_or_default())
    }
}
