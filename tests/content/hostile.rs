//! Trees that nobody honest makes: each ends in an error or harmlessly, in bounded time and memory.

use std::fs;

use proptest::prelude::*;
use store::cid::{Cid, Codec};
use store::dag::path::{ResolveError, Target, resolve};
use store::dag::{DagError, SourceError, Walk, walk};
use store::extract::{ExtractError, Extractor};
use store::unixfs::data::{Data, Kind};
use store::unixfs::hamt;
use store::unixfs::list::{DirEntry, Entries, list};
use store::unixfs::read::{MAX_DEPTH, Range, Reader, stat};

use crate::fixture::{Dag, link, name, pieces};

fn read(dag: &Dag, root: &Cid) -> Result<u64, SourceError> {
    Reader::open(dag, root, Range::default())?
        .map(|part| Ok(part?.len() as u64))
        .sum()
}

fn assert_inconsistent<T: std::fmt::Debug>(result: Result<T, SourceError>, words: &str) {
    match result {
        Err(SourceError::Dag(DagError::Inconsistent { reason, .. })) => {
            assert!(reason.contains(words), "{reason}");
        }
        other => panic!("expected `{words}`, got {other:?}"),
    }
}

#[test]
fn sizes_that_lie_are_found_out() {
    let dag = Dag::default();
    let leaf = dag.raw("four");
    assert_inconsistent(
        read(&dag, &dag.file(b"", &[(leaf, 5)])),
        "4 bytes of the file, but its parent says 5",
    );
    assert_inconsistent(
        read(&dag, &dag.file(b"", &[(leaf, 3)])),
        "4 bytes of the file, but its parent says 3",
    );
    let inner = dag.file(b"", &[(leaf, 4)]);
    assert_inconsistent(
        read(&dag, &dag.file(b"", &[(inner, 1 << 62)])),
        "its parent says",
    );
    let sum = Data {
        filesize: Some(9),
        blocksizes: vec![4],
        ..Data::new(Kind::File)
    };
    assert_inconsistent(
        read(&dag, &dag.node(vec![link("", leaf, 4)], &sum)),
        "says that it has 9 bytes",
    );
    let count = Data {
        filesize: Some(8),
        blocksizes: vec![4, 4],
        ..Data::new(Kind::File)
    };
    assert_inconsistent(
        read(&dag, &dag.node(vec![link("", leaf, 4)], &count)),
        "1 links, but 2 sizes",
    );
}

#[test]
fn sizes_beyond_64_bits_are_refused() {
    let dag = Dag::default();
    let leaf = dag.raw("x");
    let root = dag.file(b"", &[(leaf, 1 << 63), (leaf, 1 << 63)]);
    assert_inconsistent(read(&dag, &root), "more than 64 bits");
    assert_inconsistent(stat(&dag, &root), "more than 64 bits");
    let most = dag.file(b"", &[(leaf, u64::MAX)]);
    assert_eq!(stat(&dag, &most).unwrap().size, u64::MAX);
    let tail = Range {
        offset: u64::MAX - 1,
        length: Some(u64::MAX),
    };
    let error = Reader::open(&dag, &most, tail).unwrap().next().unwrap();
    assert_inconsistent(error, "its parent says");
}

#[test]
fn a_file_without_end_is_given_up() {
    let dag = Dag::default();
    let mut file = dag.raw("x");
    for _ in 0..=MAX_DEPTH {
        file = dag.file(b"", &[(file, 1)]);
    }
    let error = read(&dag, &file).unwrap_err();
    assert!(
        matches!(error, SourceError::Dag(DagError::TooDeep { .. })),
        "{error}"
    );
}

/// Two links to the level below, 60 times: 2^60 leaves in 61 blocks.
#[test]
fn a_bomb_of_shared_children_takes_no_memory_and_no_work_ahead() {
    let dag = Dag::default();
    let (mut file, mut size) = (dag.raw("x"), 1_u64);
    for _ in 0..60 {
        file = dag.file(b"", &[(file, size), (file, size)]);
        size *= 2;
    }
    assert_eq!(
        stat(&dag, &file).unwrap().size,
        size,
        "it says at once how much would come"
    );
    let start = Range {
        offset: size / 3,
        length: Some(1000),
    };
    let bytes: usize = Reader::open(&dag, &file, start)
        .unwrap()
        .map(|part| part.unwrap().len())
        .sum();
    assert_eq!(bytes, 1000);
    let mut walk = Walk::new(file);
    let mut blocks = 0;
    while let Some(cid) = walk.want() {
        walk.supply(&store::dag::BlockSource::block(&dag, &cid).unwrap())
            .unwrap();
        blocks += 1;
    }
    assert_eq!(blocks, 61);
}

/// The same, where no leaf has a byte: there is nothing to read, so nothing is.
#[test]
fn a_bomb_of_empty_children_is_not_visited() {
    let dag = Dag::default();
    let mut file = dag.raw("");
    for _ in 0..60 {
        file = dag.file(b"", &[(file, 0), (file, 0)]);
    }
    let one = dag.file(b"", &[(file, 0), (dag.raw("x"), 1), (file, 0)]);
    dag.take_calls();
    assert_eq!(read(&dag, &one).unwrap(), 1);
    assert_eq!(dag.take_calls().len(), 2);
}

#[test]
fn many_parts_below_each_other_are_bounded() {
    let dag = Dag::default();
    let leaf = dag.raw("x");
    let wide = 40_000_u64;
    let mut children = vec![(leaf, 1); wide as usize];
    let mut size = wide;
    let mut root = dag.file(b"", &children);
    for _ in 0..8 {
        children[0] = (root, size);
        size += wide - 1;
        root = dag.file(b"", &children);
    }
    assert_inconsistent(read(&dag, &root), "wait for their turn");
}

#[test]
fn other_kinds_are_not_files_and_files_are_not_directories() {
    let dag = Dag::default();
    let dir = dag.dir(&[]);
    let symlink = dag.symlink("x");
    let kind = |result: SourceError| match result {
        SourceError::Dag(DagError::Kind {
            found, expected, ..
        }) => (found, expected),
        other => panic!("{other}"),
    };
    assert_eq!(
        kind(read(&dag, &dir).unwrap_err()),
        ("a directory", "a file")
    );
    assert_eq!(
        kind(read(&dag, &symlink).unwrap_err()),
        ("a symlink", "a file")
    );
    let below = dag.file(b"", &[(dir, 4)]);
    assert_eq!(
        kind(read(&dag, &below).unwrap_err()),
        ("a directory", "a file")
    );
    let open = |cid| Entries::open(&dag, &cid).err().unwrap();
    assert_eq!(kind(open(dag.raw("x"))), ("a file", "a directory"));
    let metadata = dag.node(Vec::new(), &Data::new(Kind::Metadata));
    assert_eq!(
        kind(pieces(&dag, &metadata).unwrap_err()).0,
        "UnixFS metadata"
    );
}

#[test]
fn names_that_come_twice_are_refused() {
    let dag = Dag::default();
    let (a, b) = (dag.raw("a"), dag.raw("b"));
    let dir = dag.dir(&[("x", a), ("y", a), ("x", b)]);
    assert_inconsistent(pieces(&dag, &dir), "two entries are called `x`");
    let target = |path: &str| Target {
        cid: dir,
        path: vec![name(path)],
    };
    assert!(resolve(&dag, &target("x")).is_err());
    assert_eq!(resolve(&dag, &target("y")).unwrap(), a);
}

#[test]
fn a_path_through_a_file_names_the_segment() {
    let dag = Dag::default();
    let dir = dag.dir(&[("file", dag.raw("x")), ("link", dag.symlink("/etc"))]);
    let walk = |path: &[&str]| {
        resolve(
            &dag,
            &Target {
                cid: dir,
                path: path.iter().map(|part| name(part)).collect(),
            },
        )
    };
    let error = walk(&["file", "below"]).unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::NotADirectory {
                found: "a file",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("`below`"));
    let error = walk(&["link", "passwd"]).unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::NotADirectory {
                found: "a symlink",
                ..
            }
        ),
        "{error}"
    );
    let error = walk(&["none"]).unwrap_err();
    assert!(error.to_string().contains("no entry `none`"), "{error}");
}

/// A shard whose children are all one empty shard, eight levels deep: 1024^6 visits, no entry.
#[test]
fn shards_without_entries_are_refused() {
    let dag = Dag::default();
    let shard = |below: Option<Cid>| {
        let full = if below.is_some() { 0xff } else { 0 };
        let data = Data {
            data: below.map(|_| vec![full; 128].into()),
            hash_type: Some(hamt::MURMUR3),
            fanout: Some(1024),
            ..Data::new(Kind::HamtShard)
        };
        let links = below
            .into_iter()
            .flat_map(|cid| (0..1024).map(move |index| link(&format!("{index:03X}"), cid, 1)));
        dag.node(links.collect(), &data)
    };
    let mut root = shard(None);
    assert_eq!(
        pieces(&dag, &root).unwrap().len(),
        2,
        "an empty directory may be a shard"
    );
    for _ in 0..5 {
        root = shard(Some(root));
    }
    assert_inconsistent(pieces(&dag, &root), "a shard without entries");
}

#[test]
fn directories_without_end_are_given_up() {
    let dag = Dag::default();
    let mut dir = dag.dir(&[]);
    for _ in 0..=store::extract::MAX_DEPTH {
        dir = dag.dir(&[("d", dir)]);
    }
    let error = pieces(&dag, &dir).unwrap_err();
    assert!(
        matches!(error, SourceError::Dag(DagError::TooDeep { .. })),
        "{error}"
    );
}

#[derive(Debug)]
enum Failure {
    Source(SourceError),
    Extract(ExtractError),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

fn get(dag: &Dag, root: &Cid, out: &std::path::Path, force: bool) -> Result<(), Failure> {
    let mut extractor = Extractor::new(out, force).map_err(Failure::Extract)?;
    store::unixfs::export::export(dag, root, &mut |piece| {
        extractor.accept(piece).map_err(Failure::Extract)
    })?;
    extractor.finish().map_err(Failure::Extract)
}

#[test]
fn a_hostile_tree_writes_nothing_outside_the_target() {
    let dag = Dag::default();
    let evil = dag.raw("evil");
    let inside = dag.dir(&[("victim", evil)]);
    let yard = tempfile::tempdir().unwrap();
    let victim = yard.path().join("victim");
    let absolute = yard.path().to_str().unwrap().to_owned();
    let up = dag.symlink("..");
    let trees = [
        dag.dir(&[("..", inside)]),
        dag.dir(&[("../victim", evil)]),
        dag.dir(&[(victim.to_str().unwrap(), evil)]),
        dag.dir(&[(".", inside)]),
        dag.dir(&[("", evil)]),
        dag.dir(&[("a\0b", evil)]),
        dag.dir(&[("up", up), ("up", inside)]),
        dag.dir(&[("out", dag.symlink(&absolute)), ("out", inside)]),
        dag.dir(&[("f", dag.symlink("../victim")), ("f", evil)]),
        dag.dir(&[("up", up), ("up/victim", evil)]),
    ];
    for tree in trees {
        fs::write(&victim, "precious").unwrap();
        let out = yard.path().join("out");
        let error = get(&dag, &tree, &out, false).unwrap_err();
        let by_name = matches!(&error, Failure::Extract(ExtractError::Name { .. }));
        let twice = matches!(
            &error,
            Failure::Source(SourceError::Dag(DagError::Inconsistent { .. }))
        );
        assert!(by_name || twice, "{error:?}");
        assert!(!out.exists());
        fs::create_dir(&out).unwrap();
        assert!(get(&dag, &tree, &out, true).is_err());
        fs::remove_dir_all(&out).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let left: Vec<_> = fs::read_dir(yard.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["victim"]);
    }
}

#[test]
fn a_tree_with_a_block_missing_leaves_nothing_behind() {
    let dag = Dag::default();
    let elsewhere = Dag::default();
    let dir = dag.dir(&[("a", dag.raw("a")), ("b", elsewhere.raw("never here"))]);
    let yard = tempfile::tempdir().unwrap();
    let error = get(&dag, &dir, &yard.path().join("out"), false).unwrap_err();
    assert!(
        matches!(error, Failure::Source(SourceError::NotFound { .. })),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(yard.path()).unwrap().count(), 0);
    assert_eq!(
        walk::missing(&dag.store, &dir, 9).unwrap(),
        [elsewhere.raw("never here")]
    );
    assert_eq!(
        walk::missing(&dag.store, &dag.dir(&[("a", dag.raw("a"))]), 9).unwrap(),
        []
    );
}

/// Each way to read a block, whatever is in it.
fn read_in_every_way(dag: &Dag, root: Cid) {
    let _ = read(dag, &root);
    let _ = stat(dag, &root);
    let _ = pieces(dag, &root);
    let _ = list(dag, &root, &mut |_: DirEntry| Ok::<_, SourceError>(()));
    let _ = resolve(
        dag,
        &Target {
            cid: root,
            path: vec![name("a"), name("b")],
        },
    );
    let _ = walk::missing(&dag.store, &root, 10);
}

fn any_data() -> impl Strategy<Value = Data> {
    let kinds = [
        Kind::Raw,
        Kind::Directory,
        Kind::File,
        Kind::Metadata,
        Kind::Symlink,
        Kind::HamtShard,
    ];
    let number = || prop::option::of(prop_oneof![0_u64..9, Just(256), Just(0x22), any::<u64>()]);
    let bytes = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let sizes = prop::collection::vec(prop_oneof![0_u64..9, any::<u64>()], 0..4);
    (
        prop::sample::select(kinds.to_vec()),
        bytes,
        number(),
        sizes,
        number(),
        number(),
    )
        .prop_map(
            |(kind, data, filesize, blocksizes, hash_type, fanout)| Data {
                data: data.map(Into::into),
                filesize,
                blocksizes,
                hash_type,
                fanout,
                ..Data::new(kind)
            },
        )
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let dag = Dag::default();
        read_in_every_way(&dag, dag.put(Codec::DagPb, bytes));
    }

    /// Well-formed nodes with arbitrary contents, linked to each other.
    #[test]
    fn random_nodes_never_panic(
        nodes in prop::collection::vec((any_data(), prop::collection::vec((any::<u8>(), "[ab0-9A-F]{0,3}"), 0..5)), 1..8),
    ) {
        let dag = Dag::default();
        let mut made = vec![dag.raw("leaf"), dag.leaf(b"leaf")];
        for (data, links) in nodes {
            let links = links
                .iter()
                .map(|(at, name)| link(name, made[usize::from(*at) % made.len()], 4))
                .collect();
            made.push(dag.node(links, &data));
        }
        read_in_every_way(&dag, made[made.len() - 1]);
    }
}
