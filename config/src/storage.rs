//! Section `[storage]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, InvalidUnit};

/// The blocks on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Smaller caches, write buffers and pipelines: under 200 MiB resident instead of under 512 MiB,
    /// for a slower `add`.
    pub low_memory: bool,
    /// Bytes of stored blocks at most. Content that nobody keeps makes room, the least recently used
    /// first; when there is none left, an add is refused.
    pub quota: Quota,
}

/// A size such as `50GiB`, or `off`: no limit but the disk's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quota(pub Option<ByteSize>);

impl Quota {
    /// In bytes; `None`: no limit.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        self.0.map(ByteSize::bytes)
    }
}

impl FromStr for Quota {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|size| Self(Some(size)))
    }
}

impl TryFrom<String> for Quota {
    type Error = InvalidUnit;

    fn try_from(text: String) -> Result<Self, InvalidUnit> {
        text.parse()
    }
}

impl From<Quota> for String {
    fn from(quota: Quota) -> Self {
        quota.to_string()
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str("off"),
        }
    }
}
