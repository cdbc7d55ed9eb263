//! [`Pins`]: which content is kept, in what name, with which labels, and until when.
//!
//! Invariant (I3): a pin is on disk only after every block that was put before it.

mod entry;
mod filter;
mod holders;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blockstore::{Change, RocksStore, StoreError, schema};
use crate::cached::Cached;
use crate::cid::Cid;
use crate::keep::{EXPIRY, pin_key};

pub use entry::{LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX, Labels, NAME_MAX, Pin, PinKind};
pub use filter::{Filter, Label, NameFilter};
pub use holders::{Held, Holder, Holders, Place, Whereabouts};

/// Pins that are read, or written, together.
const PAGE: usize = 1024;

/// Why a pin was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// A direct pin where a recursive one is.
    #[error("`{cid}` is pinned with all below it already; unpin it first to keep its block alone")]
    Recursive {
        /// The root.
        cid: Cid,
    },
    /// No recursive pin where one is needed.
    #[error("`{cid}` is not pinned with all below it")]
    NotPinned {
        /// The root.
        cid: Cid,
    },
    /// A part of the pin that is too long.
    #[error("a pin's {what} of {size} bytes; at most {limit} are allowed")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More than [`LABELS_MAX`] labels.
    #[error("{count} labels on a pin; at most {LABELS_MAX} are allowed")]
    TooManyLabels {
        /// How many.
        count: usize,
    },
    /// No label.
    #[error("`{text}` is no label: {reason}")]
    Label {
        /// What was given, cut at 128 characters.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A pin as it is wanted. What is said here is set; the rest of a pin that is there already stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The root.
    pub root: Cid,
    /// What of it is kept.
    pub kind: PinKind,
    /// Its name; `None` leaves it.
    pub name: Option<String>,
    /// Labels to set. An empty value takes a label away.
    pub labels: Vec<Label>,
    /// Until when.
    pub expiry: Expiry,
    /// The time, in seconds since 1970: [`now`].
    pub now: u64,
}

/// Until when a pin is wanted. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// As long as it is kept already; for good where it is not.
    Unchanged,
    /// For good.
    Never,
    /// Until this time, even where it would be kept longer now.
    At(u64),
    /// Until this time, or as long as it is kept already.
    NotBefore(u64),
}

impl Wanted {
    /// A recursive pin for good.
    #[must_use]
    pub const fn new(root: Cid, now: u64) -> Self {
        Self {
            root,
            kind: PinKind::Recursive,
            name: None,
            labels: Vec::new(),
            expiry: Expiry::Never,
            now,
        }
    }

    /// What is there, `old`, with what is wanted.
    fn over(&self, old: Option<Pin>) -> Pin {
        let is_new = old.is_none();
        let mut pin = old.unwrap_or_else(|| Pin::new(self.root, self.now));
        pin.kind = self.kind;
        pin.name = self.name.clone().or(pin.name);
        for Label { key, value } in &self.labels {
            if value.is_empty() {
                pin.labels.remove(key);
            } else {
                pin.labels.insert(key.clone(), value.clone());
            }
        }
        pin.expires = match self.expiry {
            Expiry::Unchanged => pin.expires,
            Expiry::Never => None,
            Expiry::At(time) => Some(time),
            Expiry::NotBefore(time) if is_new => Some(time),
            Expiry::NotBefore(time) => pin.expires.map(|old| old.max(time)),
        };
        pin
    }
}

/// Now, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The pins of a repo. One that has expired is not there any more, whether it was removed or not.
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

    fn writing(&self) -> MutexGuard<'_, ()> {
        // It guards no data: a panic of another holder does no harm.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins, durably: commits every block that was put before, then writes the pin and syncs. Whoever
    /// pins need not commit. Returns the pin as it is now.
    ///
    /// What is pinned already keeps its first date and what `wanted` does not change. Both CID versions
    /// of one root are one pin. A direct pin becomes recursive where that is wanted, not the other way
    /// round.
    pub fn add(&self, wanted: &Wanted) -> Result<Pin, PinError> {
        let _writing = self.writing();
        let recursive = self.kept(PinKind::Recursive, &wanted.root, wanted.now)?;
        let direct = self.kept(PinKind::Direct, &wanted.root, wanted.now)?;
        if wanted.kind == PinKind::Direct && recursive.is_some() {
            return Err(PinError::Recursive { cid: wanted.root });
        }
        let pin = wanted.over(recursive.or(direct));
        pin.check()?;
        let mut changes = Vec::new();
        if wanted.kind == PinKind::Recursive {
            self.unset(PinKind::Direct, &pin.root, &mut changes)?;
        }
        self.set(&pin, &mut changes)?;
        self.write(&changes, &pin.root)?;
        Ok(pin)
    }

    /// Pins `new` in the place of `old`, in one step: it takes over the name, labels and expiry; with
    /// `keep_old`, `old` stays pinned as well. Returns the new pin.
    ///
    /// A name that `new` had of its own, and labels that `old` has not, stay; of two expiries it gets
    /// the later one.
    pub fn replace(&self, old: &Cid, new: &Cid, keep_old: bool, now: u64) -> Result<Pin, PinError> {
        let _writing = self.writing();
        let was = self.kept(PinKind::Recursive, old, now)?;
        let was = was.ok_or(PinError::NotPinned { cid: *old })?;
        if key(PinKind::Recursive, old) == key(PinKind::Recursive, new) {
            return Ok(was);
        }
        let there = self.kept(PinKind::Recursive, new, now)?;
        let direct = self.kept(PinKind::Direct, new, now)?;
        let pin = match there.or(direct) {
            None => Pin {
                root: *new,
                created: now,
                ..was
            },
            Some(mut pin) => {
                pin.kind = PinKind::Recursive;
                pin.name = pin.name.or(was.name);
                pin.labels.extend(was.labels);
                pin.expires = pin.expires.zip(was.expires).map(|(a, b)| a.max(b));
                pin
            }
        };
        pin.check()?;
        let mut changes = Vec::new();
        if !keep_old {
            Cached::new(Arc::clone(&self.store)).touch(old)?;
            self.unset(PinKind::Recursive, old, &mut changes)?;
        }
        self.unset(PinKind::Direct, new, &mut changes)?;
        self.set(&pin, &mut changes)?;
        self.write(&changes, &pin.root)?;
        Ok(pin)
    }

    /// Removes a pin, durably; the one that was, if there was one. From now on nothing is kept for its
    /// sake; [`Pins::unpin`] is milder.
    pub fn remove(&self, root: &Cid) -> Result<Option<Pin>, StoreError> {
        let _writing = self.writing();
        let there = self.get(root)?;
        if let Some(pin) = &there {
            let mut changes = Vec::new();
            self.unset(pin.kind, &pin.root, &mut changes)?;
            self.store.table_write_durably(schema::KEEP, &changes)?;
        }
        Ok(there)
    }

    /// Unpins, durably; the pin that was, if there was one. The content becomes cache, used now.
    pub fn unpin(&self, root: &Cid) -> Result<Option<Pin>, StoreError> {
        let _writing = self.writing();
        let there = self.get(root)?;
        self.unpin_all(there.as_slice())?;
        Ok(there)
    }

    /// Unpins all that `filter` means, durably, some at a time, and calls `each` with those that are
    /// gone, until it returns `false`. Their content becomes cache.
    pub fn unpin_matching(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Pin) -> bool,
    ) -> Result<(), StoreError> {
        let mut after = Vec::new();
        loop {
            let writing = self.writing();
            let mut found = Vec::new();
            let more = self.page(&mut after, &mut |pin| {
                found.extend(Some(pin).filter(|pin| filter.matches(pin)));
            })?;
            self.unpin_all(&found)?;
            drop(writing);
            if !found.into_iter().all(&mut *each) || !more {
                return Ok(());
            }
        }
    }

    /// Removes the pins that have expired at `now` (seconds since 1970), and says which they were.
    /// Their content becomes cache.
    pub fn expire(&self, now: u64) -> Result<Vec<Pin>, StoreError> {
        let mut expired = Vec::new();
        loop {
            let _writing = self.writing();
            let mut rows = Vec::new();
            self.store
                .table_scan(schema::KEEP, &[EXPIRY], &mut |row, _| {
                    let due = expiry_of(row).is_some_and(|time| time <= now);
                    rows.extend(due.then(|| row.to_vec()));
                    due && rows.len() < PAGE
                })?;
            if rows.is_empty() {
                return Ok(expired);
            }
            let mut found = Vec::new();
            for row in &rows {
                let key = &row[EXPIRY_HEAD..];
                let value = self.store.table_get(schema::KEEP, key)?;
                let pin = value.and_then(|value| decode(key, &value));
                // Only then is the row about this pin as it is now.
                found.extend(pin.filter(|pin| pin.is_expired(now)));
            }
            self.unpin_all(&found)?;
            // Rows of pins that are not there, which nobody writes, would be met for ever.
            let rows: Vec<Change> = rows.into_iter().map(|row| (row, None)).collect();
            self.store.table_write(schema::KEEP, &rows)?;
            expired.extend(found);
        }
    }

    /// The pin of `root`; the recursive one of both kinds.
    pub fn get(&self, root: &Cid) -> Result<Option<Pin>, StoreError> {
        let now = now();
        for kind in PinKind::ALL {
            let pin = self.kept(kind, root, now)?;
            if pin.is_some() {
                return Ok(pin);
            }
        }
        Ok(None)
    }

    /// Whether `root` itself is pinned, and all below it.
    pub fn is_recursive(&self, root: &Cid) -> Result<bool, StoreError> {
        Ok(self.kept(PinKind::Recursive, root, now())?.is_some())
    }

    /// Calls `each` with all pins until it returns `false`: those of one kind behind those of the
    /// other, in the order of their keys, which means nothing. In bounded memory; `each` may take its
    /// time.
    pub fn for_each(&self, each: &mut dyn FnMut(Pin) -> bool) -> Result<(), StoreError> {
        let mut after = Vec::new();
        loop {
            let mut page = Vec::new();
            let more = self.page(&mut after, &mut |pin| page.push(pin))?;
            if !page.into_iter().all(&mut *each) || !more {
                return Ok(());
            }
        }
    }

    /// All pins, in the order of [`Pins::for_each`]. Where there may be many, that is better.
    pub fn list(&self) -> Result<Vec<Pin>, StoreError> {
        let mut pins = Vec::new();
        self.for_each(&mut |pin| {
            pins.push(pin);
            true
        })?;
        Ok(pins)
    }

    /// How many there are, expired ones that nobody removed included: looks at each key.
    pub fn count(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for kind in PinKind::ALL {
            self.store
                .table_scan(schema::KEEP, &[kind.tag()], &mut |_, _| {
                    count += 1;
                    true
                })?;
        }
        Ok(count)
    }

    /// Some pins behind the key `after`, which moves on; whether there may be more.
    fn page(&self, after: &mut Vec<u8>, each: &mut dyn FnMut(Pin)) -> Result<bool, StoreError> {
        let now = now();
        let (mut seen, mut whole) = (0, true);
        for kind in PinKind::ALL {
            if after.first().is_some_and(|tag| *tag != kind.tag()) && is_past(kind, after) {
                continue;
            }
            let from = if after.first() == Some(&kind.tag()) {
                after.clone()
            } else {
                vec![kind.tag()]
            };
            self.store
                .table_scan_from(schema::KEEP, &from, &mut |key, value| {
                    if key == from.as_slice() {
                        return true;
                    }
                    if key.first() != Some(&kind.tag()) {
                        return false;
                    }
                    let pin = Pin::decode(kind, value);
                    whole = pin.is_some();
                    pin.into_iter()
                        .filter(|pin| !pin.is_expired(now))
                        .for_each(&mut *each);
                    seen += 1;
                    after.clear();
                    after.extend_from_slice(key);
                    whole && seen < PAGE
                })?;
            if !whole {
                return Err(malformed());
            }
            if seen >= PAGE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The pin of one kind, unless it has expired at `now`.
    fn kept(&self, kind: PinKind, root: &Cid, now: u64) -> Result<Option<Pin>, StoreError> {
        let pin = self.stored(kind, root)?;
        Ok(pin.filter(|pin| !pin.is_expired(now)))
    }

    /// The pin of one kind, expired or not.
    fn stored(&self, kind: PinKind, root: &Cid) -> Result<Option<Pin>, StoreError> {
        let value = self.store.table_get(schema::KEEP, &key(kind, root))?;
        value
            .map(|value| Pin::decode(kind, &value).ok_or_else(malformed))
            .transpose()
    }

    /// Collects what writes `pin`, in the place of what is there.
    fn set(&self, pin: &Pin, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        self.unset(pin.kind, &pin.root, changes)?;
        changes.push((key(pin.kind, &pin.root), Some(pin.encode())));
        changes.extend(expiry_row(pin).map(|row| (row, Some(Vec::new()))));
        Ok(())
    }

    /// Collects what removes a pin, if it is there.
    fn unset(
        &self,
        kind: PinKind,
        root: &Cid,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        if let Some(pin) = self.stored(kind, root)? {
            changes.push((key(kind, root), None));
            changes.extend(expiry_row(&pin).map(|row| (row, None)));
        }
        Ok(())
    }

    /// Removes pins that are there. Before that their content is noted as cache, so that a collection
    /// in between does not take it for nobody's.
    fn unpin_all(&self, pins: &[Pin]) -> Result<(), StoreError> {
        let cached = Cached::new(Arc::clone(&self.store));
        let mut changes = Vec::new();
        for pin in pins {
            cached.touch(&pin.root)?;
            changes.push((key(pin.kind, &pin.root), None));
            changes.extend(expiry_row(pin).map(|row| (row, None)));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.store.table_write_durably(schema::KEEP, &changes)
    }

    /// Writes that `root` is pinned.
    fn write(&self, changes: &[Change], root: &Cid) -> Result<(), StoreError> {
        self.store.table_write_durably(schema::KEEP, changes)?;
        self.store.leases().note_changes(&[root.hash().to_bytes()]);
        Ok(())
    }
}

fn key(kind: PinKind, root: &Cid) -> Vec<u8> {
    pin_key(kind.tag(), root.codec(), &root.hash().to_bytes())
}

/// Whether all pins of this kind are before `after`.
fn is_past(kind: PinKind, after: &[u8]) -> bool {
    let place = |tag: u8| PinKind::ALL.iter().position(|kind| kind.tag() == tag);
    after.first().and_then(|tag| place(*tag)) > place(kind.tag())
}

/// Bytes of an expiry row before the pin's key.
const EXPIRY_HEAD: usize = 9;

/// The row that finds a pin by its expiry: the time big-endian, then the pin's key.
fn expiry_row(pin: &Pin) -> Option<Vec<u8>> {
    let time = pin.expires?.to_be_bytes();
    Some([&[EXPIRY], &time[..], &key(pin.kind, &pin.root)].concat())
}

fn expiry_of(row: &[u8]) -> Option<u64> {
    let time = row.get(1..EXPIRY_HEAD)?;
    Some(u64::from_be_bytes(time.try_into().ok()?))
}

/// The pin of this key and value.
fn decode(key: &[u8], value: &[u8]) -> Option<Pin> {
    let kind = PinKind::ALL
        .into_iter()
        .find(|kind| key.first() == Some(&kind.tag()))?;
    Pin::decode(kind, value)
}

fn malformed() -> StoreError {
    StoreError::Database {
        reason: "a malformed pin".into(),
    }
}

#[cfg(test)]
mod tests;
