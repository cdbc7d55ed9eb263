use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::cid::{Version, from_digest};
use crate::unixfs::Name;

const MIB: u64 = 1 << 20;

/// Nodes by CID; what is not here has no links.
#[derive(Default)]
struct Made(HashMap<Cid, Vec<Link>>);

fn leaf(number: u64, tsize: u64) -> Link {
    let digest: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
    Link {
        cid: from_digest(Version::V1, Codec::Raw, &digest),
        name: Name::default(),
        tsize,
    }
}

impl Made {
    fn node(&mut self, links: Vec<Link>) -> Link {
        let mut digest = Sha256::new();
        for link in &links {
            digest.update(link.cid.to_bytes());
            digest.update(link.name.as_bytes());
        }
        let cid = from_digest(Version::V1, Codec::DagPb, &digest.finalize().into());
        let tsize = links.iter().map(|link| link.tsize).sum::<u64>() + 100;
        self.0.insert(cid, links);
        Link {
            cid,
            name: Name::default(),
            tsize,
        }
    }

    /// A file of leaves of 1 MiB, as the default profile lays it out.
    fn file(&mut self, seed: u64, leaves: u64) -> Link {
        let mut level: Vec<Link> = (0..leaves).map(|i| leaf(seed << 32 | i, MIB)).collect();
        while level.len() > 1 {
            let nodes: Vec<_> = level.chunks(1024).map(<[Link]>::to_vec).collect();
            level = nodes.into_iter().map(|links| self.node(links)).collect();
        }
        level.remove(0)
    }

    fn directory(&mut self, entries: &[Link]) -> Link {
        let links = entries.iter().enumerate().map(|(i, entry)| Link {
            name: Name::from(format!("{i:06}").as_str()),
            ..entry.clone()
        });
        let links = links.collect();
        self.node(links)
    }

    fn cut(&self, root: &Cid) -> Vec<Segment> {
        let mut cut = Segments::new(*root);
        let mut segments = Vec::new();
        while let Some(cid) = cut.wants(1).pop() {
            let links = self.0.get(&cid).map_or(&[] as &[_], Vec::as_slice);
            segments.extend(cut.supply(&cid, 100, links).unwrap());
        }
        assert!(cut.is_done());
        segments
    }

    /// Leaves below a segment, by CID.
    fn leaves(&self, segment: &Segment) -> Vec<Cid> {
        let node = segment.hold.path.last().unwrap();
        let first = usize::try_from(segment.hold.first).unwrap();
        let count = usize::try_from(segment.hold.count).unwrap();
        let Some(links) = self.0.get(node) else {
            return vec![*node];
        };
        let mut leaves = Vec::new();
        for link in &links[first..first + count] {
            self.below(&link.cid, &mut leaves);
        }
        leaves
    }

    fn below(&self, cid: &Cid, leaves: &mut Vec<Cid>) {
        match self.0.get(cid) {
            None => leaves.push(*cid),
            Some(links) => links.iter().for_each(|link| self.below(&link.cid, leaves)),
        }
    }
}

#[test]
fn a_large_file_is_cut_each_64_mib() {
    let mut made = Made::default();
    let root = made.file(1, 3000).cid;
    let segments = made.cut(&root);
    // 1024 + 1024 + 952 leaves: sixteen, sixteen, fifteen.
    assert_eq!(segments.len(), 47);
    assert!(segments.iter().all(|it| it.hold.path.len() == 2));
    assert!(segments.iter().all(|it| it.bytes <= SEGMENT_MAX));
    assert_eq!(segments.iter().map(|it| it.bytes).sum::<u64>(), 3000 * MIB);
}

#[test]
fn what_is_small_is_one_segment() {
    let mut made = Made::default();
    for leaves in [2, 64] {
        let root = made.file(1, leaves).cid;
        let segments = made.cut(&root);
        assert_eq!(segments.len(), 1);
        let hold = Hold {
            path: vec![root],
            first: 0,
            count: leaves,
        };
        assert_eq!(segments[0].hold, hold);
        assert_eq!(hold.root(), Some(&root));
    }
    let alone = leaf(7, 5);
    let segments = made.cut(&alone.cid);
    assert_eq!(segments.len(), 1);
    assert_eq!((segments[0].hold.count, segments[0].bytes), (0, 100));
}

#[test]
fn the_name_is_that_of_the_document() {
    let id = SegmentId::of([&leaf(1, 0).cid, &leaf(2, 0).cid]);
    let mut bytes = b"store segment 1".to_vec();
    for n in [1, 2_u64] {
        bytes.extend(36_u32.to_le_bytes());
        bytes.extend([0x01, 0x55, 0x12, 0x20]);
        bytes.extend(Sha256::digest(n.to_le_bytes()));
    }
    assert_eq!(id.0, <[u8; 32]>::from(Sha256::digest(bytes)));
    assert_eq!(id.to_string().len(), 64);
}

#[test]
fn a_file_has_the_same_segments_wherever_it_stands() {
    let mut made = Made::default();
    let file = made.file(1, 200);
    let alone: HashSet<_> = made.cut(&file.cid).into_iter().map(|it| it.id).collect();
    let other = made.file(2, 300);
    let directory = made.directory(&[leaf(3, 9), other, file]);
    let within: HashSet<_> = made
        .cut(&directory.cid)
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert!(alone.is_subset(&within));
}

#[test]
fn a_shared_node_is_taken_apart_once() {
    let mut made = Made::default();
    let mut root = made.file(1, 200);
    // Linked to twice at each of twenty levels: a million ways lead to the file.
    for _ in 0..20 {
        root = made.directory(&[root.clone(), root]);
    }
    assert_eq!(made.cut(&root.cid).len(), 4);
}

#[test]
fn what_is_too_deep_or_not_wanted_is_refused() {
    let mut made = Made::default();
    let mut root = made.file(1, 200);
    for _ in 0..PATH_MAX {
        root = made.directory(&[root]);
    }
    let mut cut = Segments::new(root.cid);
    let stranger = leaf(1, 0).cid;
    assert_eq!(
        cut.supply(&stranger, 0, &[]),
        Err(DagError::Unwanted { cid: stranger })
    );
    let end = loop {
        let cid = cut.wants(1).pop().unwrap();
        if let Err(error) = cut.supply(&cid, 100, &made.0[&cid]) {
            break error;
        }
    };
    assert!(matches!(end, DagError::TooDeep { .. }), "{end}");
}

/// Sizes of the entries of a directory.
fn entries() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(1..12 * MIB, 1..200)
}

proptest! {
    /// Each leaf is in one segment, and segments are no larger than they may be.
    #[test]
    fn nothing_is_left_out_and_nothing_is_twice(sizes in entries(), files in 0..4_u64) {
        let mut made = Made::default();
        let small = sizes.iter().enumerate().map(|(i, size)| leaf(i as u64, *size));
        let mut all: Vec<_> = small.collect();
        for file in 0..files {
            all.insert(all.len() / 2, made.file(1000 + file, 40 * (file + 1)));
        }
        let inner = made.directory(&all);
        let root = made.directory(&[leaf(1 << 20, 5), inner, leaf(1 << 21, 5)]);
        let mut expected = Vec::new();
        made.below(&root.cid, &mut expected);
        let mut found = BTreeMap::new();
        for segment in made.cut(&root.cid) {
            prop_assert!(segment.bytes <= SEGMENT_MAX);
            for leaf in made.leaves(&segment) {
                *found.entry(leaf).or_insert(0) += 1;
            }
        }
        prop_assert!(found.values().all(|count| *count == 1));
        prop_assert_eq!(found.len(), expected.len());
    }

    /// One entry more, or less, changes the segments around it only.
    #[test]
    fn an_edit_moves_what_changed(sizes in prop::collection::vec(1..MIB, 2000..2001), at in 0..2000_usize) {
        let mut made = Made::default();
        let before: Vec<_> = sizes.iter().enumerate().map(|(i, size)| leaf(i as u64, *size)).collect();
        let mut after = before.clone();
        after.remove(at);
        let (before, after) = (made.directory(&before), made.directory(&after));
        let old: HashSet<_> = made.cut(&before.cid).into_iter().map(|it| it.id).collect();
        let new = made.cut(&after.cid);
        let moved: u64 = new.iter().filter(|it| !old.contains(&it.id)).map(|it| it.bytes).sum();
        // A cut is expected each 4 MiB and 16 entries of 512 KiB: two cuts that differ in a row by chance,
        // and a third, are still an eighth of all.
        let all: u64 = sizes.iter().sum();
        prop_assert!(moved < all / 8, "{moved} of {all}");
    }
}
