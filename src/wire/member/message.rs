//! What members ask each other, and what they announce to all.

use bytes::Bytes;

use super::{
    MAX_ACCUSATIONS, MAX_FETCH, MAX_MEMBER_REQUEST_SIZE, MAX_MEMBER_RESPONSE_SIZE,
    MAX_RUMOUR_RECORDS, MemberId, Signed, proto,
};
use crate::wire::proto::{Bound, decode};
use crate::wire::reconcile::{self, MAX_QUESTIONS, Question, Verdict};
use crate::wire::{WireError, at_most, frame};

const PROBE: u32 = 1;
const REACH: u32 = 2;
const COMPARE: u32 = 3;
const FETCH: u32 = 4;
const TELL: u32 = 5;

const ALIVE: u32 = 1;
const REACHED: u32 = 2;
const COMPARED: u32 = 3;
const RECORDS: u32 = 4;
const REFUSED: u32 = 5;

/// The largest announcement in bytes: 32 accusations are 1.5 KiB.
const MAX_RUMOUR_SIZE: usize = 12 << 10;

/// A question of one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// Whether it lives.
    Probe {
        /// The asker's own version: whom that is news to may ask back.
        version: u64,
        /// The version that the asker knows of whom it asks; 0: none.
        known: u64,
        /// The asker has heard that it is gone.
        suspected: bool,
    },
    /// Whether the one asked reaches somebody whom the asker does not reach.
    Reach(MemberId),
    /// How parts of the set of members look to the one asked.
    Compare(Vec<Question>),
    /// What the one asked knows of these, [`MAX_FETCH`] at most.
    Fetch(Vec<MemberId>),
    /// A record, usually the asker's own.
    Tell(Signed),
}

/// An answer to a [`MemberRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberResponse {
    /// To a Probe and to a Tell: with the answerer's own record, where the asker knows an older one.
    Alive(Option<Signed>),
    /// To a Reach: whether somebody answered.
    Reached(bool),
    /// To a Compare: one for each question, in order.
    Compared(Vec<Verdict>),
    /// To a Fetch: of those that are known.
    Records(Vec<Told>),
    /// It has no answer for this asker.
    Refused,
}

/// What the answerer knows of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its newest record.
    pub record: Signed,
    /// The answerer takes it for gone.
    pub gone: bool,
}

/// An announcement to all. Its author is whoever signed the gossip message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rumour {
    /// New records, [`MAX_RUMOUR_RECORDS`] at most.
    pub records: Vec<Signed>,
    /// Whom the author could not reach, [`MAX_ACCUSATIONS`] at most.
    pub accusations: Vec<Accusation>,
}

/// Its author could not reach a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Whom.
    pub member: MemberId,
    /// The version of its record that the author knew. A higher one refutes it.
    pub version: u64,
}

impl MemberRequest {
    /// Length and body.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut message = proto::Request::default();
        match self {
            Self::Probe {
                version,
                known,
                suspected,
            } => {
                message.kind = PROBE;
                (message.version, message.known) = (*version, *known);
                message.suspected = *suspected;
            }
            Self::Reach(member) => {
                message.kind = REACH;
                message.members = ids_out(&[*member]);
            }
            Self::Compare(questions) => {
                at_most("questions", questions.len(), MAX_QUESTIONS)?;
                message.kind = COMPARE;
                message.questions = questions.iter().map(|it| it.to_proto()).collect();
            }
            Self::Fetch(members) => {
                at_most("members", members.len(), MAX_FETCH)?;
                message.kind = FETCH;
                message.members = ids_out(members);
            }
            Self::Tell(record) => {
                message.kind = TELL;
                message.record = Some(record.to_proto());
            }
        }
        frame(&message, MAX_MEMBER_REQUEST_SIZE)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If it is malformed, of a later version, or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of request", body.len(), MAX_MEMBER_REQUEST_SIZE)?;
        let bounds = [
            bound(5, "members", MAX_FETCH, MAX_MEMBER_REQUEST_SIZE),
            bound(6, "questions", MAX_QUESTIONS, MAX_MEMBER_REQUEST_SIZE),
        ];
        let message: proto::Request = decode(body, &bounds)?;
        match message.kind {
            PROBE => Ok(Self::Probe {
                version: message.version,
                known: message.known,
                suspected: message.suspected,
            }),
            REACH => match ids_in(&message.members)?[..] {
                [member] => Ok(Self::Reach(member)),
                _ => Err(WireError::Field("members")),
            },
            COMPARE => {
                let questions = message.questions.iter().map(Question::of_proto);
                Ok(Self::Compare(questions.collect::<Result<_, _>>()?))
            }
            FETCH => Ok(Self::Fetch(ids_in(&message.members)?)),
            TELL => {
                let record = message.record.ok_or(WireError::Field("record"))?;
                Ok(Self::Tell(Signed::of_proto(record)?))
            }
            kind => Err(WireError::Kind(kind)),
        }
    }
}

impl MemberResponse {
    /// Length and body.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Bytes, WireError> {
        let mut message = proto::Response::default();
        match self {
            Self::Alive(record) => {
                message.kind = ALIVE;
                let record = record.iter().map(Signed::to_proto);
                message.told = record
                    .map(|record| proto::Told {
                        record: Some(record),
                        gone: false,
                    })
                    .collect();
            }
            Self::Reached(reached) => {
                message.kind = REACHED;
                message.reached = *reached;
            }
            Self::Compared(verdicts) => {
                at_most("verdicts", verdicts.len(), MAX_QUESTIONS)?;
                message.kind = COMPARED;
                message.verdicts = verdicts.iter().map(Verdict::to_proto).collect();
            }
            Self::Records(told) => {
                at_most("records", told.len(), MAX_FETCH)?;
                message.kind = RECORDS;
                message.told = told
                    .iter()
                    .map(|told| proto::Told {
                        record: Some(told.record.to_proto()),
                        gone: told.gone,
                    })
                    .collect();
            }
            Self::Refused => message.kind = REFUSED,
        }
        frame(&message, MAX_MEMBER_RESPONSE_SIZE)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// If it is malformed, of a later version, or breaks a bound.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of answer", body.len(), MAX_MEMBER_RESPONSE_SIZE)?;
        let bounds = [
            bound(2, "records", MAX_FETCH, MAX_MEMBER_RESPONSE_SIZE),
            bound(4, "verdicts", MAX_QUESTIONS, MAX_MEMBER_RESPONSE_SIZE),
        ];
        let message: proto::Response = decode(body, &bounds)?;
        match message.kind {
            ALIVE => {
                let mut records = told_in(message.told)?.into_iter();
                let record = records.next().map(|told| told.record);
                match records.next() {
                    None => Ok(Self::Alive(record)),
                    Some(_) => Err(WireError::Field("records")),
                }
            }
            REACHED => Ok(Self::Reached(message.reached)),
            COMPARED => {
                let verdicts = message.verdicts.iter().map(Verdict::of_proto);
                Ok(Self::Compared(verdicts.collect::<Result<_, _>>()?))
            }
            RECORDS => Ok(Self::Records(told_in(message.told)?)),
            REFUSED => Ok(Self::Refused),
            kind => Err(WireError::Kind(kind)),
        }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Alive(record) => 8 + record.as_ref().map_or(0, Signed::size),
            Self::Reached(_) | Self::Refused => 8,
            Self::Compared(verdicts) => {
                8 + verdicts.iter().map(reconcile::Verdict::size).sum::<usize>()
            }
            Self::Records(told) => {
                8 + told
                    .iter()
                    .map(|told| 6 + told.record.size())
                    .sum::<usize>()
            }
        }
    }
}

impl Rumour {
    /// Its bytes: the gossip message has its own length.
    ///
    /// # Errors
    /// If it breaks a bound.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        at_most("records", self.records.len(), MAX_RUMOUR_RECORDS)?;
        at_most("accusations", self.accusations.len(), MAX_ACCUSATIONS)?;
        let accusation = |accusation: &Accusation| proto::Accusation {
            member: Bytes::copy_from_slice(&accusation.member.0),
            version: accusation.version,
        };
        let message = proto::Rumour {
            records: self.records.iter().map(Signed::to_proto).collect(),
            accusations: self.accusations.iter().map(accusation).collect(),
        };
        let bytes = prost::Message::encode_to_vec(&message);
        at_most("bytes of announcement", bytes.len(), MAX_RUMOUR_SIZE)?;
        Ok(bytes)
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is malformed or breaks a bound.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        at_most("bytes of announcement", bytes.len(), MAX_RUMOUR_SIZE)?;
        let bounds = [
            bound(1, "records", MAX_RUMOUR_RECORDS, MAX_RUMOUR_SIZE),
            bound(2, "accusations", MAX_ACCUSATIONS, MAX_RUMOUR_SIZE),
        ];
        let message: proto::Rumour = decode(bytes, &bounds)?;
        let records = message.records.into_iter().map(Signed::of_proto);
        let accusations = message.accusations.iter().map(|accusation| {
            Ok(Accusation {
                member: MemberId::of_bytes(&accusation.member)?,
                version: accusation.version,
            })
        });
        Ok(Self {
            records: records.collect::<Result<_, WireError>>()?,
            accusations: accusations.collect::<Result<_, WireError>>()?,
        })
    }
}

const fn bound(tag: u32, what: &'static str, count: usize, bytes: usize) -> Bound {
    Bound {
        tag,
        what,
        count,
        bytes,
    }
}

fn ids_out(ids: &[MemberId]) -> Vec<Bytes> {
    ids.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect()
}

fn ids_in(ids: &[Bytes]) -> Result<Vec<MemberId>, WireError> {
    ids.iter().map(|id| MemberId::of_bytes(id)).collect()
}

fn told_in(told: Vec<proto::Told>) -> Result<Vec<Told>, WireError> {
    let told = told.into_iter().map(|told| {
        let record = told.record.ok_or(WireError::Field("record"))?;
        Ok(Told {
            record: Signed::of_proto(record)?,
            gone: told.gone,
        })
    });
    told.collect()
}
