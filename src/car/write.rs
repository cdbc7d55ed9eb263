//! Writing version 1: what stands before the blocks' bytes.

use bytes::{Bytes, BytesMut};

use super::cbor::Header;
use crate::block::Block;
use crate::cid::Cid;
use crate::dag::pb::put_varint;

/// The first bytes of a file of version 1 with these roots.
#[must_use]
pub fn header(roots: &[Cid]) -> Bytes {
    let header = Header {
        version: 1,
        roots: Some(roots.to_vec()),
    };
    let header = header.encode();
    let mut out = BytesMut::with_capacity(header.len() + 4);
    put_varint(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    out.freeze()
}

/// What stands before the bytes of `block`: the section's length, and the CID.
#[must_use]
pub fn section_head(block: &Block) -> Bytes {
    let cid = block.cid().to_bytes();
    let mut out = BytesMut::with_capacity(cid.len() + 4);
    put_varint(&mut out, (cid.len() + block.data().len()) as u64);
    out.extend_from_slice(&cid);
    out.freeze()
}
