//! [`Stay`]: whether leaves stay in files, and in which: the user's own (`--no-copy`), or clones of them
//! (`--reflink`).

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use store::blockstore::{CloneError, ClonesHeld, FileId, RocksStore};
use store::unixfs::Name;
use store::unixfs::origin::{Identity, Origin};

use crate::api::conversation::failure;
use crate::api::message::{Failure, FailureKind, Reflink};

/// Smaller files are stored: a clone takes a file and a sync of its own, and they are one block.
const CLONED_FROM: u64 = 128 << 10;

/// Where leaves are kept.
pub(super) enum Stay<'a> {
    /// In the store.
    Stored,
    /// In the files that are added.
    InFiles(&'a RocksStore),
    /// In clones of them.
    InClones(Cloning<'a>),
}

/// Makes clones.
pub(super) struct Cloning<'a> {
    store: &'a RocksStore,
    held: &'a ClonesHeld<'a>,
    when: Reflink,
    /// The file system from which nothing could be cloned lately: it is not tried for each file anew.
    refused: Option<u64>,
}

/// A file in which leaves stay.
pub(super) struct Stays {
    /// The store's number of it.
    pub(super) id: FileId,
    /// What it was when it was opened, if it is the user's: it may change while it is read.
    pub(super) as_it_was: Option<Identity>,
}

impl<'a> Cloning<'a> {
    pub(super) const fn new(
        store: &'a RocksStore,
        held: &'a ClonesHeld<'a>,
        when: Reflink,
    ) -> Self {
        Self {
            store,
            held,
            when,
            refused: None,
        }
    }

    /// A clone of the file, which takes its place; none where it is to be stored.
    fn clone_of(&mut self, file: &mut File, path: Option<&Name>) -> Result<Option<Stays>, Failure> {
        let found = file.metadata().ok().filter(std::fs::Metadata::is_file);
        if found
            .as_ref()
            .is_some_and(|found| found.len() < CLONED_FROM)
        {
            return Ok(None);
        }
        let device = found.map(|found| found.dev());
        if device.is_some() && device == self.refused {
            return Ok(None);
        }
        match self.store.clone_file(file, self.held) {
            Ok((id, clone)) => {
                *file = clone;
                let as_it_was = None;
                Ok(Some(Stays { id, as_it_was }))
            }
            Err(CloneError::Unsupported { reason }) if self.when == Reflink::Auto => {
                tracing::info!(reason, "files are stored instead of cloned");
                self.refused = device;
                Ok(None)
            }
            Err(CloneError::Store(error)) => Err(error.into()),
            Err(error) => {
                let shown = path.map_or_else(
                    || "standard input".to_owned(),
                    |path| format!("`{}`", path.as_path().display()),
                );
                let hint = "`--reflink=auto` stores what cannot be cloned, as does an add without it; \
                            `--no-copy` leaves the bytes in the file itself";
                let message = format!("{shown} is not added: {error}");
                Err(failure(FailureKind::Error, message).with_hint(hint))
            }
        }
    }
}

impl Stay<'_> {
    /// Where the leaves of this file stay, which is read from `file` from now on; none where they are
    /// to be stored. `path` is known of files that were named, and not of standard input.
    pub(super) fn in_file(
        &mut self,
        file: &mut File,
        path: Option<&Name>,
        identity: Option<Identity>,
    ) -> Result<Option<Stays>, Failure> {
        match self {
            Self::Stored => Ok(None),
            Self::InFiles(store) => refer(store, path, identity).map(Some),
            Self::InClones(cloning) => {
                let stays = cloning.clone_of(file, path)?;
                if stays.is_some() {
                    let rewound = file.seek(SeekFrom::Start(0));
                    rewound.map_err(|error| {
                        failure(FailureKind::Error, format!("cannot read a clone: {error}"))
                    })?;
                }
                Ok(stays)
            }
        }
    }
}

/// The store's number of a file in which leaves are to stay.
fn refer(
    store: &RocksStore,
    path: Option<&Name>,
    identity: Option<Identity>,
) -> Result<Stays, Failure> {
    let misuse = |what: String| failure(FailureKind::Usage, what);
    let (Some(path), Some(identity)) = (path, identity) else {
        let what = "`--no-copy` takes files and directories, no standard input";
        return Err(misuse(what.to_owned()));
    };
    let shown = path.as_path().display();
    // The path is what the file is found by later.
    match std::fs::metadata(path.as_path()).map(|found| Identity::of(&found)) {
        Ok(found) if (found.device, found.inode) == (identity.device, identity.inode) => {}
        Ok(_) => return Err(misuse(format!("`{shown}` was exchanged for another file"))),
        Err(error) => return Err(misuse(format!("cannot look at `{shown}`: {error}"))),
    }
    let origin = Origin {
        path: path.clone(),
        identity,
    };
    Ok(Stays {
        id: store.refer_to(&origin, None)?,
        as_it_was: Some(identity),
    })
}
