//! The chunk protocol's messages and their bytes: `/store/{network}/chunk/1.0.0` and its bulk stream
//! (docs/protocol.md).
//!
//! A message is a length, a protobuf header, and behind an answer's header the payload: the bytes of
//! its blocks, one after another. Payload is never copied, neither here nor in the header. Every
//! length and every count is checked against its bound before anything is allocated for it; what a
//! decoder returns has been checked as far as it can be without hashing, and no further: the bytes
//! of a block become a [`Block`](crate::Block) only by its own constructor.
//!
//! Knows no stream and no libp2p, so that fuzzers can drive it.

mod bulk;
mod holders;
pub mod member;
pub mod pin;
mod proto;
pub mod reconcile;
pub mod replica;
mod request;
mod response;

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "the bounds fit in 32 bits")]
mod tests;

use bytes::Bytes;

pub use bulk::{Ask, Part};
pub use holders::{Held, Holder, Page};
pub use request::{Extent, Known, Request, Urgency};
pub use response::{Bits, Encoded, Header, Leaf, ManifestNode, Refusal, Response};

use crate::block::MAX_BLOCK_SIZE;
use crate::cid::CidError;

/// The version that these messages belong to, as it stands in the protocol's name.
pub const VERSION: &str = "1.0.0";
/// Bytes of the length that stands before a header (big-endian u32).
pub const LENGTH_SIZE: usize = 4;
/// The largest request in bytes. [`MAX_EXTENTS`] of the longest CIDs need 41 KiB; whatever is larger
/// is not meant well, and 100 streams of one peer then hold 6 MiB at most.
pub const MAX_REQUEST_SIZE: usize = 64 << 10;
/// The largest header of an answer in bytes: [`MAX_NODES`] CIDs and sizes of usual length are 200 KiB,
/// the rest is room for bits. An answerer cuts its page before it gets longer.
pub const MAX_HEADER_SIZE: usize = 512 << 10;
/// The largest answer in bytes, all included: two of the largest requests that the scheduler makes,
/// and small enough that 16 of them are no danger to a machine of 512 MiB.
pub const MAX_RESPONSE_SIZE: usize = 8 << 20;
/// The most payload that an answer can carry, and hence the largest `max_bytes` that means anything.
pub const MAX_PAYLOAD: usize = MAX_RESPONSE_SIZE - MAX_HEADER_SIZE - LENGTH_SIZE;
/// Extents in one Get. A directory of small files is one extent; only a scattered rest needs many.
pub const MAX_EXTENTS: usize = 256;
/// Leaves in one Get, over all its extents: 4 MiB of leaves of 1 KiB.
pub const MAX_LEAVES: usize = 4096;
/// Nodes that one Manifest can ask for: as many as a HAMT node has children.
pub const MAX_ROOTS: usize = 256;
/// Nodes in one Manifest answer: 200 MiB of leaves for the smallest nodes, 4 TiB for full ones.
pub const MAX_NODES: usize = 4096;
/// Nodes in one Have: with bits for as many links as the largest block holds, 400 KiB of header.
pub const MAX_PAGES: usize = 64;
/// Peers in one Peers answer: half of what a session talks to.
pub const MAX_HOLDERS: usize = 32;
/// Addresses of one of them.
pub const MAX_HOLDER_ADDRESSES: usize = 8;
/// Bytes of one address, or of a peer's id: relayed addresses with names are the longest.
pub const MAX_ADDRESS_SIZE: usize = 256;
/// A Manifest brings the leaves too where all blocks below the node asked for come to no more.
pub const SMALL_CONTENT: u64 = 128 << 10;
/// The longest wait that a Busy answer may ask for, in milliseconds. Longer is as good as Refused.
pub const MAX_RETRY_MS: u32 = 60_000;

const _: () = assert!(
    MAX_PAYLOAD >= 2 * MAX_BLOCK_SIZE,
    "an answer has room for a block"
);

/// Why bytes are not a message, or a message is none that may be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The header is not protobuf.
    #[error("malformed header: {0}")]
    Malformed(String),
    /// More of something than its bound allows.
    #[error("{what}: {found}, at most {limit} allowed")]
    TooMuch {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much was claimed.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// The bytes end before the message does, or go on behind it.
    #[error("{found} bytes where {expected} were announced")]
    Length {
        /// Bytes that the message announced.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// A kind of message that this version does not know.
    #[error("unknown kind of message: {0}")]
    Kind(u32),
    /// A field that must be there and is not, or that makes no sense.
    #[error("bad field `{0}`")]
    Field(&'static str),
    /// A CID that we could not check a block against.
    #[error(transparent)]
    Cid(#[from] CidError),
}

/// The body's length in bytes, from the length before it; refused above `limit`.
pub fn body_length(prefix: [u8; LENGTH_SIZE], limit: usize) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix);
    at_most("bytes of header", length as usize, limit)?;
    Ok(length as usize)
}

/// Refuses more than `limit` of something.
fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found > limit {
        return Err(WireError::TooMuch {
            what,
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

/// Length and body of a header.
fn frame(header: &impl prost::Message, limit: usize) -> Result<Bytes, WireError> {
    let length = header.encoded_len();
    at_most("bytes of header", length, limit)?;
    let mut out = Vec::with_capacity(LENGTH_SIZE + length);
    let prefix = u32::try_from(length).expect("a header's bound is below 4 GiB");
    out.extend_from_slice(&prefix.to_be_bytes());
    header.encode_raw(&mut out);
    Ok(out.into())
}
