//! [`Proof`]: one leaf of a DAG with the blocks from the root down to it, each linked to by the one
//! before: who knows the root's CID and nothing else can check that the leaf belongs to it.
//!
//! As a file it is a CAR of version 1 with the one root, and the path's blocks in order, the leaf last:
//!
//! ```text
//! header { roots: [root], version: 1 }  { varint(section) cid block }+     root, node, …, leaf
//! ```
//!
//! so that every IPFS tool can read it. What an identity CID carries has a section like any other
//! block. A file is a proof in one form only: nothing may be left out, added or changed.

mod place;
#[cfg(test)]
mod tests;

use std::io::Read;

use bytes::Bytes;

pub use place::{Place, Span};

use crate::block::{Block, BlockError};
use crate::blockstore::Blockstore;
use crate::car::{CarError, Reader, header, section_head};
use crate::cid::Cid;
use crate::dag::source::Local;
use crate::dag::{BlockSource, DagError, Found, Leaves, SourceError, fetch_one, links};
use crate::segment::PATH_MAX;

/// Bytes of all blocks of a proof: a path of thirty of the largest nodes. They are in memory together.
pub const SIZE_MAX: u64 = 64 << 20;

/// A leaf and its path. It cannot exist unverified: every block matches its CID, and is linked to by
/// the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Never empty.
    blocks: Vec<Block>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The DAG has fewer leaves.
    #[error("`{root}` has no leaf {leaf}: {}", there(*.leaves))]
    NoLeaf {
        /// The root.
        root: Cid,
        /// The number that was asked for.
        leaf: u64,
        /// How many there are.
        leaves: u64,
    },
    /// The path's blocks are too large together.
    #[error("the path to leaf {leaf} of `{root}` has more than {SIZE_MAX} bytes")]
    TooLarge {
        /// The root.
        root: Cid,
        /// The leaf.
        leaf: u64,
    },
    /// A block is not here, or is no node.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Why a file is no proof. Blocks are numbered from 1, the root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It is no CAR file that can be read.
    #[error(transparent)]
    Car(#[from] CarError),
    /// A CAR file of another form.
    #[error(
        "a CAR file of version {version} with {roots} roots; a proof has version 1 and one root"
    )]
    Form {
        /// Its version.
        version: u64,
        /// How many roots it names.
        roots: usize,
    },
    /// A proof about something else.
    #[error("it is about `{found}`, not about `{expected}`")]
    OtherRoot {
        /// The root that it names.
        found: Cid,
        /// The root that was asked for.
        expected: Cid,
    },
    /// The first block is not the root.
    #[error("its first block is `{cid}`, not the root `{root}`")]
    First {
        /// The first block.
        cid: Cid,
        /// The root that it names.
        root: Cid,
    },
    /// A block's bytes are not those that its CID names, or cannot be checked.
    #[error("block {number}: {error}")]
    Block {
        /// Which.
        number: usize,
        /// What is wrong.
        error: BlockError,
    },
    /// A block that the one before does not link to.
    #[error("block {number}, `{cid}`, is not linked to by the one before, `{parent}`")]
    Unlinked {
        /// Which.
        number: usize,
        /// Its CID.
        cid: Cid,
        /// The one before.
        parent: Cid,
    },
    /// A block that is no node.
    #[error("block {number}: {error}")]
    Node {
        /// Which.
        number: usize,
        /// What is wrong.
        error: DagError,
    },
    /// The path ends before a leaf.
    #[error("it ends with `{cid}`, which has {links} links: that is no leaf")]
    Short {
        /// The last block.
        cid: Cid,
        /// Its links.
        links: usize,
    },
    /// No block at all.
    #[error("there is no block in it")]
    Empty,
    /// More than any path has.
    #[error("more than {PATH_MAX} blocks, or {SIZE_MAX} bytes of them; no proof is so large")]
    TooLarge,
}

/// How many leaves there are, for people.
fn there(leaves: u64) -> String {
    match leaves {
        1 => "there is one, leaf 0".into(),
        _ => format!("there are {leaves}, from 0 to {}", leaves.saturating_sub(1)),
    }
}

/// Proves a leaf of what is in `store`: the leaf of this number below `root`, counted from 0 in the order
/// of the links ([`Leaves`]). Reads the blocks of the path alone; of other nodes, the links.
///
/// # Errors
/// [`ProveError::NoLeaf`] where there are fewer; [`SourceError::NotFound`] names the block that is not
/// there.
pub fn prove(store: &dyn Blockstore, root: &Cid, leaf: u64) -> Result<Proof, ProveError> {
    prove_from(&Local(store), &mut Leaves::of_store(store), root, leaf)
}

/// Like [`prove`], with the blocks from `source`, and the links from `leaves`.
///
/// # Errors
/// As [`prove`].
pub fn prove_from(
    source: &dyn BlockSource,
    leaves: &mut Leaves<'_>,
    root: &Cid,
    leaf: u64,
) -> Result<Proof, ProveError> {
    let path = match leaves.find(root, leaf)? {
        Found::Path(path) => path,
        Found::Beyond { leaves } => {
            let root = *root;
            return Err(ProveError::NoLeaf { root, leaf, leaves });
        }
    };
    let mut blocks = Vec::with_capacity(path.len());
    let mut bytes = 0;
    for cid in &path {
        let block = fetch_one(source, cid)?;
        bytes += block.data().len() as u64;
        if bytes > SIZE_MAX {
            let root = *root;
            return Err(ProveError::TooLarge { root, leaf });
        }
        blocks.push(block);
    }
    Ok(Proof { blocks })
}

impl Proof {
    /// Reads a proof, and checks all of it: that its root is `root`, where one is given; that each block is
    /// what its CID says and is linked to by the one before; that the last one is a leaf; and that
    /// nothing follows. Holds [`SIZE_MAX`] bytes at most.
    ///
    /// # Errors
    /// Whatever is wrong, with the block's number and CID.
    pub fn verify(file: impl Read, root: Option<&Cid>) -> Result<Self, ProofError> {
        let mut reader = Reader::open(file)?;
        let (version, roots) = (reader.version(), reader.roots());
        let named = match roots {
            [named] if version == 1 => *named,
            _ => {
                let roots = roots.len();
                return Err(ProofError::Form { version, roots });
            }
        };
        if let Some(expected) = root.filter(|root| !is_same(root, &named)) {
            let (found, expected) = (named, *expected);
            return Err(ProofError::OtherRoot { found, expected });
        }
        let mut path = Path::new(named);
        while let Some(section) = reader.next()? {
            path.push(section.cid, section.data)?;
        }
        path.end()
    }

    /// The root's CID.
    #[must_use]
    pub fn root(&self) -> &Cid {
        self.blocks[0].cid()
    }

    /// The leaf.
    #[must_use]
    pub fn leaf(&self) -> &Block {
        &self.blocks[self.blocks.len() - 1]
    }

    /// The path, from the root to the leaf; one block where the root is the leaf.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Where the leaf stands: in which file under which names, and at which of its bytes. That is what the
    /// nodes of the path say, and they belong to the root; nobody looked at what is beside them.
    ///
    /// # Errors
    /// A node that is no UnixFS, or contradicts the others. The leaf belongs to the root all the same.
    pub fn place(&self) -> Result<Place, DagError> {
        Place::of(&self.blocks)
    }

    /// The file, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let sections = self.blocks.iter().flat_map(|block| {
            let head = section_head(block);
            [head, block.data().clone()]
        });
        std::iter::once(header(&[*self.root()])).chain(sections)
    }
}

/// Whether both name the same node, whatever the version.
fn is_same(a: &Cid, b: &Cid) -> bool {
    (a.hash(), a.codec()) == (b.hash(), b.codec())
}

/// A path that is being read.
struct Path {
    root: Cid,
    blocks: Vec<Block>,
    bytes: u64,
    /// What the last block links to.
    links: Vec<Cid>,
}

impl Path {
    const fn new(root: Cid) -> Self {
        Self {
            root,
            blocks: Vec::new(),
            bytes: 0,
            links: Vec::new(),
        }
    }

    fn push(&mut self, cid: Cid, data: Bytes) -> Result<(), ProofError> {
        let number = self.blocks.len() + 1;
        self.bytes += data.len() as u64;
        if number > PATH_MAX || self.bytes > SIZE_MAX {
            return Err(ProofError::TooLarge);
        }
        match self.blocks.last() {
            None if cid != self.root => {
                let root = self.root;
                return Err(ProofError::First { cid, root });
            }
            Some(before) if !self.links.contains(&cid) => {
                let parent = *before.cid();
                return Err(ProofError::Unlinked {
                    number,
                    cid,
                    parent,
                });
            }
            _ => {}
        }
        let wrong = |error| ProofError::Block { number, error };
        let block = Block::verify(cid, data).map_err(wrong)?;
        let links = links(&block).map_err(|error| ProofError::Node { number, error })?;
        self.links = links.into_iter().map(|link| link.cid).collect();
        self.blocks.push(block);
        Ok(())
    }

    fn end(self) -> Result<Proof, ProofError> {
        let last = self.blocks.last().ok_or(ProofError::Empty)?;
        if !self.links.is_empty() {
            let (cid, links) = (*last.cid(), self.links.len());
            return Err(ProofError::Short { cid, links });
        }
        let blocks = self.blocks;
        Ok(Proof { blocks })
    }
}
