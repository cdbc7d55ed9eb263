use libp2p::identity::Keypair;
use store::repo::RepoOptions;
use store::wire::member::{MemberRole, Tags};

use super::*;
use crate::members::marks::Standing;
use crate::members::{Author, Settings};
use crate::metrics::Metrics;

fn author(network: &str) -> Author {
    let key = Keypair::generate_ed25519();
    Author::new(key, network, MemberRole::Storage, Tags::default(), 7).unwrap()
}

fn core(now: Instant) -> Core {
    Core::new(author("main"), Settings::default(), 1, now)
}

/// What is on disk, by id.
fn ids(repo: &Repo, network: &str) -> Vec<(MemberId, u64)> {
    let loaded = load(repo, network).unwrap();
    let members = loaded.members.iter();
    members
        .map(|(record, missed)| (record.id(), missed.as_secs()))
        .collect()
}

#[tokio::test]
async fn who_was_here_and_who_was_missed_is_remembered_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let now = Instant::now();
    let (one, other) = (author("main"), author("main"));
    let mut core = core(now);
    let (writer, written) = Writer::start(Arc::clone(&repo), Metrics::default());
    let loaded = load(&repo, "main").unwrap();
    let mut memory = Memory::new(loaded, writer, &mut core, now);
    for author in [&one, &other] {
        core.learn(Arc::clone(author.current()), now);
    }
    memory.tick(&core, now);
    assert_eq!(memory.written.len(), 0, "not yet");
    memory.tick(&core, now + WRITE);
    assert_eq!(memory.written.len(), 2);
    core.part(other.id(), Standing::Gone(now));
    memory.finish(&core, now + Duration::from_secs(50));
    drop(memory);
    written.await.unwrap();
    let mut expected = vec![(one.id(), 0), (other.id(), 50)];
    expected.sort_unstable();
    assert_eq!(ids(&repo, "main"), expected);

    // The next run misses both, and the one that has left is missed no longer.
    let mut core = self::core(now);
    let (writer, written) = Writer::start(Arc::clone(&repo), Metrics::default());
    let loaded = load(&repo, "main").unwrap();
    let mut memory = Memory::new(loaded, writer, &mut core, now);
    let sight = core.sight(now);
    assert_eq!((sight.usual, sight.in_sight, sight.vanished), (3, 1, 2));
    assert!(sight.is_eclipsed());
    assert!(core.members(now).len() == 3, "they are told as gone");
    let mut left = other;
    left.change(0, |record| {
        record.state = store::wire::member::MemberState::Left;
    });
    core.learn(Arc::clone(left.current()), now);
    assert_eq!(core.sight(now).usual, 2);
    memory.finish(&core, now + Duration::from_secs(5));
    drop(memory);
    written.await.unwrap();
    assert_eq!(ids(&repo, "main"), [(one.id(), 5)]);
}

#[tokio::test]
async fn what_is_damaged_or_of_another_swarm_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let repo = Arc::new(Repo::open(directory.path(), &RepoOptions::default()).unwrap());
    let table = repo.records(Family::Peers);
    let (mine, theirs) = (author("main"), author("other"));
    let row = |author: &Author| encode(&(Arc::clone(author.current()), Duration::ZERO));
    table.put(&key_of(&mine.id()), &row(&mine)).unwrap();
    table.put(&key_of(&theirs.id()), &row(&theirs)).unwrap();
    table.put(&key_of(&MemberId([7; 32])), &row(&mine)).unwrap();
    table.put(b"member x", b"short").unwrap();
    let mut flipped = row(&mine);
    *flipped.last_mut().unwrap() ^= 1;
    table.put(&key_of(&MemberId([8; 32])), &flipped).unwrap();
    let large = vec![0; MISSED_SIZE + SIGNATURE_SIZE + MAX_RECORD_SIZE + 1];
    table.put(&key_of(&MemberId([9; 32])), &large).unwrap();

    let loaded = load(&repo, "main").unwrap();
    assert_eq!((loaded.members.len(), loaded.void.len()), (1, 5));
    let (writer, written) = Writer::start(Arc::clone(&repo), Metrics::default());
    let now = Instant::now();
    drop(Memory::new(loaded, writer, &mut core(now), now));
    written.await.unwrap();
    let loaded = load(&repo, "main").unwrap();
    assert_eq!((loaded.members.len(), loaded.void.len()), (1, 0));
}
