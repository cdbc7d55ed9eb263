//! [`Owners`]: whom this node stores for in an open swarm, and how much for each. Nobody, unless told.
//!
//! What is kept for others is decided by replication; this is the list that it asks. It lies in the repo's
//! file `owners`, one line for each: peer id, space, bytes.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::{BASE64, BASE64_NOPAD};
use libp2p::PeerId;
use libp2p::identity::PublicKey;
use store::repo::{Repo, RepoError, RepoFile};

/// Owners at most: a person types each of them.
const MAX_OWNERS: usize = 4096;

/// The list of one repo. Read when it is first asked for.
pub struct Owners {
    repo: Arc<Repo>,
    quotas: Mutex<Option<Quotas>>,
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners")
            .field("quotas", &self.quotas)
            .finish_non_exhaustive()
    }
}

/// Bytes that each owner may have here.
type Quotas = BTreeMap<PeerId, u64>;

/// Why the list cannot be had, or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnersError {
    /// The file.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Its content.
    #[error(
        "line {line} of the file `owners` in repo `{}` is damaged; remove the line, or the file and \
         accept anew", .path.display()
    )]
    Damaged {
        /// The repo.
        path: std::path::PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// No more of them.
    #[error("{MAX_OWNERS} owners are accepted, and no more can be; refuse some of them first")]
    TooMany,
}

/// An owner, as people name one: a peer id, or a public key as libp2p writes it, in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerKey(pub PeerId);

/// A text that names no owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no owner: give a peer id (12D3KooW…, as `store id` prints it), or a public key in \
     base64 (CAESI…)"
)]
pub struct BadOwner(String);

impl FromStr for OwnerKey {
    type Err = BadOwner;

    fn from_str(text: &str) -> Result<Self, BadOwner> {
        if let Ok(peer) = text.parse() {
            return Ok(Self(peer));
        }
        let bad = || BadOwner(text.chars().take(80).collect());
        let bytes = BASE64
            .decode(text.as_bytes())
            .or_else(|_| BASE64_NOPAD.decode(text.as_bytes()))
            .map_err(|_| bad())?;
        let key = PublicKey::try_decode_protobuf(&bytes).map_err(|_| bad())?;
        Ok(Self(key.to_peer_id()))
    }
}

impl Owners {
    /// Those of `repo`.
    #[must_use]
    pub const fn of(repo: Arc<Repo>) -> Self {
        Self {
            repo,
            quotas: Mutex::new(None),
        }
    }

    /// Accepts `owner` with `quota` bytes, or gives it another quota. Durable when it returns.
    ///
    /// # Errors
    /// If there are too many, or the file cannot be read or written.
    pub fn accept(&self, owner: PeerId, quota: u64) -> Result<(), OwnersError> {
        self.change(|quotas| {
            quotas.insert(owner, quota);
        })
    }

    /// Accepts `owner` no longer; `false` where it was not accepted. Durable when it returns.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn refuse(&self, owner: &PeerId) -> Result<bool, OwnersError> {
        let mut was = false;
        self.change(|quotas| was = quotas.remove(owner).is_some())?;
        Ok(was)
    }

    /// All of them with their quotas in bytes, by peer id.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn list(&self) -> Result<Vec<(PeerId, u64)>, OwnersError> {
        let mut list = self.lock();
        let quotas = self.loaded(&mut list)?;
        Ok(quotas
            .iter()
            .map(|(owner, quota)| (*owner, *quota))
            .collect())
    }

    /// Whether `owner` may have `bytes` here in all: what is stored for it, and what is to be.
    ///
    /// # Errors
    /// If the file cannot be read; nobody is accepted then.
    pub fn accepts(&self, owner: &PeerId, bytes: u64) -> Result<bool, OwnersError> {
        let mut list = self.lock();
        let quotas = self.loaded(&mut list)?;
        Ok(quotas.get(owner).is_some_and(|quota| bytes <= *quota))
    }

    fn change(&self, change: impl FnOnce(&mut Quotas)) -> Result<(), OwnersError> {
        let mut list = self.lock();
        let mut quotas = self.loaded(&mut list)?.clone();
        change(&mut quotas);
        if quotas.len() > MAX_OWNERS {
            return Err(OwnersError::TooMany);
        }
        let mut text = String::new();
        for (owner, quota) in &quotas {
            writeln!(text, "{owner} {quota}").expect("a string takes everything");
        }
        self.repo.set_file(RepoFile::Owners, text.as_bytes())?;
        *list = Some(quotas);
        Ok(())
    }

    fn loaded<'a>(&self, list: &'a mut Option<Quotas>) -> Result<&'a Quotas, OwnersError> {
        if list.is_none() {
            *list = Some(self.read()?);
        }
        Ok(list.as_ref().expect("it was just read"))
    }

    fn read(&self) -> Result<Quotas, OwnersError> {
        let bytes = self.repo.file(RepoFile::Owners)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let parse = |(number, line): (usize, &str)| {
            let owner = line.split_once(' ');
            let owner =
                owner.and_then(|(owner, quota)| Some((owner.parse().ok()?, quota.parse().ok()?)));
            owner.ok_or_else(|| OwnersError::Damaged {
                path: self.repo.path().to_owned(),
                line: number + 1,
            })
        };
        text.lines().enumerate().map(parse).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Quotas>> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use store::repo::RepoOptions;
    use tempfile::TempDir;

    use super::*;

    fn open(directory: &TempDir) -> Arc<Repo> {
        Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap())
    }

    #[test]
    fn nobody_is_stored_for_unless_told() {
        let directory = tempfile::tempdir().unwrap();
        let owners = Owners::of(open(&directory));
        assert_eq!(owners.list().unwrap(), []);
        assert!(!owners.accepts(&PeerId::random(), 0).unwrap());
        assert!(!directory.path().join("owners").exists());
    }

    #[test]
    fn an_owner_has_its_quota_and_no_more_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (PeerId::random(), PeerId::random());
        let check = |owners: &Owners| {
            assert!(owners.accepts(&one, 0).unwrap());
            assert!(owners.accepts(&one, 1000).unwrap());
            assert!(!owners.accepts(&one, 1001).unwrap());
            assert!(!owners.accepts(&other, 1).unwrap());
        };
        let owners = Owners::of(open(&directory));
        owners.accept(one, 7).unwrap();
        owners.accept(one, 1000).unwrap();
        owners.accept(other, u64::MAX).unwrap();
        assert!(owners.refuse(&other).unwrap());
        assert!(!owners.refuse(&other).unwrap());
        check(&owners);
        drop(owners);
        let owners = Owners::of(open(&directory));
        check(&owners);
        assert_eq!(owners.list().unwrap(), [(one, 1000)]);
    }

    #[test]
    fn a_damaged_list_accepts_nobody_and_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let repo = open(&directory);
        let owner = PeerId::random();
        let text = format!("{owner} 10\n{owner} many\n");
        repo.set_file(RepoFile::Owners, text.as_bytes()).unwrap();
        let owners = Owners::of(Arc::clone(&repo));
        let damaged = |error| matches!(error, OwnersError::Damaged { line: 2, .. });
        assert!(damaged(owners.accepts(&owner, 1).unwrap_err()));
        assert!(damaged(owners.accept(owner, 1).unwrap_err()));
        assert_eq!(
            repo.file(RepoFile::Owners).unwrap().unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn there_are_not_too_many() {
        let directory = tempfile::tempdir().unwrap();
        let repo = open(&directory);
        let mut text = String::new();
        for _ in 0..MAX_OWNERS {
            writeln!(text, "{} 1", PeerId::random()).unwrap();
        }
        repo.set_file(RepoFile::Owners, text.as_bytes()).unwrap();
        let owners = Owners::of(repo);
        let error = owners.accept(PeerId::random(), 1).unwrap_err();
        assert!(matches!(error, OwnersError::TooMany));
        let known = owners.list().unwrap()[0].0;
        owners.accept(known, 2).unwrap();
        assert!(owners.accepts(&known, 2).unwrap());
    }

    #[test]
    fn peer_ids_and_public_keys_name_owners() {
        let key = Keypair::generate_ed25519().public();
        let peer = key.to_peer_id();
        let base64 = BASE64.encode(&key.encode_protobuf());
        assert_eq!(peer.to_string().parse(), Ok(OwnerKey(peer)));
        assert_eq!(base64.parse(), Ok(OwnerKey(peer)));
        for text in ["", "12D3KooW", "nobody", "CAESI"] {
            assert!(text.parse::<OwnerKey>().is_err(), "{text}");
        }
    }
}
