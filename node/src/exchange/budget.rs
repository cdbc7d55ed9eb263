//! [`Budget`]: the memory that all downloads have together, and what each gets of it.
//!
//! Shares go by weight: a reader who waits gets more than a download, and that more than a copy made
//! in the background. They are dealt anew whenever a session comes or goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::wire::Urgency;
use tokio::sync::watch;

use super::scheduler::Limits;

/// A session gets no less, whatever the others have: two requests, so that the wire is never idle.
const LEAST: u64 = 2 << 20;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    all: Limits,
    sessions: Arc<Mutex<Sessions>>,
}

#[derive(Debug, Default)]
struct Sessions {
    next: u64,
    open: BTreeMap<u64, (u64, watch::Sender<Limits>)>,
}

/// A session's part of it, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    number: u64,
    limits: watch::Receiver<Limits>,
}

impl Budget {
    pub(super) fn new(all: Limits) -> Self {
        let sessions = Arc::default();
        Self { all, sessions }
    }

    /// A share for one more session.
    pub(super) fn join(&self, urgency: Urgency) -> Share {
        let (sender, limits) = watch::channel(self.all);
        let mut sessions = self.lock();
        let number = sessions.next;
        sessions.next += 1;
        sessions.open.insert(number, (weight(urgency), sender));
        self.deal(&sessions);
        drop(sessions);
        Share {
            budget: self.clone(),
            number,
            limits,
        }
    }

    fn deal(&self, sessions: &Sessions) {
        let all: u64 = sessions.open.values().map(|(weight, _)| weight).sum();
        for (weight, limits) in sessions.open.values() {
            let least = LEAST.min(self.all.total_bytes);
            let total_bytes = (self.all.total_bytes / all * weight).max(least);
            let share = Limits {
                total_bytes,
                peer_bytes: self.all.peer_bytes.min(total_bytes),
                ..self.all
            };
            limits.send_if_modified(|before| std::mem::replace(before, share) != share);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn weight(urgency: Urgency) -> u64 {
    match urgency {
        Urgency::Reader => 4,
        Urgency::Download => 2,
        Urgency::Repair => 1,
    }
}

impl Share {
    /// What it is now.
    pub(super) fn limits(&mut self) -> Limits {
        *self.limits.borrow_and_update()
    }

    /// What it is from now on, once that has changed.
    pub(super) async fn changed(&mut self) -> Limits {
        // The other end lives in the budget that the share holds.
        let _ = self.limits.changed().await;
        self.limits()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut sessions = self.budget.lock();
        sessions.open.remove(&self.number);
        self.budget.deal(&sessions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total_bytes: u64) -> Limits {
        Limits {
            total_bytes,
            ..Limits::default()
        }
    }

    #[test]
    fn shares_go_by_urgency_and_come_back() {
        let budget = Budget::new(limits(70 << 20));
        let mut download = budget.join(Urgency::Download);
        assert_eq!(download.limits().total_bytes, 70 << 20);
        let mut reader = budget.join(Urgency::Reader);
        let mut repair = budget.join(Urgency::Repair);
        let shares = [&mut reader, &mut download, &mut repair];
        let shares = shares.map(|share| share.limits().total_bytes >> 20);
        assert_eq!(shares, [40, 20, 10]);
        assert_eq!(
            repair.limits().peer_bytes >> 20,
            10,
            "never above the whole"
        );
        drop((reader, repair));
        assert_eq!(download.limits().total_bytes, 70 << 20);
    }

    #[test]
    fn many_sessions_get_little_and_not_nothing() {
        let budget = Budget::new(limits(16 << 20));
        let mut shares: Vec<_> = (0..100).map(|_| budget.join(Urgency::Download)).collect();
        assert!(
            shares
                .iter_mut()
                .all(|share| share.limits().total_bytes == LEAST)
        );
    }

    #[tokio::test]
    async fn a_session_hears_of_a_change() {
        let budget = Budget::new(limits(64 << 20));
        let mut first = budget.join(Urgency::Download);
        first.limits();
        let _second = budget.join(Urgency::Download);
        assert_eq!(first.changed().await.total_bytes, 32 << 20);
    }
}
