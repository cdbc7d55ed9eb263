//! How a [`Driver`] comes to be: what the repo remembers is read beside the async threads, the swarm
//! is built, and every listening address is there before anybody gets a handle.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::kad::RecordKey;
use libp2p::swarm::{self, Swarm};
use store::repo::Repo;
use tokio::sync::{broadcast, mpsc};
use tokio::time::MissedTickBehavior;

use super::Driver;
use crate::behaviour::{Behaviour, IDLE_TIMEOUT};
use crate::blocking::blocking;
use crate::command::Command;
use crate::discovery::store::ProviderStore;
use crate::discovery::{self, Discovery};
use crate::listen::Listeners;
use crate::members;
use crate::network::{Inlets, NetworkConfig, NetworkError, NetworkEvent, Role};
use crate::peers::{self, Peers};
use crate::requests::Requests;
use crate::transport;
use crate::writer::Writer;

/// How often the services look at their clocks.
const TICK: Duration = Duration::from_secs(1);

/// Listening begins at once or not at all.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

impl Driver {
    /// Joins the swarm: returns when all listening addresses are there.
    pub(crate) async fn start(
        mut config: NetworkConfig,
        repo: Arc<Repo>,
        keypair: Keypair,
        commands: mpsc::Receiver<Command>,
        inlets: Inlets,
        events: broadcast::Sender<NetworkEvent>,
    ) -> Result<Self, NetworkError> {
        let local = keypair.public().to_peer_id();
        config.network = config.swarm();
        let metrics = config.metrics.clone();
        let swarm = config.network.as_str().to_owned();
        let memory = Memory::load(Arc::clone(&repo), config.role, swarm).await?;
        let (writer, written) = Writer::start(repo, metrics.clone());
        let store = ProviderStore::new(local, &memory.roots, memory.providers, writer.clone());
        let mut swarm = Swarm::new(
            transport::build(config.transport, &keypair, config.swarm_key.as_ref())?,
            Behaviour::new(&config, &keypair, store, inlets.streams)?,
            local,
            swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT),
        );
        let listeners = Listeners::start(&mut swarm, &config.listen, events.clone())?;
        let members = members::Service::new(&config, &keypair, memory.members, writer.clone())?;
        let network = config.network;
        let mut peers = Peers::new(
            network.clone(),
            local,
            events,
            writer.clone(),
            metrics.clone(),
        );
        peers.seek(config.bootstrap, memory.peers);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut driver = Self {
            swarm,
            commands,
            tick,
            listeners,
            peers,
            discovery: Discovery::new(local, memory.roots, writer, metrics.clone()),
            members,
            requests: Requests::new(inlets.requests, metrics.clone()),
            replica: Requests::new(inlets.replica, metrics),
            written,
        };
        driver.listen().await?;
        Ok(driver)
    }

    /// Serves events until every listener has its address.
    async fn listen(&mut self) -> Result<(), NetworkError> {
        let deadline = tokio::time::Instant::now() + LISTEN_TIMEOUT;
        while let Some(address) = self.listeners.awaited().cloned() {
            let event = tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await;
            let late = |_| NetworkError::ListenTimeout {
                address,
                after: LISTEN_TIMEOUT,
            };
            self.on_swarm_event(event.map_err(late)?);
        }
        Ok(())
    }
}

/// What the repo remembers of the swarm.
struct Memory {
    peers: peers::Remembered,
    members: members::Loaded,
    providers: discovery::store::Remembered,
    roots: Vec<RecordKey>,
}

impl Memory {
    /// Reads it, beside the async threads.
    async fn load(repo: Arc<Repo>, role: Role, swarm: String) -> Result<Self, NetworkError> {
        let load = move || {
            // Who is about to go sends nobody to where he was.
            let (roots, members) = match role {
                Role::Storage => (discovery::load_roots(&repo)?, members::load(&repo, &swarm)?),
                Role::Client | Role::Guest => (Vec::new(), members::Loaded::default()),
            };
            Ok(Self {
                members,
                peers: peers::load(&repo)?,
                providers: discovery::store::load(&repo)?,
                roots,
            })
        };
        blocking(load).await
    }
}
