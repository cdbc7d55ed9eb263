//! [`ReplicaResponse`] and its bytes.

use bytes::Bytes;

use super::parts::{signed_in, signed_out};
use super::{
    Checked, Leave, MAX_PINS, MAX_REPLICA_RESPONSE_SIZE, MAX_SEGMENTS, Receipt, ReplicaResponse,
    proto,
};
use crate::audit::{Answer, LEAVES_MAX};
use crate::wire::proto::{Bound, decode};
use crate::wire::reconcile::{MAX_QUESTIONS, Verdict};
use crate::wire::{WireError, at_most, frame};

const RECEIPT: u32 = 1;
const ACCEPTED: u32 = 2;
const NO_ROOM: u32 = 3;
const REFUSED: u32 = 4;
const CHECKED: u32 = 5;
const TRIM: u32 = 6;
const ANSWER: u32 = 7;
const VERDICTS: u32 = 8;
const PINS: u32 = 9;
const NOTED: u32 = 10;
const BUSY: u32 = 11;

impl ReplicaResponse {
    /// Length and body.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut message = proto::Response {
            kind: self.kind(),
            ..Default::default()
        };
        match self {
            Self::Receipt(receipt) => message.receipt = Some(receipt.to_proto()),
            Self::Checked(checked) => {
                at_most("segments", checked.len(), MAX_SEGMENTS)?;
                let checked = checked.iter().map(Checked::to_proto);
                message.checked = checked.collect::<Result<_, _>>()?;
            }
            Self::Trim { leave, shown } => {
                message.leave = leave.code();
                message.digests = digests_out(shown.as_ref())?;
            }
            Self::Answer(shown) => message.digests = digests_out(shown.as_ref())?,
            Self::Verdicts(verdicts) => {
                at_most("verdicts", verdicts.len(), MAX_QUESTIONS)?;
                message.verdicts = verdicts.iter().map(Verdict::to_proto).collect();
            }
            Self::Pins(pins) => message.pins = signed_out(pins, "pin records", MAX_PINS)?,
            Self::Accepted | Self::NoRoom | Self::Refused | Self::Noted | Self::Busy => {}
        }
        frame(&message, MAX_REPLICA_RESPONSE_SIZE)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If it is malformed, of a later version, or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        let message = read(body)?;
        match message.kind {
            RECEIPT => Ok(Self::Receipt(Receipt::of_proto(message.receipt)?)),
            ACCEPTED => Ok(Self::Accepted),
            NO_ROOM => Ok(Self::NoRoom),
            REFUSED => Ok(Self::Refused),
            CHECKED => {
                let checked = message.checked.iter().map(Checked::of_proto);
                Ok(Self::Checked(checked.collect::<Result<_, _>>()?))
            }
            TRIM => Ok(Self::Trim {
                leave: Leave::of(message.leave),
                shown: digests_in(&message.digests)?,
            }),
            ANSWER => Ok(Self::Answer(digests_in(&message.digests)?)),
            VERDICTS => {
                let verdicts = message.verdicts.iter().map(Verdict::of_proto);
                Ok(Self::Verdicts(verdicts.collect::<Result<_, _>>()?))
            }
            PINS => Ok(Self::Pins(signed_in(
                message.pins,
                "pin records",
                MAX_PINS,
            )?)),
            NOTED => Ok(Self::Noted),
            BUSY => Ok(Self::Busy),
            kind => Err(WireError::Kind(kind)),
        }
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Receipt(_) => RECEIPT,
            Self::Accepted => ACCEPTED,
            Self::NoRoom => NO_ROOM,
            Self::Refused => REFUSED,
            Self::Checked(_) => CHECKED,
            Self::Trim { .. } => TRIM,
            Self::Answer(_) => ANSWER,
            Self::Verdicts(_) => VERDICTS,
            Self::Pins(_) => PINS,
            Self::Noted => NOTED,
            Self::Busy => BUSY,
        }
    }
}

/// The message, its lists counted before they are read.
fn read(body: &Bytes) -> Result<proto::Response, WireError> {
    at_most("bytes of answer", body.len(), MAX_REPLICA_RESPONSE_SIZE)?;
    let bound = |tag, what, count| Bound {
        tag,
        what,
        count,
        bytes: MAX_REPLICA_RESPONSE_SIZE,
    };
    let bounds = [
        bound(3, "segments", MAX_SEGMENTS),
        bound(5, "leaves", LEAVES_MAX),
        bound(6, "verdicts", MAX_QUESTIONS),
        bound(7, "pin records", MAX_PINS),
    ];
    decode(body, &bounds)
}

/// A digest for each leaf. A challenge has one leaf at least, so no digests are no answer.
fn digests_out(shown: Option<&Answer>) -> Result<Vec<Bytes>, WireError> {
    let Some(shown) = shown else {
        return Ok(Vec::new());
    };
    at_most("leaves", shown.leaves.len(), LEAVES_MAX)?;
    if shown.leaves.is_empty() {
        return Err(WireError::Field("leaves"));
    }
    let digest = |leaf: &Option<[u8; 32]>| {
        let digest = leaf.as_ref().map(|digest| Bytes::copy_from_slice(digest));
        digest.unwrap_or_default()
    };
    Ok(shown.leaves.iter().map(digest).collect())
}

fn digests_in(digests: &[Bytes]) -> Result<Option<Answer>, WireError> {
    if digests.is_empty() {
        return Ok(None);
    }
    let digest = |digest: &Bytes| match digest.len() {
        0 => Ok(None),
        _ => match digest[..].try_into() {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(WireError::Field("digest")),
        },
    };
    let leaves = digests.iter().map(digest).collect::<Result<_, _>>()?;
    Ok(Some(Answer { leaves }))
}
