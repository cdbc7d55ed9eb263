//! [`Waiters`]: who waits for a connection. Pure, bounded.

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;

use crate::network::ConnectError;

/// Connections that are being waited for at most: more than people ask for.
const MAX_WAITERS: usize = 256;

/// Where the answer goes.
pub(crate) type Answer = oneshot::Sender<Result<PeerId, ConnectError>>;

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    /// The dial that it waits for, until that has led to a peer.
    dial: Option<ConnectionId>,
    /// The peer that must introduce itself.
    peer: Option<PeerId>,
    answer: Answer,
}

impl Waiters {
    /// Waits for a dial, or for a peer whose dial somebody else began.
    pub(crate) fn push(
        &mut self,
        dial: Option<ConnectionId>,
        peer: Option<PeerId>,
        answer: Answer,
    ) {
        // Who gave up waiting has dropped his end.
        self.waiting.retain(|waiter| !waiter.answer.is_closed());
        if self.waiting.len() >= MAX_WAITERS {
            let _ = answer.send(Err(ConnectError::TooMany { limit: MAX_WAITERS }));
            return;
        }
        self.waiting.push(Waiter { dial, peer, answer });
    }

    /// The dial has led to `peer`, which has not introduced itself yet.
    pub(crate) fn opened(&mut self, dial: ConnectionId, peer: PeerId) {
        for waiter in self
            .waiting
            .iter_mut()
            .filter(|waiter| waiter.dial == Some(dial))
        {
            waiter.dial = None;
            waiter.peer = Some(peer);
        }
    }

    /// The peer is of our network, or not.
    pub(crate) fn settle(&mut self, peer: &PeerId, result: &Result<PeerId, ConnectError>) {
        self.answer(result, |waiter| waiter.peer == Some(*peer));
    }

    /// The dial has led nowhere.
    pub(crate) fn failed(&mut self, dial: ConnectionId, error: &ConnectError) {
        self.answer(&Err(error.clone()), |waiter| waiter.dial == Some(dial));
    }

    fn answer(
        &mut self,
        result: &Result<PeerId, ConnectError>,
        concerned: impl Fn(&Waiter) -> bool,
    ) {
        for waiter in self.waiting.extract_if(.., |waiter| concerned(waiter)) {
            // Who gave up waiting does not care.
            let _ = waiter.answer.send(result.clone());
        }
    }
}
