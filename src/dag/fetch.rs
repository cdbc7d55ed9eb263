//! [`fetch`]: what every reader asks a [`BlockSource`] through.

use std::collections::HashMap;

use super::{BlockSource, DagError, SourceError};
use crate::block::Block;
use crate::cid::{self, Cid};

/// The blocks, in the order of `cids`. Asks `source` once, for each block once, and for none that
/// its CID carries; checks that it gave what it was asked for.
pub fn fetch(source: &dyn BlockSource, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
    let mut wanted = Wanted::new(cids)?;
    if !wanted.asked.is_empty() {
        wanted.came(source.blocks(&wanted.asked)?)?;
    }
    let blocks = cids.iter().map(|cid| wanted.block(cid));
    blocks
        .zip(cids)
        .map(|(block, cid)| block.ok_or_else(|| missing(cid)))
        .collect()
}

/// The first of the blocks, and as many of those right behind it as are there by then
/// ([`BlockSource::first_blocks`]); else like [`fetch`].
pub(crate) fn fetch_first(
    source: &dyn BlockSource,
    cids: &[Cid],
) -> Result<Vec<Block>, SourceError> {
    let mut wanted = Wanted::new(cids)?;
    let first_is_asked = cids.first().is_some_and(|cid| wanted.block(cid).is_none());
    if first_is_asked {
        wanted.came(source.first_blocks(&wanted.asked)?)?;
    }
    let blocks: Vec<Block> = cids.iter().map_while(|cid| wanted.block(cid)).collect();
    match cids.first() {
        Some(first) if blocks.is_empty() => Err(missing(first)),
        _ => Ok(blocks),
    }
}

/// What is asked of a source, and what it gave.
struct Wanted {
    /// Each once; none that its CID carries.
    asked: Vec<Cid>,
    found: HashMap<Cid, Option<Block>>,
}

impl Wanted {
    fn new(cids: &[Cid]) -> Result<Self, DagError> {
        let mut asked = Vec::with_capacity(cids.len());
        let mut found = HashMap::with_capacity(cids.len());
        for cid in cids {
            cid::check(cid)?;
            if found.contains_key(cid) {
                continue;
            }
            let inline = Block::inline(cid);
            if inline.is_none() {
                asked.push(*cid);
            }
            found.insert(*cid, inline);
        }
        Ok(Self { asked, found })
    }

    /// Takes what the source gave. Refuses what it was not asked for.
    fn came(&mut self, blocks: Vec<Block>) -> Result<(), DagError> {
        for block in blocks {
            let cid = *block.cid();
            let place = self.found.get_mut(&cid).filter(|place| place.is_none());
            *place.ok_or(DagError::Unwanted { cid })? = Some(block);
        }
        Ok(())
    }

    fn block(&self, cid: &Cid) -> Option<Block> {
        self.found.get(cid).cloned().flatten()
    }
}

fn missing(cid: &Cid) -> SourceError {
    SourceError::NotFound {
        cid: *cid,
        tried: String::new(),
    }
}

/// One block, like [`fetch`].
pub(crate) fn fetch_one(source: &dyn BlockSource, cid: &Cid) -> Result<Block, SourceError> {
    Ok(fetch(source, std::slice::from_ref(cid))?.remove(0))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;
    use multihash::Multihash;

    use super::*;
    use crate::cid::{Codec, Version};

    /// Gives what it has, whatever is asked, and remembers what was.
    struct Given(Vec<Block>, RefCell<Vec<Cid>>);

    impl BlockSource for Given {
        fn blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
            self.1.borrow_mut().extend(cids);
            Ok(self.0.clone())
        }
    }

    fn raw(bytes: &'static [u8]) -> Block {
        Block::hash(Version::V1, Codec::Raw, Bytes::from_static(bytes)).unwrap()
    }

    fn inline(bytes: &[u8]) -> Cid {
        Cid::new_v1(
            Codec::Raw.code(),
            Multihash::wrap(cid::IDENTITY, bytes).unwrap(),
        )
    }

    #[test]
    fn each_block_is_asked_for_once_and_inline_ones_never() {
        let (a, b) = (raw(b"a"), raw(b"b"));
        let source = Given(vec![b.clone(), a.clone()], RefCell::default());
        let wanted = [*a.cid(), inline(b"x"), *b.cid(), *a.cid()];
        let blocks = fetch(&source, &wanted).unwrap();
        assert!(blocks.iter().map(Block::cid).eq(&wanted));
        assert_eq!(blocks[1].data(), &Bytes::from_static(b"x"));
        assert_eq!(source.1.take(), [*a.cid(), *b.cid()]);
        assert_eq!(fetch(&source, &[inline(b"y")]).unwrap().len(), 1);
        assert_eq!(source.1.take(), []);
    }

    /// Gives the first of what is asked, and no more.
    struct One(Vec<Block>);

    impl BlockSource for One {
        fn blocks(&self, _: &[Cid]) -> Result<Vec<Block>, SourceError> {
            panic!("the first is enough")
        }

        fn first_blocks(&self, cids: &[Cid]) -> Result<Vec<Block>, SourceError> {
            let first = self.0.iter().filter(|block| *block.cid() == cids[0]);
            Ok(first.cloned().collect())
        }
    }

    #[test]
    fn the_first_is_enough_for_who_wants_no_more() {
        let (a, b) = (raw(b"a"), raw(b"b"));
        let source = One(vec![a.clone(), b.clone()]);
        let cids = |wanted: &[Cid]| -> Vec<Cid> {
            let blocks = fetch_first(&source, wanted).unwrap();
            blocks.iter().map(|block| *block.cid()).collect()
        };
        let inline = inline(b"x");
        assert_eq!(cids(&[*a.cid(), *b.cid()]), [*a.cid()]);
        // The same once more, and what its CID carries, are there too.
        assert_eq!(
            cids(&[*b.cid(), *b.cid(), inline, *a.cid()]),
            [*b.cid(), *b.cid(), inline]
        );
        assert_eq!(cids(&[inline, *a.cid()]), [inline], "nobody is asked");
        assert_eq!(cids(&[]), []);
        let nothing = fetch_first(&One(Vec::new()), &[*a.cid()]);
        assert!(matches!(nothing, Err(SourceError::NotFound { .. })));
    }

    #[test]
    fn a_source_that_gives_something_else_is_an_error() {
        let (a, b) = (raw(b"a"), raw(b"b"));
        let fetch = |given: &[&Block]| {
            let given = given.iter().copied().cloned().collect();
            super::fetch(&Given(given, RefCell::default()), &[*a.cid()]).unwrap_err()
        };
        let unwanted = |error| matches!(error, SourceError::Dag(DagError::Unwanted { .. }));
        assert!(unwanted(fetch(&[&b])));
        assert!(unwanted(fetch(&[&a, &a])));
        assert!(matches!(fetch(&[]), SourceError::NotFound { .. }));
    }
}
