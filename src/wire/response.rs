//! What can be answered.

use bytes::Bytes;

use super::holders::{self, Holder, Page};
use super::{
    LENGTH_SIZE, MAX_HEADER_SIZE, MAX_LEAVES, MAX_NODES, MAX_PAYLOAD, MAX_RETRY_MS, WireError,
    at_most, body_length, frame, proto,
};
use crate::block::MAX_BLOCK_SIZE;
use crate::cid::{self, Cid};

const MANIFEST: u32 = 1;
const LEAVES: u32 = 2;
const BUSY: u32 = 3;
const NOT_FOUND: u32 = 4;
const REFUSED: u32 = 5;
const HAVE: u32 = 6;
const PEERS: u32 = 7;

const LEAF_NOT_FOUND: u32 = 0;
const LEAF_CUT: u32 = 1;
/// A leaf that comes is written as its length plus this.
const LEAF_HAVE: u32 = 2;

/// An answer. Its blocks are what the answerer claims them to be, until they have been hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To a Manifest: nodes, each one asked for or a child of one before it.
    Manifest {
        /// The nodes, from the top down, level by level.
        nodes: Vec<ManifestNode>,
        /// The answerer has further inner nodes below those asked for. Without it, what is not here
        /// is not there.
        more: bool,
    },
    /// To a Get: one entry for each leaf asked for, in that order. On a bulk stream the answer comes in
    /// parts, each with the next leaves.
    Leaves(Vec<Leaf>),
    /// To a Have: pages of the nodes asked about, but for those that have not changed.
    Have(Vec<Page>),
    /// To a Peers: at most [`MAX_HOLDERS`](super::MAX_HOLDERS).
    Peers(Vec<Holder>),
    /// Ask again, not before this many milliseconds: at most [`MAX_RETRY_MS`].
    Busy {
        /// How long to wait, in milliseconds.
        retry_ms: u32,
    },
    /// The answerer has none of the nodes that a Manifest asked for.
    NotFound,
    /// The answerer will not answer this, whenever it is asked.
    Refused(Refusal),
}

/// Why an answerer will not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It serves nobody, or not this asker.
    Policy,
    /// Its store failed.
    Store,
    /// A reason that this version does not know.
    Other(u32),
}

/// One node of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestNode {
    /// The block's name.
    pub cid: Cid,
    /// The block's bytes, as claimed.
    pub data: Bytes,
    /// Which of its dag-pb children the answerer holds and knows to have no links. Raw children are
    /// leaves by their codec and are not marked.
    pub leaves: Bits,
}

/// One leaf of a Get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Its bytes, as claimed.
    Have(Bytes),
    /// The answerer does not have it.
    NotFound,
    /// The answerer has it, or has not looked: the answer is full. Ask again.
    Cut,
}

/// Bits by child, the first in the lowest bit of the first byte; those behind the end are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Bytes);

impl Bits {
    /// Whether child `i` is marked.
    #[must_use]
    pub fn get(&self, i: usize) -> bool {
        self.0
            .get(i / 8)
            .is_some_and(|byte| byte >> (i % 8) & 1 == 1)
    }

    /// Its bytes, without zeroes at the end.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bits that these bytes are.
    pub(super) const fn of_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bytes: Vec<u8> = Vec::new();
        for (i, bit) in bits.into_iter().enumerate() {
            if bit {
                bytes.resize(i / 8 + 1, 0);
                bytes[i / 8] |= 1 << (i % 8);
            }
        }
        Self(bytes.into())
    }
}

/// An answer as it is sent: the head, then each of the payloads, as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The header with its length before it.
    pub head: Bytes,
    /// The blocks.
    pub payload: Vec<Bytes>,
}

impl Response {
    /// The answer's bytes. Refuses what no asker would take: the server's own bounds come first.
    pub fn encode(self) -> Result<Encoded, WireError> {
        self.encode_for(0)
    }

    /// The same as the answer, or a part of it, to request `id` of a bulk stream.
    pub(super) fn encode_for(self, id: u64) -> Result<Encoded, WireError> {
        let mut message = proto::Response {
            id,
            ..Default::default()
        };
        let mut payload = Vec::new();
        match self {
            Self::Manifest { nodes, more } => {
                message.kind = MANIFEST;
                message.more = more;
                for node in nodes {
                    message.nodes.push(proto::Node {
                        cid: node.cid.to_bytes().into(),
                        size: block_size(&node.data)?,
                        leaves: node.leaves.0,
                    });
                    payload.push(node.data);
                }
            }
            Self::Leaves(leaves) => {
                message.kind = LEAVES;
                for leaf in leaves {
                    message.leaves.push(match leaf {
                        Leaf::NotFound => LEAF_NOT_FOUND,
                        Leaf::Cut => LEAF_CUT,
                        Leaf::Have(data) => {
                            let status = block_size(&data)? + LEAF_HAVE;
                            payload.push(data);
                            status
                        }
                    });
                }
            }
            Self::Have(pages) => {
                message.kind = HAVE;
                message.pages = holders::pages_out(pages)?;
            }
            Self::Peers(peers) => {
                message.kind = PEERS;
                message.holders = holders::holders_out(peers)?;
            }
            Self::Busy { retry_ms } => {
                message.kind = BUSY;
                message.retry_ms = retry_ms.min(MAX_RETRY_MS);
            }
            Self::NotFound => message.kind = NOT_FOUND,
            Self::Refused(refusal) => {
                message.kind = REFUSED;
                message.reason = refusal.code();
            }
        }
        at_most("nodes", message.nodes.len(), MAX_NODES)?;
        at_most("leaves", message.leaves.len(), MAX_LEAVES)?;
        at_most(
            "bytes of blocks",
            payload.iter().map(Bytes::len).sum(),
            MAX_PAYLOAD,
        )?;
        Ok(Encoded {
            head: frame(&message, MAX_HEADER_SIZE)?,
            payload,
        })
    }

    /// The answer that `bytes` are, whole: length, header, payload.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let short = |expected| WireError::Length {
            expected,
            found: bytes.len(),
        };
        let prefix = bytes.first_chunk().ok_or_else(|| short(LENGTH_SIZE))?;
        let start = LENGTH_SIZE + body_length(*prefix, MAX_HEADER_SIZE)?;
        if bytes.len() < start {
            return Err(short(start));
        }
        let header = Header::decode(&bytes.slice(LENGTH_SIZE..start))?;
        let end = start + header.payload.iter().sum::<usize>();
        if bytes.len() != end {
            return Err(short(end));
        }
        let mut at = start;
        let blocks = header.payload.iter().map(|size| {
            at += size;
            bytes.slice(at - size..at)
        });
        let blocks = blocks.collect();
        Ok(header.with_payload(blocks))
    }

    /// Bytes of blocks in it.
    #[must_use]
    pub fn payload_size(&self) -> usize {
        match self {
            Self::Manifest { nodes, .. } => nodes.iter().map(|node| node.data.len()).sum(),
            Self::Leaves(leaves) => leaves
                .iter()
                .map(|leaf| {
                    if let Leaf::Have(data) = leaf {
                        data.len()
                    } else {
                        0
                    }
                })
                .sum(),
            Self::Have(_)
            | Self::Peers(_)
            | Self::Busy { .. }
            | Self::NotFound
            | Self::Refused(_) => 0,
        }
    }
}

/// The decoded header of an answer whose payload has not been read yet.
#[derive(Debug)]
pub struct Header {
    message: proto::Response,
    cids: Vec<Cid>,
    payload: Vec<usize>,
    pages: Vec<Page>,
    holders: Vec<Holder>,
}

impl Header {
    /// The header whose body, without the length before it, is exactly `body`.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of header", body.len(), MAX_HEADER_SIZE)?;
        let bounds = [
            proto::Bound {
                tag: 2,
                what: "nodes",
                count: MAX_NODES,
                bytes: MAX_HEADER_SIZE,
            },
            // A length of 21 bits plus 2 is a varint of four bytes; three more for the field's length.
            proto::Bound {
                tag: 4,
                what: "leaves",
                count: MAX_LEAVES,
                bytes: 4 * MAX_LEAVES + 3,
            },
            holders::PAGES,
            holders::HOLDERS,
        ];
        let mut message: proto::Response = proto::decode(body, &bounds)?;
        at_most("leaves", message.leaves.len(), MAX_LEAVES)?;
        let (mut cids, mut payload) = (Vec::new(), Vec::new());
        let (mut pages, mut holders) = (Vec::new(), Vec::new());
        match message.kind {
            MANIFEST => {
                for node in &message.nodes {
                    cids.push(cid::from_bytes(&node.cid)?);
                    payload.push(node.size as usize);
                }
            }
            LEAVES => {
                let have = message.leaves.iter().filter(|&&leaf| leaf >= LEAF_HAVE);
                payload.extend(have.map(|leaf| (leaf - LEAF_HAVE) as usize));
            }
            BUSY => at_most(
                "milliseconds to wait",
                message.retry_ms as usize,
                MAX_RETRY_MS as usize,
            )?,
            HAVE => pages = holders::pages_in(std::mem::take(&mut message.pages))?,
            PEERS => holders = holders::holders_in(std::mem::take(&mut message.holders))?,
            NOT_FOUND | REFUSED => {}
            kind => return Err(WireError::Kind(kind)),
        }
        for &size in &payload {
            at_most("bytes of a block", size, MAX_BLOCK_SIZE)?;
        }
        at_most("bytes of blocks", payload.iter().sum(), MAX_PAYLOAD)?;
        Ok(Self {
            message,
            cids,
            payload,
            pages,
            holders,
        })
    }

    /// The request of a bulk stream that this answers; 0 elsewhere.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.message.id
    }

    /// The lengths in bytes of the blocks that follow, in their order: each at most
    /// [`MAX_BLOCK_SIZE`], together at most [`MAX_PAYLOAD`].
    #[must_use]
    pub fn payload(&self) -> &[usize] {
        &self.payload
    }

    /// The answer, with the blocks that were read.
    ///
    /// # Panics
    /// If they are not as many as [`Header::payload`] names.
    #[must_use]
    pub fn with_payload(self, blocks: Vec<Bytes>) -> Response {
        assert_eq!(blocks.len(), self.payload.len(), "a block for each length");
        let mut blocks = blocks.into_iter();
        match self.message.kind {
            MANIFEST => {
                let nodes = self.message.nodes.into_iter().zip(self.cids).zip(blocks);
                let node = |((node, cid), data): ((proto::Node, Cid), Bytes)| ManifestNode {
                    cid,
                    data,
                    leaves: Bits(node.leaves),
                };
                Response::Manifest {
                    nodes: nodes.map(node).collect(),
                    more: self.message.more,
                }
            }
            LEAVES => {
                let leaf = |status: u32| match status {
                    LEAF_NOT_FOUND => Leaf::NotFound,
                    LEAF_CUT => Leaf::Cut,
                    _ => Leaf::Have(blocks.next().expect("counted above")),
                };
                Response::Leaves(self.message.leaves.into_iter().map(leaf).collect())
            }
            BUSY => Response::Busy {
                retry_ms: self.message.retry_ms,
            },
            REFUSED => Response::Refused(Refusal::of(self.message.reason)),
            HAVE => Response::Have(self.pages),
            PEERS => Response::Peers(self.holders),
            _ => Response::NotFound,
        }
    }
}

impl Refusal {
    const fn code(self) -> u32 {
        match self {
            Self::Policy => 1,
            Self::Store => 2,
            Self::Other(code) => code,
        }
    }

    const fn of(code: u32) -> Self {
        match code {
            1 => Self::Policy,
            2 => Self::Store,
            code => Self::Other(code),
        }
    }
}

fn block_size(data: &Bytes) -> Result<u32, WireError> {
    at_most("bytes of a block", data.len(), MAX_BLOCK_SIZE)?;
    Ok(u32::try_from(data.len()).expect("a block's bound is below 4 GiB"))
}
