//! [`Targets`]: the peers that we want to be connected to, and when to dial them next. Pure: the clock
//! and the randomness are arguments.
//!
//! Bootstrap addresses are tried for ever; peers remembered from an earlier run, or seen on the LAN, a
//! few times.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::address;

/// The first wait after a failed dial; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait between two dials of a bootstrap peer, so that a node finds it soon after it came
/// back.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a stranger at a bootstrap address is left alone: somebody has to change a setting.
const STRANGER_WAIT: Duration = Duration::from_secs(600);

/// Targets at most. Bootstrap addresses have precedence: they are there first.
pub(crate) const MAX_TARGETS: usize = 256;

/// The peers to connect to.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    peer: Option<PeerId>,
    /// Where, for a bootstrap address; empty for a peer whose addresses the table knows.
    address: Option<Multiaddr>,
    /// Dials that may still fail; `None`: any number.
    attempts: Option<u32>,
    failures: u32,
    due: Instant,
    dialing: Option<ConnectionId>,
}

/// What to dial now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) peer: Option<PeerId>,
    pub(crate) address: Option<Multiaddr>,
    index: usize,
}

impl Targets {
    /// An address to stay connected to.
    pub(crate) fn bootstrap(&mut self, address: Multiaddr, now: Instant) {
        let peer = address::peer_of(&address);
        self.push(Target {
            peer,
            address: Some(address),
            attempts: None,
            failures: 0,
            due: now,
            dialing: None,
        });
    }

    /// A peer to try `attempts` times.
    pub(crate) fn try_peer(&mut self, peer: PeerId, attempts: u32, now: Instant) {
        let known = self
            .targets
            .iter_mut()
            .find(|target| target.peer == Some(peer));
        match known {
            Some(target) if target.dialing.is_none() => target.due = target.due.min(now),
            Some(_) => {}
            None => self.push(Target {
                peer: Some(peer),
                address: None,
                attempts: Some(attempts),
                failures: 0,
                due: now,
                dialing: None,
            }),
        }
    }

    fn push(&mut self, target: Target) {
        if self.targets.len() < MAX_TARGETS {
            self.targets.push(target);
        }
    }

    /// One target that is due and not connected. The caller dials it and says how that began.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Option<Dial> {
        let is_connected = |target: &Target| target.peer.as_ref().is_some_and(&connected);
        // Who has come by another way is no longer looked for.
        self.targets
            .retain(|target| target.attempts.is_none() || !is_connected(target));
        let (index, target) = self.targets.iter().enumerate().find(|(_, target)| {
            target.dialing.is_none() && target.due <= now && !is_connected(target)
        })?;
        Some(Dial {
            peer: target.peer,
            address: target.address.clone(),
            index,
        })
    }

    /// The dial is under way.
    pub(crate) fn started(&mut self, dial: &Dial, id: ConnectionId) {
        self.targets[dial.index].dialing = Some(id);
    }

    /// The dial could not even begin; `jitter` is in 0..1.
    pub(crate) fn refused(&mut self, dial: &Dial, now: Instant, jitter: f64) {
        self.fail(dial.index, now, jitter);
    }

    /// The dial has led to `peer`.
    pub(crate) fn succeeded(&mut self, id: ConnectionId, peer: PeerId) {
        if let Some(target) = self.targets.iter_mut().find(|t| t.dialing == Some(id)) {
            target.dialing = None;
            target.failures = 0;
            target.peer = Some(peer);
        }
    }

    /// The dial has led nowhere.
    pub(crate) fn failed(&mut self, id: ConnectionId, now: Instant, jitter: f64) {
        if let Some(index) = self.targets.iter().position(|t| t.dialing == Some(id)) {
            self.fail(index, now, jitter);
        }
    }

    /// The peer is none of ours.
    pub(crate) fn stranger(&mut self, peer: &PeerId, now: Instant) {
        self.targets
            .retain(|target| target.attempts.is_none() || target.peer != Some(*peer));
        for target in self
            .targets
            .iter_mut()
            .filter(|target| target.peer == Some(*peer))
        {
            target.due = now + STRANGER_WAIT;
        }
    }

    /// The last connection to the peer has ended: a bootstrap peer is dialed again, not at once.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant) {
        for target in self
            .targets
            .iter_mut()
            .filter(|target| target.peer == Some(*peer))
        {
            target.due = target.due.max(now + FIRST_WAIT);
        }
    }

    fn fail(&mut self, index: usize, now: Instant, jitter: f64) {
        let target = &mut self.targets[index];
        let wait = FIRST_WAIT
            .saturating_mul(1 << target.failures.min(10))
            .min(LONGEST_WAIT);
        // Nodes that lost the same peer together do not come back together.
        target.due = now + wait.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0);
        target.dialing = None;
        target.failures = target.failures.saturating_add(1);
        // Whoever answers there next may be another: the address alone decides.
        if let Some(address) = &target.address {
            target.peer = address::peer_of(address);
        }
        if target
            .attempts
            .is_some_and(|attempts| target.failures >= attempts)
        {
            self.targets.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn(&PeerId) -> bool = |_| false;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn bootstrap_is_retried_for_ever_with_longer_waits_up_to_a_minute() {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        targets.bootstrap("/ip4/127.0.0.1/tcp/1".parse().unwrap(), now);
        let mut waits = Vec::new();
        for n in 0..20 {
            let dial = targets.next(now, NOBODY).expect("it is due");
            targets.started(&dial, id(n));
            assert_eq!(targets.next(now, NOBODY), None, "one dial at a time");
            targets.failed(id(n), now, 0.5);
            let before = now;
            while targets.next(now, NOBODY).is_none() {
                now += Duration::from_millis(250);
            }
            waits.push((now - before).as_secs());
        }
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(waits.last(), Some(&60));
    }

    #[test]
    fn a_lost_bootstrap_peer_is_dialed_again() {
        let now = Instant::now();
        let (mut targets, peer) = (Targets::default(), PeerId::random());
        targets.bootstrap("/ip4/127.0.0.1/tcp/1".parse().unwrap(), now);
        let dial = targets.next(now, NOBODY).unwrap();
        targets.started(&dial, id(1));
        targets.succeeded(id(1), peer);
        assert_eq!(targets.next(now, |p| *p == peer), None);
        targets.lost(&peer, now);
        assert_eq!(targets.next(now, NOBODY), None, "not at once");
        assert!(targets.next(now + FIRST_WAIT, NOBODY).is_some());
    }

    #[test]
    fn others_are_given_up() {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        targets.try_peer(PeerId::random(), 2, now);
        for _ in 0..2 {
            let dial = targets.next(now, NOBODY).unwrap();
            targets.refused(&dial, now, 0.0);
            now += LONGEST_WAIT;
        }
        assert_eq!(targets.next(now, NOBODY), None);
    }

    #[test]
    fn strangers_are_left_alone() {
        let now = Instant::now();
        let (mut targets, peer) = (Targets::default(), PeerId::random());
        targets.bootstrap(
            format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap(),
            now,
        );
        targets.stranger(&peer, now);
        assert_eq!(targets.next(now + LONGEST_WAIT, NOBODY), None);
        assert!(targets.next(now + STRANGER_WAIT, NOBODY).is_some());
    }
}
