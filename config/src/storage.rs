//! Section `[storage]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration, InvalidUnit};

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
    /// In this time `store run` reads all that is stored once, in the background, and checks it.
    pub scrub_interval: ScrubInterval,
}

/// A duration such as `30days`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScrubInterval(pub Option<Duration>);

impl ScrubInterval {
    /// As the standard library has it; `None`: nothing is read in the background.
    #[must_use]
    pub fn get(self) -> Option<std::time::Duration> {
        self.0.map(Duration::get)
    }
}

impl Default for ScrubInterval {
    fn default() -> Self {
        Self(Some(Duration::from_hours(30 * 24)))
    }
}

impl FromStr for ScrubInterval {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|interval| Self(Some(interval)))
    }
}

impl TryFrom<String> for ScrubInterval {
    type Error = InvalidUnit;

    fn try_from(text: String) -> Result<Self, InvalidUnit> {
        text.parse()
    }
}

impl From<ScrubInterval> for String {
    fn from(interval: ScrubInterval) -> Self {
        interval.to_string()
    }
}

impl fmt::Display for ScrubInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(interval) => interval.fmt(f),
            None => f.write_str("off"),
        }
    }
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
