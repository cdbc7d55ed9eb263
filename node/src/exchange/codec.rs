//! [`ChunkCodec`]: the messages of `store::wire` on a libp2p stream.
//!
//! Each block of an answer gets a buffer of its own, made when its turn comes. Blocks are written to the
//! stream from where they lie, without a copy.

use std::io;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use store::wire::{Header, MAX_HEADER_SIZE, MAX_REQUEST_SIZE, Request, Response};

use super::bandwidth::Throttle;
use crate::framing::{invalid, read_exactly, read_message, write_message};

/// Reads and writes the chunk protocol's messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkCodec;

impl Codec for ChunkCodec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, MAX_REQUEST_SIZE, Request::decode).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        Ok(read_answer(io, None).await?.1)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, request.encode()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let encoded = response.encode().map_err(invalid)?;
        io.write_all(&encoded.head).await?;
        for block in encoded.payload {
            io.write_all(&block).await?;
        }
        Ok(())
    }
}

/// An answer, or a part of one, and the number of its request: 0 but on a bulk stream. Waits for `throttle`
/// before each block.
pub(super) async fn read_answer(
    io: &mut (impl AsyncRead + Unpin + Send),
    throttle: Option<&Throttle>,
) -> io::Result<(u64, Response)> {
    let header = read_message(io, MAX_HEADER_SIZE, Header::decode).await?;
    let mut blocks = Vec::with_capacity(header.payload().len());
    for &size in header.payload() {
        if let Some(throttle) = throttle {
            throttle.take(size as u64).await;
        }
        blocks.push(read_exactly(io, size).await?);
    }
    Ok((header.id(), header.with_payload(blocks)))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;
    use store::wire::Leaf;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/store/test/chunk/1.0.0");

    #[test]
    fn messages_cross_a_stream() {
        let root = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
        let request = Request::Manifest {
            root,
            nodes: vec![root],
            max_bytes: 9,
        };
        let leaves = vec![
            Leaf::Have(vec![7; 70_000].into()),
            Leaf::NotFound,
            Leaf::Cut,
        ];
        let response = Response::Leaves(leaves);
        block_on(async {
            let mut wire = Cursor::new(Vec::new());
            ChunkCodec
                .write_request(&PROTOCOL, &mut wire, request.clone())
                .await
                .unwrap();
            ChunkCodec
                .write_response(&PROTOCOL, &mut wire, response.clone())
                .await
                .unwrap();
            wire.set_position(0);
            assert_eq!(
                ChunkCodec.read_request(&PROTOCOL, &mut wire).await.unwrap(),
                request
            );
            assert_eq!(
                ChunkCodec
                    .read_response(&PROTOCOL, &mut wire)
                    .await
                    .unwrap(),
                response
            );
        });
    }

    #[test]
    fn an_oversized_claim_is_invalid_data_at_once() {
        let mut wire = Cursor::new(u32::MAX.to_be_bytes());
        let error = block_on(ChunkCodec.read_response(&PROTOCOL, &mut wire)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error() {
        let mut head = Response::Leaves(vec![Leaf::Have(vec![1; 10].into())])
            .encode()
            .unwrap();
        let mut bytes = head.head.to_vec();
        bytes.extend_from_slice(&head.payload.remove(0)[..5]);
        let error = block_on(ChunkCodec.read_response(&PROTOCOL, &mut Cursor::new(bytes)));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
