//! Kubo's CIDs (tests/fixtures) by the library: trees are made on disk and walked; single files, and
//! directories of thousands, are streamed.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::Cid;
use store::unixfs::Entry;
use store::unixfs::data::{Metadata, Mtime};
use store::unixfs::import::{ImportOptions, import};
use store::unixfs::profile::Profile;
use store::unixfs::source::{SourceError, SourceOptions, walk};
use tempfile::TempDir;

/// The cases that wait for flags of the next issue.
const LEFT: [&str; 15] = [
    "chunker rabin",
    "chunker rabin-min-avg-max",
    "chunker buzhash",
    "trickle",
    "trickle small chunks",
    "dag-pb leaves",
    "cid v0",
    "blake3",
    "blake2b-256",
    "sha2-512",
    "sha3-256",
    "max file links 16",
    "inline small",
    "inline limit 64",
    "HAMT fanout 16",
];

/// All but those.
const CHECKED: usize = 84;

type Content = Box<dyn Read + Send>;
type Source = Result<Entry<Content>, SourceError>;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    profile: String,
    args: Vec<String>,
    input: Vec<Input>,
    cid: String,
}

#[derive(Deserialize)]
struct Input {
    path: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum What {
    File {
        seed: String,
        size: u64,
    },
    Dir,
    Symlink {
        target: String,
    },
    Many {
        count: u64,
        name: String,
        seed: String,
        size: u64,
    },
}

#[test]
fn the_library_gives_kubos_cids() {
    let vectors: Vectors = serde_json::from_str(include_str!("../fixtures/cids.json")).unwrap();
    let (mut checked, mut left, mut wrong) = (0, Vec::new(), Vec::new());
    for case in &vectors.cases {
        let Some((options, source)) = options(case) else {
            left.push(case.name.as_str());
            continue;
        };
        let cid = add(case, &options, source);
        if cid.to_string() != case.cid {
            wrong.push(format!("{}: {cid} instead of {}", case.name, case.cid));
        }
        checked += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(left, LEFT, "exactly these wait for the next issue");
    assert_eq!(checked, CHECKED);
    println!(
        "{checked} cases give Kubo's CID; {} left to the next issue: {left:?}",
        left.len()
    );
}

/// What the case's arguments say; `None` if one of them is not known yet.
fn options(case: &Case) -> Option<(ImportOptions, SourceOptions)> {
    // A repo without a profile gives what the old profile gives.
    let mut profile: Profile = match case.profile.as_str() {
        "default" => Profile::V0_2015,
        name => name.parse().unwrap(),
    };
    let mut source = SourceOptions::default();
    let (mut wrap, mut empty_dirs) = (false, true);
    let mut described = Metadata::NONE;
    for arg in &case.args {
        match arg.split_once('=').unwrap_or((arg, "true")) {
            ("--chunker", chunker) => profile.chunker = chunker.parse().ok()?,
            ("--wrap-with-directory", on) => wrap = on.parse().unwrap(),
            ("--empty-dirs", on) => empty_dirs = on.parse().unwrap(),
            ("--hidden", on) => source.hidden = on.parse().unwrap(),
            ("--dereference-symlinks", on) => source.dereference_symlinks = on.parse().unwrap(),
            ("--mode", mode) => {
                described.mode = Some(u32::from_str_radix(mode, 8).unwrap());
                profile.raw_leaves = false;
            }
            ("--mtime", seconds) => {
                described.mtime = Some(Mtime::new(seconds.parse().unwrap(), 0));
                profile.raw_leaves = false;
            }
            ("--mtime-nsecs", nanos) => {
                described.mtime.as_mut().unwrap().nanos = Some(nanos.parse().unwrap());
            }
            // Only where the others imply it.
            ("--raw-leaves", "false") if case.args.len() > 1 => {}
            _ => return None,
        }
    }
    source.described.given = described;
    Some((
        ImportOptions {
            profile,
            wrap,
            empty_dirs,
            ..ImportOptions::default()
        },
        source,
    ))
}

fn add(case: &Case, options: &ImportOptions, source: SourceOptions) -> Cid {
    if let [
        Input {
            path,
            what: What::File { seed, size },
        },
    ] = case.input.as_slice()
        && path.is_empty()
    {
        let file = Entry::File {
            name: "input".into(),
            metadata: source.described.of_nothing(),
            origin: None,
            content: content(seed, *size),
        };
        return only(options, [Ok(file)].into_iter());
    }
    if case
        .input
        .iter()
        .any(|item| matches!(item.what, What::Many { .. }))
    {
        return only(options, streamed(&case.input).into_iter());
    }
    let place = TempDir::with_prefix("vectors").unwrap();
    let input = place.path().join("input");
    fs::create_dir(&input).unwrap();
    for item in &case.input {
        make(&input.join(&item.path), &item.what);
    }
    only(options, walk(&[input], &source))
}

/// The CID of one file.
pub(crate) fn hash(options: &ImportOptions, name: &str, content: impl Read + Send) -> Cid {
    only(options, [Ok(Entry::file(name, content))].into_iter())
}

/// The CID of the one thing that `entries` are.
pub(crate) fn only<R: Read + Send>(
    options: &ImportOptions,
    entries: impl Iterator<Item = Result<Entry<R>, SourceError>> + Send,
) -> Cid {
    let added = import(None, options, entries, &|_| {}).unwrap();
    assert_eq!(added.len(), 1);
    added[0].cid
}

fn make(path: &Path, what: &What) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match what {
        What::File { seed, size } => {
            let mut file = fs::File::create(path).unwrap();
            io::copy(&mut content(seed, *size), &mut file).unwrap();
        }
        What::Dir => fs::create_dir_all(path).unwrap(),
        What::Symlink { target } => symlink(target, path).unwrap(),
        What::Many { .. } => panic!("never on disk"),
    }
}

/// The entries of the directory `input` that has these files.
fn streamed(items: &[Input]) -> Vec<Source> {
    let mut entries = vec![Ok(Entry::dir("input"))];
    let mut open: Vec<&str> = Vec::new();
    let mut sorted: Vec<&Input> = items.iter().collect();
    sorted.sort_unstable_by_key(|item| &item.path);
    for item in sorted {
        let file = |name: &str, seed: &str, size| Ok(Entry::file(name, content(seed, size)));
        let (dirs, name) = match &item.what {
            What::Many { .. } => (item.path.as_str(), ""),
            _ => item.path.rsplit_once('/').unwrap(),
        };
        let dirs: Vec<&str> = dirs.split('/').collect();
        let shared = open.iter().zip(&dirs).take_while(|(a, b)| a == b).count();
        entries.extend(open.drain(shared..).map(|_| Ok(Entry::End)));
        entries.extend(dirs[shared..].iter().map(|&dir| Ok(Entry::dir(dir))));
        open = dirs;
        match &item.what {
            What::File { seed, size } => entries.push(file(name, seed, *size)),
            What::Many {
                count,
                name,
                seed,
                size,
            } => entries.extend(
                (0..*count).map(|i| file(&numbered(name, i), &format!("{seed}-{i}"), *size)),
            ),
            What::Dir | What::Symlink { .. } => panic!("only with thousands of files"),
        }
    }
    entries.extend((0..=open.len()).map(|_| Ok(Entry::End)));
    entries
}

fn numbered(pattern: &str, i: u64) -> String {
    pattern
        .replace("{i:06}", &format!("{i:06}"))
        .replace("{i:05}", &format!("{i:05}"))
        .replace("{i}", &i.to_string())
}

/// What the vectors call `content(seed, size)`.
fn content(seed: &str, size: u64) -> Content {
    if seed == "zero" {
        return Box::new(io::repeat(0).take(size));
    }
    let digests = Digests {
        seed: seed.to_owned(),
        next: 0,
        digest: [0; 32],
        used: 32,
    };
    Box::new(digests.take(size))
}

/// The digests of `seed:0`, `seed:1`, …, joined.
struct Digests {
    seed: String,
    next: u64,
    digest: [u8; 32],
    used: usize,
}

impl Read for Digests {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.used == self.digest.len() {
                self.digest = Sha256::digest(format!("{}:{}", self.seed, self.next)).into();
                (self.next, self.used) = (self.next + 1, 0);
            }
            let length = (buf.len() - filled).min(self.digest.len() - self.used);
            let from = &self.digest[self.used..self.used + length];
            buf[filled..filled + length].copy_from_slice(from);
            filled += length;
            self.used += length;
        }
        Ok(filled)
    }
}
