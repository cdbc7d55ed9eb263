//! The database's families, and their keys and values byte by byte (docs/storage.md draws them).
//!
//! Every change here is a new format number in [`crate::repo::format`].

use bytes::{Buf, Bytes};

use crate::cid;
use crate::dag::Link;
use crate::dag::pb::varint_size;
use crate::unixfs::name::Name;

/// Multihash → the block's bytes.
pub(crate) const BLOCKS: &str = "blocks";
/// Multihash → [`Entry`]. A block is there if and only if it has one.
pub(crate) const INDEX: &str = "index";
/// Multihash → [`encode_links`], for dag-pb blocks with links.
pub(crate) const LINKS: &str = "links";
/// What is kept: pins.
pub(crate) const KEEP: &str = "keep";
/// What this node knows of roots.
pub(crate) const ROOTS: &str = "roots";
/// Peers that were met.
pub(crate) const PEERS: &str = "peers";
/// Who provides what.
pub(crate) const PROVIDERS: &str = "providers";
/// Reserved for facts about the database itself. This is the family that RocksDB makes by itself.
pub(crate) const META: &str = "default";

/// The three families that a block lives in: written in one batch, flushed together.
pub(crate) const OF_BLOCKS: [&str; 3] = [BLOCKS, INDEX, LINKS];

/// Every family.
pub(crate) const ALL: [&str; 8] = [BLOCKS, INDEX, LINKS, KEEP, ROOTS, PEERS, PROVIDERS, META];

/// What the index says of a block: one byte of [`Children`], then the size as a varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) size: u32,
    pub(crate) children: Children,
}

/// Where a block's links are, when it is read as dag-pb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// Not known: it came by a raw CID, or is no valid dag-pb. Its bytes tell.
    Undecided = 0,
    /// It has none.
    None = 1,
    /// In the family [`LINKS`].
    Stored = 2,
}

impl Entry {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![self.children as u8];
        put_varint(&mut out, self.size.into());
        out
    }

    /// `None` where the bytes are no entry.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let children = match bytes.try_get_u8().ok()? {
            0 => Children::Undecided,
            1 => Children::None,
            2 => Children::Stored,
            _ => return None,
        };
        let size = take_varint(&mut bytes)?.try_into().ok()?;
        bytes.is_empty().then_some(Self { size, children })
    }
}

/// The links, in their order, each as: length and bytes of the CID, length and bytes of the name,
/// tsize. Lengths and tsize are varints.
pub(crate) fn encode_links(links: &[Link]) -> Vec<u8> {
    let size = |link: &Link| {
        let name = link.name.as_bytes().len();
        1 + link.cid.encoded_len() + varint_size(name as u64) + name + varint_size(link.tsize)
    };
    let mut out = Vec::with_capacity(links.iter().map(size).sum());
    for link in links {
        put_bytes(&mut out, &link.cid.to_bytes());
        put_bytes(&mut out, link.name.as_bytes());
        put_varint(&mut out, link.tsize);
    }
    out
}

/// `None` where the bytes are no links.
pub(crate) fn decode_links(mut bytes: &[u8]) -> Option<Vec<Link>> {
    let mut links = Vec::new();
    while !bytes.is_empty() {
        links.push(Link {
            cid: cid::from_bytes(take_bytes(&mut bytes)?).ok()?,
            name: Name::from(take_bytes(&mut bytes)?.to_vec()),
            tsize: take_varint(&mut bytes)?,
        });
    }
    Some(links)
}

/// Unsigned LEB128.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A length and that many bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// The links of a block's bytes, and what the index says of them.
pub(crate) fn children(codec: cid::Codec, data: &Bytes) -> (Children, Option<Vec<u8>>) {
    if codec == cid::Codec::Raw {
        return (Children::Undecided, None);
    }
    match crate::dag::pb::Node::decode(data) {
        Ok(node) if node.links.is_empty() => (Children::None, None),
        Ok(node) => (Children::Stored, Some(encode_links(&node.links))),
        // The hash is right, so that it may be kept; whoever asks for its links hears why not.
        Err(_) => (Children::Undecided, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cid::{Codec, Version};

    fn link() -> impl Strategy<Value = Link> {
        (
            any::<[u8; 32]>(),
            any::<bool>(),
            prop::collection::vec(any::<u8>(), 0..300),
            any::<u64>(),
        )
            .prop_map(|(digest, old, name, tsize)| Link {
                cid: cid::from_digest(
                    if old { Version::V0 } else { Version::V1 },
                    Codec::DagPb,
                    &digest,
                ),
                name: Name::from(name),
                tsize,
            })
    }

    proptest! {
        #[test]
        fn links_come_back(links in prop::collection::vec(link(), 0..20)) {
            let bytes = encode_links(&links);
            prop_assert_eq!(decode_links(&bytes), Some(links));
        }

        #[test]
        fn entries_come_back(size: u32, state in 0_u8..3) {
            let children = [Children::Undecided, Children::None, Children::Stored][state as usize];
            let entry = Entry { size, children };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Entry::decode(&bytes), decode_links(&bytes));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let entry = Entry {
            size: 300,
            children: Children::Stored,
        };
        assert_eq!(entry.encode(), [2, 0xac, 0x02]);
        let cid = cid::from_digest(Version::V1, Codec::Raw, &[7; 32]);
        let links = [Link {
            cid,
            name: "ab".into(),
            tsize: 128,
        }];
        let mut expected = vec![36];
        expected.extend(cid.to_bytes());
        expected.extend([2, b'a', b'b', 0x80, 1]);
        assert_eq!(encode_links(&links), expected);
    }
}
