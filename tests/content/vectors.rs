//! Kubo's CIDs (tests/fixtures) by the library, from trees on disk, and the trees again from the CIDs.

#[path = "../vectors/cases.rs"]
mod cases;

use std::path::Path;

use store::Cid;
use store::blockstore::{Blockstore, MemoryStore};
use store::cid::Version;
use store::dag::SourceError;
use store::dag::source::Local;
use store::extract::Extractor;
use store::unixfs::Entry;
use store::unixfs::data::Mtime;
use store::unixfs::export::export;
use store::unixfs::hamt::Fanout;
use store::unixfs::import::{ImportOptions, import};
use store::unixfs::profile::{FileLayout, Profile};
use store::unixfs::source::{self, SourceOptions, walk};
use tempfile::TempDir;

use self::cases::{Case, cases};

#[test]
fn the_library_gives_kubos_cids_and_the_inputs_back() {
    let mut wrong = Vec::new();
    for case in cases() {
        let place = place(&case);
        let input = case.make(place.path());
        let (options, source) = options(&case);
        let store = MemoryStore::default();
        let cid = only(
            Some(&store),
            &options,
            walk(std::slice::from_ref(&input), &source),
        );
        if cid.to_string() != case.cid {
            wrong.push(format!("{}: {cid} instead of {}", case.name, case.cid));
            continue;
        }
        let output = place.path().join("output");
        get(&store, &cid, &output);
        if let Some(difference) = case.difference(&input, &output) {
            wrong.push(format!("{}: {difference}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A directory for a case: in memory where there is such a thing and the case is small. Hundreds of
/// thousands of small files go through it, and each tree is synced.
fn place(case: &Case) -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && case.size() <= 64 << 20 {
        return TempDir::with_prefix_in("vectors", memory).unwrap();
    }
    TempDir::with_prefix("vectors").unwrap()
}

/// What the case's arguments say.
fn options(case: &Case) -> (ImportOptions, SourceOptions) {
    let mut profile: Profile = case.profile().parse().unwrap();
    let mut source = SourceOptions::default();
    let (mut wrap, mut empty_dirs) = (false, true);
    let described = &mut source.described.given;
    for arg in &case.args {
        match arg.split_once('=').unwrap_or((arg, "true")) {
            ("--wrap-with-directory", on) => wrap = on.parse().unwrap(),
            ("--empty-dirs", on) => empty_dirs = on.parse().unwrap(),
            ("--hidden", on) => source.hidden = on.parse().unwrap(),
            ("--dereference-symlinks", on) => source.dereference_symlinks = on.parse().unwrap(),
            ("--mode", mode) => described.mode = Some(u32::from_str_radix(mode, 8).unwrap()),
            ("--mtime", seconds) => {
                described.mtime = Some(Mtime::new(seconds.parse().unwrap(), 0));
            }
            ("--mtime-nsecs", nanos) => {
                described.mtime.as_mut().unwrap().nanos = Some(nanos.parse().unwrap());
            }
            (flag, value) => shape(&mut profile, flag, value),
        }
    }
    let options = ImportOptions {
        profile,
        wrap,
        empty_dirs,
        ..ImportOptions::default()
    };
    (options, source)
}

fn shape(profile: &mut Profile, flag: &str, value: &str) {
    match flag {
        "--chunker" => profile.chunker = value.parse().unwrap(),
        "--trickle" => profile.file_layout = FileLayout::Trickle,
        "--raw-leaves" => profile.raw_leaves = value.parse().unwrap(),
        "--cid-version" => profile.form.version = Version::try_from(number(value)).unwrap(),
        "--hash" => profile.form.hash = value.parse().unwrap(),
        "--inline" => profile.form.inline = Some(32),
        "--inline-limit" => profile.form.inline = Some(value.parse().unwrap()),
        "--max-file-links" => profile.file_links = value.parse().unwrap(),
        "--max-directory-links" => profile.directory_links = Some(value.parse().unwrap()),
        "--max-hamt-fanout" => profile.hamt_fanout = Fanout::new(number(value)).unwrap(),
        other => panic!("a flag `{other}`"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

/// The CID of one file.
pub(crate) fn hash(options: &ImportOptions, name: &str, content: impl std::io::Read + Send) -> Cid {
    only(None, options, [Ok(Entry::file(name, content))].into_iter())
}

/// The CID of the one thing that `entries` are.
pub(crate) fn only<R: std::io::Read + Send>(
    store: Option<&dyn Blockstore>,
    options: &ImportOptions,
    entries: impl Iterator<Item = Result<Entry<R>, source::SourceError>> + Send,
) -> Cid {
    let added = import(store, options, entries, &|_| {}).unwrap();
    assert_eq!(added.len(), 1);
    added[0].cid
}

fn get(store: &dyn Blockstore, cid: &Cid, output: &Path) {
    let mut extractor = Extractor::new(output, false).unwrap();
    export(&Local(store), cid, &mut |piece| {
        extractor.accept(piece).unwrap();
        Ok::<_, SourceError>(())
    })
    .unwrap();
    extractor.finish().unwrap();
}
