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
    /// Who is here changed.
    Roster {
        /// All that are here, ourselves among them.
        roster: Arc<Roster>,
        /// Those that began anew while they were here: they may have lost what they had. Who was not in
        /// the last roster need not be named.
        returned: Vec<Member>,
    },
    /// How much of the swarm is in sight.
    Sight(Sight),
    /// This member has a segment, durably; or what is wanted of one that it has changed.
    Have {
        /// Which.
        segment: SegmentId,
        /// What a copy costs.
        bytes: u64,
        /// What is wanted of it.
        policy: Arc<Policy>,
        /// Others that are said to have it: they count once they have said so themselves.
        holders: Vec<Member>,
        /// Whether this member keeps it in any case: it is never given up while that is so.
        is_pinned: bool,
    },
    /// Another holder's list of holders. It adds to ours; each counts once it has said so itself.
    Heard {
        /// Of which segment.
        segment: SegmentId,
        /// Its list ([`Planner::holders`](super::Planner::holders)) and itself.
        holders: Vec<Member>,
    },
    /// This member has it no more: rotten, or its disk failed.
    Lost {
        /// Which.
        segment: SegmentId,
    },
    /// Nobody wants it kept any more.
    Unwanted {
        /// Which.
        segment: SegmentId,
    },
    /// A member said under its signature that it has a segment durably, or passed an audit of it.
    Holds {
        /// Which.
        segment: SegmentId,
        /// Who.
        member: Member,
    },
    /// A member said itself that it has it not.
    HoldsNot {
        /// Which.
        segment: SegmentId,
        /// Who.
        member: Member,
    },
    /// A member said that it has a segment. Nothing shows it: who has failed an audit of it is not believed for
    /// [`Settings::distrust`].
    Says {
        /// Which.
        segment: SegmentId,
        /// Who.
        member: Member,
        /// Whether it keeps it in any case: a copy that its own owner has pinned needs no other in its stead.
        is_pinned: bool,
    },
    /// A member said that it has it, and failed an audit of it.
    Broke {
        /// Which.
        segment: SegmentId,
        /// Who.
        member: Member,
    },
    /// An offer came to nothing. Without such an offer under way it means nothing.
    Declined {
        /// Of what.
        segment: SegmentId,
        /// Who was to have it.
        member: Member,
        /// What became of it.
        why: Declined,
    },
    /// Another holder is about to repair a segment.
    Lease {
        /// Which.
        segment: SegmentId,
        /// For so long at most.
        lasts: Duration,
    },
    /// Another holder wants to trim its copy, and asks for leave.
    TrimAsked {
        /// Of what.
        segment: SegmentId,
        /// Who asks.
        by: Member,
        /// The number of its question.
        ask: u64,
    },
    /// What a holder says to our trimming. [`Answer::Keeps`] is to be passed on only if it has shown its copy.
    TrimAnswered {
        /// Of what.
        segment: SegmentId,
        /// Who answers.
        by: Member,
        /// Which question: that of [`Action::AskToTrim`].
        ask: u64,
        /// What.
        answer: Answer,
    },
    /// This member is too full to keep more than it must.
    Full(bool),
    /// How far this member's drain is will be asked ([`Planner::drain`](super::Planner::drain)): once enough copies are
    /// elsewhere, their holders are to confirm them.
    Drain {
        /// Also those that have confirmed theirs before.
        anew: bool,
    },
    /// An operator slows it down, or stops it (0). In bytes per second.
    Rate(u64),
    /// Time has passed.
    Tick,
}

/// What a holder says to the trimming of another's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has its own copy, and keeps it for twice [`Settings::grant`] in any case.
    Keeps,
    /// It may want to give up its own.
    Refuses,
    /// It has none.
    HasNot,
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
    /// Have a member fetch a segment from those that have it. [`Event::Holds`] or [`Event::Declined`] is to
    /// follow; if neither does, the planner takes it for failed after [`Settings::offer`].
    Offer {
        /// Which.
        segment: SegmentId,
        /// Who.
        to: Member,
        /// How urgent: what only improves places goes behind everything else.
        level: Level,
    },
    /// Tell the other holders that this member repairs it.
    Lease {
        /// Which.
        segment: SegmentId,
        /// They leave it alone for so long.
        lasts: Duration,
    },
    /// Ask a holder for leave to trim our copy. It is to show that it has its own.
    AskToTrim {
        /// Of what.
        segment: SegmentId,
        /// Whom.
        of: Member,
        /// The number of the question.
        ask: u64,
    },
    /// Answer who wants to trim its copy; with [`Answer::Keeps`], show ours.
    AnswerTrim {
        /// Of what.
        segment: SegmentId,
        /// Whom.
        to: Member,
        /// The number of its question.
        ask: u64,
        /// What.
        answer: Answer,
    },
    /// Give up our own copy: there are enough without it.
    Trim {
        /// Which.
        segment: SegmentId,
    },
    /// Give up our own copy: nobody wants it kept.
    Release {
        /// Which.
        segment: SegmentId,
    },
    /// Tell other holders that we have it no more.
    Retract {
        /// Which.
        segment: SegmentId,
        /// Whom.
        to: Vec<Member>,
    },
    /// Tell a member that we have a segment and whether it is pinned here, and ask the same. Both exchange their
    /// lists of holders ([`Event::Heard`]). If there is no answer it is asked again.
    Check {
        /// Which.
        segment: SegmentId,
        /// Whom.
        member: Member,
    },
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
    /// How long others leave a segment alone that somebody repairs, unless they hear of it again.
    pub lease: Duration,
    /// An offer of which nothing was heard for so long has failed. At 300 kbit/s the largest segment takes this long.
    pub offer: Duration,
    /// Who said that it has a segment and failed an audit of it is not offered it again for so long, and not
    /// believed without a proof.
    pub distrust: Duration,
    /// Who is here and has not shown its copy is given so long before the copy is replaced, and is asked
    /// again after it; then after twice as long each time.
    pub answer: Duration,
    /// After a failure a segment is left alone for so long, twice as long after each further one…
    pub backoff: Duration,
    /// …up to this.
    pub backoff_max: Duration,
    /// Surplus copies stay so long, and no shorter than twice `grant`: who begins anew has forgotten what it
    /// promised, and must not act before that is over.
    pub surplus: Duration,
    /// Whose turn it is not yet waits so much longer for each before it: they may not see what we see.
    pub turn: Duration,
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
            offer: minutes(30),
            distrust: minutes(24 * 60),
            answer: Duration::from_secs(30),
            backoff: minutes(1),
            backoff_max: minutes(64),
            // Copies above the most are gone within the hour, also where two go, and those who see were blind before.
            surplus: minutes(20),
            turn: minutes(5),
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
            &mut self.offer,
            &mut self.distrust,
            &mut self.answer,
            &mut self.backoff,
            &mut self.backoff_max,
            &mut self.surplus,
            &mut self.turn,
            &mut self.grant,
        ] {
            divide(wait);
        }
        self
    }
}
