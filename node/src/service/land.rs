//! `get` into a file: a large one is written there as it comes, and not stored as well.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use store::block::Block;
use store::blockstore::{Blockstore, RocksStore, Write};
use store::cid::Codec;
use store::dag::path::resolve;
use store::dag::walk::missing;
use store::dag::{self, BlockSource, SourceError, Walk};
use store::unixfs::Name;
use store::unixfs::origin::{Identity, Origin};
use store::unixfs::read::{FileNode, MAX_DEPTH, Stat};

use super::Service;
use super::get::{deliver, found};
use super::source::Source;
use super::target::{self, Named};
use crate::api::conversation::{Conversation, Speaker, failure};
use crate::api::message::{Event, Failure, FailureKind, Kind, Land, LandFile, LandStep, PinMarks};
use crate::exchange::landing::Landing;

/// Blocks that are verified together.
const TOGETHER: usize = 16;

/// A file of the client's.
struct Part {
    file: Arc<File>,
    path: Name,
    target: Name,
    is_new: bool,
}

impl Service {
    pub(super) fn land(&self, land: &Land, conversation: &mut Conversation) -> Result<(), Failure> {
        let speaker = conversation.speaker().clone();
        let named = target::parse(&land.content)?;
        if land.pin {
            return self.get_pinned(land, &named, &speaker);
        }
        // Below a path, what is read is fetched, and others are known for the root only.
        if !named.target.path.is_empty() {
            return self.get(&land.content, &speaker);
        }
        let landing = Arc::new(Landing::default());
        let _decided = landing.declines_when_dropped();
        let source = Source::whole(self, &speaker, &named, land.content.timeout);
        let source = source.landing(Arc::clone(&landing));
        source.watched(|| {
            let root = source.block(&named.target.cid)?;
            source.note_use()?;
            found(&root, &speaker)?;
            let part = match wanted(&root)? {
                Some(wanted) => Some(self.part(wanted, &root, conversation)?),
                None => None,
            };
            if let Some(part) = part.flatten() {
                return self.land_in(&part, &landing, &source, &root, conversation);
            }
            landing.decline();
            deliver(&source, root.cid(), &speaker).map(drop)
        })?;
        self.keep_fetched(&source, &named)
    }

    /// Stores all, and pins it.
    fn get_pinned(&self, land: &Land, named: &Named, speaker: &Speaker) -> Result<(), Failure> {
        // From the first block until the pin.
        let source = Source::whole(self, speaker, named, land.content.timeout);
        let root = source.watched(|| {
            let root = resolve(&source, &named.target)?;
            source.note_use()?;
            found(&source.block(&root)?, speaker)?;
            deliver(&source, &root, speaker)?;
            // What is only in files is copied in.
            let mut walk = Walk::new(root);
            while !walk.is_done() {
                let blocks = source.blocks(&walk.wants(TOGETHER))?;
                self.repo.blocks().put_many(&blocks, Write::Bulk)?;
                blocks.iter().try_for_each(|block| walk.supply(block))?;
            }
            Ok::<_, Failure>(root)
        })?;
        self.keep(root, &PinMarks::default())?;
        self.offer(root)
    }

    /// Asks the client for a file; `None` where it is of no use, since all is here.
    fn part(
        &self,
        wanted: LandFile,
        root: &Block,
        conversation: &mut Conversation,
    ) -> Result<Option<Part>, Failure> {
        conversation.speaker().send(&Event::Land(wanted))?;
        let (
            LandStep::Part {
                path,
                target,
                is_new,
            },
            Some(descriptor),
        ) = conversation.land_step()?
        else {
            return Err(misuse("a file was asked for, and none was passed on"));
        };
        let file = checked(descriptor, &path)?;
        let is_here = is_new && missing(self.repo.blocks().as_ref(), root.cid(), 1)?.is_empty();
        // Then there are bytes in it, which are verified like those of an earlier run.
        let is_cloned = is_here && self.clone_into(&file, root);
        if is_here && !is_cloned {
            return Ok(None);
        }
        Ok(Some(Part {
            file: Arc::new(file),
            path,
            target,
            is_new: is_new && !is_cloned,
        }))
    }

    /// Makes `file` a clone of one in which the content seems to lie as a whole, where there is one and
    /// the file system can. Whether it did.
    fn clone_into(&self, file: &File, root: &Block) -> bool {
        let source = whole_file(self.repo.blocks(), root).unwrap_or_else(|error| {
            tracing::debug!(%error, "no file was found to clone");
            None
        });
        // Else it is copied, which always works.
        source.is_some_and(|source| rustix::fs::ioctl_ficlone(file, source).is_ok())
    }

    fn land_in(
        &self,
        part: &Part,
        landing: &Landing,
        source: &Source<'_>,
        root: &Block,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let store = self.repo.blocks().as_ref();
        let origin = |path: &Name| {
            let metadata = part.file.metadata().map_err(|error| {
                let message = format!("cannot look at `{}`: {error}", path.as_path().display());
                failure(FailureKind::Error, message)
            })?;
            Ok::<_, Failure>(Origin {
                path: path.clone(),
                identity: Identity::of(&metadata),
            })
        };
        let id = store.refer_to(&origin(&part.path)?, Some(&part.target))?;
        landing.open(store, Arc::clone(&part.file), id, root, !part.is_new)?;
        if !missing(store, root.cid(), 1)?.is_empty() {
            source.finish()?;
        }
        landing.fill(source, root)?;
        conversation.speaker().send(&Event::Landed)?;
        let (LandStep::Named, None) = conversation.land_step()? else {
            return Err(misuse("a file that is complete was not given its name"));
        };
        store.refer_to(&origin(&part.target)?, None)?;
        store.commit()?;
        Ok(())
    }
}

/// The file into which `root` may land: one of several leaves.
fn wanted(root: &Block) -> Result<Option<LandFile>, Failure> {
    if Codec::of(root.cid()) == Ok(Codec::Raw) {
        return Ok(None);
    }
    let stat = Stat::of_block(root)?;
    let is_large = Kind::of(stat.kind) == Some(Kind::File) && !dag::links(root)?.is_empty();
    Ok(is_large.then(|| LandFile {
        cid: *root.cid(),
        size: stat.size,
        metadata: stat.metadata,
    }))
}

/// A file that begins with the first leaf of `root`, and is as long.
fn whole_file(store: &RocksStore, root: &Block) -> Result<Option<File>, SourceError> {
    let mut node = FileNode::decode(root)?;
    let size = node.size;
    for _ in 0..MAX_DEPTH {
        let Some(&(first, _)) = node.children.first() else {
            break;
        };
        if Codec::of(&first) == Ok(Codec::Raw) {
            return Ok(store.file_around(&first, 0, size)?);
        }
        let block = store.get(&first)?;
        let Some(Ok(block)) = block.map(|data| Block::verify(first, data)) else {
            break;
        };
        node = FileNode::decode(&block)?;
    }
    Ok(None)
}

/// The file behind a descriptor, if it is a plain file and the one at `path`.
fn checked(descriptor: OwnedFd, path: &Name) -> Result<File, Failure> {
    let file = File::from(descriptor);
    let id = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    let opened = file.metadata().ok().filter(std::fs::Metadata::is_file);
    let named = std::fs::symlink_metadata(path.as_path()).ok();
    match (opened, named) {
        (Some(opened), Some(named))
            if path.as_path().is_absolute() && id(&opened) == id(&named) =>
        {
            Ok(file)
        }
        _ => Err(misuse(
            "the file that was passed on is not the one at its path",
        )),
    }
}

fn misuse(what: &str) -> Failure {
    failure(FailureKind::Usage, what)
}
