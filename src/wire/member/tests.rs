use proptest::prelude::*;

use super::*;
use crate::wire::LENGTH_SIZE;
use crate::wire::reconcile::{Item, Prefix, Question, Verdict};
use crate::wire::tests::damaged;

fn id() -> impl Strategy<Value = MemberId> {
    any::<[u8; 32]>().prop_map(MemberId)
}

fn tags() -> impl Strategy<Value = Tags> {
    prop::collection::btree_map("[a-z0-9_.-]{1,32}", "[a-zA-Z0-9äé ]{1,16}", 0..=MAX_TAGS)
        .prop_map(|tags| Tags::new(tags).unwrap())
}

fn record() -> impl Strategy<Value = Record> {
    let address = prop::collection::vec(any::<u8>(), 1..60).prop_map(Bytes::from);
    let state = prop_oneof![
        Just(MemberState::Up),
        Just(MemberState::Leaving),
        Just(MemberState::Left)
    ];
    let role = prop_oneof![
        Just(MemberRole::Storage),
        Just(MemberRole::Client),
        (2..u32::MAX).prop_map(MemberRole::Other)
    ];
    let place = (id(), any::<u64>(), prop::collection::vec(address, 0..=16));
    let space = (any::<u8>(), any::<u8>(), any::<u8>());
    let holdings = (any::<u64>(), any::<[u8; 16]>());
    (place, role, state, "[ -~]{0,64}", space, (tags(), holdings)).prop_map(
        |((id, version, addresses), role, state, program, space, (tags, (count, digest)))| Record {
            id,
            version,
            addresses,
            role,
            state,
            program,
            capacity: Step(space.0),
            free: Step(space.1),
            load: space.2,
            tags,
            holdings: Holdings { count, digest },
        },
    )
}

fn signed() -> impl Strategy<Value = Signed> {
    let body = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (body, any::<[u8; 32]>()).prop_map(|(body, half)| {
        let mut signature = [7; SIGNATURE_SIZE];
        signature[..32].copy_from_slice(&half);
        Signed { body, signature }
    })
}

fn request() -> impl Strategy<Value = MemberRequest> {
    let question = (any::<[u8; 32]>(), 0..=64_u8, any::<u128>()).prop_map(|(key, nibbles, sum)| {
        let prefix = Prefix::of(&key, nibbles);
        Question { prefix, sum }
    });
    prop_oneof![
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(version, known, suspected)| {
            MemberRequest::Probe {
                version,
                known,
                suspected,
            }
        }),
        id().prop_map(MemberRequest::Reach),
        prop::collection::vec(question, 0..=64).prop_map(MemberRequest::Compare),
        prop::collection::vec(id(), 0..=MAX_FETCH).prop_map(MemberRequest::Fetch),
        signed().prop_map(MemberRequest::Tell),
    ]
}

fn response() -> impl Strategy<Value = MemberResponse> {
    let told = (signed(), any::<bool>()).prop_map(|(record, gone)| Told { record, gone });
    let items = prop::collection::btree_map(any::<[u8; 32]>(), any::<u64>(), 0..=64);
    let items = items.prop_map(|items| {
        let items = items.into_iter().map(|(key, stamp)| Item { key, stamp });
        Verdict::List(items.collect())
    });
    let verdict = prop_oneof![
        Just(Verdict::Same),
        any::<[u128; 16]>().prop_map(|sums| Verdict::Children(Box::new(sums))),
        items
    ];
    prop_oneof![
        prop::option::of(signed()).prop_map(MemberResponse::Alive),
        any::<bool>().prop_map(MemberResponse::Reached),
        prop::collection::vec(verdict, 0..=64).prop_map(MemberResponse::Compared),
        prop::collection::vec(told, 0..=MAX_FETCH).prop_map(MemberResponse::Records),
        Just(MemberResponse::Refused),
    ]
}

fn rumour() -> impl Strategy<Value = Rumour> {
    let accusation =
        (id(), any::<u64>()).prop_map(|(member, version)| Accusation { member, version });
    let records = prop::collection::vec(signed(), 0..=MAX_RUMOUR_RECORDS);
    let accusations = prop::collection::vec(accusation, 0..=MAX_ACCUSATIONS);
    (records, accusations).prop_map(|(records, accusations)| Rumour {
        records,
        accusations,
    })
}

proptest! {
    #[test]
    fn a_record_reads_as_it_was_written(record in record()) {
        prop_assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record));
    }

    #[test]
    fn messages_read_as_they_were_written(request in request(), response in response(), rumour in rumour()) {
        let bytes = request.encode().unwrap();
        prop_assert_eq!(MemberRequest::decode(&bytes.slice(LENGTH_SIZE..)), Ok(request));
        let bytes = response.encode().unwrap();
        prop_assert!(bytes.len() <= response.size() + 2 * MAX_FETCH + 8, "{} {}", bytes.len(), response.size());
        prop_assert_eq!(MemberResponse::decode(&bytes.slice(LENGTH_SIZE..)), Ok(response));
        prop_assert_eq!(Rumour::decode(&rumour.encode().unwrap().into()), Ok(rumour));
    }

    /// Nearly right bytes reach deeper than noise does.
    #[test]
    fn damaged_messages_never_panic(
        record in record(), request in request(), response in response(), rumour in rumour(),
        at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let damage = |bytes: &[u8]| damaged(&[bytes, &[0]].concat(), at, byte, cut);
        let _ = Record::decode(&damage(&record.encode().unwrap()));
        let _ = MemberRequest::decode(&damage(&request.encode().unwrap()[LENGTH_SIZE..]));
        let _ = MemberResponse::decode(&damage(&response.encode().unwrap()[LENGTH_SIZE..]));
        let _ = Rumour::decode(&damage(&rumour.encode().unwrap()));
    }
}

fn some_record() -> Record {
    Record {
        id: MemberId([0xd1; 32]),
        version: 7,
        addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 16, 0])],
        role: MemberRole::Storage,
        state: MemberState::Up,
        program: "store/1".into(),
        capacity: Step::of(1 << 40),
        free: Step::of(1 << 39),
        load: 0,
        tags: Tags::new([("zone".into(), "a".into())]).unwrap(),
        holdings: Holdings::default(),
    }
}

#[test]
fn what_breaks_a_bound_is_refused_before_it_is_built() {
    let addresses = Bytes::from([0x1a, 0].repeat(MAX_RECORD_ADDRESSES + 1));
    assert!(matches!(
        Record::decode(&addresses),
        Err(WireError::TooMuch { .. })
    ));
    let tags = Bytes::from([0x4a, 0].repeat(MAX_TAGS + 1));
    assert!(matches!(
        Record::decode(&tags),
        Err(WireError::TooMuch { what: "tags", .. })
    ));
    let members = Bytes::from([0x2a, 0].repeat(MAX_FETCH + 1));
    assert!(matches!(
        MemberRequest::decode(&members),
        Err(WireError::TooMuch { .. })
    ));
    let told = Bytes::from([0x12, 0].repeat(MAX_FETCH + 1));
    assert!(matches!(
        MemberResponse::decode(&told),
        Err(WireError::TooMuch { .. })
    ));
    let accusations = Bytes::from([0x12, 0].repeat(MAX_ACCUSATIONS + 1));
    assert!(matches!(
        Rumour::decode(&accusations),
        Err(WireError::TooMuch { .. })
    ));
    assert!(Record::decode(&Bytes::from(vec![0; MAX_RECORD_SIZE + 1])).is_err());
    let long = Record {
        program: "x".repeat(MAX_PROGRAM + 1),
        ..some_record()
    };
    assert!(long.encode().is_err());
}

#[test]
fn tags_are_short_and_printable() {
    let tag = |name: &str, value: &str| Tags::new([(name.to_owned(), value.to_owned())]);
    assert_eq!(tag("zone", "eu-1").unwrap().get("zone"), Some("eu-1"));
    for (name, value) in [
        ("", "a"),
        ("Zone", "a"),
        ("a b", "a"),
        ("zone", ""),
        ("zone", "a\x1b[31m"),
    ] {
        assert!(tag(name, value).is_err(), "{name:?} = {value:?}");
    }
    assert!(tag("zone", &"x".repeat(MAX_TAG_VALUE + 1)).is_err());
    let many = (0..=MAX_TAGS).map(|n| (format!("t{n}"), "x".to_owned()));
    assert_eq!(Tags::new(many), Err(BadTag::Count(MAX_TAGS + 1)));
}

#[test]
fn what_a_later_version_says_is_taken_with_care() {
    let mut message = proto::Record {
        state: 9,
        role: 9,
        id: vec![1; 32].into(),
        digest: vec![0; 16].into(),
        ..Default::default()
    };
    let read =
        |message: &proto::Record| Record::decode(&prost::Message::encode_to_vec(message).into());
    let record = read(&message).unwrap();
    assert_eq!(
        (record.state, record.role),
        (MemberState::Leaving, MemberRole::Other(9))
    );
    message.id = vec![1; 31].into();
    assert_eq!(read(&message), Err(WireError::Field("member")));
}

/// docs/protocol.md shows these bytes.
#[test]
fn the_bytes_are_those_of_the_document() {
    let document = include_str!("../../../docs/protocol.md").replace([' ', '`'], "");
    let shown = |bytes: &[u8]| {
        let text = data_encoding::HEXLOWER.encode(bytes);
        assert!(
            document.contains(&text),
            "docs/protocol.md does not show {text}"
        );
    };
    let body = some_record().encode().unwrap();
    shown(&body);
    shown(&signed_bytes("main", b"")[..]);
    let signed = Signed {
        body,
        signature: [0xee; SIGNATURE_SIZE],
    };
    let probe = MemberRequest::Probe {
        version: 9,
        known: 7,
        suspected: true,
    };
    shown(&probe.encode().unwrap());
    shown(&MemberResponse::Alive(None).encode().unwrap());
    shown(&MemberRequest::Reach(MemberId([0xd1; 32])).encode().unwrap());
    shown(&MemberResponse::Reached(true).encode().unwrap());
    let question = Question {
        prefix: Prefix::of(&[0xd1; 32], 3),
        sum: 1,
    };
    shown(&MemberRequest::Compare(vec![question]).encode().unwrap());
    let item = Item {
        key: [0xd1; 32],
        stamp: 5,
    };
    let verdicts = vec![Verdict::Same, Verdict::List(vec![item])];
    shown(&MemberResponse::Compared(verdicts).encode().unwrap());
    let accusation = Accusation {
        member: signed_id(&signed),
        version: 7,
    };
    let rumour = Rumour {
        records: Vec::new(),
        accusations: vec![accusation],
    };
    shown(&rumour.encode().unwrap());
}

fn signed_id(signed: &Signed) -> MemberId {
    Record::decode(&signed.body).unwrap().id
}
