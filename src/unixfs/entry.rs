//! A tree as a flat sequence: what an import reads, an export writes, and the socket carries.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::data::Metadata;
use super::layout::Part;
use super::name::Name;
use super::origin::Origin;
use crate::blockstore::FileId;

/// One step of a depth-first walk over a tree that is to be added. `F` is an open file.
#[derive(Debug)]
pub enum Entry<F> {
    /// A directory begins; what follows up to its [`Entry::End`] is in it.
    Dir {
        /// Its name.
        name: Name,
        /// What its node says of it.
        metadata: Metadata,
    },
    /// A file.
    File {
        /// Its name.
        name: Name,
        /// What its root says of it: not if that is a raw leaf, which has no place for it.
        metadata: Metadata,
        /// Where its bytes lie, if that is known.
        origin: Option<Origin>,
        /// Its first leaves, which were added before and are in the store; mostly none.
        begun: Vec<Part>,
        /// The store's number of the file, if its leaves are to stay there.
        refer: Option<FileId>,
        /// Where the bytes after those leaves are read from, once and to the end.
        content: F,
    },
    /// A file that was added before, and is whole in the store.
    Known {
        /// Its name.
        name: Name,
        /// Its root, with the bytes of the file and of all its blocks.
        root: Part,
    },
    /// A symbolic link.
    Symlink {
        /// Its name.
        name: Name,
        /// What its node says of it.
        metadata: Metadata,
        /// Where it points, as stored on disk.
        target: Name,
    },
    /// The innermost open directory is complete.
    End,
}

impl<F> Entry<F> {
    /// The beginning of a directory without metadata.
    pub fn dir(name: impl Into<Name>) -> Self {
        Self::Dir {
            name: name.into(),
            metadata: Metadata::NONE,
        }
    }

    /// A file without metadata or a known place.
    pub fn file(name: impl Into<Name>, content: F) -> Self {
        Self::File {
            name: name.into(),
            metadata: Metadata::NONE,
            origin: None,
            begun: Vec::new(),
            refer: None,
            content,
        }
    }

    /// The same with another content, if there is one.
    pub fn try_map<G, E>(self, map: impl FnOnce(F) -> Result<G, E>) -> Result<Entry<G>, E> {
        Ok(match self {
            Self::Dir { name, metadata } => Entry::Dir { name, metadata },
            Self::File {
                name,
                metadata,
                origin,
                begun,
                refer,
                content,
            } => Entry::File {
                name,
                metadata,
                origin,
                begun,
                refer,
                content: map(content)?,
            },
            Self::Known { name, root } => Entry::Known { name, root },
            Self::Symlink {
                name,
                metadata,
                target,
            } => Entry::Symlink {
                name,
                metadata,
                target,
            },
            Self::End => Entry::End,
        })
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

/// One step of a tree that is written out, with its files' bytes in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// A directory begins; what follows up to its [`Piece::End`] is in it.
    Dir {
        /// Its name; the root's is empty.
        name: Name,
        /// What its node says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
    },
    /// A file begins: [`Piece::Data`] of `size` bytes in all, then [`Piece::End`].
    File {
        /// Its name; the root's is empty.
        name: Name,
        /// What its root says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
        /// Its size in bytes.
        size: u64,
    },
    /// The next bytes of the open file. On the socket a frame of its own, never JSON.
    #[serde(skip)]
    Data(Bytes),
    /// A symbolic link.
    Symlink {
        /// Its name; the root's is empty.
        name: Name,
        /// What its node says of it.
        #[serde(default, skip_serializing_if = "Metadata::is_none")]
        metadata: Metadata,
        /// Where it points.
        target: Name,
    },
    /// The open file, or else the innermost open directory, is complete.
    End,
}

impl Piece {
    /// The beginning of a directory without metadata.
    pub fn dir(name: impl Into<Name>) -> Self {
        Self::Dir {
            name: name.into(),
            metadata: Metadata::NONE,
        }
    }

    /// The beginning of a file of `size` bytes without metadata.
    pub fn file(name: impl Into<Name>, size: u64) -> Self {
        Self::File {
            name: name.into(),
            metadata: Metadata::NONE,
            size,
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
