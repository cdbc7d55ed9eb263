//! [`serve`]: our blocks, to all who ask.
//!
//! One task, the [`hands`], does what [`queues`] decide: it hands reads to blocking threads, a few at a
//! time (I4), and what was read to the task that writes its asker's bulk stream, or to the swarm. Every
//! request gets an answer, and none waits behind one slow peer. The blocks have passed the disk's
//! checksum only: whoever asked hashes them anyway.

pub(super) mod answer;
mod hands;
mod have;
mod hot;
mod manifest;
mod nodes;
mod piece;
pub(in crate::exchange) mod queues;
mod seekers;
#[cfg(test)]
mod served;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::BoxFuture;
use libp2p::{Multiaddr, PeerId};
use store::blockstore::Blockstore;
use store::wire::Response;

use self::hands::Hands;
use super::Serving;
use crate::network::{Network, ReplyChannel, Wanted};

/// What serving needs of the swarm; tests have their own.
pub(super) trait Surroundings: Send + Sync + 'static {
    /// Answers a request.
    fn respond(&self, reply: ReplyChannel, response: Response) -> BoxFuture<'_, ()>;

    /// Where these peers can be reached; those that are not known, or listen nowhere, are left out.
    fn addresses_of(&self, peers: Vec<PeerId>) -> BoxFuture<'_, Vec<(PeerId, Vec<Multiaddr>)>>;
}

impl Surroundings for Network {
    fn respond(&self, reply: ReplyChannel, response: Response) -> BoxFuture<'_, ()> {
        Box::pin(Self::respond(self, reply, response))
    }

    fn addresses_of(&self, peers: Vec<PeerId>) -> BoxFuture<'_, Vec<(PeerId, Vec<Multiaddr>)>> {
        Box::pin(Self::addresses_of(self, peers))
    }
}

/// Answers those who arrive with the blocks of `store`, until all senders are gone.
pub(crate) async fn serve(
    network: Network,
    store: Arc<dyn Blockstore>,
    wanted: Wanted,
    serving: Serving,
) {
    let Wanted { requests, streams } = wanted;
    Hands::new(Arc::new(network), store, serving)
        .run(requests, streams)
        .await;
}
