//! Section `[storage]`.

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Duration, OrOff};

/// The blocks on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Smaller caches, write buffers and pipelines: under 200 MiB resident instead of under 512 MiB,
    /// for a slower `add`.
    pub low_memory: bool,
    /// Bytes of stored blocks at most. Content that nobody keeps makes room, the least recently used
    /// first; when there is none left, an add is refused. Off: no limit but the disk's.
    pub quota: OrOff<ByteSize>,
    /// In this time `store run` reads all that is stored once, in the background, and checks it. Off:
    /// nothing is read in the background.
    pub scrub_interval: OrOff<Duration>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            low_memory: false,
            quota: OrOff(None),
            scrub_interval: OrOff(Some(Duration::from_hours(30 * 24))),
        }
    }
}
