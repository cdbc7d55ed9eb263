//! What a [`Planner`](super::Planner) is told, and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use store::segment::SegmentId;

use super::super::placement::{Member, Roster};
use super::super::policy::Policy;

/// Time since the node began, by its own clock. The planner has none.
pub type Time = Duration;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Who is here changed. `returned` were away and may have lost what they had.
    Roster {
        roster: Arc<Roster>,
        returned: Vec<Member>,
    },
    /// How much of the swarm is in sight.
    Sight(Sight),
    /// This member has a segment, durably; or what is wanted of one that it has changed. `holders` are
    /// others that are said to have it: they count once they have said so themselves.
    Have {
        segment: SegmentId,
        bytes: u64,
        policy: Arc<Policy>,
        holders: Vec<Member>,
    },
    /// This member has it no more: rotten, or its disk failed.
    Lost { segment: SegmentId },
    /// Nobody wants it kept any more.
    Unwanted { segment: SegmentId },
    /// A member said under its signature that it has a segment durably, or passed an audit of it.
    Holds { segment: SegmentId, member: Member },
    /// A member said that it has it not, or failed an audit of it.
    HoldsNot { segment: SegmentId, member: Member },
    /// A member does not take a segment that was offered to it.
    Declined {
        segment: SegmentId,
        member: Member,
        why: Declined,
    },
    /// Another member is about to repair a segment, for so long at most.
    Lease { segment: SegmentId, lasts: Duration },
    /// Another member wants to trim its copy, and asks for leave.
    TrimAsked { segment: SegmentId, by: Member },
    /// A holder has shown that it has the segment, and will keep it while we trim ours.
    TrimGranted { segment: SegmentId, by: Member },
    /// A holder wants ours kept.
    TrimRefused { segment: SegmentId, by: Member },
    /// This member is too full to keep more than it must.
    Full(bool),
    /// An operator slows it down, or stops it (0). In bytes per second.
    Rate(u64),
    /// Time has passed.
    Tick,
}

/// Why a member does not take a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It has no room for it, or stores nothing for this owner.
    NoRoom,
    /// It could not be reached, or could not get it.
    Failed,
}

/// How much of the swarm is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Members that are usually here.
    pub usual: usize,
    /// Those that are here.
    pub here: usize,
    /// Those that have vanished without a goodbye within ten minutes.
    pub vanished: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have a member fetch a segment from those that have it. To be followed by [`Event::Holds`] or
    /// [`Event::Declined`].
    Offer {
        segment: SegmentId,
        to: Member,
        /// Whether it is a repair: ahead of what only improves places.
        level: Level,
    },
    /// Tell the other holders that this member repairs it.
    Lease { segment: SegmentId, lasts: Duration },
    /// Ask a holder for leave to trim our copy; it is to show that it has its own.
    AskToTrim { segment: SegmentId, of: Member },
    /// Answer who wants to trim its copy: show ours, or refuse.
    AnswerTrim {
        segment: SegmentId,
        to: Member,
        granted: bool,
    },
    /// Give up our own copy, and tell the other holders.
    Trim { segment: SegmentId },
    /// Find out whether a member that was away still has a segment.
    Check { segment: SegmentId, member: Member },
}

/// How urgent it is, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Ours is the only copy that is in sight.
    Last,
    /// As few as may be.
    Minimum,
    /// Fewer than wanted.
    Below,
    /// Enough, but not where they belong.
    Place,
}

/// How long it waits, and how much it does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Waits before a repair, by [`Level`]: most members come back by themselves.
    pub waits: [Duration; 4],
    /// Each rank among the holders waits so much longer than the one before.
    pub rank: Duration,
    /// And by chance up to so much.
    pub jitter: Duration,
    /// How long an offer may take before its segment is repaired by somebody else.
    pub lease: Duration,
    /// After a failure a segment is left alone for so long, twice as long after each further one…
    pub backoff: Duration,
    /// …up to this.
    pub backoff_max: Duration,
    /// Surplus copies stay so long.
    pub surplus: Duration,
    /// A granted trim may be done so long; who granted it keeps its own for twice as long.
    pub grant: Duration,
    /// Bytes a second that are offered at most.
    pub rate: u64,
    /// Segments that are offered at once.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            // Ceph's ten minutes, Storj's hours, and what a restart takes.
            waits: [minutes(2), minutes(10), minutes(60), minutes(60)],
            rank: minutes(1),
            jitter: Duration::from_secs(30),
            lease: minutes(5),
            backoff: minutes(1),
            backoff_max: minutes(64),
            surplus: minutes(30),
            grant: minutes(5),
            rate: 32 << 20,
            at_once: 4,
        }
    }
}

impl Settings {
    /// With every wait divided by `scale`, for tests.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        let divide = |wait: &mut Duration| *wait = wait.div_f64(scale);
        self.waits.iter_mut().for_each(divide);
        for wait in [
            &mut self.rank,
            &mut self.jitter,
            &mut self.lease,
            &mut self.backoff,
            &mut self.backoff_max,
            &mut self.surplus,
            &mut self.grant,
        ] {
            divide(wait);
        }
        self
    }
}
