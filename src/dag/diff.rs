//! [`Diff`]: what of a DAG has to be read when another one is whole already: all that they share is passed
//! by. Sans-IO like [`Walk`], but for links of the old DAG, which it takes from the store.
//!
//! Nodes are compared with the nodes in the same place of the old DAG: entries of directories by name,
//! parts of files by position. What was moved or copied elsewhere is found by asking whether it is known
//! to be whole. Passed by is only what the old DAG links to, or what is known to be whole: whatever the
//! DAGs look like, nothing that is missing is overlooked.

use std::collections::{HashMap, HashSet};

use super::{Link, SourceError, Walk, links, outward};
use crate::block::Block;
use crate::blockstore::{Blockstore, StoreError};
use crate::cid::{Cid, Codec};

/// How often it is asked whether something is whole: from then on what is not in its place is read.
const QUESTIONS_MAX: usize = 1 << 16;

/// Old nodes that are compared with one new node at most.
const PLACES_MAX: usize = 16;

/// Says whether all of a DAG is known to be here.
pub type IsWhole<'a> = &'a dyn Fn(&Cid) -> Result<bool, StoreError>;

/// A walk over what a new DAG has and an old one has not.
pub struct Diff<'a> {
    store: &'a dyn Blockstore,
    is_whole: IsWhole<'a>,
    questions: usize,
    walk: Walk,
    /// Of nodes that are wanted: the nodes of the old DAG that stand in their place.
    places: HashMap<Cid, Vec<Cid>>,
}

impl<'a> Diff<'a> {
    /// What `new` has and `old` has not, where `store` has all of `old`.
    #[must_use]
    pub fn new(store: &'a dyn Blockstore, old: &Cid, new: &Cid, is_whole: IsWhole<'a>) -> Self {
        let mut walk = Walk::new(*new);
        let same = old.hash() == new.hash() && old.codec() == new.codec();
        if same {
            walk.supply_links(new, &[])
                .expect("the root is wanted at first");
        }
        walk.pass_by(old);
        Self {
            store,
            is_whole,
            questions: 0,
            walk,
            places: HashMap::from([(*new, vec![*old])]),
        }
    }

    /// The next blocks, as [`Walk::wants`] says them.
    #[must_use]
    pub fn wants(&self, count: usize) -> Vec<Cid> {
        self.walk.wants(count)
    }

    /// Whether every block has been supplied.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.walk.is_done()
    }

    /// Takes a wanted block.
    pub fn supply(&mut self, block: &Block) -> Result<(), SourceError> {
        let mut old = Vec::new();
        for place in self.places.remove(block.cid()).unwrap_or_default() {
            old.push(outward(self.store.links(&place)?.unwrap_or_default())?);
        }
        let new = outward(links(block)?)?;
        for link in old.iter().flatten() {
            self.walk.pass_by(&link.cid);
        }
        self.ask(&new)?;
        self.pair(&old, &new);
        Ok(self.walk.supply(block)?)
    }

    /// Passes by the children that are whole.
    fn ask(&mut self, new: &[Link]) -> Result<(), StoreError> {
        let mut unknown: Vec<Cid> = new.iter().map(|link| link.cid).collect();
        unknown.retain(|cid| !self.walk.has_met(cid));
        unknown.truncate(QUESTIONS_MAX - self.questions);
        let sizes = self.store.sizes(&unknown)?;
        for (cid, _) in unknown.iter().zip(sizes).filter(|(_, size)| size.is_some()) {
            self.questions += 1;
            if (self.is_whole)(cid)? {
                self.walk.pass_by(cid);
            }
        }
        Ok(())
    }

    /// Finds out which old nodes stand where the new ones do; `old` are the links of each node that may
    /// be what the new one was.
    fn pair(&mut self, old: &[Vec<Link>], new: &[Link]) {
        let (there, wanted) = (cids(old.iter().flatten()), cids(new));
        let node = |link: &&Link| Codec::of(&link.cid) == Ok(Codec::DagPb);
        let is_gone = |link: &&Link| node(link) && !wanted.contains(&link.cid);
        let come = new.iter().filter(node);
        let come = come.filter(|link| !there.contains(&link.cid));
        let names: HashMap<_, _> = old
            .iter()
            .flatten()
            .filter(is_gone)
            .filter(|link| !link.name.as_bytes().is_empty())
            .map(|link| (&link.name, link.cid))
            .collect();
        let (mut others, mut used) = (Vec::new(), HashSet::new());
        for link in come {
            if self.walk.has_met(&link.cid) {
                continue;
            }
            if let Some(place) = names.get(&link.name) {
                used.insert(*place);
                self.places.insert(link.cid, vec![*place]);
            } else {
                others.push(link.cid);
            }
        }
        let left = |links: &Vec<Link>| -> Vec<Cid> {
            let gone = links.iter().filter(is_gone).map(|link| link.cid);
            gone.filter(|cid| !used.contains(cid)).collect()
        };
        let left: Vec<Vec<Cid>> = old.iter().map(left).collect();
        for (at, cid) in others.iter().enumerate() {
            let mut places = Vec::new();
            for left in &left {
                // What was put in or taken out moves the parts of a file by less than one node, mostly.
                let middle = at * left.len() / others.len();
                let end = left.len().min(middle + 2);
                for place in &left[middle.saturating_sub(1).min(end)..end] {
                    if places.len() < PLACES_MAX && !places.contains(place) {
                        places.push(*place);
                    }
                }
            }
            if !places.is_empty() {
                self.places.insert(*cid, places);
            }
        }
    }
}

fn cids<'a>(links: impl IntoIterator<Item = &'a Link>) -> HashSet<Cid> {
    links.into_iter().map(|link| link.cid).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::blockstore::{MemoryStore, Write};
    use crate::cid::Version;
    use crate::dag::pb::Node;

    fn leaf(text: &str) -> Block {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Block::hash(Version::V1, Codec::Raw, bytes).unwrap()
    }

    /// A node whose links have names, as in a directory, or none, as in a file.
    fn node(children: &[(String, Cid)]) -> Block {
        let link = |(name, cid): &(String, Cid)| Link {
            cid: *cid,
            name: name.as_str().into(),
            tsize: 0,
        };
        let node = Node {
            links: children.iter().map(link).collect(),
            data: None,
        };
        Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap()
    }

    fn put(store: &MemoryStore, block: Block) -> Cid {
        let cid = *block.cid();
        store.put_many(&[block], Write::Logged).unwrap();
        cid
    }

    /// Directories in directories, each entry a leaf or, by its text, one of the others.
    fn dir(store: &MemoryStore, entries: &[(String, Cid)]) -> Cid {
        put(store, node(entries))
    }

    /// A file of these leaves in nodes of `width`.
    fn file(store: &MemoryStore, leaves: &[String], width: usize) -> Cid {
        let mut level: Vec<Cid> = leaves.iter().map(|text| put(store, leaf(text))).collect();
        while level.len() > 1 {
            let nodes = level.chunks(width).map(|cids| {
                let links: Vec<_> = cids.iter().map(|cid| (String::new(), *cid)).collect();
                put(store, node(&links))
            });
            level = nodes.collect();
        }
        level[0]
    }

    /// The blocks that are read on the way from `old` to `new`, all of which are in `store`.
    fn read(store: &MemoryStore, old: &Cid, new: &Cid, is_whole: IsWhole<'_>) -> Vec<Cid> {
        let mut diff = Diff::new(store, old, new, is_whole);
        let mut read = Vec::new();
        while !diff.is_done() {
            for cid in diff.wants(4) {
                let data = store.get(&cid).unwrap().unwrap();
                diff.supply(&Block::verify(cid, data).unwrap()).unwrap();
                read.push(cid);
            }
        }
        read
    }

    fn all_below(store: &MemoryStore, root: &Cid) -> HashSet<Cid> {
        let mut walk = Walk::new(*root);
        let mut all = HashSet::new();
        while let Some(cid) = walk.want() {
            let links = store.links(&cid).unwrap().unwrap();
            walk.supply_links(&cid, &links).unwrap();
            all.insert(cid);
        }
        all
    }

    const UNKNOWN: IsWhole<'static> = &|_| Ok(false);

    #[test]
    fn of_a_tree_only_what_changed_is_read() {
        let store = MemoryStore::new();
        let tree = |changed: &str| {
            let inner = |d: usize| {
                let entries: Vec<_> = (0..100)
                    .map(|f| {
                        let text = if (d, f) == (7, 70) { changed } else { "" };
                        let leaf = put(&store, leaf(&format!("{d} {f} {text}")));
                        (f.to_string(), leaf)
                    })
                    .collect();
                dir(&store, &entries)
            };
            let dirs: Vec<_> = (0..20).map(|d| (format!("d{d}"), inner(d))).collect();
            dir(&store, &dirs)
        };
        let (old, new) = (tree(""), tree("changed"));
        assert_eq!(all_below(&store, &new).len(), 2021);
        // The root, the directory and the file.
        assert_eq!(read(&store, &old, &new, UNKNOWN).len(), 3);
        assert_eq!(read(&store, &new, &new, UNKNOWN), []);
    }

    #[test]
    fn of_a_file_what_is_shifted_by_a_leaf_is_not_read_again() {
        let store = MemoryStore::new();
        let leaves: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        let old = file(&store, &leaves, 10);
        let mut longer = leaves.clone();
        longer.insert(200, "new".into());
        let mut shorter = leaves.clone();
        shorter.remove(200);
        for changed in [longer, shorter] {
            let new = file(&store, &changed, 10);
            let read = read(&store, &old, &new, UNKNOWN);
            let leaves = read.iter().filter(|cid| cid.codec() == Codec::Raw.code());
            // Every node behind the place is another one; their leaves are the same.
            assert!(leaves.clone().count() <= 8, "{}", leaves.count());
            assert!(read.len() < 50, "{}", read.len());
        }
    }

    #[test]
    fn a_file_that_has_grown_by_a_level_is_asked_for_what_it_was() {
        let store = MemoryStore::new();
        let mut leaves: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        let old = file(&store, &leaves, 10);
        leaves.insert(400, "new".into());
        let new = file(&store, &leaves, 10);
        let known = all_below(&store, &old);
        let read = read(&store, &old, &new, &|cid| Ok(known.contains(cid)));
        assert_eq!(
            read.iter()
                .filter(|cid| cid.codec() == Codec::Raw.code())
                .count(),
            1
        );
    }

    #[test]
    fn what_was_moved_is_read_again_only_where_nobody_knows_it() {
        let store = MemoryStore::new();
        let big: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let big = file(&store, &big, 10);
        let named = |name: &str, cid| vec![(name.to_owned(), cid)];
        let below = |name: &str| dir(&store, &named(name, dir(&store, &named("x", big))));
        let (old, new) = (below("a"), below("b"));
        assert_eq!(read(&store, &old, &new, UNKNOWN).len(), 1);
        let deep = dir(&store, &named("c", below("b")));
        let known = all_below(&store, &old);
        assert_eq!(
            read(&store, &old, &deep, &|cid| Ok(known.contains(cid))).len(),
            2
        );
    }

    proptest! {
        /// Whatever the two DAGs: what is not read is below the old one.
        #[test]
        fn nothing_is_overlooked(
            shape in prop::collection::vec((0_u8..4, prop::collection::vec((0_u8..5, any::<prop::sample::Index>()), 0..6)), 2..30),
            old: prop::sample::Index,
            new: prop::sample::Index,
        ) {
            let store = MemoryStore::new();
            let mut made = vec![put(&store, leaf("first"))];
            for (number, (kind, children)) in shape.iter().enumerate() {
                let block = if *kind == 0 {
                    leaf(&number.to_string())
                } else {
                    let name = |name: u8| if name == 0 { String::new() } else { name.to_string() };
                    let child = |(n, at): &(u8, prop::sample::Index)| (name(*n), *at.get(&made));
                    node(&children.iter().map(child).collect::<Vec<_>>())
                };
                made.push(put(&store, block));
            }
            let (old, new) = (old.get(&made), new.get(&made));
            let mut met = all_below(&store, old);
            met.extend(read(&store, old, new, UNKNOWN));
            prop_assert!(all_below(&store, new).is_subset(&met));
        }
    }
}
