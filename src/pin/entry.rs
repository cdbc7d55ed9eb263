//! [`Pin`]: what is known of a pin, and its bytes in the family `keep` (docs/storage.md draws them).

use std::collections::BTreeMap;

use super::PinError;
use crate::blockstore::schema;
use crate::cid::{self, Cid};
use crate::keep::{DIRECT, RECURSIVE};

/// Bytes of a pin's name at most, as in Kubo.
pub const NAME_MAX: usize = 255;
/// Labels of a pin at most.
pub const LABELS_MAX: usize = 32;
/// Bytes of a label's key at most.
pub const LABEL_KEY_MAX: usize = 64;
/// Bytes of a label's value at most.
pub const LABEL_VALUE_MAX: usize = 255;

/// Labels by their keys.
pub type Labels = BTreeMap<String, String>;

/// Content that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its root.
    pub root: Cid,
    /// What of it is kept.
    pub kind: PinKind,
    /// What the user calls it.
    pub name: Option<String>,
    /// What else the user says of it.
    pub labels: Labels,
    /// When it was pinned, in seconds since 1970.
    pub created: u64,
    /// From when on it is not kept any more, in seconds since 1970; `None`: it is kept until it is
    /// unpinned.
    pub expires: Option<u64>,
}

/// What a pin keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinKind {
    /// The root and all below it.
    Recursive,
    /// The root's block alone.
    Direct,
}

/// The parts of a value behind the CID and the date: these two as format 1 had them.
const NAMELESS: u8 = 0;
const NAMED: u8 = 1;
const EXTENDED: u8 = 2;

impl PinKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recursive, Self::Direct];

    /// First byte of the keys.
    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Recursive => RECURSIVE,
            Self::Direct => DIRECT,
        }
    }
}

impl Pin {
    /// A recursive pin without a name, for good.
    #[must_use]
    pub const fn new(root: Cid, created: u64) -> Self {
        Self {
            root,
            kind: PinKind::Recursive,
            name: None,
            labels: Labels::new(),
            created,
            expires: None,
        }
    }

    /// Whether it is kept no longer at `now`, in seconds since 1970.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Refuses what would make a pin larger than a few KiB.
    pub(super) fn check(&self) -> Result<(), PinError> {
        let parts = self
            .labels
            .iter()
            .flat_map(|(key, value)| {
                [
                    ("label", key, LABEL_KEY_MAX),
                    ("label's value", value, LABEL_VALUE_MAX),
                ]
            })
            .chain(self.name.iter().map(|name| ("name", name, NAME_MAX)));
        for (what, text, limit) in parts {
            if text.len() > limit {
                return Err(PinError::TooLong {
                    what,
                    size: text.len(),
                    limit,
                });
            }
        }
        if self.labels.contains_key("") {
            return Err(PinError::Label {
                text: "=".into(),
                reason: "it has no key",
            });
        }
        if self.labels.len() > LABELS_MAX {
            return Err(PinError::TooManyLabels {
                count: self.labels.len(),
            });
        }
        Ok(())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        schema::put_bytes(&mut out, &self.root.to_bytes());
        schema::put_varint(&mut out, self.created);
        let name = self.name.as_deref().unwrap_or_default().as_bytes();
        if self.labels.is_empty() && self.expires.is_none() {
            out.push(if self.name.is_some() { NAMED } else { NAMELESS });
            out.extend(name);
            return out;
        }
        out.push(EXTENDED);
        schema::put_varint(&mut out, self.expires.unwrap_or(0));
        out.push(u8::from(self.name.is_some()));
        schema::put_bytes(&mut out, name);
        for (key, value) in &self.labels {
            schema::put_bytes(&mut out, key.as_bytes());
            schema::put_bytes(&mut out, value.as_bytes());
        }
        out
    }

    /// `None` where the bytes are no pin.
    pub(super) fn decode(kind: PinKind, mut bytes: &[u8]) -> Option<Self> {
        let root = cid::from_bytes(schema::take_bytes(&mut bytes)?).ok()?;
        let mut pin = Self::new(root, schema::take_varint(&mut bytes)?);
        pin.kind = kind;
        let (form, mut rest) = bytes.split_first()?;
        match *form {
            NAMELESS if rest.is_empty() => {}
            NAMED => pin.name = Some(text(rest)?),
            EXTENDED => {
                let expires = schema::take_varint(&mut rest)?;
                pin.expires = (expires != 0).then_some(expires);
                let (named, after) = rest.split_first()?;
                rest = after;
                let name = text(schema::take_bytes(&mut rest)?)?;
                pin.name = (*named != 0).then_some(name);
                while !rest.is_empty() {
                    let key = text(schema::take_bytes(&mut rest)?)?;
                    let value = text(schema::take_bytes(&mut rest)?)?;
                    pin.labels.insert(key, value);
                }
            }
            _ => return None,
        }
        Some(pin)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cid::{Codec, Version, from_digest};

    fn root() -> Cid {
        from_digest(Version::V1, Codec::DagPb, &[7; 32])
    }

    proptest! {
        #[test]
        fn pins_come_back(
            name in prop::option::of(".{0,20}"),
            labels in prop::collection::btree_map(".{1,9}", ".{0,9}", 0..5),
            created: u64,
            expires in prop::option::of(1_u64..),
            direct: bool,
        ) {
            let kind = PinKind::ALL[usize::from(direct)];
            let pin = Pin { root: root(), kind, name, labels, created, expires };
            prop_assert_eq!(Pin::decode(kind, &pin.encode()), Some(pin));
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut value = Pin::new(root(), 1).encode();
            value.pop();
            value.extend(&bytes);
            let _ = (Pin::decode(PinKind::Direct, &value), Pin::decode(PinKind::Direct, &bytes));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let mut pin = Pin::new(root(), 300);
        let mut head = vec![36];
        head.extend(root().to_bytes());
        head.extend([0xac, 0x02]);
        let with = |tail: &[u8]| [&head, tail].concat();
        // These two as format 1 had them.
        assert_eq!(pin.encode(), with(&[0]));
        pin.name = Some("ab".into());
        assert_eq!(pin.encode(), with(b"\x01ab"));
        pin.expires = Some(128);
        pin.labels.insert("k".into(), "v".into());
        assert_eq!(pin.encode(), with(b"\x02\x80\x01\x01\x02ab\x01k\x01v"));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let refused = |change: &dyn Fn(&mut Pin)| {
            let mut pin = Pin::new(root(), 1);
            change(&mut pin);
            pin.check().is_err()
        };
        let label = |pin: &mut Pin, key: usize, value: usize| {
            pin.labels.insert("k".repeat(key), "v".repeat(value));
        };
        assert!(!refused(&|pin| label(pin, LABEL_KEY_MAX, LABEL_VALUE_MAX)));
        assert!(refused(&|pin| label(pin, LABEL_KEY_MAX + 1, 0)));
        assert!(refused(&|pin| label(pin, 1, LABEL_VALUE_MAX + 1)));
        assert!(refused(&|pin| label(pin, 0, 1)));
        assert!(refused(&|pin| pin.name = Some("n".repeat(NAME_MAX + 1))));
        assert!(refused(&|pin| {
            (0..=LABELS_MAX).for_each(|i| label(pin, i + 1, 1));
        }));
    }
}
