//! dag-pb: strict decode, canonical encode (ipld.io/specs/codecs/dag-pb).
//!
//! One node has exactly one encoding: links first (though their field number is the higher one), each
//! as hash, name, tsize; then data. Everything else is refused: a decoder that forgives makes two
//! CIDs for one node.
//!
//! ```text
//! PBNode = { 0x12 len PBLink }*  [ 0x0a len data ]
//! PBLink =   0x0a len cid  [ 0x12 len name ]  [ 0x18 varint tsize ]
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{DagError, Link};
use crate::block::Block;
use crate::cid;
use crate::unixfs::name::Name;

/// A decoded dag-pb node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its links, in the order in which they are encoded.
    pub links: Vec<Link>,
    /// Its data; UnixFS metadata in every node that we make.
    pub data: Option<Bytes>,
}

/// Why bytes are not a dag-pb node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PbError {
    /// The bytes end inside a field.
    #[error("cut off at byte {at}")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A varint of more than 64 bits or with a needless zero byte at its end.
    #[error("a varint that is too long at byte {at}")]
    Varint {
        /// Where.
        at: usize,
    },
    /// A field out of order, twice, unknown or of the wrong wire type.
    #[error("unexpected field {tag:#04x} at byte {at}")]
    Field {
        /// Field number and wire type, as encoded.
        tag: u64,
        /// Where.
        at: usize,
    },
    /// A link without a hash.
    #[error("a link without a CID")]
    NoHash,
    /// A link whose hash is no CID.
    #[error("a link with a bad CID: {0}")]
    Cid(#[from] cid::CidError),
}

const LINK: u64 = 0x12;
const DATA: u64 = 0x0a;
const LINK_HASH: u64 = 0x0a;
const LINK_NAME: u64 = 0x12;
const LINK_TSIZE: u64 = 0x18;

impl Node {
    /// Decodes a node from exactly `bytes`. Data is a slice of them, not a copy. The links take
    /// memory in proportion to `bytes`, which is bounded by the size of a block.
    pub fn decode(bytes: &Bytes) -> Result<Self, PbError> {
        let mut node = Self::default();
        let mut input = Input { bytes, at: 0 };
        while let Some((at, tag)) = input.tag()? {
            match tag {
                LINK if node.data.is_none() => {
                    let link = input.slice()?;
                    node.links.push(decode_link(&link)?);
                }
                DATA if node.data.is_none() => node.data = Some(input.slice()?),
                _ => return Err(PbError::Field { tag, at }),
            }
        }
        Ok(node)
    }

    /// Decodes a dag-pb block; the error names it.
    pub fn decode_block(block: &Block) -> Result<Self, DagError> {
        Self::decode(block.data()).map_err(|error| DagError::Pb {
            cid: *block.cid(),
            error,
        })
    }

    /// The canonical bytes. Links are written in the order in which they stand.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_size());
        for link in &self.links {
            let hash = link.cid.to_bytes();
            put_varint(&mut out, LINK);
            put_varint(
                &mut out,
                link_size(&link.cid, &link.name, link.tsize) as u64,
            );
            put_bytes(&mut out, LINK_HASH, &hash);
            put_bytes(&mut out, LINK_NAME, link.name.as_bytes());
            put_varint(&mut out, LINK_TSIZE);
            put_varint(&mut out, link.tsize);
        }
        if let Some(data) = &self.data {
            put_bytes(&mut out, DATA, data);
        }
        out.freeze()
    }

    /// The length of [`Node::encode`] in bytes.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        let links: usize = self
            .links
            .iter()
            .map(|l| link_field_size(&l.cid, &l.name, l.tsize))
            .sum();
        links + self.data.as_ref().map_or(0, |data| bytes_size(data.len()))
    }
}

/// What one link adds to the encoded size of its node: HAMT's switch rule counts it (IPIP-499,
/// "block-bytes").
#[must_use]
pub fn link_field_size(cid: &cid::Cid, name: &Name, tsize: u64) -> usize {
    bytes_size(link_size(cid, name, tsize))
}

fn link_size(cid: &cid::Cid, name: &Name, tsize: u64) -> usize {
    bytes_size(cid.encoded_len()) + bytes_size(name.as_bytes().len()) + 1 + varint_size(tsize)
}

/// The size of a length-delimited field with a one-byte tag.
const fn bytes_size(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

/// The length of a varint in bytes.
#[must_use]
pub const fn varint_size(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn decode_link(bytes: &Bytes) -> Result<Link, PbError> {
    let (mut hash, mut name, mut tsize) = (None, None, None);
    let mut input = Input { bytes, at: 0 };
    while let Some((at, tag)) = input.tag()? {
        match tag {
            LINK_HASH if hash.is_none() && name.is_none() && tsize.is_none() => {
                hash = Some(cid::from_bytes(&input.slice()?)?);
            }
            LINK_NAME if name.is_none() && tsize.is_none() => {
                name = Some(Name::from(input.slice()?.to_vec()));
            }
            LINK_TSIZE if tsize.is_none() => tsize = Some(input.varint()?),
            _ => return Err(PbError::Field { tag, at }),
        }
    }
    let cid = hash.ok_or(PbError::NoHash)?;
    Ok(Link {
        cid,
        name: name.unwrap_or_default(),
        tsize: tsize.unwrap_or_default(),
    })
}

/// A cursor over the bytes of one message.
struct Input<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Input<'_> {
    /// The next field's place and tag; `None` at the end.
    fn tag(&mut self) -> Result<Option<(usize, u64)>, PbError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let at = self.at;
        Ok(Some((at, self.varint()?)))
    }

    fn varint(&mut self) -> Result<u64, PbError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .ok_or(PbError::Truncated { at: self.at })?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero adds nothing: the same number has a shorter encoding.
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(PbError::Varint { at: start })
    }

    /// A length and that many bytes.
    fn slice(&mut self) -> Result<Bytes, PbError> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let end = self
            .at
            .checked_add(length)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(PbError::Truncated {
            at: self.bytes.len(),
        })?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }
}

pub(crate) fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

fn put_bytes(out: &mut BytesMut, tag: u64, bytes: &[u8]) {
    put_varint(out, tag);
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}
