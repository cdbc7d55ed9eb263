//! Copies as people write them: `3`, `2/3/5`, `everywhere`; and places: `zone=eu-1`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use store::wire::member::{BadTag, Tags};

/// Copies at most; for more there is `everywhere`.
pub const MAX_REPLICAS: u8 = 64;

/// More than `target` by so much are taken away, where only a target is given: who comes back with what
/// he had is no reason to remove it.
const SPARE: u8 = 2;

/// How many copies: `0`, `3`, `2/3/5` (at least, wanted, at most), or `everywhere`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// None is wanted.
    None,
    /// 1 ≤ `min` ≤ `target` ≤ `max` ≤ [`MAX_REPLICAS`].
    Copies {
        /// Fewer are urgent.
        min: u8,
        /// So many are made.
        target: u8,
        /// More are taken away.
        max: u8,
    },
    /// One on every member.
    Everywhere,
}

/// Not a number of copies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no number of copies; expected one such as `3`, `2/3/5` (at least, wanted, at most, up to \
     {MAX_REPLICAS}), `0` for none, or `everywhere`"
)]
pub struct InvalidReplicas(String);

impl Default for Replicas {
    fn default() -> Self {
        Self::Copies {
            min: 2,
            target: 3,
            max: 5,
        }
    }
}

impl Replicas {
    /// So many: at least more than half of them, as a quorum has it, and at most two more. `None` if there
    /// are too many.
    #[must_use]
    pub const fn of(target: u8) -> Option<Self> {
        match target {
            0 => Some(Self::None),
            1..=MAX_REPLICAS => {
                let max = target + SPARE;
                Some(Self::Copies {
                    min: target / 2 + 1,
                    target,
                    max: if max < MAX_REPLICAS {
                        max
                    } else {
                        MAX_REPLICAS
                    },
                })
            }
            _ => None,
        }
    }
}

impl FromStr for Replicas {
    type Err = InvalidReplicas;

    fn from_str(text: &str) -> Result<Self, InvalidReplicas> {
        let invalid = || InvalidReplicas(text.chars().take(80).collect());
        let number = |part: &str| -> Option<u8> {
            let plain = part.bytes().all(|c| c.is_ascii_digit());
            part.parse().ok().filter(|_| plain)
        };
        if text == "everywhere" {
            return Ok(Self::Everywhere);
        }
        let parts: Vec<_> = text.split('/').collect();
        let replicas = match parts[..] {
            [target] => number(target).and_then(Self::of),
            [min, target, max] => {
                let numbers = number(min).zip(number(target)).zip(number(max));
                numbers.and_then(|((min, target), max)| {
                    let ordered = 1 <= min && min <= target && target <= max;
                    (ordered && max <= MAX_REPLICAS).then_some(Self::Copies { min, target, max })
                })
            }
            _ => None,
        };
        replicas.ok_or_else(invalid)
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("0"),
            Self::Copies { min, target, max } => write!(f, "{min}/{target}/{max}"),
            Self::Everywhere => f.write_str("everywhere"),
        }
    }
}

impl Serialize for Replicas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number or a text.
impl<'de> Deserialize<'de> for Replicas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Replicas;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of copies such as 3 or \"2/3/5\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Replicas, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Replicas, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Replicas, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A tag of members with a value: `zone=eu-1`. What it may be: [`Tags`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlaceTag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlace {
    /// No pair.
    #[error("`{0}` is no tag with a value; expected one such as `zone=eu-1`")]
    Pair(String),
    /// A name or a value that no member has.
    #[error(transparent)]
    Tag(#[from] BadTag),
}

impl FromStr for PlaceTag {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let pair = text.split_once('=');
        let (key, value) = pair.ok_or_else(|| InvalidPlace::Pair(text.into()))?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Tags::new([(key.clone(), value.clone())])?;
        Ok(Self { key, value })
    }
}

impl TryFrom<String> for PlaceTag {
    type Error = InvalidPlace;

    fn try_from(text: String) -> Result<Self, InvalidPlace> {
        text.parse()
    }
}

impl From<PlaceTag> for String {
    fn from(tag: PlaceTag) -> Self {
        tag.to_string()
    }
}

impl fmt::Display for PlaceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_read_as_people_write_them() {
        for (text, shown) in [
            ("0", "0"),
            ("1", "1/1/3"),
            ("2", "2/2/4"),
            ("3", "2/3/5"),
            ("5", "3/5/7"),
            ("64", "33/64/64"),
            ("1/2/3", "1/2/3"),
            ("everywhere", "everywhere"),
        ] {
            let replicas: Replicas = text.parse().unwrap();
            assert_eq!(replicas.to_string(), shown, "{text}");
            assert_eq!(
                shown.parse(),
                Ok(replicas),
                "what is shown can be typed back"
            );
        }
        assert_eq!("3".parse(), Ok(Replicas::default()));
        for text in [
            "", "three", "65", "256", "-1", "+3", "2/3", "3/2/5", "0/1/2", "1/2/65", "1/2/3/4",
            "2//5",
        ] {
            assert!(text.parse::<Replicas>().is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_tags() {
        let tag: PlaceTag = "zone=eu-1".parse().unwrap();
        assert_eq!((&*tag.key, &*tag.value), ("zone", "eu-1"));
        assert_eq!(tag.to_string(), "zone=eu-1");
        let equals: PlaceTag = "note=a=b".parse().unwrap();
        assert_eq!(equals.value, "a=b");
        for text in ["zone", "Zone=a", "zone=", "=a"] {
            assert!(text.parse::<PlaceTag>().is_err(), "{text}");
        }
    }
}
