use proptest::prelude::*;

use super::*;
use crate::blockstore::MemoryStore;
use crate::dag::links;
use crate::dag::planted::{node, raw};

/// A root with two nodes of leaves, and a leaf of its own behind them.
fn made(store: &MemoryStore, leaves: &[u8]) -> (Cid, Vec<Cid>) {
    let mut cids: Vec<Cid> = (0_u32..)
        .zip(leaves)
        .map(|(i, size)| {
            let bytes = i
                .to_le_bytes()
                .into_iter()
                .cycle()
                .take(4 + usize::from(*size));
            raw(store, bytes.collect::<Vec<_>>())
        })
        .collect();
    let half = cids.len() / 2;
    let (left, right) = cids.split_at(half);
    let nodes = [node(store, left), node(store, right)];
    cids.push(raw(store, "last"));
    (
        node(store, &[nodes[0], nodes[1], cids[cids.len() - 1]]),
        cids,
    )
}

/// The segment of these children of the root.
fn segment(store: &MemoryStore, root: &Cid, first: usize, count: usize) -> (SegmentId, Hold) {
    let block = Block::verify(*root, store.get(root).unwrap().unwrap()).unwrap();
    let children: Vec<Cid> = links(&block).unwrap().iter().map(|link| link.cid).collect();
    let id = if count == 0 {
        SegmentId::of([root])
    } else {
        SegmentId::of(&children[first..first + count])
    };
    let hold = Hold {
        path: vec![*root],
        first: first as u64,
        count: count as u64,
    };
    (id, hold)
}

fn challenge(store: &MemoryStore, root: &Cid, nonce: Nonce, count: usize) -> Challenge {
    let (id, hold) = segment(store, root, 0, 3);
    let total = SegmentLeaves::open(store, &id, &hold)
        .unwrap()
        .unwrap()
        .total();
    Challenge::draw(id, hold, nonce, total, count)
}

#[test]
fn digests_are_those_that_were_ever() {
    // Members of two versions must agree. Computed by a second program from the words above.
    let challenge = Challenge {
        segment: SegmentId([2; 32]),
        hold: Hold {
            path: Vec::new(),
            first: 0,
            count: 0,
        },
        nonce: [1; 32],
        leaves: vec![7],
    };
    assert_eq!(
        data_encoding::HEXLOWER.encode(&challenge.digest_of(7, b"leaf")),
        "c785159854b4dfe23feb1a3792881eb27ef96d73e56b9b619752b105318f6893"
    );
    let drawn = Challenge::draw(challenge.segment, challenge.hold, [1; 32], 1000, 5);
    assert_eq!(drawn.leaves, [157, 245, 312, 786, 915]);
}

#[test]
fn leaves_of_a_segment_are_numbered_from_its_first_one_on() {
    let store = MemoryStore::new();
    let (root, cids) = made(&store, &[0; 10]);
    let (id, hold) = segment(&store, &root, 1, 2);
    let mut leaves = SegmentLeaves::open(&store, &id, &hold).unwrap().unwrap();
    assert_eq!(leaves.total(), 6);
    for (number, cid) in (0..).zip(&cids[5..]) {
        assert_eq!(leaves.leaf(number).unwrap(), Some(*cid));
    }
    assert_eq!(leaves.leaf(6).unwrap(), None);
    let alone = raw(&store, "alone");
    let (id, hold) = segment(&store, &alone, 0, 0);
    let mut leaves = SegmentLeaves::open(&store, &id, &hold).unwrap().unwrap();
    assert_eq!((leaves.total(), leaves.leaf(0).unwrap()), (1, Some(alone)));
}

#[test]
fn another_segment_is_not_answered_for() {
    let store = MemoryStore::new();
    let (root, _) = made(&store, &[0; 10]);
    let (id, hold) = segment(&store, &root, 0, 2);
    let elsewhere = [
        Hold {
            first: 1,
            ..hold.clone()
        },
        Hold {
            first: 2,
            ..hold.clone()
        },
        Hold {
            first: u64::MAX,
            ..hold.clone()
        },
        Hold {
            count: 0,
            ..hold.clone()
        },
        Hold {
            count: u64::MAX,
            ..hold.clone()
        },
        Hold {
            path: Vec::new(),
            ..hold.clone()
        },
    ];
    for hold in elsewhere {
        assert!(SegmentLeaves::open(&store, &id, &hold).unwrap().is_none());
    }
    let sound = Challenge::draw(id, hold, [3; 32], 10, 4);
    assert!(
        sound
            .answer(&store)
            .unwrap()
            .leaves
            .iter()
            .all(Option::is_some)
    );
    for leaves in [vec![1, 1], vec![2, 1], vec![], (0..33).collect()] {
        let bad = Challenge {
            leaves,
            ..sound.clone()
        };
        assert!(!bad.is_sound());
        assert!(
            bad.answer(&store)
                .unwrap()
                .leaves
                .iter()
                .all(Option::is_none)
        );
    }
    let beyond = Challenge {
        leaves: vec![0, 10],
        ..sound
    };
    let answer = beyond.answer(&store).unwrap().leaves;
    assert!(answer[0].is_some() && answer[1].is_none());
}

#[test]
fn nobody_is_judged_by_what_oneself_has_not() {
    let (own, other) = (MemoryStore::new(), MemoryStore::new());
    let (root, cids) = made(&own, &[0; 10]);
    made(&other, &[0; 10]);
    let asked = challenge(&own, &root, [5; 32], 11);
    assert_eq!(asked.leaves, (0..11).collect::<Vec<_>>());
    own.delete_many(&cids[..4]).unwrap();
    let (mine, theirs) = (asked.answer(&own).unwrap(), asked.answer(&other).unwrap());
    assert_eq!(asked.judge(&mine, &theirs), Verdict::Right);
    own.delete_many(&cids).unwrap();
    let mine = asked.answer(&own).unwrap();
    assert_eq!(asked.judge(&mine, &theirs), Verdict::Unknown);
    let short = Answer {
        leaves: theirs.leaves[1..].to_vec(),
    };
    let leaves = asked.leaves.clone();
    assert_eq!(asked.judge(&theirs, &short), Verdict::Wrong { leaves });
}

proptest! {
    #[test]
    fn what_is_lost_is_missing_and_what_is_made_up_is_wrong(
        sizes in prop::collection::vec(0_u8..40, 2..60),
        nonce in any::<Nonce>(),
        count in 1_usize..=LEAVES_MAX,
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        made_up in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (own, other) = (MemoryStore::new(), MemoryStore::new());
        let (root, cids) = made(&own, &sizes);
        made(&other, &sizes);
        let asked = challenge(&own, &root, nonce, count);
        prop_assert!(asked.is_sound());
        prop_assert_eq!(asked.leaves.len(), count.min(cids.len()));
        let mine = asked.answer(&own).unwrap();
        prop_assert_eq!(asked.judge(&mine, &asked.answer(&other).unwrap()), Verdict::Right);

        let lost: BTreeSet<usize> = lost.iter().map(|at| at.index(cids.len())).collect();
        let gone: Vec<Cid> = lost.iter().map(|at| cids[*at]).collect();
        other.delete_many(&gone).unwrap();
        let mut theirs = asked.answer(&other).unwrap();
        let is_lost = |number: &u64| lost.contains(&usize::try_from(*number).unwrap());
        let missing: Vec<u64> = asked.leaves.iter().copied().filter(is_lost).collect();
        let expected = if missing.is_empty() {
            Verdict::Right
        } else {
            Verdict::Missing { leaves: missing }
        };
        prop_assert_eq!(asked.judge(&mine, &theirs), expected);

        let wrong: BTreeSet<usize> = made_up.iter().map(|at| at.index(asked.leaves.len())).collect();
        for at in &wrong {
            // An answer to another nonce is no answer.
            let before = Challenge { nonce: [0; 32], ..asked.clone() };
            theirs.leaves[*at] = before.answer(&own).unwrap().leaves[*at];
        }
        if !wrong.is_empty() && nonce != [0; 32] {
            let leaves = wrong.iter().map(|at| asked.leaves[*at]).collect();
            prop_assert_eq!(asked.judge(&mine, &theirs), Verdict::Wrong { leaves });
        }
    }

    #[test]
    fn every_leaf_is_drawn_as_often_as_the_others(seed in any::<u64>()) {
        let mut drawn = [0_u32; 50];
        for i in 0..400_u64 {
            let mut nonce = [0; 32];
            nonce[..8].copy_from_slice(&seed.wrapping_add(i).to_le_bytes());
            let hold = Hold { path: Vec::new(), first: 0, count: 0 };
            for leaf in Challenge::draw(SegmentId([0; 32]), hold, nonce, 50, 10).leaves {
                drawn[usize::try_from(leaf).unwrap()] += 1;
            }
        }
        // 80 each, with a standard deviation of 8: six of them.
        prop_assert!(drawn.iter().all(|count| (32..=128).contains(count)), "{:?}", drawn);
    }
}
