//! Set reconciliation: which items two sides do not share, for a few messages and about as many bytes
//! as there are differences.
//!
//! A set has items of a 32-byte key and a stamp. Keys stand in a tree, four bits a step; the sum below a
//! place is that of its items' fingerprints (128 bits of SHA-256, added modulo 2^128), so it is kept up
//! to date by one addition a level. The asker sends the sums of places, from the root down; the other
//! side answers each with *the same*, with the sums of its sixteen children, or, where it has few items,
//! with these. The answerer remembers nothing, the asker a stack of places.
//!
//! It is meant against accidents: who can choose many items can make two sets of equal sums (Wagner,
//! *A generalized birthday problem*, 2002), and hides no more by it than what it told itself.
//! Sets: members, and whatever else is too large to be sent whole. Sans-IO.

#[cfg(test)]
mod tests;
mod tree;

use aws_lc_rs::digest::{SHA256, digest};
use store::wire::reconcile::{FAN_OUT, Item, MAX_LISTED, MAX_QUESTIONS, Prefix, Question, Verdict};

pub use self::tree::Tree;

/// Items that are listed rather than divided further, unless a set says otherwise: sixteen sums are as long as six of them, and save
/// a round trip no more often.
pub const LISTED: usize = 16;

/// Rounds of one comparison at most: a liar could go on for ever. At sixty-four places a round they list
/// four million items where each list has sixteen, as many as the largest set here may have (pin records); an honest
/// comparison of more goes on in the next one, with what is left.
const MAX_ROUNDS: usize = 4096;

/// A set that can be compared.
pub trait Set {
    /// Why it cannot be read.
    type Error;

    /// So many items below a place are listed rather than divided further, [`MAX_LISTED`] at most.
    const LISTED: usize = LISTED;

    /// The sum of the fingerprints below a place.
    fn sum(&self, place: Prefix) -> Result<u128, Self::Error>;

    /// The items below a place by key, `limit` at most.
    fn list(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, Self::Error>;
}

/// The fingerprint of an item.
#[must_use]
pub fn fingerprint(item: &Item) -> u128 {
    let mut bytes = [0; 40];
    bytes[..32].copy_from_slice(&item.key);
    bytes[32..].copy_from_slice(&item.stamp.to_be_bytes());
    let hash = digest(&SHA256, &bytes);
    let half = hash.as_ref()[..16].try_into();
    u128::from_be_bytes(half.expect("16 of 32 bytes"))
}

/// The answer to one question.
pub fn answer<S: Set>(set: &S, question: &Question) -> Result<Verdict, S::Error> {
    const { assert!(S::LISTED <= MAX_LISTED) };
    if set.sum(question.prefix)? == question.sum {
        return Ok(Verdict::Same);
    }
    let items = set.list(question.prefix, S::LISTED + 1)?;
    if items.len() <= S::LISTED {
        return Ok(Verdict::List(items));
    }
    Ok(Verdict::Children(Box::new(children(set, question.prefix)?)))
}

fn children<S: Set>(set: &S, place: Prefix) -> Result<[u128; FAN_OUT], S::Error> {
    let mut sums = [0; FAN_OUT];
    for (sum, step) in sums.iter_mut().zip(0..) {
        // More than one item is below it, so it is no whole key.
        if let Some(child) = place.child(step) {
            *sum = set.sum(child)?;
        }
    }
    Ok(sums)
}

/// What one side has and the other has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// They have this item, and we have none of this key, or one of another stamp.
    Theirs(Item),
    /// We have this item, and they have none of this key.
    Ours(Item),
    /// They have nothing below this place, and we have something.
    OursBelow(Prefix),
}

/// The asker's side of one comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Places that differ and have not been asked about.
    open: Vec<Prefix>,
    /// Those asked about in the message under way.
    asked: Vec<Prefix>,
    rounds: usize,
}

/// Answers that fit no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answers do not fit the questions")]
pub struct Misfit;

impl Comparison {
    /// Of the whole of both sets.
    #[must_use]
    pub fn of_all() -> Self {
        Self {
            open: vec![Prefix::ROOT],
            asked: Vec::new(),
            rounds: 0,
        }
    }

    /// What to ask next; nothing when all is known, or when it took too long.
    pub fn questions<S: Set>(&mut self, ours: &S) -> Result<Vec<Question>, S::Error> {
        if self.rounds >= MAX_ROUNDS {
            return Ok(Vec::new());
        }
        self.rounds += 1;
        // From the end: depth first, so that few places wait.
        let rest = self.open.len().saturating_sub(MAX_QUESTIONS);
        self.asked = self.open.split_off(rest);
        let question = |&prefix: &Prefix| {
            let sum = ours.sum(prefix)?;
            Ok(Question { prefix, sum })
        };
        self.asked.iter().map(question).collect()
    }

    /// Takes the answers to the last questions, and says what differs.
    ///
    /// # Errors
    /// [`Misfit`] within, if they are not such answers. The comparison is of no use then.
    pub fn answers<S: Set>(
        &mut self,
        ours: &S,
        verdicts: Vec<Verdict>,
    ) -> Result<Result<Vec<Difference>, Misfit>, S::Error> {
        if verdicts.len() != self.asked.len() {
            return Ok(Err(Misfit));
        }
        let mut found = Vec::new();
        for (place, verdict) in std::mem::take(&mut self.asked).into_iter().zip(verdicts) {
            match verdict {
                Verdict::Same => {}
                Verdict::Children(sums) => self.descend(ours, place, &sums, &mut found)?,
                Verdict::List(items) => {
                    if items.iter().any(|item| !place.contains(&item.key)) {
                        return Ok(Err(Misfit));
                    }
                    differ(ours, place, &items, &mut found)?;
                }
            }
        }
        Ok(Ok(found))
    }

    fn descend<S: Set>(
        &mut self,
        ours: &S,
        place: Prefix,
        theirs: &[u128; FAN_OUT],
        found: &mut Vec<Difference>,
    ) -> Result<(), S::Error> {
        for (&sum, step) in theirs.iter().zip(0..) {
            let Some(child) = place.child(step) else {
                return Ok(());
            };
            if sum == ours.sum(child)? {
                continue;
            }
            if sum == 0 {
                found.push(Difference::OursBelow(child));
            } else {
                self.open.push(child);
            }
        }
        Ok(())
    }
}

/// Compares a list of theirs with what we have there.
fn differ<S: Set>(
    ours: &S,
    place: Prefix,
    theirs: &[Item],
    found: &mut Vec<Difference>,
) -> Result<(), S::Error> {
    if theirs.is_empty() {
        found.push(Difference::OursBelow(place));
        return Ok(());
    }
    // Between two of theirs, and before and behind them, there may be any number of ours; more of them
    // than this are found when the others ask us.
    let mine = ours.list(place, 4 * S::LISTED)?;
    let has = |items: &[Item], key: &[u8; 32]| {
        let at = items.binary_search_by(|item| item.key.cmp(key));
        at.ok().map(|at| items[at].stamp)
    };
    let cut = mine.len() == 4 * S::LISTED;
    for item in theirs {
        let known = match has(&mine, &item.key) {
            None if cut => {
                let there = ours.list(Prefix::of(&item.key, 64), 1)?;
                there.first().map(|item| item.stamp)
            }
            known => known,
        };
        if known != Some(item.stamp) {
            found.push(Difference::Theirs(*item));
        }
    }
    let lacking = mine.iter().filter(|item| has(theirs, &item.key).is_none());
    found.extend(lacking.map(|item| Difference::Ours(*item)));
    Ok(())
}
