//! Messages of a `get` of many contents in one conversation.
//!
//! ```text
//! Request::GetMany ->
//! ManyStep::Targets, any number of times ->
//! ManyStep::Finish ->
//!               <- Many::Next       and the content's pieces; each target is answered by one of these
//!               <- Many::Missing    two, in any order, while more targets are sent
//!               <- Many::Pause      now and then
//!               <- Event::Done
//! ```

use std::time::Duration;

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use store::Cid;

use super::{Failure, text};

/// Targets in one [`ManyStep::Targets`] at most, so that a message stays below the largest frame.
pub const MAX_TARGETS: usize = 256;

/// Which contents are asked for follows in [`ManyStep`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetMany {
    /// Peers to ask besides those that the swarm tells of.
    pub addresses: Vec<Multiaddr>,
    /// Give a content up when nothing of it came for this long.
    pub timeout: Duration,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManyStep {
    /// These too: each as [`Content::target`](super::Content::target) has it, at most [`MAX_TARGETS`].
    Targets(Vec<String>),
    /// That was all.
    Finish,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Many {
    /// The pieces of this content follow, and nothing else before their end.
    Next {
        /// As it was named.
        target: String,
        /// The CID at the end of the path.
        #[serde(with = "text")]
        cid: Cid,
    },
    /// This content cannot be had.
    Missing {
        /// As it was named.
        target: String,
        /// Why.
        failure: Failure,
    },
    /// Nothing more follows at once: what has come should be finished.
    Pause,
}
