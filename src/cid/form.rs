//! [`Form`]: how the CIDs that we make look, for the same bytes.

use super::{Cid, Codec, Digest, Hash, IDENTITY, MAX_IDENTITY_SIZE, Version};
use multihash::Multihash;

/// How CIDs are made: everything but the bytes and what these mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// The version; but CIDv0 exists for dag-pb under SHA2-256 only, and anything else is CIDv1.
    pub version: Version,
    /// The hash.
    pub hash: Hash,
    /// Blocks of up to this many bytes, and [`MAX_IDENTITY_SIZE`] at most, are carried by their
    /// (identity) CIDs; `None` for no block, not even an empty one.
    pub inline: Option<u8>,
}

impl Form {
    /// CIDv1 under SHA2-256.
    pub const V1: Self = Self {
        version: Version::V1,
        hash: Hash::Sha2_256,
        inline: None,
    };

    /// CIDv0 where there is one.
    pub const V0: Self = Self {
        version: Version::V0,
        ..Self::V1
    };

    /// The CID that carries these bytes, if in this form it does.
    pub(crate) fn inlined(self, codec: Codec, data: &[u8]) -> Option<Cid> {
        let limit = usize::from(self.inline?).min(MAX_IDENTITY_SIZE);
        if data.len() > limit {
            return None;
        }
        let hash = Multihash::wrap(IDENTITY, data).expect("the limit is what a CID can carry");
        Some(Cid::new_v1(codec.code(), hash))
    }

    /// The CID of a block with this digest, which is one of this form's hash.
    pub(crate) fn cid(self, codec: Codec, digest: &Digest) -> Cid {
        let hash = Multihash::wrap(self.hash.code(), digest.as_bytes())
            .expect("a digest is shorter than what a CID can carry");
        if (self.version, codec, self.hash) == (Version::V0, Codec::DagPb, Hash::Sha2_256) {
            return Cid::new_v0(hash).expect("SHA2-256 is the hash of CIDv0");
        }
        Cid::new_v1(codec.code(), hash)
    }
}

impl From<Version> for Form {
    fn from(version: Version) -> Self {
        Self {
            version,
            ..Self::V1
        }
    }
}
