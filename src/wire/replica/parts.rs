//! What questions and answers are made of, in and out.

use bytes::Bytes;

use super::{Checked, Leave, MAX_TOLD_HOLDERS, Receipt, Told, proto};
use crate::audit::{Challenge, LEAVES_MAX, Nonce};
use crate::cid;
use crate::segment::{Hold, PATH_MAX, SegmentId};
use crate::wire::member::proto::Signed as SignedProto;
use crate::wire::member::{MemberId, SIGNATURE_SIZE, Signed};
use crate::wire::{WireError, at_most};

/// Bytes of a name: of a segment, a member or a pin record.
const NAME: usize = 32;

/// Names, one behind the other.
pub(super) fn names_out(
    names: impl IntoIterator<Item = [u8; NAME]>,
    what: &'static str,
    limit: usize,
) -> Result<Bytes, WireError> {
    let bytes: Vec<u8> = names.into_iter().flatten().collect();
    at_most(what, bytes.len() / NAME, limit)?;
    Ok(bytes.into())
}

pub(super) fn names_in<T>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
    name: impl Fn([u8; NAME]) -> T,
) -> Result<Vec<T>, WireError> {
    let (names, rest) = bytes.as_chunks::<NAME>();
    if !rest.is_empty() {
        return Err(WireError::Field(what));
    }
    at_most(what, names.len(), limit)?;
    Ok(names.iter().map(|bytes| name(*bytes)).collect())
}

pub(super) fn holders_out(holders: &[MemberId]) -> Result<Bytes, WireError> {
    let names = holders.iter().map(|holder| holder.0);
    names_out(names, "holders", MAX_TOLD_HOLDERS)
}

pub(super) fn holders_in(bytes: &[u8]) -> Result<Vec<MemberId>, WireError> {
    names_in(bytes, "holders", MAX_TOLD_HOLDERS, MemberId)
}

pub(super) fn segment_out(segment: SegmentId) -> Bytes {
    Bytes::copy_from_slice(&segment.0)
}

pub(super) fn segment_in(bytes: &[u8]) -> Result<SegmentId, WireError> {
    let name = bytes.try_into().map_err(|_| WireError::Field("segment"))?;
    Ok(SegmentId(name))
}

/// Refuses leaves that are none, too many, or not in order.
pub(super) fn check_leaves(leaves: &[u64]) -> Result<(), WireError> {
    at_most("leaves", leaves.len(), LEAVES_MAX)?;
    if leaves.is_empty() || !leaves.is_sorted_by(|a, b| a < b) {
        return Err(WireError::Field("leaves"));
    }
    Ok(())
}

pub(super) fn hold_out(hold: &Hold, message: &mut proto::Request) -> Result<(), WireError> {
    check_hold(hold)?;
    message.path = hold.path.iter().map(|cid| cid.to_bytes().into()).collect();
    (message.first, message.count) = (hold.first, hold.count);
    Ok(())
}

pub(super) fn hold_in(message: &proto::Request) -> Result<Hold, WireError> {
    let path = message.path.iter().map(|cid| cid::from_bytes(cid));
    let hold = Hold {
        path: path.collect::<Result<_, _>>()?,
        first: message.first,
        count: message.count,
    };
    check_hold(&hold)?;
    Ok(hold)
}

fn check_hold(hold: &Hold) -> Result<(), WireError> {
    at_most("nodes of a path", hold.path.len(), PATH_MAX)?;
    if hold.path.is_empty() {
        return Err(WireError::Field("path"));
    }
    if hold.first.checked_add(hold.count).is_none() {
        return Err(WireError::Field("count"));
    }
    Ok(())
}

pub(super) fn challenge_out(
    challenge: &Challenge,
    message: &mut proto::Request,
) -> Result<(), WireError> {
    check_leaves(&challenge.leaves)?;
    hold_out(&challenge.hold, message)?;
    message.segments = segment_out(challenge.segment);
    message.nonce = Bytes::copy_from_slice(&challenge.nonce);
    message.leaves.clone_from(&challenge.leaves);
    Ok(())
}

pub(super) fn challenge_in(message: &proto::Request) -> Result<Challenge, WireError> {
    check_leaves(&message.leaves)?;
    let nonce: Result<Nonce, _> = message.nonce[..].try_into();
    Ok(Challenge {
        segment: segment_in(&message.segments)?,
        hold: hold_in(message)?,
        nonce: nonce.map_err(|_| WireError::Field("nonce"))?,
        leaves: message.leaves.clone(),
    })
}

pub(super) fn signed_out(
    signed: &[Signed],
    what: &'static str,
    limit: usize,
) -> Result<Vec<SignedProto>, WireError> {
    at_most(what, signed.len(), limit)?;
    Ok(signed.iter().map(Signed::to_proto).collect())
}

pub(super) fn signed_in(
    signed: Vec<SignedProto>,
    what: &'static str,
    limit: usize,
) -> Result<Vec<Signed>, WireError> {
    at_most(what, signed.len(), limit)?;
    signed.into_iter().map(Signed::of_proto).collect()
}

impl Receipt {
    pub(super) fn to_proto(&self) -> proto::Receipt {
        proto::Receipt {
            segment: segment_out(self.segment),
            bytes: self.bytes,
            holder: Bytes::copy_from_slice(&self.holder.0),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    pub(super) fn of_proto(receipt: Option<proto::Receipt>) -> Result<Self, WireError> {
        let receipt = receipt.ok_or(WireError::Field("receipt"))?;
        let signature: Result<[u8; SIGNATURE_SIZE], _> = receipt.signature[..].try_into();
        Ok(Self {
            segment: segment_in(&receipt.segment)?,
            bytes: receipt.bytes,
            holder: MemberId::of_bytes(&receipt.holder)?,
            signature: signature.map_err(|_| WireError::Field("signature"))?,
        })
    }
}

impl Told {
    /// Bytes on the wire, at most.
    #[must_use]
    pub fn size(&self) -> usize {
        // Its own key and length, the segment, the holders with theirs, and whether it is pinned.
        3 + 2 + NAME + 3 + NAME * self.holders.len() + 2
    }

    pub(super) fn to_proto(&self) -> Result<proto::Told, WireError> {
        Ok(proto::Told {
            segment: segment_out(self.segment),
            holders: holders_out(&self.holders)?,
            pinned: self.is_pinned,
        })
    }

    pub(super) fn of_proto(told: &proto::Told) -> Result<Self, WireError> {
        Ok(Self {
            segment: segment_in(&told.segment)?,
            is_pinned: told.pinned,
            holders: holders_in(&told.holders)?,
        })
    }
}

impl Checked {
    /// Bytes on the wire, at most.
    #[must_use]
    pub fn size(&self) -> usize {
        3 + 2 + 3 + NAME * self.holders.len() + 2
    }

    pub(super) fn to_proto(&self) -> Result<proto::Checked, WireError> {
        Ok(proto::Checked {
            has: self.has,
            holders: holders_out(&self.holders)?,
            pinned: self.is_pinned,
        })
    }

    pub(super) fn of_proto(checked: &proto::Checked) -> Result<Self, WireError> {
        Ok(Self {
            has: checked.has,
            is_pinned: checked.pinned,
            holders: holders_in(&checked.holders)?,
        })
    }
}

impl Leave {
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::Refuses => 0,
            Self::Keeps => 1,
            Self::HasNot => 2,
        }
    }

    /// Whatever a later version says is no leave.
    pub(super) const fn of(code: u32) -> Self {
        match code {
            1 => Self::Keeps,
            2 => Self::HasNot,
            _ => Self::Refuses,
        }
    }
}
