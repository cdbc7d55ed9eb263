//! [`Watch`]: what an import tells whoever started it while it runs.

use std::io;

use super::{ImportError, Progress};
use crate::unixfs::data::Metadata;
use crate::unixfs::layout::Part;
use crate::unixfs::origin::Origin;

/// Follows an import. Called from its threads, each method from one of them only.
pub trait Watch: Sync {
    /// How far it is.
    fn progress(&self, _: Progress) {}

    /// The file at `path`, from the top of what is added, could not be read to its end. The import
    /// goes on without it, or ends with the error that comes back.
    fn unreadable(&self, path: String, error: io::Error) -> Result<(), ImportError> {
        Err(ImportError::Read { path, error })
    }

    /// A file with an origin is complete. Its blocks are not all in the store before the next
    /// [`Watch::stored`].
    fn file(&self, _: File) {}

    /// All blocks of the files so far are in the store, and so are these leaves of the one that is
    /// being read; not durable yet. Comes every [`STORED_EVERY`] bytes.
    fn stored(&self, _: Option<Begun<'_>>) -> Result<(), ImportError> {
        Ok(())
    }
}

/// Bytes of new leaves between two [`Watch::stored`]: what is read again at most after an end in the
/// middle. Each takes a flush, which writes these bytes anyway.
pub const STORED_EVERY: u64 = 128 << 20;

/// Nor are more new leaves than these between two of them.
pub(super) const STORED_EVERY_LEAVES: usize = 1 << 14;

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where its bytes lie.
    pub origin: Origin,
    /// What its root says of it.
    pub metadata: Metadata,
    /// Its root, with the bytes of the file and of all its blocks.
    pub root: Part,
    /// Whether the root is all there is.
    pub is_one_block: bool,
}

/// A file whose beginning is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun<'a> {
    /// Where its bytes lie.
    pub origin: &'a Origin,
    /// How many of its leaves came before these.
    pub before: u64,
    /// Its leaves since the last time, in order.
    pub leaves: &'a [Part],
}

/// Tells the progress alone.
pub(super) struct Silent<'a>(pub(super) &'a (dyn Fn(Progress) + Sync));

impl Watch for Silent<'_> {
    fn progress(&self, progress: Progress) {
        (self.0)(progress);
    }
}
