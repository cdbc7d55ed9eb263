//! [`Lookups`]: who waits for providers of what. Bounded; the abandoned are pruned.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::kad::{QueryId, RecordKey};
use tokio::sync::mpsc;

use crate::network::ProviderRecord;

/// Lookups at most, waiting and under way.
const MAX_LOOKUPS: usize = 256;

/// How long a lookup waits for the first peer of the DHT. A bootstrap peer that is there answers
/// within one or two seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Providers remembered for one lookup, so that each is told once.
const MAX_SEEN: usize = 1024;

/// The lookups.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: Vec<Waiting>,
    under_way: HashMap<QueryId, Lookup>,
}

#[derive(Debug)]
struct Waiting {
    key: RecordKey,
    found: mpsc::Sender<ProviderRecord>,
    until: Instant,
}

#[derive(Debug)]
struct Lookup {
    found: mpsc::Sender<ProviderRecord>,
    seen: HashSet<PeerId>,
}

impl Lookups {
    /// A lookup that cannot begin yet. Dropped (which ends it, empty) when there are too many.
    pub(crate) fn wait(
        &mut self,
        key: RecordKey,
        found: mpsc::Sender<ProviderRecord>,
        now: Instant,
    ) {
        if self.waiting.len() + self.under_way.len() < MAX_LOOKUPS {
            self.waiting.push(Waiting {
                key,
                found,
                until: now + PATIENCE,
            });
        } else {
            tracing::warn!("more than {MAX_LOOKUPS} lookups at once: one was not made");
        }
    }

    /// A lookup to begin now.
    pub(crate) fn next(&mut self) -> Option<(RecordKey, mpsc::Sender<ProviderRecord>)> {
        let waiting = self.waiting.pop()?;
        Some((waiting.key, waiting.found))
    }

    pub(crate) fn started(&mut self, query: QueryId, found: mpsc::Sender<ProviderRecord>) {
        self.under_way.insert(
            query,
            Lookup {
                found,
                seen: HashSet::new(),
            },
        );
    }

    /// Those of `peers` that this lookup has not told of yet.
    pub(crate) fn unseen(
        &mut self,
        query: QueryId,
        peers: impl IntoIterator<Item = PeerId>,
    ) -> Vec<PeerId> {
        let Some(lookup) = self.under_way.get_mut(&query) else {
            return Vec::new();
        };
        peers
            .into_iter()
            .filter(|peer| lookup.seen.len() < MAX_SEEN && lookup.seen.insert(*peer))
            .collect()
    }

    /// Tells of a provider. Who is too slow to take it loses it: he has [`MAX_SEEN`] others.
    pub(crate) fn tell(&self, query: QueryId, record: ProviderRecord) {
        if let Some(lookup) = self.under_way.get(&query) {
            let _ = lookup.found.try_send(record);
        }
    }

    pub(crate) fn finished(&mut self, query: QueryId) {
        self.under_way.remove(&query);
    }

    /// Gives up what waited too long, and names the queries that nobody waits for any more.
    pub(crate) fn prune(&mut self, now: Instant) -> Vec<QueryId> {
        self.waiting
            .retain(|waiting| waiting.until > now && !waiting.found.is_closed());
        let abandoned = self
            .under_way
            .iter()
            .filter(|(_, lookup)| lookup.found.is_closed());
        abandoned.map(|(query, _)| *query).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_without_dht_ends_in_time() {
        let now = Instant::now();
        let mut lookups = Lookups::default();
        let (found, mut providers) = mpsc::channel(1);
        lookups.wait(RecordKey::new(&"root"), found, now);
        lookups.prune(now);
        assert!(
            providers
                .try_recv()
                .is_err_and(|e| e == mpsc::error::TryRecvError::Empty)
        );
        lookups.prune(now + PATIENCE);
        assert!(
            providers
                .try_recv()
                .is_err_and(|e| e == mpsc::error::TryRecvError::Disconnected)
        );
    }

    #[test]
    fn lookups_are_bounded() {
        let now = Instant::now();
        let mut lookups = Lookups::default();
        let (found, _providers) = mpsc::channel(1);
        for _ in 0..=MAX_LOOKUPS {
            lookups.wait(RecordKey::new(&"root"), found.clone(), now);
        }
        assert_eq!(lookups.waiting.len(), MAX_LOOKUPS);
    }
}
