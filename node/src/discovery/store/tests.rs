use std::sync::Arc;

use store::repo::{Repo, RepoOptions};

use super::*;
use crate::metrics::Metrics;
use crate::writer::Written;

struct Fixture {
    store: ProviderStore,
    written: Written,
    repo: Arc<Repo>,
    _directory: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let (writer, written) = Writer::start(Arc::clone(&repo), Metrics::default());
    let store = ProviderStore::new(PeerId::random(), &[], Vec::new(), writer);
    Fixture {
        store,
        written,
        repo,
        _directory: directory,
    }
}

fn key(n: usize) -> RecordKey {
    RecordKey::new(&format!("key {n}"))
}

fn record(n: usize, provider: PeerId) -> ProviderRecord {
    let address = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    ProviderRecord::new(key(n), provider, vec![address])
}

/// Every index of every key points to a record of that key.
fn check(store: &ProviderStore) {
    let mut places = 0;
    for (key, at) in &store.by_key {
        assert!(!at.is_empty());
        assert!(at.iter().all(|&at| store.records[at].key == *key));
        places += at.len();
    }
    assert_eq!(places, store.records.len());
    assert_eq!(store.per_peer.values().sum::<usize>(), store.records.len());
}

#[tokio::test]
async fn records_survive_a_restart() {
    let mut fixture = fixture();
    let provider = PeerId::random();
    fixture.store.add_provider(record(1, provider)).unwrap();
    fixture.store.add_provider(record(2, provider)).unwrap();
    fixture.store.remove_provider(&key(2), &provider);
    drop(fixture.store);
    fixture.written.await.unwrap();

    let remembered = load(&fixture.repo).unwrap();
    let (writer, _) = Writer::start(fixture.repo, Metrics::default());
    let store = ProviderStore::new(PeerId::random(), &[], remembered, writer);
    let found = store.providers(&key(1));
    assert_eq!(found, [record(1, provider)]);
    assert_eq!(found[0].addresses, record(1, provider).addresses);
    assert!(found[0].expires.unwrap() > Instant::now() + PROVIDER_TTL / 2);
    assert!(store.providers(&key(2)).is_empty());
}

#[tokio::test]
async fn the_same_provider_counts_once() {
    let mut store = fixture().store;
    let provider = PeerId::random();
    store.add_provider(record(1, provider)).unwrap();
    store.add_provider(record(1, provider)).unwrap();
    assert_eq!(store.len(), 1);
    check(&store);
}

#[tokio::test]
async fn one_peer_cannot_fill_the_store() {
    let mut store = fixture().store;
    let greedy = PeerId::random();
    for n in 0..MAX_PER_PEER {
        store.add_provider(record(n, greedy)).unwrap();
    }
    assert!(store.add_provider(record(MAX_PER_PEER, greedy)).is_err());
    assert!(
        store
            .add_provider(record(MAX_PER_PEER, PeerId::random()))
            .is_ok()
    );
    let own = ProviderRecord::new(key(1), store.local, Vec::new());
    assert!(
        store.add_provider(own).is_ok(),
        "our own keys have their own place"
    );
    check(&store);
}

#[tokio::test]
async fn newcomers_of_a_full_key_replace_somebody() {
    let mut store = fixture().store;
    for _ in 0..MAX_PER_KEY {
        store.add_provider(record(1, PeerId::random())).unwrap();
    }
    let newcomer = PeerId::random();
    store.add_provider(record(1, newcomer)).unwrap();
    let found = store.providers(&key(1));
    assert_eq!(found.len(), MAX_PER_KEY);
    assert!(found.iter().any(|record| record.provider == newcomer));
    check(&store);
}

#[tokio::test]
async fn expired_records_are_swept() {
    let mut store = fixture().store;
    let provider = PeerId::random();
    for n in 0..10 {
        store.add_provider(record(n, provider)).unwrap();
    }
    for at in [0, 3, 4, 9] {
        store.records[at].expires = SystemTime::now();
    }
    store.sweep(SystemTime::now() + Duration::from_secs(1));
    assert_eq!(store.len(), 6);
    check(&store);
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_dropped() {
    let fixture = fixture();
    let records = fixture.repo.records(Family::Providers);
    records.put(b"\xffshort", b"").unwrap();
    assert!(load(&fixture.repo).unwrap().is_empty());
    assert_eq!(records.get(b"\xffshort").unwrap(), None);
}
