//! [`Membership`]: the proof by which members of a private swarm know each other, run over each new
//! connection before the swarm sees it (docs/protocol.md, "Membership").
//!
//! The dialer speaks first, and proves itself first: a stranger who dials gets not one byte. Each proof is
//! an HMAC under a key derived from the swarm's over both peer ids, which the transport has authenticated,
//! the nonces of both, and a number that stands for its place: none can be reflected, replayed on another
//! connection, or carried from one peer to another.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::hmac;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::{ConnectedPoint, Endpoint};

use crate::swarm_key::SwarmKey;

/// Both directions begin with it. It is multistream-select's for a protocol of this name, so that a node of
/// an open swarm, when it is dialed, says in a way that we understand that it has no such protocol.
const PREAMBLE: &[u8] = b"\x13/multistream/1.0.0\n\x18/store/membership/1.0.0\n";

/// How much of it is the same for all protocols.
const COMMON: usize = 20;

/// What a libp2p node says in the place of the rest, if it has no such protocol.
const NOT_AVAILABLE: &[u8] = b"\x03na\n";

/// Bytes of a nonce, and of a proof.
const LENGTH: usize = 32;

/// The whole exchange is one round trip and a half. Who takes longer than this is let go, however he
/// spends it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A member, as it proves itself to others.
#[derive(Clone)]
pub(super) struct Membership {
    key: Arc<hmac::Key>,
    local: PeerId,
    timeout: Duration,
}

/// Why a connection goes no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofError {
    /// We dialed a node of an open swarm.
    #[error(
        "this node is of a private swarm and the peer is not: have the peer `store swarm join` with \
         this swarm's key, or leave it by `store swarm leave`"
    )]
    Open,
    /// We dialed somebody who then hung up: also what a node of an open swarm looks like over QUIC, where
    /// its answer can be lost.
    #[error(
        "the peer ended the connection instead of answering this node's proof of membership: it is not of \
         this private swarm, or has another key of it ({0})"
    )]
    Refused(io::Error),
    /// We dialed somebody who has another key.
    #[error("the peer's proof of membership is wrong: it is not of this private swarm")]
    Wrong,
    /// Somebody dialed us.
    #[error("a stranger: the peer did not prove that it is of this private swarm")]
    Stranger,
    /// Somebody dialed us and hung up.
    #[error("a stranger: the peer ended the connection instead of proving its membership ({0})")]
    Gone(io::Error),
    /// It took too long.
    #[error("no proof of membership came in time")]
    Late,
}

/// What each proof is about.
struct Transcript<'a> {
    dialer: &'a PeerId,
    listener: &'a PeerId,
    dialer_nonce: [u8; LENGTH],
    listener_nonce: [u8; LENGTH],
}

/// Which proof.
#[derive(Clone, Copy)]
enum Place {
    /// The dialer's, before it knows the listener's nonce; only so that strangers get no answer.
    Knock = 1,
    /// The listener's.
    Listener = 2,
    /// The dialer's.
    Dialer = 3,
}

impl Membership {
    pub(super) fn new(key: &SwarmKey, local: PeerId) -> Self {
        Self {
            key: Arc::new(key.proof()),
            local,
            timeout: TIMEOUT,
        }
    }

    /// Lets a member pass. Whoever is none, or none that can show it in time, is disconnected by dropping
    /// the muxer.
    pub(super) async fn prove(
        self,
        peer: PeerId,
        mut muxer: StreamMuxerBox,
        point: ConnectedPoint,
    ) -> Result<(PeerId, StreamMuxerBox), ProofError> {
        let proof = self.exchange(&peer, &mut muxer, role(&point));
        match tokio::time::timeout(self.timeout, proof).await {
            Ok(proven) => proven?,
            Err(_) => return Err(ProofError::Late),
        }
        Ok((peer, muxer))
    }

    async fn exchange(
        &self,
        peer: &PeerId,
        muxer: &mut StreamMuxerBox,
        role: Endpoint,
    ) -> Result<(), ProofError> {
        match role {
            Endpoint::Dialer => {
                let stream = open(muxer).await.map_err(ProofError::Refused)?;
                let work = self.dial(stream, peer, rand::random());
                drive(muxer, work, ProofError::Refused).await
            }
            Endpoint::Listener => {
                let stream = take(muxer).await.map_err(ProofError::Gone)?;
                let work = self.listen(stream, peer, rand::random());
                drive(muxer, work, ProofError::Gone).await
            }
        }
    }

    async fn dial(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: &PeerId,
        nonce: [u8; LENGTH],
    ) -> Result<(), ProofError> {
        let mut about = Transcript {
            dialer: &self.local,
            listener: peer,
            dialer_nonce: nonce,
            listener_nonce: [0; LENGTH],
        };
        let knock = [PREAMBLE, &nonce, self.sign(Place::Knock, &about).as_ref()].concat();
        let said = async {
            stream.write_all(&knock).await?;
            stream.flush().await?;
            let mut common = [0; COMMON];
            stream.read_exact(&mut common).await?;
            let mut rest = [0; PREAMBLE.len() - COMMON];
            let (first, last) = rest.split_at_mut(NOT_AVAILABLE.len());
            stream.read_exact(first).await?;
            if common == PREAMBLE[..COMMON] && first == NOT_AVAILABLE {
                return Ok(Some(ProofError::Open));
            }
            stream.read_exact(last).await?;
            Ok((common != PREAMBLE[..COMMON] || rest != PREAMBLE[COMMON..])
                .then_some(ProofError::Wrong))
        };
        if let Some(error) = said.await.map_err(ProofError::Refused)? {
            return Err(error);
        }
        let mut proof = [0; LENGTH];
        let read = async {
            stream.read_exact(&mut about.listener_nonce).await?;
            stream.read_exact(&mut proof).await
        };
        read.await.map_err(ProofError::Refused)?;
        if !self.verify(Place::Listener, &about, &proof) {
            return Err(ProofError::Wrong);
        }
        let proof = self.sign(Place::Dialer, &about);
        let write = async {
            stream.write_all(proof.as_ref()).await?;
            // Closed, not dropped: dropping could overtake what was written.
            stream.close().await
        };
        write.await.map_err(ProofError::Refused)
    }

    async fn listen(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: &PeerId,
        nonce: [u8; LENGTH],
    ) -> Result<(), ProofError> {
        expect(&mut stream, PREAMBLE).await?;
        let mut about = Transcript {
            dialer: peer,
            listener: &self.local,
            dialer_nonce: [0; LENGTH],
            listener_nonce: [0; LENGTH],
        };
        let mut knock = [0; LENGTH];
        let read = async {
            stream.read_exact(&mut about.dialer_nonce).await?;
            stream.read_exact(&mut knock).await
        };
        read.await.map_err(ProofError::Gone)?;
        if !self.verify(Place::Knock, &about, &knock) {
            return Err(ProofError::Stranger);
        }
        about.listener_nonce = nonce;
        let proof = self.sign(Place::Listener, &about);
        let answer = [PREAMBLE, &nonce, proof.as_ref()].concat();
        let mut proof = [0; LENGTH];
        let talk = async {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            stream.read_exact(&mut proof).await
        };
        talk.await.map_err(ProofError::Gone)?;
        if !self.verify(Place::Dialer, &about, &proof) {
            return Err(ProofError::Stranger);
        }
        stream.close().await.map_err(ProofError::Gone)
    }

    fn sign(&self, place: Place, about: &Transcript<'_>) -> hmac::Tag {
        hmac::sign(&self.key, &about.bytes(place))
    }

    /// In constant time.
    fn verify(&self, place: Place, about: &Transcript<'_>, proof: &[u8; LENGTH]) -> bool {
        hmac::verify(&self.key, &about.bytes(place), proof).is_ok()
    }
}

impl Transcript<'_> {
    fn bytes(&self, place: Place) -> Vec<u8> {
        let mut bytes = vec![place as u8];
        bytes.extend_from_slice(&self.dialer_nonce);
        bytes.extend_from_slice(&self.listener_nonce);
        for peer in [self.dialer, self.listener] {
            let peer = peer.to_bytes();
            bytes.push(u8::try_from(peer.len()).expect("a peer id has at most 42 bytes"));
            bytes.extend_from_slice(&peer);
        }
        bytes
    }
}

/// Who is to speak first. Where both dialed at once (hole punching), libp2p has told one to be the listener.
fn role(point: &ConnectedPoint) -> Endpoint {
    match point {
        ConnectedPoint::Dialer { role_override, .. } => *role_override,
        ConnectedPoint::Listener { .. } => Endpoint::Listener,
    }
}

/// Reads what must be `expected`; says so at the first byte that is not.
async fn expect(stream: &mut (impl AsyncRead + Unpin), expected: &[u8]) -> Result<(), ProofError> {
    let mut left = expected;
    let mut bytes = [0; PREAMBLE.len()];
    while !left.is_empty() {
        let bytes = &mut bytes[..left.len()];
        let count = stream.read(bytes).await.map_err(ProofError::Gone)?;
        if count == 0 {
            return Err(ProofError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        let (now, later) = left.split_at(count);
        if bytes[..count] != *now {
            return Err(ProofError::Stranger);
        }
        left = later;
    }
    Ok(())
}

/// The first stream of ours.
async fn open(muxer: &mut StreamMuxerBox) -> io::Result<SubstreamBox> {
    poll_fn(|context| {
        let opened = muxer.poll_outbound_unpin(context);
        if opened.is_ready() {
            return opened;
        }
        moved(muxer, context).map(Err)
    })
    .await
}

/// The first stream of the other's.
async fn take(muxer: &mut StreamMuxerBox) -> io::Result<SubstreamBox> {
    poll_fn(|context| {
        let taken = muxer.poll_inbound_unpin(context);
        if taken.is_ready() {
            return taken;
        }
        moved(muxer, context).map(Err)
    })
    .await
}

/// Does `work` on a stream of `muxer`, which moves no byte unless it is polled.
async fn drive(
    muxer: &mut StreamMuxerBox,
    work: impl Future<Output = Result<(), ProofError>>,
    broken: impl Fn(io::Error) -> ProofError,
) -> Result<(), ProofError> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let worked = work.as_mut().poll(context);
        // Also when it is done: its last bytes go out now, and not when the swarm gets round to it.
        match (worked, moved(muxer, context)) {
            (Poll::Ready(Ok(())), Poll::Ready(error)) => Poll::Ready(Err(broken(error))),
            (Poll::Ready(done), _) => Poll::Ready(done),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            // What came before the end may say more than the end.
            (Poll::Pending, Poll::Ready(error)) => match work.as_mut().poll(context) {
                Poll::Ready(Err(said)) => Poll::Ready(Err(said)),
                _ => Poll::Ready(Err(broken(error))),
            },
        }
    })
    .await
}

/// Moves bytes; ready when the connection has ended.
fn moved(muxer: &mut StreamMuxerBox, context: &mut Context<'_>) -> Poll<io::Error> {
    loop {
        match muxer.poll_unpin(context) {
            // Its address has changed: nobody has been told of the first one yet.
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(error),
            Poll::Pending => return Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
