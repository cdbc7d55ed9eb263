//! What can be asked.

use bytes::Bytes;

use super::{
    MAX_EXTENTS, MAX_LEAVES, MAX_PAGES, MAX_PAYLOAD, MAX_REQUEST_SIZE, MAX_ROOTS, WireError,
    at_most, frame, proto,
};
use crate::cid::{self, Cid};

const MANIFEST: u32 = 1;
const GET: u32 = 2;
const HAVE: u32 = 3;
const PEERS: u32 = 4;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The inner nodes of the subtrees under `nodes`, from the top down, level by level; a node that
    /// has no links is given itself, and so are the leaves of what is small
    /// ([`SMALL_CONTENT`](super::SMALL_CONTENT)).
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
        /// What it is for: orders the asker's own requests, and none of anybody else.
        urgency: Urgency,
    },
    /// Which children of nodes the answerer holds.
    Have {
        /// As in a Manifest.
        root: Cid,
        /// Which nodes: 1 to [`MAX_PAGES`].
        nodes: Vec<Known>,
    },
    /// Who else may have a content.
    Peers {
        /// The content.
        root: Cid,
    },
}

/// A node whose children are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The node.
    pub node: Cid,
    /// The version of the page that the asker has of it; 0 for none. A page that has not changed since
    /// is left out of the answer.
    pub version: u64,
}

/// What blocks are wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A reader waits for them.
    Reader,
    /// A download.
    #[default]
    Download,
    /// A further copy, in the background.
    Repair,
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
            Self::Manifest { root, .. }
            | Self::Get { root, .. }
            | Self::Have { root, .. }
            | Self::Peers { root } => root,
        }
    }

    /// How many bytes of blocks may come, whatever the asker wrote; 0 where none come.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Manifest { max_bytes, .. } | Self::Get { max_bytes, .. } => {
                (*max_bytes as usize).clamp(1, MAX_PAYLOAD)
            }
            Self::Have { .. } | Self::Peers { .. } => 0,
        }
    }

    /// The children that a Get asks for; 0 of anything else.
    #[must_use]
    pub fn leaves(&self) -> usize {
        match self {
            Self::Get { extents, .. } => extents.iter().map(|extent| extent.count as usize).sum(),
            _ => 0,
        }
    }

    /// The request's bytes, its length before it. Refuses what no answerer would take.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        frame(&self.message(0)?, MAX_REQUEST_SIZE)
    }

    /// The header, as request `id` of a bulk stream or 0.
    pub(super) fn message(&self, id: u64) -> Result<proto::Request, WireError> {
        let mut message = proto::Request {
            id,
            root: self.root().to_bytes().into(),
            ..Default::default()
        };
        match self {
            Self::Manifest {
                nodes, max_bytes, ..
            } => {
                check_count("nodes", nodes.len(), MAX_ROOTS)?;
                message.kind = MANIFEST;
                message.max_bytes = *max_bytes;
                message.nodes = nodes.iter().map(|node| node.to_bytes().into()).collect();
            }
            Self::Get {
                extents,
                max_bytes,
                urgency,
                ..
            } => {
                check_extents(extents)?;
                let extent = |e: &Extent| proto::Extent {
                    node: e.node.to_bytes().into(),
                    first: e.first,
                    count: e.count,
                };
                message.kind = GET;
                message.max_bytes = *max_bytes;
                message.extents = extents.iter().map(extent).collect();
                message.urgency = urgency.code();
            }
            Self::Have { nodes, .. } => {
                check_count("nodes", nodes.len(), MAX_PAGES)?;
                message.kind = HAVE;
                message.nodes = nodes.iter().map(|k| k.node.to_bytes().into()).collect();
                message.versions = nodes.iter().map(|known| known.version).collect();
            }
            Self::Peers { .. } => message.kind = PEERS,
        }
        Ok(message)
    }

    /// The request whose body, without the length before it, is exactly `body`.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        Self::of(decode_message(body)?)
    }

    /// The request that a header is.
    pub(super) fn of(message: proto::Request) -> Result<Self, WireError> {
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
                    urgency: Urgency::of(message.urgency),
                })
            }
            HAVE => {
                check_count("nodes", message.nodes.len(), MAX_PAGES)?;
                let versions = message.versions;
                if !versions.is_empty() && versions.len() != message.nodes.len() {
                    return Err(WireError::Field("versions"));
                }
                let versions = versions.into_iter().chain(std::iter::repeat(0));
                let known = |(node, version): (&Bytes, u64)| {
                    let node = cid::from_bytes(node)?;
                    Ok(Known { node, version })
                };
                let nodes = message.nodes.iter().zip(versions).map(known);
                let nodes = nodes.collect::<Result<_, WireError>>()?;
                Ok(Self::Have { root, nodes })
            }
            PEERS => Ok(Self::Peers { root }),
            kind => Err(WireError::Kind(kind)),
        }
    }
}

/// A request's header, its repeated fields counted before anything is allocated for them.
pub(super) fn decode_message(body: &Bytes) -> Result<proto::Request, WireError> {
    at_most("bytes of request", body.len(), MAX_REQUEST_SIZE)?;
    let bound = |tag, what, count, bytes| proto::Bound {
        tag,
        what,
        count,
        bytes,
    };
    let bounds = [
        bound(4, "nodes", MAX_ROOTS, MAX_REQUEST_SIZE),
        bound(5, "extents", MAX_EXTENTS, MAX_REQUEST_SIZE),
        // A varint of 64 bits is ten bytes at most; three more for the field's length.
        bound(9, "versions", MAX_PAGES, 10 * MAX_PAGES + 3),
    ];
    proto::decode(body, &bounds)
}

impl Urgency {
    const fn code(self) -> u32 {
        match self {
            Self::Download => 0,
            Self::Reader => 1,
            Self::Repair => 2,
        }
    }

    /// What a later version calls otherwise is not urgent.
    const fn of(code: u32) -> Self {
        match code {
            0 => Self::Download,
            1 => Self::Reader,
            _ => Self::Repair,
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
