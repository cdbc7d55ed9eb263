//! What the scheduler hears and what it decides.

use std::time::Duration;

use store::Cid;
use store::wire::{Extent, Held};

/// Time since the session began. The scheduler has no clock of its own.
pub type Time = Duration;

/// Number of a request, never used twice in a session.
pub type RequestId = u64;

/// A block that has been verified and stored, and what hangs below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The block.
    pub cid: Cid,
    /// Its bytes.
    pub size: u32,
    /// Its children in the order of its links; none for a leaf.
    pub children: Vec<Child>,
}

/// A child as its parent's link and the answerer's bits tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child.
    pub cid: Cid,
    /// Whether it is known, or claimed by whoever answered, to have no links.
    pub leaf: bool,
    /// The size of its block in bytes where it is a leaf, as the link claims: an estimate.
    pub size: u32,
    /// Whether the block is on this machine.
    pub here: bool,
}

/// How one block that was asked for fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came, was right, and is stored.
    Stored(Stored),
    /// The peer does not have it.
    NotFound(Cid),
    /// The peer's answer was full.
    Cut(Cid),
}

/// A part of an answer, sorted out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To which request.
    pub request: RequestId,
    /// Its blocks: of a Get, one outcome for each of the next leaves asked for; those that a Manifest
    /// asked for and that are not here were not given.
    pub blocks: Vec<Outcome>,
    /// A Manifest's `more`.
    pub more: bool,
    /// What was wrong with it: bytes that are not what the CID names, blocks nobody asked for.
    pub lie: Option<String>,
    /// Whether it is the last part: the request is closed.
    pub over: bool,
}

/// What is known of a peer from earlier, for the order in which peers are asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The share of what was asked of it that came, and was right: 0 to 1.
    pub success: f32,
    /// Bytes per second that it gave lately; 0 where that is not known.
    pub rate: u64,
}

impl Default for Standing {
    /// Nothing is known: behind those that did well, before those that did not.
    fn default() -> Self {
        Self {
            success: 0.75,
            rate: 0,
        }
    }
}

/// What a peer holds below one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The node.
    pub node: Cid,
    /// What of its children.
    pub held: Held,
}

/// What has happened. Each request ends by exactly one of an [`Answer`] that is `over`, `Have`, `Busy`
/// and `Failed`.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// A peer that may have something.
    Appeared {
        /// Who.
        peer: P,
        /// What is known of it.
        standing: Standing,
    },
    /// A peer is no longer connected.
    Gone(P),
    /// The search that [`Action::FindPeers`] asked for is over.
    SearchEnded,
    /// [`Action::LookUp`] found the block.
    Found(Stored),
    /// [`Action::LookUp`] did not find it.
    Absent(Cid),
    /// A part's bytes are here, not yet verified.
    Received {
        /// Which request.
        request: RequestId,
        /// Bytes of blocks.
        bytes: u64,
        /// Whether it is the last part: the peer has done what it was asked.
        over: bool,
    },
    /// A part has been verified and what was good of it is stored. Parts come in their order, each
    /// after its [`Event::Received`].
    Answer(Answer),
    /// What a peer holds, in answer to [`Action::Have`]. Nodes of which it knows nothing new, or
    /// nothing at all, are left out.
    Have {
        /// Which request.
        request: RequestId,
        /// What it holds.
        pages: Vec<Page>,
    },
    /// The peer asks for patience.
    Busy {
        /// Which request.
        request: RequestId,
        /// For how long.
        retry: Duration,
    },
    /// No answer will come.
    Failed {
        /// Which request.
        request: RequestId,
        /// Why.
        failure: Failure,
    },
    /// The session's share of the budget that all sessions have together is now this.
    Limits {
        /// As in [`Limits`](super::Limits).
        total_bytes: u64,
        /// As in [`Limits`](super::Limits).
        peer_bytes: u64,
    },
    /// What readers wait for now, the most urgent first. Replaces what was said before.
    Wants(Vec<Cid>),
    /// Readers have taken blocks of so many bytes together that had come before they asked: the
    /// reading ahead may go on by as much.
    Taken {
        /// Bytes since the last such event.
        bytes: u64,
    },
    /// Time has passed.
    Tick,
}

/// Why no answer will come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer cannot be reached.
    Unreachable(String),
    /// The connection broke, or had no room for a further stream.
    Broken(String),
    /// Nothing came for as long as the network waits.
    TimedOut,
    /// It will not answer.
    Refused(String),
    /// It broke the protocol.
    Violation(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Look for providers of the root, then say [`Event::SearchEnded`].
    FindPeers,
    /// Read this block from this machine's store: [`Event::Found`] or [`Event::Absent`].
    LookUp(Cid),
    /// Ask a peer for inner nodes.
    Manifest {
        /// Number for the answer.
        request: RequestId,
        /// Whom.
        peer: P,
        /// Below which nodes.
        nodes: Vec<Cid>,
        /// How many bytes of blocks may come.
        max_bytes: u32,
    },
    /// Ask a peer for leaves.
    Get {
        /// Number for the answer.
        request: RequestId,
        /// Whom.
        peer: P,
        /// Which.
        extents: Vec<Extent>,
        /// The same by name, in the order in which they will be answered.
        leaves: Vec<Cid>,
        /// How many bytes of blocks may come.
        max_bytes: u32,
        /// Whether a reader waits for some of them.
        urgent: bool,
    },
    /// Ask a peer which children of these nodes it holds: [`Event::Have`], or [`Event::Failed`].
    Have {
        /// Number for the answer.
        request: RequestId,
        /// Whom.
        peer: P,
        /// Which nodes, at most [`HAVE_NODES`](super::HAVE_NODES).
        nodes: Vec<Cid>,
    },
    /// Ask a peer whom else it knows to hold the root. There is no answer but further
    /// [`Event::Appeared`].
    AskPeers {
        /// Whom.
        peer: P,
    },
    /// The leaves of a Get from this one on, counted from 0, are not wanted any more. The request
    /// goes on until its answer is over; what was cancelled may come all the same.
    Cancel {
        /// Which request.
        request: RequestId,
        /// The first leaf that is not wanted.
        from: u32,
    },
    /// Have nothing more to do with this peer in this session: ignore what still comes from it.
    Drop {
        /// Whom.
        peer: P,
        /// Why.
        reason: Reason,
    },
    /// Everything is here. The last action but for `WaitUntil`.
    Finished,
    /// The session is over without success. The last action but for `WaitUntil`.
    Fail(Defeat),
    /// Nothing will change before this time unless something happens: always the last action.
    WaitUntil(Time),
}

/// Why a peer is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It gave what it was not asked for, or bytes that are not what they were said to be.
    #[error("it gave wrong data: {0}")]
    Lied(String),
    /// It broke the protocol.
    #[error("it broke the protocol: {0}")]
    Violation(String),
    /// It did not answer in time.
    #[error("it did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It cannot be reached, or breaks off again and again.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It will not answer.
    #[error("it refuses to answer: {0}")]
    Refused(String),
}

impl Reason {
    /// Whether the peer misbehaved, so that it is out for the whole session.
    #[must_use]
    pub const fn is_hostile(&self) -> bool {
        matches!(self, Self::Lied(_) | Self::Violation(_) | Self::Refused(_))
    }
}

/// Why a session ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defeat {
    /// Nobody who was asked has the block.
    NotFound {
        /// Which.
        cid: Cid,
        /// Where it was looked for, for people.
        tried: String,
    },
    /// Nothing came for as long as was allowed.
    Stalled {
        /// How long nothing came.
        waited: Duration,
        /// What was waited for, for people.
        state: String,
    },
    /// Its inner nodes alone do not fit in the memory that a session may take.
    TooWide {
        /// Where.
        cid: Cid,
    },
}
