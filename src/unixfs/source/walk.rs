//! [`Walk`]: a scan whose files are opened, each when it is its turn.

use std::iter::FusedIterator;

use super::scan::{Scan, Unopened};
use super::{FileEntry, SourceError};
use crate::unixfs::entry::Entry;

/// The entries of some paths, with open files; see [`super::walk`].
#[derive(Debug)]
pub struct Walk {
    scan: Scan,
    failed: bool,
}

impl Walk {
    pub(super) const fn new(scan: Scan) -> Self {
        Self {
            scan,
            failed: false,
        }
    }
}

impl Iterator for Walk {
    type Item = Result<FileEntry, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.scan.next()?.and_then(opened);
        self.failed = entry.is_err();
        Some(entry)
    }
}

impl FusedIterator for Walk {}

fn opened(entry: Entry<Unopened>) -> Result<FileEntry, SourceError> {
    entry.try_map(|content| content.open())
}
