//! [`Challenge`]: whether somebody has a segment, asked about random leaves of it.
//!
//! The one who asks has the segment, too. He draws a nonce; from it follow up to [`LEAVES_MAX`] leaves,
//! which are named by their numbers within the segment. For each the other answers
//!
//! ```text
//! SHA-256( "store audit 1" | nonce [32] | segment [32] | number: u64 LE | size: u32 LE | bytes of the leaf )
//! ```
//!
//! which nobody can say who has not all of its bytes now: the nonce is new each time. One digest for
//! each leaf, rather than one over all, says which of them are wrong.
//!
//! Both sides find the leaves by the links of the nodes, without reading other blocks, and read one
//! leaf at a time. Whoever answers checks what he reads against its CID: an honest disk that has rotten
//! says "missing", never "wrong".

mod leaves;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

pub use leaves::SegmentLeaves;

use crate::block::Block;
use crate::blockstore::{Blockstore, StoreError};
use crate::cid::Cid;
use crate::dag::SourceError;
use crate::segment::{Hold, SegmentId};

/// Leaves of one challenge at most: 32 MiB of usual leaves, which a slow disk reads in a second, and a
/// link of 100 Mbit/s does not bring in two.
pub const LEAVES_MAX: usize = 32;

/// What makes a challenge new.
pub type Nonce = [u8; 32];

/// A question about leaves of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The segment.
    pub segment: SegmentId,
    /// Where it is, in a DAG that the one who is asked has.
    pub hold: Hold,
    /// New each time, and not to be foreseen.
    pub nonce: Nonce,
    /// The leaves, by their numbers within the segment: ascending, [`LEAVES_MAX`] at most.
    pub leaves: Vec<u64>,
}

/// What is said to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For each leaf of the challenge, in its order, its digest; `None` where it is not there.
    pub leaves: Vec<Option<[u8; 32]>>,
}

/// What an answer is worth. Leaves are called by their numbers within the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All leaves that could be compared are there.
    Right,
    /// These were answered for, and wrong: he does not have them, and says that he does.
    Wrong {
        /// Which; all of them where the answer has another form than the challenge.
        leaves: Vec<u64>,
    },
    /// These he says he has not, and the others are right.
    Missing {
        /// Which.
        leaves: Vec<u64>,
    },
    /// Nothing could be compared: the one who asked has none of them himself.
    Unknown,
}

impl Challenge {
    /// About `count` leaves of a segment that has `total`, drawn by the nonce; about all, where there are no
    /// more.
    #[must_use]
    pub fn draw(segment: SegmentId, hold: Hold, nonce: Nonce, total: u64, count: usize) -> Self {
        let count = u64::try_from(count.min(LEAVES_MAX)).unwrap_or(u64::MAX);
        let count = count.min(total);
        // Floyd's sample (Bentley, CACM 30 (9), 1987): each set of so many is as likely as any other.
        let mut leaves = BTreeSet::new();
        for last in total - count..total {
            let leaf = drawn(&nonce, last) % (last + 1);
            if !leaves.insert(leaf) {
                leaves.insert(last);
            }
        }
        Self {
            segment,
            hold,
            nonce,
            leaves: leaves.into_iter().collect(),
        }
    }

    /// Whether it may be answered: no more leaves than [`LEAVES_MAX`], each once, in order.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ascends = self.leaves.is_sorted_by(|a, b| a < b);
        ascends && (1..=LEAVES_MAX).contains(&self.leaves.len())
    }

    /// The answer out of this store; the one who asks makes his own to compare. What is missing, rotten or
    /// not as the challenge says is `None`. Holds one leaf at a time.
    ///
    /// # Errors
    /// The store's own, which says nothing about what is in it.
    pub fn answer(&self, store: &dyn Blockstore) -> Result<Answer, StoreError> {
        let nothing = Answer {
            leaves: vec![None; self.leaves.len()],
        };
        if !self.is_sound() {
            return Ok(nothing);
        }
        let found = SegmentLeaves::open(store, &self.segment, &self.hold);
        let Some(mut segment) = present(found)?.flatten() else {
            return Ok(nothing);
        };
        let mut leaves = Vec::with_capacity(self.leaves.len());
        for number in &self.leaves {
            let cid = present(segment.leaf(*number))?.flatten();
            leaves.push(match cid {
                Some(cid) => self.digest(store, *number, &cid)?,
                None => None,
            });
        }
        Ok(Answer { leaves })
    }

    /// What another's answer is worth, beside one's own.
    #[must_use]
    pub fn judge(&self, own: &Answer, theirs: &Answer) -> Verdict {
        if theirs.leaves.len() != self.leaves.len() || own.leaves.len() != self.leaves.len() {
            let leaves = self.leaves.clone();
            return Verdict::Wrong { leaves };
        }
        let (mut wrong, mut missing, mut compared) = (Vec::new(), Vec::new(), 0);
        let answers = own.leaves.iter().zip(&theirs.leaves);
        for (number, (own, theirs)) in self.leaves.iter().zip(answers) {
            match (own, theirs) {
                (_, None) => missing.push(*number),
                (None, Some(_)) => {}
                (Some(own), Some(theirs)) if own == theirs => compared += 1,
                (Some(_), Some(_)) => wrong.push(*number),
            }
        }
        if !wrong.is_empty() {
            Verdict::Wrong { leaves: wrong }
        } else if !missing.is_empty() {
            Verdict::Missing { leaves: missing }
        } else if compared > 0 {
            Verdict::Right
        } else {
            Verdict::Unknown
        }
    }

    fn digest(
        &self,
        store: &dyn Blockstore,
        number: u64,
        cid: &Cid,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let data = present(store.get(cid).map_err(SourceError::from))?.flatten();
        // The store has looked at the disk's checksum alone.
        let block = data.and_then(|data| Block::verify(*cid, data).ok());
        Ok(block.map(|block| self.digest_of(number, block.data())))
    }

    /// What is answered for a leaf of these bytes.
    #[must_use]
    pub fn digest_of(&self, number: u64, bytes: &[u8]) -> [u8; 32] {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut hash = Sha256::new_with_prefix("store audit 1");
        hash.update(self.nonce);
        hash.update(self.segment.0);
        hash.update(number.to_le_bytes());
        hash.update(size.to_le_bytes());
        hash.update(bytes);
        hash.finalize().into()
    }
}

/// A number that the nonce and its place in the draw determine.
fn drawn(nonce: &Nonce, place: u64) -> u64 {
    let hash = Sha256::new_with_prefix("store audit draw 1");
    let digest = hash.chain_update(nonce).chain_update(place.to_le_bytes());
    let bytes = digest.finalize();
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What is not there, or cannot be read as a DAG, is `None`; an error is one of the disk.
fn present<T>(result: Result<T, SourceError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(SourceError::Store(
            StoreError::Corrupt { .. } | StoreError::Dag(_) | StoreError::Cid(_),
        )) => Ok(None),
        Err(SourceError::Store(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
