//! [`Hash`]: the hash functions that blocks are named by.

use std::fmt;
use std::str::FromStr;

use blake2::Blake2b;
use blake2::digest::consts::U32;
use sha2::{Digest as _, Sha256, Sha512};
use sha3::Sha3_256;

/// The longest digest, in bytes: that of SHA2-512.
pub const MAX_DIGEST_SIZE: usize = 64;

/// A hash function whose blocks we make and check. Names and codes are those of the multicodec table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// What everybody uses; the only one that CIDv0 has, and that is computed many blocks at a time.
    #[default]
    Sha2_256,
    /// Twice as long.
    Sha2_512,
    /// Keccak, as standardised.
    Sha3_256,
    /// BLAKE2b, cut to 32 bytes by its own parameter.
    Blake2b256,
    /// BLAKE3 with its usual 32 bytes.
    Blake3,
}

/// A digest: as many bytes as its hash has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    bytes: [u8; MAX_DIGEST_SIZE],
    size: u8,
}

/// A name of no hash that we have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash that can be used; {names} are", names = Hash::NAMES)]
pub struct UnknownHash(String);

impl Hash {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Sha2_256,
        Self::Sha2_512,
        Self::Sha3_256,
        Self::Blake2b256,
        Self::Blake3,
    ];

    /// Their names, for people.
    pub(crate) const NAMES: &str = "sha2-256, sha2-512, sha3-256, blake2b-256 and blake3";

    /// The multihash code.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Sha2_256 => super::SHA2_256,
            Self::Sha2_512 => 0x13,
            Self::Sha3_256 => 0x16,
            Self::Blake2b256 => 0xb220,
            Self::Blake3 => 0x1e,
        }
    }

    /// The hash of this multihash code, if we have it.
    #[must_use]
    pub const fn of_code(code: u64) -> Option<Self> {
        Some(match code {
            super::SHA2_256 => Self::Sha2_256,
            0x13 => Self::Sha2_512,
            0x16 => Self::Sha3_256,
            0xb220 => Self::Blake2b256,
            0x1e => Self::Blake3,
            _ => return None,
        })
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha2_512 => 64,
            Self::Sha2_256 | Self::Sha3_256 | Self::Blake2b256 | Self::Blake3 => 32,
        }
    }

    /// The digest of one message. Many messages under SHA2-256 are faster together
    /// ([`crate::Block::hash_many`]).
    pub(crate) fn digest(self, message: &[u8]) -> Digest {
        match self {
            Self::Sha2_256 => Digest::of(&Sha256::digest(message)),
            Self::Sha2_512 => Digest::of(&Sha512::digest(message)),
            Self::Sha3_256 => Digest::of(&Sha3_256::digest(message)),
            Self::Blake2b256 => Digest::of(&Blake2b::<U32>::digest(message)),
            Self::Blake3 => Digest::of(blake3::hash(message).as_bytes()),
        }
    }
}

impl Digest {
    /// A digest of these bytes, at most [`MAX_DIGEST_SIZE`].
    pub(crate) fn of(digest: &[u8]) -> Self {
        let mut bytes = [0; MAX_DIGEST_SIZE];
        bytes[..digest.len()].copy_from_slice(digest);
        let size = u8::try_from(digest.len()).expect("no digest is longer than 64 bytes");
        Self { bytes, size }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size.into()]
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha2_256 => "sha2-256",
            Self::Sha2_512 => "sha2-512",
            Self::Sha3_256 => "sha3-256",
            Self::Blake2b256 => "blake2b-256",
            Self::Blake3 => "blake3",
        })
    }
}

impl FromStr for Hash {
    type Err = UnknownHash;

    /// Case does not matter, as in Kubo.
    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        Self::ALL
            .into_iter()
            .find(|hash| hash.to_string().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownHash(name.chars().take(128).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of the empty message, from the functions' own specifications.
    #[test]
    fn digests_are_those_of_the_specifications() {
        let empty = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
            "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        ];
        for (hash, hex) in Hash::ALL.into_iter().zip(empty) {
            let digest = hash.digest(b"");
            let expected = data_encoding::HEXLOWER.encode(digest.as_bytes());
            assert_eq!(expected, hex, "{hash}");
            assert_eq!(digest.as_bytes().len(), hash.size());
        }
    }

    #[test]
    fn names_and_codes_lead_back() {
        for hash in Hash::ALL {
            assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
            assert_eq!(Hash::of_code(hash.code()), Some(hash));
            assert!(Hash::NAMES.contains(&hash.to_string()));
        }
        let error = "md5".parse::<Hash>().unwrap_err().to_string();
        assert!(
            error.contains("`md5`") && error.contains("blake3"),
            "{error}"
        );
    }
}
