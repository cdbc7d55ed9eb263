//! The Merkle DAG: nodes, links, and walks over them.

pub mod diff;
mod fetch;
mod leaves;
pub mod path;
pub mod pb;
#[cfg(test)]
pub(crate) mod planted;
pub mod source;
pub mod walk;

pub use diff::Diff;
pub use fetch::fetch;
pub(crate) use fetch::{fetch_first, fetch_one};
pub use leaves::{Found, Leaves};
pub use source::{BlockSource, SourceError};
pub use walk::Walk;

use crate::block::Block;
use crate::cid::{Cid, CidError, Codec, identity_data};
use crate::unixfs::name::Name;

/// A link from a node to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The child.
    pub cid: Cid,
    /// Its name in a directory; empty in a file.
    pub name: Name,
    /// Size of the child's block and all below it in bytes, as its maker claimed: a hint, not a fact.
    pub tsize: u64,
}

/// Why a block is no node of a DAG that we can walk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// Malformed dag-pb.
    #[error("block `{cid}` is not valid dag-pb: {error}")]
    Pb {
        /// The block.
        cid: Cid,
        /// What is wrong.
        error: pb::PbError,
    },
    /// Malformed UnixFS in well-formed dag-pb.
    #[error("block `{cid}` is not valid UnixFS: {error}")]
    UnixFs {
        /// The block.
        cid: Cid,
        /// What is wrong.
        error: crate::unixfs::data::DataError,
    },
    /// Not what was expected there.
    #[error("block `{cid}` is {found}, not {expected}")]
    Kind {
        /// The block.
        cid: Cid,
        /// What it is.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// Deeper than any honest DAG.
    #[error("the DAG is deeper than {limit} levels at `{cid}`")]
    TooDeep {
        /// Where.
        cid: Cid,
        /// The limit.
        limit: usize,
    },
    /// More blocks than the caller lets a walk remember.
    #[error("the DAG of `{cid}` has more than {limit} blocks")]
    TooLarge {
        /// The root.
        cid: Cid,
        /// The limit.
        limit: usize,
    },
    /// A block that was given, but not asked for.
    #[error("block `{cid}` was not asked for")]
    Unwanted {
        /// The block.
        cid: Cid,
    },
    /// The structure contradicts itself: sizes that do not add up, a shard that lies.
    #[error("block `{cid}` contradicts itself: {reason}")]
    Inconsistent {
        /// The block.
        cid: Cid,
        /// How.
        reason: String,
    },
    /// A CID that we cannot follow.
    #[error(transparent)]
    Cid(#[from] CidError),
}

/// The links of a block, whatever its codec.
pub fn links(block: &Block) -> Result<Vec<Link>, DagError> {
    links_of(block.cid(), block.data())
}

/// The links to blocks: those of nodes that identity CIDs carry stand in the place of these, which are no
/// blocks to look for. Whoever looks at the leaves of a node must go through here.
pub fn outward(links: Vec<Link>) -> Result<Vec<Link>, DagError> {
    if links.iter().all(|link| identity_data(&link.cid).is_none()) {
        return Ok(links);
    }
    let mut out = Vec::with_capacity(links.len());
    for link in links {
        match Block::inline(&link.cid) {
            // Ends soon: an identity CID carries less than its own length.
            Some(block) => out.extend(outward(self::links(&block)?)?),
            None => out.push(link),
        }
    }
    Ok(out)
}

/// The links in the bytes of a block that is on disk, unverified.
pub(crate) fn links_of(cid: &Cid, data: &bytes::Bytes) -> Result<Vec<Link>, DagError> {
    match Codec::of(cid)? {
        Codec::Raw => Ok(Vec::new()),
        Codec::DagPb => pb::Node::decode(data)
            .map(|node| node.links)
            .map_err(|error| DagError::Pb { cid: *cid, error }),
    }
}
