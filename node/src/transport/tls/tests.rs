use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::tls;
use rustls::CipherSuite;

use super::super::tests::pipe;
use super::*;

const AES: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;

/// Who dialed whom, as each sees it, over which suite; after bytes have gone both ways.
async fn agreed<C>(
    dialer: (PeerId, TlsStream<C>),
    listener: (PeerId, TlsStream<C>),
) -> (PeerId, PeerId, CipherSuite)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let ((far, mut near), (dialed_by, mut other)) = (dialer, listener);
    let suite = near.get_ref().1.negotiated_cipher_suite();
    assert_eq!(suite, other.get_ref().1.negotiated_cipher_suite());
    let there = async {
        near.write_all(b"question").await.unwrap();
        near.flush().await.unwrap();
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    };
    let back = async {
        let mut question = [0; 8];
        other.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question");
        other.write_all(b"answer").await.unwrap();
        other.flush().await.unwrap();
    };
    futures::join!(there, back);
    (far, dialed_by, suite.unwrap().suite())
}

fn keys() -> [Keypair; 2] {
    [Keypair::generate_ed25519(), Keypair::generate_ed25519()]
}

/// Both are ours, with suites in the order for processors with or without AES.
async fn ours(dialer_has: bool, listener_has: bool) -> CipherSuite {
    let [a, b] = keys();
    let (near, far) = pipe();
    let dial = Tls::with_suites(&a, suites(dialer_has))
        .unwrap()
        .connect(near);
    let listen = Tls::with_suites(&b, suites(listener_has))
        .unwrap()
        .accept(far);
    let (dialed, accepted) = futures::try_join!(dial, listen).unwrap();
    let (far, near, suite) = agreed(dialed, accepted).await;
    assert_eq!(far, b.public().to_peer_id());
    assert_eq!(near, a.public().to_peer_id());
    suite
}

#[tokio::test]
async fn aes_is_spoken_unless_the_dialer_has_no_instructions_for_it() {
    assert_eq!(ours(true, true).await, AES);
    assert_eq!(ours(true, false).await, AES);
    assert_eq!(ours(false, true).await, CHACHA);
}

#[tokio::test]
async fn this_machines_processor_is_asked() {
    let first = Tls::new(&keys()[0])
        .unwrap()
        .client
        .crypto_provider()
        .cipher_suites[0]
        .suite();
    assert_eq!(first, if has_aes() { AES } else { CHACHA });
}

#[tokio::test]
async fn we_dial_stock_and_speak_aes() {
    let [a, b] = keys();
    let (near, far) = pipe();
    let dial = Tls::with_suites(&a, AES_FIRST).unwrap().connect(near);
    let listen = tls::Config::new(&b)
        .unwrap()
        .upgrade_inbound(far, "/tls/1.0.0");
    let (dialed, accepted) = futures::join!(dial, listen);
    let (far, near, suite) = agreed(dialed.unwrap(), accepted.unwrap()).await;
    assert_eq!(far, b.public().to_peer_id());
    assert_eq!(near, a.public().to_peer_id());
    assert_eq!(suite, AES);
}

#[tokio::test]
async fn stock_dials_us_and_its_order_counts() {
    let [a, b] = keys();
    let (near, far) = pipe();
    let dial = tls::Config::new(&a)
        .unwrap()
        .upgrade_outbound(near, "/tls/1.0.0");
    let listen = Tls::with_suites(&b, AES_FIRST).unwrap().accept(far);
    let (dialed, accepted) = futures::join!(dial, listen);
    let (far, near, suite) = agreed(dialed.unwrap(), accepted.unwrap()).await;
    assert_eq!(far, b.public().to_peer_id());
    assert_eq!(near, a.public().to_peer_id());
    assert_eq!(suite, CHACHA);
}

#[test]
fn no_secret_goes_to_a_key_log() {
    let tls = Tls::new(&keys()[0]).unwrap();
    assert!(!tls.client.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
    assert!(!tls.server.key_log.will_log("SERVER_TRAFFIC_SECRET_0"));
    // The stock one's says that it would.
    let stock = tls::make_client_config(&keys()[0], None).unwrap();
    assert!(stock.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
}

#[tokio::test]
async fn a_certificate_without_the_peers_word_is_refused() {
    // A certificate of somebody else's, with a key that does not belong to it.
    let [a, b] = keys();
    let (certificate, _) = certificate::generate(&b).unwrap();
    let (_, other) = certificate::generate(&a).unwrap();
    let secret = aws_lc_rs::sign::any_ecdsa_type(&other).unwrap();
    let stolen = Arc::new(SingleCertAndKey::from(CertifiedKey::new(
        vec![certificate],
        secret,
    )));
    let mut thief = Tls::with_suites(&a, AES_FIRST).unwrap();
    let mut client = ClientConfig::clone(&thief.client);
    client.client_auth_cert_resolver = stolen;
    thief.client = Arc::new(client);

    let (near, far) = pipe();
    let listen = Tls::new(&b).unwrap().accept(far);
    let dial = async {
        // In TLS 1.3 the dialer is done before its certificate is looked at: its first read fails.
        let (_, mut stream) = thief.connect(near).await.unwrap();
        stream.read(&mut [0]).await
    };
    let (dialed, accepted) = futures::join!(dial, listen);
    assert!(dialed.is_err(), "{dialed:?}");
    assert!(matches!(accepted, Err(TlsError::Handshake(_))));
}
