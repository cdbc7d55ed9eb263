//! The messages as protobuf.

use bytes::Bytes;

use crate::wire::proto::Tag;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) id: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) addresses: Vec<Bytes>,
    #[prost(uint32, tag = "4")]
    pub(super) role: u32,
    #[prost(string, tag = "5")]
    pub(super) program: String,
    #[prost(uint32, tag = "6")]
    pub(super) capacity: u32,
    #[prost(uint32, tag = "7")]
    pub(super) free: u32,
    #[prost(uint32, tag = "8")]
    pub(super) load: u32,
    #[prost(message, repeated, tag = "9")]
    pub(super) tags: Vec<Tag>,
    #[prost(uint64, tag = "10")]
    pub(super) count: u64,
    #[prost(bytes = "bytes", tag = "11")]
    pub(super) digest: Bytes,
    #[prost(uint32, tag = "12")]
    pub(super) state: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::wire) struct Signed {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) body: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) signature: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    /// The asker's own version (Probe).
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
    /// The version that the asker has of whom it asks (Probe).
    #[prost(uint64, tag = "3")]
    pub(super) known: u64,
    #[prost(bool, tag = "4")]
    pub(super) suspected: bool,
    /// Whom to reach (Reach), or whose records to give (Fetch).
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) members: Vec<Bytes>,
    #[prost(message, repeated, tag = "6")]
    pub(super) questions: Vec<crate::wire::reconcile::proto::Question>,
    #[prost(message, optional, tag = "7")]
    pub(super) record: Option<Signed>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Response {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) told: Vec<Told>,
    #[prost(bool, tag = "3")]
    pub(super) reached: bool,
    #[prost(message, repeated, tag = "4")]
    pub(super) verdicts: Vec<crate::wire::reconcile::proto::Verdict>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Told {
    #[prost(message, optional, tag = "1")]
    pub(super) record: Option<Signed>,
    #[prost(bool, tag = "2")]
    pub(super) gone: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rumour {
    #[prost(message, repeated, tag = "1")]
    pub(super) records: Vec<Signed>,
    #[prost(message, repeated, tag = "2")]
    pub(super) accusations: Vec<Accusation>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Accusation {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) member: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
}
