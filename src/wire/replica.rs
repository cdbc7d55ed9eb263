//! What members of a swarm tell each other of copies: `/store/{network}/replica/1.0.0` (docs/protocol.md).
//!
//! One question and one answer for each stream. Copies themselves move by the chunk protocol: an
//! [`Offer`] only says that somebody should fetch one.

mod parts;
mod proto;
mod request;
mod response;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use crate::audit;
use crate::segment::{Hold, SegmentId};

use super::member::{MemberId, SIGNATURE_SIZE, Signed};
use super::reconcile::{Question, Verdict};

/// The largest question in bytes: an [`Offer`] with a path of [`PATH_MAX`](crate::segment::PATH_MAX) of the longest CIDs
/// (19 KiB), [`MAX_OFFER_PINS`] of the largest pin records (33 KiB) and [`MAX_TOLD_HOLDERS`] (2 KiB) takes 54 KiB. What has more
/// to tell tells it in several.
pub const MAX_REPLICA_REQUEST_SIZE: usize = 64 << 10;
/// The largest answer in bytes: 64 verdicts with 64 items each are 164 KiB, 62 of the largest pin records
/// fill it.
pub const MAX_REPLICA_RESPONSE_SIZE: usize = 256 << 10;
/// What a list may take of a question: the sizes of its items together ([`Told::size`], [`Question::size`],
/// [`Signed::size`] and 4 more).
pub const REQUEST_ROOM: usize = MAX_REPLICA_REQUEST_SIZE - 16;
/// What a list may take of an answer ([`Checked::size`], [`Verdict::size`], [`Signed::size`] and 4 more).
pub const RESPONSE_ROOM: usize = MAX_REPLICA_RESPONSE_SIZE - 16;
/// Holders of one segment in one message: more copies than any policy but `everywhere` wants.
pub const MAX_TOLD_HOLDERS: usize = 64;
/// Segments in one Check, Lease or Retract. As many fit into a Check with six holders each, and into its answer with
/// [`holders_each`].
pub const MAX_SEGMENTS: usize = 256;
/// Pin records of one root that go with an offer: one for each owner, those with the highest demands first.
pub const MAX_OFFER_PINS: usize = 8;
/// Pin records in one message.
pub const MAX_PINS: usize = 64;

/// A question, or something told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaRequest {
    /// Fetch this and keep it: [`ReplicaResponse::Receipt`] where it is there already, or
    /// [`ReplicaResponse::Accepted`], and [`ReplicaRequest::Fetched`] or [`ReplicaRequest::Failed`] follow.
    Offer(Offer),
    /// What was offered is there, durably.
    Fetched(Receipt),
    /// What was offered and accepted could not be had.
    Failed(SegmentId),
    /// The asker has these; which does the other have? Both tell whom they know to have them.
    Check(Vec<Told>),
    /// The asker is about to repair these: the others leave them alone for so many milliseconds at most.
    Lease {
        /// Which.
        segments: Vec<SegmentId>,
        /// In milliseconds.
        lasts: u64,
    },
    /// The asker has these no more.
    Retract(Vec<SegmentId>),
    /// The asker would like to give up its copy: the other is to show its own, and to say whether it keeps it.
    Trim {
        /// The number of this question.
        ask: u64,
        /// What to show of the copy.
        challenge: audit::Challenge,
    },
    /// Show that you have it.
    Challenge(audit::Challenge),
    /// These leaves of yours are wrong, by number within the segment: look at your disk.
    Wrong {
        /// Of which.
        segment: SegmentId,
        /// Which.
        leaves: Vec<u64>,
    },
    /// Where do our pin records differ?
    Compare(Vec<Question>),
    /// The pin records of these keys, [`MAX_PINS`] at most.
    Fetch(Vec<[u8; 32]>),
    /// Pin records that are new to the asker.
    Pins(Vec<Signed>),
    /// Where does what each believes of the segments that both have differ? An item's key is the segment, its stamp
    /// the sum of [`holder_print`] over all that are known to hold it, both included, modulo 2^64.
    Shared(Vec<Question>),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaResponse {
    /// To an Offer: it is here already.
    Receipt(Receipt),
    /// To an Offer: it is being fetched.
    Accepted,
    /// To an Offer: there is no room for it.
    NoRoom,
    /// To an Offer: nothing is stored for its owners here; to anything: not for this asker.
    Refused,
    /// To a Check: one for each segment asked about, in that order.
    Checked(Vec<Checked>),
    /// To a Trim.
    Trim {
        /// Whether it keeps its own copy for twice as long as leave lasts.
        leave: Leave,
        /// The copy's leaves, where it keeps it.
        shown: Option<audit::Answer>,
    },
    /// To a Challenge; `None` where the segment is unknown here.
    Answer(Option<audit::Answer>),
    /// To a Compare or Shared: one for each question, in that order.
    Verdicts(Vec<Verdict>),
    /// To a Fetch: those that are known.
    Pins(Vec<Signed>),
    /// To what was only told.
    Noted,
    /// Ask again later.
    Busy,
}

/// A segment that somebody should fetch and keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub segment: SegmentId,
    /// Where it is: its path begins with the root that `pins` speak of.
    pub hold: Hold,
    /// What it takes, as its nodes claim.
    pub bytes: u64,
    /// Whether it may wait: it improves places only.
    pub idle: bool,
    /// Why: the records of its root.
    pub pins: Vec<Signed>,
    /// Whom to fetch it from, besides the asker.
    pub holders: Vec<MemberId>,
}

/// That a member has a segment, durably. Signed, so that it may be shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What.
    pub segment: SegmentId,
    /// How much of it, in bytes.
    pub bytes: u64,
    /// Who.
    pub holder: MemberId,
    /// Over [`receipt_bytes`].
    pub signature: [u8; SIGNATURE_SIZE],
}

/// A segment that the asker has, and who else, as far as it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub segment: SegmentId,
    /// Whether the asker keeps it in any case: its own owner has pinned it.
    pub is_pinned: bool,
    /// Others that have said so themselves.
    pub holders: Vec<MemberId>,
}

/// Whether the answerer has a segment, and who else, as far as it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether it has it.
    pub has: bool,
    /// Whether it keeps it in any case.
    pub is_pinned: bool,
    /// Others that have said so themselves.
    pub holders: Vec<MemberId>,
}

/// What a holder says to the trimming of another's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It keeps its own.
    Keeps,
    /// It may want to give up its own.
    Refuses,
    /// It has none.
    HasNot,
}

/// How many holders each [`Checked`] may name, so that an answer about so many segments is not too large.
#[must_use]
pub const fn holders_each(segments: usize) -> usize {
    // Ten bytes around the holders of each: `Checked::size`.
    let room = match RESPONSE_ROOM.checked_div(segments) {
        Some(room) => room.saturating_sub(10) / 32,
        None => MAX_TOLD_HOLDERS,
    };
    if room < MAX_TOLD_HOLDERS {
        room
    } else {
        MAX_TOLD_HOLDERS
    }
}

/// What a holder adds to the stamp of a segment in [`ReplicaRequest::Shared`]: the first 8 bytes of SHA-256 over its
/// id and one byte, 1 where it keeps its copy in any case.
#[must_use]
pub fn holder_print(holder: &MemberId, is_pinned: bool) -> u64 {
    let hash = Sha256::new().chain_update(holder.0);
    let hash = hash.chain_update([u8::from(is_pinned)]).finalize();
    hash.first_chunk()
        .map_or(0, |half| u64::from_be_bytes(*half))
}

/// What a holder signs: which bytes it has in which network.
#[must_use]
pub fn receipt_bytes(network: &str, segment: &SegmentId, bytes: u64) -> Vec<u8> {
    let mut signed = b"store receipt 1\n".to_vec();
    signed.extend_from_slice(network.as_bytes());
    signed.push(b'\n');
    signed.extend_from_slice(&segment.0);
    signed.extend_from_slice(&bytes.to_be_bytes());
    signed
}
