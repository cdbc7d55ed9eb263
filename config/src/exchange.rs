//! Section `[exchange]`.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rate::{RateLimit, TimedLimit};
use crate::units::{ByteSize, Duration, InvalidUnit};

/// Blocks from others, and ours to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// A get ends with an error when nothing new came for this long: no provider, no block.
    pub stall_timeout: Duration,
    /// Bytes that one download has asked for, or holds, and not yet written.
    pub download_memory: ByteSize,
    /// Bytes per second to all others together.
    pub upload_limit: RateLimit,
    /// Bytes per second from all others together.
    pub download_limit: RateLimit,
    /// Bytes per second to each peer.
    pub peer_upload_limit: RateLimit,
    /// Bytes per second from each peer.
    pub peer_download_limit: RateLimit,
    /// Limits for all peers together by time of day, instead of the two above; of several that hold
    /// at a time the first counts.
    pub limits_by_time: Vec<TimedLimit>,
    /// Peers that are served at the same time in an open swarm, besides one by chance.
    pub upload_slots: NonZeroU16,
    /// Content that is here and not pinned is announced for so long after it was used last.
    pub announce_cached: AnnounceCached,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(60),
            download_memory: ByteSize::mebibytes(64),
            upload_limit: RateLimit::default(),
            download_limit: RateLimit::default(),
            peer_upload_limit: RateLimit::default(),
            peer_download_limit: RateLimit::default(),
            limits_by_time: Vec::new(),
            upload_slots: NonZeroU16::new(8).expect("not zero"),
            announce_cached: AnnounceCached::default(),
        }
    }
}

/// A duration such as `1h`, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnnounceCached(pub Option<Duration>);

impl AnnounceCached {
    /// As the standard library has it; `None`: only what is pinned is announced.
    #[must_use]
    pub fn get(self) -> Option<std::time::Duration> {
        self.0.map(Duration::get)
    }
}

impl Default for AnnounceCached {
    fn default() -> Self {
        Self(Some(Duration::from_hours(1)))
    }
}

impl FromStr for AnnounceCached {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|time| Self(Some(time)))
    }
}

impl TryFrom<String> for AnnounceCached {
    type Error = InvalidUnit;

    fn try_from(text: String) -> Result<Self, InvalidUnit> {
        text.parse()
    }
}

impl From<AnnounceCached> for String {
    fn from(time: AnnounceCached) -> Self {
        time.to_string()
    }
}

impl fmt::Display for AnnounceCached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => time.fmt(f),
            None => f.write_str("off"),
        }
    }
}
