//! What the tests of this module's parts share: a pipe, and muxers that are driven.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::StreamExt;
use futures::future::{Either, poll_fn, select};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, ListenerId, MemoryTransport, PortUse, TransportEvent};
use libp2p::core::{Endpoint, Transport};

/// How tests dial.
pub(super) const DIAL: DialOpts = DialOpts {
    role: Endpoint::Dialer,
    port_use: PortUse::Reuse,
};

/// Two ends of one connection in memory: who dialed, who listened.
pub(super) async fn pipe() -> (SubstreamBox, SubstreamBox) {
    let mut listener = MemoryTransport::new().boxed();
    let any = "/memory/0".parse().expect("an address");
    listener
        .listen_on(ListenerId::next(), any)
        .expect("a free port");
    let address = match listener.select_next_some().await {
        TransportEvent::NewAddress { listen_addr, .. } => listen_addr,
        other => panic!("no address: {other:?}"),
    };
    let dial = MemoryTransport::new()
        .boxed()
        .dial(address, DIAL)
        .expect("a memory address");
    let accept = async {
        match listener.select_next_some().await {
            TransportEvent::Incoming { upgrade, .. } => upgrade.await,
            other => panic!("nobody came: {other:?}"),
        }
    };
    let (near, far) = futures::try_join!(dial, accept).expect("both ends");
    (SubstreamBox::new(near), SubstreamBox::new(far))
}

/// A muxer that its test and its driver both use.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<StreamMuxerBox>>);

impl Shared {
    pub(super) async fn open(&self) -> SubstreamBox {
        let open = poll_fn(|context| self.0.lock().unwrap().poll_outbound_unpin(context));
        open.await.expect("a stream of ours")
    }

    pub(super) async fn take(&self) -> SubstreamBox {
        let take = poll_fn(|context| self.0.lock().unwrap().poll_inbound_unpin(context));
        take.await.expect("a stream of the other's")
    }

    /// Moves bytes until the connection ends.
    async fn moved(&self) {
        poll_fn(|context| {
            loop {
                match self.0.lock().unwrap().poll_unpin(context) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

/// Runs `test` at both ends of a connection, and moves the muxers' bytes until both are done.
pub(super) async fn run<T>(ends: [StreamMuxerBox; 2], test: impl AsyncFn(Shared) -> T) -> [T; 2] {
    let [near, far] = ends.map(|muxer| Shared(Arc::new(Mutex::new(muxer))));
    let tests = async { futures::join!(test(near.clone()), test(far.clone())) };
    let moved = futures::future::join(near.moved(), far.moved());
    match select(pin!(tests), pin!(moved)).await {
        Either::Left(((near, far), _)) => [near, far],
        Either::Right(_) => panic!("the connection ended under the test"),
    }
}
