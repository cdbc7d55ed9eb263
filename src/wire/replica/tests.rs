mod vectors;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::audit::{Answer, Challenge, LEAVES_MAX};
use crate::cid::{self, Cid, Codec, Version, from_digest};
use crate::segment::PATH_MAX;
use crate::wire::member::MAX_RECORD_SIZE;
use crate::wire::reconcile::{Item, MAX_QUESTIONS, Prefix};
use crate::wire::tests::damaged;
use crate::wire::{LENGTH_SIZE, WireError};

fn name() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn hold() -> impl Strategy<Value = Hold> {
    let cid = name().prop_map(|digest| from_digest(Version::V1, Codec::DagPb, &digest));
    let path = prop::collection::vec(cid, 1..6);
    let span = (any::<u64>(), any::<u64>());
    (path, span).prop_map(|(path, (first, count))| Hold {
        path,
        first,
        count: count % (u64::MAX - first).max(1),
    })
}

fn leaves() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::btree_set(any::<u64>(), 1..=LEAVES_MAX)
        .prop_map(|leaves| leaves.into_iter().collect())
}

fn challenge() -> impl Strategy<Value = Challenge> {
    (name(), hold(), name(), leaves()).prop_map(|(segment, hold, nonce, leaves)| Challenge {
        segment: SegmentId(segment),
        hold,
        nonce,
        leaves,
    })
}

fn shown() -> impl Strategy<Value = Option<Answer>> {
    let leaves = prop::collection::vec(prop::option::of(name()), 1..=LEAVES_MAX);
    prop::option::of(leaves.prop_map(|leaves| Answer { leaves }))
}

fn signed() -> impl Strategy<Value = Signed> {
    let body = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (body, name()).prop_map(|(body, half)| {
        let mut signature = [7; SIGNATURE_SIZE];
        signature[..32].copy_from_slice(&half);
        Signed { body, signature }
    })
}

fn holders() -> impl Strategy<Value = Vec<MemberId>> {
    prop::collection::vec(name().prop_map(MemberId), 0..8)
}

fn segments() -> impl Strategy<Value = Vec<SegmentId>> {
    prop::collection::vec(name().prop_map(SegmentId), 0..=MAX_SEGMENTS)
}

fn receipt() -> impl Strategy<Value = Receipt> {
    (name(), any::<u64>(), name(), signed()).prop_map(|(segment, bytes, holder, signed)| Receipt {
        segment: SegmentId(segment),
        bytes,
        holder: MemberId(holder),
        signature: signed.signature,
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    let what = (name(), hold(), any::<u64>(), any::<bool>());
    let pins = prop::collection::vec(signed(), 0..=MAX_OFFER_PINS);
    (what, pins, holders()).prop_map(|((segment, hold, bytes, idle), pins, holders)| Offer {
        segment: SegmentId(segment),
        hold,
        bytes,
        idle,
        pins,
        holders,
    })
}

fn request() -> impl Strategy<Value = ReplicaRequest> {
    let told = (name(), any::<bool>(), holders());
    let told = told.prop_map(|(segment, is_pinned, holders)| Told {
        segment: SegmentId(segment),
        is_pinned,
        holders,
    });
    let question = || {
        let question = (name(), 0..=64_u8, any::<u128>());
        question.prop_map(|(key, nibbles, sum)| Question {
            prefix: Prefix::of(&key, nibbles),
            sum,
        })
    };
    let pins = prop::collection::vec(signed(), 0..=MAX_PINS);
    prop_oneof![
        offer().prop_map(ReplicaRequest::Offer),
        receipt().prop_map(ReplicaRequest::Fetched),
        name().prop_map(|segment| ReplicaRequest::Failed(SegmentId(segment))),
        prop::collection::vec(told, 0..100).prop_map(ReplicaRequest::Check),
        (segments(), any::<u64>())
            .prop_map(|(segments, lasts)| ReplicaRequest::Lease { segments, lasts }),
        segments().prop_map(ReplicaRequest::Retract),
        (any::<u64>(), challenge())
            .prop_map(|(ask, challenge)| ReplicaRequest::Trim { ask, challenge }),
        challenge().prop_map(ReplicaRequest::Challenge),
        (name(), leaves()).prop_map(|(segment, leaves)| ReplicaRequest::Wrong {
            segment: SegmentId(segment),
            leaves
        }),
        prop::collection::vec(question(), 0..=MAX_QUESTIONS).prop_map(ReplicaRequest::Compare),
        prop::collection::vec(question(), 0..=MAX_QUESTIONS).prop_map(ReplicaRequest::Shared),
        prop::collection::vec(name(), 0..=MAX_PINS).prop_map(ReplicaRequest::Fetch),
        pins.prop_map(ReplicaRequest::Pins),
    ]
}

fn response() -> impl Strategy<Value = ReplicaResponse> {
    let checked = (any::<bool>(), any::<bool>(), holders());
    let checked = checked.prop_map(|(has, is_pinned, holders)| Checked {
        has,
        is_pinned,
        holders,
    });
    let leave = prop_oneof![
        Just(Leave::Keeps),
        Just(Leave::Refuses),
        Just(Leave::HasNot)
    ];
    let items = prop::collection::btree_map(name(), any::<u64>(), 0..=64).prop_map(|items| {
        let items = items.into_iter().map(|(key, stamp)| Item { key, stamp });
        Verdict::List(items.collect())
    });
    let verdict = prop_oneof![
        Just(Verdict::Same),
        any::<[u128; 16]>().prop_map(|sums| Verdict::Children(Box::new(sums))),
        items
    ];
    let pins = prop::collection::vec(signed(), 0..=MAX_PINS);
    prop_oneof![
        receipt().prop_map(ReplicaResponse::Receipt),
        Just(ReplicaResponse::Accepted),
        Just(ReplicaResponse::NoRoom),
        Just(ReplicaResponse::Refused),
        prop::collection::vec(checked, 0..=MAX_SEGMENTS).prop_map(ReplicaResponse::Checked),
        (leave, shown()).prop_map(|(leave, shown)| ReplicaResponse::Trim { leave, shown }),
        shown().prop_map(ReplicaResponse::Answer),
        prop::collection::vec(verdict, 0..=MAX_QUESTIONS).prop_map(ReplicaResponse::Verdicts),
        pins.prop_map(ReplicaResponse::Pins),
        Just(ReplicaResponse::Noted),
        Just(ReplicaResponse::Busy),
    ]
}

proptest! {
    #[test]
    fn messages_read_as_they_were_written(request in request(), response in response()) {
        let bytes = request.encode().unwrap();
        prop_assert_eq!(ReplicaRequest::decode(&bytes.slice(LENGTH_SIZE..)), Ok(request));
        let bytes = response.encode().unwrap();
        prop_assert_eq!(ReplicaResponse::decode(&bytes.slice(LENGTH_SIZE..)), Ok(response));
    }

    /// Nearly right bytes reach deeper than noise does.
    #[test]
    fn damaged_messages_never_panic(
        request in request(), response in response(),
        at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let damage = |bytes: &[u8]| damaged(&[bytes, &[0]].concat(), at, byte, cut);
        let _ = ReplicaRequest::decode(&damage(&request.encode().unwrap()[LENGTH_SIZE..]));
        let _ = ReplicaResponse::decode(&damage(&response.encode().unwrap()[LENGTH_SIZE..]));
    }

    /// So a sender that adds up sizes makes no message that is too large.
    #[test]
    fn sizes_are_no_less_than_the_bytes(
        holders in holders(), pin in signed(), key in name(), sum: u128, count in 1..=60_usize,
    ) {
        let length = |bytes: Result<Bytes, WireError>| bytes.unwrap().len() - LENGTH_SIZE;
        let around = MAX_REPLICA_REQUEST_SIZE - REQUEST_ROOM;
        let told = Told { segment: SegmentId(key), is_pinned: true, holders: holders.clone() };
        let size = count * told.size() + around;
        prop_assert!(length(ReplicaRequest::Check(vec![told; count]).encode()) <= size);
        let checked = Checked { has: true, is_pinned: true, holders };
        let size = count * checked.size() + around;
        prop_assert!(length(ReplicaResponse::Checked(vec![checked; count]).encode()) <= size);
        let size = count * (pin.size() + 4) + around;
        prop_assert!(length(ReplicaResponse::Pins(vec![pin; count]).encode()) <= size);
        let question = Question { prefix: Prefix::of(&key, 64), sum };
        let size = count * question.size() + around;
        prop_assert!(length(ReplicaRequest::Compare(vec![question; count]).encode()) <= size);
    }
}

fn largest_cid() -> Cid {
    let mut bytes = vec![1, 0x70, 0, 0x80, 1];
    bytes.resize(bytes.len() + 128, 7);
    cid::from_bytes(&bytes).unwrap()
}

fn largest_offer() -> Offer {
    let pin = Signed {
        body: vec![1; MAX_RECORD_SIZE].into(),
        signature: [2; SIGNATURE_SIZE],
    };
    Offer {
        segment: SegmentId([3; 32]),
        hold: Hold {
            path: vec![largest_cid(); PATH_MAX],
            first: u64::MAX / 2,
            count: u64::MAX / 2,
        },
        bytes: u64::MAX,
        idle: true,
        pins: vec![pin; MAX_OFFER_PINS],
        holders: vec![MemberId([4; 32]); MAX_TOLD_HOLDERS],
    }
}

#[test]
fn the_largest_offer_fits() {
    let offer = ReplicaRequest::Offer(largest_offer());
    let bytes = offer.encode().unwrap();
    assert!(bytes.len() > 50 << 10, "{}", bytes.len());
    assert_eq!(
        ReplicaRequest::decode(&bytes.slice(LENGTH_SIZE..)),
        Ok(offer)
    );
}

#[test]
fn an_answer_about_all_segments_fits_with_the_holders_that_each_may_name() {
    for segments in [0, 1, 100, 127, 128, 200, MAX_SEGMENTS] {
        let each = holders_each(segments);
        let checked = |each| Checked {
            has: true,
            is_pinned: true,
            holders: vec![MemberId([4; 32]); each],
        };
        let answer = |each| ReplicaResponse::Checked(vec![checked(each); segments]).encode();
        assert!(answer(each).is_ok(), "{segments} {each}");
        let more = answer(each + 1);
        assert!(segments == 0 || each < MAX_TOLD_HOLDERS || more.is_err());
        assert!(each >= 31, "{segments} {each}");
    }
}

#[test]
fn a_list_that_is_too_long_is_refused_before_it_is_read() {
    let too_much = |request: &[u8]| {
        let read = ReplicaRequest::decode(&Bytes::copy_from_slice(request));
        assert!(matches!(read, Err(WireError::TooMuch { .. })), "{read:?}");
    };
    too_much(&[0x1a, 0].repeat(PATH_MAX + 1));
    too_much(&[0x42, 0].repeat(MAX_PINS + 1));
    too_much(&[0x5a, 0].repeat(MAX_SEGMENTS + 1));
    too_much(&[0x78, 0].repeat(LEAVES_MAX + 1));
    // Packed: 400 numbers of one byte.
    too_much(&[&[0x7a, 0x90, 3][..], &[1; 400]].concat());
    too_much(&[0x6a, 0].repeat(MAX_QUESTIONS + 1));
    too_much(&vec![0; MAX_REPLICA_REQUEST_SIZE + 1]);

    let too_much = |response: &[u8]| {
        let read = ReplicaResponse::decode(&Bytes::copy_from_slice(response));
        assert!(matches!(read, Err(WireError::TooMuch { .. })), "{read:?}");
    };
    too_much(&[0x1a, 0].repeat(MAX_SEGMENTS + 1));
    too_much(&[0x2a, 0].repeat(LEAVES_MAX + 1));
    too_much(&[0x32, 0].repeat(MAX_QUESTIONS + 1));
    too_much(&[0x3a, 0].repeat(MAX_PINS + 1));
    too_much(&vec![0; MAX_REPLICA_RESPONSE_SIZE + 1]);
}

/// What `change` makes of a sound message, written by the proto.
fn read_changed(
    request: &ReplicaRequest,
    change: impl Fn(&mut proto::Request),
) -> Result<ReplicaRequest, WireError> {
    let bytes = request.encode().unwrap();
    let mut message: proto::Request = prost::Message::decode(bytes.slice(LENGTH_SIZE..)).unwrap();
    change(&mut message);
    ReplicaRequest::decode(&prost::Message::encode_to_vec(&message).into())
}

fn some_challenge() -> Challenge {
    Challenge {
        segment: SegmentId([0xa1; 32]),
        hold: Hold {
            path: vec![from_digest(Version::V1, Codec::DagPb, &[0xc1; 32])],
            first: 2,
            count: 3,
        },
        nonce: [0xb1; 32],
        leaves: vec![4, 300],
    }
}

#[test]
fn what_a_message_lacks_or_has_too_much_of_is_named() {
    let offer = ReplicaRequest::Offer(Offer {
        pins: Vec::new(),
        ..largest_offer()
    });
    let bad = |request: &ReplicaRequest, field, change: fn(&mut proto::Request)| {
        assert_eq!(
            read_changed(request, change),
            Err(WireError::Field(field)),
            "{field}"
        );
    };
    bad(&offer, "path", |message| message.path.clear());
    bad(&offer, "count", |message| message.first = u64::MAX);
    bad(&offer, "segment", |message| {
        message.segments = vec![1; 31].into();
    });
    bad(&offer, "holders", |message| {
        message.holders = vec![1; 33].into();
    });
    let too_many = |message: &mut proto::Request| {
        message.holders = vec![1; 32 * (MAX_TOLD_HOLDERS + 1)].into();
    };
    let read = read_changed(&offer, too_many);
    assert!(matches!(
        read,
        Err(WireError::TooMuch {
            what: "holders",
            ..
        })
    ));
    let nodes_of_nothing = |message: &mut proto::Request| message.path = vec![Bytes::new()];
    assert!(matches!(
        read_changed(&offer, nodes_of_nothing),
        Err(WireError::Cid(_))
    ));
    let challenge = ReplicaRequest::Challenge(some_challenge());
    bad(&challenge, "nonce", |message| message.nonce.clear());
    bad(&challenge, "leaves", |message| message.leaves.clear());
    bad(&challenge, "leaves", |message| message.leaves.reverse());
    bad(&challenge, "leaves", |message| message.leaves = vec![4, 4]);
    let wrong = ReplicaRequest::Wrong {
        segment: SegmentId([1; 32]),
        leaves: vec![1],
    };
    bad(&wrong, "leaves", |message| message.leaves.clear());
    bad(&wrong, "segment", |message| message.segments.clear());
    let retract = ReplicaRequest::Retract(Vec::new());
    let too_many = |message: &mut proto::Request| {
        message.segments = vec![1; 32 * (MAX_SEGMENTS + 1)].into();
    };
    assert!(matches!(
        read_changed(&retract, too_many),
        Err(WireError::TooMuch { .. })
    ));
    bad(&retract, "receipt", |message| message.kind = 2);
    let unknown = |message: &mut proto::Request| message.kind = 99;
    assert_eq!(read_changed(&retract, unknown), Err(WireError::Kind(99)));
}

#[test]
fn what_breaks_a_bound_is_not_sent() {
    let refused = |request: &ReplicaRequest| {
        let error = request.encode().unwrap_err();
        assert!(
            matches!(error, WireError::TooMuch { .. } | WireError::Field(_)),
            "{error}"
        );
    };
    let offer = largest_offer();
    let mut long = offer.clone();
    long.hold.path.push(largest_cid());
    refused(&ReplicaRequest::Offer(long));
    let mut pins = offer.clone();
    pins.pins.push(pins.pins[0].clone());
    refused(&ReplicaRequest::Offer(pins));
    let mut holders = offer;
    holders.holders.push(MemberId([1; 32]));
    let told = Told {
        segment: SegmentId([1; 32]),
        is_pinned: true,
        holders: holders.holders.clone(),
    };
    refused(&ReplicaRequest::Offer(holders));
    refused(&ReplicaRequest::Check(vec![told]));
    let told = Told {
        segment: SegmentId([1; 32]),
        is_pinned: true,
        holders: vec![MemberId([1; 32]); 7],
    };
    refused(&ReplicaRequest::Check(vec![told; MAX_SEGMENTS]));
    refused(&ReplicaRequest::Retract(vec![
        SegmentId([1; 32]);
        MAX_SEGMENTS + 1
    ]));
    refused(&ReplicaRequest::Fetch(vec![[1; 32]; MAX_PINS + 1]));
    let unsound = Challenge {
        leaves: vec![2, 1],
        ..some_challenge()
    };
    refused(&ReplicaRequest::Challenge(unsound));
    let nothing = ReplicaResponse::Answer(Some(Answer { leaves: Vec::new() }));
    assert!(nothing.encode().is_err());
    let long = Answer {
        leaves: vec![None; LEAVES_MAX + 1],
    };
    assert!(ReplicaResponse::Answer(Some(long)).encode().is_err());
}

#[test]
fn a_check_with_six_holders_each_fits() {
    let told = Told {
        segment: SegmentId([1; 32]),
        is_pinned: true,
        holders: vec![MemberId([1; 32]); 6],
    };
    assert!(MAX_SEGMENTS * told.size() <= REQUEST_ROOM);
    assert!(
        ReplicaRequest::Check(vec![told; MAX_SEGMENTS])
            .encode()
            .is_ok()
    );
}

#[test]
fn what_a_later_version_says_of_leave_is_no_leave() {
    let message = proto::Response {
        kind: 6,
        leave: 9,
        ..Default::default()
    };
    let read = ReplicaResponse::decode(&prost::Message::encode_to_vec(&message).into());
    let leave = Leave::Refuses;
    assert_eq!(read, Ok(ReplicaResponse::Trim { leave, shown: None }));
}
