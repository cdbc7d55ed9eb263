use std::time::Instant;

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};

use super::super::tests::{Shared, pipe, run};
use super::super::yamux::Yamux;
use super::*;

/// The bytes that a dialer sends in all, and those before the listener answers.
const KNOCK: usize = PREAMBLE.len() + 2 * LENGTH;

fn member(key: &SwarmKey) -> Membership {
    Membership::new(key, PeerId::random())
}

/// Two members of one swarm.
fn members() -> [Membership; 2] {
    let key = SwarmKey::generate();
    [member(&key), member(&key)]
}

fn point(role: Endpoint) -> ConnectedPoint {
    let address = "/memory/1".parse().unwrap();
    match role {
        Endpoint::Dialer => ConnectedPoint::Dialer {
            address,
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        },
        Endpoint::Listener => ConnectedPoint::Listener {
            local_addr: address.clone(),
            send_back_addr: address,
        },
    }
}

async fn muxers() -> [StreamMuxerBox; 2] {
    let (near, far) = pipe();
    let near = Yamux.upgrade_outbound(near, "/yamux/1.0.0").await.unwrap();
    let far = Yamux.upgrade_inbound(far, "/yamux/1.0.0").await.unwrap();
    [StreamMuxerBox::new(near), StreamMuxerBox::new(far)]
}

/// What each side makes of the other, over one connection.
async fn meet(
    dialer: &Membership,
    listener: &Membership,
) -> [Result<(PeerId, StreamMuxerBox), ProofError>; 2] {
    let [near, far] = muxers().await;
    let (at, from) = (point(Endpoint::Dialer), point(Endpoint::Listener));
    let there = dialer.clone().prove(listener.local, near, at);
    let back = listener.clone().prove(dialer.local, far, from);
    let (there, back) = futures::join!(there, back);
    [there, back]
}

/// All that `listener` says to bytes of a dialer, who then closes, and what it makes of them.
async fn answered(
    listener: &Membership,
    dialer: &PeerId,
    bytes: &[u8],
) -> (Vec<u8>, Result<(), ProofError>) {
    let (mut near, far) = pipe();
    let listen = listener.listen(far, dialer, rand::random());
    let talk = async {
        let mut answer = Vec::new();
        // Fails where the listener has hung up before all was said.
        let _ = near.write_all(bytes).await;
        let _ = near.close().await;
        let _ = near.read_to_end(&mut answer).await;
        answer
    };
    let (proven, answer) = futures::join!(listen, talk);
    (answer, proven)
}

/// What a dialer sends while it meets a member: `KNOCK` bytes, then its last proof.
async fn recorded(dialer: &Membership, listener: &Membership) -> Vec<u8> {
    let (near, mut far) = pipe();
    let (mut middle, there) = pipe();
    let dial = dialer.dial(near, &listener.local, rand::random());
    let listen = listener.listen(there, &dialer.local, rand::random());
    let between = async {
        let mut sent = vec![0; KNOCK];
        far.read_exact(&mut sent).await.unwrap();
        middle.write_all(&sent).await.unwrap();
        middle.flush().await.unwrap();
        let mut answer = [0; KNOCK];
        middle.read_exact(&mut answer).await.unwrap();
        far.write_all(&answer).await.unwrap();
        far.flush().await.unwrap();
        let mut proof = [0; LENGTH];
        far.read_exact(&mut proof).await.unwrap();
        middle.write_all(&proof).await.unwrap();
        middle.flush().await.unwrap();
        sent.extend_from_slice(&proof);
        sent
    };
    let (there, back, sent) = futures::join!(dial, listen, between);
    there.unwrap();
    back.unwrap();
    sent
}

#[tokio::test]
async fn members_pass_and_their_connection_is_as_new() {
    let [a, b] = members();
    let [dialed, accepted] = meet(&a, &b).await;
    let ((far, near_end), (near, far_end)) = (dialed.unwrap(), accepted.unwrap());
    assert_eq!((far, near), (b.local, a.local));
    let talk = async |muxer: Shared| {
        let send = async {
            let mut stream = muxer.open().await;
            stream.write_all(&vec![7; 100_000]).await.unwrap();
            stream.close().await.unwrap();
        };
        let mut bytes = Vec::new();
        let receive = async { muxer.take().await.read_to_end(&mut bytes).await };
        futures::join!(send, receive).1.unwrap();
        bytes.len()
    };
    assert_eq!(run([near_end, far_end], talk).await, [100_000; 2]);
}

#[tokio::test]
async fn with_another_key_neither_passes() {
    let (a, b) = (member(&SwarmKey::generate()), member(&SwarmKey::generate()));
    let [dialed, accepted] = meet(&a, &b).await;
    assert!(matches!(dialed, Err(ProofError::Refused(_))));
    assert!(matches!(accepted, Err(ProofError::Stranger)));
}

#[tokio::test]
async fn a_stranger_gets_not_one_byte() {
    let [a, b] = members();
    let stranger = member(&SwarmKey::generate());
    let strange = recorded(&stranger, &stranger.clone_as(b.local)).await;
    let identify = b"\x13/multistream/1.0.0\n\x0f/ipfs/id/1.0.0\n".to_vec();
    let mut zeros = PREAMBLE.to_vec();
    zeros.extend_from_slice(&[0; 3 * LENGTH]);
    // What a member sends, from a peer that is not he.
    let stolen = recorded(&a, &b).await;
    let sent = [strange, identify, zeros, vec![0; 4096], stolen];
    for (number, bytes) in sent.iter().enumerate() {
        let (answer, proven) = answered(&b, &stranger.local, bytes).await;
        assert_eq!(answer, b"", "{number}");
        assert!(matches!(proven, Err(ProofError::Stranger)), "{number}");
    }
}

#[tokio::test]
async fn what_a_member_sent_once_does_not_let_it_in_again() {
    let [a, b] = members();
    let sent = recorded(&a, &b).await;
    // Of its knock a listener cannot know that it is old, of its proof it can.
    let (answer, proven) = answered(&b, &a.local, &sent).await;
    assert_eq!(answer.len(), KNOCK);
    assert!(matches!(proven, Err(ProofError::Stranger)));
}

#[tokio::test]
async fn what_is_said_to_one_listener_does_not_open_another() {
    let key = SwarmKey::generate();
    let [a, b, c] = [member(&key), member(&key), member(&key)];
    let sent = recorded(&a, &b).await;
    let (answer, proven) = answered(&c, &a.local, &sent).await;
    assert_eq!(answer, b"");
    assert!(matches!(proven, Err(ProofError::Stranger)));
}

#[tokio::test]
async fn what_a_member_says_is_no_proof_when_it_is_said_back_to_it() {
    let [a, b] = members();
    // A stranger whom `a` dials, and who dials `a` at the same time, says what `a` says.
    let stranger = PeerId::random();
    let (near, mut far) = pipe();
    let dial = a.dial(near, &stranger, rand::random());
    let reflect = async {
        let mut knock = [0; KNOCK];
        far.read_exact(&mut knock).await.unwrap();
        let (answer, proven) = answered(&a, &stranger, &knock).await;
        assert_eq!(answer, b"");
        assert!(matches!(proven, Err(ProofError::Stranger)));
        // And as the answer on the same connection.
        far.write_all(&knock).await.unwrap();
        far.flush().await.unwrap();
    };
    let (dialed, ()) = futures::join!(dial, reflect);
    assert!(matches!(dialed, Err(ProofError::Wrong)));
    drop(b);
}

#[tokio::test]
async fn whoever_stops_in_the_middle_is_gone() {
    let [a, b] = members();
    let sent = recorded(&a, &b).await;
    for length in 0..sent.len() {
        let (answer, proven) = answered(&b, &a.local, &sent[..length]).await;
        let expected = if length < KNOCK { 0 } else { KNOCK };
        assert_eq!(answer.len(), expected, "{length}");
        assert!(matches!(proven, Err(ProofError::Gone(_))), "{length}");
    }
}

#[tokio::test]
async fn a_listener_that_stops_in_the_middle_is_told() {
    let [a, b] = members();
    for length in 0..KNOCK {
        let (near, mut far) = pipe();
        let dial = a.dial(near, &b.local, rand::random());
        let stop = async {
            far.read_exact(&mut [0; KNOCK]).await.unwrap();
            far.write_all(&PREAMBLE[..length.min(PREAMBLE.len())])
                .await
                .unwrap();
            far.write_all(&vec![0; length.saturating_sub(PREAMBLE.len())])
                .await
                .unwrap();
            far.close().await.unwrap();
        };
        let (dialed, ()) = futures::join!(dial, stop);
        assert!(matches!(dialed, Err(ProofError::Refused(_))), "{length}");
    }
}

#[tokio::test]
async fn a_listener_that_guesses_is_wrong() {
    let [a, b] = members();
    for answer in [[PREAMBLE, &[0; 2 * LENGTH]].concat(), vec![0; KNOCK]] {
        let (near, mut far) = pipe();
        let dial = a.dial(near, &b.local, rand::random());
        let guess = async {
            far.read_exact(&mut [0; KNOCK]).await.unwrap();
            far.write_all(&answer).await.unwrap();
            far.flush().await.unwrap();
        };
        let (dialed, ()) = futures::join!(dial, guess);
        assert!(matches!(dialed, Err(ProofError::Wrong)));
    }
}

#[tokio::test]
async fn an_open_node_is_told_from_a_stranger() {
    let [a, b] = members();
    let (near, mut far) = pipe();
    let dial = a.dial(near, &b.local, rand::random());
    let answer = async {
        far.read_exact(&mut [0; KNOCK]).await.unwrap();
        far.write_all(b"\x13/multistream/1.0.0\n\x03na\n")
            .await
            .unwrap();
        far.flush().await.unwrap();
    };
    let (dialed, ()) = futures::join!(dial, answer);
    assert!(matches!(dialed, Err(ProofError::Open)));
}

#[tokio::test]
async fn both_cannot_be_dialer_or_listener() {
    let [a, b] = members();
    let (near, far) = pipe();
    let (one, other) = futures::join!(
        a.dial(near, &b.local, rand::random()),
        b.dial(far, &a.local, rand::random()),
    );
    // Each takes the other's knock for an answer; the second may see the first hang up.
    assert!(matches!(
        one,
        Err(ProofError::Wrong | ProofError::Refused(_))
    ));
    assert!(matches!(
        other,
        Err(ProofError::Wrong | ProofError::Refused(_))
    ));

    let [near, far] = muxers().await;
    let [mut a, mut b] = [a, b];
    (a.timeout, b.timeout) = (SOON, SOON);
    let (to_b, to_a) = (b.local, a.local);
    let (one, other) = futures::join!(
        a.prove(to_b, near, point(Endpoint::Listener)),
        b.prove(to_a, far, point(Endpoint::Listener)),
    );
    assert!(matches!(one, Err(ProofError::Late | ProofError::Gone(_))));
    assert!(matches!(other, Err(ProofError::Late | ProofError::Gone(_))));
}

/// Long enough for a machine with other things to do, to hand a few bytes over.
const SOON: Duration = Duration::from_millis(500);

#[tokio::test]
async fn drop_by_drop_does_not_take_longer() {
    let [a, mut b] = members();
    b.timeout = SOON;
    let sent = recorded(&a, &b).await;
    let [near, far] = muxers().await;
    let begun = Instant::now();
    let drip = async {
        let mut muxer = near;
        let mut stream = open(&mut muxer).await.unwrap();
        let drops = async {
            // All of it would take 140 drops: far longer than the time that there is.
            let mut pace = tokio::time::interval(SOON / 20);
            for byte in &sent {
                pace.tick().await;
                stream.write_all(&[*byte]).await.map_err(ProofError::Gone)?;
                stream.flush().await.map_err(ProofError::Gone)?;
            }
            Ok(())
        };
        drive(&mut muxer, drops, ProofError::Gone).await
    };
    let listen = b.prove(a.local, far, point(Endpoint::Listener));
    let (dripped, proven) = futures::join!(drip, listen);
    assert!(dripped.is_err(), "it was cut off");
    assert!(matches!(proven, Err(ProofError::Late)));
    assert!(begun.elapsed() < SOON * 4);
}

#[test]
fn a_proof_fits_one_place_only() {
    let [one, other] = members();
    let about = |dialer, listener, dialer_nonce, listener_nonce| Transcript {
        dialer,
        listener,
        dialer_nonce: [dialer_nonce; LENGTH],
        listener_nonce: [listener_nonce; LENGTH],
    };
    let (x, y, z) = (one.local, other.local, PeerId::random());
    let abouts = [
        about(&x, &y, 1, 2),
        about(&y, &x, 1, 2),
        about(&x, &z, 1, 2),
        about(&z, &y, 1, 2),
        about(&x, &y, 2, 1),
        about(&x, &y, 1, 1),
        about(&x, &y, 2, 2),
    ];
    let mut proofs = Vec::new();
    for about in &abouts {
        for place in [Place::Knock, Place::Listener, Place::Dialer] {
            proofs.push((place, about, one.sign(place, about).as_ref().to_vec()));
        }
    }
    for (at, (place, about, _)) in proofs.iter().enumerate() {
        for (of, (_, _, proof)) in proofs.iter().enumerate() {
            let proof = proof.as_slice().try_into().unwrap();
            assert_eq!(other.verify(*place, about, proof), at == of, "{at} {of}");
        }
    }
}

#[test]
fn the_vectors_of_the_protocol() {
    // Key: bytes 0 to 31. Peer ids: identity multihashes of 36 bytes, as those of Ed25519 keys.
    let key = SwarmKey::from_bytes(std::array::from_fn(|n| u8::try_from(n).unwrap()));
    let peer = |byte: u8| {
        let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
        bytes.extend_from_slice(&[byte; 32]);
        PeerId::from_bytes(&bytes).unwrap()
    };
    let (dialer, listener) = (peer(0xd1), peer(0x1e));
    let mut about = Transcript {
        dialer: &dialer,
        listener: &listener,
        dialer_nonce: [0xaa; LENGTH],
        listener_nonce: [0; LENGTH],
    };
    let member = Membership::new(&key, dialer);
    let hex = |place, about: &Transcript<'_>| {
        data_encoding::HEXLOWER.encode(member.sign(place, about).as_ref())
    };
    assert_eq!(
        hex(Place::Knock, &about),
        "40d8fe100859ab9d8a852566b4b583bf887c4a66737ce805352b6a45073cfa96"
    );
    about.listener_nonce = [0xbb; LENGTH];
    assert_eq!(
        hex(Place::Listener, &about),
        "0d0b7e7dabf340de19fcb72684b2f0aec8052c21bb95d33afcd06b438ef91674"
    );
    assert_eq!(
        hex(Place::Dialer, &about),
        "b13f4ad359bb0cca7744711aeaa5729a4dcea7f2886de0bf673f96aa99599f52"
    );
}

impl Membership {
    /// A member of the same swarm at another peer id.
    fn clone_as(&self, local: PeerId) -> Self {
        Self {
            local,
            ..self.clone()
        }
    }
}
