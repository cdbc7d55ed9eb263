//! [`Security`]: TLS 1.3 or Noise, whichever the other side has, on one TCP connection.
//!
//! libp2p's builder has the same pair, for itself only.

use std::array;
use std::error::Error;

use futures::future::{BoxFuture, Either};
use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt};
use futures_rustls::TlsStream;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise};

use super::TransportError;
use super::tls::Tls;

/// What TLS calls itself in libp2p; Noise is `/noise`.
const TLS: &str = "/tls/1.0.0";

/// The pair, for one key.
#[derive(Clone)]
pub(super) struct Security {
    tls: Tls,
    noise: noise::Config,
}

/// A stream that one of them has secured.
type Secured<C> = Either<TlsStream<C>, noise::Output<C>>;

/// What a handshake comes to.
type Outcome<C> = Result<(PeerId, Secured<C>), SecurityError>;

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct SecurityError(Box<dyn Error + Send + Sync>);

impl SecurityError {
    fn from(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl Security {
    pub(super) fn new(key: &Keypair) -> Result<Self, TransportError> {
        Ok(Self {
            tls: Tls::new(key)?,
            noise: noise::Config::new(key)?,
        })
    }
}

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = array::IntoIter<&'static str, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        // In order of preference: TLS was measured as the faster one.
        [TLS, "/noise"].into_iter()
    }
}

impl<C> InboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Outcome<C>>;

    fn upgrade_inbound(self, socket: C, info: &'static str) -> Self::Future {
        if info == TLS {
            let upgrade = self.tls.accept(socket).map_err(SecurityError::from);
            upgrade
                .map_ok(|(peer, stream)| (peer, Either::Left(stream)))
                .boxed()
        } else {
            let upgrade = self
                .noise
                .upgrade_inbound(socket, info)
                .map_err(SecurityError::from);
            upgrade
                .map_ok(|(peer, stream)| (peer, Either::Right(stream)))
                .boxed()
        }
    }
}

impl<C> OutboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = SecurityError;
    type Future = BoxFuture<'static, Outcome<C>>;

    fn upgrade_outbound(self, socket: C, info: &'static str) -> Self::Future {
        if info == TLS {
            let upgrade = self.tls.connect(socket).map_err(SecurityError::from);
            upgrade
                .map_ok(|(peer, stream)| (peer, Either::Left(stream)))
                .boxed()
        } else {
            let upgrade = self
                .noise
                .upgrade_outbound(socket, info)
                .map_err(SecurityError::from);
            upgrade
                .map_ok(|(peer, stream)| (peer, Either::Right(stream)))
                .boxed()
        }
    }
}
