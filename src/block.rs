//! [`Block`]: bytes that match their CID. Its constructors hash, so that a block cannot exist
//! unverified (I1): it is the only door to disk and to the user.

use bytes::Bytes;

use crate::cid::{self, Cid, CidError, Codec, Digest, Form, Hash};

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

    /// Checks many blocks at once: independent messages under SHA2-256 are hashed in one core's
    /// vector lanes, which is several times faster than one after another (sixteen at a time are
    /// best). Other hashes come one by one.
    ///
    /// The results are in the order of `items`.
    #[must_use]
    pub fn verify_many(items: Vec<(Cid, Bytes)>) -> Vec<Result<Self, BlockError>> {
        let checked: Vec<Result<Option<Hash>, BlockError>> = items
            .iter()
            .map(|(cid, data)| {
                cid::check(cid)?;
                check_size(data)?;
                Ok(Hash::of_code(cid.hash().code()))
            })
            .collect();
        let hashed = checked.iter().zip(&items);
        let messages = hashed.map(|(hash, (_, data))| match hash {
            Ok(Some(hash)) => Some((*hash, data.as_ref())),
            // An identity CID, or one that is refused: nothing to hash.
            Ok(None) | Err(_) => None,
        });
        let digests = digests(messages);
        checked
            .into_iter()
            .zip(items)
            .zip(digests)
            .map(
                |((checked, (cid, data)), digest)| match (checked?, digest) {
                    (Some(hash), Some(digest)) => compare(cid, hash, data, &digest),
                    _ => carried(cid, data),
                },
            )
            .collect()
    }

    /// The block of these bytes: hashes them and makes the CID.
    pub fn hash(form: impl Into<Form>, codec: Codec, data: Bytes) -> Result<Self, BlockError> {
        let mut blocks = Self::hash_many(form, codec, vec![data])?;
        Ok(blocks.pop().expect("one block for one message"))
    }

    /// The blocks of many byte strings, in their order, hashed together like
    /// [`Block::verify_many`]. Where the form says so, CIDs carry what is short enough.
    pub fn hash_many(
        form: impl Into<Form>,
        codec: Codec,
        messages: Vec<Bytes>,
    ) -> Result<Vec<Self>, BlockError> {
        let form = form.into();
        messages.iter().try_for_each(check_size)?;
        let inlined: Vec<Option<Cid>> = messages
            .iter()
            .map(|data| form.inlined(codec, data))
            .collect();
        let to_hash = inlined.iter().zip(&messages);
        let digests = digests(to_hash.map(|(cid, data)| match cid {
            None => Some((form.hash, data.as_ref())),
            Some(_) => None,
        }));
        Ok(messages
            .into_iter()
            .zip(inlined)
            .zip(digests)
            .map(|((data, inlined), digest)| {
                let named = || form.cid(codec, &digest.expect("hashed where not carried"));
                let cid = inlined.unwrap_or_else(named);
                Self { cid, data }
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

/// The block, if its bytes have the digest that its CID names.
fn compare(cid: Cid, hash: Hash, data: Bytes, digest: &Digest) -> Result<Block, BlockError> {
    if cid.hash().digest() == digest.as_bytes() {
        return Ok(Block { cid, data });
    }
    let form = Form {
        hash,
        ..Form::from(cid.version())
    };
    let actual = form.cid(Codec::of(&cid)?, digest);
    Err(BlockError::Mismatch { cid, actual })
}

/// The block, if its bytes are those that its identity CID carries.
fn carried(cid: Cid, data: Bytes) -> Result<Block, BlockError> {
    if cid::identity_data(&cid) == Some(&data) {
        return Ok(Block { cid, data });
    }
    let digest = Hash::default().digest(&data);
    let actual = Form::V1.cid(Codec::of(&cid)?, &digest);
    Err(BlockError::Mismatch { cid, actual })
}

/// One digest for each message that has a hash; all those under SHA2-256 are computed together.
fn digests<'a>(messages: impl Iterator<Item = Option<(Hash, &'a [u8])>>) -> Vec<Option<Digest>> {
    let mut together: Vec<&[u8]> = Vec::new();
    let mut places = Vec::new();
    let mut digests = Vec::new();
    for (at, message) in messages.enumerate() {
        digests.push(match message {
            Some((Hash::Sha2_256, data)) => {
                together.push(data);
                places.push(at);
                None
            }
            Some((hash, data)) => Some(hash.digest(data)),
            None => None,
        });
    }
    let mut sha2 = vec![[0; 32]; together.len()];
    tape_sha256::hash_many(&together, &mut sha2);
    for (at, digest) in places.into_iter().zip(sha2) {
        digests[at] = Some(Digest::of(&digest));
    }
    digests
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::cid::Version;

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

    #[test]
    fn blocks_of_all_hashes_are_checked_together() {
        let mut blocks = Vec::new();
        for (i, hash) in (0_u8..).zip(Hash::ALL.into_iter().cycle().take(40)) {
            for (inline, version) in [(None, Version::V1), (Some(16), Version::V0)] {
                let form = Form {
                    version,
                    hash,
                    inline,
                };
                for codec in [Codec::Raw, Codec::DagPb] {
                    blocks.push(Block::hash(form, codec, vec![i; i.into()].into()).unwrap());
                }
            }
        }
        let parts: Vec<(Cid, Bytes)> = blocks.iter().cloned().map(Block::into_parts).collect();
        let good: Vec<Block> = Block::verify_many(parts.clone())
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(good, blocks);
        let evil = parts
            .into_iter()
            .map(|(cid, _)| (cid, Bytes::from_static(b"evil")));
        for (result, good) in Block::verify_many(evil.collect()).into_iter().zip(good) {
            let error = result.unwrap_err();
            let BlockError::Mismatch { cid, actual } = error else {
                panic!("{error}")
            };
            assert_eq!(&cid, good.cid());
            assert_ne!(actual, cid);
        }
    }

    #[test]
    fn short_blocks_are_carried_where_the_form_says_so() {
        let form = Form {
            inline: Some(4),
            ..Form::V0
        };
        let cid = |bytes: &'static [u8]| {
            *Block::hash(form, Codec::DagPb, Bytes::from_static(bytes))
                .unwrap()
                .cid()
        };
        assert_eq!(cid(b"\x0a\x02\x08\x01").to_string(), "bafyaabakaieac");
        assert_eq!(cid(b"12345").version(), Version::V0);
        assert_eq!(cid::identity_data(&cid(b"")), Some(b"".as_slice()));
    }
}
