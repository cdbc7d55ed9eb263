//! Whose pin records are taken, as the repo says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use store::repo::Repo;
use store::wire::member::MemberId;

use super::Admission;
use crate::members::peer_of;
use crate::owners::Owners;
use crate::swarm_key::SwarmKey;

/// The list of owners is read again after so long: a command may have changed it.
const FRESH: Duration = Duration::from_secs(1);

type List = Option<(Instant, BTreeMap<PeerId, u64>)>;

impl Admission {
    /// That of the swarm that the repo is of: of a private one all, of an open one those owners that were
    /// accepted.
    #[must_use]
    pub fn of(repo: &Arc<Repo>, key: Option<SwarmKey>) -> Self {
        let Some(key) = key else {
            let (repo, list) = (Arc::downgrade(repo), Mutex::new(None));
            return Self::Open(Box::new(move |owner| quota(&repo, &list, owner)));
        };
        Self::Private(key)
    }
}

/// Bytes that an owner may have here.
fn quota(repo: &Weak<Repo>, list: &Mutex<List>, owner: &MemberId) -> u64 {
    let (Some(repo), Some(owner)) = (repo.upgrade(), peer_of(owner)) else {
        return 0;
    };
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.as_ref().is_none_or(|(read, _)| read.elapsed() > FRESH) {
        let owners = Owners::of(repo).list().unwrap_or_else(|error| {
            tracing::warn!(%error, "nobody is stored for");
            Vec::new()
        });
        *list = Some((Instant::now(), owners.into_iter().collect()));
    }
    let quotas = list.as_ref().map(|(_, quotas)| quotas);
    quotas
        .and_then(|quotas| quotas.get(&owner))
        .copied()
        .unwrap_or(0)
}
