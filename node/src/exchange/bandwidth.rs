//! [`Bandwidth`]: how fast bytes may go up and down, in all and for each peer, by time of day.
//!
//! Whoever moves bytes has a [`Throttle`] and awaits it before each slice. Slices are small
//! ([`Throttle::slice`]) and served in the order of their asking, so that streams share a limit evenly.
//! Without any limit a throttle costs one look at an atomic.

mod bucket;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use lru::LruCache;
use store_config::{Direction, TimedLimit};
use tokio::time::Instant;

use self::bucket::Bucket;

/// Peers whose use of their limits is remembered at most; more than there are connections.
const PEERS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
/// How often the time of day is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// What goes at once: a sixteenth of a second's worth, within these.
const LEAST_SLICE: u64 = 1 << 10;
const LARGEST_SLICE: u64 = 64 << 10;

/// The minute of the day, local time.
pub type Clock = fn() -> u16;

/// The limits of a node. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Bandwidth {
    up: Arc<Way>,
    down: Arc<Way>,
}

/// One direction.
#[derive(Debug)]
struct Way {
    began: Instant,
    direction: Direction,
    always: Option<u64>,
    by_time: Vec<TimedLimit>,
    peer: Option<u64>,
    clock: Clock,
    /// Whether there is any limit at any time.
    limited: AtomicBool,
    /// The rate in effect, for slices; 0: none.
    rate: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    peers: LruCache<PeerId, Arc<Mutex<Bucket>>>,
    look: Duration,
}

/// What one stream of bytes awaits.
#[derive(Clone, Debug)]
pub struct Throttle {
    way: Arc<Way>,
    peer: Option<Arc<Mutex<Bucket>>>,
}

impl Bandwidth {
    /// As the settings say; `clock` tells the minute of the day.
    #[must_use]
    pub fn new(config: &store_config::Exchange, clock: Clock) -> Self {
        let way = |direction, all: store_config::RateLimit, peer: store_config::RateLimit| {
            Arc::new(Way::new(
                direction,
                all.bytes_per_second(),
                peer.bytes_per_second(),
                &config.limits_by_time,
                clock,
            ))
        };
        Self {
            up: way(Direction::Up, config.upload_limit, config.peer_upload_limit),
            down: way(
                Direction::Down,
                config.download_limit,
                config.peer_download_limit,
            ),
        }
    }

    /// For bytes to a peer.
    #[must_use]
    pub fn upload(&self, peer: PeerId) -> Throttle {
        Throttle::new(&self.up, peer)
    }

    /// For bytes from a peer.
    #[must_use]
    pub fn download(&self, peer: PeerId) -> Throttle {
        Throttle::new(&self.down, peer)
    }
}

impl Default for Bandwidth {
    /// None.
    fn default() -> Self {
        Self::new(&store_config::Exchange::default(), || 0)
    }
}

impl Way {
    fn new(
        direction: Direction,
        always: Option<u64>,
        peer: Option<u64>,
        by_time: &[TimedLimit],
        clock: Clock,
    ) -> Self {
        let concerns = |limit: &TimedLimit| limit.direction.is_none_or(|way| way == direction);
        let by_time: Vec<_> = by_time.iter().copied().filter(concerns).collect();
        let limited = always.is_some() || peer.is_some() || !by_time.is_empty();
        let way = Self {
            began: Instant::now(),
            direction,
            always,
            by_time,
            peer,
            clock,
            limited: limited.into(),
            rate: AtomicU64::new(0),
            state: Mutex::new(State {
                all: Bucket::new(None),
                peers: LruCache::new(PEERS),
                look: Duration::ZERO,
            }),
        };
        way.look(&mut way.state(), Duration::ZERO);
        way
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the rate that holds at this time of day.
    fn look(&self, state: &mut State, now: Duration) {
        if now < state.look {
            return;
        }
        state.look = now + LOOK;
        let rate = if self.by_time.is_empty() {
            self.always
        } else {
            let minute = (self.clock)();
            let timed = self.by_time.iter().find(|limit| limit.holds_at(minute));
            timed.map_or(self.always, |limit| limit.limit.bytes_per_second())
        };
        if rate != state.all.rate() {
            tracing::info!(direction = ?self.direction, ?rate, "bandwidth limit in bytes per second");
        }
        state.all.set(now, rate);
        let least = rate.into_iter().chain(self.peer).min();
        self.rate.store(least.unwrap_or(0), Ordering::Relaxed);
    }
}

impl Throttle {
    fn new(way: &Arc<Way>, peer: PeerId) -> Self {
        let bucket = way.peer.map(|rate| {
            let mut state = way.state();
            let new = || Arc::new(Mutex::new(Bucket::new(Some(rate))));
            Arc::clone(state.peers.get_or_insert(peer, new))
        });
        Self {
            way: Arc::clone(way),
            peer: bucket,
        }
    }

    /// How many bytes to take at once, at most; `u64::MAX` where there is no limit.
    #[must_use]
    pub fn slice(&self) -> u64 {
        if !self.way.limited.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        match self.way.rate.load(Ordering::Relaxed) {
            // There may be one soon.
            0 => 16 * LARGEST_SLICE,
            rate => (rate / 16).clamp(LEAST_SLICE, LARGEST_SLICE),
        }
    }

    /// Waits until what went beyond the limit has been paid off.
    pub async fn ready(&self) {
        self.take(0).await;
    }

    /// Waits until so many bytes may go. Dropping the future does not give them back.
    pub async fn take(&self, bytes: u64) {
        if !self.way.limited.load(Ordering::Relaxed) {
            return;
        }
        let when = self.reserve(self.way.began.elapsed(), bytes);
        tokio::time::sleep_until(self.way.began + when).await;
    }

    /// When so many bytes may go; they count as sent then. Times are since the node's start.
    fn reserve(&self, now: Duration, bytes: u64) -> Duration {
        let mut state = self.way.state();
        self.way.look(&mut state, now);
        let all = state.all.reserve(now, bytes);
        let peer = self.peer.as_ref().map(|bucket| {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.reserve(now, bytes)
        });
        peer.map_or(all, |peer| peer.max(all))
    }
}

/// The minute of the day where this machine stands.
#[must_use]
pub fn local_minute() -> u16 {
    let now = jiff::Zoned::now();
    let (hour, minute) = (now.hour().unsigned_abs(), now.minute().unsigned_abs());
    u16::from(hour) * 60 + u16::from(minute)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicU16;

    use super::*;

    fn bandwidth(change: impl FnOnce(&mut store_config::Exchange), clock: Clock) -> Bandwidth {
        let mut config = store_config::Exchange::default();
        change(&mut config);
        Bandwidth::new(&config, clock)
    }

    /// Bytes that each of these moves in ten seconds from `start` on.
    fn moved(throttles: &[Throttle], start: Duration) -> Vec<u64> {
        let end = start + Duration::from_secs(10);
        let mut moved = vec![0; throttles.len()];
        // Whoever may go first asks first.
        let mut next: BTreeSet<_> = (0..throttles.len()).map(|i| (start, i)).collect();
        while let Some((now, i)) = next.pop_first() {
            let slice = throttles[i].slice().min(LARGEST_SLICE);
            let when = throttles[i].reserve(now, slice);
            if when < end {
                moved[i] += slice;
                next.insert((when, i));
            }
        }
        moved
    }

    fn near(moved: u64, rate: u64) -> bool {
        moved.abs_diff(rate * 10) * 20 <= rate * 10
    }

    #[test]
    fn the_limit_for_all_is_shared_evenly() {
        let limits = bandwidth(
            |config| config.upload_limit = "4MiB/s".parse().unwrap(),
            || 0,
        );
        let throttles: Vec<_> = (0..4).map(|_| limits.upload(PeerId::random())).collect();
        let moved = moved(&throttles, Duration::ZERO);
        assert!(near(moved.iter().sum(), 4 << 20), "{moved:?}");
        assert!(moved.iter().all(|one| near(*one, 1 << 20)), "{moved:?}");
    }

    #[test]
    fn a_peer_has_its_own_limit_however_many_streams_it_opens() {
        let set = |config: &mut store_config::Exchange| {
            config.peer_download_limit = "1MiB/s".parse().unwrap();
            config.upload_limit = "1KiB/s".parse().unwrap();
        };
        let limits = bandwidth(set, || 0);
        let greedy = PeerId::random();
        let mut throttles = vec![limits.download(PeerId::random())];
        throttles.extend((0..3).map(|_| limits.download(greedy)));
        let moved = moved(&throttles, Duration::ZERO);
        assert!(near(moved[0], 1 << 20), "{moved:?}");
        assert!(near(moved[1..].iter().sum(), 1 << 20), "{moved:?}");
    }

    #[test]
    fn limits_change_with_the_time_of_day() {
        static MINUTE: AtomicU16 = AtomicU16::new(0);
        let set = |config: &mut store_config::Exchange| {
            config.upload_limit = "4MiB/s".parse().unwrap();
            config.limits_by_time = vec!["08:00-18:00 up 1MiB/s".parse().unwrap()];
        };
        let limits = bandwidth(set, || MINUTE.load(Ordering::Relaxed));
        let throttle = [limits.upload(PeerId::random())];
        assert!(near(moved(&throttle, Duration::ZERO)[0], 4 << 20));
        MINUTE.store(8 * 60, Ordering::Relaxed);
        let later = Duration::from_secs(60);
        assert!(near(moved(&throttle, later)[0], 1 << 20));
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let throttle = Bandwidth::default().download(PeerId::random());
        assert_eq!(throttle.slice(), u64::MAX);
        let take = throttle.take(u64::MAX);
        tokio::time::timeout(Duration::ZERO, take)
            .await
            .expect("at once");
    }
}
