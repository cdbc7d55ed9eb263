//! [`Outbound`]: what a session needs of the swarm. The swarm is one implementation, a test's swarm
//! without sockets the other.

use futures::future::BoxFuture;
use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::wire::{Request, Response};
use tokio::sync::{broadcast, mpsc};

use super::bulk::{Asker, Parts};
use super::reputation::Reputation;
use crate::network::{ConnectError, NetworkEvent, ProviderRecord, RequestError};

/// The way to other peers.
pub(crate) trait Outbound: Send + Sync + 'static {
    /// Asks a peer.
    fn request(
        &self,
        peer: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Response, RequestError>>;

    /// Asks a peer for leaves, which come in parts. Must be called within a tokio runtime.
    fn get(&self, peer: PeerId, request: Request) -> Parts;

    /// Connects to whoever is at an address.
    fn connect(&self, address: Multiaddr) -> BoxFuture<'static, Result<PeerId, ConnectError>>;

    /// Looks for providers of a root.
    fn providers(&self, root: Cid) -> BoxFuture<'static, mpsc::Receiver<ProviderRecord>>;

    /// Takes note of where somebody says that a peer is.
    fn remember(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> BoxFuture<'static, ()>;

    /// The connected peers that speak the chunk protocol.
    fn connected(&self) -> BoxFuture<'static, Vec<PeerId>>;

    /// What happens from now on.
    fn events(&self) -> broadcast::Receiver<NetworkEvent>;

    /// Who kept their word so far.
    fn reputation(&self) -> Reputation;

    /// By which name others know us.
    fn local(&self) -> PeerId;
}

impl Outbound for Asker {
    fn request(
        &self,
        peer: PeerId,
        request: Request,
    ) -> BoxFuture<'static, Result<Response, RequestError>> {
        let asker = self.clone();
        Box::pin(async move { Self::request(&asker, peer, request).await })
    }

    fn get(&self, peer: PeerId, request: Request) -> Parts {
        Asker::get(self, peer, request)
    }

    fn connect(&self, address: Multiaddr) -> BoxFuture<'static, Result<PeerId, ConnectError>> {
        let network = self.network().clone();
        Box::pin(async move { network.connect(address).await })
    }

    fn providers(&self, root: Cid) -> BoxFuture<'static, mpsc::Receiver<ProviderRecord>> {
        let network = self.network().clone();
        Box::pin(async move { network.providers(root).await })
    }

    fn remember(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> BoxFuture<'static, ()> {
        let network = self.network().clone();
        Box::pin(async move { network.remember(peer, addresses).await })
    }

    fn connected(&self) -> BoxFuture<'static, Vec<PeerId>> {
        let network = self.network().clone();
        Box::pin(async move {
            let peers = network.peers().await.into_iter();
            peers
                .filter(|info| info.speaks_chunk)
                .map(|info| info.peer)
                .collect()
        })
    }

    fn events(&self) -> broadcast::Receiver<NetworkEvent> {
        self.network().events()
    }

    fn reputation(&self) -> Reputation {
        Asker::reputation(self).clone()
    }

    fn local(&self) -> PeerId {
        self.network().peer_id()
    }
}
