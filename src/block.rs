//! [`Block`]: bytes that match their CID. Its constructors hash, so that a block cannot exist
//! unverified (I1): it is the only door to disk and to the user.

use bytes::Bytes;

use crate::cid::{self, Cid, CidError, Codec, Version};

/// The largest block that we make, take or give: Kubo's and Bitswap's limit.
pub const MAX_BLOCK_SIZE: usize = 2 << 20;

/// Bytes and the CID that they have been checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

/// Why bytes are not a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The bytes are not those that the CID names.
    #[error("the bytes given for `{cid}` hash to `{actual}`")]
    Mismatch {
        /// What was asked for.
        cid: Cid,
        /// What the bytes are.
        actual: Cid,
    },
    /// More than [`MAX_BLOCK_SIZE`] bytes.
    #[error("a block of {size} bytes; at most {MAX_BLOCK_SIZE} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// A CID whose bytes we cannot check.
    #[error(transparent)]
    Cid(#[from] CidError),
}

impl Block {
    /// Checks `data` against `cid`.
    pub fn verify(cid: Cid, data: Bytes) -> Result<Self, BlockError> {
        Self::verify_many(vec![(cid, data)])
            .pop()
            .expect("one result for one block")
    }

    /// Checks many blocks at once: independent messages are hashed in one core's vector lanes, which
    /// is several times faster than one after another (sixteen at a time are best).
    ///
    /// The results are in the order of `items`.
    #[must_use]
    pub fn verify_many(items: Vec<(Cid, Bytes)>) -> Vec<Result<Self, BlockError>> {
        let digests = digests(items.iter().map(|(_, data)| data));
        items
            .into_iter()
            .zip(digests)
            .map(|((cid, data), digest)| {
                cid::check(&cid)?;
                check_size(&data)?;
                let matches = match cid::identity_data(&cid) {
                    Some(inline) => inline == data,
                    None => cid.hash().digest() == digest,
                };
                if matches {
                    Ok(Self { cid, data })
                } else {
                    let codec = Codec::of(&cid)?;
                    let actual = cid::from_digest(cid.version(), codec, &digest);
                    Err(BlockError::Mismatch { cid, actual })
                }
            })
            .collect()
    }

    /// The block of these bytes: hashes them and makes the CID.
    pub fn hash(version: Version, codec: Codec, data: Bytes) -> Result<Self, BlockError> {
        let mut blocks = Self::hash_many(version, codec, vec![data])?;
        Ok(blocks.pop().expect("one block for one message"))
    }

    /// The blocks of many byte strings, in their order, hashed together like
    /// [`Block::verify_many`].
    pub fn hash_many(
        version: Version,
        codec: Codec,
        messages: Vec<Bytes>,
    ) -> Result<Vec<Self>, BlockError> {
        messages.iter().try_for_each(check_size)?;
        let digests = digests(messages.iter());
        Ok(messages
            .into_iter()
            .zip(digests)
            .map(|(data, digest)| Self {
                cid: cid::from_digest(version, codec, &digest),
                data,
            })
            .collect())
    }

    /// The block that an identity CID carries in itself.
    #[must_use]
    pub fn inline(cid: &Cid) -> Option<Self> {
        cid::check(cid).ok()?;
        let data = Bytes::copy_from_slice(cid::identity_data(cid)?);
        Some(Self { cid: *cid, data })
    }

    /// Its CID.
    #[must_use]
    pub const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Its bytes.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (Cid, Bytes) {
        (self.cid, self.data)
    }
}

fn check_size(data: &Bytes) -> Result<(), BlockError> {
    if data.len() > MAX_BLOCK_SIZE {
        return Err(BlockError::TooLarge { size: data.len() });
    }
    Ok(())
}

fn digests<'a>(messages: impl Iterator<Item = &'a Bytes>) -> Vec<[u8; 32]> {
    let messages: Vec<&[u8]> = messages.map(AsRef::as_ref).collect();
    let mut digests = vec![[0; 32]; messages.len()];
    tape_sha256::hash_many(&messages, &mut digests);
    digests
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    proptest! {
        /// `tape-sha256` is young: it must say what `sha2` says, whatever the lengths and the number
        /// of messages hashed together.
        #[test]
        fn hashes_as_sha2_does(lengths in prop::collection::vec(0_usize..5000, 0..40), seed: u8) {
            let messages: Vec<Bytes> = lengths
                .iter()
                .enumerate()
                .map(|(i, &n)| (0..n).map(|j| (i * 31 + j * 7).to_le_bytes()[0] ^ seed).collect())
                .collect();
            let blocks = Block::hash_many(Version::V1, Codec::Raw, messages.clone()).unwrap();
            for (block, message) in blocks.iter().zip(&messages) {
                let expected: [u8; 32] = Sha256::digest(message).into();
                prop_assert_eq!(block.cid().hash().digest(), expected);
                prop_assert_eq!(block.data(), message);
            }
        }
    }

    #[test]
    fn wrong_bytes_are_named() {
        let good = Block::hash(Version::V1, Codec::Raw, Bytes::from_static(b"good")).unwrap();
        let evil = Block::hash(Version::V1, Codec::Raw, Bytes::from_static(b"evil")).unwrap();
        let results = Block::verify_many(vec![
            (*good.cid(), good.data().clone()),
            (*good.cid(), evil.data().clone()),
        ]);
        assert_eq!(results[0], Ok(good.clone()));
        let expected = BlockError::Mismatch {
            cid: *good.cid(),
            actual: *evil.cid(),
        };
        assert_eq!(results[1], Err(expected));
    }

    #[test]
    fn too_large_is_refused() {
        let data = Bytes::from(vec![0; MAX_BLOCK_SIZE + 1]);
        let error = Block::hash(Version::V1, Codec::Raw, data).unwrap_err();
        assert_eq!(
            error,
            BlockError::TooLarge {
                size: MAX_BLOCK_SIZE + 1
            }
        );
        assert!(Block::hash(Version::V1, Codec::Raw, vec![0; MAX_BLOCK_SIZE].into()).is_ok());
    }

    #[test]
    fn identity_cids_carry_their_block() {
        let cid = cid::parse("bafkqabtimvwgy3yk").unwrap();
        assert_eq!(
            Block::inline(&cid).unwrap().data(),
            &Bytes::from_static(b"hello\n")
        );
        assert!(Block::verify(cid, Bytes::from_static(b"other")).is_err());
    }
}
