//! [`SwarmKey`]: what the members of a private swarm have in common, and nobody else has.
//!
//! 32 random bytes. Written as text, with a checksum, so that a slip of the pen is told instead of leading into
//! a swarm of one. Whatever is used of it is derived by HMAC-SHA-256 under a label of its own
//! (docs/protocol.md, "Membership"); the key itself goes nowhere.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::repo::{Repo, RepoError, RepoFile};

use crate::network::NetworkName;

/// Bytes of a key.
const LENGTH: usize = 32;

/// Bytes of its checksum: one slip in 4 billion is not noticed.
const CHECKSUM: usize = 4;

/// What its text begins with, so that it is recognised for what it is, by people and by scanners for
/// secrets.
const PREFIX: &str = "store-swarm-key-";

/// What its checksum covers before the key.
const CHECKSUM_LABEL: &[u8] = b"store swarm key checksum 1";

/// What the key of all proofs is derived under.
const PROOF_LABEL: &[u8] = b"store swarm proof 1";

/// What the key of withdrawals in the swarm's name is derived under.
const PINS_LABEL: &[u8] = b"store swarm pins 1";

/// What the name of the swarm is derived under.
const NAME_LABEL: &[u8] = b"store swarm name 1";

/// Bytes of the derived name: enough that no two swarms in the world have the same.
const NAME: usize = 16;

/// The key of a private swarm.
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmKey([u8; LENGTH]);

/// A text that is no key. It does not say the text: that is a secret, but for a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSwarmKey {
    /// Not one at all.
    #[error("this is no swarm key: one begins with `{PREFIX}`")]
    Prefix,
    /// Not as long as one.
    #[error(
        "this is no whole swarm key: after `{PREFIX}` it has 58 letters and digits, and this {0}"
    )]
    Length(usize),
    /// A letter that keys do not have.
    #[error("this swarm key is mistyped: after `{PREFIX}` it has a-z and 2-7 only")]
    Letter,
    /// The checksum is another.
    #[error("this swarm key is mistyped: its checksum does not fit")]
    Checksum,
}

/// Why the swarm key of a repo cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwarmKeyError {
    /// The file.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// What is in it. Without its key, a member must not go out into the open.
    #[error(
        "the swarm key of repo `{}` cannot be read: {source}; `store swarm join` writes it anew", .path.display()
    )]
    Damaged {
        /// The repo.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: BadSwarmKey,
    },
}

impl SwarmKey {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no randomness to give: there is nothing to do then.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = [0; LENGTH];
        OsRng
            .try_fill_bytes(&mut key)
            .expect("the system has randomness");
        Self(key)
    }

    /// From its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// As it is written: the one way to get the secret out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = self.0.to_vec();
        bytes.extend_from_slice(&self.checksum());
        PREFIX.to_owned() + &BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    }

    /// The name of its network, which is no secret: it stands in the names of all protocols.
    #[must_use]
    pub fn network(&self) -> NetworkName {
        let name = self.derive(NAME_LABEL);
        let name = BASE32_NOPAD.encode(&name.as_ref()[..NAME]);
        format!("p-{}", name.to_ascii_lowercase())
            .parse()
            .expect("letters and digits can name a network")
    }

    /// The key that members prove themselves with.
    pub(crate) fn proof(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.derive(PROOF_LABEL).as_ref())
    }

    /// The key that withdraws pin records of others. Every member has it, so it shows no more than that one
    /// did.
    pub(crate) fn pins(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.derive(PINS_LABEL).as_ref())
    }

    fn derive(&self, label: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), label)
    }

    fn checksum(&self) -> [u8; CHECKSUM] {
        let digest = digest(&SHA256, &[CHECKSUM_LABEL, &self.0].concat());
        digest.as_ref()[..CHECKSUM]
            .try_into()
            .expect("a digest is longer")
    }

    /// The key that `repo` keeps; `None` for a node of an open swarm.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn load(repo: &Repo) -> Result<Option<Self>, SwarmKeyError> {
        let Some(bytes) = repo.file(RepoFile::SwarmKey)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse() {
            Ok(key) => Ok(Some(key)),
            Err(source) => Err(SwarmKeyError::Damaged {
                path: repo.path().to_owned(),
                source,
            }),
        }
    }

    /// Keeps it in `repo`, for the owner alone to read. Durable when it returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, repo: &Repo) -> Result<(), RepoError> {
        repo.set_file(RepoFile::SwarmKey, (self.text() + "\n").as_bytes())
    }

    /// Has `repo` keep none. Durable when it returns.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn forget(repo: &Repo) -> Result<(), RepoError> {
        repo.remove_file(RepoFile::SwarmKey)
    }
}

impl FromStr for SwarmKey {
    type Err = BadSwarmKey;

    fn from_str(text: &str) -> Result<Self, BadSwarmKey> {
        const LETTERS: usize = ((LENGTH + CHECKSUM) * 8).div_ceil(5);
        let text = text.to_ascii_lowercase();
        let letters = text.strip_prefix(PREFIX).ok_or(BadSwarmKey::Prefix)?;
        if letters.chars().count() != LETTERS {
            return Err(BadSwarmKey::Length(letters.chars().count()));
        }
        let bytes = BASE32_NOPAD
            .decode(letters.to_ascii_uppercase().as_bytes())
            .map_err(|_| BadSwarmKey::Letter)?;
        let (key, checksum) = bytes.split_at(LENGTH);
        let key = Self(key.try_into().expect("it was split there"));
        if checksum != key.checksum() {
            return Err(BadSwarmKey::Checksum);
        }
        Ok(key)
    }
}

/// Which swarm's; never the key.
impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmKey(of {})", self.network().as_str())
    }
}

impl Serialize for SwarmKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for SwarmKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use store::repo::RepoOptions;

    use super::*;

    /// The key of docs/protocol.md's vectors.
    fn vector() -> SwarmKey {
        SwarmKey::from_bytes(std::array::from_fn(|n| u8::try_from(n).unwrap()))
    }

    #[test]
    fn the_vectors_of_the_protocol() {
        assert_eq!(
            vector().text(),
            "store-swarm-key-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypzt22c74"
        );
        assert_eq!(vector().network().as_str(), "p-tgedoxmohxtg6xln2hjqhoy3g4");
    }

    #[test]
    fn what_is_written_is_read() {
        let key = SwarmKey::generate();
        assert_ne!(key, SwarmKey::generate());
        assert_eq!(key.text().parse(), Ok(key.clone()));
        assert_eq!(key.text().to_ascii_uppercase().parse(), Ok(key));
    }

    #[test]
    fn every_slip_is_told() {
        let text = vector().text();
        for at in PREFIX.len()..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[at] = if letters[at] == b'a' { b'b' } else { b'a' };
            let slip = String::from_utf8(letters).unwrap();
            let told = slip.parse::<SwarmKey>().unwrap_err();
            // The last letter has bits to spare, which must be zero.
            assert!(
                matches!(told, BadSwarmKey::Checksum | BadSwarmKey::Letter),
                "{at}: {told}"
            );
        }
        assert_eq!(text[1..].parse::<SwarmKey>(), Err(BadSwarmKey::Prefix));
        assert_eq!(
            text[..text.len() - 1].parse::<SwarmKey>(),
            Err(BadSwarmKey::Length(57))
        );
        assert_eq!(
            text.replace("aaaq", "1111").parse::<SwarmKey>(),
            Err(BadSwarmKey::Letter)
        );
        assert!("".parse::<SwarmKey>().is_err());
    }

    #[test]
    fn it_is_not_told_by_accident() {
        let key = vector();
        let secret = &key.text()[PREFIX.len()..];
        assert!(!format!("{key:?}").contains(&secret[..8]));
        let slip = key.text().replace('q', "r");
        let told = slip.parse::<SwarmKey>().unwrap_err();
        assert!(!format!("{told} {told:?}").contains(&secret[..8]));
        assert!(!key.network().as_str().contains(&secret[..8]));
    }

    #[test]
    fn the_repo_keeps_it_for_the_owner() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::open(directory.path(), &RepoOptions::default()).unwrap();
        assert_eq!(SwarmKey::load(&repo).unwrap(), None);
        vector().save(&repo).unwrap();
        assert_eq!(SwarmKey::load(&repo).unwrap(), Some(vector()));
        let file = directory.path().join("swarm.key");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        std::fs::write(&file, "store-swarm-key-").unwrap();
        let error = SwarmKey::load(&repo).unwrap_err().to_string();
        assert!(error.contains("store swarm join"), "{error}");
        SwarmKey::forget(&repo).unwrap();
        SwarmKey::forget(&repo).unwrap();
        assert_eq!(SwarmKey::load(&repo).unwrap(), None);
    }
}
