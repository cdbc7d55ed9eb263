//! [`Peers`]: who is connected, who ought to be, and where they all are.
//!
//! A peer counts as ours once identify has told the protocol version of our network; every other is
//! disconnected (I8 begins here: a stranger gets no further than identify). Addresses pass
//! [`address::believe`] before anything dials them or passes them on.

mod connected;
mod table;
mod targets;
mod waiters;

use std::num::NonZeroUsize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::TransportError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Swarm};
use libp2p::{Multiaddr, PeerId, identify, ping};
use lru::LruCache;
use store::records::Family;
use tokio::sync::broadcast;

use self::connected::{Connected, Introduction};
use self::table::{Known, MAX_PEERS, Table};
use self::targets::Targets;
use self::waiters::{Answer, Waiters};
use crate::address;
use crate::behaviour::Behaviour;
use crate::metrics::{IN, Metrics, OUT};
use crate::network::{ConnectError, NetworkEvent, NetworkName, PeerInfo};
use crate::writer::Writer;

/// Peers of an earlier run that are dialed at start: enough to find the swarm again, few enough not
/// to fall upon it.
const REDIALED: usize = 16;

/// Dials of a remembered peer before it is given up.
const REDIALS: u32 = 4;

/// Dials of a peer seen on the LAN before it is given up; it may be about to begin listening.
const LAN_DIALS: u32 = 5;

/// Strangers remembered, so that multicast does not make us dial them again and again.
const STRANGERS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Dials begun in one tick at most, so that the driver goes on with its events.
const DIALS_PER_TICK: usize = 8;

/// The service.
pub(crate) struct Peers {
    network: NetworkName,
    local: PeerId,
    connected: Connected,
    table: Table,
    targets: Targets,
    waiters: Waiters,
    strangers: LruCache<PeerId, ()>,
    events: broadcast::Sender<NetworkEvent>,
    writer: Writer,
    metrics: Metrics,
}

/// What the disk remembers, as [`load`] read it.
pub(crate) type Remembered = Vec<(PeerId, Known)>;

/// Reads the remembered peers. Blocking.
pub(crate) fn load(repo: &store::repo::Repo) -> Result<Remembered, store::blockstore::StoreError> {
    let mut remembered = Vec::new();
    repo.records(Family::Peers).for_each(&mut |key, value| {
        if let (Ok(peer), Some(known)) = (PeerId::from_bytes(key), Known::decode(value)) {
            remembered.push((peer, known));
        }
        remembered.len() < MAX_PEERS.get()
    })?;
    remembered.sort_by_key(|(_, known)| known.seen);
    Ok(remembered)
}

impl Peers {
    pub(crate) fn new(
        network: NetworkName,
        local: PeerId,
        events: broadcast::Sender<NetworkEvent>,
        writer: Writer,
        metrics: Metrics,
    ) -> Self {
        Self {
            network,
            local,
            connected: Connected::default(),
            table: Table::new(),
            targets: Targets::default(),
            waiters: Waiters::default(),
            strangers: LruCache::new(STRANGERS),
            events,
            writer,
            metrics,
        }
    }

    /// Whom to look for from the start.
    pub(crate) fn seek(&mut self, bootstrap: Vec<Multiaddr>, remembered: Remembered) {
        let now = Instant::now();
        for (peer, known) in remembered {
            self.table.restore(peer, known);
        }
        for address in bootstrap {
            if let Some(peer) = address::peer_of(&address) {
                self.heard(peer, std::slice::from_ref(&address), None);
            }
            if address::peer_of(&address) != Some(self.local) {
                self.targets.bootstrap(address, now);
            }
        }
        for peer in self.table.latest(REDIALED) {
            self.targets.try_peer(peer, REDIALS, now);
        }
    }

    /// Dials whom it is time to dial.
    pub(crate) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
        let now = Instant::now();
        for _ in 0..DIALS_PER_TICK {
            let connected = &self.connected;
            let Some(dial) = self.targets.next(now, |peer| connected.contains(peer)) else {
                return;
            };
            let options = match (dial.peer, &dial.address) {
                (Some(peer), address) => {
                    let mut addresses: Vec<_> = address.iter().cloned().collect();
                    addresses.extend(self.table.addresses(&peer));
                    DialOpts::peer_id(peer)
                        .addresses(addresses)
                        .extend_addresses_through_behaviour()
                        .build()
                }
                (None, Some(address)) => {
                    DialOpts::unknown_peer_id().address(address.clone()).build()
                }
                (None, None) => continue,
            };
            let id = options.connection_id();
            match swarm.dial(options) {
                Ok(()) => self.targets.started(&dial, id),
                Err(_) => self.targets.refused(&dial, now, rand::random()),
            }
        }
    }

    /// Connects to a peer for somebody who waits until it has introduced itself.
    pub(crate) fn connect(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        answer: Answer,
    ) {
        let Some(peer) = peer else {
            return self.connect_anyone(swarm, addresses, answer);
        };
        if self.connected.is_introduced(&peer) {
            let _ = answer.send(Ok(peer));
            return;
        }
        self.strangers.pop(&peer);
        let addresses: Vec<_> = addresses
            .iter()
            .filter_map(|address| address::bare(&peer, address))
            .collect();
        self.table.heard(peer, &addresses);
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Disconnected)
            .addresses(
                addresses
                    .into_iter()
                    .chain(self.table.addresses(&peer))
                    .collect(),
            )
            .extend_addresses_through_behaviour()
            .build();
        let id = options.connection_id();
        match swarm.dial(options) {
            Ok(()) => self.waiters.push(Some(id), Some(peer), answer),
            // Connected, but not introduced yet.
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.waiters.push(None, Some(peer), answer);
            }
            Err(error) => {
                let _ = answer.send(Err(explain(Some(peer), &error)));
            }
        }
    }

    fn connect_anyone(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        addresses: Vec<Multiaddr>,
        answer: Answer,
    ) {
        let Some(address) = addresses.into_iter().next() else {
            let _ = answer.send(Err(ConnectError::Unreachable {
                reason: "no address".into(),
            }));
            return;
        };
        let options = DialOpts::unknown_peer_id().address(address).build();
        let id = options.connection_id();
        match swarm.dial(options) {
            Ok(()) => self.waiters.push(Some(id), None, answer),
            Err(error) => {
                let _ = answer.send(Err(explain(None, &error)));
            }
        }
    }

    /// Dials a member, unless it is connected or being dialled already. Says whether it could begin.
    pub(crate) fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) -> bool {
        if self.strangers.contains(&peer) {
            return false;
        }
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(self.table.addresses(&peer))
            .extend_addresses_through_behaviour()
            .build();
        matches!(
            swarm.dial(options),
            Ok(()) | Err(DialError::DialPeerConditionFalse(_))
        )
    }

    pub(crate) fn on_opened(&mut self, peer: PeerId, id: ConnectionId, point: ConnectedPoint) {
        tracing::debug!(%peer, address = %point.get_remote_address(), "connection opened");
        let way = if point.is_dialer() { OUT } else { IN };
        self.metrics.swarm().connections.get_or_create(&way).inc();
        self.targets.succeeded(id, peer);
        self.waiters.opened(id, peer);
        if self.connected.is_introduced(&peer) {
            self.waiters.settle(&peer, &Ok(peer));
        }
        self.connected.opened(peer, id, point);
        self.count();
    }

    pub(crate) fn on_closed(&mut self, peer: PeerId, id: ConnectionId, point: &ConnectedPoint) {
        tracing::debug!(%peer, address = %point.get_remote_address(), "connection closed");
        let way = if point.is_dialer() { OUT } else { IN };
        self.metrics.swarm().connections.get_or_create(&way).dec();
        if self.connected.closed(&peer, id) {
            self.tell(NetworkEvent::Disconnected(peer));
        }
        if !self.connected.contains(&peer) {
            self.targets.lost(&peer, Instant::now());
            let reason = format!(
                "peer `{peer}` closed the connection before it said who it is; it may be of a private \
                 swarm, whose key this node has not"
            );
            self.waiters
                .settle(&peer, &Err(ConnectError::Unreachable { reason }));
        }
        self.count();
    }

    pub(crate) fn on_dial_error(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) {
        tracing::debug!(?peer, %error, "dial failed");
        self.metrics.swarm().dial_failures.inc();
        self.targets.failed(id, Instant::now(), rand::random());
        let explained = explain(peer, error);
        self.waiters.failed(id, &explained);
        if let (Some(peer), DialError::WrongPeerId { address, .. }) = (peer, error)
            && let Some(address) = address::bare(&peer, address)
        {
            self.table.wrong(&peer, &address);
        }
    }

    /// A peer has told who it is. Returns whether it is of our network; if it is, the DHT learns of it too.
    pub(crate) fn on_identify(&mut self, swarm: &mut Swarm<Behaviour>, event: identify::Event) {
        let identify::Event::Received {
            peer_id: peer,
            info,
            ..
        } = event
        else {
            return;
        };
        if info.protocol_version != self.network.identify() {
            return self.dismiss(swarm, peer, &info.protocol_version);
        }
        let Some(remote) = self.connected.remote(&peer).cloned() else {
            return;
        };
        let mut addresses = address::believe(&peer, &info.listen_addrs, &remote);
        for dialed in self.connected.dialed(&peer) {
            if let Some(dialed) = address::bare(&peer, &dialed)
                && !addresses.contains(&dialed)
            {
                addresses.insert(0, dialed);
            }
        }
        if info.protocols.contains(&self.network.kad()) {
            for address in &addresses {
                swarm
                    .behaviour_mut()
                    .kademlia
                    .add_address(&peer, address.clone());
            }
        }
        self.remember(peer, addresses.clone());
        let agent = info.agent_version.chars().take(64).collect();
        let speaks_chunk = info.protocols.contains(&self.network.chunk());
        let told = Introduction {
            agent,
            speaks_chunk,
            addresses,
        };
        if self.connected.introduced(&peer, told) {
            self.tell(NetworkEvent::Connected(peer));
        }
        self.waiters.settle(&peer, &Ok(peer));
    }

    /// A stranger: no business with it.
    fn dismiss(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, protocol: &str) {
        let protocol: String = protocol.chars().take(128).collect();
        tracing::info!(%peer, %protocol, "disconnected a peer that is not of our network");
        self.strangers.put(peer, ());
        self.table.forget(&peer);
        self.targets.stranger(&peer, Instant::now());
        swarm.behaviour_mut().kademlia.remove_peer(&peer);
        self.waiters
            .settle(&peer, &Err(ConnectError::Stranger { peer, protocol }));
        // An error means that it is gone already.
        let _ = swarm.disconnect_peer_id(peer);
    }

    /// What the peer itself told, in memory and on disk.
    fn remember(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if addresses.is_empty() {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let (row, evicted) = self.table.met(peer, addresses, now);
        self.writer
            .put(Family::Peers, peer.to_bytes(), row.encode());
        if let Some(evicted) = evicted {
            self.writer.delete(Family::Peers, evicted.to_bytes());
        }
    }

    pub(crate) fn on_ping(&mut self, event: &ping::Event) {
        if let Ok(rtt) = event.result {
            self.connected.pinged(&event.peer, rtt);
        }
    }

    /// Somebody told of addresses of `peer`. `over`: the address of who told it; `None`: a person.
    pub(crate) fn heard(
        &mut self,
        peer: PeerId,
        addresses: &[Multiaddr],
        over: Option<&Multiaddr>,
    ) {
        if peer == self.local || self.strangers.contains(&peer) {
            return;
        }
        let believed = match over {
            Some(over) => address::believe(&peer, addresses, over),
            None => addresses
                .iter()
                .filter_map(|a| address::bare(&peer, a))
                .collect(),
        };
        self.table.heard(peer, &believed);
    }

    /// Peers seen on the LAN: dialed at once, several times if need be.
    pub(crate) fn on_lan(&mut self, swarm: &mut Swarm<Behaviour>, seen: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in seen {
            if peer == self.local || self.strangers.contains(&peer) {
                continue;
            }
            self.heard(peer, &[address], None);
            if !self.connected.contains(&peer) {
                self.targets.try_peer(peer, LAN_DIALS, Instant::now());
            }
        }
        self.on_tick(swarm);
    }

    /// Where `peer` may be reached.
    pub(crate) fn addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        self.table.addresses(peer)
    }

    /// Where each of `peers` may be; those of which nothing is known are left out.
    pub(crate) fn addresses_of(&mut self, peers: Vec<PeerId>) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let known = peers.into_iter();
        let known = known.map(|peer| (peer, self.table.addresses(&peer)));
        known
            .filter(|(_, addresses)| !addresses.is_empty())
            .collect()
    }

    /// The address that `peer` is connected from or at.
    pub(crate) fn remote(&self, peer: &PeerId) -> Option<&Multiaddr> {
        self.connected.remote(peer)
    }

    /// The connection over which we hear of third parties, at its nearest.
    pub(crate) fn nearest(&self) -> Option<&Multiaddr> {
        self.connected.nearest()
    }

    pub(crate) fn list(&self) -> Vec<PeerInfo> {
        self.connected.list()
    }

    pub(crate) fn connected(&self) -> Vec<PeerId> {
        self.connected.ids()
    }

    fn tell(&self, event: NetworkEvent) {
        // Fails only when nobody listens.
        let _ = self.events.send(event);
    }

    fn count(&self) {
        self.metrics
            .swarm()
            .peers
            .set(i64::try_from(self.connected.len()).unwrap_or(i64::MAX));
    }
}

/// What a failed dial means to the person who asked for it.
fn explain(peer: Option<PeerId>, error: &DialError) -> ConnectError {
    match (error, peer) {
        (DialError::NoAddresses, Some(peer)) => ConnectError::NoAddresses { peer },
        (DialError::WrongPeerId { obtained, address }, _) => ConnectError::WrongPeer {
            address: address.clone(),
            actual: *obtained,
        },
        (DialError::Transport(errors), _) => {
            let reasons: Vec<_> = errors
                .iter()
                .map(|(address, error)| match error {
                    TransportError::Other(error) => format!("`{address}`: {error}"),
                    error @ TransportError::MultiaddrNotSupported(_) => error.to_string(),
                })
                .collect();
            ConnectError::Unreachable {
                reason: reasons.join("; "),
            }
        }
        (error, _) => ConnectError::Unreachable {
            reason: error.to_string(),
        },
    }
}
