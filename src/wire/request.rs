//! What can be asked.

use bytes::Bytes;

use super::{
    MAX_EXTENTS, MAX_LEAVES, MAX_PAYLOAD, MAX_REQUEST_SIZE, MAX_ROOTS, WireError, at_most, frame,
    proto,
};
use crate::cid::{self, Cid};

const MANIFEST: u32 = 1;
const GET: u32 = 2;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The inner nodes of the subtrees under `nodes`, from the top down, level by level; a node that
    /// has no links is given itself.
    Manifest {
        /// The content that the asker is after: context for whoever keeps accounts, no address.
        root: Cid,
        /// Where to begin, in order of urgency: 1 to [`MAX_ROOTS`].
        nodes: Vec<Cid>,
        /// Stop before the blocks exceed this many bytes; the first block comes in any case.
        max_bytes: u32,
    },
    /// Blocks by their places: children of nodes that the asker knows.
    Get {
        /// As in a Manifest.
        root: Cid,
        /// Which, in the order in which they are wanted: 1 to [`MAX_EXTENTS`], of [`MAX_LEAVES`]
        /// children together.
        extents: Vec<Extent>,
        /// As in a Manifest.
        max_bytes: u32,
    },
}

/// Consecutive children of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The node.
    pub node: Cid,
    /// The first child, counted from 0 in the order of the node's links.
    pub first: u32,
    /// How many; at least 1.
    pub count: u32,
}

impl Request {
    /// The content that the asker is after.
    #[must_use]
    pub const fn root(&self) -> &Cid {
        match self {
            Self::Manifest { root, .. } | Self::Get { root, .. } => root,
        }
    }

    /// How many bytes of blocks may come, whatever the asker wrote.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Manifest { max_bytes, .. } | Self::Get { max_bytes, .. } => {
                (*max_bytes as usize).clamp(1, MAX_PAYLOAD)
            }
        }
    }

    /// The request's bytes, its length before them.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let message = match self {
            Self::Manifest {
                root,
                nodes,
                max_bytes,
            } => {
                check_count("nodes", nodes.len(), MAX_ROOTS)?;
                proto::Request {
                    kind: MANIFEST,
                    root: root.to_bytes().into(),
                    max_bytes: *max_bytes,
                    nodes: nodes.iter().map(|node| node.to_bytes().into()).collect(),
                    extents: Vec::new(),
                }
            }
            Self::Get {
                root,
                extents,
                max_bytes,
            } => {
                check_extents(extents)?;
                let extent = |e: &Extent| proto::Extent {
                    node: e.node.to_bytes().into(),
                    first: e.first,
                    count: e.count,
                };
                proto::Request {
                    kind: GET,
                    root: root.to_bytes().into(),
                    max_bytes: *max_bytes,
                    nodes: Vec::new(),
                    extents: extents.iter().map(extent).collect(),
                }
            }
        };
        frame(&message, MAX_REQUEST_SIZE)
    }

    /// The request whose body, without the length before it, is exactly `body`.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of request", body.len(), MAX_REQUEST_SIZE)?;
        let bounds = [
            proto::Bound {
                tag: 4,
                what: "nodes",
                count: MAX_ROOTS,
                bytes: MAX_REQUEST_SIZE,
            },
            proto::Bound {
                tag: 5,
                what: "extents",
                count: MAX_EXTENTS,
                bytes: MAX_REQUEST_SIZE,
            },
        ];
        let message: proto::Request = proto::decode(body, &bounds)?;
        let root = cid::from_bytes(&message.root)?;
        let max_bytes = message.max_bytes;
        match message.kind {
            MANIFEST => {
                check_count("nodes", message.nodes.len(), MAX_ROOTS)?;
                let nodes: Result<_, _> =
                    message.nodes.iter().map(|n| cid::from_bytes(n)).collect();
                Ok(Self::Manifest {
                    root,
                    nodes: nodes?,
                    max_bytes,
                })
            }
            GET => {
                let extent = |e: &proto::Extent| {
                    let node = cid::from_bytes(&e.node)?;
                    Ok(Extent {
                        node,
                        first: e.first,
                        count: e.count,
                    })
                };
                let extents = message.extents.iter().map(extent);
                let extents = extents.collect::<Result<Vec<_>, WireError>>()?;
                check_extents(&extents)?;
                Ok(Self::Get {
                    root,
                    extents,
                    max_bytes,
                })
            }
            kind => Err(WireError::Kind(kind)),
        }
    }
}

/// Refuses a list that is empty or too long.
fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), WireError> {
    if count == 0 {
        return Err(WireError::Field(what));
    }
    at_most(what, count, limit)
}

fn check_extents(extents: &[Extent]) -> Result<(), WireError> {
    check_count("extents", extents.len(), MAX_EXTENTS)?;
    let mut leaves = 0_usize;
    for extent in extents {
        if extent.count == 0 || extent.first.checked_add(extent.count).is_none() {
            return Err(WireError::Field("count"));
        }
        // 256 counts of 32 bits cannot overflow a usize of 64; saturate for smaller ones.
        leaves = leaves.saturating_add(extent.count as usize);
    }
    at_most("leaves", leaves, MAX_LEAVES)
}
