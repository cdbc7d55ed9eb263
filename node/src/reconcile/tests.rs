use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// A set in memory, with or without a tree.
struct Plain {
    items: BTreeMap<[u8; 32], u64>,
    tree: Option<Tree>,
}

impl Plain {
    fn new(items: BTreeMap<[u8; 32], u64>, with_tree: bool) -> Self {
        let tree = with_tree.then(|| {
            let mut tree = Tree::new(items.len());
            for (&key, &stamp) in &items {
                tree.insert(&Item { key, stamp });
            }
            tree
        });
        Self { items, tree }
    }

    fn put(&mut self, item: Item) {
        let old = self.items.insert(item.key, item.stamp);
        if let Some(tree) = &mut self.tree {
            if let Some(stamp) = old {
                tree.remove(&Item { stamp, ..item });
            }
            tree.insert(&item);
        }
    }

    fn below(&self, place: Prefix) -> impl Iterator<Item = Item> {
        let range = self.items.range(place.first()..=place.last());
        range.map(|(&key, &stamp)| Item { key, stamp })
    }
}

impl Set for Plain {
    type Error = Infallible;

    fn sum(&self, place: Prefix) -> Result<u128, Infallible> {
        let kept = self.tree.as_ref().and_then(|tree| tree.sum(place));
        let count = |sum: u128, item: Item| sum.wrapping_add(fingerprint(&item));
        Ok(kept.unwrap_or_else(|| self.below(place).fold(0, count)))
    }

    fn list(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, Infallible> {
        Ok(self.below(place).take(limit).collect())
    }
}

/// What a comparison took.
#[derive(Debug, Default)]
struct Cost {
    rounds: usize,
    bytes: usize,
}

/// Compares, and takes over all that `from` has and `to` has not; where both have a key, the higher
/// stamp wins. Returns the items of `to` alone, as far as they were named.
fn pull(to: &mut Plain, from: &Plain) -> (Vec<Difference>, Cost) {
    let (mut comparison, mut cost) = (Comparison::of_all(), Cost::default());
    let mut all = Vec::new();
    loop {
        let Ok(questions) = comparison.questions(to);
        if questions.is_empty() {
            break;
        }
        cost.rounds += 1;
        cost.bytes += questions.iter().map(Question::size).sum::<usize>();
        let verdicts = questions.iter().map(|question| {
            let Ok(verdict) = answer(from, question);
            verdict
        });
        let verdicts: Vec<_> = verdicts.collect();
        cost.bytes += verdicts.iter().map(Verdict::size).sum::<usize>();
        let Ok(found) = comparison.answers(to, verdicts);
        all.extend(found.unwrap());
    }
    for found in &all {
        if let Difference::Theirs(item) = found
            && to.items.get(&item.key).is_none_or(|&had| had < item.stamp)
        {
            to.put(*item);
        }
    }
    (all, cost)
}

/// Keys of which many begin alike.
fn key() -> impl Strategy<Value = [u8; 32]> {
    (0..5_usize, any::<[u8; 4]>()).prop_map(|(at, bytes)| {
        let mut key = [0; 32];
        key[at * 7..at * 7 + 4].copy_from_slice(&bytes);
        key
    })
}

proptest! {
    #[test]
    fn two_sets_of_any_difference_become_one(
        shared in prop::collection::btree_map(key(), 0..3_u64, 0..200),
        a in prop::collection::btree_map(key(), 0..3_u64, 0..100),
        b in prop::collection::btree_map(key(), 0..3_u64, 0..100),
        with_tree: bool,
    ) {
        let of = |own: &BTreeMap<[u8; 32], u64>| {
            let mut items = shared.clone();
            items.extend(own);
            Plain::new(items, with_tree)
        };
        let (mut left, mut right) = (of(&a), of(&b));
        let before = left.items.clone();
        let (found, _) = pull(&mut left, &right);
        for found in found {
            match found {
                Difference::Theirs(item) => prop_assert!(before.get(&item.key) != Some(&item.stamp)),
                Difference::Ours(item) => prop_assert!(!right.items.contains_key(&item.key)),
                Difference::OursBelow(place) => {
                    prop_assert!(right.below(place).next().is_none());
                    prop_assert!(left.below(place).next().is_some());
                }
            }
        }
        pull(&mut right, &left);
        prop_assert_eq!(&left.items, &right.items);
        let (found, cost) = pull(&mut left, &right);
        prop_assert!(found.is_empty());
        prop_assert_eq!(cost.rounds, 1, "equal sets take one question");
    }
}

fn random(items: usize, seed: u64) -> BTreeMap<[u8; 32], u64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..items).map(|_| (rng.random(), 1)).collect()
}

#[test]
fn bytes_are_in_proportion_to_the_difference() {
    let items = random(50_000, 1);
    let mut last = 0;
    for different in [1, 10, 100, 1000] {
        let mut right = items.clone();
        right.extend(random(different, 2));
        let mut left = Plain::new(items.clone(), true);
        let right = Plain::new(right, true);
        let (found, cost) = pull(&mut left, &right);
        assert_eq!(left.items, right.items);
        assert_eq!(found.len(), different);
        // Three levels of sums and a list for each, and less where they share places.
        assert!(
            cost.bytes <= different * 2000 + 200,
            "{different}: {cost:?}"
        );
        assert!(cost.bytes > last, "{different}: {cost:?}");
        assert!(cost.rounds <= 5 + different / 16, "{different}: {cost:?}");
        last = cost.bytes;
    }
}

#[test]
fn what_one_side_lacks_altogether_is_named_by_places() {
    let mut full = Plain::new(random(5000, 3), true);
    let mut empty = Plain::new(BTreeMap::new(), true);
    let (found, cost) = pull(&mut full, &empty);
    assert_eq!(found, [Difference::OursBelow(Prefix::ROOT)]);
    assert_eq!(cost.rounds, 1);
    let (_, cost) = pull(&mut empty, &full);
    assert_eq!(empty.items, full.items);
    assert!(
        cost.bytes < 5000 * 80,
        "40 bytes an item, and the way there: {cost:?}"
    );
}

#[test]
fn answers_that_fit_no_question_are_refused() {
    let set = Plain::new(random(100, 4), false);
    let mut comparison = Comparison::of_all();
    let Ok(questions) = comparison.questions(&set);
    assert_eq!(questions.len(), 1);
    assert_eq!(
        comparison.clone().answers(&set, Vec::new()),
        Ok(Err(Misfit))
    );
    let too_many = vec![Verdict::Same, Verdict::Same];
    assert_eq!(comparison.clone().answers(&set, too_many), Ok(Err(Misfit)));
    let all = Verdict::Children(Box::new([7; FAN_OUT]));
    assert_eq!(comparison.answers(&set, vec![all]), Ok(Ok(Vec::new())));
    let Ok(questions) = comparison.questions(&set);
    assert_eq!(questions.len(), FAN_OUT);
    let elsewhere = Item {
        key: [0xff; 32],
        stamp: 1,
    };
    let lists = vec![Verdict::List(vec![elsewhere]); FAN_OUT];
    assert_eq!(comparison.answers(&set, lists), Ok(Err(Misfit)));
}

#[test]
fn a_liar_cannot_make_a_comparison_endless() {
    let empty = Plain::new(BTreeMap::new(), false);
    let mut comparison = Comparison::of_all();
    let mut rounds = 0;
    loop {
        let Ok(questions) = comparison.questions(&empty);
        if questions.is_empty() {
            break;
        }
        let lie = Verdict::Children(Box::new([1; FAN_OUT]));
        let Ok(found) = comparison.answers(&empty, vec![lie; questions.len()]);
        assert_eq!(found, Ok(Vec::new()));
        // A stack: what waits is as deep as a key, times what one round opens.
        assert!(comparison.open.len() <= 64 * MAX_QUESTIONS * FAN_OUT);
        rounds += 1;
    }
    assert_eq!(rounds, MAX_ROUNDS);
}

#[test]
fn a_million_items_fit_in_little_memory() {
    let tree = Tree::new(1_000_000);
    assert!(tree.bytes() < 2 << 20, "{} bytes", tree.bytes());
    // A place of the lowest level has 15 items.
    assert!(tree.sum(Prefix::of(&[7; 32], 4)).is_some());
    assert!(tree.sum(Prefix::of(&[7; 32], 5)).is_none());
}
