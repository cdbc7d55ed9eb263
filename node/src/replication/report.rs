//! What is known of copies, for people and scripts.

use std::time::Duration;

use libp2p::PeerId;
use store::Cid;
use store::segment::SegmentId;

use super::planner::{Level, Obstacle};
use super::policy::Policy;

/// What is known of the copies of one root, by one member.
#[derive(Clone, Debug, PartialEq)]
pub struct RootStatus {
    /// Of what.
    pub root: Cid,
    /// What is wanted; `None` where nobody wants copies of it.
    pub policy: Option<Policy>,
    /// Who wants it.
    pub owners: Vec<PeerId>,
    /// Its segments in their order; empty where the member has not enough of the content to cut it.
    pub segments: Vec<SegmentStatus>,
}

/// What is known of the copies of one segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentStatus {
    /// Which.
    pub segment: SegmentId,
    /// What a copy takes.
    pub bytes: u64,
    /// Whether this member has it.
    pub here: bool,
    /// Who has it, or is said to; this member among them.
    pub copies: Vec<CopyStatus>,
    /// How urgent its repair is, and in how long it is due; `None` where nothing is missing, or this member has
    /// it not.
    pub need: Option<(Level, Duration)>,
    /// Who is fetching it.
    pub offered: Vec<PeerId>,
    /// How long ago another's copy last passed an audit by this member.
    pub audited: Option<Duration>,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as programs read it"
)]
pub struct CopyStatus {
    /// Who has it.
    pub peer: PeerId,
    /// The machine that it is on.
    pub host: String,
    /// Whether it is this member.
    pub local: bool,
    /// Whether it is here and stays.
    pub live: bool,
    /// Whether it is here and about to leave.
    pub leaving: bool,
    /// Whether it has shown its copy since it was last away.
    pub verified: bool,
}

/// How replication stands on one member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Segments that it has, and their bytes.
    pub held: (usize, u64),
    /// Roots that somebody wants copies of.
    pub pins: usize,
    /// Segments and bytes that lack copies, by [`Level`].
    pub deficits: [(usize, u64); 4],
    /// Copies that others are fetching because it offered them.
    pub offers: usize,
    /// Copies that it is fetching.
    pub pulls: usize,
    /// Bytes of copies that it fetched in the last minute.
    pub pulled_lately: u64,
    /// Bytes a second that it offers at most; 0 while it is paused.
    pub rate: u64,
    /// Whether so much is out of sight that only last copies are repaired.
    pub blind: bool,
    /// Whether it is about to leave, so that its copies do not count.
    pub draining: bool,
    /// Whether it takes nothing new: too full, or its disk failed.
    pub read_only: Option<String>,
    /// Own copies that are not whole, and are being fetched again.
    pub mending: usize,
    /// Own copies that were found not to be whole since the node began.
    pub rotten: u64,
    /// Members that are trusted less than others, those least first: 16 at most.
    pub doubted: Vec<Doubted>,
}

/// A member that did not keep what it said, in this member's own eyes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubted {
    /// Who.
    pub peer: PeerId,
    /// How far it is trusted, from 1 towards 0; its capacity counts for so much where copies are placed.
    pub trust: f64,
    /// Whether it gets anything new.
    pub takes: bool,
}

/// How far a member is that is about to leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    /// Whether it is about to leave at all.
    pub is_leaving: bool,
    /// Wanted segments that it has, and their bytes.
    pub held: (usize, u64),
    /// Those of them of which there are too few copies elsewhere, and the bytes of the missing ones.
    pub needed: (usize, u64),
    /// Those of them for which nothing can be done now.
    pub stuck: usize,
    /// The contents that they are of, the first 64.
    pub contents: Vec<StuckContent>,
    /// Segments whose copies elsewhere have not been confirmed yet.
    pub unconfirmed: usize,
    /// Nothing more is to be waited for.
    pub is_over: bool,
    /// So much is out of sight that it waits.
    pub blind: bool,
}

/// A content of which there are too few copies without this member, and no places for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StuckContent {
    /// Which.
    pub root: Cid,
    /// Segments of it that are concerned.
    pub segments: usize,
    /// Copies elsewhere, of the one that has fewest.
    pub copies: usize,
    /// Copies that are wanted.
    pub wanted: usize,
    /// Why there are no more.
    pub why: Obstacle,
}

/// How far the copies of a root are that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Placed {
    /// Segments.
    pub segments: usize,
    /// Those of which there are as many copies on distinct hosts as a quorum takes.
    pub at_quorum: usize,
    /// Those of which there are as many as are wanted.
    pub at_target: usize,
    /// Bytes of copies made, and of those that are wanted in all.
    pub bytes: (u64, u64),
    /// Why some are missing, if anything is known: at most eight lines for people.
    pub reasons: Vec<String>,
    /// Whether nothing more is tried now: the repair loop goes on.
    pub over: bool,
}
