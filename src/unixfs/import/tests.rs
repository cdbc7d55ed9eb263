//! What ends an import, and what it keeps to. That its CIDs are right is shown in tests/content.

use std::io::Cursor;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::block::Block;
use crate::blockstore::{Indexed, MemoryStore, Put, StoreError, Write};
use crate::chunk::Chunker;
use crate::dag::Link;

type Source = Result<Entry<Box<dyn Read + Send>>, SourceError>;

#[expect(clippy::unnecessary_wraps, reason = "a list of them has errors, too")]
fn file(name: &str, content: impl Read + Send + 'static) -> Source {
    Ok(Entry::file(name, Box::new(content)))
}

#[expect(clippy::unnecessary_wraps, reason = "a list of them has errors, too")]
fn dir(name: &str) -> Source {
    Ok(Entry::dir(name))
}

fn run(options: &ImportOptions, entries: Vec<Source>) -> Result<Vec<Added>, ImportError> {
    import(
        Some(&MemoryStore::default()),
        options,
        entries.into_iter(),
        &|_| {},
    )
}

/// A disk that breaks after some bytes.
struct Broken(u64);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("broken"));
        }
        let length = io::repeat(7).take(self.0).read(buf)?;
        self.0 -= length as u64;
        Ok(length)
    }
}

#[test]
fn a_read_error_in_the_middle_of_a_file_names_it() {
    for size in [0, 1, 5 << 20, 100 << 20] {
        let entries = vec![
            dir("top"),
            dir("sub"),
            file("bad", Broken(size)),
            Ok(Entry::End),
        ];
        let error = run(&ImportOptions::default(), entries).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `top/sub/bad`: broken");
    }
}

#[test]
fn a_source_that_fails_ends_the_import() {
    let endless = (0_u64..).map(|i| match i {
        2000 => Err(SourceError::Cancelled),
        2001.. => panic!("nobody asks after an error"),
        i => file(&i.to_string(), Cursor::new(vec![0; 10_000])),
    });
    let error = import(None, &ImportOptions::default(), endless, &|_| {}).unwrap_err();
    assert!(
        matches!(error, ImportError::Source(SourceError::Cancelled)),
        "{error}"
    );
}

#[test]
fn entries_that_make_no_tree_are_refused() {
    let options = ImportOptions::default();
    let unbalanced = |entries| matches!(run(&options, entries), Err(ImportError::Unbalanced));
    assert!(unbalanced(vec![dir("a")]));
    assert!(unbalanced(vec![Ok(Entry::End)]));
    assert!(unbalanced(vec![dir("a"), Ok(Entry::End), Ok(Entry::End)]));
    for name in ["..", "", "a/b"] {
        let entries = vec![dir("a"), file(name, io::empty()), Ok(Entry::End)];
        assert!(
            matches!(run(&options, entries), Err(ImportError::Name(_))),
            "{name}"
        );
    }
    let deep = run(&options, (0..=MAX_DIRS).map(|_| dir("d")).collect());
    assert!(matches!(deep, Err(ImportError::TooDeep)));
    let twice = vec![
        dir("a"),
        file("x", io::empty()),
        file("x", io::empty()),
        Ok(Entry::End),
    ];
    let error = run(&options, twice).unwrap_err();
    assert_eq!(error.to_string(), "two entries are named `a/x`");
    assert_eq!(run(&options, Vec::new()).unwrap(), []);
}

#[test]
fn sizes_and_kinds_are_told() {
    let options = ImportOptions {
        wrap: true,
        ..ImportOptions::default()
    };
    let entries = || {
        let link = Ok(Entry::symlink("link", "elsewhere"));
        vec![
            dir("a"),
            file("x", Cursor::new("hello")),
            link,
            Ok(Entry::End),
        ]
    };
    let seen = Mutex::new(Progress::default());
    let report = |progress| *seen.lock().unwrap() = progress;
    let added = import(None, &options, entries().into_iter(), &report).unwrap();
    assert_eq!(added.len(), 1);
    assert_eq!((added[0].size, added[0].kind), (5, Kind::Directory));
    assert_eq!(added[0].name, Name::default());
    assert_eq!(*seen.lock().unwrap(), Progress { bytes: 5, files: 1 });
}

#[test]
fn an_empty_directory_is_left_out_when_asked_but_never_at_the_top() {
    let entries = || {
        vec![
            dir("a"),
            dir("b"),
            dir("c"),
            Ok(Entry::End),
            Ok(Entry::End),
            Ok(Entry::End),
        ]
    };
    let options = ImportOptions {
        empty_dirs: false,
        ..ImportOptions::default()
    };
    // Of a/b/c only c is empty: b's entry was left out.
    let without = run(&options, entries()).unwrap();
    let b = vec![dir("a"), dir("b"), Ok(Entry::End), Ok(Entry::End)];
    assert_eq!(without, run(&ImportOptions::default(), b).unwrap());
    let top = vec![dir("a"), Ok(Entry::End)];
    assert_eq!(
        run(&options, top).unwrap()[0].cid.to_string(),
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    );
}

/// A store that watches what it is given, or is full.
#[derive(Default)]
struct Watching {
    inner: MemoryStore,
    read: AtomicU64,
    put: AtomicU64,
    most_in_flight: AtomicU64,
    writes: Mutex<Vec<Write>>,
    full_at: Option<u64>,
}

impl Blockstore for Watching {
    fn get_many(&self, cids: &[Cid]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.get_many(cids)
    }
    fn sizes(&self, cids: &[Cid]) -> Result<Vec<Option<u32>>, StoreError> {
        self.inner.sizes(cids)
    }
    fn links(&self, cid: &Cid) -> Result<Option<Vec<Link>>, StoreError> {
        self.inner.links(cid)
    }
    fn put_many(&self, blocks: &[Block], write: Write) -> Result<Put, StoreError> {
        let bytes: u64 = blocks.iter().map(|block| block.data().len() as u64).sum();
        let put = self.put.load(Ordering::SeqCst);
        if self.full_at.is_some_and(|full| put >= full) {
            return Err(StoreError::Full {
                reason: "no space".into(),
            });
        }
        let in_flight = self.read.load(Ordering::SeqCst).saturating_sub(put);
        self.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        self.put.fetch_add(bytes, Ordering::SeqCst);
        self.writes.lock().unwrap().push(write);
        Ok(Put {
            blocks: blocks.len() as u64,
            bytes,
        })
    }
    fn delete_many(&self, cids: &[Cid]) -> Result<(), StoreError> {
        self.inner.delete_many(cids)
    }
    fn commit(&self) -> Result<(), StoreError> {
        self.inner.commit()
    }
    fn removals(&self) -> u64 {
        self.inner.removals()
    }
    fn for_each(&self, each: &mut dyn FnMut(Indexed) -> bool) -> Result<(), StoreError> {
        self.inner.for_each(each)
    }
}

/// Counts what was read of it.
struct Counted<'a>(io::Take<io::Repeat>, &'a AtomicU64);

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buf)?;
        self.1.fetch_add(length as u64, Ordering::SeqCst);
        Ok(length)
    }
}

#[test]
fn memory_is_bounded_and_a_large_import_goes_past_the_log() {
    let store = Watching::default();
    let options = ImportOptions {
        memory: 24 << 20,
        ..ImportOptions::default()
    };
    let content = Counted(io::repeat(1).take(200 << 20), &store.read);
    let entry = Ok(Entry::file("large", content));
    import(Some(&store), &options, [entry].into_iter(), &|_| {}).unwrap();
    let most = store.most_in_flight.load(Ordering::SeqCst);
    assert!(most <= options.memory as u64, "{most} bytes in flight");
    let writes = store.writes.lock().unwrap();
    let logged = writes
        .iter()
        .filter(|&&write| write == Write::Logged)
        .count();
    assert_eq!(logged, 8, "32 MiB in batches of 4");
    assert!(writes[logged..].iter().all(|&write| write == Write::Bulk));
}

#[test]
fn a_full_disk_stops_the_reader() {
    let store = Watching {
        full_at: Some(20 << 20),
        ..Watching::default()
    };
    let content = Counted(io::repeat(1).take(u64::MAX), &store.read);
    let entry = Ok(Entry::file("endless", content));
    let error = import(
        Some(&store),
        &ImportOptions::default(),
        [entry].into_iter(),
        &|_| {},
    );
    let error = error.unwrap_err();
    let full = matches!(
        error,
        ImportError::Build(BuildError::Store(StoreError::Full { .. }))
    );
    assert!(full, "{error}");
}

#[test]
fn memory_is_divided_into_batches_within_it() {
    for memory in [0, 5 << 20, 16 << 20, 64 << 20, 1 << 30] {
        for workers in [1, 2, 8, 64] {
            let options = ImportOptions {
                memory,
                ..ImportOptions::default()
            };
            let plan = Plan::new(&options, workers);
            assert!(plan.batch >= 1 << 20 && plan.batches >= 2, "{plan:?}");
            let all = plan.batch * plan.batches;
            assert!(
                all <= memory.saturating_sub(WRITE_BATCH).max(2 << 20),
                "{memory} {plan:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Neither memory nor the company of other files changes a CID.
    #[test]
    fn how_it_is_batched_does_not_matter(
        sizes in prop::collection::vec(0_usize..3000, 1..40),
        chunk in 1_u64..600,
        memory in 0_usize..6 << 20,
    ) {
        let profile = Profile {
            chunker: Chunker::fixed(chunk).unwrap(),
            file_links: 5,
            ..Profile::V0_2015
        };
        let options = ImportOptions { profile, memory, ..ImportOptions::default() };
        let entries = |i: usize| file(&i.to_string(), Cursor::new(vec![7; sizes[i]]));
        let together = run(&options, (0..sizes.len()).map(entries).collect()).unwrap();
        for (i, added) in together.iter().enumerate() {
            let alone = run(&ImportOptions { memory: 0, ..options.clone() }, vec![entries(i)]);
            prop_assert_eq!(&alone.unwrap()[0], added);
        }
    }
}
