//! Section `[api]`.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The socket in the repo on which other commands talk to the one that holds its lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Commands that are served at once; one more waits. Each has a thread.
    pub max_commands: NonZeroU32,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            max_commands: NonZeroU32::new(64).expect("64 is not zero"),
        }
    }
}
