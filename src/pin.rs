//! [`Pins`]: which DAGs are kept.
//!
//! Invariant (I3): a pin is on disk only after every block that was put before it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::blockstore::{RocksStore, StoreError, schema};
use crate::cid::{self, Cid};
use crate::keep::{RECURSIVE, pin_key};

/// A DAG that is kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its root.
    pub root: Cid,
    /// What the user calls it.
    pub name: Option<String>,
    /// When it was pinned, in seconds since 1970.
    pub created: u64,
}

/// The pins of a repo.
#[derive(Clone)]
pub struct Pins {
    store: Arc<RocksStore>,
    /// Held from reading a pin to writing it.
    writing: Arc<Mutex<()>>,
}

impl Pins {
    pub(crate) fn new(store: Arc<RocksStore>) -> Self {
        Self {
            store,
            writing: Arc::default(),
        }
    }

    /// Pins, durably: commits every block that was put before, then writes the pin and syncs. Whoever
    /// pins need not commit.
    ///
    /// A DAG that is pinned already keeps its first date, and its name unless a new one is given.
    /// Both CID versions of one root are one pin.
    pub fn add(&self, pin: &Pin) -> Result<(), StoreError> {
        // It guards no data: a panic of another holder does no harm.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pin = pin.clone();
        if let Some(old) = self.get(&pin.root)? {
            pin.created = old.created;
            pin.name = pin.name.or(old.name);
        }
        let change = (key(&pin.root), Some(encode(&pin)));
        self.store.table_write_durably(schema::KEEP, &[change])?;
        self.store.leases().note_change();
        Ok(())
    }

    /// Unpins, durably. Whether there was such a pin.
    pub fn remove(&self, root: &Cid) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let there = self.get(root)?.is_some();
        if there {
            self.store
                .table_write_durably(schema::KEEP, &[(key(root), None)])?;
        }
        Ok(there)
    }

    /// The pin of `root`.
    pub fn get(&self, root: &Cid) -> Result<Option<Pin>, StoreError> {
        let value = self.store.table_get(schema::KEEP, &key(root))?;
        value
            .map(|value| decode(&value).ok_or_else(malformed))
            .transpose()
    }

    /// All pins, in no order that means anything.
    pub fn list(&self) -> Result<Vec<Pin>, StoreError> {
        let mut pins = Vec::new();
        let mut whole = true;
        self.store
            .table_scan(schema::KEEP, &[RECURSIVE], &mut |_, value| {
                let pin = decode(value);
                whole = pin.is_some();
                pins.extend(pin);
                whole
            })?;
        if whole { Ok(pins) } else { Err(malformed()) }
    }
}

fn key(root: &Cid) -> Vec<u8> {
    pin_key(RECURSIVE, root.codec(), &root.hash().to_bytes())
}

/// Length and bytes of the CID, date as a varint, then the name's bytes behind a 1, or a 0.
fn encode(pin: &Pin) -> Vec<u8> {
    let mut out = Vec::new();
    schema::put_bytes(&mut out, &pin.root.to_bytes());
    schema::put_varint(&mut out, pin.created);
    out.push(u8::from(pin.name.is_some()));
    out.extend(pin.name.iter().flat_map(|name| name.bytes()));
    out
}

fn decode(mut bytes: &[u8]) -> Option<Pin> {
    let root = cid::from_bytes(schema::take_bytes(&mut bytes)?).ok()?;
    let created = schema::take_varint(&mut bytes)?;
    let name = match bytes.split_first()? {
        (0, []) => None,
        (1, name) => Some(String::from_utf8(name.to_vec()).ok()?),
        _ => return None,
    };
    Some(Pin {
        root,
        name,
        created,
    })
}

fn malformed() -> StoreError {
    StoreError::Database {
        reason: "a malformed pin".into(),
    }
}
