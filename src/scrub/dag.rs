//! [`Dag`]: all blocks of one DAG, read and checked.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::{Examined, Finding, Kind, examine::examine};
use crate::blockstore::rows::{Row, Told};
use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cid::{self, Cid, Codec};
use crate::dag::{DagError, Link, SourceError, Walk};

/// Blocks that are looked at together: sixteen are hashed at once.
const BATCH: usize = 16;
/// Blocks that are remembered as sound at most; some 40 bytes each.
const SOUND_MAX: usize = 1 << 20;

/// A walk over a DAG that goes on behind what is rotten or damaged, as far as its links are known.
pub struct Dag {
    store: Arc<RocksStore>,
    walk: Walk,
    /// Whether what the root links to is left out.
    alone: bool,
    sound: Option<Sound>,
}

/// Blocks that were read and are sound, with their sizes, for the next DAG that has them too.
#[derive(Default)]
struct Sound {
    sizes: HashMap<u128, u32>,
    hashers: (RandomState, RandomState),
}

impl Sound {
    fn hash(&self, key: &[u8]) -> u128 {
        let (a, b) = &self.hashers;
        u128::from(a.hash_one(key)) << 64 | u128::from(b.hash_one(key))
    }

    fn size(&self, key: &[u8]) -> Option<u32> {
        self.sizes.get(&self.hash(key)).copied()
    }

    /// Remembers those of `rows` of which `examined` says nothing.
    fn remember(&mut self, rows: Vec<(Vec<u8>, u32)>, examined: &Examined) {
        for (key, size) in rows {
            let of_it = |finding: &Finding| {
                let found = finding.key.as_ref();
                found.is_none_or(|found| found.as_bytes() == key)
            };
            if self.sizes.len() < SOUND_MAX && !examined.findings.iter().any(of_it) {
                let hash = self.hash(&key);
                self.sizes.insert(hash, size);
            }
        }
    }
}

impl Dag {
    /// Everything below and including `root`.
    #[must_use]
    pub fn new(store: Arc<RocksStore>, root: Cid) -> Self {
        Self {
            store,
            walk: Walk::new(root),
            alone: false,
            sound: None,
        }
    }

    /// Remembers what is sound, so that [`Dag::go_on`] does not read it again.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.sound = Some(Sound::default());
        self
    }

    /// Begins anew with another root; `alone`: with nothing below it.
    pub fn go_on(&mut self, root: Cid, alone: bool) {
        self.walk = Walk::new(root);
        self.alone = alone;
    }

    /// Looks at some more blocks; `None` when all were looked at.
    pub fn step(&mut self) -> Result<Option<Examined>, SourceError> {
        let wanted = self.walk.wants(BATCH);
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut keys: Vec<Vec<u8>> = wanted
            .iter()
            .filter(|cid| cid::identity_data(cid).is_none())
            .map(|cid| cid.hash().to_bytes())
            .collect();
        let mut known = Examined::default();
        keys.retain(
            |key| match self.sound.as_ref().and_then(|sound| sound.size(key)) {
                Some(size) => {
                    known.blocks += 1;
                    known.bytes += u64::from(size);
                    false
                }
                None => true,
            },
        );
        let rows = self.store.rows_of(&keys);
        let sizes = self.sound.is_some().then(|| sizes(&rows));
        let mut examined = examine(&self.store, rows)?;
        if let (Some(sound), Some(sizes)) = (&mut self.sound, sizes) {
            sound.remember(sizes, &examined);
        }
        examined.blocks += known.blocks;
        examined.bytes += known.bytes;
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
        if self.alone || Codec::of(cid) != Ok(Codec::DagPb) {
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

fn sizes(rows: &[Row]) -> Vec<(Vec<u8>, u32)> {
    let size = |row: &Row| match &row.told {
        Told::Entry(entry) => Some((row.key.clone(), entry.size)),
        _ => None,
    };
    rows.iter().filter_map(size).collect()
}
