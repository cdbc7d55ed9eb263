//! [`FileNode`]: one node of a file, and whether its own numbers agree.

use bytes::Bytes;

use crate::block::Block;
use crate::cid::Cid;
use crate::dag::DagError;
use crate::unixfs::data::Kind;
use crate::unixfs::node::Node;

/// A node of a file: its own bytes come first, then those of its children.
#[derive(Debug)]
pub struct FileNode {
    /// Bytes that it carries itself: all of a leaf's, and some of each node's in a trickle layout.
    pub data: Bytes,
    /// Its children, each with the bytes that it claims for it.
    pub children: Vec<(Cid, u64)>,
    /// The sum of all.
    pub size: u64,
}

impl FileNode {
    /// Reads a node, and checks that its own numbers agree.
    pub fn decode(block: &Block) -> Result<Self, DagError> {
        let decoded = Node::decode(block)?;
        let (node, data) = match decoded {
            Node::Raw(data) => {
                return Ok(Self {
                    size: data.len() as u64,
                    data,
                    children: Vec::new(),
                });
            }
            Node::Pb { node, data } if matches!(data.kind, Kind::File | Kind::Raw) => (node, data),
            other @ Node::Pb { .. } => return Err(other.unexpected(block.cid(), "a file")),
        };
        let lie = |reason: String| {
            Err(DagError::Inconsistent {
                cid: *block.cid(),
                reason,
            })
        };
        let (links, sizes) = (node.links.len(), data.blocksizes.len());
        if links != sizes {
            return lie(format!("{links} links, but {sizes} sizes"));
        }
        let bytes = data.data.unwrap_or_default();
        let sum = data
            .blocksizes
            .iter()
            .try_fold(bytes.len() as u64, |sum, &size| sum.checked_add(size));
        let Some(size) = sum else {
            return lie("its sizes add up to more than 64 bits count".into());
        };
        // Some old leaves have no size. A node that has one means it.
        if let Some(claim) = data.filesize.filter(|&claim| claim != size) {
            return lie(format!(
                "it says that it has {claim} bytes, but its parts are {size}"
            ));
        }
        let children = node
            .links
            .into_iter()
            .map(|link| link.cid)
            .zip(data.blocksizes)
            .collect();
        Ok(Self {
            data: bytes,
            children,
            size,
        })
    }
}
