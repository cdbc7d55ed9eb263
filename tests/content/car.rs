//! CAR files: what is exported, in which order, and that what is imported is right or refused.

use bytes::Bytes;
use proptest::prelude::*;
use store::block::{Block, MAX_BLOCK_SIZE};
use store::blockstore::{Blockstore, MemoryStore};
use store::car::export::EntityBytes;
use store::car::{self, ExportOptions, ImportError, Imported, Scope};
use store::cid::{self, Cid, Codec};
use store::dag::SourceError;
use store::unixfs::data::{Data, Kind};
use store::unixfs::read::{Range, Reader};

use crate::fixture::{Dag, link, noise};

/// Memory of an import, with room for two batches.
const MEMORY: usize = 6 << 20;

fn options(scope: Scope, range: Option<&str>) -> ExportOptions {
    ExportOptions {
        scope,
        range: range.map(|range| range.parse().unwrap()),
    }
}

fn export(dag: &Dag, root: Cid, options: &ExportOptions) -> Result<Vec<u8>, SourceError> {
    let mut out = Vec::new();
    let exported = car::export(dag, &root, options, &mut |bytes: Bytes| {
        out.extend(bytes);
        Ok::<_, SourceError>(())
    })?;
    assert_eq!(exported.bytes, out.len() as u64);
    Ok(out)
}

/// The CIDs in a CAR, in order.
fn cids(bytes: &[u8]) -> Vec<Cid> {
    let mut reader = car::Reader::open(bytes).unwrap();
    let mut cids = Vec::new();
    while let Some(section) = reader.next().unwrap() {
        cids.push(section.cid);
    }
    cids
}

fn import(bytes: &[u8]) -> (MemoryStore, Imported, Result<(), ImportError>) {
    let store = MemoryStore::default();
    let (imported, result) = car::import(&store, bytes, MEMORY, &|_| ());
    (store, imported, result)
}

/// A directory with a file of two levels, the same file again, and an empty directory.
fn tree(dag: &Dag) -> (Cid, Vec<Cid>) {
    let a = dag.raw("aaaa");
    let b = dag.raw("bbbb");
    let c = dag.leaf(b"cccc");
    let left = dag.file(b"", &[(a, 4), (b, 4)]);
    let right = dag.file(b"", &[(c, 4), (a, 4)]);
    let file = dag.file(b"", &[(left, 8), (right, 8)]);
    let empty = dag.dir(&[]);
    let root = dag.dir(&[("empty", empty), ("file", file), ("same", file)]);
    (root, vec![root, empty, file, left, a, b, right, c])
}

#[test]
fn an_export_is_depth_first_without_repetition_and_the_same_each_time() {
    let dag = Dag::default();
    let (root, expected) = tree(&dag);
    let bytes = export(&dag, root, &ExportOptions::default()).unwrap();
    assert_eq!(cids(&bytes), expected);
    assert_eq!(car::Reader::open(&bytes[..]).unwrap().roots(), [root]);
    assert_eq!(
        export(&dag, root, &ExportOptions::default()).unwrap(),
        bytes
    );

    let (store, imported, result) = import(&bytes);
    result.unwrap();
    assert_eq!((imported.blocks, imported.roots), (8, vec![root]));
    assert_eq!(imported.at, bytes.len() as u64);
    assert_eq!(imported.last, expected.last().copied());
    for cid in expected {
        assert_eq!(store.get(&cid).unwrap(), dag.store.get(&cid).unwrap());
    }
}

#[test]
fn scopes_are_those_of_the_trustless_gateway() {
    let dag = Dag::default();
    let (root, all) = tree(&dag);
    let file = all[2];
    let of = |root, scope| cids(&export(&dag, root, &options(scope, None)).unwrap());
    assert_eq!(of(root, Scope::Block), [root]);
    assert_eq!(of(root, Scope::Entity), [root]);
    assert_eq!(of(file, Scope::Block), [file]);
    assert_eq!(of(file, Scope::Entity), all[2..]);
    assert_eq!(of(file, Scope::All), all[2..]);
    // Not UnixFS: one block is all that is known of it.
    let bare = dag.put(
        Codec::DagPb,
        store::dag::pb::Node {
            links: vec![link("x", file, 1)],
            data: None,
        }
        .encode(),
    );
    assert_eq!(of(bare, Scope::Entity), [bare]);
    assert_eq!(of(bare, Scope::All).len(), 7);
}

#[test]
fn an_entity_of_shards_has_all_of_them_and_no_entry() {
    let dag = Dag::default();
    let file = dag.raw("x");
    let data = |fanout| Data {
        hash_type: Some(0x22),
        fanout: Some(fanout),
        ..Data::new(Kind::HamtShard)
    };
    let inner = dag.node(vec![link("0Ay", file, 1)], &data(256));
    let root = dag.node(vec![link("00x", file, 1), link("0A", inner, 1)], &data(256));
    let of = |scope| cids(&export(&dag, root, &options(scope, None)).unwrap());
    assert_eq!(of(Scope::Entity), [root, inner]);
    assert_eq!(of(Scope::All), [root, file, inner]);
}

#[test]
fn a_range_takes_the_nodes_that_hold_it() {
    let dag = Dag::default();
    let (root, all) = tree(&dag);
    let [file, left, a, b, right, c] = all[2..] else {
        panic!()
    };
    let of = |range: &str| cids(&export(&dag, file, &options(Scope::All, Some(range))).unwrap());
    assert_eq!(of("0:*"), [file, left, a, b, right, c]);
    assert_eq!(of("0:0"), [file, left, a]);
    assert_eq!(of("3:4"), [file, left, a, b]);
    assert_eq!(of("4:8"), [file, left, b, right, c]);
    assert_eq!(of("7:12"), [file, left, b, right, c, a]);
    assert_eq!(of("12:12"), [file, right, a]);
    assert_eq!(of("-1:*"), [file, right, a]);
    assert_eq!(of("-5:-4"), [file, right, c, a]);
    assert_eq!(of("0:-13"), [file, left, a]);
    assert_eq!(of("5:1000"), [file, left, b, right, c, a]);
    // Outside of the file: what shows how long it is.
    assert_eq!(of("16:20"), [file]);
    assert_eq!(of("0:-17"), [file]);
    // A directory has no bytes.
    let of_dir = cids(&export(&dag, root, &options(Scope::All, Some("0:0"))).unwrap());
    assert_eq!(of_dir, [root]);
    for bad in [
        "",
        "1",
        "2:1",
        "-1:-2",
        "a:b",
        "*:1",
        "1:",
        "9223372036854775808:*",
    ] {
        assert!(bad.parse::<EntityBytes>().is_err(), "{bad}");
    }
}

/// Two links to the level below, 60 times: 2^60 leaves in 61 blocks.
#[test]
fn a_range_of_a_bomb_of_shared_children_is_exported_once() {
    let dag = Dag::default();
    let (mut file, mut size) = (dag.raw("x"), 1_u64);
    for _ in 0..60 {
        file = dag.file(b"", &[(file, size), (file, size)]);
        size *= 2;
    }
    let range = format!("{}:{}", size / 3, size / 3 * 2);
    let found = cids(&export(&dag, file, &options(Scope::All, Some(&range))).unwrap());
    assert_eq!(found.len(), 61);
}

#[test]
fn sizes_that_lie_end_a_range() {
    let dag = Dag::default();
    let leaf = dag.raw("four");
    let file = dag.file(b"", &[(leaf, 5)]);
    let error = export(&dag, file, &options(Scope::All, Some("0:*"))).unwrap_err();
    assert!(error.to_string().contains("its parent says 5"), "{error}");
}

proptest! {
    /// Whoever has only what a range exports can read the range.
    #[test]
    fn a_range_can_be_read_from_its_export(
        sizes in prop::collection::vec(1_u64..9, 1..30),
        width in 2_usize..5,
        from in 0_u64..200,
        length in 1_u64..100,
    ) {
        let dag = Dag::default();
        let mut level: Vec<(Cid, u64)> = sizes
            .iter()
            .enumerate()
            .map(|(i, size)| (dag.raw(noise(*size as usize, i as u64 % 3 + 1)), *size))
            .collect();
        while level.len() > 1 {
            let parent = |children: &[(Cid, u64)]| {
                (dag.file(b"", children), children.iter().map(|(_, size)| size).sum())
            };
            level = level.chunks(width).map(parent).collect();
        }
        let (root, size) = level[0];
        let range = Range { offset: from, length: Some(length) };
        let read = |dag: &Dag| -> Vec<u8> {
            Reader::open(dag, &root, range).unwrap().flat_map(|part| part.unwrap()).collect()
        };
        let expected = read(&dag);
        let options = options(Scope::All, Some(&format!("{from}:{}", from + length - 1)));
        let bytes = export(&dag, root, &options).unwrap();
        let (store, _, result) = import(&bytes);
        result.unwrap();
        let mut part = Dag::default();
        part.store = store;
        prop_assert_eq!(read(&part), expected);
        prop_assert!(from < size || cids(&bytes).len() == 1);
    }

    /// Whatever bit is flipped: nothing wrong is kept, and nothing is kept behind an error.
    #[test]
    fn a_flipped_bit_is_found(place in 0_usize..1 << 20, bit in 0_u8..8) {
        let dag = Dag::default();
        let (root, all) = tree(&dag);
        let mut bytes = export(&dag, root, &ExportOptions::default()).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        let (store, imported, _) = import(&bytes);
        let mut kept = 0;
        store.for_each(&mut |indexed| {
            kept += 1;
            assert!(all.iter().any(|cid| cid::Key::of(cid) == indexed.key));
            true
        }).unwrap();
        prop_assert!(kept <= imported.blocks);
    }
}

#[test]
fn what_came_before_an_error_is_kept_and_told() {
    let dag = Dag::default();
    let (root, all) = tree(&dag);
    let good = export(&dag, root, &ExportOptions::default()).unwrap();
    let mut reader = car::Reader::open(&good[..]).unwrap();
    let mut sections = Vec::new();
    while let Some(section) = reader.next().unwrap() {
        sections.push(section);
    }
    // The fourth block is corrupt.
    let mut bytes = good.clone();
    bytes[sections[3].data_offset as usize] ^= 1;
    let (store, imported, result) = import(&bytes);
    let at = sections[3].offset;
    let error = result.unwrap_err();
    assert!(
        matches!(error, ImportError::Block { at: found, .. } if found == at),
        "{error}"
    );
    assert_eq!((imported.blocks, imported.at), (3, at));
    assert_eq!(imported.last, Some(all[2]));
    assert_eq!(imported.roots, [root]);
    assert_eq!(store.totals().unwrap().blocks, 3);
    // Cut in the sixth.
    let cut = sections[5].data_offset as usize + 1;
    let (store, imported, result) = import(&good[..cut]);
    let error = result.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("cut off at byte {cut}")),
        "{error}"
    );
    assert_eq!((imported.blocks, imported.at), (5, sections[5].offset));
    assert_eq!(store.totals().unwrap().blocks, 5);
}

#[test]
fn what_cannot_be_read_is_kept_as_bytes_and_what_cannot_be_checked_is_not() {
    let dag = Dag::default();
    let block = Block::hash(cid::Version::V1, Codec::Raw, Bytes::from_static(b"\xa0")).unwrap();
    let cbor = Cid::new_v1(0x71, *block.cid().hash());
    let mut bytes = car::header(&[cbor]).to_vec();
    let mut section = |cid: &[u8], data: &[u8]| {
        bytes.push((cid.len() + data.len()) as u8);
        bytes.extend(cid);
        bytes.extend(data);
    };
    section(&cbor.to_bytes(), b"\xa0");
    // murmur3, then an identity CID, then one block that is like any other.
    let murmur = [&[1, 0x55, 0x22, 8][..], &[7; 8]].concat();
    section(&murmur, b"whatever");
    section(&[1, 0x55, 0, 2, b'h', b'i'], b"hi");
    section(&block.cid().to_bytes(), b"\xa0");
    let (store, imported, result) = import(&bytes);
    result.unwrap();
    assert_eq!(
        (imported.blocks, imported.unreadable, imported.unchecked),
        (3, 1, 1)
    );
    assert_eq!(imported.unchecked_cids[0].to_bytes(), murmur);
    assert_eq!(store.totals().unwrap().blocks, 1);
    assert_eq!(store.get(block.cid()).unwrap().unwrap(), &b"\xa0"[..]);
    // A root of which only its CID is needed, and none in the file.
    let inline = cid::parse("bafkqabtimvwgy3yk").unwrap();
    assert_eq!(
        cids(&export(&dag, inline, &ExportOptions::default()).unwrap()),
        []
    );
}

/// Larger than all memory of the import, in blocks of the largest size.
#[test]
fn large_blocks_pass_through_little_memory() {
    let dag = Dag::default();
    let leaves: Vec<(Cid, u64)> = (1..12)
        .map(|seed| {
            (
                dag.raw(noise(MAX_BLOCK_SIZE, seed * 2)),
                MAX_BLOCK_SIZE as u64,
            )
        })
        .collect();
    let file = dag.file(b"", &leaves);
    let bytes = export(&dag, file, &ExportOptions::default()).unwrap();
    let (store, imported, result) = import(&bytes);
    result.unwrap();
    assert_eq!(imported.blocks, 12);
    assert_eq!(store.totals().unwrap().blocks, 12);
    let calls = dag.take_calls();
    assert!(
        calls.iter().any(|call| call.len() == 11),
        "leaves are asked for together"
    );
}
