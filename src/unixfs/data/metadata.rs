//! [`Metadata`]: what UnixFS 1.5 may say of a file, directory or symlink beside what is in it.

use serde::{Deserialize, Serialize};

/// A time of last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mtime {
    /// Seconds since the Unix epoch; negative before it.
    pub seconds: i64,
    /// Nanoseconds of the second, below 10⁹; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanos: Option<u32>,
}

impl Mtime {
    /// From seconds and nanoseconds as the system gives them. No nanoseconds are written as none,
    /// which is what Kubo does.
    #[must_use]
    pub fn new(seconds: i64, nanos: u32) -> Self {
        let nanos = (nanos > 0).then_some(nanos);
        Self { seconds, nanos }
    }
}

/// Permissions and time of last change, where they are stored. Each counts for the CID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Metadata {
    /// Unix permissions: the lowest 12 bits of `st_mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Time of last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Mtime>,
}

impl Metadata {
    /// Nothing is stored: what most trees have.
    pub const NONE: Self = Self {
        mode: None,
        mtime: None,
    };

    /// Whether nothing is stored.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.mode.is_none() && self.mtime.is_none()
    }
}
