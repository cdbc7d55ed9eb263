//! Messages of `add`: how to add, what, and what it became.

mod shape;

use serde::{Deserialize, Serialize};
use store::Cid;
use store::unixfs::Name;
use store::unixfs::data::Metadata;

pub use self::shape::{Shape, ShapeError};
use super::{Kind, text};

/// How to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of `add`, independent of the others"
)]
pub struct AddOptions {
    /// All that shapes the CIDs of what is added.
    pub shape: Shape,
    /// Put everything into one directory, and answer with that.
    pub wrap: bool,
    /// What that directory says of itself.
    #[serde(default, skip_serializing_if = "Metadata::is_none")]
    pub wrapper: Metadata,
    /// Keep directories that have no entries.
    pub empty_dirs: bool,
    /// Say the CIDs, write nothing.
    pub only_hash: bool,
    /// Store without pinning: what is not pinned may be removed.
    pub no_pin: bool,
    /// A name for the pins.
    pub name: Option<String>,
}

/// One step of what is to be added, in the order of `store::unixfs::Entry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A directory begins.
    Dir {
        /// Its name.
        name: Name,
        /// What its node says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
    },
    /// A file; the descriptor that comes with this frame is read once, to the end.
    File {
        /// Its name.
        name: Name,
        /// What its root says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
        /// Its size in bytes where it is known, for the progress only.
        size: Option<u64>,
    },
    /// A symbolic link.
    Symlink {
        /// Its name.
        name: Name,
        /// What its node says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
        /// Where it points.
        target: Name,
    },
    /// The innermost open directory is complete.
    End,
    /// The client could not read its files: nothing is added.
    Failed {
        /// Why, for people; it comes back in [`Event::Failed`].
        message: String,
    },
    /// That was all.
    Finish,
}

impl Step {
    /// The beginning of a directory without metadata.
    pub fn dir(name: impl Into<Name>) -> Self {
        Self::Dir {
            name: name.into(),
            metadata: Metadata::NONE,
        }
    }

    /// A file without metadata, of a size that is not known.
    pub fn file(name: impl Into<Name>) -> Self {
        Self::File {
            name: name.into(),
            metadata: Metadata::NONE,
            size: None,
        }
    }

    /// A symbolic link without metadata.
    pub fn symlink(name: impl Into<Name>, target: impl Into<Name>) -> Self {
        Self::Symlink {
            name: name.into(),
            metadata: Metadata::NONE,
            target: target.into(),
        }
    }
}

/// An added root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The name of what was added; empty for the wrapping directory.
    pub name: Name,
    /// Its CID.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Bytes of its files.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
}
