//! The rows of the family `refs`, byte by byte. Numbers in keys are big-endian, so that rows lie in
//! their order.
//!
//! ```text
//! 'f' | file: u64                      state: u8 | device, inode, size: varint | mtime, ctime: i64
//!                                      little-endian | path: bytes | target: bytes
//! 'n' | device: u64 | inode: u64       file: u64
//! 'b' | multihash | file: u64 | offset: u64
//!                                      nothing: the index has the length
//! ```
//!
//! `super::clones` has the rows that clones have beside these.

use bytes::Buf as _;

use crate::blockstore::schema::{self, put_bytes, put_varint, take_bytes, take_varint};
use crate::blockstore::{FileId, FileState, ReferencedFile};
use crate::unixfs::Name;
use crate::unixfs::origin::{Identity, Origin};

/// The longest path, in bytes: `PATH_MAX` of Linux.
pub(super) const PATH_MAX: usize = 4096;

pub(super) const FILES: &[u8] = b"f";

pub(super) const DOUBTS: &[u8] = b"x";

pub(super) fn file_key(file: FileId) -> Vec<u8> {
    [FILES, &file.0.to_be_bytes()].concat()
}

/// The file of a key that [`file_key`] made.
pub(super) fn file_of_key(key: &[u8]) -> Option<FileId> {
    let id = key.strip_prefix(FILES)?.try_into().ok()?;
    Some(FileId(u64::from_be_bytes(id)))
}

/// What the rows of the blocks in a clone begin with.
pub(super) fn content_of(file: FileId) -> Vec<u8> {
    [b"c".as_slice(), &file.0.to_be_bytes()].concat()
}

pub(super) fn content_key(multihash: &[u8], file: FileId, offset: u64) -> Vec<u8> {
    [&content_of(file), multihash, &offset.to_be_bytes()].concat()
}

pub(super) fn doubt_key(file: FileId) -> Vec<u8> {
    [DOUBTS, &file.0.to_be_bytes()].concat()
}

/// The file of a key that [`doubt_key`] made.
pub(super) fn file_of_doubt(key: &[u8]) -> Option<FileId> {
    let id = key.strip_prefix(DOUBTS)?.try_into().ok()?;
    Some(FileId(u64::from_be_bytes(id)))
}

pub(super) fn inode_key(identity: &Identity) -> Vec<u8> {
    let (device, inode) = (identity.device.to_be_bytes(), identity.inode.to_be_bytes());
    [b"n".as_slice(), &device, &inode].concat()
}

pub(super) fn block_key(multihash: &[u8], file: FileId, offset: u64) -> Vec<u8> {
    let mut key = schema::refs_of(multihash);
    key.extend(file.0.to_be_bytes());
    key.extend(offset.to_be_bytes());
    key
}

/// File and offset: what comes behind the multihash in a key that [`block_key`] made.
pub(super) fn place(mut rest: &[u8]) -> Option<(FileId, u64)> {
    let file = rest.try_get_u64().ok()?;
    let offset = rest.try_get_u64().ok()?;
    rest.is_empty().then_some((FileId(file), offset))
}

pub(super) fn encode_file(file: &ReferencedFile) -> Vec<u8> {
    let Identity {
        device,
        inode,
        size,
        mtime,
        ctime,
    } = file.origin.identity;
    let mut out = vec![match file.state {
        FileState::Whole => 0,
        FileState::Growing => 1,
        FileState::Changed => 2,
    }];
    for number in [device, inode, size] {
        put_varint(&mut out, number);
    }
    for time in [mtime, ctime] {
        out.extend(time.to_le_bytes());
    }
    put_bytes(&mut out, file.origin.path.as_bytes());
    let target = file.target.as_ref().map_or(&[][..], Name::as_bytes);
    put_bytes(&mut out, target);
    out
}

/// `None` where the bytes are no such row.
pub(super) fn decode_file(mut bytes: &[u8]) -> Option<ReferencedFile> {
    let bytes = &mut bytes;
    let state = match bytes.try_get_u8().ok()? {
        0 => FileState::Whole,
        1 => FileState::Growing,
        2 => FileState::Changed,
        _ => return None,
    };
    let identity = Identity {
        device: take_varint(bytes)?,
        inode: take_varint(bytes)?,
        size: take_varint(bytes)?,
        mtime: bytes.try_get_i64_le().ok()?,
        ctime: bytes.try_get_i64_le().ok()?,
    };
    let path = take_bytes(bytes).filter(|path| path.len() <= PATH_MAX)?;
    let target = take_bytes(bytes).filter(|path| path.len() <= PATH_MAX)?;
    bytes.is_empty().then(|| ReferencedFile {
        state,
        origin: Origin {
            path: Name::from(path.to_vec()),
            identity,
        },
        target: (!target.is_empty()).then(|| Name::from(target.to_vec())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn files_come_back(
            numbers: [u64; 3],
            times: [i64; 2],
            paths in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 2),
            state in 0_usize..3,
            has_target: bool,
        ) {
            let [device, inode, size] = numbers;
            let [mtime, ctime] = times.map(Into::into);
            let file = ReferencedFile {
                state: [FileState::Whole, FileState::Growing, FileState::Changed][state],
                origin: Origin {
                    path: Name::from(paths[0].clone()),
                    identity: Identity { device, inode, size, mtime, ctime },
                },
                target: has_target.then(|| Name::from(paths[1].clone())),
            };
            prop_assert_eq!(decode_file(&encode_file(&file)), Some(file));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (decode_file(&bytes), place(&bytes), file_of_key(&bytes));
        }
    }

    #[test]
    fn keys_are_those_of_the_document() {
        let file = FileId(0x0102);
        assert_eq!(file_key(file), [b'f', 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(file_of_key(&file_key(file)), Some(file));
        let key = block_key(&[0x12, 1, 9], file, 3);
        let mut expected = vec![b'b', 0x12, 1, 9];
        expected.extend([0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(key, expected);
        assert_eq!(place(&key[4..]), Some((file, 3)));
        let mut expected = vec![b'c', 0, 0, 0, 0, 0, 0, 1, 2, 0x12, 1, 9];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(content_key(&[0x12, 1, 9], file, 3), expected);
        assert!(expected.starts_with(&content_of(file)));
        assert_eq!(doubt_key(file), [b'x', 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(file_of_doubt(&doubt_key(file)), Some(file));
    }
}
