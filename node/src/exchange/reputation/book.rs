//! [`Book`]: what peers did, and what follows from it. Pure: the time is an argument, in Unix seconds,
//! since it is kept across restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;
use prost::Message;

use crate::exchange::scheduler::Standing;

/// Peers remembered at most, some 100 bytes each; as many as their addresses are.
const PEERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// What counts for the success ratio counts half after so many minutes.
const HALF_LIFE: f64 = 24.0 * 60.0;
/// A peer of which nothing is known stands as if three of four requests had been answered: behind
/// those that did well, before those that did not.
const PRIOR: (f64, f64) = (3.0, 1.0);
/// Requests before a bad ratio is believed.
const ENOUGH: f64 = 16.0;
/// Below this ratio a peer is not asked.
const POOR: f64 = 0.5;
/// How long who gave wrong bytes is left alone, doubled each time, up to a day.
const EXCLUDED: u64 = 600;
const LONGEST_EXCLUSION: u64 = 24 * 3600;
/// Peers whose gifts since the last round of upload slots are counted.
const GIVERS: usize = 1024;

/// Something that a peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It answered, and the bytes were right.
    Good {
        /// How many.
        bytes: u64,
        /// Bytes per second; 0 where that was not measured.
        rate: u64,
    },
    /// It gave wrong bytes, or lied in another way that can be proven.
    Bad {
        /// How many.
        bytes: u64,
    },
    /// It did not answer in time.
    Late {
        /// What was asked of it, about.
        bytes: u64,
    },
    /// It refused.
    Refused,
    /// It broke off, or could not be reached.
    Failed,
}

/// What is known of a peer.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// Bytes that were right.
    #[prost(uint64, tag = "1")]
    pub good: u64,
    /// Bytes that were wrong.
    #[prost(uint64, tag = "2")]
    pub bad: u64,
    /// Bytes that did not come in time.
    #[prost(uint64, tag = "3")]
    pub late: u64,
    /// Requests that were refused.
    #[prost(uint64, tag = "4")]
    pub refused: u64,
    /// Requests that were answered.
    #[prost(uint64, tag = "5")]
    pub done: u64,
    /// Requests that failed in any way.
    #[prost(uint64, tag = "6")]
    pub failed: u64,
    /// Bytes per second, lately.
    #[prost(uint64, tag = "7")]
    pub rate: u64,
    /// Not asked before this time, for wrong bytes; 0: it gave none.
    #[prost(uint64, tag = "8")]
    pub excluded_until: u64,
    /// The same as `done`, each counting half after a day.
    #[prost(double, tag = "9")]
    recent_done: f64,
    /// The same as `failed`.
    #[prost(double, tag = "10")]
    recent_failed: f64,
    /// How often it gave wrong bytes, counting half after a day.
    #[prost(double, tag = "11")]
    strikes: f64,
    /// When the three above were true.
    #[prost(uint64, tag = "12")]
    at: u64,
}

impl Record {
    fn age(&mut self, now: u64) {
        // A clock that was set back forgives nothing.
        let passed = now.saturating_sub(self.at);
        if passed == 0 {
            return;
        }
        let minutes = u32::try_from(passed / 60).unwrap_or(u32::MAX);
        let share = (-f64::from(minutes) / HALF_LIFE).exp2();
        self.recent_done *= share;
        self.recent_failed *= share;
        self.strikes *= share;
        // What is less than a minute counts the next time.
        self.at = now - passed % 60;
    }

    fn note(&mut self, deed: Deed, now: u64) {
        self.age(now);
        if self.at == 0 {
            self.at = now;
        }
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        match deed {
            Deed::Good { bytes, rate } => {
                add(&mut self.good, bytes);
                add(&mut self.done, 1);
                self.recent_done += 1.0;
                self.rate = match (self.rate, rate) {
                    (old, 0) => old,
                    (0, new) => new,
                    (old, new) => old.saturating_mul(3).saturating_add(new) / 4,
                };
                return;
            }
            Deed::Bad { bytes } => {
                add(&mut self.bad, bytes);
                self.strikes += 1.0;
                let doubled = (self.strikes - 1.0).clamp(0.0, 16.0).round();
                // In 0..=16, and whole.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let wait = EXCLUDED << (doubled as u32);
                let until = now + wait.min(LONGEST_EXCLUSION);
                self.excluded_until = self.excluded_until.max(until);
            }
            Deed::Late { bytes } => add(&mut self.late, bytes),
            Deed::Refused => add(&mut self.refused, 1),
            Deed::Failed => {}
        }
        add(&mut self.failed, 1);
        self.recent_failed += 1.0;
    }

    /// Of what was asked of it lately, the share that came and was right: 0 to 1.
    #[must_use]
    pub fn ratio(&self, now: u64) -> f64 {
        let mut aged = self.clone();
        aged.age(now);
        let done = PRIOR.0 + aged.recent_done;
        done / (done + PRIOR.1 + aged.recent_failed)
    }

    /// Whether it is asked at all.
    #[must_use]
    pub fn is_welcome(&self, now: u64) -> bool {
        if now < self.excluded_until {
            return false;
        }
        let mut aged = self.clone();
        aged.age(now);
        aged.recent_done + aged.recent_failed < ENOUGH || aged.ratio(now) >= POOR
    }
}

/// What is known of peers: least recently noted out first.
#[derive(Debug)]
pub(super) struct Book<P: Hash + Eq> {
    records: LruCache<P, Record>,
    /// Changed since they were written.
    dirty: BTreeSet<P>,
    /// Good bytes since they were asked for.
    given: BTreeMap<P, u64>,
}

impl<P: Copy + Hash + Ord> Book<P> {
    pub(super) fn new() -> Self {
        Self {
            records: LruCache::new(PEERS),
            dirty: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }

    /// Puts back what was remembered.
    pub(super) fn restore(&mut self, peer: P, record: Record) {
        self.records.put(peer, record);
    }

    pub(super) fn note(&mut self, peer: P, deed: Deed, now: u64) {
        if let Deed::Good { bytes, .. } = deed
            && (self.given.len() < GIVERS || self.given.contains_key(&peer))
        {
            *self.given.entry(peer).or_default() += bytes;
        }
        let mut record = self.records.pop(&peer).unwrap_or_default();
        record.note(deed, now);
        self.dirty.insert(peer);
        if let Some((forgotten, _)) = self.records.push(peer, record) {
            self.dirty.insert(forgotten);
        }
    }

    pub(super) fn record(&self, peer: &P) -> Option<&Record> {
        self.records.peek(peer)
    }

    pub(super) fn standing(&self, peer: &P, now: u64) -> Standing {
        let Some(record) = self.record(peer) else {
            return Standing::default();
        };
        // One digit matters.
        #[expect(clippy::cast_possible_truncation)]
        Standing {
            success: record.ratio(now) as f32,
            rate: record.rate,
        }
    }

    /// What has changed since this was asked for last; `None` for what was forgotten.
    pub(super) fn take_dirty(&mut self) -> Vec<(P, Option<Record>)> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty
            .map(|peer| (peer, self.records.peek(&peer).cloned()))
            .collect()
    }

    /// Good bytes by peer since this was asked for last.
    pub(super) fn take_given(&mut self) -> Vec<(P, u64)> {
        std::mem::take(&mut self.given).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 24 * 3600;
    const GOOD: Deed = Deed::Good {
        bytes: 1000,
        rate: 50,
    };

    fn after(deeds: &[(Deed, usize)]) -> Book<u32> {
        let mut book = Book::new();
        for (deed, times) in deeds {
            for _ in 0..*times {
                book.note(1, *deed, NOW);
            }
        }
        book
    }

    fn is_welcome(book: &Book<u32>, now: u64) -> bool {
        book.record(&1).unwrap().is_welcome(now)
    }

    #[test]
    fn who_did_well_stands_before_strangers_and_who_did_not_behind() {
        let book = after(&[(GOOD, 30), (Deed::Failed, 1)]);
        let good = book.standing(&1, NOW);
        let stranger = book.standing(&2, NOW);
        assert!(good.success > stranger.success);
        assert_eq!(good.rate, 50);
        let book = after(&[(Deed::Late { bytes: 9 }, 3)]);
        assert!(book.standing(&1, NOW).success < stranger.success);
        assert!(is_welcome(&book, NOW), "three requests are not enough");
    }

    #[test]
    fn who_fails_mostly_is_not_asked_until_that_is_forgotten() {
        let book = after(&[(GOOD, 5), (Deed::Refused, 20)]);
        assert!(!is_welcome(&book, NOW));
        assert!(!is_welcome(&book, NOW + DAY / 4));
        assert!(
            is_welcome(&book, NOW + 2 * DAY),
            "nobody is banned for ever"
        );
        let book = after(&[(GOOD, 25), (Deed::Failed, 20)]);
        assert!(is_welcome(&book, NOW));
    }

    #[test]
    fn wrong_bytes_exclude_for_longer_each_time_and_never_for_ever() {
        let mut book = after(&[(GOOD, 1000), (Deed::Bad { bytes: 1 }, 1)]);
        assert!(!is_welcome(&book, NOW + EXCLUDED - 1));
        assert!(is_welcome(&book, NOW + EXCLUDED));
        let second = NOW + EXCLUDED;
        book.note(1, Deed::Bad { bytes: 1 }, second);
        assert!(!is_welcome(&book, second + EXCLUDED));
        assert!(is_welcome(&book, second + 2 * EXCLUDED));
        for _ in 0..100 {
            book.note(1, Deed::Bad { bytes: 1 }, second);
        }
        assert!(!is_welcome(&book, second + DAY - 1));
        let record = book.record(&1).unwrap();
        assert_eq!(record.excluded_until, second + DAY);
        assert_eq!((record.bad, record.good), (102, 1_000_000));
    }

    #[test]
    fn what_is_noted_often_decays_as_what_is_noted_once() {
        let mut often = after(&[(Deed::Failed, 64)]);
        // Looked at each ten seconds for two days.
        for step in 1..=2 * DAY / 10 {
            let now = NOW + step * 10;
            let mut record = often.records.pop(&1).unwrap();
            record.age(now);
            often.records.push(1, record);
        }
        let left = often.record(&1).unwrap().recent_failed;
        assert!((15.9..16.1).contains(&left), "{left}");
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_removed_from_disk() {
        let mut book = Book::new();
        for peer in 0..5000_u32 {
            book.note(peer, GOOD, NOW);
        }
        assert_eq!(book.records.len(), PEERS.get());
        assert!(book.take_given().len() <= GIVERS);
        let dirty = book.take_dirty();
        let (forgotten, kept): (Vec<_>, Vec<_>) = dirty.iter().partition(|(_, r)| r.is_none());
        assert_eq!(
            (forgotten.len(), kept.len()),
            (5000 - PEERS.get(), PEERS.get())
        );
        assert!(book.take_dirty().is_empty() && book.take_given().is_empty());
    }

    #[test]
    fn rows_come_back() {
        let book = after(&[(GOOD, 3), (Deed::Bad { bytes: 7 }, 1)]);
        let record = book.record(&1).unwrap();
        let read = Record::decode(record.encode_to_vec().as_slice()).unwrap();
        assert_eq!(&read, record);
    }
}
