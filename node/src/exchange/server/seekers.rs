//! [`Seekers`]: who lately asked us for which content. They download it, and serve what they have.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use lru::LruCache;
use store::Cid;
use store::wire::{Holder, MAX_ADDRESS_SIZE, MAX_HOLDER_ADDRESSES, MAX_HOLDERS};
use tokio::time::Instant;

/// Contents remembered at most, 64 peers of each: 4 MiB of them.
const ROOTS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
const PEERS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// Who did not ask for so long may have gone.
const LATELY: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Seekers(LruCache<Cid, LruCache<PeerId, Instant>>);

impl Default for Seekers {
    fn default() -> Self {
        Self(LruCache::new(ROOTS))
    }
}

impl Seekers {
    pub(super) fn note(&mut self, root: Cid, peer: PeerId, now: Instant) {
        let peers = self.0.get_or_insert_mut(root, || LruCache::new(PEERS));
        peers.put(peer, now);
    }

    /// Who asked for `root`, the latest first, but for `asker`.
    pub(super) fn of(&self, root: &Cid, asker: &PeerId, now: Instant) -> Vec<PeerId> {
        let peers = self.0.peek(root).into_iter().flat_map(LruCache::iter);
        peers
            .filter(|(peer, when)| *peer != asker && now < **when + LATELY)
            .map(|(peer, _)| *peer)
            .collect()
    }
}

/// The answer that these make: those that can be reached.
pub(super) fn holders(known: Vec<(PeerId, Vec<Multiaddr>)>) -> Vec<Holder> {
    let holder = |(peer, addresses): (PeerId, Vec<Multiaddr>)| {
        let addresses: Vec<Bytes> = addresses
            .iter()
            .map(|address| Bytes::from(address.to_vec()))
            .filter(|address| address.len() <= MAX_ADDRESS_SIZE)
            .take(MAX_HOLDER_ADDRESSES)
            .collect();
        (!addresses.is_empty()).then(|| Holder {
            peer: peer.to_bytes().into(),
            addresses,
        })
    };
    known
        .into_iter()
        .filter_map(holder)
        .take(MAX_HOLDERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_asked_lately_are_told_of_and_never_the_asker() {
        let cid: Cid = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
        let mut seekers = Seekers::default();
        let (one, two, now) = (PeerId::random(), PeerId::random(), Instant::now());
        seekers.note(cid, one, now);
        seekers.note(cid, two, now + Duration::from_secs(1));
        assert_eq!(seekers.of(&cid, &one, now + LATELY), [two]);
        assert_eq!(
            seekers.of(&cid, &PeerId::random(), now + LATELY / 2),
            [two, one]
        );
        for _ in 0..1000 {
            seekers.note(cid, PeerId::random(), now);
        }
        assert_eq!(seekers.of(&cid, &one, now).len(), PEERS.get());
    }

    #[test]
    fn what_cannot_be_reached_is_left_out_and_bounds_hold() {
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let mut known = vec![(PeerId::random(), Vec::new())];
        known.extend((0..100).map(|_| (PeerId::random(), vec![address.clone(); 20])));
        let holders = holders(known);
        assert_eq!(holders.len(), MAX_HOLDERS);
        assert!(
            holders
                .iter()
                .all(|holder| holder.addresses.len() == MAX_HOLDER_ADDRESSES)
        );
        assert!(store::wire::Response::Peers(holders).encode().is_ok());
    }
}
