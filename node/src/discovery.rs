//! [`Discovery`]: who has what, by the DHT.
//!
//! Only roots are announced and looked for; the DHT's keys are their multihashes, so that every CID of
//! the same bytes finds them. What the DHT says is a hint: bytes are verified, whoever sends them.

mod lookups;
pub(crate) mod mdns;
mod provide;
pub(crate) mod store;

use std::time::{Instant, SystemTime};

use ::store::Cid;
use ::store::blockstore::StoreError;
use ::store::records::Family;
use ::store::repo::Repo;
use libp2p::core::Endpoint;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, GetProvidersOk, InboundRequest, QueryId, QueryResult, RecordKey};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, Swarm};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use self::lookups::Lookups;
use self::provide::{MAX_ROOTS, Provide};
use crate::address;
use crate::behaviour::Behaviour;
use crate::metrics::Metrics;
use crate::network::ProviderRecord;
use crate::peers::Peers;
use crate::writer::Writer;

/// The service.
pub(crate) struct Discovery {
    local: PeerId,
    lookups: Lookups,
    provide: Provide,
    /// Peers in the routing table.
    peers: usize,
    writer: Writer,
    metrics: Metrics,
}

/// The roots that this repo provides: its pins, and what else it was told to. Blocking.
pub(crate) fn load_roots(repo: &Repo) -> Result<Vec<RecordKey>, StoreError> {
    let mut roots = Vec::new();
    repo.pins().for_each(&mut |pin| {
        roots.push(key_of(&pin.root));
        roots.len() < MAX_ROOTS
    })?;
    repo.records(Family::Roots).for_each(&mut |key, _| {
        if let Ok(root) = ::store::cid::from_bytes(key) {
            roots.push(key_of(&root));
        }
        roots.len() < MAX_ROOTS
    })?;
    Ok(roots)
}

/// The DHT's key of a root.
fn key_of(root: &Cid) -> RecordKey {
    RecordKey::from(root.hash().to_bytes())
}

impl Discovery {
    pub(crate) fn new(
        local: PeerId,
        roots: Vec<RecordKey>,
        writer: Writer,
        metrics: Metrics,
    ) -> Self {
        let provide = Provide::new(roots, Instant::now());
        Self {
            local,
            lookups: Lookups::default(),
            provide,
            peers: 0,
            writer,
            metrics,
        }
    }

    /// Looks for providers of `root`, as soon as there is anybody to ask.
    pub(crate) fn find(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        root: &Cid,
        found: mpsc::Sender<ProviderRecord>,
    ) {
        self.metrics.swarm().lookups.inc();
        self.lookups.wait(key_of(root), found, Instant::now());
        self.work(swarm);
    }

    /// Announces `root` from now on.
    pub(crate) fn provide(&mut self, swarm: &mut Swarm<Behaviour>, root: &Cid) {
        if !self.provide.add(key_of(root)) {
            tracing::warn!(%root, "not announced: {MAX_ROOTS} roots are announced already");
            return;
        }
        self.writer.put(Family::Roots, root.to_bytes(), Vec::new());
        // Whoever asks us gets the answer even before the DHT knows.
        let own = kad::ProviderRecord::new(key_of(root), self.local, Vec::new());
        let _ = swarm.behaviour_mut().kademlia.store_mut().add_provider(own);
        self.work(swarm);
    }

    /// No longer announces `root`.
    pub(crate) fn stop_providing(&mut self, swarm: &mut Swarm<Behaviour>, root: &Cid) {
        self.provide.remove(&key_of(root));
        self.writer.delete(Family::Roots, root.to_bytes());
        swarm.behaviour_mut().kademlia.stop_providing(&key_of(root));
    }

    /// Once a second.
    pub(crate) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
        let now = Instant::now();
        self.provide.on_tick(now);
        let kademlia = &mut swarm.behaviour_mut().kademlia;
        for abandoned in self.lookups.prune(now) {
            if let Some(mut query) = kademlia.query_mut(&abandoned) {
                query.finish();
            }
        }
        kademlia.store_mut().sweep(SystemTime::now());
        self.count(swarm);
        self.work(swarm);
    }

    pub(crate) fn on_event(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: kad::Event,
    ) {
        match event {
            kad::Event::InboundRequest {
                request:
                    InboundRequest::AddProvider {
                        record: Some(record),
                    },
            } => keep(swarm, peers, record),
            kad::Event::OutboundQueryProgressed {
                id, result, step, ..
            } => {
                self.on_progress(swarm, peers, id, result, step.last);
            }
            kad::Event::RoutingUpdated { is_new_peer, .. } => {
                self.count(swarm);
                if is_new_peer {
                    self.provide.on_newcomer(self.peers, Instant::now());
                    self.work(swarm);
                }
            }
            _ => {}
        }
    }

    fn on_progress(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        query: QueryId,
        result: QueryResult,
        last: bool,
    ) {
        match result {
            QueryResult::GetProviders(found) => {
                if let Ok(GetProvidersOk::FoundProviders { providers, .. }) = found {
                    self.on_found(swarm, peers, query, providers);
                }
                if last {
                    self.lookups.finished(query);
                }
            }
            QueryResult::StartProviding(result) => {
                self.provide.finished(query, result.is_ok(), Instant::now());
                self.metrics.swarm().announced.inc_by(result.is_ok().into());
                self.work(swarm);
            }
            // The routing table tells what came of the others.
            _ => {}
        }
    }

    fn on_found(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        query: QueryId,
        providers: impl IntoIterator<Item = PeerId>,
    ) {
        let others = providers.into_iter().filter(|peer| *peer != self.local);
        for peer in self.lookups.unseen(query, others) {
            let told = told_addresses(swarm, peer);
            let over = peers.nearest().cloned();
            peers.heard(peer, &told, over.as_ref());
            let addresses = peers.addresses(&peer);
            tracing::debug!(%peer, ?addresses, "provider found");
            self.lookups.tell(query, ProviderRecord { peer, addresses });
        }
    }

    /// Begins what has waited for a peer of the DHT, or for its turn.
    fn work(&mut self, swarm: &mut Swarm<Behaviour>) {
        if self.peers == 0 {
            return;
        }
        let kademlia = &mut swarm.behaviour_mut().kademlia;
        while let Some((key, found)) = self.lookups.next() {
            let query = kademlia.get_providers(key);
            self.lookups.started(query, found);
        }
        while let Some(root) = self.provide.next() {
            match kademlia.start_providing(root.clone()) {
                Ok(query) => self.provide.started(query, root),
                Err(error) => tracing::warn!(%error, "a root cannot be announced"),
            }
        }
    }

    fn count(&mut self, swarm: &mut Swarm<Behaviour>) {
        let kademlia = &mut swarm.behaviour_mut().kademlia;
        self.peers = kademlia.kbuckets().map(|bucket| bucket.num_entries()).sum();
        let records = kademlia.store_mut().len();
        let metrics = self.metrics.swarm();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.kad_peers.set(gauge(self.peers));
        metrics.provider_records.set(gauge(records));
        metrics.roots.set(gauge(self.provide.len()));
    }
}

/// Where those who told of `peer` in a query that is under way say that it is. Kademlia keeps these addresses
/// inside the query and forgets them with it; it gives them to whoever is about to dial.
fn told_addresses(swarm: &mut Swarm<Behaviour>, peer: PeerId) -> Vec<Multiaddr> {
    let nobody = ConnectionId::new_unchecked(0);
    let kademlia = &mut swarm.behaviour_mut().kademlia;
    kademlia
        .handle_pending_outbound_connection(nobody, Some(peer), &[], Endpoint::Dialer)
        .unwrap_or_default()
}

/// A peer says that it has something: keeps the record, with the addresses that others can believe. Kademlia
/// has checked that it speaks for itself.
fn keep(swarm: &mut Swarm<Behaviour>, peers: &mut Peers, mut record: kad::ProviderRecord) {
    let peer = record.provider;
    // It is gone already: so might be what it has.
    let Some(remote) = peers.remote(&peer).cloned() else {
        return;
    };
    record.addresses = address::believe(&peer, &record.addresses, &remote);
    if record.addresses.is_empty() {
        record.addresses = peers.addresses(&peer);
    }
    let store = swarm.behaviour_mut().kademlia.store_mut();
    if let Err(error) = store.add_provider(record) {
        tracing::debug!(%peer, %error, "provider record not kept");
    }
}
