//! Section `[exchange]`.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::rate::{RateLimit, TimedLimit};
use crate::units::{ByteSize, Duration, OrOff};

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
    /// Content that is here and not pinned is announced for so long after it was used last. Off:
    /// only what is pinned is announced.
    pub announce_cached: OrOff<Duration>,
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
            announce_cached: OrOff(Some(Duration::from_hours(1))),
        }
    }
}
