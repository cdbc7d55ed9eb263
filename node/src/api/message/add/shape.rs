//! [`Shape`]: the flags of `add` that shape CIDs, and what they mean together.

use serde::{Deserialize, Serialize};
use store::chunk::ChunkerError;
use store::cid::{Hash, MAX_IDENTITY_SIZE, UnknownHash, Version};
use store::unixfs::hamt::Fanout;
use store::unixfs::profile::{FileLayout, MAX_FILE_LINKS, Profile, UnknownProfile};

/// What shapes CIDs: a profile, and where it is departed from. Texts as people type them, so that
/// whoever holds the repo says what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// The profile's name (`unixfs-v1-2025`).
    pub profile: String,
    /// Another chunker than the profile's (`size-262144`).
    pub chunker: Option<String>,
    /// Another hash than the profile's (`blake3`).
    pub hash: Option<String>,
    /// Another version of CIDs than the profile's: 0 or 1.
    pub cid_version: Option<u8>,
    /// Whether leaves are raw.
    pub raw_leaves: Option<bool>,
    /// Trickle trees instead of balanced ones.
    pub trickle: bool,
    /// Blocks of up to this many bytes are carried by their CIDs.
    pub inline: Option<u32>,
    /// The most links in a node of a file.
    pub max_file_links: Option<u32>,
    /// The most links in a directory that is not sharded; 0 for no bound.
    pub max_directory_links: Option<u32>,
    /// The most links in a shard of a directory.
    pub max_hamt_fanout: Option<u32>,
    /// Whether entries say permissions or times: then leaves are never raw, for a raw one that is all
    /// of its file could not say them.
    pub described: bool,
}

/// What is wrong with a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// No such profile.
    #[error("`--profile`: {0}")]
    Profile(#[from] UnknownProfile),
    /// No such chunker.
    #[error("`--chunker`: {0}")]
    Chunker(#[from] ChunkerError),
    /// No such hash.
    #[error("`--hash`: {0}")]
    Hash(#[from] UnknownHash),
    /// Neither 0 nor 1.
    #[error("`--cid-version`: there is no version {0}; 0 and 1 are")]
    Version(u8),
    /// CIDv0 with another hash than its own.
    #[error(
        "`--cid-version 0` with `--hash {0}`: CIDv0 has sha2-256 only; version 1 has all hashes"
    )]
    VersionZero(Hash),
    /// Raw leaves, and something to say of a file that is one.
    #[error(
        "`--raw-leaves` with permissions or times: a raw leaf has no place for them; \
         leave one of the two out"
    )]
    RawDescribed,
    /// More than a CID can carry.
    #[error("`--inline-limit`: a CID carries up to {MAX_IDENTITY_SIZE} bytes, not {0}")]
    Inline(u32),
    /// A tree that never ends, or nodes that no block has room for.
    #[error("`--max-file-links`: 2 to {MAX_FILE_LINKS} are allowed, not {0}")]
    FileLinks(u32),
    /// No fanout of a shard.
    #[error("`--max-hamt-fanout`: a power of two from 8 to 1024 is needed, not {0}")]
    Fanout(u32),
}

impl Shape {
    /// What an import takes. This is the only place that says what the flags mean; it follows Kubo.
    pub fn profile(&self) -> Result<Profile, ShapeError> {
        let mut profile: Profile = self.profile.parse()?;
        if let Some(chunker) = &self.chunker {
            profile.chunker = chunker.parse()?;
        }
        if let Some(hash) = &self.hash {
            profile.form.hash = hash.parse()?;
        }
        profile.form.version = self.version(&profile)?;
        profile.raw_leaves = self.has_raw_leaves(&profile)?;
        if self.trickle {
            profile.file_layout = FileLayout::Trickle;
        }
        if let Some(limit) = self.inline {
            let fits = u8::try_from(limit).ok();
            let fits = fits.filter(|&limit| usize::from(limit) <= MAX_IDENTITY_SIZE);
            profile.form.inline = Some(fits.ok_or(ShapeError::Inline(limit))?);
        }
        if let Some(links) = self.max_file_links {
            let fits = (2..=MAX_FILE_LINKS).contains(&(links as usize));
            profile.file_links = fits
                .then_some(links as usize)
                .ok_or(ShapeError::FileLinks(links))?;
        }
        if let Some(links) = self.max_directory_links {
            profile.directory_links = (links > 0).then_some(links as usize);
        }
        if let Some(children) = self.max_hamt_fanout {
            let fanout = Fanout::new(children.into());
            profile.hamt_fanout = fanout.ok_or(ShapeError::Fanout(children))?;
        }
        Ok(profile)
    }

    /// Another hash than SHA2-256 needs CIDv1, and brings it where no version is asked for.
    fn version(&self, profile: &Profile) -> Result<Version, ShapeError> {
        let hash = profile.form.hash;
        match self.cid_version {
            None if hash == Hash::Sha2_256 => Ok(profile.form.version),
            None | Some(1) => Ok(Version::V1),
            Some(0) if hash == Hash::Sha2_256 => Ok(Version::V0),
            Some(0) => Err(ShapeError::VersionZero(hash)),
            Some(other) => Err(ShapeError::Version(other)),
        }
    }

    /// CIDv1 brings raw leaves where nothing else is asked for; what is said of files forbids them.
    fn has_raw_leaves(&self, profile: &Profile) -> Result<bool, ShapeError> {
        match self.raw_leaves {
            Some(true) if self.described => Err(ShapeError::RawDescribed),
            Some(raw) => Ok(raw),
            None if self.described => Ok(false),
            None => Ok(profile.raw_leaves || profile.form.version == Version::V1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v0() -> Shape {
        Shape {
            profile: "unixfs-v0-2015".into(),
            ..Shape::default()
        }
    }

    fn v1() -> Shape {
        Shape {
            profile: "unixfs-v1-2025".into(),
            ..Shape::default()
        }
    }

    #[test]
    fn what_is_left_out_is_the_profiles() {
        assert_eq!(v0().profile(), Ok(Profile::V0_2015));
        assert_eq!(v1().profile(), Ok(Profile::V1_2025));
    }

    #[test]
    fn versions_hashes_and_raw_leaves_follow_from_each_other() {
        let of = |shape: Shape| {
            let profile = shape.profile().unwrap();
            (profile.form.version, profile.raw_leaves)
        };
        let cid_version = Some(1);
        assert_eq!(
            of(Shape {
                cid_version,
                ..v0()
            }),
            (Version::V1, true)
        );
        let hash = Some("blake3".into());
        assert_eq!(of(Shape { hash, ..v0() }), (Version::V1, true));
        let cid_version = Some(0);
        assert_eq!(
            of(Shape {
                cid_version,
                ..v1()
            }),
            (Version::V0, true)
        );
        let raw_leaves = Some(false);
        let both = Shape {
            cid_version: Some(1),
            raw_leaves,
            ..v0()
        };
        assert_eq!(of(both), (Version::V1, false));
        let raw_leaves = Some(true);
        assert_eq!(of(Shape { raw_leaves, ..v0() }), (Version::V0, true));
        let described = true;
        assert_eq!(of(Shape { described, ..v1() }), (Version::V1, false));
    }

    #[test]
    fn nonsense_is_refused_and_says_why() {
        let refused = |change: fn(&mut Shape), why: &str| {
            let mut shape = v1();
            change(&mut shape);
            let error = shape.profile().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        let old_blake3 = |shape: &mut Shape| {
            (shape.hash, shape.cid_version) = (Some("blake3".into()), Some(0));
        };
        refused(old_blake3, "CIDv0 has sha2-256 only");
        let raw_described = |shape: &mut Shape| {
            (shape.raw_leaves, shape.described) = (Some(true), true);
        };
        refused(raw_described, "no place for them");
        refused(|shape| shape.cid_version = Some(2), "no version 2");
        refused(|shape| shape.hash = Some("md5".into()), "`md5`");
        refused(|shape| shape.inline = Some(129), "up to 128 bytes, not 129");
        refused(|shape| shape.inline = Some(300), "not 300");
        refused(|shape| shape.max_file_links = Some(1), "not 1");
        refused(|shape| shape.max_file_links = Some(u32::MAX), "2 to 65536");
        refused(|shape| shape.max_hamt_fanout = Some(12), "power of two");
        refused(
            |shape| shape.chunker = Some("rabin-1-2-3".into()),
            "--chunker",
        );
        refused(|shape| shape.profile = "best".into(), "`best`");
    }
}
