//! What the tests of this module's parts share: a pipe, and muxers that are driven.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::{Either, poll_fn, select};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use tokio::io::{DuplexStream, ReadBuf, duplex};

/// Bytes that wait in a pipe at most: more than any test sends. yamux does not read while it has a pong to
/// write, so that two ends that fill a small pipe both ways can stop each other.
const PIPE: usize = 64 << 20;

/// Two ends of one connection in memory. (libp2p's channels cannot be closed on one side.)
pub(super) fn pipe() -> (End, End) {
    let (near, far) = duplex(PIPE);
    (End(near), End(far))
}

/// One of them.
pub(super) struct End(DuplexStream);

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = ReadBuf::new(bytes);
        let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), context, &mut bytes);
        read.map_ok(|()| bytes.filled().len())
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.0), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), context)
    }
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
