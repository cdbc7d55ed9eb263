//! Section `[storage]`.

use serde::{Deserialize, Serialize};

/// The blocks on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Smaller caches, write buffers and pipelines: under 200 MiB resident instead of under 512 MiB,
    /// for a slower `add`.
    pub low_memory: bool,
}
