//! [`Finding`]: one thing that is not as it should be.

use std::fmt;

use crate::cid::{Cid, Codec, Key, MAX_IDENTITY_SIZE};

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes that are not those that were written.
    Rot,
    /// A block that something kept needs, and that is not here.
    Missing,
    /// An index entry without bytes.
    Dangling,
    /// Bytes, or links, without an index entry.
    Orphan,
    /// What is known of a block is not true of its bytes: its entry, its links, or who links to it.
    Links,
    /// The sums of blocks and bytes.
    Sums,
    /// A pin that says nothing that can be read.
    Pin,
    /// A part of the database that cannot be read, so that nobody knows what is in it.
    Table,
    /// The log was cut off when the database was opened.
    Log,
}

impl Kind {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rot => "rot",
            Self::Missing => "missing",
            Self::Dangling => "dangling",
            Self::Orphan => "orphan",
            Self::Links => "links",
            Self::Sums => "sums",
            Self::Pin => "pin",
            Self::Table => "table",
            Self::Log => "log",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing.
    pub kind: Kind,
    /// The block, if it is about one, and that has a name.
    pub key: Option<Key>,
    /// More, for people.
    pub reason: String,
}

impl Finding {
    pub(crate) fn of(kind: Kind, key: &[u8], reason: impl Into<String>) -> Self {
        Self {
            kind,
            key: Key::from_bytes(key),
            reason: reason.into(),
        }
    }

    pub(crate) fn about(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            key: None,
            reason: reason.into(),
        }
    }

    pub(super) fn table(reason: String) -> Self {
        Self::about(Kind::Table, reason)
    }

    /// The block, read as raw bytes: its other names differ in codec and version only.
    #[must_use]
    pub fn raw_cid(&self) -> Option<Cid> {
        self.key.as_ref().and_then(|key| cid_of(key, Codec::Raw))
    }
}

/// The block `key`, read so.
pub(crate) fn cid_of(key: &Key, codec: Codec) -> Option<Cid> {
    let hash = multihash::Multihash::<MAX_IDENTITY_SIZE>::from_bytes(key.as_bytes()).ok()?;
    Some(Cid::new_v1(codec.code(), hash))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        if let Some(cid) = self.raw_cid() {
            write!(f, " {cid}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
