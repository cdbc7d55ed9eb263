//! [`Holdings`]: the segments that this member has, where they are in the contents that it knows them by, and
//! why it keeps them.

use std::collections::{BTreeSet, HashMap};

use store::Cid;
use store::segment::{Hold, SegmentId};
use store::wire::member;
use store::wire::reconcile::Item;

use crate::reconcile::fingerprint;

/// Contents that one segment is known by at most: versions of a tree that all have it. By a further one it is
/// kept only where that is pinned here.
pub(super) const PLACES_MAX: usize = 64;

/// A segment that is here.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// As its nodes claim.
    pub(super) bytes: u64,
    /// Where it is; at least one, and one for each root.
    pub(super) places: Vec<Place>,
    /// Its number in the order of all.
    number: usize,
}

/// Where a segment is in one content, and what keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) hold: Hold,
    /// There is a hold on it in the repo.
    pub(super) is_held: bool,
    /// All of the content is pinned.
    pub(super) is_pinned: bool,
}

impl Place {
    /// Held, for others.
    pub(super) const fn held(hold: Hold) -> Self {
        Self {
            hold,
            is_held: true,
            is_pinned: false,
        }
    }

    /// Reached by a pin of this machine's own.
    pub(super) const fn pinned(hold: Hold) -> Self {
        Self {
            hold,
            is_held: false,
            is_pinned: true,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    segments: HashMap<SegmentId, Held>,
    numbered: Vec<SegmentId>,
    by_root: HashMap<Cid, BTreeSet<SegmentId>>,
    bytes: u64,
    sum: u128,
}

impl Held {
    /// The roots that it is known by.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Cid> {
        self.places.iter().filter_map(|place| place.hold.root())
    }

    /// Whether a pin of this machine's own reaches it: it stays, whatever others have.
    pub(super) fn is_pinned(&self) -> bool {
        self.places.iter().any(|place| place.is_pinned)
    }

    /// Where it is first known to be.
    pub(super) fn hold(&self) -> &Hold {
        &self.places[0].hold
    }
}

impl Holdings {
    /// It is here, in this place. Whether it is a segment that was not here before.
    pub(super) fn insert(&mut self, segment: SegmentId, bytes: u64, place: Place) -> bool {
        let Some(root) = place.hold.root().copied() else {
            return false;
        };
        let is_new = !self.segments.contains_key(&segment);
        let held = self.segments.entry(segment).or_insert_with(|| Held {
            bytes,
            places: Vec::new(),
            number: self.numbered.len(),
        });
        if is_new {
            self.numbered.push(segment);
            self.bytes += bytes;
            self.sum = self.sum.wrapping_add(print(segment));
        }
        let mut places = held.places.iter_mut();
        if let Some(known) = places.find(|it| it.hold.root() == Some(&root)) {
            known.is_held |= place.is_held;
            known.is_pinned |= place.is_pinned;
        } else if held.places.len() < PLACES_MAX {
            held.places.push(place);
        }
        self.by_root.entry(root).or_default().insert(segment);
        is_new
    }

    /// It is here no more, in no place.
    pub(super) fn remove(&mut self, segment: &SegmentId) -> Option<Held> {
        let held = self.segments.remove(segment)?;
        self.numbered.swap_remove(held.number);
        if let Some(moved) = self.numbered.get(held.number)
            && let Some(other) = self.segments.get_mut(moved)
        {
            other.number = held.number;
        }
        self.bytes -= held.bytes;
        self.sum = self.sum.wrapping_sub(print(*segment));
        for root in held.roots() {
            if let Some(of_root) = self.by_root.get_mut(root) {
                of_root.remove(segment);
                if of_root.is_empty() {
                    self.by_root.remove(root);
                }
            }
        }
        Some(held)
    }

    /// It is no longer known by this root. Whether it is known by no other, and so here no more.
    fn forget_place(&mut self, segment: &SegmentId, root: &Cid) -> bool {
        let Some(held) = self.segments.get_mut(segment) else {
            return false;
        };
        if held
            .places
            .iter()
            .all(|place| place.hold.root() == Some(root))
        {
            return self.remove(segment).is_some();
        }
        held.places.retain(|place| place.hold.root() != Some(root));
        if let Some(of_root) = self.by_root.get_mut(root) {
            of_root.remove(segment);
            if of_root.is_empty() {
                self.by_root.remove(root);
            }
        }
        false
    }

    /// This root is pinned no longer. Those segments that nothing else keeps are here no more.
    pub(super) fn unpinned(&mut self, root: &Cid) -> Vec<SegmentId> {
        let mut gone = Vec::new();
        for segment in self.of_root(root) {
            let places = self.segments.get_mut(&segment).map(|it| &mut it.places);
            let mut places = places.into_iter().flatten();
            let place = places.find(|place| place.hold.root() == Some(root));
            let Some(place) = place.filter(|place| place.is_pinned) else {
                continue;
            };
            place.is_pinned = false;
            if !place.is_held && self.forget_place(&segment, root) {
                gone.push(segment);
            }
        }
        gone
    }

    pub(super) fn get(&self, segment: &SegmentId) -> Option<&Held> {
        self.segments.get(segment)
    }

    /// Whether it is here in this very place.
    pub(super) fn has(&self, segment: &SegmentId, hold: &Hold) -> bool {
        let known = self.segments.get(segment);
        known.is_some_and(|it| it.places.iter().any(|place| place.hold == *hold))
    }

    /// Those that are known by this root.
    pub(super) fn of_root(&self, root: &Cid) -> Vec<SegmentId> {
        let known = self.by_root.get(root);
        known.map_or_else(Vec::new, |it| it.iter().copied().collect())
    }

    /// Whether any is known by this root.
    pub(super) fn knows(&self, root: &Cid) -> bool {
        self.by_root.contains_key(root)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SegmentId, &Held)> {
        self.segments.iter()
    }

    /// How many there are, and their bytes.
    pub(super) fn sum(&self) -> (usize, u64) {
        (self.numbered.len(), self.bytes)
    }

    /// One of them; the numbers change when one goes.
    pub(super) fn numbered(&self, number: usize) -> Option<SegmentId> {
        self.numbered.get(number).copied()
    }

    /// What is told of them to the other members.
    pub(super) fn digest(&self) -> member::Holdings {
        member::Holdings {
            count: self.numbered.len() as u64,
            digest: self.sum.to_be_bytes(),
        }
    }
}

fn print(segment: SegmentId) -> u128 {
    let item = Item {
        key: segment.0,
        stamp: 0,
    };
    fingerprint(&item)
}

#[cfg(test)]
mod tests {
    use store::Block;
    use store::cid::{Codec, Version};

    use super::*;

    fn root(name: &'static str) -> Cid {
        let block = Block::hash(Version::V1, Codec::Raw, name.as_bytes().into()).unwrap();
        *block.cid()
    }

    fn hold(root: Cid) -> Hold {
        Hold {
            path: vec![root],
            first: 0,
            count: 1,
        }
    }

    #[test]
    fn a_segment_is_here_as_long_as_anything_keeps_it() {
        let mut holdings = Holdings::default();
        let (a, b) = (SegmentId([1; 32]), SegmentId([2; 32]));
        let (one, other) = (root("one"), root("other"));
        assert!(holdings.insert(a, 10, Place::pinned(hold(one))));
        assert!(!holdings.insert(a, 10, Place::pinned(hold(other))));
        assert!(holdings.insert(b, 5, Place::held(hold(one))));
        assert!(!holdings.insert(b, 5, Place::pinned(hold(one))));
        assert_eq!(holdings.sum(), (2, 15));
        let digest = holdings.digest();

        assert_eq!(
            holdings.unpinned(&one),
            [],
            "the other pin and the hold stay"
        );
        assert!(holdings.get(&a).unwrap().is_pinned());
        assert!(!holdings.get(&b).unwrap().is_pinned());
        assert_eq!(holdings.of_root(&one), [b]);
        assert_eq!(holdings.of_root(&other), [a]);
        assert_eq!(holdings.digest(), digest, "the same segments are here");

        assert_eq!(holdings.unpinned(&other), [a]);
        assert!(!holdings.knows(&other));
        assert_eq!((holdings.sum(), holdings.numbered(0)), ((1, 5), Some(b)));
        assert_eq!(
            holdings.remove(&b).unwrap().places,
            [Place::held(hold(one))]
        );
        assert_eq!(holdings.digest(), member::Holdings::default());
    }
}
