//! [`stat`]: what a CID is, from its root block alone.

use super::part::FileNode;
use crate::block::Block;
use crate::cid::Cid;
use crate::dag::{BlockSource, DagError, SourceError, fetch_one};
use crate::unixfs::data::{Kind, Metadata};
use crate::unixfs::node::Node;

/// What is known of a file, directory or symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file, as its root claims, or of a symlink's target; 0 for a directory, which does
    /// not say what its entries hold.
    pub size: u64,
    /// Permissions and time of last change, where they are stored.
    pub metadata: Metadata,
}

/// Looks at the root of `cid`.
pub fn stat(source: &dyn BlockSource, cid: &Cid) -> Result<Stat, SourceError> {
    Ok(Stat::of_block(&fetch_one(source, cid)?)?)
}

impl Stat {
    /// Looks at a root that the caller has.
    pub fn of_block(block: &Block) -> Result<Self, DagError> {
        let node = Node::decode(block)?;
        let kind = node.kind();
        let metadata = node.metadata();
        let size = match node {
            Node::Raw(data) => data.len() as u64,
            Node::Pb { data, .. } if kind == Kind::Symlink => data.target().len() as u64,
            Node::Pb { .. } if matches!(kind, Kind::File | Kind::Raw) => {
                FileNode::decode(block)?.size
            }
            Node::Pb { .. } => 0,
        };
        Ok(Self {
            kind,
            size,
            metadata,
        })
    }
}
