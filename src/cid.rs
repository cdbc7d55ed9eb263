//! CID policy: which CIDs we read, which we make, and how they are written down.
//!
//! We make and read CIDv1, and CIDv0 as well, of `raw` and `dag-pb` blocks under the hashes of
//! [`enum@Hash`], plus identity CIDs of up to [`MAX_IDENTITY_SIZE`] bytes.

mod form;
mod hash;

use std::fmt;

pub use ::cid::Version;
use multihash::Multihash;

pub use form::Form;
pub(crate) use hash::Digest;
pub use hash::{Hash, MAX_DIGEST_SIZE, UnknownHash};

/// A content identifier. It has room for what an identity CID carries; none is longer in memory.
pub type Cid = ::cid::CidGeneric<MAX_IDENTITY_SIZE>;

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
    /// An identity CID of more than [`MAX_IDENTITY_SIZE`] bytes.
    #[error("an identity CID that carries {size} bytes; at most {MAX_IDENTITY_SIZE} are allowed")]
    Identity {
        /// The bytes that it carries.
        size: u64,
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
        "CID `{cid}` has hash {code:#x}; only {names} can be checked, and identity CIDs",
        names = Hash::NAMES
    )]
    Hash {
        /// The CID.
        cid: Cid,
        /// Its multihash code.
        code: u64,
    },
    /// A digest of the wrong length for its hash.
    #[error("CID `{cid}` has a digest of {size} bytes, which its hash does not have")]
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
    let cid = Cid::try_from(bare).map_err(|error| {
        // What is too long for a CID in memory is mostly this; say so.
        let too_long = multibase(bare).and_then(|bytes| identity_too_long(&bytes));
        too_long.unwrap_or_else(|| CidError::Text {
            text: bare.chars().take(128).collect(),
            reason: error.to_string(),
        })
    })?;
    check(&cid)?;
    Ok(cid)
}

/// The bytes of a CIDv1 in base32, the form that everybody writes.
fn multibase(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('b')?;
    // No CID that is worth an explanation is longer.
    let digits = digits.get(..digits.len().min(64)).unwrap_or(digits);
    let whole = digits.len() / 8 * 8;
    data_encoding::BASE32_NOPAD
        .decode(digits.get(..whole)?.to_uppercase().as_bytes())
        .ok()
}

/// The error for what begins like an identity CID that carries too much.
fn identity_too_long(bytes: &[u8]) -> Option<CidError> {
    let mut rest = bytes;
    let mut varint = || {
        let (value, after) = unsigned_varint(rest)?;
        rest = after;
        Some(value)
    };
    let (version, _codec, code, size) = (varint()?, varint()?, varint()?, varint()?);
    (version == 1 && code == IDENTITY && size > MAX_IDENTITY_SIZE as u64)
        .then_some(CidError::Identity { size })
}

/// A varint of at most 63 bits, and what follows it.
fn unsigned_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(9).position(|byte| byte & 0x80 == 0)? + 1;
    let value = bytes[..length]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, &bytes[length..]))
}

/// Reads a CID from exactly `bytes`.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid, CidError> {
    let refuse = |reason: String| identity_too_long(bytes).unwrap_or(CidError::Bytes { reason });
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
    let code = hash.code();
    let expected = match Hash::of_code(code) {
        Some(hash) => hash.size(),
        None if code == IDENTITY => return Ok(()),
        None => return Err(CidError::Hash { cid: *cid, code }),
    };
    if size == expected {
        Ok(())
    } else {
        Err(CidError::Digest { cid: *cid, size })
    }
}

/// The CID of a block with this SHA2-256 digest. CIDv0 exists for dag-pb only: raw is always v1.
#[must_use]
pub fn from_digest(version: Version, codec: Codec, digest: &[u8; 32]) -> Cid {
    Form::from(version).cid(codec, &Digest::of(digest))
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
        Multihash::<MAX_IDENTITY_SIZE>::from_bytes(bytes).ok()?;
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
        let short = Cid::new_v1(0x55, Multihash::wrap(SHA2_256, &[0; 20]).unwrap());
        assert!(matches!(
            check(&short),
            Err(CidError::Digest { size: 20, .. })
        ));
        let cbor = Cid::new_v1(0x71, Multihash::wrap(SHA2_256, &[0; 32]).unwrap());
        assert!(matches!(
            check(&cbor),
            Err(CidError::Codec { code: 0x71, .. })
        ));
    }

    /// The edge that the UnixFS specification draws, with its two examples.
    #[test]
    fn identity_cids_carry_up_to_128_bytes() {
        let digits = |bytes: &[u8]| data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase();
        let carry = |size: u8, byte: u8| {
            let mut bytes = vec![1, 0x55, 0, size | 0x80, 1];
            bytes.extend(vec![byte; size.into()]);
            bytes
        };
        let (fits, long) = (carry(128, b'B'), carry(129, b'A'));
        assert!(digits(&fits).starts_with("afkqbaabijbeeqsci"));
        let cid = from_bytes(&fits).unwrap();
        assert_eq!(identity_data(&cid), Some([b'B'; 128].as_slice()));
        assert_eq!(parse(&format!("b{}", digits(&fits))), Ok(cid));
        assert_eq!(cid.to_bytes(), fits);
        let refused = CidError::Identity { size: 129 };
        assert_eq!(from_bytes(&long), Err(refused.clone()));
        assert_eq!(parse(&format!("b{}", digits(&long))), Err(refused));
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
