//! What owners want kept: pin records, which every storage member keeps (docs/protocol.md).
//!
//! A [`PinRecord`] is signed by its owner, so it may come by any way; of one owner's records of one root the
//! highest sequence counts. A withdrawn one stays as a tombstone for as long as others may still
//! bring older ones. Signatures are made and checked by whoever has the keys, as in [`super::member`].

use crate::cid::Cid;

use super::member::MemberId;

/// The largest record in bytes, its signature not counted: 32 tags of the largest size are 3.2 KiB.
pub const MAX_PIN_SIZE: usize = 4 << 10;
/// Tags wanted and refused, together.
pub const MAX_PIN_TAGS: usize = 32;

/// What one owner wants of one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRecord {
    /// Who.
    pub owner: MemberId,
    /// Of what.
    pub root: Cid,
    /// One more than the highest that the owner has seen of this root, its own or another's.
    pub sequence: u64,
    /// What; `None` where it is withdrawn.
    pub wanted: Option<PinWish>,
}

/// How many copies of a root, where, and until when. Bounds are the decoder's affair, sense the policy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinWish {
    /// Fewer copies are urgent.
    pub min: u8,
    /// So many are made.
    pub target: u8,
    /// More are taken away.
    pub max: u8,
    /// A copy on every member that may have one.
    pub everywhere: bool,
    /// Name and value: for each name that occurs, one of its values.
    pub wanted: Vec<(String, String)>,
    /// None of these.
    pub refused: Vec<(String, String)>,
    /// Higher ones are repaired first.
    pub priority: u8,
    /// Unix seconds, by each member's own clock; 0 for never.
    pub expires: u64,
}
