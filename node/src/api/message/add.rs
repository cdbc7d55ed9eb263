//! Messages of `add`: how to add, what, and what it became.

mod shape;

use serde::{Deserialize, Serialize};
use store::Cid;
use store::unixfs::Name;
use store::unixfs::data::Metadata;
use store::unixfs::origin::Identity;

pub use self::shape::{Shape, ShapeError};
use super::{CopiesAsked, Kind, PinMarks, text};

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
    /// Of files of so many bytes together, only find out whether what is new of them fits under the
    /// quota. Nothing is answered where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<u64>,
    /// What is said of the pins. Where nothing is said of their end, they are kept for good.
    pub pin: PinMarks,
    /// Which copies on other members are wanted, and waited for.
    #[serde(default)]
    pub copies: CopiesAsked,
    /// Take what was added before and has not changed as it is, without reading it.
    pub cache: bool,
    /// Leave the bytes where they are: the leaves stay in the files. Only for raw leaves of files whose
    /// place is known.
    #[serde(default)]
    pub no_copy: bool,
    /// Keep clones of the files, in which the leaves stay, instead of the leaves' bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflink: Option<Reflink>,
}

/// When files are cloned, as in `cp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reflink {
    /// Where the file system can; all else is stored.
    Auto,
    /// What cannot be cloned is an error.
    Always,
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
    /// The directory in which the next entry at the top lies, as an absolute path.
    At {
        /// The directory.
        dir: Name,
    },
    /// Entries together, and [`Step::At`] and [`Step::Skipped`] between them. No descriptor comes with
    /// them: [`Event::Wanted`](super::Event::Wanted) answers which files have to be read, and for each
    /// of those a [`Step::Content`] or [`Step::Unreadable`] follows, in their order, sooner or later.
    Batch(Vec<Step>),
    /// The next file that is wanted: the descriptor that comes with this frame is read once, to the
    /// end.
    Content,
    /// The next file that is wanted cannot be opened: it is left out.
    Unreadable(Skipped),
    /// Something was left out, since it cannot be added.
    Skipped(Skipped),
    /// A file; the descriptor that comes with this frame is read once, to the end.
    File {
        /// Its name.
        name: Name,
        /// What its root says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
        /// Which file it is, where it lies on disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Identity>,
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
    /// The client cannot say what to add: nothing is added.
    Failed {
        /// Why, for people; it comes back in [`Event::Failed`](super::Event::Failed).
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

    /// A file without metadata, of which nothing is known.
    pub fn file(name: impl Into<Name>) -> Self {
        Self::File {
            name: name.into(),
            metadata: Metadata::NONE,
            identity: None,
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
    /// Bytes of files that the whole command has read so far: those that are known already need not
    /// be read.
    pub bytes_read: u64,
}

/// Something that could not be added, while the rest was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What it is.
    pub path: Name,
    /// Why, for people; names it.
    pub skipped: String,
}
