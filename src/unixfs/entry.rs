//! A tree as a flat sequence: what an import reads, an export writes, and the socket carries.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::name::Name;

/// One step of a depth-first walk over a tree that is to be added. `F` is an open file.
#[derive(Debug)]
pub enum Entry<F> {
    /// A directory begins; what follows up to its [`Entry::End`] is in it.
    Dir {
        /// Its name.
        name: Name,
    },
    /// A file.
    File {
        /// Its name.
        name: Name,
        /// Where its bytes are read from, once and to the end.
        content: F,
    },
    /// A symbolic link.
    Symlink {
        /// Its name.
        name: Name,
        /// Where it points, as stored on disk.
        target: Name,
    },
    /// The innermost open directory is complete.
    End,
}

/// One step of a tree that is written out, with its files' bytes in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// A directory begins; what follows up to its [`Piece::End`] is in it.
    Dir {
        /// Its name; the root's is empty.
        name: Name,
    },
    /// A file begins: [`Piece::Data`] of `size` bytes in all, then [`Piece::End`].
    File {
        /// Its name; the root's is empty.
        name: Name,
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
        /// Where it points.
        target: Name,
    },
    /// The open file, or else the innermost open directory, is complete.
    End,
}
