//! Who may have a content: the addresses given, the peers connected, the providers that the DHT
//! knows, all at once.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use libp2p::{Multiaddr, PeerId};
use store::Cid;
use store::wire::{Request, Response};
use tokio::sync::mpsc;

use super::driver::Note;
use crate::exchange::outbound::Outbound;
use crate::exchange::scheduler::{Event, Standing};

/// Connected peers that are asked without being known to have anything.
const CONNECTED: usize = 16;

/// Tells of candidates as they are found, then that there are no more.
pub(super) async fn search(
    outbound: Arc<dyn Outbound>,
    root: Cid,
    addresses: Vec<Multiaddr>,
    notes: mpsc::Sender<Note>,
) {
    // Who does not listen any more has ended the session.
    let tell = async |peer: PeerId| {
        let standing = Standing::default();
        let appeared = Event::Appeared { peer, standing };
        let _ = notes.send(Note::Event(appeared)).await;
    };
    let given = join_all(addresses.into_iter().map(|address| {
        let connecting = outbound.connect(address.clone());
        async move {
            match connecting.await {
                Ok(peer) => tell(peer).await,
                Err(error) => tracing::info!(%address, %error, "cannot reach a given address"),
            }
        }
    }));
    let connected = async {
        for peer in outbound.connected().await.into_iter().take(CONNECTED) {
            tell(peer).await;
        }
    };
    let known = async {
        let mut providers = outbound.providers(root).await;
        while let Some(provider) = providers.recv().await {
            tell(provider.peer).await;
        }
    };
    tokio::join!(given, connected, known);
    let _ = notes.send(Note::Event(Event::SearchEnded)).await;
}

/// Tells of those whom `peer` knows to have `root`.
pub(super) async fn others(
    outbound: Arc<dyn Outbound>,
    peer: PeerId,
    root: Cid,
    notes: mpsc::Sender<Note>,
) {
    // It is asked because it may know somebody: that it does not answer is no fault.
    let Ok(Response::Peers(holders)) = outbound.request(peer, Request::Peers { root }).await else {
        return;
    };
    for holder in holders {
        let Ok(other) = PeerId::from_bytes(&holder.peer) else {
            continue;
        };
        let address = |bytes: Bytes| Multiaddr::try_from(bytes.to_vec()).ok();
        let addresses = holder.addresses.into_iter().filter_map(address).collect();
        outbound.remember(other, addresses).await;
        let standing = Standing::default();
        let event = Event::Appeared {
            peer: other,
            standing,
        };
        let _ = notes.send(Note::Event(event)).await;
    }
}
