//! The headers as protobuf, and the check that comes before their decoding: prost allocates for each
//! repeated field that it meets, so the fields are counted first.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::{WireError, at_most};

/// Header of a request.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    /// Which request; see the constants in `request`.
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) root: Bytes,
    #[prost(uint32, tag = "3")]
    pub(super) max_bytes: u32,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(super) nodes: Vec<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub(super) extents: Vec<Extent>,
    /// On a bulk stream: which request. 0 elsewhere.
    #[prost(uint64, tag = "6")]
    pub(super) id: u64,
    #[prost(uint32, tag = "7")]
    pub(super) from: u32,
    #[prost(uint32, tag = "8")]
    pub(super) urgency: u32,
    /// One for each of `nodes`, or none.
    #[prost(uint64, repeated, tag = "9")]
    pub(super) versions: Vec<u64>,
}

/// Consecutive children of one node.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Extent {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) node: Bytes,
    #[prost(uint32, tag = "2")]
    pub(super) first: u32,
    #[prost(uint32, tag = "3")]
    pub(super) count: u32,
}

/// Header of an answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Response {
    /// Which answer; see the constants in `response`.
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) nodes: Vec<Node>,
    #[prost(bool, tag = "3")]
    pub(super) more: bool,
    /// One number a leaf: 0 not found, 1 cut, n + 2 its length in bytes.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) leaves: Vec<u32>,
    #[prost(uint32, tag = "5")]
    pub(super) retry_ms: u32,
    #[prost(uint32, tag = "6")]
    pub(super) reason: u32,
    /// On a bulk stream: which request's. 0 elsewhere.
    #[prost(uint64, tag = "7")]
    pub(super) id: u64,
    #[prost(message, repeated, tag = "8")]
    pub(super) pages: Vec<Page>,
    #[prost(message, repeated, tag = "9")]
    pub(super) holders: Vec<Holder>,
}

/// Which children of a node are held.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Page {
    /// Place of the node in the question.
    #[prost(uint32, tag = "1")]
    pub(super) node: u32,
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
    #[prost(bool, tag = "3")]
    pub(super) all: bool,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) bits: Bytes,
}

/// A peer that may have a content.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Holder {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) peer: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) addresses: Vec<Bytes>,
}

/// One node of a manifest; its bytes are payload.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Node {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) cid: Bytes,
    #[prost(uint32, tag = "2")]
    pub(super) size: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) leaves: Bytes,
}

/// A name and a value, of a member's record or a pin's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tag {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

impl Tag {
    pub(super) fn of((name, value): (&str, &str)) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        Self { name, value }
    }

    pub(super) fn pair(self) -> (String, String) {
        (self.name, self.value)
    }
}

/// What a repeated field may hold, summed over its occurrences.
pub(super) struct Bound {
    pub(super) tag: u32,
    pub(super) what: &'static str,
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// Decodes a header after counting its repeated fields against their bounds.
pub(super) fn decode<M: prost::Message + Default>(
    header: &Bytes,
    bounds: &[Bound],
) -> Result<M, WireError> {
    let malformed = |error: prost::DecodeError| WireError::Malformed(error.to_string());
    let mut seen = vec![(0_usize, 0_usize); bounds.len()];
    let mut rest: &[u8] = header;
    while rest.has_remaining() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(malformed)?;
        let before = rest.len();
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(malformed)?;
        let Some(i) = bounds.iter().position(|bound| bound.tag == tag) else {
            continue;
        };
        seen[i].0 += 1;
        seen[i].1 += before - rest.len();
        at_most(bounds[i].what, seen[i].0, bounds[i].count)?;
        at_most(bounds[i].what, seen[i].1, bounds[i].bytes)?;
    }
    M::decode(header.clone()).map_err(malformed)
}
