//! [`Table`]: where peers have been reached or are said to be. Pure, bounded, least recently used out
//! first; what is known of peers that were really met is also remembered on disk.

use std::num::NonZeroUsize;

use libp2p::PeerId;
use libp2p::multiaddr::{Multiaddr, Protocol};
use lru::LruCache;
use prost::Message;

use crate::address::{MAX_ADDRESS_SIZE, MAX_ADDRESSES};

/// Peers remembered at most: 16 addresses of 40 bytes each make 3 MiB of them.
pub(crate) const MAX_PEERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// What is known of peers that may not be connected.
#[derive(Debug)]
pub(crate) struct Table {
    known: LruCache<PeerId, Known>,
}

/// What is known of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Where it may be, the most trustworthy first.
    pub(crate) addresses: Vec<Multiaddr>,
    /// When it was last connected, in Unix seconds; 0 if never.
    pub(crate) seen: u64,
}

/// A row on disk.
#[derive(Clone, PartialEq, Eq, Message)]
struct Row {
    #[prost(uint64, tag = "1")]
    seen: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
}

impl Known {
    /// The value that is stored under the peer's id.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let addresses = self.addresses.iter().map(Multiaddr::to_vec).collect();
        Row {
            seen: self.seen,
            addresses,
        }
        .encode_to_vec()
    }

    /// Reads it back; `None` for what this version cannot read, and what is of no use.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let row = Row::decode(bytes).ok()?;
        let addresses: Vec<Multiaddr> = row
            .addresses
            .into_iter()
            .take(MAX_ADDRESSES)
            .filter(|bytes| bytes.len() <= MAX_ADDRESS_SIZE)
            .filter_map(|bytes| Multiaddr::try_from(bytes).ok())
            .collect();
        (!addresses.is_empty()).then_some(Self {
            addresses,
            seen: row.seen,
        })
    }
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            known: LruCache::new(MAX_PEERS),
        }
    }

    /// Puts back what was remembered. The later it comes, the longer it stays.
    pub(crate) fn restore(&mut self, peer: PeerId, known: Known) {
        self.known.put(peer, known);
    }

    /// What `peer` itself told: replaces what was known before. Returns the row for the disk, and the
    /// peer that had to be forgotten for it.
    pub(crate) fn met(
        &mut self,
        peer: PeerId,
        mut addresses: Vec<Multiaddr>,
        now: u64,
    ) -> (Known, Option<PeerId>) {
        addresses.truncate(MAX_ADDRESSES);
        let known = Known {
            addresses,
            seen: now,
        };
        let evicted = self
            .known
            .push(peer, known.clone())
            .map(|(evicted, _)| evicted);
        (known, evicted.filter(|evicted| *evicted != peer))
    }

    /// What somebody else told of `peer`: stands behind what it told itself.
    pub(crate) fn heard(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if addresses.is_empty() {
            return;
        }
        let known = self.known.get_or_insert_mut(peer, Known::default);
        for address in addresses {
            if known.addresses.len() < MAX_ADDRESSES && !known.addresses.contains(address) {
                known.addresses.push(address.clone());
            }
        }
    }

    /// Where `peer` may be, TCP first.
    pub(crate) fn addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addresses = self
            .known
            .get(peer)
            .map(|known| known.addresses.clone())
            .unwrap_or_default();
        addresses.sort_by_key(|address| address.iter().any(|part| part == Protocol::QuicV1));
        addresses
    }

    /// Somebody else is at `address`.
    pub(crate) fn wrong(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(known) = self.known.get_mut(peer) {
            known.addresses.retain(|known| known != address);
        }
    }

    /// Forgets `peer`: it is none of ours.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.known.pop(peer);
    }

    /// The peers that were met last, latest first.
    pub(crate) fn latest(&self, count: usize) -> Vec<PeerId> {
        let mut met: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.seen > 0)
            .collect();
        met.sort_by_key(|(_, known)| std::cmp::Reverse(known.seen));
        met.into_iter().take(count).map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn what_a_peer_tells_itself_replaces_hearsay() {
        let (mut table, peer) = (Table::new(), PeerId::random());
        table.heard(peer, &[address(1), address(2)]);
        table.met(peer, vec![address(3)], 7);
        table.heard(peer, &[address(4)]);
        assert_eq!(table.addresses(&peer), [address(3), address(4)]);
        assert_eq!(table.latest(9), [peer]);
    }

    #[test]
    fn peers_and_addresses_are_bounded() {
        let mut table = Table::new();
        let first = PeerId::random();
        table.met(first, vec![address(1)], 1);
        for _ in 1..MAX_PEERS.get() {
            table.met(PeerId::random(), vec![address(1)], 1);
        }
        let (_, evicted) = table.met(PeerId::random(), vec![address(1)], 1);
        assert_eq!(evicted, Some(first));
        for port in 0..100 {
            table.heard(first, &[address(port)]);
        }
        assert_eq!(table.addresses(&first).len(), MAX_ADDRESSES);
    }

    #[test]
    fn rows_come_back_from_disk() {
        let known = Known {
            addresses: vec![address(1), address(2)],
            seen: 99,
        };
        assert_eq!(Known::decode(&known.encode()), Some(known));
        assert_eq!(Known::decode(b"\xff\xff"), None);
        assert_eq!(
            Known::decode(b""),
            None,
            "a peer without addresses is of no use"
        );
    }

    #[test]
    fn tcp_is_tried_first() {
        let (mut table, peer) = (Table::new(), PeerId::random());
        let quic: Multiaddr = "/ip4/10.0.0.1/udp/1/quic-v1".parse().unwrap();
        table.heard(peer, &[quic.clone(), address(1)]);
        assert_eq!(table.addresses(&peer), [address(1), quic]);
    }
}
