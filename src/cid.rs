//! CID policy: which CIDs we read, which we make, and how they are written down.
//!
//! We make CIDv1 (and CIDv0 for the old profile) over sha2-256, and read `raw` and `dag-pb` blocks
//! of these, plus identity CIDs of up to [`MAX_IDENTITY_SIZE`] bytes.

use std::fmt;

pub use ::cid::{Cid, Version};
use multihash::Multihash;

/// Multihash code of SHA2-256 (multicodec table).
pub const SHA2_256: u64 = 0x12;
/// Multihash code of the identity "hash": the CID carries the bytes themselves.
pub const IDENTITY: u64 = 0x00;
/// Identity CIDs longer than this are refused, as Kubo does (128 bytes).
pub const MAX_IDENTITY_SIZE: usize = 128;
/// A CID is never longer than this in binary: version, codec, hash code and length (each a small
/// varint) around at most [`MAX_IDENTITY_SIZE`] bytes of digest.
pub const MAX_CID_SIZE: usize = MAX_IDENTITY_SIZE + 16;

/// What a block's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Bytes of a file, without links.
    Raw,
    /// A dag-pb node: links and data.
    DagPb,
}

impl Codec {
    /// The multicodec code.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Raw => 0x55,
            Self::DagPb => 0x70,
        }
    }

    /// The codec of `cid`.
    pub fn of(cid: &Cid) -> Result<Self, CidError> {
        match cid.codec() {
            0x55 => Ok(Self::Raw),
            0x70 => Ok(Self::DagPb),
            code => Err(CidError::Codec { cid: *cid, code }),
        }
    }
}

/// Why a text or bytes are not a CID that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// The text is no CID.
    #[error("`{text}` is not a CID: {reason}")]
    Text {
        /// What was given, cut at 128 characters.
        text: String,
        /// What the parser said.
        reason: String,
    },
    /// The bytes are no CID.
    #[error("not a CID: {reason}")]
    Bytes {
        /// What the parser said.
        reason: String,
    },
    /// A codec that we cannot read.
    #[error("CID `{cid}` has codec {code:#x}; only raw (0x55) and dag-pb (0x70) can be read")]
    Codec {
        /// The CID.
        cid: Cid,
        /// Its codec.
        code: u64,
    },
    /// A hash that we cannot check.
    #[error(
        "CID `{cid}` has hash {code:#x}; only sha2-256 (0x12) and identity (0x0) can be checked"
    )]
    Hash {
        /// The CID.
        cid: Cid,
        /// Its multihash code.
        code: u64,
    },
    /// A digest of the wrong length for its hash.
    #[error("CID `{cid}` has a digest of {size} bytes, which its hash cannot have")]
    Digest {
        /// The CID.
        cid: Cid,
        /// The digest's length in bytes.
        size: usize,
    },
}

/// Reads a CID as people write it: bare, or behind `/ipfs/` or `ipfs://`. No path may follow.
pub fn parse(text: &str) -> Result<Cid, CidError> {
    let bare = text
        .strip_prefix("ipfs://")
        .or_else(|| text.strip_prefix("/ipfs/"))
        .unwrap_or(text);
    let cid = Cid::try_from(bare).map_err(|error| CidError::Text {
        text: text.chars().take(128).collect(),
        reason: error.to_string(),
    })?;
    check(&cid)?;
    Ok(cid)
}

/// Reads a CID from exactly `bytes`.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid, CidError> {
    let refuse = |reason: String| CidError::Bytes { reason };
    if bytes.len() > MAX_CID_SIZE {
        return Err(refuse(format!(
            "{} bytes long, at most {MAX_CID_SIZE} allowed",
            bytes.len()
        )));
    }
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).map_err(|error| refuse(error.to_string()))?;
    if !rest.is_empty() {
        return Err(refuse(format!("{} bytes follow it", rest.len())));
    }
    check(&cid)?;
    Ok(cid)
}

/// Refuses CIDs whose blocks we could neither check nor read.
pub fn check(cid: &Cid) -> Result<(), CidError> {
    Codec::of(cid)?;
    let hash = cid.hash();
    let size = hash.digest().len();
    match hash.code() {
        SHA2_256 if size == 32 => Ok(()),
        IDENTITY if size <= MAX_IDENTITY_SIZE => Ok(()),
        SHA2_256 | IDENTITY => Err(CidError::Digest { cid: *cid, size }),
        code => Err(CidError::Hash { cid: *cid, code }),
    }
}

/// The CID of a block with this SHA2-256 digest. CIDv0 exists for dag-pb only: raw is always v1.
#[must_use]
pub fn from_digest(version: Version, codec: Codec, digest: &[u8; 32]) -> Cid {
    let hash = Multihash::wrap(SHA2_256, digest).expect("32 bytes fit in a multihash of 64");
    match (version, codec) {
        (Version::V0, Codec::DagPb) => Cid::new_v0(hash).expect("sha2-256 is the hash of CIDv0"),
        _ => Cid::new_v1(codec.code(), hash),
    }
}

/// The bytes that an identity CID carries; `None` for every other CID.
#[must_use]
pub fn identity_data(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == IDENTITY).then(|| cid.hash().digest())
}

/// The key of a block in stores and in the DHT: its multihash, the same for CIDv0, CIDv1 and every
/// codec of the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The key of the block that `cid` names.
    #[must_use]
    pub fn of(cid: &Cid) -> Self {
        Self(cid.hash().to_bytes().into())
    }

    /// Reads a key from exactly the bytes of a multihash; `None` where they are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Multihash::<64>::from_bytes(bytes).ok()?;
        Some(Self(bytes.into()))
    }

    /// The multihash in binary.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let text = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let cid = parse(text).unwrap();
        assert_eq!(cid.to_string(), text);
        assert_eq!(parse(&format!("ipfs://{text}")), Ok(cid));
        assert_eq!(parse(&format!("/ipfs/{text}")), Ok(cid));
        assert_eq!(from_bytes(&cid.to_bytes()), Ok(cid));
    }

    #[test]
    fn refuses_what_cannot_be_checked() {
        assert!(matches!(parse("hello"), Err(CidError::Text { .. })));
        let md5 = Cid::new_v1(0x55, Multihash::wrap(0xd5, &[0; 16]).unwrap());
        assert!(matches!(
            check(&md5),
            Err(CidError::Hash { code: 0xd5, .. })
        ));
        let long = Multihash::<129>::wrap(IDENTITY, &[0; 129]);
        assert!(
            long.is_ok(),
            "the bytes of a too long identity CID can be made"
        );
        let mut bytes = vec![1, 0x55, 0, 0x81, 0x01];
        bytes.extend([0; 129]);
        assert!(from_bytes(&bytes).is_err());
    }

    #[test]
    fn one_key_for_both_versions() {
        let digest = [7; 32];
        let v0 = from_digest(Version::V0, Codec::DagPb, &digest);
        let v1 = from_digest(Version::V1, Codec::DagPb, &digest);
        assert_ne!(v0, v1);
        assert_eq!(Key::of(&v0), Key::of(&v1));
    }
}
