use bytes::Bytes;
use multihash::Multihash;
use proptest::prelude::*;

use super::cbor::Header;
use super::*;
use crate::block::Block;
use crate::cid::{Codec, Version};

fn raw(bytes: &'static [u8]) -> Block {
    Block::hash(Version::V1, Codec::Raw, Bytes::from_static(bytes)).unwrap()
}

/// A file of version 1.
fn car(roots: &[Cid], blocks: &[Block]) -> Vec<u8> {
    let mut out = header(roots).to_vec();
    for block in blocks {
        out.extend(section_head(block));
        out.extend(block.data());
    }
    out
}

/// The same as version 2, its data behind some padding and before some index.
fn v2(data: &[u8], offset: u64, index: u64) -> Vec<u8> {
    let mut out = vec![0x0a, 0xa1, 0x67];
    out.extend(b"version\x02");
    out.extend([0; 16]);
    out.extend(offset.to_le_bytes());
    out.extend((data.len() as u64).to_le_bytes());
    out.extend(index.to_le_bytes());
    out.resize(usize::try_from(offset).unwrap().max(out.len()), 0);
    out.extend(data);
    out
}

/// All sections, and how the file ended.
fn read(bytes: &[u8]) -> (Vec<Section>, Result<(), CarError>) {
    let mut sections = Vec::new();
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return (sections, Err(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(section)) => sections.push(section),
            Ok(None) => return (sections, Ok(())),
            Err(error) => return (sections, Err(error)),
        }
    }
}

#[test]
fn the_header_is_that_of_the_specification() {
    let root = *raw(b"a").cid();
    let mut expected = vec![0x3a, 0xa2, 0x65];
    expected.extend(b"roots\x81\xd8\x2a\x58\x25\x00");
    expected.extend(root.to_bytes());
    expected.push(0x67);
    expected.extend(b"version\x01");
    assert_eq!(header(&[root]), expected);
}

#[test]
fn blocks_come_back_and_say_where_they_are() {
    let blocks = [raw(b"one"), raw(b""), raw(b"three")];
    let bytes = car(&[*blocks[0].cid()], &blocks);
    let mut reader = Reader::open(&bytes[..]).unwrap();
    assert_eq!(
        (reader.version(), reader.roots()),
        (1, &[*blocks[0].cid()][..])
    );
    for block in &blocks {
        let at = usize::try_from(reader.at()).unwrap();
        let section = reader.next().unwrap().unwrap();
        assert_eq!((section.cid, &section.data), (*block.cid(), block.data()));
        assert_eq!(section.offset, at as u64);
        assert_eq!(u64::from(bytes[at]), 36 + block.data().len() as u64);
        let data = usize::try_from(section.data_offset).unwrap();
        assert_eq!(bytes[data..data + block.data().len()], block.data()[..]);
    }
    assert_eq!(reader.next().unwrap(), None);
    assert_eq!(reader.at(), bytes.len() as u64);
}

#[test]
fn version_2_is_read_through_its_window() {
    let blocks = [raw(b"one"), raw(b"two")];
    let data = car(&[*blocks[0].cid()], &blocks);
    for (offset, index) in [(51, 0), (51, 51 + data.len() as u64), (4096, 0)] {
        let mut bytes = v2(&data, offset, index);
        bytes.extend(b"an index that nobody reads");
        let (sections, end) = read(&bytes);
        end.unwrap();
        assert_eq!(sections.len(), 2);
        assert_eq!(
            sections[0].offset,
            offset + header(&[*blocks[0].cid()]).len() as u64
        );
    }
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let data = car(&[], &[raw(b"one")]);
    let good = v2(&data, 51, 0);
    let with = |at: usize, number: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        read(&bytes).1.unwrap_err().to_string()
    };
    let (offset, size, index) = (27, 35, 43);
    assert!(with(offset, 50).contains("inside of the header"));
    assert!(with(offset, u64::MAX).contains("end behind everything"));
    assert!(with(offset, 1 << 40).contains("cut off"));
    assert!(with(size, u64::MAX).contains("end behind everything"));
    assert!(with(size, 3).contains("ends behind the end of the data"));
    assert!(with(size, data.len() as u64 - 1).contains("ends behind the end of the data"));
    assert!(with(size, data.len() as u64 + 5).contains("5 more bytes"));
    assert!(with(index, 60).contains("before the data's end"));
    let mut unfinished = good.clone();
    unfinished[27..51].fill(0);
    assert!(
        read(&unfinished)
            .1
            .unwrap_err()
            .to_string()
            .contains("did not finish")
    );
    let nested = v2(&good, 51, 0);
    assert!(
        read(&nested)
            .1
            .unwrap_err()
            .to_string()
            .contains("version 2 inside")
    );
}

#[test]
fn a_file_that_is_cut_gives_what_is_whole_and_says_where_it_ends() {
    let blocks = [raw(b"one"), raw(b"two"), raw(b"three")];
    let bytes = car(&[], &blocks);
    let windowed = v2(&bytes, 60, 0);
    let mut ends = vec![header(&[]).len()];
    for block in &blocks {
        ends.push(ends[ends.len() - 1] + section_head(block).len() + block.data().len());
    }
    for cut in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (sections, end) = read(&bytes[..cut]);
        assert_eq!(sections.len(), whole.saturating_sub(1), "cut at {cut}");
        assert_eq!(end.is_ok(), ends.contains(&cut), "cut at {cut}");
        if let Err(CarError::Truncated { at, .. }) = end {
            assert_eq!(at, cut as u64);
        }
        // The window says how long it should be: no cut goes unseen.
        assert!(read(&windowed[..60 + cut]).1.is_err(), "cut at {cut}");
    }
}

#[test]
fn lengths_are_bounded_and_have_one_form() {
    let good = car(&[], &[raw(b"x")]);
    let with = |length: &[u8]| {
        let mut bytes = header(&[]).to_vec();
        bytes.extend(length);
        bytes.extend(&good[header(&[]).len() + 1..]);
        read(&bytes).1
    };
    assert!(with(&[37]).is_ok());
    assert!(matches!(with(&[0]), Err(CarError::Empty { .. })));
    assert!(matches!(with(&[0xa5, 0]), Err(CarError::Varint { .. })));
    assert!(matches!(with(&[0xff; 9]), Err(CarError::Varint { .. })));
    assert!(matches!(with(&[0xff; 10]), Err(CarError::Varint { .. })));
    assert!(matches!(
        with(&[0xff, 0xff, 0xff, 0x7f]),
        Err(CarError::TooLarge { .. })
    ));
    assert!(matches!(with(&[2]), Err(CarError::Cid { .. })));
    for bytes in [&[0x80, 0x80, 0x80, 0x80, 1][..], &[0], &[0xff; 12], &[]] {
        let error = read(bytes).1.unwrap_err();
        assert!(matches!(error, CarError::Header { .. }), "{error}");
    }
}

#[test]
fn a_header_has_one_form() {
    let root = *raw(b"a").cid();
    let good = Header {
        version: 1,
        roots: Some(vec![root]),
    };
    let bytes = good.encode();
    assert_eq!(Header::decode(&bytes), Ok(good));
    for cut in 0..bytes.len() {
        assert!(Header::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let refuse = |bytes: &[u8], words: &str| {
        let error = Header::decode(bytes).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    refuse(b"\xa1\x67version\x18\x01", "more bytes than it needs");
    refuse(b"\xa2\x67version\x01\x67version\x01", "field `version`");
    refuse(b"\xa1\x64size\x01", "field `size`");
    refuse(b"\xa1\x65roots\x80", "without a version");
    refuse(b"\xbf\x67version\x01\xff", "without a definite length");
    refuse(b"\xa1\x67version\x01\x00", "after its header");
    refuse(
        b"\xa1\x65roots\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        "too early",
    );
    refuse(b"\xa1\x65roots\x81\xd8\x2b\x41\x00", "no CID");
    refuse(b"\xa1\x65roots\x81\xd8\x2a\x41\x00", "no CID");
    refuse(b"\xa1\x65roots\x81\xd8\x2a\x41\x01", "no binary CID");
    refuse(b"\x80", "where a map should be");
}

#[test]
fn only_what_has_the_right_hash_is_a_block() {
    let good = raw(b"good");
    let of = |codec: u64, code: u64, digest: &[u8]| {
        Cid::new_v1(codec, Multihash::wrap(code, digest).unwrap())
    };
    let section = |cid: Cid, data: &'static [u8]| Section {
        cid,
        data: Bytes::from_static(data),
        offset: 0,
        data_offset: 0,
    };
    let cbor = of(0x71, 0x12, good.cid().hash().digest());
    let murmur = of(0x55, 0x22, &[7; 8]);
    let checked = check(vec![
        section(*good.cid(), b"good"),
        section(*good.cid(), b"evil"),
        section(cbor, b"good"),
        section(murmur, b"good"),
        section(of(0x55, 0, b"in it"), b"in it"),
        section(of(0x55, 0, b"in it"), b"not in it"),
        section(of(0x55, 0x12, &good.cid().hash().digest()[..20]), b"good"),
    ]);
    assert_eq!(checked[0], Checked::Block(good.clone()));
    assert!(matches!(checked[1], Checked::Wrong(_)));
    assert_eq!(
        checked[2],
        Checked::Bytes {
            cid: cbor,
            block: good
        }
    );
    assert_eq!(checked[3], Checked::Unchecked(murmur));
    assert!(matches!(checked[4], Checked::Block(_)));
    assert!(matches!(checked[5], Checked::Wrong(_)));
    assert!(matches!(checked[6], Checked::Unchecked(_)));
}

proptest! {
    #[test]
    fn whatever_is_read_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = Header::decode(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_a_block(at in 0_usize..1 << 16, bit in 0_u8..8) {
        let blocks = [raw(b"one"), raw(b"two")];
        let mut bytes = car(&[*blocks[0].cid()], &blocks);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        for checked in check(read(&bytes).0) {
            if let Checked::Block(block) | Checked::Bytes { block, .. } = checked {
                prop_assert!(blocks.iter().any(|good| good.data() == block.data()));
            }
        }
    }
}
