//! Section `[exchange]`.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration};

/// Fetching blocks from others, and serving them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// A get ends with an error when nothing new came for this long: no provider, no block.
    pub stall_timeout: Duration,
    /// Bytes asked for and not yet written, over all downloads of the process.
    pub download_memory: ByteSize,
    /// Requests of other peers that are answered at once. Each holds one answer in memory, at most
    /// 4 MiB.
    pub serve_at_once: NonZeroU32,
    /// Requests of one peer that are answered or wait; one more is answered by "busy".
    pub serve_per_peer: NonZeroU32,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(60),
            download_memory: ByteSize::mebibytes(64),
            serve_at_once: NonZeroU32::new(8).expect("8 is not zero"),
            serve_per_peer: NonZeroU32::new(32).expect("32 is not zero"),
        }
    }
}
