//! [`Provide`]: which roots to announce to the DHT, and when. Pure: the clock is an argument.
//!
//! Kademlia's own republishing asks for all keys at once, twelve hours after the start: a node that
//! was restarted would be unknown for half a day. Here a root is announced at once, again after a
//! restart, again each 12 h, a few at a time; and soon again while the swarm is so small that each
//! newcomer ought to keep every record.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use libp2p::kad::{K_VALUE, QueryId, RecordKey};

/// Roots that a node announces at most: at 8 announcements a second, 9 hours of the 12. Those beyond are
/// found by whoever asks us, not in the DHT.
pub(crate) const MAX_ROOTS: usize = 1 << 18;

/// A quarter of the records' life, as Kademlia's specification says.
const INTERVAL: Duration = Duration::from_secs(12 * 3600);

/// Announcements under way at most; each is a lookup with three questions at a time.
const PARALLEL: usize = 8;

/// Announcements begun in one second at most.
const PER_SECOND: usize = 8;

/// A failed announcement is repeated after this long.
const RETRY: Duration = Duration::from_secs(60);

/// Newcomers to a small swarm are waited for this long, and then told of everything together.
const GATHER: Duration = Duration::from_secs(20);

/// What to announce.
#[derive(Debug)]
pub(crate) struct Provide {
    roots: HashSet<RecordKey>,
    queue: VecDeque<RecordKey>,
    queued: HashSet<RecordKey>,
    under_way: HashMap<QueryId, RecordKey>,
    failed: VecDeque<(Instant, RecordKey)>,
    next_round: Instant,
    /// Announcements that may still begin in this second.
    allowance: usize,
}

impl Provide {
    /// Announces `roots` from now on.
    pub(crate) fn new(roots: Vec<RecordKey>, now: Instant) -> Self {
        let mut provide = Self {
            roots: HashSet::new(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            under_way: HashMap::new(),
            failed: VecDeque::new(),
            next_round: now + INTERVAL,
            allowance: PER_SECOND,
        };
        for root in roots {
            provide.add(root);
        }
        provide
    }

    /// One more root; goes before those that are merely repeated. Returns `false` if there are too
    /// many.
    pub(crate) fn add(&mut self, root: RecordKey) -> bool {
        if self.roots.len() >= MAX_ROOTS && !self.roots.contains(&root) {
            return false;
        }
        self.roots.insert(root.clone());
        if self.queued.insert(root.clone()) {
            self.queue.push_front(root);
        }
        true
    }

    /// No longer.
    pub(crate) fn remove(&mut self, root: &RecordKey) {
        // Its place in the queue is passed over when its turn comes.
        self.roots.remove(root);
    }

    pub(crate) fn len(&self) -> usize {
        self.roots.len()
    }

    /// Once a second.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        self.allowance = PER_SECOND;
        if now >= self.next_round {
            self.next_round = now + INTERVAL;
            for root in self
                .roots
                .iter()
                .filter(|root| !self.queued.contains(*root))
            {
                self.queue.push_back(root.clone());
            }
            self.queued.extend(self.roots.iter().cloned());
        }
        while self.failed.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, root)) = self.failed.pop_front()
                && self.queued.insert(root.clone())
            {
                self.queue.push_back(root);
            }
        }
    }

    /// The DHT has one more peer, of `peers`. In a swarm of fewer than [`K_VALUE`] each is among the closest
    /// to every key.
    pub(crate) fn on_newcomer(&mut self, peers: usize, now: Instant) {
        if peers <= K_VALUE.get() {
            self.next_round = self.next_round.min(now + GATHER);
        }
    }

    /// A root to announce now; the caller begins it and calls [`Provide::started`].
    pub(crate) fn next(&mut self) -> Option<RecordKey> {
        while self.allowance > 0 && self.under_way.len() < PARALLEL {
            let root = self.queue.pop_front()?;
            self.queued.remove(&root);
            if self.roots.contains(&root) {
                self.allowance -= 1;
                return Some(root);
            }
        }
        None
    }

    pub(crate) fn started(&mut self, query: QueryId, root: RecordKey) {
        self.under_way.insert(query, root);
    }

    pub(crate) fn finished(&mut self, query: QueryId, success: bool, now: Instant) {
        let Some(root) = self.under_way.remove(&query) else {
            return;
        };
        // Bounded by the roots: each is in at most one of queue, way and failed.
        if !success && self.roots.contains(&root) {
            self.failed.push_back((now + RETRY, root));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(n: usize) -> RecordKey {
        RecordKey::new(&format!("root {n}"))
    }

    fn all(provide: &mut Provide) -> usize {
        std::iter::from_fn(|| provide.next()).count()
    }

    #[test]
    fn a_restart_announces_everything_a_few_a_second() {
        let now = Instant::now();
        let mut provide = Provide::new((0..20).map(root).collect(), now);
        let mut seen = 0;
        for _ in 0..3 {
            let count = all(&mut provide);
            assert!(count <= PER_SECOND);
            seen += count;
            provide.on_tick(now);
        }
        assert_eq!(seen, 20);
        assert_eq!(all(&mut provide), 0, "not again");
        provide.on_tick(now + INTERVAL);
        assert!(all(&mut provide) > 0, "but after twelve hours");
    }

    #[test]
    fn a_new_root_does_not_wait_for_a_round() {
        let now = Instant::now();
        let mut provide = Provide::new((0..1000).map(root).collect(), now);
        provide.add(root(5000));
        assert_eq!(provide.next(), Some(root(5000)));
    }

    #[test]
    fn a_removed_root_is_not_announced() {
        let mut provide = Provide::new(vec![root(1)], Instant::now());
        provide.remove(&root(1));
        assert_eq!(provide.next(), None);
    }

    #[test]
    fn a_newcomer_to_a_small_swarm_is_told_soon() {
        let now = Instant::now();
        let mut provide = Provide::new(vec![root(1)], now);
        assert_eq!(all(&mut provide), 1);
        provide.on_newcomer(3, now);
        provide.on_tick(now + GATHER);
        assert_eq!(all(&mut provide), 1);
        provide.on_newcomer(500, now + GATHER);
        provide.on_tick(now + GATHER * 2);
        assert_eq!(all(&mut provide), 0, "a large swarm needs no hurry");
    }

    #[test]
    fn roots_are_bounded() {
        let mut provide = Provide::new((0..MAX_ROOTS).map(root).collect(), Instant::now());
        assert!(!provide.add(root(MAX_ROOTS)));
        assert!(provide.add(root(1)), "known already");
    }
}
