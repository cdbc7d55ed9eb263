//! DAGs built by hand, block by block, and a source that counts what is asked of it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use store::block::Block;
use store::blockstore::{Blockstore, MemoryStore, Write};
use store::cid::{Cid, Codec, Version};
use store::dag::pb::Node;
use store::dag::source::Local;
use store::dag::{BlockSource, Link, SourceError};
use store::unixfs::data::{Data, Kind};
use store::unixfs::{Name, Piece};

/// Blocks in memory, and what was asked of them.
#[derive(Default)]
pub(crate) struct Dag {
    pub(crate) store: MemoryStore,
    /// Each call's CIDs.
    asked: RefCell<Vec<Vec<Cid>>>,
}

impl Dag {
    pub(crate) fn put(&self, codec: Codec, data: impl Into<Bytes>) -> Cid {
        let block = Block::hash(Version::V1, codec, data.into()).unwrap();
        let cid = *block.cid();
        self.store.put_many(&[block], Write::Logged).unwrap();
        cid
    }

    pub(crate) fn raw(&self, data: impl Into<Bytes>) -> Cid {
        self.put(Codec::Raw, data)
    }

    pub(crate) fn node(&self, links: Vec<Link>, data: &Data) -> Cid {
        let data = Some(data.encode());
        self.put(Codec::DagPb, Node { links, data }.encode())
    }

    /// An inner node of a file: bytes of its own, then children with the sizes that it claims.
    pub(crate) fn file(&self, own: &[u8], children: &[(Cid, u64)]) -> Cid {
        let links = children
            .iter()
            .map(|(cid, size)| link("", *cid, *size))
            .collect();
        let blocksizes: Vec<u64> = children.iter().map(|(_, size)| *size).collect();
        let sum = blocksizes
            .iter()
            .fold(own.len() as u64, |sum, size| sum.wrapping_add(*size));
        let data = (!own.is_empty()).then(|| Bytes::copy_from_slice(own));
        let data = Data {
            data,
            blocksizes,
            filesize: Some(sum),
            ..Data::new(Kind::File)
        };
        self.node(links, &data)
    }

    pub(crate) fn leaf(&self, data: &[u8]) -> Cid {
        self.node(
            Vec::new(),
            &Data::leaf(Kind::File, Bytes::copy_from_slice(data)),
        )
    }

    pub(crate) fn symlink(&self, target: &str) -> Cid {
        self.node(
            Vec::new(),
            &Data::symlink(Bytes::copy_from_slice(target.as_bytes())),
        )
    }

    pub(crate) fn dir(&self, entries: &[(&str, Cid)]) -> Cid {
        let links = entries
            .iter()
            .map(|(name, cid)| link(name, *cid, 1))
            .collect();
        self.node(links, &Data::new(Kind::Directory))
    }

    /// The CIDs that were asked for, and forgets them.
    pub(crate) fn take_asked(&self) -> BTreeSet<Cid> {
        self.asked.take().into_iter().flatten().collect()
    }

    /// Each call's CIDs, and forgets them.
    pub(crate) fn take_calls(&self) -> Vec<Vec<Cid>> {
        self.asked.take()
    }
}

impl BlockSource for Dag {
    fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
        self.asked.borrow_mut().push(cids.to_vec());
        Local(&self.store).blocks(cids)
    }
}

pub(crate) fn link(name: &str, cid: Cid, tsize: u64) -> Link {
    Link {
        cid,
        name: name.into(),
        tsize,
    }
}

/// The pieces of a tree, in order.
pub(crate) fn pieces(source: &dyn BlockSource, root: &Cid) -> Result<Vec<Piece>, SourceError> {
    let mut pieces = Vec::new();
    store::unixfs::export::export(source, root, &mut |piece| {
        pieces.push(piece);
        Ok::<_, SourceError>(())
    })?;
    Ok(pieces)
}

pub(crate) fn name(text: &str) -> Name {
    text.into()
}

/// Bytes that differ everywhere: a place cannot be taken for another.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size.div_ceil(8))
        .flat_map(|_| next())
        .take(size)
        .collect()
}
