//! [`FramedCodec`]: messages that are a length and a body, and nothing behind it, on a libp2p stream.

use std::io;
use std::marker::PhantomData;

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use store::wire::WireError;
use store::wire::member::{
    MAX_MEMBER_REQUEST_SIZE, MAX_MEMBER_RESPONSE_SIZE, MemberRequest, MemberResponse,
};
use store::wire::replica::{
    MAX_REPLICA_REQUEST_SIZE, MAX_REPLICA_RESPONSE_SIZE, ReplicaRequest, ReplicaResponse,
};

use super::{read_message, write_message};

/// The members' messages.
pub(crate) type MemberCodec = FramedCodec<MemberRequest, MemberResponse>;
/// The messages of replication.
pub(crate) type ReplicaCodec = FramedCodec<ReplicaRequest, ReplicaResponse>;

/// A message that is a length and a body.
pub(crate) trait Framed: Sized + Send + 'static {
    /// Bytes of a body at most.
    const LIMIT: usize;

    /// Length and body.
    fn framed(&self) -> Result<Bytes, WireError>;

    /// The message of a body.
    fn of_body(body: &Bytes) -> Result<Self, WireError>;
}

macro_rules! framed {
    ($($message:ty: $limit:expr,)*) => {$(
        impl Framed for $message {
            const LIMIT: usize = $limit;

            fn framed(&self) -> Result<Bytes, WireError> {
                self.encode()
            }

            fn of_body(body: &Bytes) -> Result<Self, WireError> {
                Self::decode(body)
            }
        }
    )*};
}

framed! {
    MemberRequest: MAX_MEMBER_REQUEST_SIZE,
    MemberResponse: MAX_MEMBER_RESPONSE_SIZE,
    ReplicaRequest: MAX_REPLICA_REQUEST_SIZE,
    ReplicaResponse: MAX_REPLICA_RESPONSE_SIZE,
}

/// Reads and writes questions `Q` and answers `R`.
pub(crate) struct FramedCodec<Q, R>(PhantomData<fn() -> (Q, R)>);

impl<Q, R> Default for FramedCodec<Q, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q, R> Clone for FramedCodec<Q, R> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<Q: Framed, R: Framed> Codec for FramedCodec<Q, R> {
    type Protocol = StreamProtocol;
    type Request = Q;
    type Response = R;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Q>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, Q::LIMIT, Q::of_body).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<R>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, R::LIMIT, R::of_body).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Q,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, request.framed()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: R,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, response.framed()).await
    }
}
