//! What messages weigh on the wire: their own bytes as `store::wire` encodes them, and an allowance for all
//! around them.

use crate::members::{Answer, Ask, Claim};

/// Of one exchange on a stream of its own over TCP, TLS and Yamux, both directions together: two
/// multistream headers and protocol names each way (150), Yamux frames (6 × 12), TLS records (4 × 22),
/// IP and TCP (8 packets × 40). Half falls to each side.
pub(super) const EXCHANGE: usize = 640;

/// Of a new connection, both directions together: certificates, key shares of TLS 1.3 with ML-KEM, identify.
pub(super) const DIAL: usize = 7000;

/// Around an announcement: gossipsub's author, number, signature and topic, and the ids in the heartbeats
/// that follow it, and TLS, IP and TCP for each copy.
pub(super) const GOSSIP: usize = 260 + 100;

/// Copies of an announcement that each member sends on, and receives, at most: gossipsub's mesh has six,
/// and none goes back to where the first came from.
pub(super) const COPIES: usize = 5;

pub(super) fn of_ask(ask: &Ask) -> usize {
    match ask {
        Ask::Probe { .. } => 26,
        Ask::Reach(_) => 40,
        Ask::Compare(questions) => 6 + questions.iter().map(|it| it.size() + 2).sum::<usize>(),
        Ask::Fetch(members) => 6 + 34 * members.len(),
        Ask::Tell(record) => 10 + record.signed().size(),
    }
}

pub(super) fn of_answer(answer: &Answer) -> usize {
    match answer {
        Answer::Alive(record) => 8 + record.as_ref().map_or(0, |it| it.signed().size()),
        Answer::Reached(_) => 8,
        Answer::Compared(verdicts) => 8 + verdicts.iter().map(|it| it.size() + 2).sum::<usize>(),
        Answer::Records(known) => {
            8 + known
                .iter()
                .map(|it| 6 + it.record.signed().size())
                .sum::<usize>()
        }
    }
}

pub(super) fn of_claim(claim: &Claim) -> usize {
    let records = claim.records.iter().map(|it| it.signed().size() + 3);
    GOSSIP + records.sum::<usize>() + claim.accusations.len() * 44
}
