//! What is known, and for how long.

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::blockstore::{Blockstore, StoreOptions, Write};
use crate::unixfs::data::Mtime;
use crate::unixfs::origin::Identity;

const TODAY: i64 = 20_000 * DAY;

fn store() -> (TempDir, Arc<RocksStore>) {
    let dir = TempDir::new().unwrap();
    let store = RocksStore::open(&dir.path().join("db"), StoreOptions::default()).unwrap();
    (dir, Arc::new(store))
}

fn adds(store: &Arc<RocksStore>, now: i64) -> Adds {
    let shape = Shape::of(&"shape").unwrap();
    Adds::new(Arc::clone(store), shape, now)
}

fn origin(path: &str, ctime: i64) -> Origin {
    Origin {
        path: path.into(),
        identity: Identity {
            device: 1,
            inode: 2,
            size: 3,
            mtime: 4,
            ctime,
        },
    }
}

fn put(store: &RocksStore, bytes: &'static str) -> Part {
    let block = Block::hash(Version::V1, Codec::Raw, Bytes::from(bytes)).unwrap();
    let part = Part {
        cid: *block.cid(),
        tsize: bytes.len() as u64,
        size: bytes.len() as u64,
    };
    store.put_many(&[block], Write::Logged).unwrap();
    part
}

fn file(origin: &Origin, root: Part) -> import::File {
    import::File {
        origin: origin.clone(),
        metadata: Metadata::NONE,
        root,
        is_one_block: true,
    }
}

fn known(adds: &Adds, origin: &Origin, metadata: Metadata) -> Option<Part> {
    let lease = adds.store.lease();
    let wanted = Wanted { origin, metadata };
    let other = super::tests::origin("/not/added", 1);
    let nobody = Wanted {
        origin: &other,
        metadata,
    };
    let found = adds.known(&[nobody, wanted], &lease).unwrap();
    assert_eq!(found[0], None);
    found[1]
}

#[test]
fn an_unchanged_file_is_known_while_its_block_is_there() {
    let (_dir, store) = store();
    let adds = adds(&store, TODAY);
    let (file_a, root) = (origin("/a", 5), put(&store, "abc"));
    adds.write(&adds.complete(&file(&file_a, root)).unwrap())
        .unwrap();
    assert_eq!(known(&adds, &file_a, Metadata::NONE), Some(root));
    // Changed, asked to say something else, made another way.
    assert_eq!(known(&adds, &origin("/a", 6), Metadata::NONE), None);
    let metadata = Metadata {
        mode: None,
        mtime: Some(Mtime::new(1, 0)),
    };
    assert_eq!(known(&adds, &file_a, metadata), None);
    let other = Adds::new(Arc::clone(&store), Shape::of(&"other").unwrap(), TODAY);
    assert_eq!(known(&other, &file_a, Metadata::NONE), None);
    store.delete_many(&[root.cid]).unwrap();
    assert_eq!(known(&adds, &file_a, Metadata::NONE), None);
}

#[test]
fn a_file_of_many_blocks_is_known_while_it_is_whole() {
    let (_dir, store) = store();
    let adds = adds(&store, TODAY);
    let noise: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
    let options = import::ImportOptions {
        profile: crate::unixfs::profile::Profile {
            chunker: crate::chunk::Chunker::fixed(1000).unwrap(),
            file_links: 3,
            ..crate::unixfs::profile::Profile::default()
        },
        ..import::ImportOptions::default()
    };
    let entry = Ok(crate::unixfs::Entry::file("f", noise.as_slice()));
    let added = import::import(Some(&*store), &options, [entry].into_iter(), &|_| ()).unwrap();
    let root = Part {
        cid: added[0].cid,
        tsize: 20_500,
        size: 20_000,
    };
    let place = origin("/large", 5);
    let row = import::File {
        is_one_block: false,
        ..file(&place, root)
    };
    adds.write(&adds.complete(&row).unwrap()).unwrap();
    assert_eq!(known(&adds, &place, Metadata::NONE), Some(root));
    let leaf = Block::hash(
        Version::V1,
        Codec::Raw,
        Bytes::copy_from_slice(&noise[7000..8000]),
    );
    store.delete_many(&[*leaf.unwrap().cid()]).unwrap();
    assert_eq!(known(&adds, &place, Metadata::NONE), None);
}

#[test]
fn parts_of_a_file_are_found_as_far_as_they_are_whole_and_its_own() {
    let (_dir, store) = store();
    let adds = adds(&store, TODAY);
    let place = origin("/large", 5);
    let leaves = ["a", "b", "c", "d"].map(|text| put(&store, text));
    for before in [0_usize, 2] {
        let begun = import::Begun {
            origin: &place,
            before: before as u64,
            leaves: &leaves[before..][..2],
        };
        adds.write(&[adds.part(begun)]).unwrap();
    }
    assert_eq!(adds.begun(&place).unwrap(), leaves);
    assert_eq!(adds.begun(&origin("/large", 6)).unwrap(), []);
    assert_eq!(adds.begun(&origin("/larg", 5)).unwrap(), []);
    store.delete_many(&[leaves[2].cid]).unwrap();
    assert_eq!(adds.begun(&place).unwrap(), leaves[..2]);
    let whole = import::File {
        is_one_block: false,
        ..file(&place, leaves[0])
    };
    adds.write(&adds.complete(&whole).unwrap()).unwrap();
    assert_eq!(adds.begun(&place).unwrap(), []);
}

#[test]
fn what_nobody_uses_is_forgotten_and_what_is_used_is_not() {
    let (_dir, store) = store();
    let first = adds(&store, TODAY);
    let root = put(&store, "abc");
    for path in ["/used", "/vanished"] {
        let place = origin(path, 5);
        let row = first.complete(&file(&place, root)).unwrap();
        first.write(&row).unwrap();
    }
    assert_eq!(first.prune().unwrap(), 0);
    let later = adds(&store, TODAY + 29 * DAY);
    assert_eq!(
        known(&later, &origin("/used", 5), Metadata::NONE),
        Some(root)
    );
    assert_eq!(later.prune().unwrap(), 0);
    let day_after = adds(&store, TODAY + 30 * DAY);
    assert_eq!(day_after.prune().unwrap(), 0, "looked at yesterday");
    let last = adds(&store, TODAY + 36 * DAY);
    assert_eq!(last.prune().unwrap(), 1);
    assert_eq!(known(&last, &origin("/vanished", 5), Metadata::NONE), None);
    assert_eq!(
        known(&last, &origin("/used", 5), Metadata::NONE),
        Some(root)
    );
}
