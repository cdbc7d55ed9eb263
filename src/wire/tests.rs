use bytes::BufMut;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::block::MAX_BLOCK_SIZE;
use crate::cid::{Cid, Codec, Version, from_digest};

/// These bytes with one of them changed, and cut behind another.
pub(super) fn damaged(bytes: &[u8], at: Index, byte: u8, cut: Index) -> Bytes {
    let mut bytes = bytes.to_vec();
    let place = at.index(bytes.len());
    bytes[place] = byte;
    bytes.truncate(cut.index(bytes.len()) + 1);
    bytes.into()
}

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
    let known = (cid(), any::<u64>()).prop_map(|(node, version)| Known { node, version });
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
            any::<u32>(),
            urgency()
        )
            .prop_map(|(root, extents, max_bytes, urgency)| Request::Get {
                root,
                extents,
                max_bytes,
                urgency
            }),
        (cid(), prop::collection::vec(known, 1..MAX_PAGES))
            .prop_map(|(root, nodes)| Request::Have { root, nodes }),
        cid().prop_map(|root| Request::Peers { root }),
    ]
}

fn urgency() -> impl Strategy<Value = Urgency> {
    prop_oneof![
        Just(Urgency::Reader),
        Just(Urgency::Download),
        Just(Urgency::Repair)
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let get = request().prop_filter("a Get", |request| matches!(request, Request::Get { .. }));
    prop_oneof![
        (1..=u64::MAX, get).prop_map(|(id, request)| Ask::Get { id, request }),
        (1..=u64::MAX, any::<u32>()).prop_map(|(id, from)| Ask::Cancel { id, from }),
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
    let held = prop_oneof![
        Just(Held::All),
        Just(Held::Nothing),
        // A page of which nothing is set is `Nothing`.
        prop::collection::vec(any::<bool>(), 0..40)
            .prop_map(|bits| Held::Some(bits.into_iter().chain([true]).collect())),
    ];
    let page = (0..64_u32, any::<u64>(), held).prop_map(|(node, version, held)| Page {
        node,
        version,
        held,
    });
    let bytes = prop::collection::vec(any::<u8>(), 1..60).prop_map(Bytes::from);
    let holder = (bytes.clone(), prop::collection::vec(bytes, 0..8))
        .prop_map(|(peer, addresses)| Holder { peer, addresses });
    let leaf = prop_oneof![
        data.prop_map(Leaf::Have),
        Just(Leaf::NotFound),
        Just(Leaf::Cut)
    ];
    prop_oneof![
        (prop::collection::vec(node, 0..20), any::<bool>())
            .prop_map(|(nodes, more)| Response::Manifest { nodes, more }),
        prop::collection::vec(leaf, 0..50).prop_map(Response::Leaves),
        prop::collection::vec(page, 0..MAX_PAGES).prop_map(Response::Have),
        prop::collection::vec(holder, 0..MAX_HOLDERS).prop_map(Response::Peers),
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
    fn what_a_bulk_stream_carries_reads_as_it_was_written(ask in ask(), id: u64, response in response()) {
        let bytes = ask.encode().unwrap();
        prop_assert_eq!(Ask::decode(&bytes.slice(LENGTH_SIZE..)).unwrap(), ask);
        let encoded = Part { id, response: response.clone() }.encode().unwrap();
        let header = Header::decode(&encoded.head.slice(LENGTH_SIZE..)).unwrap();
        prop_assert_eq!(header.id(), id);
        prop_assert_eq!(header.with_payload(encoded.payload), response);
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let bytes = Bytes::from(bytes);
        let _ = Request::decode(&bytes);
        let _ = Ask::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = Header::decode(&bytes);
    }

    /// Nearly right bytes reach deeper than noise does.
    #[test]
    fn a_damaged_message_never_panics(
        request in request(), response in response(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let bytes = damaged(&request.encode().unwrap()[LENGTH_SIZE..], at, byte, cut);
        let _ = Request::decode(&bytes);
        let _ = Ask::decode(&bytes);
        let _ = Response::decode(&damaged(&whole(&response.encode().unwrap()), at, byte, cut));
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
        urgency: Urgency::Download,
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
        urgency: Urgency::Download,
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
        urgency: Urgency::Download,
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
    let document = include_str!("../../docs/protocol.md");
    let shown = |bytes: &[u8]| {
        let text = hex(bytes);
        let plain = document.replace([' ', '`'], "");
        assert!(
            plain.contains(&text),
            "docs/protocol.md does not show {text}"
        );
    };
    shown(&get.encode().unwrap());
    shown(&busy.head);
    let ask = Ask::Get {
        id: 7,
        request: get,
    };
    shown(&ask.encode().unwrap());
    shown(&Ask::Cancel { id: 7, from: 1 }.encode().unwrap());
    let part = Part {
        id: 7,
        response: Response::Leaves(vec![Leaf::Have(Bytes::from_static(b"hi"))]),
    };
    shown(&part.encode().unwrap().head);
    let known = Known {
        node: cid,
        version: 5,
    };
    let have = Request::Have {
        root: cid,
        nodes: vec![known],
    };
    shown(&have.encode().unwrap());
    let bits = [true, false, true].into_iter().collect();
    let page = Page {
        node: 0,
        version: 6,
        held: Held::Some(bits),
    };
    shown(&Response::Have(vec![page]).encode().unwrap().head);
    shown(&Request::Peers { root: cid }.encode().unwrap());
    let holder = Holder {
        peer: Bytes::from_static(&[1, 2]),
        addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 16, 0])],
    };
    shown(&Response::Peers(vec![holder]).encode().unwrap().head);
}

#[test]
fn too_many_pages_holders_and_addresses_are_refused() {
    let pages = Bytes::from([0x42, 0].repeat(MAX_PAGES + 1));
    assert!(matches!(
        Header::decode(&pages),
        Err(WireError::TooMuch { what: "pages", .. })
    ));
    let holders = Bytes::from([0x4a, 0].repeat(MAX_HOLDERS + 1));
    assert!(matches!(
        Header::decode(&holders),
        Err(WireError::TooMuch {
            what: "holders",
            ..
        })
    ));
    let address = Bytes::from_static(&[1]);
    let holder = Holder {
        peer: address.clone(),
        addresses: vec![address; MAX_HOLDER_ADDRESSES + 1],
    };
    assert!(Response::Peers(vec![holder]).encode().is_err());
    let page = Page {
        node: MAX_PAGES as u32,
        version: 1,
        held: Held::All,
    };
    let head = Response::Have(vec![page]).encode().unwrap().head;
    assert!(Header::decode(&head.slice(LENGTH_SIZE..)).is_err());
}

#[test]
fn a_bulk_stream_carries_gets_with_a_number_and_nothing_else() {
    let request = Request::Peers { root: some_cid() };
    assert_eq!(
        Ask::Get { id: 1, request }.encode(),
        Err(WireError::Field("kind"))
    );
    assert_eq!(
        Ask::Cancel { id: 0, from: 0 }.encode(),
        Err(WireError::Field("id"))
    );
    let plain = Request::Peers { root: some_cid() }.encode().unwrap();
    assert!(Ask::decode(&plain.slice(LENGTH_SIZE..)).is_err());
}
