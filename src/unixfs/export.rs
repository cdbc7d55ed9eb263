//! [`export`]: a tree as a flat sequence of [`Piece`]s, depth-first.
//!
//! Entries of a directory are fetched ahead in batches, so that many small files come together.
//! Memory is bounded whatever the tree looks like. The output is not: directories may share
//! subdirectories, and say nothing of how much is below them; whoever takes the pieces may stop.

mod ahead;

use ahead::{Level, Stack};

use super::Piece;
use super::data::Kind;
use super::name::Name;
use super::node::Node;
use super::read::{Range, Reader};
use crate::block::Block;
use crate::cid::Cid;
use crate::dag::{BlockSource, DagError, SourceError, fetch_one};

/// Gives `sink` the tree `root` piece by piece, until it fails.
pub fn export<E: From<SourceError>>(
    source: &dyn BlockSource,
    root: &Cid,
    sink: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let mut stack = Stack::new(source);
    let block = fetch_one(source, root)?;
    emit(&mut stack, Name::default(), &block, sink)?;
    while let Some(next) = stack.next()? {
        match next {
            ahead::Next::Entry(name, block) => emit(&mut stack, name, &block, sink)?,
            ahead::Next::End => sink(Piece::End)?,
        }
    }
    Ok(())
}

/// Writes one entry; the entries of a directory come after it.
fn emit<E: From<SourceError>>(
    stack: &mut Stack<'_>,
    name: Name,
    block: &Block,
    sink: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let dag = |error: DagError| E::from(error.into());
    let node = Node::decode(block).map_err(dag)?;
    let metadata = node.metadata();
    match (node.kind(), &node) {
        (Kind::File | Kind::Raw, _) => {
            let reader = Reader::of_block(stack.source(), block, Range::default()).map_err(dag)?;
            sink(Piece::File {
                name,
                metadata,
                size: reader.size(),
            })?;
            for bytes in reader {
                sink(Piece::Data(bytes?))?;
            }
            sink(Piece::End)
        }
        (Kind::Directory | Kind::HamtShard, _) => {
            let level = Level::open(stack.source(), block).map_err(dag)?;
            stack.push(block.cid(), level).map_err(dag)?;
            sink(Piece::Dir { name, metadata })
        }
        (Kind::Symlink, Node::Pb { data, .. }) => sink(Piece::Symlink {
            name,
            metadata,
            target: data.target().to_vec().into(),
        }),
        (Kind::Symlink | Kind::Metadata, _) => Err(dag(
            node.unexpected(block.cid(), "a file, a directory or a symlink")
        )),
    }
}
