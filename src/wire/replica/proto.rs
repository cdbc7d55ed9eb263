//! The messages as protobuf. Lists of names are one field of 32 bytes for each: what is repeated stands on the
//! outermost level only, where it is counted before it is read.

use bytes::Bytes;

use crate::wire::member::proto::Signed;
use crate::wire::reconcile::proto::{Question, Verdict};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    /// One (Offer, Failed, Trim, Challenge, Wrong), or many (Lease, Retract).
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) segments: Bytes,
    /// Where it is (Offer, Trim, Challenge).
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) path: Vec<Bytes>,
    #[prost(uint64, tag = "4")]
    pub(super) first: u64,
    #[prost(uint64, tag = "5")]
    pub(super) count: u64,
    /// What it takes (Offer).
    #[prost(uint64, tag = "6")]
    pub(super) bytes: u64,
    #[prost(bool, tag = "7")]
    pub(super) idle: bool,
    /// Pin records (Offer, Pins).
    #[prost(message, repeated, tag = "8")]
    pub(super) pins: Vec<Signed>,
    /// Members (Offer).
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) holders: Bytes,
    #[prost(message, optional, tag = "10")]
    pub(super) receipt: Option<Receipt>,
    #[prost(message, repeated, tag = "11")]
    pub(super) told: Vec<Told>,
    /// In milliseconds (Lease).
    #[prost(uint64, tag = "12")]
    pub(super) lasts: u64,
    #[prost(message, repeated, tag = "13")]
    pub(super) questions: Vec<Question>,
    #[prost(bytes = "bytes", tag = "14")]
    pub(super) nonce: Bytes,
    /// By number within the segment (Trim, Challenge, Wrong).
    #[prost(uint64, repeated, tag = "15")]
    pub(super) leaves: Vec<u64>,
    /// The question's number (Trim).
    #[prost(uint64, tag = "16")]
    pub(super) ask: u64,
    /// Of pin records (Fetch).
    #[prost(bytes = "bytes", tag = "17")]
    pub(super) keys: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Response {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) receipt: Option<Receipt>,
    #[prost(message, repeated, tag = "3")]
    pub(super) checked: Vec<Checked>,
    #[prost(uint32, tag = "4")]
    pub(super) leave: u32,
    /// One for each leaf; empty where it is not there (Trim, Answer).
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) digests: Vec<Bytes>,
    #[prost(message, repeated, tag = "6")]
    pub(super) verdicts: Vec<Verdict>,
    #[prost(message, repeated, tag = "7")]
    pub(super) pins: Vec<Signed>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Receipt {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) segment: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) bytes: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) holder: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) signature: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Told {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) segment: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) holders: Bytes,
    #[prost(bool, tag = "3")]
    pub(super) pinned: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Checked {
    #[prost(bool, tag = "1")]
    pub(super) has: bool,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) holders: Bytes,
    #[prost(bool, tag = "3")]
    pub(super) pinned: bool,
}
