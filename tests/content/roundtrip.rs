//! What was added comes back the same: names, bytes, symlinks and empty directories.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use store::blockstore::Blockstore;
use store::chunk::{Bounds, Chunker};
use store::cid::{Cid, Form, Hash, Version, identity_data};
use store::dag::path::{Target, resolve};
use store::dag::{Walk, walk};
use store::extract::Extractor;
use store::unixfs::data::Kind;
use store::unixfs::hamt::Fanout;
use store::unixfs::import::{ImportOptions, import};
use store::unixfs::list::Entries;
use store::unixfs::profile::{Estimate, FileLayout, Profile};
use store::unixfs::read::{Range, Reader, Stat, stat};
use store::unixfs::source::{self, Described, SourceOptions};
use store::unixfs::{Entry, Name};

use crate::fixture::{Dag, noise};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tree {
    File(Vec<u8>),
    Symlink(Name),
    Dir(BTreeMap<Name, Tree>),
}

fn any_name() -> impl Strategy<Value = Name> {
    let odd = prop::collection::vec(
        any::<u8>().prop_filter("in a path", |b| !b"/\0".contains(b)),
        1..20,
    );
    let plain = "[a-c]{1,2}|-rf|\\.hidden|ünï|%2e|a b\n";
    let bytes = prop_oneof![plain.prop_map(String::into_bytes), odd];
    bytes
        .prop_map(Name::from)
        .prop_filter("a name", |name| name.check().is_ok())
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => Just(Tree::File(Vec::new())),
        4 => (0_usize..3000, any::<u64>()).prop_map(|(size, seed)| Tree::File(noise(size, seed))),
        1 => (0_usize..3000).prop_map(|size| Tree::File(vec![0; size])),
        1 => any_name().prop_map(Tree::Symlink),
    ];
    leaf.prop_recursive(5, 60, 25, |inner| {
        prop::collection::btree_map(any_name(), inner, 0..25).prop_map(Tree::Dir)
    })
}

fn any_form() -> impl Strategy<Value = Form> {
    let hash = prop::sample::select(Hash::ALL.to_vec());
    let inline = prop::option::weighted(0.3, 0_u8..=128);
    (any::<bool>(), hash, inline).prop_map(|(v1, hash, inline)| Form {
        version: if v1 { Version::V1 } else { Version::V0 },
        hash,
        inline,
    })
}

fn any_chunker() -> impl Strategy<Value = Chunker> {
    let fixed = prop_oneof![1_u64..40, 40_u64..4000];
    prop_oneof![
        4 => fixed.prop_map(|size| Chunker::fixed(size).unwrap()),
        2 => (16_u64..500).prop_map(|min| Chunker::Rabin(Bounds::new(min, min * 2, min * 4).unwrap())),
        1 => Just(Chunker::Buzhash),
    ]
}

/// Any of the choices that shape CIDs, all at small sizes.
fn any_profile() -> impl Strategy<Value = Profile> {
    let threshold = prop_oneof![Just(100), Just(400), Just(1 << 18)];
    let directory = (
        prop::sample::select(vec![8, 16, 256, 1024]),
        threshold,
        prop::option::of(0_usize..8),
        any::<bool>(),
    );
    let file = (any_chunker(), any::<[bool; 2]>(), 2_usize..40);
    (any_form(), file, directory).prop_map(|(form, file, directory)| {
        let (chunker, [raw_leaves, trickle], file_links) = file;
        let (fanout, hamt_threshold, directory_links, links) = directory;
        Profile {
            form,
            raw_leaves,
            chunker,
            file_layout: if trickle {
                FileLayout::Trickle
            } else {
                FileLayout::Balanced
            },
            file_links,
            directory_links,
            hamt_fanout: Fanout::new(fanout).unwrap(),
            hamt_threshold,
            hamt_estimate: if links {
                Estimate::Links
            } else {
                Estimate::Block
            },
        }
    })
}

/// The steps by which a tree is added.
fn entries(name: &Name, tree: &Tree, out: &mut Vec<Entry<Cursor<Vec<u8>>>>) {
    let name = name.clone();
    match tree {
        Tree::File(bytes) => out.push(Entry::file(name, Cursor::new(bytes.clone()))),
        Tree::Symlink(target) => out.push(Entry::symlink(name, target.clone())),
        Tree::Dir(children) => {
            out.push(Entry::dir(name));
            for (name, child) in children {
                entries(name, child, out);
            }
            out.push(Entry::End);
        }
    }
}

fn add(dag: &Dag, tree: &Tree, profile: Profile) -> Cid {
    let mut steps = Vec::new();
    entries(&"root".into(), tree, &mut steps);
    let options = ImportOptions {
        profile,
        ..ImportOptions::default()
    };
    let steps = steps.into_iter().map(Ok);
    let mut added = import(Some(&dag.store), &options, steps, &|_| ()).unwrap();
    assert_eq!(added.len(), 1);
    added.remove(0).cid
}

fn add_from_disk(dag: &Dag, path: &Path, profile: Profile, described: Described) -> Cid {
    let everything = SourceOptions {
        hidden: true,
        described,
        ..SourceOptions::default()
    };
    let steps = source::walk(&[path.to_owned()], &everything);
    let options = ImportOptions {
        profile,
        ..ImportOptions::default()
    };
    import(Some(&dag.store), &options, steps, &|_| ()).unwrap()[0].cid
}

fn get(dag: &Dag, root: &Cid, out: &Path) {
    let mut extractor = Extractor::new(out, false).unwrap();
    store::unixfs::export::export(dag, root, &mut |piece| {
        extractor.accept(piece).unwrap();
        Ok::<_, store::dag::SourceError>(())
    })
    .unwrap();
    extractor.finish().unwrap();
}

fn on_disk(path: &Path) -> Tree {
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_symlink() {
        return Tree::Symlink(fs::read_link(path).unwrap().into_os_string().into());
    }
    if kind.is_file() {
        return Tree::File(fs::read(path).unwrap());
    }
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    Tree::Dir(
        entries
            .map(|entry| (entry.file_name().into(), on_disk(&entry.path())))
            .collect(),
    )
}

/// Every path of the tree leads to what is there.
fn assert_reachable(dag: &Dag, target: &Target, tree: &Tree) {
    let cid = resolve(dag, target).unwrap();
    let Stat { kind, size, .. } = stat(dag, &cid).unwrap();
    match tree {
        Tree::File(bytes) => assert_eq!((kind, size), (Kind::File, bytes.len() as u64)),
        Tree::Symlink(name) => {
            assert_eq!((kind, size), (Kind::Symlink, name.as_bytes().len() as u64));
        }
        Tree::Dir(children) => {
            let mut names: Vec<Name> = Entries::open(dag, &cid)
                .unwrap()
                .map(|entry| entry.unwrap().name)
                .collect();
            names.sort();
            assert!(names.iter().eq(children.keys()));
            for (name, child) in children {
                let mut target = target.clone();
                target.path.push(name.clone());
                assert_reachable(dag, &target, child);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_comes_back_the_same(tree in any_tree(), profile in any_profile()) {
        let dag = Dag::default();
        let root = add(&dag, &tree, profile);
        let yard = tempfile::tempdir().unwrap();
        let out = yard.path().join("out");
        get(&dag, &root, &out);
        prop_assert_eq!(&on_disk(&out), &tree);
        assert_reachable(&dag, &root.into(), &tree);

        // What came back is added from the disk: the same CID.
        prop_assert_eq!(add_from_disk(&dag, &out, profile, Described::default()), root);

        // With permissions and times, which come back as well: the CID says so.
        let described = Described { preserve_mode: true, preserve_mtime: true, ..Described::default() };
        let profile = Profile { raw_leaves: false, ..profile };
        let root = add_from_disk(&dag, &out, profile, described);
        let third = yard.path().join("third");
        get(&dag, &root, &third);
        fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out)).unwrap();
        fs::rename(third, &out).unwrap();
        prop_assert_eq!(add_from_disk(&dag, &out, profile, described), root);
    }

    /// A DAG is whole, and is not when any of its blocks is gone.
    #[test]
    fn any_missing_block_is_missed(tree in any_tree(), profile in any_profile(), at: prop::sample::Index) {
        let dag = Dag::default();
        let root = add(&dag, &tree, profile);
        prop_assert_eq!(walk::missing(&dag.store, &root, 1).unwrap(), []);
        let mut walk = Walk::new(root);
        let mut all = Vec::new();
        while let Some(cid) = walk.want() {
            // Only a root is wanted though its CID carries it.
            all.extend(Some(cid).filter(|cid| identity_data(cid).is_none()));
            walk.supply_links(&cid, &dag.store.links(&cid).unwrap().unwrap()).unwrap();
        }
        prop_assert_eq!(all.len() as u64, dag.store.totals().unwrap().blocks);
        prop_assume!(!all.is_empty());
        let gone = all[at.index(all.len())];
        dag.store.delete_many(&[gone]).unwrap();
        prop_assert_eq!(walk::missing(&dag.store, &root, 9).unwrap(), [gone]);
    }

    #[test]
    fn any_range_of_an_added_file_is_right(
        size in 0_usize..20_000,
        profile in any_profile(),
        cuts in prop::collection::vec((0_usize..20_000, 0_usize..5000), 5),
    ) {
        let dag = Dag::default();
        let bytes = noise(size, 3);
        let root = add(&dag, &Tree::File(bytes.clone()), profile);
        for (offset, length) in cuts {
            let range = Range { offset: offset as u64, length: Some(length as u64) };
            let parts = Reader::open(&dag, &root, range).unwrap().map(Result::unwrap);
            let start = offset.min(size);
            prop_assert_eq!(&parts.collect::<Vec<_>>().concat(), &bytes[start..size.min(start + length)]);
        }
    }
}

fn numbered(count: usize) -> Tree {
    let file = |i: usize| {
        (
            Name::from(format!("file number {i:06}").as_str()),
            Tree::File(noise(40, i as u64 * 2)),
        )
    };
    Tree::Dir((0..count).map(file).collect())
}

#[test]
fn small_files_of_a_directory_are_fetched_together() {
    let dag = Dag::default();
    let root = add(&dag, &numbered(1000), Profile::V1_2025);
    let yard = tempfile::tempdir().unwrap();
    dag.take_calls();
    get(&dag, &root, &yard.path().join("out"));
    let calls = dag.take_calls();
    assert!(
        calls.len() <= 1 + 1000_usize.div_ceil(64),
        "{} calls",
        calls.len()
    );
}

#[test]
fn a_sharded_directory_is_listed_in_few_calls_and_searched_in_fewer() {
    let dag = Dag::default();
    let root = add(&dag, &numbered(20_000), Profile::V1_2025);
    assert_eq!(stat(&dag, &root).unwrap().kind, Kind::HamtShard);
    dag.take_calls();
    assert_eq!(Entries::open(&dag, &root).unwrap().count(), 20_000);
    let calls = dag.take_calls();
    let shards: usize = calls.iter().map(Vec::len).sum();
    assert!(
        shards > 256 && calls.len() < 64,
        "{shards} shards in {} calls",
        calls.len()
    );
    for i in [0, 9999, 19_999] {
        let path = vec![Name::from(format!("file number {i:06}").as_str())];
        resolve(&dag, &Target { cid: root, path }).unwrap();
        assert!(dag.take_calls().len() <= 3);
    }
}
