//! Bulk streams that others open: a task that reads what is asked, and one that writes the parts.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use store::wire::{Ask, Encoded, MAX_REQUEST_SIZE, Part};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::hands::Note;
use super::queues::Ticket;
use crate::exchange::bandwidth::Throttle;
use crate::framing::read_body;
use crate::transport::FRAME;

/// Parts that wait to be written at most. Those with blocks are bounded by the pipe; whoever asks so
/// much that is answered in words alone, and does not read, is not served.
const PARTS: usize = 8192;
/// What is written at once: two frames, so that a slow connection shows that it moves.
const SLICE: u64 = 2 * FRAME as u64;
/// What was written is told when a block is, and at least this often: each word wakes a task.
const TELL: Duration = Duration::from_millis(50);

/// A stream, by a number that is not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamId(pub(super) u64);

/// The hands' end of a stream. Dropping it ends the stream.
pub(super) struct Outlet {
    pub(super) peer: PeerId,
    /// Of the requests that are not over.
    pub(super) tickets: HashMap<u64, Ticket>,
    /// Bytes handed to the writer that it has not written.
    pub(super) unwritten: u64,
    parts: mpsc::Sender<Encoded>,
    _over: DropGuard,
}

impl Outlet {
    /// Hands a part to the writer. The bytes of its blocks.
    ///
    /// # Errors
    /// Why the stream is to be closed.
    pub(super) fn send(&mut self, part: Part) -> Result<u64, &'static str> {
        let encoded = part.encode().map_err(|_| "a part is too large")?;
        let payload: usize = encoded.payload.iter().map(bytes::Bytes::len).sum();
        self.parts
            .try_send(encoded)
            .map_err(|_| "its peer asks and does not read")?;
        self.unwritten += payload as u64;
        Ok(payload as u64)
    }
}

/// Serves a stream until it breaks, its peer ends it or talks nonsense, or the outlet is dropped.
pub(super) fn open<S>(
    id: StreamId,
    peer: PeerId,
    stream: S,
    throttle: Throttle,
    notes: mpsc::Sender<Note>,
) -> Outlet
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (parts, outgoing) = mpsc::channel(PARTS);
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let (reader, writer) = stream.split();
    // Two tasks, so that one peer's reading and writing go on side by side; the first that ends takes
    // the other with it.
    let (ended, said) = (over.clone(), notes.clone());
    tokio::spawn(async move {
        let read = ended.run_until_cancelled(read(id, reader, &said)).await;
        if let Some(Err(error)) = read {
            tracing::debug!(%peer, %error, "a bulk stream of a peer is over");
        }
        ended.cancel();
        // Fails only when the node ends.
        let _ = said.send(Note::Closed { stream: id }).await;
    });
    tokio::spawn(async move {
        let write = write(id, writer, outgoing, &throttle, &notes);
        if let Some(Err(error)) = over.run_until_cancelled(write).await {
            tracing::debug!(%peer, %error, "a bulk stream of a peer broke");
        }
        over.cancel();
    });
    Outlet {
        peer,
        tickets: HashMap::new(),
        unwritten: 0,
        parts,
        _over: guard,
    }
}

async fn read(
    stream: StreamId,
    mut reader: impl AsyncRead + Unpin + Send,
    notes: &mpsc::Sender<Note>,
) -> io::Result<()> {
    loop {
        let body = read_body(&mut reader, MAX_REQUEST_SIZE).await?;
        let ask = Ask::decode(&body).map_err(io::Error::other)?;
        if notes.send(Note::Ask { stream, ask }).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    stream: StreamId,
    mut writer: impl AsyncWrite + Unpin + Send,
    mut parts: mpsc::Receiver<Encoded>,
    throttle: &Throttle,
    notes: &mpsc::Sender<Note>,
) -> io::Result<()> {
    while let Some(Encoded { head, payload }) = parts.recv().await {
        writer.write_all(&head).await?;
        for block in payload {
            let mut rest = block.as_ref();
            let (mut untold, mut told) = (0, Instant::now());
            while !rest.is_empty() {
                let slice = usize::try_from(throttle.slice().min(SLICE)).unwrap_or(usize::MAX);
                let (now, later) = rest.split_at(slice.min(rest.len()));
                let bytes = now.len() as u64;
                throttle.take(bytes).await;
                writer.write_all(now).await?;
                rest = later;
                untold += bytes;
                if rest.is_empty() || told.elapsed() >= TELL {
                    let bytes = std::mem::take(&mut untold);
                    told = Instant::now();
                    // Fails only when the node ends.
                    let _ = notes.send(Note::Written { stream, bytes }).await;
                }
            }
        }
        if parts.is_empty() {
            writer.flush().await?;
        }
    }
    Ok(())
}
