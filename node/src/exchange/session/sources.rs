//! [`Sources`]: who has given how much, and how fast, for people.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::PeerId;

use super::rate::Rate;

/// Peers that are counted: as many as the scheduler asks at once. Of more, those that gave least are
/// forgotten.
const MAX: usize = 64;

/// What one peer has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceProgress {
    /// Who.
    pub peer: PeerId,
    /// Bytes of blocks that came from it, those that came twice too.
    pub bytes: u64,
    /// Bytes per second from it, over the last seconds.
    pub rate: u64,
}

/// The peers that gave something.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_peer: HashMap<PeerId, (u64, Rate)>,
}

impl Sources {
    /// Bytes have come from `peer`.
    pub(super) fn note(&mut self, peer: PeerId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if self.by_peer.len() >= MAX && !self.by_peer.contains_key(&peer) {
            let least = self.by_peer.iter().min_by_key(|(_, (bytes, _))| *bytes);
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.by_peer.remove(&least);
            }
        }
        self.by_peer.entry(peer).or_default().0 += bytes;
    }

    /// All of them, who gave most first. To be asked at regular times: the rates are since then.
    pub(super) fn tell(&mut self, now: Duration) -> Vec<SourceProgress> {
        let tell = |(peer, (bytes, rate)): (&PeerId, &mut (u64, Rate))| SourceProgress {
            peer: *peer,
            bytes: *bytes,
            rate: rate.note(now, *bytes),
        };
        let mut told: Vec<_> = self.by_peer.iter_mut().map(tell).collect();
        told.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.peer.cmp(&b.peer)));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_counted_and_the_greatest_stands_first() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let mut sources = Sources::default();
        sources.note(a, 0);
        assert_eq!(sources.tell(Duration::ZERO), [], "nothing was given");
        sources.note(a, 100);
        sources.note(b, 300);
        let first = sources.tell(Duration::ZERO);
        assert_eq!(
            first.iter().map(|s| (s.peer, s.bytes)).collect::<Vec<_>>(),
            [(b, 300), (a, 100)]
        );
        sources.note(a, 500);
        let later = sources.tell(Duration::from_secs(1));
        let told = |peer, bytes, rate| SourceProgress { peer, bytes, rate };
        assert_eq!(later, [told(a, 600, 500), told(b, 300, 0)]);
    }

    #[test]
    fn of_too_many_the_least_is_forgotten() {
        let mut sources = Sources::default();
        let peers: Vec<_> = (0..=MAX).map(|_| PeerId::random()).collect();
        for (bytes, peer) in (1..).zip(&peers) {
            sources.note(*peer, bytes);
        }
        let told = sources.tell(Duration::ZERO);
        assert_eq!(told.len(), MAX);
        assert!(told.iter().all(|source| source.peer != peers[0]));
    }
}
