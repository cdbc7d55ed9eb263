//! Provider records on disk: key length (one byte), key and provider → expiry (Unix seconds, since a
//! monotonic clock means nothing after a restart) and addresses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::kad::RecordKey;
use libp2p::{Multiaddr, PeerId};
use prost::Message;
use store::blockstore::StoreError;
use store::records::Family;
use store::repo::Repo;

use super::{MAX_RECORDS, PROVIDER_TTL, Stored};
use crate::address::{MAX_ADDRESS_SIZE, MAX_ADDRESSES};

#[derive(Clone, PartialEq, Eq, Message)]
struct Row {
    #[prost(uint64, tag = "1")]
    expires: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
}

/// What the disk remembers.
pub(crate) type Remembered = Vec<Stored>;

/// Reads the records that have not expired, and deletes those that have. Blocking.
pub(crate) fn load(repo: &Repo) -> Result<Remembered, StoreError> {
    let now = SystemTime::now();
    let (mut remembered, mut expired) = (Vec::new(), Vec::new());
    let records = repo.records(Family::Providers);
    records.for_each(&mut |key, value| {
        match Stored::decode(key, value) {
            Some(record) if record.expires > now => remembered.push(record),
            _ => expired.push((key.to_vec(), None)),
        }
        remembered.len() < MAX_RECORDS && expired.len() < MAX_RECORDS
    })?;
    if !expired.is_empty() {
        records.write_batch(&expired)?;
    }
    Ok(remembered)
}

/// The key on disk.
pub(super) fn key(key: &RecordKey, provider: &PeerId) -> Vec<u8> {
    let key = key.as_ref();
    let length = u8::try_from(key.len()).expect("longer keys are refused at the door");
    let mut bytes = vec![length];
    bytes.extend_from_slice(key);
    bytes.extend(provider.to_bytes());
    bytes
}

impl Stored {
    /// Key and value on disk.
    pub(super) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let expires = self
            .expires
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let addresses = self.addresses.iter().map(Multiaddr::to_vec).collect();
        (
            key(&self.key, &self.provider),
            Row { expires, addresses }.encode_to_vec(),
        )
    }

    /// Reads them back; `None` for what this version cannot read.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (&length, rest) = key.split_first()?;
        let (key, provider) = rest.split_at_checked(length.into())?;
        let row = Row::decode(value).ok()?;
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(row.expires))?;
        // A clock that was set back must not make records everlasting.
        let expires = expires.min(SystemTime::now() + PROVIDER_TTL);
        let addresses = row
            .addresses
            .into_iter()
            .take(MAX_ADDRESSES)
            .filter(|bytes| bytes.len() <= MAX_ADDRESS_SIZE)
            .filter_map(|bytes| Multiaddr::try_from(bytes).ok())
            .collect();
        let provider = PeerId::from_bytes(provider).ok()?;
        Some(Self {
            key: RecordKey::new(&key),
            provider,
            addresses,
            expires,
        })
    }
}
