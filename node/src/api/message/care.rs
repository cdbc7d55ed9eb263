//! Messages of what takes care of the repo: `verify`, `repo check`, `backup`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::Cid;

use super::text;

/// What takes care of the repo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CareRequest {
    /// Read and check what is stored. Answered by [`CareItem::Finding`]s and [`CareItem::Verified`].
    Verify(Verify),
    /// How far the scrub is. Answered by [`CareItem::Scrub`].
    ScrubStatus,
    /// Check that the small tables agree. Answered as [`CareRequest::Verify`].
    Check {
        /// Mend what can be made anew.
        repair: bool,
    },
    /// Make a backup. Answered by [`CareItem::Backup`].
    Backup {
        /// The directory of backups, absolute.
        dir: PathBuf,
        /// Only so many generations stay.
        keep: Option<usize>,
    },
}

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// A CID, or a path below one; without it, all that is here.
    pub target: Option<String>,
    /// Fetch what is rotten or missing from others, and mend what can be made anew.
    pub repair: bool,
    /// Give up on a block when nothing came for this long.
    pub timeout: Duration,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CareItem {
    /// Something is not as it should be.
    Finding(Found),
    /// All was looked at.
    Verified(Verified),
    /// How far the scrub is.
    Scrub(ScrubStatus),
    /// A backup was made.
    Backup(Backup),
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What sort of thing: `rot`, `missing`, `dangling`, `orphan`, `links`, `sums`, `pin`, `table`, `log`.
    pub kind: String,
    /// The block, if it is about one.
    #[serde(with = "optional_text")]
    pub cid: Option<Cid>,
    /// More, for people.
    pub reason: String,
    /// The pins, and what is held of others' pins, above it.
    pub pins: Vec<Hit>,
    /// Whether it was mended; `None` where nobody tried.
    pub repaired: Option<bool>,
    /// Why it was not.
    pub failure: Option<String>,
}

/// What keeps a block from above, and where the block is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Its root.
    #[serde(with = "text")]
    pub root: Cid,
    /// The pin's name.
    pub name: Option<String>,
    /// The file or directory, by its names below the root; empty for the root itself.
    pub path: String,
    /// The first of the file's bytes that are in the block or below it.
    pub offset: Option<u64>,
}

/// All was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Blocks, or rows of a check, that were looked at.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was found.
    pub found: u64,
    /// How much of it was mended.
    pub repaired: u64,
}

/// How far the scrub is. Times are in seconds since 1970; 0 is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Seconds in which it looks at everything once; `None` where it is off.
    pub interval: Option<u64>,
    /// When the pass began that is under way, or is the last.
    pub started: u64,
    /// When the last whole pass ended.
    pub finished: u64,
    /// Blocks that this pass has looked at.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
    /// What this pass has found.
    pub found: u64,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its directory.
    pub dir: PathBuf,
    /// Counts up from 1.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Blocks in it.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of its files.
    pub size: u64,
    /// Bytes that were copied for it; the rest was there from earlier ones.
    pub copied: Option<u64>,
}

impl Backup {
    /// A generation in `dir`.
    #[must_use]
    pub fn of(dir: PathBuf, generation: &store::backup::Generation) -> Self {
        Self {
            dir,
            number: generation.number,
            created: generation.created,
            blocks: generation.blocks,
            bytes: generation.bytes,
            size: generation.size(),
            copied: None,
        }
    }
}

mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use store::Cid;

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(cid: &Option<Cid>, to: S) -> Result<S::Ok, S::Error> {
        cid.map(|cid| cid.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cid>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Cid::try_from(text.as_str()).map_err(|e| D::Error::custom(e.to_string())))
            .transpose()
    }
}
