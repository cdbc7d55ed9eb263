//! [`ProviderStore`]: who says that he has what, for the part of the DHT that this node keeps.
//!
//! libp2p's own store forgets everything at a restart, counts its own keys against the same quota as
//! everybody's, refuses newcomers once it is full, and never sweeps. This one
//! - keeps others' records on disk, behind its back ([`Writer`]), with their expiry in wall-clock time;
//! - is bounded in all, for each key and for each peer, and replaces at random when full, so that who
//!   came first cannot squat;
//! - keeps our own keys apart: [`super::provide`] bounds and remembers them.
//!
//! Called inside the swarm's task: memory only, nothing here waits.

mod row;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime};

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};
use store::records::Family;

pub(crate) use self::row::{Remembered, load};
use crate::address::MAX_ADDRESSES;
use crate::writer::Writer;

/// How long a provider record holds (libp2p's Kademlia specification). Providers tell again in a
/// quarter of it.
pub(crate) const PROVIDER_TTL: Duration = Duration::from_secs(48 * 3600);

/// Others' records at most, of all keys: about 30 MiB of them with a few addresses each.
pub(crate) const MAX_RECORDS: usize = 100_000;

/// Records of one peer at most. It takes thirteen peers in league to fill the store.
const MAX_PER_PEER: usize = 8192;

/// Providers of one key at most: the replication factor of Kademlia, and as many as an answer holds.
const MAX_PER_KEY: usize = 20;

/// The longest key: the multihash of an identity CID that carries 128 bytes, which may be a root with
/// much below it. Others are 66 bytes at most.
const MAX_KEY: usize = 131;

/// Records looked at by one sweep; at one sweep a second, the whole store within two minutes.
const SWEPT: usize = 1000;

/// The store.
pub(crate) struct ProviderStore {
    local: PeerId,
    own: HashSet<RecordKey>,
    /// All others' records, in no order, so that one can be picked at random and swept in turn.
    records: Vec<Stored>,
    /// Where in `records` the providers of a key are.
    by_key: HashMap<RecordKey, Vec<usize>>,
    per_peer: HashMap<PeerId, usize>,
    swept: usize,
    writer: Writer,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    key: RecordKey,
    provider: PeerId,
    addresses: Vec<Multiaddr>,
    expires: SystemTime,
}

impl ProviderStore {
    /// A store with our own keys, and what was [`load`]ed of others'.
    pub(crate) fn new(
        local: PeerId,
        own: &[RecordKey],
        remembered: Remembered,
        writer: Writer,
    ) -> Self {
        let mut store = Self {
            local,
            own: own.iter().cloned().collect(),
            records: Vec::new(),
            by_key: HashMap::new(),
            per_peer: HashMap::new(),
            swept: 0,
            writer,
        };
        for record in remembered {
            if store.has_room(&record) {
                store.push(record);
            }
        }
        store
    }

    /// Others' records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Drops what has expired among the next few records.
    pub(crate) fn sweep(&mut self, now: SystemTime) {
        for _ in 0..SWEPT.min(self.records.len()) {
            if self.swept >= self.records.len() {
                self.swept = 0;
            }
            match self.records.get(self.swept) {
                // Another one takes its place, and is looked at next.
                Some(record) if record.expires <= now => self.drop_at(self.swept),
                Some(_) => self.swept += 1,
                None => return,
            }
        }
    }

    fn has_room(&self, record: &Stored) -> bool {
        let of_peer = self.per_peer.get(&record.provider).copied().unwrap_or(0);
        let of_key = self.by_key.get(&record.key).map_or(0, Vec::len);
        self.records.len() < MAX_RECORDS && of_peer < MAX_PER_PEER && of_key < MAX_PER_KEY
    }

    fn push(&mut self, record: Stored) {
        *self.per_peer.entry(record.provider).or_default() += 1;
        self.by_key
            .entry(record.key.clone())
            .or_default()
            .push(self.records.len());
        self.records.push(record);
    }

    fn position(&self, key: &RecordKey, provider: &PeerId) -> Option<usize> {
        let places = self.by_key.get(key)?;
        places
            .iter()
            .copied()
            .find(|&at| self.records[at].provider == *provider)
    }

    /// Removes a record, here and on disk.
    fn drop_at(&mut self, at: usize) {
        let record = self.records.swap_remove(at);
        self.writer
            .delete(Family::Providers, row::key(&record.key, &record.provider));
        if let Some(places) = self.by_key.get_mut(&record.key) {
            places.retain(|&place| place != at);
            if places.is_empty() {
                self.by_key.remove(&record.key);
            }
        }
        if let Some(count) = self.per_peer.get_mut(&record.provider) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&record.provider);
            }
        }
        // The last record has moved to the free place.
        if let Some(moved) = self.records.get(at)
            && let Some(places) = self.by_key.get_mut(&moved.key)
        {
            let was = self.records.len();
            for place in places.iter_mut().filter(|place| **place == was) {
                *place = at;
            }
        }
    }

    /// Makes room for a record by dropping another at random, where its key or the whole store is full.
    /// A full quota of its own peer refuses it.
    fn make_room(&mut self, record: &Stored) -> Result<()> {
        if self
            .per_peer
            .get(&record.provider)
            .is_some_and(|&count| count >= MAX_PER_PEER)
        {
            return Err(Error::MaxProvidedKeys);
        }
        if let Some(places) = self.by_key.get(&record.key)
            && places.len() >= MAX_PER_KEY
        {
            let victim = places[rand::random_range(0..places.len())];
            self.drop_at(victim);
        }
        if self.records.len() >= MAX_RECORDS {
            self.drop_at(rand::random_range(0..self.records.len()));
        }
        Ok(())
    }

    fn show(record: &Stored) -> Option<ProviderRecord> {
        let left = record.expires.duration_since(SystemTime::now()).ok()?;
        Some(ProviderRecord {
            key: record.key.clone(),
            provider: record.provider,
            expires: Some(Instant::now() + left),
            addresses: record.addresses.clone(),
        })
    }

    fn show_own(&self, key: &RecordKey) -> ProviderRecord {
        // Without addresses: Kademlia fills in those that hold when it answers.
        ProviderRecord::new(key.clone(), self.local, Vec::new())
    }
}

impl RecordStore for ProviderStore {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    /// Our network has no value records.
    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if record.provider == self.local {
            // `provide` bounds these.
            self.own.insert(record.key);
            return Ok(());
        }
        if record.key.as_ref().len() > MAX_KEY {
            return Err(Error::ValueTooLarge);
        }
        let mut addresses = record.addresses;
        addresses.truncate(MAX_ADDRESSES);
        let stored = Stored {
            key: record.key,
            provider: record.provider,
            addresses,
            expires: SystemTime::now() + PROVIDER_TTL,
        };
        let (key, value) = stored.encode();
        if let Some(at) = self.position(&stored.key, &stored.provider) {
            self.records[at] = stored;
        } else {
            self.make_room(&stored)?;
            self.push(stored);
        }
        self.writer.put(Family::Providers, key, value);
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let places = self.by_key.get(key).into_iter().flatten();
        let others = places.filter_map(|&at| Self::show(&self.records[at]));
        let own = self.own.contains(key).then(|| self.show_own(key));
        own.into_iter().chain(others).collect()
    }

    /// Only Kademlia's own republishing asks, which is off.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
        } else if let Some(at) = self.position(key, provider) {
            self.drop_at(at);
        }
    }
}

#[cfg(test)]
mod tests;
