//! Bulk streams that others open: each request in turn, in parts.

use std::io;
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use store::blockstore::Blockstore;
use store::wire::{Ask, Extent, MAX_REQUEST_SIZE, Part, Request};
use tokio::sync::{Semaphore, mpsc};

use super::make;
use crate::exchange::codec::read_body;

/// Requests of one stream that wait at most.
const QUEUED: usize = 64;
/// Leaves of one part, and the bytes that are read for it.
const PART: u32 = 16;
const PART_BYTES: u32 = 1 << 20;

pub(super) async fn serve(
    store: Arc<dyn Blockstore>,
    mut streams: mpsc::Receiver<(PeerId, Stream)>,
    readers: Arc<Semaphore>,
) {
    while let Some((peer, stream)) = streams.recv().await {
        let (store, readers) = (Arc::clone(&store), Arc::clone(&readers));
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let (asks, mut asked) = mpsc::channel::<(u64, Request)>(QUEUED);
            let (parts, mut ready) = mpsc::channel::<Part>(1);
            let read = async {
                loop {
                    let body = read_body(&mut reader, MAX_REQUEST_SIZE).await?;
                    let ask = Ask::decode(&body).map_err(io::Error::other)?;
                    if let Ask::Get { id, request } = ask {
                        let _ = asks.send((id, request)).await;
                    }
                }
            };
            let answer = async {
                while let Some((id, request)) = asked.recv().await {
                    for piece in pieces(request) {
                        let _reading = readers.acquire().await;
                        let response = make(Arc::clone(&store), piece, peer).await;
                        let _ = parts.send(Part { id, response }).await;
                    }
                }
            };
            let write = async {
                while let Some(part) = ready.recv().await {
                    let encoded = part.encode().map_err(io::Error::other)?;
                    writer.write_all(&encoded.head).await?;
                    for block in encoded.payload {
                        writer.write_all(&block).await?;
                    }
                    if ready.is_empty() {
                        writer.flush().await?;
                    }
                }
                Ok(())
            };
            let end: io::Result<()> = tokio::select! {
                end = read => end,
                () = answer => Ok(()),
                end = write => end,
            };
            tracing::debug!(%peer, ?end, "a bulk stream of a peer is over");
        });
    }
}

fn pieces(request: Request) -> Vec<Request> {
    let Request::Get {
        root,
        extents,
        urgency,
        ..
    } = request
    else {
        return Vec::new();
    };
    let mut pieces = Vec::new();
    for extent in extents {
        let mut first = 0;
        while first < extent.count {
            // One leaf of the usual size; small ones together.
            let count = 1.min(PART).min(extent.count - first);
            pieces.push(Request::Get {
                root,
                extents: vec![Extent {
                    node: extent.node,
                    first: extent.first + first,
                    count,
                }],
                max_bytes: PART_BYTES,
                urgency,
            });
            first += count;
        }
    }
    pieces
}
