//! A node that is about to leave: how far the others have what it has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::Cid;

use super::super::{text, texts};
use crate::replication::planner;
use crate::replication::report;

/// What becomes of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainChange {
    /// It begins, or goes on; waits until it is over.
    Begin {
        /// For so long; `None`: however long it takes.
        timeout: Option<Duration>,
    },
    /// Nothing changes.
    Show,
    /// It ends: the node stays.
    Cancel,
}

/// How far a node is that is about to leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Whether it is about to leave.
    pub draining: bool,
    /// Whether nothing on it is needed any more: it can be stopped.
    pub complete: bool,
    /// Parts that somebody wants and that it has.
    pub held_segments: usize,
    /// Their bytes.
    pub held_bytes: u64,
    /// Those of them of which there are too few copies elsewhere.
    pub needed_segments: usize,
    /// Bytes of the copies that are missing.
    pub needed_bytes: u64,
    /// Parts whose copies elsewhere have not been confirmed yet by who has them.
    pub unconfirmed_segments: usize,
    /// Parts of which no further copies can be made now.
    pub stuck_segments: usize,
    /// The contents that they are of, the first 64.
    pub stuck: Vec<StuckContent>,
    /// Contents that are pinned on this node and of which nobody wants copies elsewhere.
    pub only_here: usize,
    /// The first 16 of them.
    #[serde(with = "texts")]
    pub only_here_first: Vec<Cid>,
    /// Whether so much is out of sight that it waits.
    pub blind: bool,
}

/// A content of which too few copies are elsewhere, and for which there are no places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckContent {
    /// Which.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Parts of it.
    pub segments: usize,
    /// Copies elsewhere, of the part that has fewest.
    pub copies: usize,
    /// Copies that are wanted.
    pub wanted: usize,
    /// Why there are no more.
    pub why: Obstacle,
    /// Hosts that may have one, where they are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<usize>,
}

/// Why a copy cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The members that stay are on too few hosts.
    Hosts,
    /// Those that lack it have no room.
    Full,
    /// Those that lack it would not take it, or could not fetch it.
    Refused,
}

impl Drained {
    /// As users see it, with the contents that are `only_here`.
    pub(crate) fn of(draining: &report::Draining, only_here: usize, first: Vec<Cid>) -> Self {
        let report::Draining {
            is_leaving,
            held,
            needed,
            stuck,
            contents,
            unconfirmed,
            is_over,
            blind,
        } = draining;
        Self {
            draining: *is_leaving,
            complete: *is_over && *stuck == 0 && only_here == 0,
            held_segments: held.0,
            held_bytes: held.1,
            needed_segments: needed.0,
            needed_bytes: needed.1,
            unconfirmed_segments: *unconfirmed,
            stuck_segments: *stuck,
            stuck: contents.iter().map(Into::into).collect(),
            only_here,
            only_here_first: first,
            blind: *blind,
        }
    }
}

impl From<&report::StuckContent> for StuckContent {
    fn from(stuck: &report::StuckContent) -> Self {
        let (why, hosts) = match stuck.why {
            planner::Obstacle::Hosts(hosts) => (Obstacle::Hosts, Some(hosts)),
            planner::Obstacle::Full => (Obstacle::Full, None),
            planner::Obstacle::Refused => (Obstacle::Refused, None),
        };
        Self {
            cid: stuck.root,
            segments: stuck.segments,
            copies: stuck.copies,
            wanted: stuck.wanted,
            why,
            hosts,
        }
    }
}
