use bytes::BufMut;
use proptest::prelude::*;

use super::*;
use crate::block::MAX_BLOCK_SIZE;
use crate::cid::{Cid, Codec, Version, from_digest};

fn cid() -> impl Strategy<Value = Cid> {
    (any::<[u8; 32]>(), any::<bool>(), any::<bool>()).prop_map(|(digest, raw, old)| {
        let codec = if raw { Codec::Raw } else { Codec::DagPb };
        from_digest(if old { Version::V0 } else { Version::V1 }, codec, &digest)
    })
}

fn request() -> impl Strategy<Value = Request> {
    let extent = (cid(), 0..u32::MAX / 2, 1..17_u32).prop_map(|(node, first, count)| Extent {
        node,
        first,
        count,
    });
    prop_oneof![
        (
            cid(),
            prop::collection::vec(cid(), 1..MAX_ROOTS),
            any::<u32>()
        )
            .prop_map(|(root, nodes, max_bytes)| Request::Manifest {
                root,
                nodes,
                max_bytes
            }),
        (
            cid(),
            prop::collection::vec(extent, 1..MAX_EXTENTS),
            any::<u32>()
        )
            .prop_map(|(root, extents, max_bytes)| Request::Get {
                root,
                extents,
                max_bytes
            }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let data = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let bits = prop::collection::vec(any::<bool>(), 0..40).prop_map(Bits::from_iter);
    let node = (cid(), data.clone(), bits).prop_map(|(cid, data, leaves)| ManifestNode {
        cid,
        data,
        leaves,
    });
    let leaf = prop_oneof![
        data.prop_map(Leaf::Have),
        Just(Leaf::NotFound),
        Just(Leaf::Cut)
    ];
    prop_oneof![
        (prop::collection::vec(node, 0..20), any::<bool>())
            .prop_map(|(nodes, more)| Response::Manifest { nodes, more }),
        prop::collection::vec(leaf, 0..50).prop_map(Response::Leaves),
        (0..=MAX_RETRY_MS).prop_map(|retry_ms| Response::Busy { retry_ms }),
        Just(Response::NotFound),
        Just(Response::Refused(Refusal::Policy)),
        (3..u32::MAX).prop_map(|code| Response::Refused(Refusal::Other(code))),
    ]
}

fn whole(encoded: &Encoded) -> Bytes {
    let mut bytes = encoded.head.to_vec();
    encoded
        .payload
        .iter()
        .for_each(|block| bytes.put_slice(block));
    bytes.into()
}

proptest! {
    #[test]
    fn a_request_reads_as_it_was_written(request in request()) {
        let bytes = request.encode().unwrap();
        let length = body_length(*bytes.first_chunk().unwrap(), MAX_REQUEST_SIZE).unwrap();
        prop_assert_eq!(length, bytes.len() - LENGTH_SIZE);
        prop_assert_eq!(Request::decode(&bytes.slice(LENGTH_SIZE..)).unwrap(), request);
    }

    #[test]
    fn a_response_reads_as_it_was_written(response in response()) {
        let bytes = whole(&response.clone().encode().unwrap());
        prop_assert_eq!(Response::decode(&bytes).unwrap(), response);
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let bytes = Bytes::from(bytes);
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = Header::decode(&bytes);
    }

    /// Nearly right bytes reach deeper than noise does.
    #[test]
    fn a_damaged_message_never_panics(
        request in request(), response in response(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = request.encode().unwrap().slice(LENGTH_SIZE..).to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Request::decode(&bytes.into());
        let mut bytes = whole(&response.encode().unwrap()).to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Response::decode(&bytes.into());
    }
}

fn some_cid() -> Cid {
    from_digest(Version::V1, Codec::DagPb, &[7; 32])
}

#[test]
fn a_length_above_its_bound_is_refused_before_the_body() {
    let prefix = u32::MAX.to_be_bytes();
    assert!(matches!(
        body_length(prefix, MAX_HEADER_SIZE),
        Err(WireError::TooMuch { .. })
    ));
    assert_eq!(
        body_length([0, 1, 0, 0], MAX_REQUEST_SIZE),
        Ok(MAX_REQUEST_SIZE)
    );
}

/// Two bytes each, they would take 70 times as many in memory.
#[test]
fn thousands_of_empty_fields_are_refused() {
    let nodes = Bytes::from([0x12, 0].repeat(MAX_NODES + 1));
    assert!(matches!(
        Header::decode(&nodes),
        Err(WireError::TooMuch { what: "nodes", .. })
    ));
    let extents = Bytes::from([0x2a, 0].repeat(MAX_EXTENTS + 1));
    assert!(matches!(
        Request::decode(&extents),
        Err(WireError::TooMuch {
            what: "extents",
            ..
        })
    ));
    let leaves = Bytes::from([0x20, 1].repeat(MAX_LEAVES + 1));
    assert!(matches!(
        Header::decode(&leaves),
        Err(WireError::TooMuch { what: "leaves", .. })
    ));
    let mut packed = vec![8, 2, 0x22, 0x81, 0x80, 1];
    packed.extend(vec![0; 16385]);
    assert!(matches!(
        Header::decode(&packed.into()),
        Err(WireError::TooMuch { what: "leaves", .. })
    ));
}

#[test]
fn a_block_that_claims_too_many_bytes_is_refused() {
    let leaf = proto::Response {
        kind: 2,
        leaves: vec![MAX_BLOCK_SIZE as u32 + 3],
        ..Default::default()
    };
    let bytes = frame(&leaf, MAX_HEADER_SIZE).unwrap().slice(LENGTH_SIZE..);
    assert!(matches!(
        Header::decode(&bytes),
        Err(WireError::TooMuch {
            what: "bytes of a block",
            ..
        })
    ));
    let leaves = vec![MAX_BLOCK_SIZE as u32 + 2; 5];
    let many = proto::Response {
        kind: 2,
        leaves,
        ..Default::default()
    };
    let bytes = frame(&many, MAX_HEADER_SIZE).unwrap().slice(LENGTH_SIZE..);
    assert!(matches!(
        Header::decode(&bytes),
        Err(WireError::TooMuch {
            what: "bytes of blocks",
            ..
        })
    ));
}

#[test]
fn extents_that_overflow_or_hold_nothing_are_refused() {
    let get = |first, count| Request::Get {
        root: some_cid(),
        extents: vec![Extent {
            node: some_cid(),
            first,
            count,
        }],
        max_bytes: 1,
    };
    assert_eq!(get(0, 0).encode(), Err(WireError::Field("count")));
    assert_eq!(get(u32::MAX, 1).encode(), Err(WireError::Field("count")));
    assert!(matches!(
        get(0, 4097).encode(),
        Err(WireError::TooMuch { what: "leaves", .. })
    ));
    assert!(get(u32::MAX - 4096, 4096).encode().is_ok());
    let none = Request::Get {
        root: some_cid(),
        extents: Vec::new(),
        max_bytes: 1,
    };
    assert_eq!(none.encode(), Err(WireError::Field("extents")));
}

#[test]
fn a_message_of_a_later_version_is_named() {
    let later = proto::Request {
        kind: 9,
        root: some_cid().to_bytes().into(),
        ..Default::default()
    };
    let bytes = frame(&later, MAX_REQUEST_SIZE)
        .unwrap()
        .slice(LENGTH_SIZE..);
    assert_eq!(Request::decode(&bytes), Err(WireError::Kind(9)));
}

/// docs/protocol.md shows these bytes.
#[test]
fn the_bytes_are_those_of_the_document() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let cid = crate::cid::parse("bafkqabtimvwgy3yk").unwrap();
    let get = Request::Get {
        root: cid,
        extents: vec![Extent {
            node: cid,
            first: 3,
            count: 2,
        }],
        max_bytes: 1 << 20,
    };
    let cid_hex = "0155000668656c6c6f0a";
    assert_eq!(
        hex(&get.encode().unwrap()),
        format!("00000024080212 0a{cid_hex} 18808040 2a10 0a0a{cid_hex} 10031802").replace(' ', "")
    );
    let answer = Response::Leaves(vec![Leaf::Have(Bytes::from_static(b"hi")), Leaf::Cut]);
    let encoded = answer.encode().unwrap();
    assert_eq!(hex(&encoded.head), "00000006080222020401");
    assert_eq!(encoded.payload, [Bytes::from_static(b"hi")]);
    let busy = Response::Busy { retry_ms: 250 }.encode().unwrap();
    assert_eq!(hex(&busy.head), "0000000508032 8fa01".replace(' ', ""));
}
