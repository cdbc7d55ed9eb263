//! [`Node`]: a block, decoded as far as UnixFS goes.

use bytes::Bytes;

use super::data::{Data, DataError, Kind, Metadata};
use crate::block::Block;
use crate::cid::{Cid, Codec};
use crate::dag::{DagError, pb};

/// What is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Bytes of a file, without links.
    Raw(Bytes),
    /// Links, and what they mean.
    Pb {
        /// The links and the bytes of `data`.
        node: pb::Node,
        /// The UnixFS message.
        data: Data,
    },
}

impl Node {
    /// Decodes a block.
    pub(crate) fn decode(block: &Block) -> Result<Self, DagError> {
        if Codec::of(block.cid())? == Codec::Raw {
            return Ok(Self::Raw(block.data().clone()));
        }
        let node = pb::Node::decode_block(block)?;
        let data = node
            .data
            .as_ref()
            .ok_or(DataError::Missing)
            .and_then(Data::decode);
        let data = data.map_err(|error| DagError::UnixFs {
            cid: *block.cid(),
            error,
        })?;
        Ok(Self::Pb { node, data })
    }

    /// What it is. A raw block is a file.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Raw(_) => Kind::File,
            Self::Pb { data, .. } => data.kind,
        }
    }

    /// Permissions and time of last change, where they are stored; a raw block has no place for them.
    pub(crate) const fn metadata(&self) -> Metadata {
        match self {
            Self::Raw(_) => Metadata::NONE,
            Self::Pb { data, .. } => data.metadata(),
        }
    }

    /// The error for a node that is no `expected` thing.
    pub(crate) const fn unexpected(&self, cid: &Cid, expected: &'static str) -> DagError {
        DagError::Kind {
            cid: *cid,
            found: self.kind().name(),
            expected,
        }
    }
}
