//! [`Joining`]: whether this process is in the network: always, for a node; for a command, from the
//! moment that something has to come from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::repo::Repo;
use store_config::Config;
use tokio::runtime::Runtime;

use super::{Joined, NodeError, TASKS_END, runtime};
use crate::network::Role;

/// The network, or the way there.
#[derive(Debug)]
pub(crate) struct Joining(Mutex<Place>);

#[derive(Debug)]
enum Place {
    /// Somebody else started it, and ends it.
    Node(Arc<Joined>),
    /// Nothing was needed from there yet.
    Outside,
    /// Joined for a command; later ones on the same repo use it too.
    Own {
        runtime: Runtime,
        joined: Arc<Joined>,
    },
    /// The process ends.
    Left,
}

impl Joining {
    pub(crate) fn already(joined: Arc<Joined>) -> Self {
        Self(Mutex::new(Place::Node(joined)))
    }

    pub(crate) fn when_needed() -> Self {
        Self(Mutex::new(Place::Outside))
    }

    /// The network, if this process is in it.
    pub(crate) fn current(&self) -> Option<Arc<Joined>> {
        match &*self.place() {
            Place::Node(joined) | Place::Own { joined, .. } => Some(Arc::clone(joined)),
            Place::Outside | Place::Left => None,
        }
    }

    /// The network, if this process stays in it.
    pub(crate) fn node(&self) -> Option<Arc<Joined>> {
        match &*self.place() {
            Place::Node(joined) => Some(Arc::clone(joined)),
            Place::Outside | Place::Own { .. } | Place::Left => None,
        }
    }

    /// The network; joins it as a client where need be. Others that need it wait for that.
    pub(crate) fn join(&self, config: &Config, repo: &Arc<Repo>) -> Result<Arc<Joined>, NodeError> {
        self.join_as(Role::Client, config, repo)
    }

    /// The network; joins it in this role where need be.
    pub(crate) fn join_as(
        &self,
        role: Role,
        config: &Config,
        repo: &Arc<Repo>,
    ) -> Result<Arc<Joined>, NodeError> {
        let mut place = self.place();
        match &*place {
            Place::Node(joined) | Place::Own { joined, .. } => Ok(Arc::clone(joined)),
            Place::Left => Err(NodeError::Ending),
            Place::Outside => {
                let runtime = runtime()?;
                let joined = Arc::new(runtime.block_on(Joined::start(config, repo, role))?);
                *place = Place::Own {
                    runtime,
                    joined: Arc::clone(&joined),
                };
                Ok(joined)
            }
        }
    }

    /// Moves to the swarm whose key the repo keeps now, if this process is in one.
    pub(crate) fn rejoin(&self) -> Result<(), NodeError> {
        match self.current() {
            Some(joined) => joined.rejoin(),
            None => Ok(()),
        }
    }

    /// Leaves the network if it was joined here. Bounded.
    pub(crate) fn leave(&self) {
        let place = std::mem::replace(&mut *self.place(), Place::Left);
        if let Place::Own { runtime, joined } = place {
            runtime.block_on(joined.shutdown());
            drop(joined);
            runtime.shutdown_timeout(TASKS_END);
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
