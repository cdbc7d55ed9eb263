//! Section `[exchange]`.

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration};

/// Fetching blocks from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// A get ends with an error when nothing new came for this long: no provider, no block.
    pub stall_timeout: Duration,
    /// Bytes that one download has asked for, or holds, and not yet written.
    pub download_memory: ByteSize,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(60),
            download_memory: ByteSize::mebibytes(64),
        }
    }
}
