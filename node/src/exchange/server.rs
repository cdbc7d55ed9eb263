//! [`serve`]: our blocks, to all who ask.
//!
//! Every request gets an answer, and none waits behind one slow peer: who has too much outstanding, or
//! comes when all is busy, is told so at once. Disk is read on blocking threads, a few at a time,
//! never by the swarm's task (I4). The blocks have passed the disk's checksum only: whoever asked
//! hashes them anyway.

pub(super) mod answer;
#[allow(dead_code, reason = "the server takes it up next")]
pub(in crate::exchange) mod queues;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use store::blockstore::Blockstore;
use store::wire::{Refusal, Request, Response};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::network::{Arrivals, Inbound, Network};

/// Answers that are made at the same time. RocksDB reads cold blobs at twice the speed with four
/// threads as with one, and no faster with more.
const READERS: usize = 4;
/// Requests taken on at once, of all peers: each may come to 8 MiB of memory.
const OUTSTANDING: usize = 64;
/// Requests of one peer taken on at once: more than its window of 16 MiB asks for in pieces of 1 MiB,
/// and a fraction of [`OUTSTANDING`], so that one peer never fills it.
const OUTSTANDING_PER_PEER: usize = 16;
/// When to ask again: about as long as [`OUTSTANDING_PER_PEER`] requests take.
const RETRY_MS: u32 = 200;

/// Answers those who arrive with the blocks of `store`, until all senders are gone.
pub(crate) async fn serve(network: Network, store: Arc<dyn Blockstore>, arrivals: Arrivals) {
    let readers = Arc::new(Semaphore::new(READERS));
    let Arrivals {
        requests: mut inbound,
        streams,
    } = arrivals;
    tokio::spawn(stream::serve(
        Arc::clone(&store),
        streams,
        Arc::clone(&readers),
    ));
    let mut outstanding = Outstanding::default();
    let mut answers: JoinSet<PeerId> = JoinSet::new();
    loop {
        let inbound = tokio::select! {
            biased;
            Some(answered) = answers.join_next() => {
                // A task that panicked does not say whose it was: start counting anew when idle.
                match answered {
                    Ok(peer) => outstanding.remove(peer),
                    Err(error) => tracing::error!(%error, "an answer was not made"),
                }
                if answers.is_empty() {
                    outstanding = Outstanding::default();
                }
                continue;
            }
            received = inbound.recv() => match received {
                Some(inbound) => inbound,
                None => break,
            },
        };
        // Who has gone in the meantime needs no answer.
        if !inbound.reply.is_open() {
            continue;
        }
        let network = network.clone();
        if !outstanding.admit(inbound.peer) {
            network
                .respond(inbound.reply, Response::Busy { retry_ms: RETRY_MS })
                .await;
            continue;
        }
        let (store, readers) = (Arc::clone(&store), Arc::clone(&readers));
        answers.spawn(async move {
            let Inbound {
                peer,
                request,
                reply,
            } = inbound;
            let _reading = readers.acquire_owned().await;
            let response = make(store, request, peer).await;
            network.respond(reply, response).await;
            peer
        });
    }
}

/// The answer to one request, made on a blocking thread.
async fn make(store: Arc<dyn Blockstore>, request: Request, peer: PeerId) -> Response {
    let made = tokio::task::spawn_blocking(move || answer::answer(&*store, &request)).await;
    match made {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%peer, %error, "a request cannot be answered");
            Response::Refused(Refusal::Store)
        }
        Err(error) => {
            tracing::error!(%peer, %error, "a request cannot be answered");
            Response::Refused(Refusal::Store)
        }
    }
}

/// How many requests each peer has outstanding. Has no more entries than [`OUTSTANDING`].
#[derive(Debug, Default)]
struct Outstanding {
    by_peer: HashMap<PeerId, usize>,
    total: usize,
}

impl Outstanding {
    /// Counts one more request of `peer`, unless that is too many.
    fn admit(&mut self, peer: PeerId) -> bool {
        let of_peer = self.by_peer.get(&peer).copied().unwrap_or(0);
        if self.total >= OUTSTANDING || of_peer >= OUTSTANDING_PER_PEER {
            return false;
        }
        self.by_peer.insert(peer, of_peer + 1);
        self.total += 1;
        true
    }

    fn remove(&mut self, peer: PeerId) {
        if let Some(count) = self.by_peer.get_mut(&peer) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.by_peer.remove(&peer);
            }
        }
    }
}
