//! [`Tls`]: TLS 1.3 as libp2p has it (`/tls/1.0.0`, specs/tls/tls.md), with AES before `ChaCha20` where the
//! processor has instructions for it.
//!
//! On the wire it is the stock implementation's: the same certificates, versions, suites and groups. What
//! differs is the order of the suites, which stock sets to `ChaCha20` first and lets nobody change, that no
//! session is resumed (stock keeps all peers' tickets under one name), and that `SSLKEYLOGFILE` is not
//! honoured: who can set a variable must not read the traffic.

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::tls::certificate::{self, GenError, P2pCertificate, ParseError};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error as RustlsError,
    ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};

/// libp2p has nothing older.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What libp2p calls itself inside TLS.
const ALPN: &[u8] = b"libp2p";

/// With instructions for AES: 128 bits first, 1.3 times as fast as 256 and as far out of reach.
const AES_FIRST: [SupportedCipherSuite; 3] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
];

/// Without: AES would be several times slower.
const CHACHA_FIRST: [SupportedCipherSuite; 3] = [
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
];

/// Both sides' settings, for one key.
#[derive(Clone)]
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// On the wire.
    #[error("TLS handshake: {0}")]
    Handshake(#[from] std::io::Error),
    /// The certificate is not one of libp2p.
    #[error("the peer's TLS certificate: {0}")]
    Certificate(#[from] ParseError),
    /// There is none, or there are several.
    #[error("the peer showed no TLS certificate, or several")]
    NotOne,
}

impl Tls {
    pub(super) fn new(key: &Keypair) -> Result<Self, GenError> {
        Self::with_suites(key, suites(has_aes()))
    }

    fn with_suites(key: &Keypair, suites: [SupportedCipherSuite; 3]) -> Result<Self, GenError> {
        let (certificate, secret) = certificate::generate(key)?;
        let secret = aws_lc_rs::sign::any_ecdsa_type(&secret)
            .expect("the key that was just made is an ECDSA key");
        let certified = Arc::new(CertifiedKey::new(vec![certificate], secret));
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites.to_vec(),
            ..aws_lc_rs::default_provider()
        });

        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(VERSIONS)
            .expect("the provider has suites and groups for TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerCertificate))
            .with_client_cert_resolver(Arc::clone(&resolver) as _);
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();

        // The suite is the first of the dialer's that we have too (rustls' default): a dialer that
        // puts `ChaCha20` first may have no instructions for AES.
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .expect("the provider has suites and groups for TLS 1.3")
            .with_client_cert_verifier(Arc::new(PeerCertificate))
            .with_cert_resolver(resolver);
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;

        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// The handshake of who listens.
    pub(super) async fn accept<C>(self, socket: C) -> Result<(PeerId, TlsStream<C>), TlsError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = TlsAcceptor::from(self.server).accept(socket).await?;
        let peer = peer(stream.get_ref().1)?;
        Ok((peer, stream.into()))
    }

    /// The handshake of who dials.
    pub(super) async fn connect<C>(self, socket: C) -> Result<(PeerId, TlsStream<C>), TlsError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        // The specification forbids to name a server; an IP address is never sent.
        let nobody = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        let stream = TlsConnector::from(self.client)
            .connect(nobody, socket)
            .await?;
        let peer = peer(stream.get_ref().1)?;
        Ok((peer, stream.into()))
    }
}

/// Who is at the other end.
fn peer(state: &CommonState) -> Result<PeerId, TlsError> {
    match state.peer_certificates() {
        Some([certificate]) => Ok(certificate::parse(certificate)?.peer_id()),
        _ => Err(TlsError::NotOne),
    }
}

const fn suites(aes: bool) -> [SupportedCipherSuite; 3] {
    if aes { AES_FIRST } else { CHACHA_FIRST }
}

/// Whether the processor has instructions for AES, and for GCM's multiplication.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// What libp2p asks of a certificate: that there is one, signed by itself, with an extension in which the
/// peer's own key vouches for it (specs/tls/tls.md, "Peer Authentication").
#[derive(Debug)]
struct PeerCertificate;

impl PeerCertificate {
    fn check(
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), RustlsError> {
        if !others.is_empty() {
            return Err(RustlsError::General(
                "libp2p has exactly one certificate".into(),
            ));
        }
        certificate::parse(certificate)?;
        Ok(())
    }

    fn check_signature(
        certificate: &CertificateDer<'_>,
        message: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let certificate: P2pCertificate<'_> = certificate::parse(certificate)?;
        certificate.verify_signature(signed.scheme, message, signed.signature())?;
        Ok(HandshakeSignatureValid::assertion())
    }

    /// Stock's list, in its order.
    fn schemes() -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]
    }
}

/// Never asked for: only TLS 1.3 is spoken.
fn too_old() -> Result<HandshakeSignatureValid, RustlsError> {
    Err(RustlsError::General("TLS 1.2 is not spoken".into()))
}

impl ServerCertVerifier for PeerCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Self::check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Self::check_signature(certificate, message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ClientCertVerifier for PeerCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        Self::check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Self::check_signature(certificate, message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

#[cfg(test)]
mod tests;
