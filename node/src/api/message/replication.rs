//! Messages of replication: which copies are wanted, and how it is with them.

mod drain;
mod status;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::Cid;
use store_config::{PlaceTag, Replicas};

pub use self::drain::{DrainChange, Drained, Obstacle, StuckContent};
pub use self::status::{
    Brakes, ContentStatus, Deficit, MemberShare, NextRepair, RepairRate, Sight, SwarmStatus,
    Urgency, WantedCopies,
};
use super::{PinExpiry, text};

/// Copies on other members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicationRequest {
    /// Want copies. Answered by [`Item::Wanted`](super::Item::Wanted), and by
    /// [`Item::Placed`](super::Item::Placed) where it is waited for them.
    Want {
        /// Of what.
        #[serde(with = "text")]
        cid: Cid,
        /// Which.
        copies: CopiesAsked,
        /// Until when.
        expiry: PinExpiry,
    },
    /// How it is with the copies of one content. Answered by [`Item::Status`](super::Item::Status).
    Status {
        /// Which.
        #[serde(with = "text")]
        cid: Cid,
    },
    /// Whether this node has what it should have of a content. Answered by
    /// [`Item::Local`](super::Item::Local).
    Local {
        /// Which.
        #[serde(with = "text")]
        cid: Cid,
    },
    /// How it stands on this node. Answered by [`Item::Swarm`](super::Item::Swarm).
    Summary,
    /// What an operator should look at. Answered by [`Item::Ailment`](super::Item::Ailment)s.
    Doctor,
    /// Slow down, pause or resume repairs. Answered by [`Item::Rate`](super::Item::Rate).
    Repair(RepairChange),
    /// Make this node needless, or let it stay. Answered by [`Item::Drained`](super::Item::Drained).
    Drain(DrainChange),
}

/// Which copies a command asks for; what it leaves out is as the settings have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesAsked {
    /// How many.
    pub replicas: Option<Replicas>,
    /// Where: for each key that is named, one of its values.
    pub wanted: Vec<PlaceTag>,
    /// Where not.
    pub avoid: Vec<PlaceTag>,
    /// Higher ones are repaired first.
    pub priority: Option<u8>,
    /// Whether to wait for them.
    pub wait: CopiesWait,
    /// For how long, where it waits.
    pub timeout: Duration,
}

impl CopiesAsked {
    /// Whether anything is asked for.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.replicas.is_some()
            || !self.wanted.is_empty()
            || !self.avoid.is_empty()
            || self.priority.is_some()
            || self.wait != CopiesWait::None
    }
}

/// Which copies a command waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopiesWait {
    /// None.
    #[default]
    None,
    /// More than half of those that are wanted, of each part.
    Quorum,
    /// All that are wanted.
    All,
}

impl CopiesWait {
    /// As users are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quorum => "quorum",
            Self::All => "all",
        }
    }
}

/// What becomes of repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairChange {
    /// Nothing changes.
    Show,
    /// Bytes per second at most; `None`: no limit.
    Rate(Option<u64>),
    /// None from now on.
    Pause,
    /// As fast as the settings say.
    Resume,
}

/// This node's key wants copies of a content, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Of what.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Which; `None`: none any more.
    pub copies: Option<WantedCopies>,
    /// Until when, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// What became of copies that a command waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Of what.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Whether there are those that were waited for.
    pub complete: bool,
    /// How far they are.
    #[serde(flatten)]
    pub copies: CopiesMade,
    /// Why some are missing, for people.
    pub reasons: Vec<String>,
}

/// How far the copies of one or more contents are. Parts are segments of at most 64 MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesMade {
    /// Parts.
    pub segments: usize,
    /// Those with as many copies as a quorum takes.
    pub at_quorum: usize,
    /// Those with as many as are wanted.
    pub at_target: usize,
    /// Bytes of copies that were made.
    pub bytes: u64,
    /// Bytes of all copies that are wanted.
    pub total: u64,
}

/// Whether this node has what it should have of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalCopy {
    /// Which.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Whether it has it all: what belongs here, or the whole.
    pub complete: bool,
    /// Whether the whole is here.
    pub whole: bool,
    /// Parts that belong here, or are held here.
    pub segments: usize,
    /// Those of them that are not whole here.
    pub missing: usize,
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ailment {
    /// What sort of thing: `no_node`, `read_only`, `disk`, `quota`, `sight`, `alone`, `last_copies`,
    /// `below_minimum`, `paused`, `hosts`, `nobody_accepted`, `doubted`, `draining`, `leaving`, `rot`, `scrub`, `clock`,
    /// `versions`, `metrics`.
    pub kind: String,
    /// Whether something is wrong; else it is only worth to be known.
    pub serious: bool,
    /// What, for people.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}
