//! [`Sweep`]: goes over the index once and removes what nothing keeps.

use std::collections::HashSet;

use super::live::{Budget, Changed, Live};
use super::{Collected, Collector};
use crate::blockstore::schema::{self, Children, Entry, INDEX, META};
use crate::blockstore::{RocksStore, StoreError};
use crate::cid::Key;

/// Blocks that are looked at in one step: about two milliseconds.
const STEP: usize = 512;
/// Rows that are deleted under the writer's lock at once: some milliseconds.
const ROWS: u64 = 1024;
/// A link takes no less than this in a block; a node deletes a row for each.
const LINK_SIZE: u64 = 40;
/// Steps after which the place is written down.
const STEPS_SAVED: u64 = 128;
/// In the family [`META`]: the key at which the collection is. Not there when none is under way.
const CURSOR: &[u8] = b"gc cursor";

/// One way around the index: from where the last one was cut off to the end, then from the beginning to
/// there.
pub(super) struct Sweep<'a> {
    collector: &'a Collector,
    live: Live<'a>,
    /// Blocks of this generation and later stay.
    horizon: u64,
    dry: bool,
    /// The next key.
    at: Vec<u8>,
    /// Where it ends, on the second part of the way.
    end: Option<Vec<u8>>,
    began: Vec<u8>,
    steps: u64,
    collected: Collected,
}

/// A block that nothing keeps.
pub(super) struct Victim {
    pub(super) key: Key,
    pub(super) entry: Entry,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        collector: &'a Collector,
        live: Live<'a>,
        horizon: u64,
        dry: bool,
    ) -> Result<Self, StoreError> {
        let began = if dry {
            Vec::new()
        } else {
            collector.store.table_get(META, CURSOR)?.unwrap_or_default()
        };
        Ok(Self {
            collector,
            live,
            horizon,
            dry,
            at: began.clone(),
            end: None,
            began,
            steps: 0,
            collected: Collected::default(),
        })
    }

    pub(super) const fn collected(&self) -> Collected {
        self.collected
    }

    /// Looks at the next blocks. Whether it has been around.
    pub(super) fn step(&mut self) -> Result<bool, StoreError> {
        let (victims, done) = self.look()?;
        if self.dry {
            for victim in &victims {
                self.collected.blocks += 1;
                self.collected.bytes += u64::from(victim.entry.size);
            }
        } else {
            remove(
                self.collector,
                &mut self.live,
                self.horizon,
                victims,
                &mut self.collected,
            )?;
        }
        self.steps += 1;
        if !self.dry && (done || self.steps.is_multiple_of(STEPS_SAVED)) {
            let cursor = (!done).then(|| self.at.clone());
            self.collector
                .store
                .table_write(META, &[(CURSOR.to_vec(), cursor)])?;
        }
        Ok(done)
    }

    fn look(&mut self) -> Result<(Vec<Victim>, bool), StoreError> {
        let (found, next) = page(&self.collector.store, &self.at, self.end.as_deref())?;
        let done = match next {
            Some(next) => {
                self.at = next;
                false
            }
            // The first part of the way is done; there is a second one if it did not begin at the
            // beginning.
            None if self.end.is_none() && !self.began.is_empty() => {
                self.end = Some(std::mem::take(&mut self.began));
                self.at = Vec::new();
                false
            }
            None => true,
        };
        self.collected.seen += found.len() as u64;
        Ok((victims(&mut self.live, self.horizon, found)?, done))
    }
}

/// Blocks in the order of their keys, and the key behind them, if there is one.
pub(super) type Page = (Vec<(Vec<u8>, Entry)>, Option<Vec<u8>>);

/// What the index has from `at` on, and before `end`, as much as is looked at together.
pub(super) fn page(store: &RocksStore, at: &[u8], end: Option<&[u8]>) -> Result<Page, StoreError> {
    let mut found = Vec::with_capacity(STEP);
    let mut next = None;
    store.table_scan_from(INDEX, at, &mut |key, value| {
        if end.is_some_and(|end| key >= end) {
            return false;
        }
        if found.len() == STEP {
            next = Some(key.to_vec());
            return false;
        }
        // What is malformed is not ours to judge: `verify` tells of it.
        found.extend(Entry::decode(value).map(|entry| (key.to_vec(), entry)));
        true
    })?;
    Ok((found, next))
}

/// Those of these blocks, which are in the order of their keys, that nothing keeps.
pub(super) fn victims(
    live: &mut Live<'_>,
    horizon: u64,
    mut blocks: Vec<(Vec<u8>, Entry)>,
) -> Result<Vec<Victim>, StoreError> {
    live.refresh()?;
    blocks.retain(|(_, entry)| !is_young(*entry, horizon));
    let keys: Vec<&[u8]> = blocks.iter().map(|(key, _)| key.as_slice()).collect();
    let kept = live.keeps(&keys, Budget::UNLIMITED)?;
    let mut victims = Vec::new();
    for ((key, entry), kept) in blocks.into_iter().zip(kept) {
        if !kept {
            victims.extend(Key::from_bytes(&key).map(|key| Victim { key, entry }));
        }
    }
    Ok(victims)
}

/// Whether somebody may need the block who has not told yet for what.
pub(super) const fn is_young(entry: Entry, horizon: u64) -> bool {
    entry.born >= horizon
}

/// Removes the victims that are still ones, some at a time.
pub(super) fn remove(
    collector: &Collector,
    live: &mut Live<'_>,
    horizon: u64,
    victims: Vec<Victim>,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    let mut victims = victims.into_iter().peekable();
    while victims.peek().is_some() {
        let mut rows = 0;
        let mut keys = Vec::new();
        while let Some(victim) = victims.next_if(|victim| rows == 0 || rows + cost(victim) <= ROWS)
        {
            rows += cost(&victim);
            keys.push(victim.key);
        }
        let mut writer = collector.store.writer();
        // As it is now, and until the lock is given back.
        let entries = collector.store.raw_entries(&keys)?;
        let mut still: Vec<(&Key, Entry)> = keys
            .iter()
            .zip(entries)
            .filter_map(|(key, entry)| Some((key, entry?)))
            .filter(|(_, entry)| !is_young(*entry, horizon))
            .collect();
        let changed = live.refresh()?;
        let doubtful = still.iter().map(|(key, _)| *key);
        let doubtful: Vec<&Key> = match changed {
            Changed::Nothing => Vec::new(),
            Changed::Only(blocks) => doubtful
                .filter(|key| blocks.contains(&live.hash(key.as_bytes())))
                .collect(),
            Changed::All => doubtful.collect(),
        };
        if !doubtful.is_empty() {
            let kept = live.keeps(&doubtful, Budget::UNDER_LOCK)?;
            let kept = doubtful.into_iter().zip(kept).filter(|(_, kept)| *kept);
            let kept: HashSet<&Key> = kept.map(|(key, _)| key).collect();
            still.retain(|(key, _)| !kept.contains(key));
        }
        let removed = collector.store.remove_known(&mut writer, still)?;
        collected.removed(removed);
    }
    Ok(())
}

/// Rows that the removal deletes, about.
fn cost(victim: &Victim) -> u64 {
    let links = match victim.entry.children {
        Children::Stored => u64::from(victim.entry.size) / LINK_SIZE,
        Children::None | Children::Undecided => 0,
    };
    4 + links
}

/// The blocks that a removed node linked to: they may be kept by nothing now.
pub(super) fn children(collector: &Collector, key: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(schema::held(&collector.store.stored_links(key)?))
}
