//! [`ReplicaRequest`] and its bytes.

use bytes::Bytes;

use super::parts::{
    challenge_in, challenge_out, check_leaves, hold_in, hold_out, holders_in, holders_out,
    names_in, names_out, segment_in, segment_out, signed_in, signed_out,
};
use super::{
    MAX_OFFER_PINS, MAX_PINS, MAX_REPLICA_REQUEST_SIZE, MAX_SEGMENTS, Offer, Receipt,
    ReplicaRequest, Told, proto,
};
use crate::audit::LEAVES_MAX;
use crate::segment::{PATH_MAX, SegmentId};
use crate::wire::proto::{Bound, decode};
use crate::wire::reconcile::{MAX_QUESTIONS, Question};
use crate::wire::{WireError, at_most, frame};

const OFFER: u32 = 1;
const FETCHED: u32 = 2;
const FAILED: u32 = 3;
const CHECK: u32 = 4;
const LEASE: u32 = 5;
const RETRACT: u32 = 6;
const TRIM: u32 = 7;
const CHALLENGE: u32 = 8;
const WRONG: u32 = 9;
const COMPARE: u32 = 10;
const FETCH: u32 = 11;
const PINS: u32 = 12;
const SHARED: u32 = 13;

/// Numbers of leaves as packed varints of ten bytes at most, and the length before them.
const LEAVES_BYTES: usize = 10 * LEAVES_MAX + 3;

impl ReplicaRequest {
    /// Length and body.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut message = proto::Request {
            kind: self.kind(),
            ..Default::default()
        };
        match self {
            Self::Offer(offer) => offer.write(&mut message)?,
            Self::Fetched(receipt) => message.receipt = Some(receipt.to_proto()),
            Self::Failed(segment) => message.segments = segment_out(*segment),
            Self::Check(told) => {
                at_most("segments", told.len(), MAX_SEGMENTS)?;
                message.told = told.iter().map(Told::to_proto).collect::<Result<_, _>>()?;
            }
            Self::Lease { segments, lasts } => {
                message.segments = segments_out(segments)?;
                message.lasts = *lasts;
            }
            Self::Retract(segments) => message.segments = segments_out(segments)?,
            Self::Trim { ask, challenge } => {
                challenge_out(challenge, &mut message)?;
                message.ask = *ask;
            }
            Self::Challenge(challenge) => challenge_out(challenge, &mut message)?,
            Self::Wrong { segment, leaves } => {
                check_leaves(leaves)?;
                message.segments = segment_out(*segment);
                message.leaves.clone_from(leaves);
            }
            Self::Compare(questions) | Self::Shared(questions) => {
                at_most("questions", questions.len(), MAX_QUESTIONS)?;
                message.questions = questions.iter().map(|it| it.to_proto()).collect();
            }
            Self::Fetch(keys) => {
                message.keys = names_out(keys.iter().copied(), "keys", MAX_PINS)?;
            }
            Self::Pins(pins) => message.pins = signed_out(pins, "pin records", MAX_PINS)?,
        }
        frame(&message, MAX_REPLICA_REQUEST_SIZE)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If it is malformed, of a later version, or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        let message = read(body)?;
        match message.kind {
            OFFER => Ok(Self::Offer(Offer::read(message)?)),
            FETCHED => Ok(Self::Fetched(Receipt::of_proto(message.receipt)?)),
            FAILED => Ok(Self::Failed(segment_in(&message.segments)?)),
            CHECK => {
                let told = message.told.iter().map(Told::of_proto);
                Ok(Self::Check(told.collect::<Result<_, _>>()?))
            }
            LEASE => Ok(Self::Lease {
                segments: segments_in(&message.segments)?,
                lasts: message.lasts,
            }),
            RETRACT => Ok(Self::Retract(segments_in(&message.segments)?)),
            TRIM => Ok(Self::Trim {
                ask: message.ask,
                challenge: challenge_in(&message)?,
            }),
            CHALLENGE => Ok(Self::Challenge(challenge_in(&message)?)),
            WRONG => {
                check_leaves(&message.leaves)?;
                Ok(Self::Wrong {
                    segment: segment_in(&message.segments)?,
                    leaves: message.leaves,
                })
            }
            COMPARE | SHARED => {
                let questions = message.questions.iter().map(Question::of_proto);
                let questions = questions.collect::<Result<_, _>>()?;
                Ok(if message.kind == COMPARE {
                    Self::Compare(questions)
                } else {
                    Self::Shared(questions)
                })
            }
            FETCH => {
                let keys = names_in(&message.keys, "keys", MAX_PINS, |key| key);
                Ok(Self::Fetch(keys?))
            }
            PINS => Ok(Self::Pins(signed_in(
                message.pins,
                "pin records",
                MAX_PINS,
            )?)),
            kind => Err(WireError::Kind(kind)),
        }
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Offer(_) => OFFER,
            Self::Fetched(_) => FETCHED,
            Self::Failed(_) => FAILED,
            Self::Check(_) => CHECK,
            Self::Lease { .. } => LEASE,
            Self::Retract(_) => RETRACT,
            Self::Trim { .. } => TRIM,
            Self::Challenge(_) => CHALLENGE,
            Self::Wrong { .. } => WRONG,
            Self::Compare(_) => COMPARE,
            Self::Fetch(_) => FETCH,
            Self::Pins(_) => PINS,
            Self::Shared(_) => SHARED,
        }
    }
}

/// The message, its lists counted before they are read.
fn read(body: &Bytes) -> Result<proto::Request, WireError> {
    at_most("bytes of request", body.len(), MAX_REPLICA_REQUEST_SIZE)?;
    let bound = |tag, what, count, bytes| Bound {
        tag,
        what,
        count,
        bytes,
    };
    let any = MAX_REPLICA_REQUEST_SIZE;
    let bounds = [
        bound(3, "nodes of a path", PATH_MAX, any),
        bound(8, "pin records", MAX_PINS, any),
        bound(11, "segments", MAX_SEGMENTS, any),
        bound(13, "questions", MAX_QUESTIONS, any),
        bound(15, "leaves", LEAVES_MAX, LEAVES_BYTES),
    ];
    decode(body, &bounds)
}

fn segments_out(segments: &[SegmentId]) -> Result<Bytes, WireError> {
    let names = segments.iter().map(|segment| segment.0);
    names_out(names, "segments", MAX_SEGMENTS)
}

fn segments_in(bytes: &[u8]) -> Result<Vec<SegmentId>, WireError> {
    names_in(bytes, "segments", MAX_SEGMENTS, SegmentId)
}

impl Offer {
    fn write(&self, message: &mut proto::Request) -> Result<(), WireError> {
        hold_out(&self.hold, message)?;
        message.segments = segment_out(self.segment);
        message.bytes = self.bytes;
        message.idle = self.idle;
        message.pins = signed_out(&self.pins, "pin records of an offer", MAX_OFFER_PINS)?;
        message.holders = holders_out(&self.holders)?;
        Ok(())
    }

    fn read(message: proto::Request) -> Result<Self, WireError> {
        Ok(Self {
            segment: segment_in(&message.segments)?,
            hold: hold_in(&message)?,
            bytes: message.bytes,
            idle: message.idle,
            pins: signed_in(message.pins, "pin records of an offer", MAX_OFFER_PINS)?,
            holders: holders_in(&message.holders)?,
        })
    }
}
