//! Messages of `add`: how to add, what, and what it became.

use serde::{Deserialize, Serialize};
use store::Cid;
use store::chunk::ChunkerError;
use store::unixfs::Name;
use store::unixfs::data::Metadata;
use store::unixfs::profile::{Profile, UnknownProfile};

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

/// What shapes CIDs: a profile, and where it is departed from. Texts as people type them, so that
/// whoever holds the repo says what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The profile's name (`unixfs-v1-2025`).
    pub profile: String,
    /// Another chunker than the profile's (`size-262144`).
    pub chunker: Option<String>,
    /// Whether entries say permissions or times: then leaves are never raw, for a raw one that is all
    /// of its file could not say them.
    #[serde(default)]
    pub described: bool,
}

/// What is wrong with a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No such profile.
    #[error("`--profile`: {0}")]
    Profile(#[from] UnknownProfile),
    /// No such chunker.
    #[error("`--chunker`: {0}")]
    Chunker(#[from] ChunkerError),
}

impl Shape {
    /// What an import takes. This is the only place that says what the flags mean.
    pub fn profile(&self) -> Result<Profile, ShapeError> {
        let mut profile: Profile = self.profile.parse()?;
        if let Some(chunker) = &self.chunker {
            profile.chunker = chunker.parse()?;
        }
        if self.described {
            profile.raw_leaves = false;
        }
        Ok(profile)
    }
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
