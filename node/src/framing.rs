//! One message on a libp2p stream: a length, then so many bytes. Reads no more than the message, and
//! allocates nothing before its length has passed its bound.

mod codec;

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use store::wire::{LENGTH_SIZE, WireError, body_length};

pub(crate) use self::codec::{MemberCodec, ReplicaCodec};

/// A message whose body is of at most `limit` bytes, as `decode` understands it.
pub(crate) async fn read_message<M>(
    io: &mut (impl AsyncRead + Unpin + Send),
    limit: usize,
    decode: fn(&Bytes) -> Result<M, WireError>,
) -> io::Result<M> {
    decode(&read_body(io, limit).await?).map_err(invalid)
}

/// Writes a message as its `encode` made it, its length included.
pub(crate) async fn write_message(
    io: &mut (impl AsyncWrite + Unpin + Send),
    encoded: Result<Bytes, WireError>,
) -> io::Result<()> {
    io.write_all(&encoded.map_err(invalid)?).await
}

/// A message's body: its length, then that many bytes, at most `limit`.
pub(crate) async fn read_body(
    io: &mut (impl AsyncRead + Unpin + Send),
    limit: usize,
) -> io::Result<Bytes> {
    let mut prefix = [0; LENGTH_SIZE];
    io.read_exact(&mut prefix).await?;
    read_exactly(io, body_length(prefix, limit).map_err(invalid)?).await
}

/// So many bytes, in a buffer of their own.
pub(crate) async fn read_exactly(
    io: &mut (impl AsyncRead + Unpin + Send),
    size: usize,
) -> io::Result<Bytes> {
    let mut buffer = vec![0; size];
    io.read_exact(&mut buffer).await?;
    Ok(buffer.into())
}

/// A message that breaks the protocol, as the stream reports it: `InvalidData` tells it from a
/// connection that broke.
pub(crate) fn invalid(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
