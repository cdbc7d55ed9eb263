//! Who this node is: an Ed25519 key that lives in the repo, made at first use.

use libp2p::identity::{DecodingError, Keypair};
use store::repo::{Repo, RepoError};

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The key cannot be read or written.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// What is stored is no key.
    #[error("the identity key in `{path}` cannot be read: {source}; move it away to get a new one")]
    Damaged {
        /// The repo.
        path: std::path::PathBuf,
        /// What the decoder said.
        source: DecodingError,
    },
}

/// The keypair of `repo`; makes one and stores it if there is none.
///
/// # Errors
/// If the repo cannot be read or written, or holds something else than a key.
///
/// # Panics
/// Never: a key made here can be encoded.
pub fn load_or_create(repo: &Repo) -> Result<Keypair, IdentityError> {
    if let Some(bytes) = repo.identity()? {
        return Keypair::from_protobuf_encoding(&bytes).map_err(|source| IdentityError::Damaged {
            path: repo.path().to_owned(),
            source,
        });
    }
    let keypair = Keypair::generate_ed25519();
    let bytes = keypair
        .to_protobuf_encoding()
        .expect("an Ed25519 key made here can be encoded");
    repo.set_identity(&bytes)?;
    Ok(keypair)
}
