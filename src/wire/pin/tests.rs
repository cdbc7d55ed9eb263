use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::cid::{Codec, Version};
use crate::wire::tests::damaged;

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    let tag = ("[a-z0-9_.-]{1,32}", "[a-zA-Z0-9äé ]{1,16}");
    prop::collection::btree_set(tag, 0..=MAX_PIN_TAGS / 2).prop_map(|set| set.into_iter().collect())
}

fn wish() -> impl Strategy<Value = PinWish> {
    let numbers = any::<[u8; 4]>();
    (numbers, any::<bool>(), tags(), tags(), any::<u64>()).prop_map(
        |([min, target, max, priority], everywhere, wanted, refused, expires)| PinWish {
            min,
            target,
            max,
            everywhere,
            wanted,
            refused,
            priority,
            expires,
        },
    )
}

fn record() -> impl Strategy<Value = PinRecord> {
    let version = prop_oneof![Just(Version::V0), Just(Version::V1)];
    let root = (version, any::<[u8; 32]>())
        .prop_map(|(version, digest)| cid::from_digest(version, Codec::DagPb, &digest));
    let rest = (prop::option::of(wish()), any::<bool>());
    (any::<[u8; 32]>(), root, any::<u64>(), rest).prop_map(
        |(owner, root, sequence, (wanted, by_swarm))| PinRecord {
            owner: MemberId(owner),
            root,
            sequence,
            by_swarm: by_swarm && wanted.is_none(),
            wanted,
        },
    )
}

proptest! {
    #[test]
    fn a_record_reads_as_it_was_written(record in record()) {
        prop_assert_eq!(PinRecord::decode(&record.encode().unwrap()), Ok(record));
    }

    /// Nearly right bytes reach deeper than noise does.
    #[test]
    fn damaged_records_never_panic(record in record(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        if let Ok(record) = PinRecord::decode(&damaged(&record.encode().unwrap(), at, byte, cut)) {
            prop_assert_eq!(PinRecord::decode(&record.encode().unwrap()), Ok(record));
        }
    }
}

fn some_record() -> PinRecord {
    PinRecord {
        owner: MemberId([0xd1; 32]),
        root: cid::from_digest(Version::V1, Codec::DagPb, &[0xc1; 32]),
        sequence: 7,
        wanted: Some(PinWish {
            min: 2,
            target: 3,
            max: 5,
            everywhere: false,
            wanted: vec![("zone".into(), "a".into()), ("zone".into(), "b".into())],
            refused: vec![("disk".into(), "slow".into())],
            priority: 1,
            expires: 1_800_000_000,
        }),
        by_swarm: false,
    }
}

fn withdrawn(by_swarm: bool) -> PinRecord {
    PinRecord {
        sequence: 8,
        wanted: None,
        by_swarm,
        ..some_record()
    }
}

/// The record as it would be written without a check.
fn unchecked(record: &PinRecord) -> Bytes {
    let message = proto::PinRecord {
        owner: Bytes::copy_from_slice(&record.owner.0),
        root: record.root.to_bytes().into(),
        sequence: record.sequence,
        wish: record.wanted.as_ref().map(PinWish::to_bytes),
        by_swarm: record.by_swarm,
    };
    prost::Message::encode_to_vec(&message).into()
}

#[test]
fn what_makes_no_sense_is_neither_written_nor_read() {
    assert_eq!(unchecked(&some_record()), some_record().encode().unwrap());
    let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let with = |change: &dyn Fn(&mut PinWish)| {
        let mut record = some_record();
        change(record.wanted.as_mut().unwrap());
        record
    };
    let many: Vec<_> = (0..17)
        .map(|n| (format!("t{n:02}"), "x".to_owned()))
        .collect();
    let largest: Vec<_> = (0..33)
        .map(|n| (format!("t{n:02}"), "x".to_owned()))
        .collect();
    let bad = [
        with(&|wish| wish.wanted.reverse()),
        with(&|wish| wish.wanted = vec![tag("zone", "a"), tag("zone", "a")]),
        with(&|wish| wish.refused = vec![tag("Zone", "a")]),
        with(&|wish| wish.refused = vec![tag("zone", "")]),
        with(&|wish| (wish.wanted, wish.refused) = (many.clone(), many.clone())),
        with(&|wish| wish.refused.clone_from(&largest)),
        PinRecord {
            by_swarm: true,
            ..some_record()
        },
        PinRecord {
            root: Cid::new_v1(0x71, *some_record().root.hash()),
            ..some_record()
        },
    ];
    for record in bad {
        assert!(record.encode().is_err(), "{record:?}");
        assert!(
            PinRecord::decode(&unchecked(&record)).is_err(),
            "{record:?}"
        );
    }
}

#[test]
fn what_breaks_a_bound_is_refused_before_it_is_built() {
    let wish = Bytes::from([0x2a, 0].repeat(MAX_PIN_TAGS + 1));
    let message = proto::PinRecord {
        owner: vec![1; 32].into(),
        root: some_record().root.to_bytes().into(),
        wish: Some(wish),
        ..Default::default()
    };
    let bytes = Bytes::from(prost::Message::encode_to_vec(&message));
    let what = "tags wanted";
    assert!(
        matches!(PinRecord::decode(&bytes), Err(WireError::TooMuch { what: found, .. }) if found == what)
    );
    let long = Bytes::from(vec![0; MAX_PIN_SIZE + 1]);
    assert!(matches!(
        PinRecord::decode(&long),
        Err(WireError::TooMuch { .. })
    ));
    for cut in 0..64 {
        let bytes = some_record().encode().unwrap();
        assert!(PinRecord::decode(&bytes.slice(..cut)).is_err(), "{cut}");
    }
    let huge = proto::Wish {
        target: 256,
        ..Default::default()
    };
    let huge = PinWish::of_bytes(&prost::Message::encode_to_vec(&huge).into());
    assert_eq!(huge, Err(WireError::Field("target")));
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let mut bytes = some_record().encode().unwrap().to_vec();
    // Field 9, a number; field 10, bytes.
    bytes.extend([0x48, 7, 0x52, 2, 1, 2]);
    assert_eq!(PinRecord::decode(&bytes.into()), Ok(some_record()));
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
    shown(&some_record().encode().unwrap());
    shown(&withdrawn(false).encode().unwrap());
    shown(&withdrawn(true).encode().unwrap());
    shown(&pin_signed_bytes("main", b""));
}

/// The seeds of the fuzzer.
#[test]
#[ignore = "writes files: cargo test --lib -- --ignored seeds_of_the_fuzzer"]
fn seeds_of_the_fuzzer() {
    let folder = std::path::Path::new("tests/fuzz/corpus/pin");
    std::fs::create_dir_all(folder).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seeds = vec![some_record(), withdrawn(false), withdrawn(true)];
    for _ in 0..16 {
        seeds.push(record().new_tree(&mut runner).unwrap().current());
    }
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:02}")), seed.encode().unwrap()).unwrap();
    }
}
