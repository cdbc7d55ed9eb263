//! `get`, `cat`, `ls`.

use store::Cid;
use store::block::Block;
use store::blockstore::Blockstore;
use store::cid::Codec;
use store::dag::path::resolve;
use store::dag::{self, BlockSource};
use store::unixfs::data::Metadata;
use store::unixfs::export::export;
use store::unixfs::list::{self, Entries};
use store::unixfs::read::{Range, Reader, Stat};
use store::unixfs::{Piece, data};

use super::Service;
use super::source::Source;
use super::target::{self, Named};
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{
    Cat, Content, DirEntry, Event, Failure, FailureKind, Found, Item, Kind, Ls,
};

/// Entries that are looked at together: their roots are fetched, and verified, at once.
const BATCH: usize = 16;

impl Service {
    pub(super) fn get(&self, content: &Content, speaker: &Speaker) -> Result<(), Failure> {
        let named = target::parse(content)?;
        let source = Source::whole(self, speaker, &named, content.timeout);
        source.watched(|| {
            let root = resolve(&source, &named.target)?;
            source.note_use()?;
            found(&source.block(&root)?, speaker)?;
            deliver(&source, &root, speaker).map(drop)
        })?;
        self.keep_fetched(&source, &named)
    }

    /// What was fetched stays, and what is whole here is offered to others: they take our word for it.
    pub(super) fn keep_fetched(&self, source: &Source<'_>, named: &Named) -> Result<(), Failure> {
        self.keep_cached(source)?;
        if named.target.path.is_empty() {
            self.note_whole(&named.target.cid)?;
        }
        Ok(())
    }

    pub(super) fn cat(&self, cat: &Cat, speaker: &Speaker) -> Result<(), Failure> {
        let named = target::parse(&cat.content)?;
        let range = Range {
            offset: cat.offset,
            length: cat.length,
        };
        let source = Source::on_demand(self, speaker, &named, cat.content.timeout);
        source.watched(|| {
            let root = source.block(&resolve(&source, &named.target)?)?;
            source.note_use()?;
            expect_kind(
                &root,
                Kind::File,
                "`store ls` lists it, `store get` writes it to disk",
            )?;
            found(&root, speaker)?;
            for bytes in Reader::of_block(&source, &root, range)? {
                speaker.send(&Event::Piece(Piece::Data(bytes?)))?;
            }
            Ok::<_, Failure>(())
        })?;
        self.keep_cached(&source)
    }

    pub(super) fn ls(&self, ls: &Ls, speaker: &Speaker) -> Result<(), Failure> {
        let named = target::parse(&ls.content)?;
        let source = Source::on_demand(self, speaker, &named, ls.content.timeout);
        source.watched(|| {
            let root = source.block(&resolve(&source, &named.target)?)?;
            source.note_use()?;
            expect_kind(&root, Kind::Directory, "`store cat` prints it")?;
            let mut entries = Entries::of_block(&source, &root)?;
            loop {
                let batch = entries
                    .by_ref()
                    .take(BATCH)
                    .collect::<Result<Vec<_>, _>>()?;
                if batch.is_empty() {
                    return Ok::<_, Failure>(());
                }
                for entry in describe(&source, batch, ls.resolve)? {
                    speaker.item(Item::Entry(entry))?;
                }
            }
        })?;
        self.keep_cached(&source)
    }

    /// What a part of a content brought here stays, as cache.
    pub(super) fn keep_cached(&self, source: &Source<'_>) -> Result<(), Failure> {
        if source.has_fetched() {
            self.repo.blocks().commit()?;
        }
        Ok(())
    }
}

/// Sends the tree `root` to the client; how many bytes of files that were.
pub(super) fn deliver(
    source: &dyn BlockSource,
    root: &Cid,
    speaker: &Speaker,
) -> Result<u64, Failure> {
    let mut bytes = 0;
    export::<Failure>(source, root, &mut |piece| {
        if let Piece::Data(data) = &piece {
            bytes += data.len() as u64;
        }
        Ok(speaker.send(&Event::Piece(piece))?)
    })?;
    Ok(bytes)
}

/// Tells the client what it gets.
pub(super) fn found(root: &Block, speaker: &Speaker) -> Result<(), Failure> {
    let stat = Stat::of_block(root)?;
    let kind = kind(stat.kind, root.cid())?;
    let size = match kind {
        Kind::Directory => {
            let claimed = dag::links(root)?.into_iter().map(|link| link.tsize);
            claimed.fold(0, u64::saturating_add)
        }
        Kind::File | Kind::Symlink => stat.size,
    };
    speaker.send(&Event::Found(Found {
        cid: *root.cid(),
        kind,
        size: Some(size),
    }))?;
    Ok(())
}

fn expect_kind(root: &Block, expected: Kind, hint: &str) -> Result<(), Failure> {
    let found = kind(Stat::of_block(root)?.kind, root.cid())?;
    if found == expected {
        return Ok(());
    }
    let message = format!("`{}` is a {found}, not a {expected}", root.cid());
    let failure = failure(FailureKind::Error, message);
    // The hint is about the other of the two.
    Err(if found == Kind::Symlink {
        failure
    } else {
        failure.with_hint(hint)
    })
}

fn describe(
    source: &Source<'_>,
    batch: Vec<list::DirEntry>,
    resolve: bool,
) -> Result<Vec<DirEntry>, Failure> {
    let is_node = |cid: &Cid| Codec::of(cid) != Ok(Codec::Raw);
    let nodes: Vec<Cid> = batch
        .iter()
        .map(|entry| entry.cid)
        .filter(|cid| resolve && is_node(cid))
        .collect();
    let mut blocks = source.blocks(&nodes)?.into_iter();
    batch
        .into_iter()
        .map(|list::DirEntry { name, cid, tsize }| {
            let (kind, size, metadata) = match (resolve, is_node(&cid)) {
                (false, _) => (None, None, Metadata::NONE),
                // A raw leaf is all of its file, and has nothing below it.
                (true, false) => (Some(Kind::File), Some(tsize), Metadata::NONE),
                (true, true) => {
                    let block = blocks.next().expect("one block for one CID");
                    let stat = Stat::of_block(&block)?;
                    let kind = kind(stat.kind, &cid)?;
                    let size = (kind != Kind::Directory).then_some(stat.size);
                    (Some(kind), size, stat.metadata)
                }
            };
            Ok(DirEntry {
                name,
                cid,
                tsize,
                kind,
                size,
                metadata,
            })
        })
        .collect()
}

/// What users call it.
fn kind(kind: data::Kind, cid: &Cid) -> Result<Kind, Failure> {
    Kind::of(kind).ok_or_else(|| {
        let message = format!("`{cid}` is metadata, which no file or directory is");
        failure(FailureKind::Corrupt, message)
    })
}
