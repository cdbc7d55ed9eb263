//! Hostile, broken and foreign CAR files (tests/fixtures/car, whose README says what each is): what is kept
//! of each, and the words in which it is refused.

use std::path::Path;

use store::blockstore::{Blockstore, MemoryStore};
use store::car::{self, Imported};
use store::cid;
use store::dag::source::Local;
use store::dag::walk::missing;
use store::unixfs::Piece;

use crate::fixture::pieces;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new("tests/fixtures/car");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Imports a file; gives what was kept, and the words of the error, none if there was none.
fn import(bytes: &[u8]) -> (MemoryStore, Imported, String) {
    let store = MemoryStore::default();
    let (imported, result) = car::import(&store, bytes, 8 << 20, &|_| ());
    let words = result.map_or_else(|error| error.to_string(), |()| String::new());
    (store, imported, words)
}

/// The file, blocks that are kept of it, and words of the error.
const EXPECTED: [(&str, u64, &str); 30] = [
    ("good-v1", 3, ""),
    ("good-v2", 3, ""),
    ("empty", 0, "does not begin with a length"),
    ("truncated-header", 0, "cut off at byte 20"),
    ("truncated-length", 0, "1 more bytes should follow"),
    ("truncated-cid", 0, "cut off at byte"),
    ("truncated-block", 2, "2 more bytes should follow"),
    ("flipped-block", 2, "is corrupt: the bytes given for"),
    ("flipped-cid", 2, "is corrupt: the bytes given for"),
    ("huge-length", 0, "a section of 4611686018427387904 bytes"),
    ("huge-header", 0, "a header of 1099511627776 bytes"),
    ("huge-root-count", 0, "no CAR file"),
    ("long-length", 0, "malformed length"),
    ("zero-sections", 3, "a section of no bytes"),
    ("no-cid", 0, "no CID at byte"),
    ("version-3", 0, "version 3; 1 and 2 can be read"),
    ("v2-overflow", 0, "end behind everything"),
    ("v2-overlap", 0, "inside of the header"),
    ("v2-far", 0, "cut off"),
    ("v2-short", 2, "ends behind the end of the data"),
    ("v2-long", 3, "3 more bytes should follow"),
    ("v2-index-inside", 0, "before the data's end"),
    ("v2-unfinished", 0, "did not finish it"),
    ("v2-nested", 0, "version 2 inside of it"),
    ("identity", 2, ""),
    ("identity-lie", 0, "is corrupt"),
    ("dag-cbor", 2, ""),
    ("unknown-hash", 1, ""),
    ("incomplete", 2, ""),
    ("no-roots", 1, ""),
];

#[test]
fn each_is_kept_as_far_as_it_is_right() {
    for (name, blocks, words) in EXPECTED {
        let (store, imported, error) = import(&file(&format!("{name}.car")));
        assert_eq!(imported.blocks, blocks, "{name}: {error}");
        assert_eq!(error.is_empty(), words.is_empty(), "{name}: {error}");
        assert!(error.contains(words), "{name}: {error}");
        // An identity block is counted, and carried by its CID.
        let kept = store.totals().unwrap().blocks;
        assert_eq!(kept, blocks - u64::from(name == "identity"), "{name}");
    }
}

#[test]
fn a_root_is_whole_or_not() {
    let root = |name: &str| {
        let (store, imported, _) = import(&file(name));
        let root = imported.roots[0];
        missing(&store, &root, 10).map(|missing| missing.len())
    };
    assert_eq!(root("good-v1.car").unwrap(), 0);
    assert_eq!(root("good-v2.car").unwrap(), 0);
    assert_eq!(root("truncated-block.car").unwrap(), 1);
    assert_eq!(root("incomplete.car").unwrap(), 1);
    assert_eq!(root("identity.car").unwrap(), 0);
    assert!(root("dag-cbor.car").is_err());
}

#[test]
fn roots_are_bounded_by_the_header() {
    let roots = |count: u32| {
        let root = |i: u32| {
            let digest = std::array::from_fn(|at| i.to_le_bytes()[at % 4]);
            cid::from_digest(cid::Version::V1, cid::Codec::Raw, &digest)
        };
        let roots: Vec<_> = (0..count).map(root).collect();
        import(&car::header(&roots))
    };
    let (_, imported, error) = roots(5000);
    assert_eq!((imported.roots.len(), error.as_str()), (5000, ""));
    let (_, imported, error) = roots(8000);
    assert!(
        imported.roots.is_empty() && error.contains("262144 are allowed"),
        "{error}"
    );
}

/// Packed by other programs from `hello/a.txt`, `hello/b/c.bin` and `hello/empty`.
#[test]
fn what_others_wrote_is_read_as_they_meant_it() {
    for name in ["by-ipfs-car.car", "by-ipld-car.car"] {
        let (store, imported, error) = import(&file(name));
        assert_eq!(error, "", "{name}");
        assert_eq!(
            missing(&store, &imported.roots[0], 1).unwrap(),
            [],
            "{name}"
        );
        let tree = pieces(&Local(&store), &imported.roots[0]).unwrap();
        let mut files = Vec::new();
        for piece in tree {
            match piece {
                Piece::File { name, .. } => files.push((name.to_string(), Vec::new())),
                Piece::Data(data) => files.last_mut().unwrap().1.extend(data),
                _ => {}
            }
        }
        let large: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
        let expected = [
            ("a.txt".to_owned(), b"hello, world\n".to_vec()),
            ("c.bin".to_owned(), large),
            ("empty".to_owned(), Vec::new()),
        ];
        assert_eq!(files, expected, "{name}");
    }
    // The writer of `@ipld/car` was given blocks in the order of an export: the files are the same.
    let bytes = file("by-ipld-car.car");
    let (store, imported, _) = import(&bytes);
    let mut again = Vec::new();
    let options = car::ExportOptions::default();
    car::export(&Local(&store), &imported.roots[0], &options, &mut |piece| {
        again.extend(piece);
        Ok::<_, store::dag::SourceError>(())
    })
    .unwrap();
    assert_eq!(again, bytes);
}
