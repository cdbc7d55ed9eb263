//! [`Lots`]: who draws the best for a segment. Of ten thousand members the best few are found in some
//! ten microseconds: logarithms are taken of the best of each weight only, for within one weight the
//! order of the hashes is the order of the lots.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use libp2p::PeerId;
use store::segment::SegmentId;

use super::LEVELS;

/// Members with their weights.
#[derive(Debug)]
pub(super) struct Lots {
    classes: Vec<Class>,
    len: usize,
    bounds: OnceLock<[usize; LEVELS]>,
}

/// The members of one weight.
#[derive(Debug)]
struct Class {
    weight: f64,
    /// The hash of each member's name, and the caller's number for it.
    members: Vec<(u64, usize)>,
}

impl Lots {
    /// Of members that the caller has numbered.
    pub(super) fn new<'a>(members: impl Iterator<Item = (usize, &'a PeerId, u16)>) -> Self {
        let mut by_weight: BTreeMap<u16, Vec<(u64, usize)>> = BTreeMap::new();
        for (number, peer, weight) in members {
            let name = name(peer);
            by_weight.entry(weight).or_default().push((name, number));
        }
        let len = by_weight.values().map(Vec::len).sum();
        let classes = by_weight.into_iter().map(|(weight, members)| Class {
            weight: size(weight),
            members,
        });
        Self {
            classes: classes.collect(),
            len,
            bounds: OnceLock::new(),
        }
    }

    /// The callers' bounds for these members, which are the same each time.
    pub(super) fn bounds(&self, find: impl FnOnce() -> [usize; LEVELS]) -> [usize; LEVELS] {
        *self.bounds.get_or_init(find)
    }

    /// The numbers of all.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        let classes = self.classes.iter();
        classes.flat_map(|class| class.members.iter().map(|(_, number)| *number))
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The numbers of those with the best lots, `count` at most, the best first.
    pub(super) fn best(&self, segment: &SegmentId, count: usize) -> Vec<usize> {
        let key = first_eight(&segment.0);
        let mut best: Vec<(f64, u64, usize)> = Vec::new();
        for class in &self.classes {
            let drawn = class.best(key, count);
            best.extend(drawn.map(|(hash, number)| (lot(class.weight, hash), hash, number)));
        }
        best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        best.truncate(count);
        best.into_iter().map(|(_, _, number)| number).collect()
    }
}

impl Class {
    /// The members with the highest hashes, `count` at most, in any order.
    fn best(&self, segment: u64, count: usize) -> impl Iterator<Item = (u64, usize)> {
        let mut best: Vec<Reverse<(u64, usize)>> =
            Vec::with_capacity(2 * count.min(self.members.len()));
        let mut least = 0;
        for &(name, number) in &self.members {
            let hash = drawn(segment, name);
            if hash < least {
                continue;
            }
            best.push(Reverse((hash, number)));
            // Twice as many as are wanted, then the better half: a comparison for most, and no heap.
            if best.len() == 2 * count && count > 0 {
                let (_, worst, _) = best.select_nth_unstable(count - 1);
                least = worst.0.0;
                best.truncate(count);
            }
        }
        best.sort_unstable();
        best.truncate(count);
        best.into_iter().map(|Reverse(it)| it)
    }
}

/// The lot of one member.
pub(super) fn draw(segment: &SegmentId, peer: &PeerId, weight: u16) -> f64 {
    lot(size(weight), drawn(first_eight(&segment.0), name(peer)))
}

fn size(weight: u16) -> f64 {
    (f64::from(weight) / 4.0).exp2()
}

/// What a member draws for a segment: two rounds of a 64-bit mix (`SplitMix64`'s finalizer; Steele, Lea
/// and Flood, OOPSLA 2014). Nobody gains by guessing: both names are hashes already.
const fn drawn(segment: u64, member: u64) -> u64 {
    mix(mix(segment ^ 0x9e37_79b9_7f4a_7c15) ^ member)
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The lot of a hash. The higher 53 bits make a number in (0, 1).
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn lot(weight: f64, hash: u64) -> f64 {
    let u = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -weight / u.ln()
}

/// The hash of a member's name: of its key's bytes, which are random, the last sixteen, mixed.
fn name(peer: &PeerId) -> u64 {
    let bytes = peer.to_bytes();
    let mut last = [0; 16];
    let tail = &bytes[bytes.len().saturating_sub(16)..];
    last[..tail.len()].copy_from_slice(tail);
    mix(first_eight(&last) ^ mix(first_eight(&last[8..])))
}

/// The first eight bytes as a number, little-endian.
fn first_eight(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}
