//! [`export`]: a DAG as a CAR file of version 1, the same bytes each time: one root, then the blocks
//! depth-first, in the order of their links, each once. Blocks that identity CIDs carry are left out:
//! whoever has the CID has them.
//!
//! Blocks are asked for ahead of their turn, some at a time, so that they are fetched and verified
//! together.

use std::collections::HashMap;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};

pub use super::entity::{EntityBytes, RangeError};

use super::entity::Selection;
use super::write::{header, section_head};
use crate::block::Block;
use crate::cid::{self, Cid};
use crate::dag::{BlockSource, SourceError, fetch};

/// Blocks that are asked for at once at most: as many as the hash verifies side by side.
const AT_ONCE: usize = 16;

/// Bytes that are held ahead of their turn, in all levels of the DAG together. Each level takes half
/// of what those above it left, so that the innermost one always has some.
const AHEAD_BYTES: usize = 64 << 20;

/// What one block counts for before it has come: the usual leaf.
const TYPICAL: usize = 1 << 20;

/// Blocks are handed on by the piece when they have this many bytes; smaller ones together.
const PIECE: usize = 64 << 10;

/// How much of a DAG is exported, in the words of the trustless gateway ("dag-scope").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The root's block.
    Block,
    /// One thing: all of a file, or what lists a directory without its entries.
    Entity,
    /// All of it.
    #[default]
    All,
}

/// No such scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope; there are block, entity and all")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text {
            "block" => Ok(Self::Block),
            "entity" => Ok(Self::Entity),
            "all" => Ok(Self::All),
            other => Err(UnknownScope(other.chars().take(64).collect())),
        }
    }
}

/// What is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// How much.
    pub scope: Scope,
    /// Where the root is a file, only the nodes that hold these bytes of it; then the scope is
    /// [`Scope::Entity`].
    pub range: Option<EntityBytes>,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Blocks.
    pub blocks: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Gives `sink` the CAR file of `root`, piece by piece, until it fails.
pub fn export<E: From<SourceError>>(
    source: &dyn BlockSource,
    root: &Cid,
    options: &ExportOptions,
    sink: &mut dyn FnMut(Bytes) -> Result<(), E>,
) -> Result<Exported, E> {
    let mut selection = Selection::new(*root, options.scope, options.range);
    let mut ahead = Ahead::new(source);
    let mut out = Out {
        sink,
        small: BytesMut::with_capacity(PIECE),
        done: Exported::default(),
    };
    out.put(&header(&[*root]))?;
    while let Some(block) = ahead.next(&selection)? {
        let wanted = selection.supply(&block).map_err(SourceError::from)?;
        if wanted && cid::identity_data(block.cid()).is_none() {
            out.block(block)?;
        }
    }
    out.flush()?;
    Ok(out.done)
}

/// Blocks that came before their turn.
struct Ahead<'a> {
    source: &'a dyn BlockSource,
    blocks: HashMap<Cid, Block>,
    bytes: usize,
}

impl<'a> Ahead<'a> {
    fn new(source: &'a dyn BlockSource) -> Self {
        Self {
            source,
            blocks: HashMap::new(),
            bytes: 0,
        }
    }

    /// The block that is wanted next; `None` where none is.
    fn next(&mut self, selection: &Selection) -> Result<Option<Block>, SourceError> {
        let Some(next) = selection.wants(1).pop() else {
            return Ok(None);
        };
        if !self.blocks.contains_key(&next) {
            let room = AHEAD_BYTES.saturating_sub(self.bytes) / 2 / TYPICAL;
            let mut wanted = selection.wants(room.clamp(1, AT_ONCE));
            wanted.retain(|cid| !self.blocks.contains_key(cid));
            for block in fetch(self.source, &wanted)? {
                let size = block.data().len();
                if self.blocks.insert(*block.cid(), block).is_none() {
                    self.bytes += size;
                }
            }
        }
        let block = self.blocks.remove(&next).expect("it has just come");
        self.bytes -= block.data().len();
        Ok(Some(block))
    }
}

/// What has been exported, on its way.
struct Out<'a, E> {
    sink: &'a mut dyn FnMut(Bytes) -> Result<(), E>,
    /// Small pieces that wait for others.
    small: BytesMut,
    done: Exported,
}

impl<E> Out<'_, E> {
    fn block(&mut self, block: Block) -> Result<(), E> {
        self.done.blocks += 1;
        self.put(&section_head(&block))?;
        let (_, data) = block.into_parts();
        if data.len() < PIECE {
            return self.put(&data);
        }
        self.flush()?;
        self.done.bytes += data.len() as u64;
        (self.sink)(data)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.done.bytes += bytes.len() as u64;
        self.small.extend_from_slice(bytes);
        if self.small.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), E> {
        if self.small.is_empty() {
            return Ok(());
        }
        (self.sink)(self.small.split().freeze())
    }
}
