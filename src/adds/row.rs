//! Keys and values of the family `adds`, byte by byte (docs/storage.md draws them).

use bytes::Buf;

use super::{Shape, Wanted};
use crate::blockstore::schema::{put_bytes, put_varint, take_bytes, take_varint};
use crate::cid;
use crate::unixfs::data::{Metadata, Mtime};
use crate::unixfs::layout::Part;
use crate::unixfs::name::Name;
use crate::unixfs::origin::Identity;

/// Bits of a row's flags.
const ONE_BLOCK: u64 = 1;
const HAS_MODE: u64 = 2;
const HAS_MTIME: u64 = 4;
const HAS_NANOS: u64 = 8;

/// Between a path and the number of a segment. No path has it.
const NUL: u8 = 0;

/// A file that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When it was used last, in days since 1970, give or take a week.
    pub(super) day: u64,
    pub(super) identity: Identity,
    pub(super) metadata: Metadata,
    pub(super) root: Part,
    pub(super) is_one_block: bool,
}

/// Leaves of a file that was not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) identity: Identity,
    /// Leaves before these.
    pub(super) before: u64,
    pub(super) leaves: Vec<Part>,
}

/// The key of a file's row. In the order of the keys files of a directory stand together.
pub(super) fn key(shape: Shape, path: &Name) -> Vec<u8> {
    [&shape.0, path.as_bytes()].concat()
}

/// What the keys of a file's segments begin with.
pub(super) fn segments(shape: Shape, path: &Name) -> Vec<u8> {
    [&shape.0, path.as_bytes(), &[NUL]].concat()
}

/// The key of a segment: in the order of the keys they stand as in the file.
pub(super) fn segment(shape: Shape, path: &Name, before: u64) -> Vec<u8> {
    [&segments(shape, path), &before.to_be_bytes()[..]].concat()
}

/// The day of a value of either kind.
pub(super) fn day(mut value: &[u8]) -> Option<u64> {
    take_varint(&mut value)
}

impl Row {
    pub(super) fn is_of(&self, file: &Wanted<'_>) -> bool {
        self.identity == file.origin.identity && self.metadata == file.metadata
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Metadata { mode, mtime } = self.metadata;
        let nanos = mtime.and_then(|mtime| mtime.nanos);
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = flag(self.is_one_block, ONE_BLOCK)
            | flag(mode.is_some(), HAS_MODE)
            | flag(mtime.is_some(), HAS_MTIME)
            | flag(nanos.is_some(), HAS_NANOS);
        let mut out = Vec::with_capacity(100);
        put_varint(&mut out, self.day);
        put_identity(&mut out, &self.identity);
        put_varint(&mut out, flags);
        if let Some(mode) = mode {
            put_varint(&mut out, mode.into());
        }
        if let Some(mtime) = mtime {
            put_varint(&mut out, zigzag(mtime.seconds));
        }
        if let Some(nanos) = nanos {
            put_varint(&mut out, nanos.into());
        }
        put_part(&mut out, &self.root);
        out
    }

    /// `None` where the bytes are no row.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let day = take_varint(from)?;
        let identity = take_identity(from)?;
        let flags = take_varint(from)?;
        let has = |bit: u64| flags & bit != 0;
        let mode = if has(HAS_MODE) {
            Some(u32::try_from(take_varint(from)?).ok()?)
        } else {
            None
        };
        let seconds = if has(HAS_MTIME) {
            Some(unzigzag(take_varint(from)?))
        } else {
            None
        };
        let nanos = if has(HAS_NANOS) {
            Some(u32::try_from(take_varint(from)?).ok()?)
        } else {
            None
        };
        let mtime = seconds.map(|seconds| Mtime { seconds, nanos });
        let root = take_part(from)?;
        from.is_empty().then_some(Self {
            day,
            identity,
            metadata: Metadata { mode, mtime },
            root,
            is_one_block: has(ONE_BLOCK),
        })
    }
}

impl Segment {
    pub(super) fn encode(&self, day: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(60 + self.leaves.len() * 44);
        put_varint(&mut out, day);
        put_identity(&mut out, &self.identity);
        put_varint(&mut out, self.before);
        self.leaves.iter().for_each(|leaf| put_part(&mut out, leaf));
        out
    }

    /// `None` where the bytes are no segment.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        take_varint(from)?;
        let identity = take_identity(from)?;
        let before = take_varint(from)?;
        let mut leaves = Vec::new();
        while from.has_remaining() {
            leaves.push(take_part(from)?);
        }
        Some(Self {
            identity,
            before,
            leaves,
        })
    }
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    put_varint(out, identity.device);
    put_varint(out, identity.inode);
    put_varint(out, identity.size);
    put_varint(out, zigzag(identity.mtime));
    put_varint(out, zigzag(identity.ctime));
}

fn take_identity(from: &mut &[u8]) -> Option<Identity> {
    Some(Identity {
        device: take_varint(from)?,
        inode: take_varint(from)?,
        size: take_varint(from)?,
        mtime: unzigzag(take_varint(from)?),
        ctime: unzigzag(take_varint(from)?),
    })
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    put_bytes(out, &part.cid.to_bytes());
    put_varint(out, part.tsize);
    put_varint(out, part.size);
}

fn take_part(from: &mut &[u8]) -> Option<Part> {
    Some(Part {
        cid: cid::from_bytes(take_bytes(from)?).ok()?,
        tsize: take_varint(from)?,
        size: take_varint(from)?,
    })
}

/// Small numbers of both signs become small ones without.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::cid::{Codec, Version};

    prop_compose! {
        fn any_identity()(device: u64, inode: u64, size: u64, mtime: i64, ctime: i64) -> Identity {
            Identity { device, inode, size, mtime, ctime }
        }
    }

    prop_compose! {
        fn any_part()(digest: [u8; 32], raw: bool, tsize: u64, size: u64) -> Part {
            let codec = if raw { Codec::Raw } else { Codec::DagPb };
            Part { cid: cid::from_digest(Version::V1, codec, &digest), tsize, size }
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(
            day: u64, identity in any_identity(), root in any_part(), is_one_block: bool,
            mode: Option<u32>, mtime in option::of((any::<i64>(), option::of(0_u32..1_000_000_000))),
        ) {
            let mtime = mtime.map(|(seconds, nanos)| Mtime { seconds, nanos });
            let metadata = Metadata { mode, mtime };
            let row = Row { day, identity, metadata, root, is_one_block };
            prop_assert_eq!(super::day(&row.encode()), Some(day));
            prop_assert_eq!(Row::decode(&row.encode()), Some(row));
        }

        #[test]
        fn segments_come_back(
            identity in any_identity(), before: u64, leaves in prop::collection::vec(any_part(), 0..9),
        ) {
            let segment = Segment { identity, before, leaves };
            prop_assert_eq!(Segment::decode(&segment.encode(7)), Some(segment));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = (Row::decode(&bytes), Segment::decode(&bytes), super::day(&bytes));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let identity = Identity {
            device: 1,
            inode: 300,
            size: 5,
            mtime: 1,
            ctime: -1,
        };
        let cid = cid::from_digest(Version::V1, Codec::Raw, &[7; 32]);
        let root = Part {
            cid,
            tsize: 5,
            size: 5,
        };
        let metadata = Metadata {
            mode: Some(0o644),
            mtime: Some(Mtime::new(-2, 3)),
        };
        let row = Row {
            day: 200,
            identity,
            metadata,
            root,
            is_one_block: true,
        };
        let mut expected = vec![0xc8, 1, 1, 0xac, 2, 5, 2, 1, 15, 0xa4, 3, 3, 3, 36];
        expected.extend(cid.to_bytes());
        expected.extend([5, 5]);
        assert_eq!(row.encode(), expected);
        let shape = Shape([9; 8]);
        let path = Name::from("/a");
        assert_eq!(key(shape, &path), b"\x09\x09\x09\x09\x09\x09\x09\x09/a");
        let number = &segment(shape, &path, 258)[10..];
        assert_eq!(number, [0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
