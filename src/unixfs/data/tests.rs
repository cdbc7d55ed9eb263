//! What [`Data`] promises: Kubo's bytes, and no panic whatever it is given.

use proptest::option;
use proptest::prelude::*;

use super::*;

fn any_kind() -> impl Strategy<Value = Kind> {
    (0..6).prop_map(|code| Kind::of_code(code).unwrap())
}

prop_compose! {
    fn any_data()(
        kind in any_kind(),
        data in option::of(prop::collection::vec(any::<u8>(), 0..64)),
        filesize: Option<u64>,
        blocksizes in prop::collection::vec(any::<u64>(), 0..8),
        hash_type: Option<u64>,
        fanout: Option<u64>,
        mode: Option<u32>,
        mtime in option::of((any::<i64>(), option::of(0_u32..1_000_000_000))),
    ) -> Data {
        let mtime = mtime.map(|(seconds, nanos)| Mtime { seconds, nanos });
        let data = data.map(Bytes::from);
        Data { kind, data, filesize, blocksizes, hash_type, fanout, mode, mtime }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(data in any_data()) {
        prop_assert_eq!(Data::decode(&data.encode()), Ok(data));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(data) = Data::decode(&bytes.into()) {
            prop_assert_eq!(Data::decode(&data.encode()), Ok(data));
        }
    }

    /// Nearer to real messages than random bytes are.
    #[test]
    fn no_damage_makes_it_panic(data in any_data(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = data.encode().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = Data::decode(&bytes.into());
    }
}

#[test]
fn writes_the_bytes_that_kubo_writes() {
    assert_eq!(
        Data::leaf(Kind::File, Bytes::new()).encode()[..],
        [8, 2, 24, 0]
    );
    assert_eq!(
        Data::leaf(Kind::File, Bytes::from_static(b"x")).encode()[..],
        [8, 2, 18, 1, b'x', 24, 1]
    );
    assert_eq!(Data::new(Kind::Directory).encode()[..], [8, 1]);
    assert_eq!(
        Data::symlink(Bytes::from_static(b"t")).encode()[..],
        [8, 4, 18, 1, b't']
    );
    assert_eq!(
        Data::file(vec![200, 1]).encode()[..],
        [8, 2, 24, 201, 1, 32, 200, 1, 32, 1]
    );
}

#[test]
fn a_kind_that_is_missing_or_unknown_is_refused() {
    assert_eq!(Data::decode(&Bytes::new()), Err(DataError::NoKind));
    assert_eq!(
        Data::decode(&Bytes::from_static(&[8, 6])),
        Err(DataError::Kind { code: 6 })
    );
    // -1 as a varint of ten bytes.
    let negative = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    assert_eq!(
        Data::decode(&Bytes::copy_from_slice(&negative)),
        Err(DataError::Kind { code: -1 })
    );
}

#[test]
fn packed_sizes_are_read_too() {
    let data = Data::decode(&Bytes::from_static(&[8, 2, 34, 3, 200, 1, 1])).unwrap();
    assert_eq!(data.blocksizes, [200, 1]);
}

#[test]
fn a_long_length_allocates_nothing() {
    let lie = [8, 2, 18, 255, 255, 255, 255, 255, 255, 255, 255, 127];
    assert!(matches!(
        Data::decode(&Bytes::copy_from_slice(&lie)),
        Err(DataError::Malformed(_))
    ));
}
