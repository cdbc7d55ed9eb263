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
/// Child and parent → nothing: a row for each block that a node links to ([`parent_row`]).
pub(crate) const PARENTS: &str = "parents";
/// Which users' files blocks lie in.
pub(crate) const REFS: &str = "refs";
/// What was added before, and from which files.
pub(crate) const ADDS: &str = "adds";
/// Roots that are not kept, and when they were used last.
pub(crate) const CACHE: &str = "cache";
/// What is kept: pins and holds.
pub(crate) const KEEP: &str = "keep";
/// What this node knows of roots.
pub(crate) const ROOTS: &str = "roots";
/// Peers that were met.
pub(crate) const PEERS: &str = "peers";
/// Who provides what.
pub(crate) const PROVIDERS: &str = "providers";
/// What owners want kept by the swarm: pin records.
pub(crate) const PIN_RECORDS: &str = "pin-records";
/// Facts about the database itself: [`TOTALS`], [`GENERATION`]. This is the family that RocksDB makes
/// by itself.
pub(crate) const META: &str = "default";

/// In [`META`]: [`Sums`], to which each batch adds (a merge operator).
pub(crate) const TOTALS: &[u8] = b"totals";
/// In [`META`]: the generation of blocks, a varint; see [`Entry::born`].
pub(crate) const GENERATION: &[u8] = b"generation";
/// In [`META`]: how far the scrub is ([`crate::scrub::ScrubState`]).
pub(crate) const SCRUB: &[u8] = b"scrub";
/// In [`META`]: what the log lost when the database was opened, as text, until somebody has looked.
pub(crate) const LOG_LOSS: &[u8] = b"log-loss";

/// The families that a block lives in: written in one batch, flushed together.
pub(crate) const OF_BLOCKS: [&str; 6] = [BLOCKS, INDEX, LINKS, PARENTS, REFS, META];

/// Every family.
pub(crate) const ALL: [&str; 13] = [
    BLOCKS,
    INDEX,
    LINKS,
    PARENTS,
    REFS,
    ADDS,
    CACHE,
    KEEP,
    ROOTS,
    PEERS,
    PROVIDERS,
    PIN_RECORDS,
    META,
];

/// What the index says of a block: a byte of flags, the size and the generation as varints. In
/// format 1 the generation was not there, and no flag but the children's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) size: u32,
    pub(crate) children: Children,
    /// The bytes are in [`BLOCKS`].
    pub(crate) stored: bool,
    /// The bytes are in users' files, which [`REFS`] tells.
    pub(crate) referenced: bool,
    /// The bytes that were here are not what they should be: it counts as missing. What it links to
    /// is known still.
    pub(crate) rotten: bool,
    /// The generation in which it was put, or met by somebody who needs it, last.
    pub(crate) born: u64,
}

/// Bits of the flags; the lowest two are [`Children`].
const NOT_STORED: u8 = 4;
const REFERENCED: u8 = 8;
const ROTTEN: u8 = 16;

/// Where a block's links are, when it is read as dag-pb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// It is no valid dag-pb; in a format 1 repo also: not known, since it came by a raw CID.
    Undecided = 0,
    /// It has none.
    None = 1,
    /// In the family [`LINKS`].
    Stored = 2,
}

impl Entry {
    /// Of a block whose bytes are in [`BLOCKS`].
    pub(crate) const fn stored(size: u32, children: Children, born: u64) -> Self {
        Self {
            size,
            children,
            stored: true,
            referenced: false,
            rotten: false,
            born,
        }
    }

    /// Whether its bytes can be had.
    pub(crate) const fn is_there(self) -> bool {
        (self.stored || self.referenced) && !self.rotten
    }

    /// Whether they can be had from [`BLOCKS`].
    pub(crate) const fn is_stored(self) -> bool {
        self.stored && !self.rotten
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = self.children as u8
            | flag(!self.stored, NOT_STORED)
            | flag(self.referenced, REFERENCED)
            | flag(self.rotten, ROTTEN);
        let mut out = vec![flags];
        put_varint(&mut out, self.size.into());
        put_varint(&mut out, self.born);
        out
    }

    /// `None` where the bytes are no entry.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let flags = bytes.try_get_u8().ok()?;
        let children = match flags & 3 {
            0 => Children::Undecided,
            1 => Children::None,
            2 => Children::Stored,
            _ => return None,
        };
        let known = 3 | NOT_STORED | REFERENCED | ROTTEN;
        let size = take_varint(&mut bytes)?.try_into().ok()?;
        let born = if bytes.is_empty() {
            0
        } else {
            take_varint(&mut bytes)?
        };
        (bytes.is_empty() && flags & !known == 0).then_some(Self {
            size,
            children,
            stored: flags & NOT_STORED == 0,
            referenced: flags & REFERENCED != 0,
            rotten: flags & ROTTEN != 0,
            born,
        })
    }
}

/// How much is stored: what the family [`META`] sums up under [`TOTALS`], four numbers of eight
/// bytes, little-endian, in the order of the fields. In a batch they are what it adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Blocks whose bytes are in [`BLOCKS`].
    pub(crate) stored: i64,
    /// Their bytes.
    pub(crate) stored_bytes: i64,
    /// Blocks that are only in users' files.
    pub(crate) referenced: i64,
    /// Their bytes.
    pub(crate) referenced_bytes: i64,
}

impl Sums {
    /// What an entry counts for.
    pub(crate) fn of(entry: Entry) -> Self {
        let bytes = i64::from(entry.size);
        if entry.stored {
            Self {
                stored: 1,
                stored_bytes: bytes,
                ..Self::default()
            }
        } else if entry.referenced {
            Self {
                referenced: 1,
                referenced_bytes: bytes,
                ..Self::default()
            }
        } else {
            Self::default()
        }
    }

    const fn numbers(self) -> [i64; 4] {
        [
            self.stored,
            self.stored_bytes,
            self.referenced,
            self.referenced_bytes,
        ]
    }

    fn from_numbers([stored, stored_bytes, referenced, referenced_bytes]: [i64; 4]) -> Self {
        Self {
            stored,
            stored_bytes,
            referenced,
            referenced_bytes,
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        self.numbers()
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .collect()
    }

    /// Anything else than four numbers counts as nothing: the sums can be counted again.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut numbers = [0; 4];
        if bytes.len() == 32 {
            for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
                *number = i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            }
        }
        Self::from_numbers(numbers)
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        let mut numbers = self.numbers();
        for (number, more) in numbers.iter_mut().zip(other.numbers()) {
            *number = number.saturating_add(more);
        }
        *self = Self::from_numbers(numbers);
    }
}

impl std::ops::SubAssign for Sums {
    fn sub_assign(&mut self, other: Self) {
        let mut numbers = self.numbers();
        for (number, less) in numbers.iter_mut().zip(other.numbers()) {
            *number = number.saturating_sub(less);
        }
        *self = Self::from_numbers(numbers);
    }
}

/// The key of the row that says that `parent` links to `child`: both multihashes, one behind the
/// other. None is the beginning of another, since each says its own length.
pub(crate) fn parent_row(child: &[u8], parent: &[u8]) -> Vec<u8> {
    [child, parent].concat()
}

/// What the rows in [`REFS`] of a block begin with.
pub(crate) fn refs_of(key: &[u8]) -> Vec<u8> {
    [b"b", key].concat()
}

/// The length of the multihash that `bytes` begin with; `None` where they do not.
pub(crate) fn multihash_size(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    take_varint(&mut rest)?;
    let digest = usize::try_from(take_varint(&mut rest)?).ok()?;
    let size = (bytes.len() - rest.len()).checked_add(digest)?;
    (size <= bytes.len()).then_some(size)
}

/// The blocks that a node with these links holds: each once, and through identity CIDs, which are no
/// blocks themselves, what the nodes in them link to.
pub(crate) fn held(links: &[Link]) -> Vec<Vec<u8>> {
    let mut held = Vec::with_capacity(links.len());
    collect_held(links, &mut held);
    held.sort_unstable();
    held.dedup();
    held
}

/// Ends soon: an identity CID carries less than its own length.
fn collect_held(links: &[Link], held: &mut Vec<Vec<u8>>) {
    for link in links {
        match crate::Block::inline(&link.cid) {
            // What cannot be read holds nothing.
            Some(block) => {
                collect_held(&crate::dag::links(&block).unwrap_or_default(), held);
            }
            None => held.push(link.cid.hash().to_bytes()),
        }
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

/// The links of a block's bytes, and what the index says of them. Whatever its CID says: the same
/// bytes may be asked for by another one, and what they link to must be known to be kept then.
pub(crate) fn children(data: &Bytes) -> (Children, Vec<Link>) {
    match crate::dag::pb::Node::decode(data) {
        Ok(node) if node.links.is_empty() => (Children::None, Vec::new()),
        Ok(node) => (Children::Stored, node.links),
        // The hash is right, so that it may be kept; whoever asks for its links hears why not.
        Err(_) => (Children::Undecided, Vec::new()),
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
        fn entries_come_back(size: u32, born: u64, state in 0_usize..3, flags: [bool; 3]) {
            let children = [Children::Undecided, Children::None, Children::Stored][state];
            let [stored, referenced, rotten] = flags;
            let entry = Entry { size, children, stored, referenced, rotten, born };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }

        #[test]
        fn sums_come_back(numbers: [i64; 4]) {
            let sums = Sums::from_numbers(numbers);
            prop_assert_eq!(Sums::decode(&sums.encode()), sums);
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Entry::decode(&bytes), decode_links(&bytes), multihash_size(&bytes));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let entry = Entry::stored(300, Children::Stored, 7);
        assert_eq!(entry.encode(), [2, 0xac, 0x02, 7]);
        let elsewhere = Entry {
            stored: false,
            referenced: true,
            rotten: true,
            ..entry
        };
        assert_eq!(elsewhere.encode(), [2 | 4 | 8 | 16, 0xac, 0x02, 7]);
        // As format 1 had it.
        let old = Entry::stored(300, Children::Stored, 0);
        assert_eq!(Entry::decode(&[2, 0xac, 0x02]), Some(old));
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
