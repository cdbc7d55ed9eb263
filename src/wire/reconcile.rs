//! Questions and answers of set reconciliation: how the sums below places of a tree of 32-byte keys
//! look to the other side. What is done with them is the asker's affair; other messages carry them.

use bytes::Bytes;

use super::{WireError, at_most};

/// Questions in one message: what the answers to four need where all sixteen children differ.
pub const MAX_QUESTIONS: usize = 64;
/// Items in one list.
pub const MAX_LISTED: usize = 64;
/// Children of a place: one for each value of the key's next four bits.
pub const FAN_OUT: usize = 16;
/// Four-bit steps in a key.
const NIBBLES: u8 = 64;
/// Bytes of an item in a list: its key and its stamp.
const ITEM_SIZE: usize = 40;

/// A place in the tree: all keys that begin with these four-bit steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// Zeroes behind the prefix.
    key: [u8; 32],
    nibbles: u8,
}

/// A member of the set. The stamp is any number that differs when what belongs to the key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Where it stands.
    pub key: [u8; 32],
    /// What it is.
    pub stamp: u64,
}

/// How a place looks to the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub prefix: Prefix,
    /// The sum of the fingerprints of the asker's items there.
    pub sum: u128,
}

/// How it looks to the one asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same.
    Same,
    /// Otherwise: the sums of its sixteen children.
    Children(Box<[u128; FAN_OUT]>),
    /// Otherwise: its items, in order, [`MAX_LISTED`] at most.
    List(Vec<Item>),
}

impl Prefix {
    /// The whole set.
    pub const ROOT: Self = Self {
        key: [0; 32],
        nibbles: 0,
    };

    /// The child for the next four bits; `None` below a whole key.
    #[must_use]
    pub fn child(self, step: u8) -> Option<Self> {
        if self.nibbles >= NIBBLES || usize::from(step) >= FAN_OUT {
            return None;
        }
        let (mut key, at) = (self.key, usize::from(self.nibbles));
        key[at / 2] |= if at.is_multiple_of(2) {
            step << 4
        } else {
            step
        };
        Some(Self {
            key,
            nibbles: self.nibbles + 1,
        })
    }

    /// Its length in four-bit steps.
    #[must_use]
    pub const fn nibbles(self) -> u8 {
        self.nibbles
    }

    /// The first key below it.
    #[must_use]
    pub const fn first(self) -> [u8; 32] {
        self.key
    }

    /// The last key below it.
    #[must_use]
    pub fn last(self) -> [u8; 32] {
        let (mut key, at) = (self.key, usize::from(self.nibbles));
        if at % 2 == 1 {
            key[at / 2] |= 0x0f;
        }
        key[at.div_ceil(2)..].fill(0xff);
        key
    }

    /// The place of `key` at a depth.
    #[must_use]
    pub fn of(key: &[u8; 32], nibbles: u8) -> Self {
        let nibbles = nibbles.min(NIBBLES);
        let (mut cut, at) = (*key, usize::from(nibbles));
        if at % 2 == 1 {
            cut[at / 2] &= 0xf0;
        }
        cut[at.div_ceil(2)..].fill(0);
        Self { key: cut, nibbles }
    }

    /// Whether `key` is below it.
    #[must_use]
    pub fn contains(self, key: &[u8; 32]) -> bool {
        Self::of(key, self.nibbles) == self
    }

    fn to_bytes(self) -> Bytes {
        let used = usize::from(self.nibbles).div_ceil(2);
        [&[self.nibbles], &self.key[..used]].concat().into()
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let (&nibbles, path) = bytes.split_first().ok_or(WireError::Field("prefix"))?;
        let mut key = [0; 32];
        if nibbles > NIBBLES || path.len() != usize::from(nibbles).div_ceil(2) {
            return Err(WireError::Field("prefix"));
        }
        key[..path.len()].copy_from_slice(path);
        // Nothing behind the prefix, so that a place has one form.
        match Self::of(&key, nibbles) {
            prefix if prefix.key == key => Ok(prefix),
            _ => Err(WireError::Field("prefix")),
        }
    }
}

impl Question {
    /// Bytes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::from(self.prefix.nibbles).div_ceil(2) + 23
    }

    pub(super) fn to_proto(self) -> proto::Question {
        proto::Question {
            prefix: self.prefix.to_bytes(),
            sum: sum_out(self.sum),
        }
    }

    pub(super) fn of_proto(question: &proto::Question) -> Result<Self, WireError> {
        Ok(Self {
            prefix: Prefix::of_bytes(&question.prefix)?,
            sum: sum_in(&question.sum)?,
        })
    }
}

impl Verdict {
    /// Bytes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Same => 2,
            Self::Children(_) => FAN_OUT * 16 + 7,
            Self::List(items) => items.len() * ITEM_SIZE + 7,
        }
    }

    pub(super) fn to_proto(&self) -> proto::Verdict {
        match self {
            Self::Same => proto::Verdict::default(),
            Self::Children(sums) => proto::Verdict {
                kind: 1,
                data: sums.iter().flat_map(|sum| sum.to_be_bytes()).collect(),
            },
            Self::List(items) => {
                let bytes = |item: &Item| {
                    let mut bytes = [0; ITEM_SIZE];
                    bytes[..32].copy_from_slice(&item.key);
                    bytes[32..].copy_from_slice(&item.stamp.to_be_bytes());
                    bytes
                };
                proto::Verdict {
                    kind: 2,
                    data: items.iter().flat_map(bytes).collect(),
                }
            }
        }
    }

    pub(super) fn of_proto(verdict: &proto::Verdict) -> Result<Self, WireError> {
        let data = &verdict.data;
        match verdict.kind {
            0 if data.is_empty() => Ok(Self::Same),
            1 if data.len() == FAN_OUT * 16 => {
                let mut sums = Box::new([0; FAN_OUT]);
                for (sum, bytes) in sums.iter_mut().zip(data.chunks_exact(16)) {
                    *sum = sum_in(bytes)?;
                }
                Ok(Self::Children(sums))
            }
            2 if data.len().is_multiple_of(ITEM_SIZE) => {
                at_most("items", data.len() / ITEM_SIZE, MAX_LISTED)?;
                let item = |bytes: &[u8]| Item {
                    key: bytes[..32].try_into().expect("32 bytes"),
                    stamp: u64::from_be_bytes(bytes[32..].try_into().expect("8 bytes")),
                };
                let items: Vec<_> = data.chunks_exact(ITEM_SIZE).map(item).collect();
                if !items.is_sorted_by(|a, b| a.key < b.key) {
                    return Err(WireError::Field("items"));
                }
                Ok(Self::List(items))
            }
            _ => Err(WireError::Field("verdict")),
        }
    }
}

fn sum_out(sum: u128) -> Bytes {
    Bytes::copy_from_slice(&sum.to_be_bytes())
}

fn sum_in(bytes: &[u8]) -> Result<u128, WireError> {
    let bytes = bytes.try_into().map_err(|_| WireError::Field("sum"))?;
    Ok(u128::from_be_bytes(bytes))
}

/// The messages as protobuf.
pub(super) mod proto {
    use bytes::Bytes;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::wire) struct Question {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) prefix: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        pub(super) sum: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::wire) struct Verdict {
        #[prost(uint32, tag = "1")]
        pub(super) kind: u32,
        #[prost(bytes = "bytes", tag = "2")]
        pub(super) data: Bytes,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_has_the_keys_between_its_first_and_its_last(key: [u8; 32], other: [u8; 32], nibbles in 0..=64_u8) {
            let place = Prefix::of(&key, nibbles);
            prop_assert!(place.contains(&key));
            prop_assert!(place.first() <= key && key <= place.last());
            prop_assert_eq!(place.contains(&other), place.first() <= other && other <= place.last());
            prop_assert_eq!(Prefix::of_bytes(&place.to_bytes()), Ok(place));
            let child = (0..16).filter_map(|step| place.child(step)).find(|child| child.contains(&key));
            prop_assert_eq!(child, (nibbles < 64).then(|| Prefix::of(&key, nibbles + 1)));
        }
    }

    #[test]
    fn a_list_that_is_too_long_or_out_of_order_is_refused() {
        let item = |n: u8| Item {
            key: [n; 32],
            stamp: 1,
        };
        let list = |items: Vec<Item>| Verdict::of_proto(&Verdict::List(items).to_proto());
        assert!(list((0..64).map(item).collect()).is_ok());
        assert!(list((0..65).map(item).collect()).is_err());
        assert!(list(vec![item(2), item(1)]).is_err());
        assert!(list(vec![item(1), item(1)]).is_err());
        assert!(
            Prefix::of_bytes(&[3, 0x12, 0x34]).is_err(),
            "bits behind it"
        );
        assert!(Prefix::of_bytes(&[65]).is_err());
        assert!(Prefix::of_bytes(&[]).is_err());
    }
}
