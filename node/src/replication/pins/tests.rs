use libp2p::identity::Keypair;
use store::cid::{self, Codec, Version};
use store::records::Family;
use store::repo::{Repo, RepoOptions};
use tempfile::TempDir;

use super::*;
use crate::reconcile::{Comparison, Difference, answer};
use crate::replication::policy::{Copies, Tag};

mod measured;
mod time;

const NOW: u64 = 1_800_000_000;

pub(super) fn swarm() -> SwarmKey {
    SwarmKey::from_bytes([7; 32])
}

/// A member with a repo of its own.
pub(super) struct Member {
    pub(super) directory: TempDir,
    pub(super) key: Keypair,
    pub(super) pins: Pins,
}

fn id(key: &Keypair) -> MemberId {
    member_of(&key.public().to_peer_id()).unwrap()
}

impl Member {
    pub(super) fn new() -> Self {
        Self::of(Keypair::generate_ed25519(), Admission::Private(swarm()))
    }

    fn of(key: Keypair, admission: Admission) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pins = open(&directory, &key, admission, NOW);
        Self {
            directory,
            key,
            pins,
        }
    }

    /// Ends and begins again at a time.
    fn restart(self, now: u64) -> Self {
        let Self {
            directory,
            key,
            pins,
        } = self;
        drop(pins);
        let pins = open(&directory, &key, Admission::Private(swarm()), now);
        Self {
            directory,
            key,
            pins,
        }
    }

    fn wants(&self, n: u32, copies: u8) -> Signed {
        let policy = policy(copies);
        let wish = Some((&policy, 0));
        self.pins.publish(&self.key, root(n), wish, NOW).unwrap()
    }

    fn withdraws(&self, n: u32) -> Signed {
        self.pins.publish(&self.key, root(n), None, NOW).unwrap()
    }

    fn copies(&self, n: u32) -> Option<u8> {
        let policy = self.pins.policy(&root(n), NOW).unwrap();
        policy.map(|policy| policy.copies.target)
    }

    fn takes(&self, records: &[&Signed]) -> Taken {
        let records = records.iter().copied().cloned().collect();
        self.pins.take(records, NOW).unwrap()
    }
}

fn open(directory: &TempDir, key: &Keypair, admission: Admission, now: u64) -> Pins {
    let repo = Repo::open(directory.path(), &RepoOptions::default()).unwrap();
    let records = repo.records(Family::PinRecords);
    Pins::open(records, "main", id(key), admission, now).unwrap()
}

pub(super) fn root(n: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    cid::from_digest(Version::V1, Codec::DagPb, &digest)
}

fn policy(copies: u8) -> Policy {
    Policy {
        copies: Copies::new(1, copies, copies + 1).unwrap(),
        ..Policy::default()
    }
}

/// What a member signs without looking at what it knows.
fn sign(key: &Keypair, network: &str, record: &PinRecord) -> Signed {
    let seal = Seal::new(network, Some(&swarm()));
    seal.sign(key, record.encode().unwrap()).unwrap()
}

fn record(key: &Keypair, n: u32, sequence: u64) -> PinRecord {
    PinRecord {
        owner: id(key),
        root: root(n),
        sequence,
        wanted: Some(wish::wish_of(&policy(3), 0)),
        by_swarm: false,
    }
}

/// One learns all that another knows, as members do: over the wire's bytes. Returns the rounds it took.
fn pull(to: &Pins, from: &Pins, now: u64) -> usize {
    let (mut comparison, mut rounds) = (Comparison::of_all(), 0);
    loop {
        let questions = comparison.questions(to).unwrap();
        if questions.is_empty() {
            return rounds;
        }
        rounds += 1;
        let verdicts = questions.iter().map(|question| answer(from, question));
        let verdicts = verdicts.collect::<Result<_, _>>().unwrap();
        let found = comparison.answers(to, verdicts).unwrap().unwrap();
        let keys = found.iter().filter_map(|found| match found {
            Difference::Theirs(item) => Some(item.key),
            Difference::Ours(_) | Difference::OursBelow(_) => None,
        });
        let keys: Vec<_> = keys.collect();
        let taken = to.take(from.fetch(&keys).unwrap(), now).unwrap();
        assert_eq!((taken.bad, taken.refused), (0, 0));
        from.take(taken.newer, now).unwrap();
    }
}

fn sum(pins: &Pins) -> u128 {
    pins.sum(Prefix::ROOT).unwrap()
}

#[test]
fn of_two_owners_the_maximum_counts_until_one_withdraws() {
    let (one, other) = (Member::new(), Member::new());
    let small = one.wants(1, 2);
    let large = other.wants(1, 5);
    assert_eq!((one.copies(1), other.copies(1)), (Some(2), Some(5)));
    let taken = one.takes(&[&large]);
    assert_eq!((taken.new, taken.roots), (1, vec![root(1)]));
    other.takes(&[&small]);
    assert_eq!((one.copies(1), other.copies(1)), (Some(5), Some(5)));
    assert_eq!(one.pins.owners(&root(1), NOW).unwrap().len(), 2);
    assert_eq!(one.pins.records_of(&root(1), NOW).unwrap()[0], large);
    assert_eq!(sum(&one.pins), sum(&other.pins));

    let gone = other.withdraws(1);
    assert_eq!(PinRecord::decode(&gone.body).unwrap().sequence, 2);
    one.takes(&[&gone]);
    assert_eq!((one.copies(1), other.copies(1)), (Some(2), Some(2)));
    assert_eq!(one.pins.owners(&root(1), NOW).unwrap(), [id(&one.key)]);
    one.withdraws(1);
    assert_eq!(one.copies(1), None);
    assert_eq!(sum(&one.pins), 0);
    assert_eq!(one.pins.len(), 2, "tombstones");
    assert_eq!(one.copies(2), None);
}

#[test]
fn what_comes_late_does_nothing_and_is_answered() {
    let (one, other, late) = (Member::new(), Member::new(), Member::new());
    let first = one.wants(1, 2);
    let second = one.wants(1, 3);
    late.takes(&[&first]);
    let gone = one.withdraws(1);
    other.takes(&[&gone]);
    for old in [&first, &second] {
        let taken = other.takes(&[old]);
        assert_eq!(
            (taken.new, taken.old, &taken.newer[..]),
            (0, 1, &[gone.clone()][..])
        );
    }
    let again = other.takes(&[&gone]);
    assert_eq!((again.old, again.newer), (1, vec![]));
    assert_eq!(other.copies(1), None);

    // By comparison, whoever begins it: the tombstone is in no set, and reaches who needs it.
    assert_eq!(late.copies(1), Some(2));
    pull(&other.pins, &late.pins, NOW);
    assert_eq!(late.copies(1), None);
    assert_eq!((sum(&late.pins), late.pins.len()), (0, 1));

    // It can be wanted again.
    let again = one.wants(1, 4);
    assert_eq!(PinRecord::decode(&again.body).unwrap().sequence, 4);
    late.takes(&[&again, &second, &again]);
    assert_eq!(late.copies(1), Some(4));
}

#[test]
fn two_members_come_to_the_same_set() {
    let (one, other) = (Member::new(), Member::new());
    for n in 0..600 {
        let who = if n % 3 == 0 { &one } else { &other };
        who.wants(n, 2 + u8::try_from(n % 5).unwrap());
    }
    pull(&one.pins, &other.pins, NOW);
    for n in 0..40 {
        other.withdraws(3 * n + 1);
        other.wants(3 * n + 2, 9);
        one.withdraws(3 * n);
    }
    assert_ne!(sum(&one.pins), sum(&other.pins));
    pull(&one.pins, &other.pins, NOW);
    pull(&other.pins, &one.pins, NOW);
    pull(&one.pins, &other.pins, NOW);
    assert_eq!(sum(&one.pins), sum(&other.pins));
    for n in 0..600 {
        assert_eq!(one.copies(n), other.copies(n), "{n}");
        let withdrawn = n < 120 && n % 3 != 2;
        assert_eq!(one.copies(n).is_none(), withdrawn, "{n}");
    }
    assert_eq!(pull(&one.pins, &other.pins, NOW), 1, "nothing to say");

    let items = one.pins.list(Prefix::ROOT, 1000).unwrap();
    assert_eq!(items.len(), 520);
    let summed = items
        .iter()
        .fold(0_u128, |sum, item| sum.wrapping_add(fingerprint(item)));
    assert_eq!(summed, sum(&one.pins));
    let deep = Prefix::of(&items[100].key, 6);
    let below = one.pins.list(deep, 10).unwrap();
    assert!(below.contains(&items[100]) && below.len() < 10);
}

#[test]
fn what_nobody_signed_is_refused() {
    let (one, other) = (Member::new(), Member::new());
    let record = record(&one.key, 1, 5);
    let good = sign(&one.key, "main", &record);
    let elsewhere = sign(&one.key, "other", &record);
    let by_another = sign(&other.key, "main", &record);
    let changed = PinRecord {
        sequence: 6,
        ..record.clone()
    };
    let changed = Signed {
        body: changed.encode().unwrap(),
        ..good.clone()
    };
    let noise = Signed {
        body: vec![7; 40].into(),
        ..good.clone()
    };
    let mut senseless = record.clone();
    senseless.wanted.as_mut().unwrap().min = 0;
    let senseless = sign(&one.key, "main", &senseless);
    let taken = other.takes(&[&elsewhere, &by_another, &changed, &noise, &senseless]);
    assert_eq!((taken.bad, taken.new), (5, 0));
    assert_eq!(other.copies(1), None);
    // A forged one does not stand before a true one.
    let taken = other.takes(&[&changed, &good]);
    assert_eq!((taken.bad, taken.new), (1, 1));
    assert_eq!(other.copies(1), Some(3));

    // More of them than one thread checks.
    let mut many: Vec<_> = (10..110)
        .map(|n| sign(&one.key, "main", &self::record(&one.key, n, 1)))
        .collect();
    for forged in [0, 55, 99] {
        many[forged].signature[0] ^= 1;
    }
    let taken = other.pins.take(many, NOW).unwrap();
    assert_eq!((taken.bad, taken.new), (3, 97));
    for n in 10..110 {
        assert_eq!(other.copies(n).is_none(), [10, 65, 109].contains(&n), "{n}");
    }
}

#[test]
fn the_swarm_key_withdraws_and_nothing_else_does() {
    let (one, other) = (Member::new(), Member::new());
    let wanted = one.wants(1, 3);
    other.takes(&[&wanted]);
    let gone = other
        .pins
        .withdraw(id(&one.key), root(1), NOW)
        .unwrap()
        .unwrap();
    let body = PinRecord::decode(&gone.body).unwrap();
    assert_eq!((body.sequence, body.by_swarm), (2, true));
    assert_eq!(other.copies(1), None);
    let mut forged = gone.clone();
    forged.signature[63] = 1;
    let owned = sign(&one.key, "main", &body);
    let strange = Seal::new("main", Some(&SwarmKey::from_bytes([8; 32])));
    let strange = strange.withdraw(gone.body.clone()).unwrap();
    assert_eq!(one.takes(&[&forged, &owned, &strange]).bad, 3);
    assert_eq!(one.copies(1), Some(3));
    assert_eq!(one.takes(&[&gone]).new, 1);
    assert_eq!(one.copies(1), None);
    // Its owner has the last word.
    let again = one.wants(1, 3);
    assert_eq!(other.takes(&[&again]).new, 1);
    assert_eq!(other.copies(1), Some(3));

    let open = Member::of(
        Keypair::generate_ed25519(),
        Admission::Open(Box::new(|_| u64::MAX)),
    );
    assert_eq!(open.takes(&[&gone]).bad, 1);
    assert_eq!(
        open.pins.withdraw(id(&one.key), root(1), NOW).unwrap(),
        None
    );
}

#[test]
fn in_an_open_swarm_owners_have_what_was_accepted() {
    let (one, stranger) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let accepted = id(&one);
    let quota = move |owner: &MemberId| if *owner == accepted { 3 * 4096 } else { 0 };
    let member = Member::of(
        Keypair::generate_ed25519(),
        Admission::Open(Box::new(quota)),
    );
    member.wants(1, 3);
    assert_eq!(member.copies(1), Some(3), "its own");
    let strange = sign(&stranger, "main", &record(&stranger, 2, 1));
    assert_eq!(member.takes(&[&strange]).refused, 1);
    let many: Vec<_> = (10..20)
        .map(|n| sign(&one, "main", &record(&one, n, 1)))
        .collect();
    let taken = member.pins.take(many, NOW).unwrap();
    assert_eq!((taken.new, taken.refused), (3, 7));
    // What it has can change.
    let known = (10..20).find(|&n| member.copies(n).is_some()).unwrap();
    let again = sign(&one, "main", &record(&one, known, 2));
    assert_eq!(member.takes(&[&again]).new, 1);
    let more = sign(&one, "main", &record(&one, 30, 1));
    assert_eq!(member.takes(&[&more]).refused, 1);
}

#[test]
fn a_restart_keeps_everything() {
    let (one, other) = (Member::new(), Member::new());
    for n in 0..50 {
        one.wants(n, 3);
    }
    one.withdraws(7);
    let theirs = other.wants(8, 9);
    one.takes(&[&theirs]);
    let (before, len) = (sum(&one.pins), one.pins.len());
    let one = one.restart(NOW + 1);
    assert!(!one.pins.needs_resync());
    assert_eq!((sum(&one.pins), one.pins.len()), (before, len));
    assert_eq!(
        (one.copies(7), one.copies(8), one.copies(9)),
        (None, Some(9), Some(3))
    );
    assert_eq!(
        PinRecord::decode(&one.wants(7, 3).body).unwrap().sequence,
        3
    );
    assert_eq!(
        PinRecord::decode(&one.wants(8, 3).body).unwrap().sequence,
        2
    );
}

#[test]
fn a_number_beyond_all_reason_stops_only_who_named_it() {
    let (one, other) = (Member::new(), Member::new());
    let last = sign(&other.key, "main", &record(&other.key, 1, u64::MAX));
    one.takes(&[&last]);
    other.takes(&[&last]);
    let mine = one.wants(1, 2);
    assert_eq!(PinRecord::decode(&mine.body).unwrap().sequence, 1);
    let stuck = other.pins.publish(&other.key, root(1), None, NOW);
    assert!(matches!(stuck, Err(PublishError::Sequence(_))));
}

#[test]
fn policies_become_wishes_and_come_back() {
    let tag = |key: &str, value: &str| Tag {
        key: key.into(),
        value: value.into(),
    };
    let policy = Policy {
        copies: Copies::new(2, 4, 9).unwrap(),
        everywhere: true,
        wanted: vec![tag("disk", "ssd"), tag("zone", "a"), tag("zone", "b")],
        refused: vec![tag("host", "old")],
        priority: 7,
    };
    let member = Member::new();
    let wish = Some((&policy, NOW + 10));
    let signed = member
        .pins
        .publish(&member.key, root(1), wish, NOW)
        .unwrap();
    assert_eq!(*member.pins.policy(&root(1), NOW).unwrap().unwrap(), policy);
    let wanted = PinRecord::decode(&signed.body).unwrap().wanted.unwrap();
    assert_eq!(wish::policy_of(&wanted), Some(policy.clone()));
    let shuffled = Policy {
        wanted: vec![
            tag("zone", "b"),
            tag("disk", "ssd"),
            tag("zone", "a"),
            tag("zone", "b"),
        ],
        ..policy.clone()
    };
    assert_eq!(wish::wish_of(&shuffled, NOW + 10), wanted);
    let unspeakable = Policy {
        wanted: vec![tag("Zone", "")],
        ..policy
    };
    let wish = Some((&unspeakable, 0));
    let error = member.pins.publish(&member.key, root(1), wish, NOW);
    assert!(matches!(error, Err(PublishError::Wire(_))));
}
