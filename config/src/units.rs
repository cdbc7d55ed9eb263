//! Sizes and durations as people write them: `64MiB`, `12h`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes; `64MiB`, `1.5 GB` or a plain number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A span of time; `30s`, `12h`, `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

/// A moment, in whole seconds since 1970; `2030-01-31T12:00:00Z` (RFC 3339, UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u64);

/// A size or a duration, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(
        serialize = "T: Clone + fmt::Display",
        deserialize = "T: FromStr<Err = InvalidUnit>"
    )
)]
pub struct OrOff<T>(pub Option<T>);

/// Not a size, a duration or a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}; expected something like {example}")]
pub struct InvalidUnit {
    text: String,
    what: &'static str,
    example: &'static str,
}

impl OrOff<ByteSize> {
    /// In bytes; `None`: off.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        self.0.map(ByteSize::bytes)
    }
}

impl OrOff<Duration> {
    /// As the standard library has it; `None`: off.
    #[must_use]
    pub fn get(self) -> Option<std::time::Duration> {
        self.0.map(Duration::get)
    }
}

impl<T: FromStr> FromStr for OrOff<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value)))
    }
}

impl<T: FromStr> TryFrom<String> for OrOff<T> {
    type Error = T::Err;

    fn try_from(text: String) -> Result<Self, T::Err> {
        text.parse()
    }
}

impl<T: fmt::Display> From<OrOff<T>> for String {
    fn from(value: OrOff<T>) -> Self {
        value.to_string()
    }
}

impl<T: fmt::Display> fmt::Display for OrOff<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl ByteSize {
    /// So many MiB.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Duration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(count: u64) -> Self {
        Self(std::time::Duration::from_secs(count))
    }

    /// So many hours.
    #[must_use]
    pub const fn from_hours(count: u64) -> Self {
        Self::from_secs(count * 3600)
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        text.trim()
            .parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| InvalidUnit {
                text: text.into(),
                what: "size",
                example: "`64MiB` or `2GB`",
            })
    }
}

impl FromStr for Duration {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        humantime::parse_duration(text.trim())
            .map(Self)
            .map_err(|_| InvalidUnit {
                text: text.into(),
                what: "duration",
                example: "`30s`, `5m` or `12h`",
            })
    }
}

impl FromStr for Date {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let time = humantime::parse_rfc3339_weak(text.trim()).ok();
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since
            .map(|since| Self(since.as_secs()))
            .ok_or_else(|| InvalidUnit {
                text: text.into(),
                what: "time",
                example: "`2030-01-31T12:00:00Z`",
            })
    }
}

/// In the largest binary unit that loses nothing: what is shown can be typed back.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        for (shift, unit) in units {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a size such as \"64MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a duration such as \"30s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("2GB", 2_000_000_000),
            ("1.5KiB", 1536),
            ("100", 100),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        assert_eq!("12h".parse(), Ok(Duration::from_hours(12)));
        assert_eq!("1m 30s".parse(), Ok(Duration::from_secs(90)));
        let error = "soon".parse::<Duration>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`soon` is no duration; expected something like `30s`, `5m` or `12h`"
        );
        assert!("5".parse::<Duration>().is_err(), "five what?");
        assert!("lots".parse::<ByteSize>().is_err());
        for text in ["2030-01-31T12:00:00Z", "2030-01-31 12:00:00"] {
            assert_eq!(text.parse(), Ok(Date(1_896_091_200)), "{text}");
        }
        for text in ["2030-13-01T00:00:00Z", "1950-01-01T00:00:00Z", "tomorrow"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed_back() {
        for bytes in [
            0,
            1,
            1023,
            1024,
            1536,
            64 << 20,
            (1 << 30) + 1,
            1 << 40,
            u64::MAX,
        ] {
            assert_eq!(
                ByteSize(bytes).to_string().parse(),
                Ok(ByteSize(bytes)),
                "{bytes}"
            );
        }
        assert_eq!(ByteSize::mebibytes(64).to_string(), "64MiB");
        assert_eq!(Duration::from_hours(12).to_string(), "12h");
    }
}
