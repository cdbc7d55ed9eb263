//! Directories too large for one node: a hash array mapped trie (HAMT) of shards.
//!
//! Each name is hashed; the hash's leading bits choose a child of the root shard, the next bits a
//! child of that, until a name is alone. So one name is found by a few nodes, however large the
//! directory. Here are the rules that reading ([`Shard`]) and writing ([`build`]) share.
//!
//! The specification's prose is vague, so this follows what Kubo does: murmur3 x64 128, its first 64
//! bits, taken from the most significant one down. A child's link is named by its index in upper-case
//! hexadecimal, followed by the entry's name; a link with the index alone leads to another shard. Bit
//! 0 of the bitfield is the lowest bit of its last byte, and zero bytes at its front are left out.

mod build;
mod shard;

use std::io::Cursor;

pub use build::build;
pub use shard::{Child, Shard, ShardError};

use super::name::Name;

/// Multicodec code of the hash: murmur3-x64-64.
pub const MURMUR3: u64 = 0x22;

/// Bits that a name's hash has: no trie is deeper than they last.
const HASH_BITS: u32 = 64;

/// The hash of an entry's name.
#[must_use]
pub fn hash(name: &Name) -> u64 {
    let hash = murmur3::murmur3_x64_128(&mut Cursor::new(name.as_bytes()), 0)
        .expect("reading from memory cannot fail");
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is the hash's first"
    )]
    let first = hash as u64;
    first
}

/// How many children a shard can have: a power of two, from 8 (whole bytes of bitfield) up to 1024,
/// where Kubo stops too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fanout {
    bits: u32,
}

impl Fanout {
    /// What everybody uses.
    pub const DEFAULT: Self = Self { bits: 8 };

    /// A fanout of `children`, if that is one.
    #[must_use]
    pub const fn new(children: u64) -> Option<Self> {
        if children.is_power_of_two() && children >= 8 && children <= 1024 {
            Some(Self {
                bits: children.trailing_zeros(),
            })
        } else {
            None
        }
    }

    /// The number of children.
    #[must_use]
    pub const fn children(self) -> usize {
        1 << self.bits
    }

    /// Hexadecimal digits of an index in a link's name.
    const fn digits(self) -> usize {
        self.bits.div_ceil(4) as usize
    }

    /// The index that a hash has in a shard below which `used` of its bits are spent.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fanout has at most 10 bits"
    )]
    const fn index(self, hash: u64, used: u32) -> usize {
        ((hash << used) >> (HASH_BITS - self.bits)) as usize
    }

    /// Bytes of a whole bitfield.
    const fn bytes(self) -> usize {
        self.children() / 8
    }
}

/// Where a shard stands in its directory: the leading bits that the hashes of all names below it
/// have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The common bits, at the top; zeros below.
    prefix: u64,
    /// How many they are.
    used: u32,
}

impl Place {
    /// The directory's root shard.
    pub const ROOT: Self = Self { prefix: 0, used: 0 };

    /// Whether a name with this hash belongs here.
    const fn holds(self, hash: u64) -> bool {
        self.used == 0 || (hash ^ self.prefix) >> (HASH_BITS - self.used) == 0
    }

    /// Which child of a shard standing here leads to a name with this hash; `None` where the hash's
    /// bits are used up.
    const fn index(self, fanout: Fanout, hash: u64) -> Option<usize> {
        if self.used + fanout.bits > HASH_BITS {
            return None;
        }
        Some(fanout.index(hash, self.used))
    }

    /// Where the child at `index` stands; `None` where the hash's bits are used up.
    const fn child(self, fanout: Fanout, index: usize) -> Option<Self> {
        let used = self.used + fanout.bits;
        if used > HASH_BITS {
            return None;
        }
        Some(Self {
            prefix: self.prefix | (index as u64) << (HASH_BITS - used),
            used,
        })
    }
}

#[cfg(test)]
mod tests;
