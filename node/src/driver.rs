//! [`Driver`]: the one task that owns the swarm. It routes: an event of a protocol to the service that
//! understands it, a command of the handle to the service that does it. No map, no decision and no
//! disk access is here (I4); every queue that leads here is bounded (I5).

mod start;

use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::{Swarm, SwarmEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Interval;

use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::command::Command;
use crate::discovery::{self, Discovery};
use crate::exchange::codec::ChunkCodec;
use crate::framing::ReplicaCodec;
use crate::listen::Listeners;
use crate::members::{self, GOODBYE};
use crate::peers::Peers;
use crate::requests::Requests;
use crate::writer::Written;

/// How long connections have to close, and then records to reach the disk, at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Commands taken in a row at most, before the swarm has its turn again.
const COMMANDS_PER_TURN: usize = 32;

/// The task's state.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    tick: Interval,
    listeners: Listeners,
    peers: Peers,
    discovery: Discovery,
    members: members::Service,
    requests: Requests<ChunkCodec>,
    replica: Requests<ReplicaCodec>,
    written: Written,
}

impl Driver {
    /// Runs until somebody shuts it down, or the last handle is gone.
    pub(crate) async fn run(mut self) {
        let done = loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown { done }) => break Some(done),
                    Some(command) => {
                        self.on_command(command);
                        if let Some(done) = self.drain() {
                            break Some(done);
                        }
                    }
                    None => break None,
                },
                _ = self.tick.tick() => self.on_tick(),
                () = self.members.due() => {
                    let addresses = self.listeners.addresses();
                    self.members.on_tick(&mut self.swarm, &mut self.peers, addresses);
                }
            }
        };
        Box::pin(self.close()).await;
        if let Some(done) = done {
            // Fails only when nobody waits for it.
            let _ = done.send(());
        }
    }

    /// Takes the commands that are there already: the swarm need not be polled between them.
    fn drain(&mut self) -> Option<oneshot::Sender<()>> {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.try_recv().ok()? {
                Command::Shutdown { done } => return Some(done),
                command => self.on_command(command),
            }
        }
        None
    }

    fn on_command(&mut self, command: Command) {
        let swarm = &mut self.swarm;
        match command {
            Command::Request {
                peer,
                request,
                reply,
            } => {
                let addresses = self.peers.addresses(&peer);
                self.requests.ask(swarm, peer, request, addresses, reply);
            }
            Command::Respond {
                channel,
                response,
                sent,
            } => {
                self.requests.answer(swarm, channel, response, Some(sent));
            }
            Command::AskReplica {
                peer,
                request,
                reply,
            } => {
                let addresses = self.peers.addresses(&peer);
                self.replica.ask(swarm, peer, request, addresses, reply);
            }
            Command::AnswerReplica { channel, response } => {
                self.replica.answer(swarm, channel, response, None);
            }
            Command::OpenBulk { peer, reply } => swarm.behaviour_mut().bulk.open(peer, reply),
            Command::Providers { root, found } => self.discovery.find(swarm, &root, found),
            Command::Provide { root } => self.discovery.provide(swarm, &root),
            Command::StopProviding { root } => self.discovery.stop_providing(swarm, &root),
            Command::Connect {
                peer,
                addresses,
                reply,
            } => {
                self.peers.connect(swarm, peer, addresses, reply);
            }
            Command::Remember { peer, addresses } => self.peers.heard(peer, &addresses, None),
            // Who asked and went does not care for the answer.
            Command::AddressesOf { peers, reply } => {
                drop(reply.send(self.peers.addresses_of(peers)));
            }
            Command::Members { reply } => {
                drop(reply.send((self.members.members(), self.members.sight())));
            }
            Command::Offer { offer } => self.members.offer(&offer),
            Command::SetLeaving { leaving, noted } => {
                self.members
                    .set_leaving(swarm, &mut self.peers, leaving, noted);
            }
            Command::Hold { holdings } => self.members.hold(holdings),
            Command::Peers { reply } => drop(reply.send(self.peers.list())),
            Command::Addresses { reply } => drop(reply.send(self.listeners.full())),
            Command::Shutdown { done } => drop(done),
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let swarm = &mut self.swarm;
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                self.listeners.on_new(swarm, listener_id, &address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listeners.on_expired(swarm, &address);
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.listeners.on_closed(swarm, listener_id);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.peers.on_opened(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.peers.on_closed(peer_id, connection_id, &endpoint);
                self.members.on_closed(swarm, &mut self.peers, &peer_id);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id,
                connection_id,
                error,
            } => {
                self.peers.on_dial_error(connection_id, peer_id, &error);
                self.members.on_dial_error(swarm, &mut self.peers, peer_id);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => {
                tracing::debug!(from = %send_back_addr, %error, "incoming connection failed");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        let (swarm, peers) = (&mut self.swarm, &mut self.peers);
        match event {
            BehaviourEvent::Identify(event) => {
                self.members.on_identify(swarm, peers, &event);
                peers.on_identify(swarm, event);
            }
            BehaviourEvent::Ping(event) => peers.on_ping(&event),
            BehaviourEvent::Mdns(event) => discovery::mdns::on_event(swarm, peers, event),
            BehaviourEvent::Kademlia(event) => self.discovery.on_event(swarm, peers, event),
            BehaviourEvent::Gossip(event) => self.members.on_gossip(swarm, peers, event),
            BehaviourEvent::Member(event) => self.members.on_event(swarm, peers, event),
            BehaviourEvent::Replica(event) => self.replica.on_event(swarm, peers, event),
            BehaviourEvent::Exchange(event) => self.requests.on_event(swarm, peers, event),
            BehaviourEvent::Bulk(never) => match never {},
        }
    }

    fn on_tick(&mut self) {
        self.peers.on_tick(&mut self.swarm);
        self.discovery.on_tick(&mut self.swarm);
    }

    /// Tells the other members, which takes one round trip.
    async fn say_goodbye(&mut self) {
        self.members.leave(&mut self.swarm, &mut self.peers);
        let told = async {
            while !self.members.is_noted() {
                let event = self.swarm.select_next_some().await;
                self.on_swarm_event(event);
            }
        };
        if tokio::time::timeout(GOODBYE, told).await.is_err() {
            tracing::debug!("not every member took note of our goodbye");
        }
    }

    /// Says goodbye, stops listening, closes all connections, and waits until the last record is on disk.
    async fn close(mut self) {
        self.commands.close();
        self.say_goodbye().await;
        self.listeners.stop(&mut self.swarm);
        for peer in self.peers.connected() {
            // An error means that it is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let swarm = &mut self.swarm;
        let closed =
            async { while swarm.network_info().num_peers() > 0 && swarm.next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            tracing::debug!("some peers did not let go in time");
        }
        let Self {
            swarm,
            peers,
            discovery,
            members,
            written,
            ..
        } = self;
        // The last of those who write: the writer ends when they are gone.
        drop((swarm, peers, discovery, members));
        if tokio::time::timeout(CLOSE_TIMEOUT, written).await.is_err() {
            tracing::warn!("what was learned of the swarm was not written in time");
        }
    }
}
