//! [`Extractor`]: writes a tree that comes as [`Piece`]s to disk, and nothing outside of its target.
//!
//! Invariants:
//! - What appears under the target's name is whole and on disk: it is written under a temporary name
//!   beside it, synced, then renamed. On an error or a drop the temporary goes away.
//! - No entry leads out. Names that could are refused; each directory is reached from the one above
//!   it by descriptor, never through a symlink, whoever made it and whenever.
//! - Nothing that exists is replaced without `force`. With it, a directory is merged into the one that
//!   exists, and files and symlinks of the same name are replaced one by one, each atomically; what is
//!   there as a directory stays one.
//! - Permissions and times that the tree says are set last, by descriptor; of permissions only the
//!   nine bits, never setuid, setgid or sticky: strangers chose them.
//!
//! Sync: a single file is synced itself. A new tree is synced once as a whole (`syncfs`) before it
//! gets its name: one sync per file would take minutes for many small files. A file that is merged
//! into an existing directory is synced before it replaces anything.

mod batch;
mod error;
mod file;
mod metadata;
mod new_file;
mod part;
mod place;
mod temp;
mod tree;

use std::path::Path;

pub use batch::Batch;
pub use error::ExtractError;
use error::{Attempt as _, Subject};
use file::OpenFile;
pub use new_file::NewFile;
pub use part::Part;
use place::{Kind, Place};
use temp::Temp;
pub use tree::MAX_DEPTH;
use tree::{Tree, check_target};

use crate::cid::Cid;
use crate::unixfs::data::Metadata;
use crate::unixfs::{Name, Piece};

/// Writes one tree. [`Extractor::finish`] makes it appear; a drop before it leaves nothing behind.
#[derive(Debug)]
pub struct Extractor {
    place: Place,
    force: bool,
    phase: Phase,
    /// What gets the target's name in the end; none where a directory is merged into the target.
    root: Option<Temp>,
    /// The directories, where the root is one.
    tree: Option<Tree>,
    /// The file that is being written.
    file: Option<OpenFile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    Start,
    /// The root has begun.
    Open,
    /// The root has ended.
    Complete,
    /// An error was returned, and the temporary files are gone.
    Failed,
}

impl Extractor {
    /// Gets ready to write `target`, and looks whether that is possible, so that nobody downloads in
    /// vain: the directory that it is in is there and writable, and `target` itself is not there, or
    /// may be replaced (`force`).
    pub fn new(target: &Path, force: bool) -> Result<Self, ExtractError> {
        let place = Place::open(target)?;
        if place.kind().is_some() && !force {
            return Err(ExtractError::Exists {
                path: target.into(),
            });
        }
        place.check_writable()?;
        let phase = Phase::Start;
        Ok(Self {
            place,
            force,
            phase,
            root: None,
            tree: None,
            file: None,
        })
    }

    /// A file beside the target for the file `cid`, which others fill; that of an earlier run, if there
    /// is one.
    pub fn part(&self, cid: &Cid) -> Result<Part, ExtractError> {
        self.place.check_not_a_directory()?;
        Part::open(&self.place, cid)
    }

    /// Makes a part that is complete durable, and gives it the target's name.
    pub fn finish_part(&self, part: Part, metadata: Metadata) -> Result<(), ExtractError> {
        part.publish(&self.place, metadata, self.force)
    }

    /// Writes one more piece. After an error nothing is left of what was written, but for entries that
    /// were merged already.
    pub fn accept(&mut self, piece: Piece) -> Result<(), ExtractError> {
        let result = match piece {
            Piece::Data(bytes) => self.data(&bytes),
            Piece::Dir { name, metadata } => self.dir(&name, metadata),
            Piece::File {
                name,
                metadata,
                size,
            } => self.file(&name, metadata, size),
            Piece::Symlink {
                name,
                metadata,
                target,
            } => self.symlink(&name, metadata, &target),
            Piece::End => self.end(),
        };
        if result.is_err() {
            self.phase = Phase::Failed;
            (self.file, self.tree, self.root) = (None, None, None);
        }
        result
    }

    /// Makes the tree durable and gives it its name.
    pub fn finish(mut self) -> Result<(), ExtractError> {
        if self.phase != Phase::Complete {
            return Err(ExtractError::Sequence {
                reason: "it ends before the tree does",
            });
        }
        if let Some(tree) = &self.tree {
            tree.sync()?;
        }
        match self.root.take() {
            Some(temp) => self.place.publish(temp, self.force),
            None => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        let outside = ExtractError::Sequence {
            reason: "bytes outside of a file",
        };
        self.file.as_mut().ok_or(outside)?.write(bytes)
    }

    fn dir(&mut self, name: &Name, metadata: Metadata) -> Result<(), ExtractError> {
        self.before_entry()?;
        if let Some(tree) = &mut self.tree {
            return tree.enter(name, metadata);
        }
        let tree = match self.place.kind() {
            None => {
                let temp = Temp::dir(self.place.parent(), self.place.parent_path())?;
                let tree = Tree::fresh(temp.open_dir(self.place.path())?, self.place.path());
                self.root = Some(temp);
                tree
            }
            Some(Kind::Dir) => Tree::merged(self.place.open_dir()?, self.place.path()),
            Some(Kind::Other) => {
                return Err(ExtractError::NotADirectory {
                    path: self.place.path().into(),
                });
            }
        };
        self.tree = Some(tree.described(metadata));
        Ok(())
    }

    fn file(&mut self, name: &Name, metadata: Metadata, size: u64) -> Result<(), ExtractError> {
        self.before_entry()?;
        let file = if let Some(tree) = &self.tree {
            tree.create(name, size)?
        } else {
            self.place.check_not_a_directory()?;
            OpenFile::root(self.place.parent(), self.place.path(), size)?
        };
        self.file = Some(file.described(metadata));
        Ok(())
    }

    fn symlink(
        &mut self,
        name: &Name,
        metadata: Metadata,
        target: &Name,
    ) -> Result<(), ExtractError> {
        self.before_entry()?;
        let Some(tree) = &self.tree else {
            self.place.check_not_a_directory()?;
            check_target(target, self.place.path())?;
            let subject = Subject::new(self.place.path(), "create");
            self.root = Some(Temp::symlink(self.place.parent(), target, metadata).on(&subject)?);
            self.phase = Phase::Complete;
            return Ok(());
        };
        tree.symlink(name, target, metadata)
    }

    fn end(&mut self) -> Result<(), ExtractError> {
        if let Some(file) = self.file.take() {
            let temp = file.finish()?;
            if self.tree.is_none() {
                self.root = temp;
                self.phase = Phase::Complete;
            }
            return Ok(());
        }
        match &mut self.tree {
            Some(tree) if self.phase == Phase::Open => {
                if !tree.leave()? {
                    self.phase = Phase::Complete;
                }
                Ok(())
            }
            _ => Err(ExtractError::Sequence {
                reason: "an end of nothing",
            }),
        }
    }

    /// Entries come one after another, and inside the root only.
    fn before_entry(&mut self) -> Result<(), ExtractError> {
        let reason = match self.phase {
            _ if self.file.is_some() => "an entry inside a file",
            Phase::Complete => "an entry after the end of the tree",
            Phase::Failed => "an entry after an error",
            Phase::Start | Phase::Open => {
                self.phase = Phase::Open;
                return Ok(());
            }
        };
        Err(ExtractError::Sequence { reason })
    }
}

#[cfg(test)]
mod tests;
