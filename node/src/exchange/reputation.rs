//! [`Reputation`]: who kept their word, across restarts.
//!
//! Sessions note what peers did; who is asked first, and who is not asked, follows from that. Wrong
//! bytes exclude for minutes to a day; all else decays, and nobody is banned for ever.

mod book;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use prost::Message;
use store::blockstore::StoreError;
use store::records::Family;
use store::repo::Repo;

use self::book::Book;
pub use self::book::{Deed, Record};
use super::scheduler::Standing;
use crate::api::message;

/// How often what was noted is written, together.
const WRITE: Duration = Duration::from_secs(30);
/// Before the peer's id in the family of peers: no peer id begins so.
const PREFIX: &[u8] = b"reputation ";

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reputation(Arc<Mutex<Book<PeerId>>>);

impl Default for Reputation {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Book::new())))
    }
}

impl Reputation {
    /// Reads what `repo` remembers. Blocking.
    ///
    /// # Errors
    /// If the repo cannot be read.
    pub fn load(repo: &Repo) -> Result<Self, StoreError> {
        let mut book = Book::new();
        let records = repo.records(Family::Peers);
        records.for_prefix(PREFIX, &mut |key, value| {
            let peer = key.strip_prefix(PREFIX).map(PeerId::from_bytes);
            if let (Some(Ok(peer)), Ok(record)) = (peer, Record::decode(value)) {
                book.restore(peer, record);
            }
            true
        })?;
        Ok(Self(Arc::new(Mutex::new(book))))
    }

    /// Writes what was noted each half minute, until the repo is closed. Must be called within a tokio
    /// runtime.
    pub fn keep(&self, repo: &Arc<Repo>) {
        let (book, repo) = (self.clone(), Arc::downgrade(repo));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(WRITE);
            loop {
                tick.tick().await;
                let (book, repo) = (book.clone(), Weak::clone(&repo));
                let write = move || {
                    let repo = repo.upgrade();
                    repo.inspect(|repo| book.write(repo)).is_some()
                };
                if !tokio::task::spawn_blocking(write).await.unwrap_or(false) {
                    return;
                }
            }
        });
    }

    /// Writes what was noted since the last time. Blocking; a failure is logged, and costs no more
    /// than memories.
    pub fn write(&self, repo: &Repo) {
        let key = |peer: PeerId| [PREFIX, &peer.to_bytes()].concat();
        let changes: Vec<_> = self
            .book()
            .take_dirty()
            .into_iter()
            .map(|(peer, record)| (key(peer), record.map(|record| record.encode_to_vec())))
            .collect();
        if changes.is_empty() {
            return;
        }
        if let Err(error) = repo.records(Family::Peers).write_batch(&changes) {
            tracing::warn!(%error, "what peers did could not be written");
        }
    }

    /// Notes what a peer did.
    pub fn note(&self, peer: PeerId, deed: Deed) {
        self.book().note(peer, deed, now());
    }

    /// How it stands, for the order in which peers are asked.
    #[must_use]
    pub fn standing(&self, peer: &PeerId) -> Standing {
        self.book().standing(peer, now())
    }

    /// Whether it is asked at all: not who gave wrong bytes lately, nor who mostly failed.
    #[must_use]
    pub fn is_welcome(&self, peer: &PeerId) -> bool {
        let book = self.book();
        book.record(peer)
            .is_none_or(|record| record.is_welcome(now()))
    }

    /// Whether it gave wrong bytes, so lately that it is not asked at all.
    pub(crate) fn is_excluded(&self, peer: &PeerId) -> bool {
        let book = self.book();
        let record = book.record(peer);
        record.is_some_and(|record| now() < record.excluded_until)
    }

    /// All that is known of it, for people.
    #[must_use]
    pub fn told(&self, peer: &PeerId) -> Option<message::Reputation> {
        let (record, now) = (self.book().record(peer).cloned()?, now());
        Some(message::Reputation {
            ratio: percent(record.ratio(now)),
            rate: record.rate,
            done: record.done,
            failed: record.failed,
            good: record.good,
            bad: record.bad,
            late: record.late,
            refused: record.refused,
            welcome: record.is_welcome(now),
            excluded_until: (now < record.excluded_until).then_some(record.excluded_until),
        })
    }

    /// Good bytes by peer, since this was asked for last: for upload slots.
    pub(crate) fn take_given(&self) -> Vec<(PeerId, u64)> {
        self.book().take_given()
    }

    fn book(&self) -> MutexGuard<'_, Book<PeerId>> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn percent(ratio: f64) -> u8 {
    // In 0..=100, and whole.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let percent = (ratio * 100.0).round().clamp(0.0, 100.0) as u8;
    percent
}

/// Unix seconds.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use store::repo::RepoOptions;

    use super::*;
    use crate::peers;

    #[test]
    fn it_is_remembered_across_restarts_beside_the_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::open(directory.path(), &RepoOptions::default()).unwrap();
        let peer = PeerId::random();
        let reputation = Reputation::load(&repo).unwrap();
        assert!(reputation.told(&peer).is_none() && reputation.is_welcome(&peer));
        reputation.note(peer, Deed::Good { bytes: 5, rate: 7 });
        reputation.note(peer, Deed::Bad { bytes: 3 });
        assert_eq!(reputation.take_given(), [(peer, 5)]);
        reputation.write(&repo);

        let again = Reputation::load(&repo).unwrap();
        let told = again.told(&peer).expect("it was written");
        assert_eq!((told.good, told.bad, told.rate), (5, 3, 7));
        assert!(told.excluded_until.is_some() && !told.welcome);
        assert!(peers::load(&repo).unwrap().is_empty(), "no peer to dial");
    }
}
