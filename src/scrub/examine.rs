//! What is wrong with blocks that were read.

use bytes::Bytes;

use super::{Examined, Finding, Kind, finding};
use crate::block::Block;
use crate::blockstore::rows::{Held, Row, Told};
use crate::blockstore::schema::{self, Children, Entry};
use crate::blockstore::{Blockstore, RocksStore, StoreError};
use crate::cid::{Codec, Key};

/// Blocks that are hashed together.
const LANES: usize = 16;

/// Looks at `rows`, marks what is rotten, and takes the mark away where it is no longer.
pub(super) fn examine(store: &RocksStore, rows: Vec<Row>) -> Result<Examined, StoreError> {
    let mut examined = Examined::default();
    let (mut bad, mut sound) = (Vec::new(), Vec::new());
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some: Vec<Row> = rows.by_ref().take(LANES).collect();
        let hashes = hashes(&some);
        for (row, right) in some.into_iter().zip(hashes) {
            let (key, finding) = (row.key.clone(), look(store, row, right, &mut examined)?);
            match finding {
                Verdict::Sound => {}
                Verdict::SoundAgain => sound.extend(Key::from_bytes(&key)),
                // A second look: what could be read this time was a failure on the way.
                Verdict::Rotten(_) if is_right(store, &key) => sound.extend(Key::from_bytes(&key)),
                Verdict::Rotten(finding) => {
                    bad.extend(Key::from_bytes(&key));
                    examined.findings.push(finding);
                }
                Verdict::Wrong(finding) => examined.findings.push(finding),
            }
        }
    }
    if !bad.is_empty() {
        store.mark_rotten(&bad)?;
    }
    if !sound.is_empty() {
        store.unmark_rotten(&sound)?;
    }
    Ok(examined)
}

enum Verdict {
    Sound,
    /// And marked as rotten.
    SoundAgain,
    /// Its bytes are not to be had.
    Rotten(Finding),
    /// Something else.
    Wrong(Finding),
}

fn look(
    store: &RocksStore,
    row: Row,
    right: bool,
    examined: &mut Examined,
) -> Result<Verdict, StoreError> {
    let Row { key, told, held } = row;
    if let Held::Bytes(data) = &held {
        examined.bytes += data.len() as u64;
    }
    examined.blocks += 1;
    let wrong = |kind, reason: String| Ok(Verdict::Wrong(Finding::of(kind, &key, reason)));
    let entry = match (told, &held) {
        (Told::Entry(entry), _) => entry,
        (Told::Nothing, Held::Nothing) => {
            return wrong(Kind::Missing, "it is not here".into());
        }
        (Told::Nothing, Held::Bytes(data)) => {
            let what = if right { "bytes" } else { "rotten bytes" };
            let reason = format!("{} {what} that the index does not know", data.len());
            return wrong(Kind::Orphan, reason);
        }
        (Told::Nothing, Held::Unreadable(reason)) => {
            let reason = format!("the index does not know it, and it cannot be read: {reason}");
            return wrong(Kind::Orphan, reason);
        }
        (Told::Unreadable(reason), _) => {
            return wrong(Kind::Links, format!("its index entry: {reason}"));
        }
    };
    let rotten = |reason: String| Ok(Verdict::Rotten(Finding::of(Kind::Rot, &key, reason)));
    match held {
        Held::Bytes(_) if !right => rotten("its bytes do not hash to its name".into()),
        Held::Bytes(data) if entry.stored => sound(store, &key, entry, &data),
        Held::Unreadable(reason) => rotten(reason),
        _ if entry.stored => Ok(Verdict::Rotten(Finding::of(
            Kind::Dangling,
            &key,
            "it has an index entry and no bytes",
        ))),
        _ if entry.referenced => match elsewhere(store, &key) {
            Ok(size) => {
                examined.bytes += size;
                Ok(if entry.rotten {
                    Verdict::SoundAgain
                } else {
                    Verdict::Sound
                })
            }
            Err(reason) => rotten(reason),
        },
        _ => wrong(Kind::Dangling, "an index entry of nothing".into()),
    }
}

/// Of a block whose bytes are right: whether the rest is.
fn sound(
    store: &RocksStore,
    key: &[u8],
    entry: Entry,
    data: &Bytes,
) -> Result<Verdict, StoreError> {
    let wrong = |reason: String| Ok(Verdict::Wrong(Finding::of(Kind::Links, key, reason)));
    if u64::from(entry.size) != data.len() as u64 {
        return wrong(format!(
            "its size is {}, and its index entry says {}",
            data.len(),
            entry.size
        ));
    }
    let (children, links) = schema::children(data);
    // One that came by a raw CID in format 1 was never decoded.
    let undecided = entry.children == Children::Undecided;
    if children != entry.children && !undecided {
        return wrong("its index entry is wrong about its links".into());
    }
    if entry.children == Children::Stored {
        match store.table_get(schema::LINKS, key) {
            Ok(Some(stored)) if stored == schema::encode_links(&links) => {}
            Ok(Some(_)) => return wrong("its links are not those of its bytes".into()),
            Ok(None) => return wrong("its links are lost".into()),
            Err(error) => return wrong(format!("its links cannot be read: {error}")),
        }
    }
    Ok(if entry.rotten {
        Verdict::SoundAgain
    } else {
        Verdict::Sound
    })
}

/// Reads a block that is not stored, as everybody does, and checks it; how large it is.
fn elsewhere(store: &RocksStore, key: &[u8]) -> Result<u64, String> {
    let cid = Key::from_bytes(key).and_then(|key| finding::cid_of(&key, Codec::Raw));
    let cid = cid.ok_or("its name is no hash")?;
    let data = store.get(&cid).map_err(|error| error.to_string())?;
    let data = data.ok_or("it cannot be read from the file it is in")?;
    let size = data.len() as u64;
    Block::verify(cid, data).map_err(|error| error.to_string())?;
    Ok(size)
}

/// Whether the bytes of each row are those that its key names; so they count where there are none.
fn hashes(rows: &[Row]) -> Vec<bool> {
    let mut items = Vec::with_capacity(rows.len());
    let mut right = vec![true; rows.len()];
    let mut places = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let Held::Bytes(data) = &row.held else {
            continue;
        };
        match Key::from_bytes(&row.key).and_then(|key: Key| finding::cid_of(&key, Codec::Raw)) {
            Some(cid) => {
                items.push((cid, data.clone()));
                places.push(place);
            }
            None => right[place] = false,
        }
    }
    for (place, block) in places.into_iter().zip(Block::verify_many(items)) {
        right[place] = block.is_ok();
    }
    right
}

fn is_right(store: &RocksStore, key: &[u8]) -> bool {
    let rows = store.rows_of(&[key.to_vec()]);
    matches!(rows[0].held, Held::Bytes(_)) && hashes(&rows)[0]
}
