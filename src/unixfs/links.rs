//! [`Links`]: the links of a directory that is being made, packed: a million of them take some 70 bytes
//! and a name each, where a `Link` takes 150 and two allocations.

use crate::cid::{self, Cid};
use crate::dag::Link;
use crate::unixfs::name::Name;

/// Bytes of a segment. All of it is one allocation that never grows: a vector that doubles would hold
/// the links twice while it does.
const SEGMENT: usize = 1 << 20;

/// Length of the CID (1), length of the name (4), and tsize (8).
const HEAD: usize = 13;

/// Links in an order of their own.
#[derive(Debug, Default)]
pub struct Links {
    segments: Vec<Vec<u8>>,
    /// Where each link is: its segment and its place in that.
    places: Vec<(u32, u32)>,
}

impl Links {
    /// Adds a link at the end.
    pub fn push(&mut self, link: &Link) {
        let (cid, name) = (link.cid.to_bytes(), link.name.as_bytes());
        let size = HEAD + cid.len() + name.len();
        let has_room = |segment: &Vec<u8>| segment.capacity() - segment.len() >= size;
        if !self.segments.last().is_some_and(has_room) {
            self.segments.push(Vec::with_capacity(size.max(SEGMENT)));
        }
        let number = self.segments.len() - 1;
        let segment = &mut self.segments[number];
        let place = (number, segment.len());
        segment.push(u8::try_from(cid.len()).expect("a CID has at most 139 bytes"));
        let length = u32::try_from(name.len()).expect("a name has at most 4 GiB");
        segment.extend_from_slice(&length.to_le_bytes());
        segment.extend_from_slice(&link.tsize.to_le_bytes());
        segment.extend_from_slice(&cid);
        segment.extend_from_slice(name);
        let narrow = |at| u32::try_from(at).expect("segments are small and few");
        self.places.push((narrow(place.0), narrow(place.1)));
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The link at `index`, which is below [`Links::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> Link {
        let (cid, name, tsize) = self.parts(self.places[index]);
        Link {
            cid: decoded(cid),
            name: name.to_vec().into(),
            tsize,
        }
    }

    /// All of them, in their order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Link> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Puts them in the order of their names' bytes. Some name that is there twice, if one is.
    #[must_use]
    pub fn sort(&mut self) -> Option<Name> {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|&a, &b| self.parts(a).1.cmp(self.parts(b).1));
        let twice = places
            .windows(2)
            .map(|pair| (self.parts(pair[0]).1, self.parts(pair[1]).1))
            .find(|(a, b)| a == b);
        let twice = twice.map(|(name, _)| name.to_vec().into());
        self.places = places;
        twice
    }

    /// The bytes of the CID and of the name, and the tsize, of the link at a place.
    fn parts(&self, (segment, at): (u32, u32)) -> (&[u8], &[u8], u64) {
        let bytes = &self.segments[segment as usize][at as usize..];
        let (head, rest) = bytes.split_at(HEAD);
        let name = u32::from_le_bytes(head[1..5].try_into().expect("four bytes"));
        let tsize = u64::from_le_bytes(head[5..].try_into().expect("eight bytes"));
        let (cid, rest) = rest.split_at(head[0].into());
        (cid, &rest[..name as usize], tsize)
    }
}

impl<'a> FromIterator<&'a Link> for Links {
    fn from_iter<I: IntoIterator<Item = &'a Link>>(links: I) -> Self {
        let mut packed = Self::default();
        links.into_iter().for_each(|link| packed.push(link));
        packed
    }
}

fn decoded(bytes: &[u8]) -> Cid {
    cid::from_bytes(bytes).expect("they were a CID's")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cid::{Codec, Version};

    fn any_link() -> impl Strategy<Value = Link> {
        let name = prop::collection::vec(any::<u8>(), 0..30);
        (any::<[u8; 32]>(), any::<bool>(), name, any::<u64>()).prop_map(
            |(digest, old, name, tsize)| {
                let version = if old { Version::V0 } else { Version::V1 };
                Link {
                    cid: cid::from_digest(version, Codec::DagPb, &digest),
                    name: name.into(),
                    tsize,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn links_come_back_and_are_sorted(links in prop::collection::vec(any_link(), 0..50)) {
            let mut packed: Links = links.iter().collect();
            prop_assert!(packed.iter().eq(links.iter().cloned()));
            let twice = packed.sort();
            let mut names: Vec<Name> = links.iter().map(|link| link.name.clone()).collect();
            names.sort();
            prop_assert!(packed.iter().map(|link| link.name).eq(names.iter().cloned()));
            names.dedup();
            prop_assert_eq!(twice.is_some(), names.len() < links.len());
        }
    }

    #[test]
    fn many_and_large_ones_go_into_more_segments() {
        let link = |i: usize| Link {
            cid: cid::from_digest(Version::V1, Codec::Raw, &[7; 32]),
            name: i.to_string().repeat(1 + i / 10 * 30_000).as_str().into(),
            tsize: i as u64,
        };
        let links: Vec<Link> = (0..60).map(link).collect();
        let packed: Links = links.iter().collect();
        assert!(packed.segments.len() > 5);
        assert!(packed.iter().eq(links));
    }
}
