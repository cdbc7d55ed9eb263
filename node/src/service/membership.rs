//! `swarm init|join|leave|id|key`, `swarm accept|refuse`.

use store::repo::RepoFile;

use super::Service;
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{
    AcceptedOwner, Failure, FailureKind, Item, Membership, MembershipRequest,
};
use crate::draining;
use crate::node::NodeError;
use crate::owners::OwnersError;
use crate::swarm_key::{SwarmKey, SwarmKeyError};

impl Service {
    pub(super) fn membership(
        &self,
        request: MembershipRequest,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        match request {
            MembershipRequest::Init { force } => {
                if !force && let Some(key) = self.swarm_key()? {
                    return Err(there_is_one(&key));
                }
                let key = SwarmKey::generate();
                self.change_swarm(Some(&key))?;
                speaker.item(Item::Membership(self.in_swarm(Some(key), true)))?;
            }
            MembershipRequest::Join { key } => {
                // What cannot be read is written anew.
                if !matches!(SwarmKey::load(&self.repo), Ok(Some(present)) if present == key) {
                    self.change_swarm(Some(&key))?;
                }
                speaker.item(Item::Membership(self.in_swarm(Some(key), false)))?;
            }
            MembershipRequest::Leave => {
                if self.repo.file(RepoFile::SwarmKey)?.is_none() {
                    return Err(there_is_none());
                }
                self.change_swarm(None)?;
                speaker.item(Item::Membership(self.in_swarm(None, false)))?;
            }
            MembershipRequest::Id => {
                let key = self.swarm_key()?;
                speaker.item(Item::Membership(self.in_swarm(key, false)))?;
            }
            MembershipRequest::Key => {
                let key = self.swarm_key()?.ok_or_else(there_is_none)?;
                speaker.item(Item::Membership(self.in_swarm(Some(key), true)))?;
            }
            MembershipRequest::Accept(accepted) => {
                self.owners.accept(accepted.owner, accepted.quota)?;
                speaker.item(Item::AcceptedOwner(accepted))?;
            }
            MembershipRequest::Accepted => {
                for (owner, quota) in self.owners.list()? {
                    speaker.item(Item::AcceptedOwner(AcceptedOwner { owner, quota }))?;
                }
            }
            MembershipRequest::Refuse { owner } => {
                if !self.owners.refuse(&owner)? {
                    return Err(failure(
                        FailureKind::NotFound,
                        format!("owner `{owner}` is not accepted"),
                    )
                    .with_hint("`store swarm accept --list` shows who is"));
                }
            }
        }
        Ok(())
    }

    /// The key of the private swarm that this repo is of.
    pub(super) fn swarm_key(&self) -> Result<Option<SwarmKey>, Failure> {
        Ok(SwarmKey::load(&self.repo)?)
    }

    /// The name of the network that a repo with this key is of.
    pub(super) fn network_name(&self, key: Option<&SwarmKey>) -> String {
        key.map_or_else(
            || self.config.network.name.to_string(),
            |key| key.network().as_str().to_owned(),
        )
    }

    /// Keeps `key`, or none, and moves there with the network, if this process is in one.
    fn change_swarm(&self, key: Option<&SwarmKey>) -> Result<(), Failure> {
        match key {
            Some(key) => key.save(&self.repo)?,
            None => SwarmKey::forget(&self.repo)?,
        }
        // What was said of the old swarm means nothing in another.
        draining::end(&self.repo)?;
        let name = self.network_name(key);
        tracing::info!(network = %name, "moving to another swarm");
        self.joining.rejoin().map_err(|error| {
            failure(
                FailureKind::Error,
                format!("the repo is of swarm `{name}` now, but its node cannot join it: {error}"),
            )
            .with_hint("the node has ended; start it again with `store run`")
        })
    }

    fn in_swarm(&self, key: Option<SwarmKey>, tell: bool) -> Membership {
        Membership {
            network: self.network_name(key.as_ref()),
            private: key.is_some(),
            key: key.filter(|_| tell),
        }
    }
}

fn there_is_one(key: &SwarmKey) -> Failure {
    let name = key.network();
    failure(
        FailureKind::Error,
        format!(
            "this repo is of the private swarm `{}` already",
            name.as_str()
        ),
    )
    .with_hint(
        "`store swarm key` prints its key for others; `store swarm init --force` makes a new swarm, and \
         leaves this one",
    )
}

fn there_is_none() -> Failure {
    failure(FailureKind::Error, "this repo is of no private swarm")
        .with_hint("`store swarm init` makes one, `store swarm join KEY` joins one")
}

impl From<SwarmKeyError> for Failure {
    fn from(error: SwarmKeyError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<OwnersError> for Failure {
    fn from(error: OwnersError) -> Self {
        match error {
            OwnersError::Repo(error) => error.into(),
            other => failure(FailureKind::Error, other.to_string()),
        }
    }
}
