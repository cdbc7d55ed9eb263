//! [`ByBytes`]: a map that holds so many bytes, least recently used out first; and [`Hot`]: what
//! several ask for at the same time, read once.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use lru::LruCache;
use store::Cid;

/// Another asker within this time makes a block hot.
const SOON: Duration = Duration::from_secs(10);
/// Blocks whose last asker is remembered: two seconds of a fast disk's, 1 MiB each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ByBytes<K: Hash + Eq, V> {
    map: LruCache<K, (V, usize)>,
    bytes: usize,
    limit: usize,
}

impl<K: Hash + Eq, V> ByBytes<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            map: LruCache::unbounded(),
            bytes: 0,
            limit,
        }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(value, _)| value)
    }

    /// Keeps a value that takes so many bytes, unless that is more than there is room for.
    pub(super) fn put(&mut self, key: K, value: V, bytes: usize) {
        if bytes > self.limit {
            return;
        }
        self.bytes += bytes;
        if let Some((_, (_, old))) = self.map.push(key, (value, bytes)) {
            self.bytes -= old;
        }
        while self.bytes > self.limit
            && let Some((_, (_, oldest))) = self.map.pop_lru()
        {
            self.bytes -= oldest;
        }
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Debug)]
pub(super) struct Hot {
    blocks: ByBytes<Cid, Bytes>,
    /// Who asked for a block last, and when.
    asked: LruCache<Cid, (PeerId, Instant)>,
}

impl Hot {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            blocks: ByBytes::new(limit),
            asked: LruCache::new(REMEMBERED),
        }
    }

    pub(super) fn get(&mut self, cid: &Cid) -> Option<Bytes> {
        self.blocks.get(cid).cloned()
    }

    /// A block was read for an asker: it is kept if another asked for it lately.
    pub(super) fn read(&mut self, cid: Cid, data: &Bytes, asker: PeerId, now: Instant) {
        let before = self.asked.put(cid, (asker, now));
        if before.is_some_and(|(other, when)| other != asker && now < when + SOON) {
            self.blocks.put(cid, data.clone(), data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use store::cid::{Codec, Version, from_digest};

    use super::*;

    fn cid(n: u8) -> Cid {
        from_digest(Version::V1, Codec::Raw, &[n; 32])
    }

    #[test]
    fn what_two_ask_for_is_kept_and_no_more_than_there_is_room_for() {
        let mut hot = Hot::new(1000);
        let (one, two, now) = (PeerId::random(), PeerId::random(), Instant::now());
        let data = Bytes::from(vec![7; 400]);
        for n in 0..4 {
            hot.read(cid(n), &data, one, now);
            hot.read(cid(n), &data, one, now);
            assert_eq!(hot.get(&cid(n)), None, "one alone asked");
            hot.read(cid(n), &data, two, now);
            assert_eq!(hot.get(&cid(n)).as_ref(), Some(&data));
            assert!(hot.blocks.bytes() <= 1000);
        }
        assert_eq!(hot.get(&cid(0)), None, "the oldest went");
        hot.read(cid(9), &data, one, now);
        hot.read(cid(9), &data, two, now + SOON);
        assert_eq!(hot.get(&cid(9)), None, "too late");
    }
}
