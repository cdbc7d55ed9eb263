//! [`Profile`]: every choice that changes the CID of a tree. IPIP-499 names two sets of them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::hamt::Fanout;
use crate::chunk::Chunker;
use crate::cid::Form;

/// How trees become DAGs. The same profile makes the same CIDs on every machine, and those of Kubo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How CIDs look; but a raw leaf's version is always 1.
    pub form: Form,
    /// Whether a file's leaves are its bytes alone, or dag-pb nodes around them.
    pub raw_leaves: bool,
    /// How files are cut.
    pub chunker: Chunker,
    /// How a file's leaves become a tree.
    pub file_layout: FileLayout,
    /// Most links in a file's node, or most leaves in one of a trickle tree: 2 to
    /// [`MAX_FILE_LINKS`].
    pub file_links: usize,
    /// A directory of more links than these is sharded, whatever its size.
    pub directory_links: Option<usize>,
    /// Most links in a shard of a large directory.
    pub hamt_fanout: Fanout,
    /// A directory larger than this many bytes is sharded.
    pub hamt_threshold: u64,
    /// How a directory is measured against the threshold.
    pub hamt_estimate: Estimate,
}

/// How a file's leaves become a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLayout {
    /// All leaves equally deep.
    Balanced,
    /// Those that come first near the root.
    Trickle,
}

/// More links than these no block has room for, and nobody's memory should be asked to hold them.
pub const MAX_FILE_LINKS: usize = 1 << 16;

/// How the size of a directory is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// Bytes of all names and CIDs.
    Links,
    /// Bytes of the block that the directory would be.
    Block,
}

/// A profile name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a profile; `unixfs-v1-2025` and `unixfs-v0-2015` are")]
pub struct UnknownProfile(String);

impl Profile {
    /// `unixfs-v1-2025`: what we use unless told otherwise.
    pub const V1_2025: Self = Self {
        form: Form::V1,
        raw_leaves: true,
        chunker: Chunker::Fixed(NonZeroU32::new(1 << 20).expect("not zero")),
        file_layout: FileLayout::Balanced,
        file_links: 1024,
        directory_links: None,
        hamt_fanout: Fanout::DEFAULT,
        hamt_threshold: 256 << 10,
        hamt_estimate: Estimate::Block,
    };

    /// `unixfs-v0-2015`: what Kubo does without a profile.
    pub const V0_2015: Self = Self {
        form: Form::V0,
        raw_leaves: false,
        chunker: Chunker::Fixed(NonZeroU32::new(256 << 10).expect("not zero")),
        file_layout: FileLayout::Balanced,
        file_links: 174,
        directory_links: None,
        hamt_fanout: Fanout::DEFAULT,
        hamt_threshold: 256 << 10,
        hamt_estimate: Estimate::Links,
    };
}

impl Default for Profile {
    fn default() -> Self {
        Self::V1_2025
    }
}

/// The profile's name; of one that was changed, the name that it began as is not known.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::V1_2025 => "unixfs-v1-2025",
            Self::V0_2015 => "unixfs-v0-2015",
            _ => "custom",
        })
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "unixfs-v1-2025" => Ok(Self::V1_2025),
            "unixfs-v0-2015" | "legacy-cid-v0" => Ok(Self::V0_2015),
            _ => Err(UnknownProfile(name.chars().take(128).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubo() {
        assert_eq!("unixfs-v1-2025".parse(), Ok(Profile::V1_2025));
        assert_eq!("legacy-cid-v0".parse(), Ok(Profile::V0_2015));
        for name in ["unixfs-v1-2025", "unixfs-v0-2015"] {
            assert_eq!(name.parse::<Profile>().unwrap().to_string(), name);
        }
        assert!("unixfs-v2".parse::<Profile>().is_err());
    }
}
