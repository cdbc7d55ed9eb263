//! What the auditor is told, what it answers, and the settings that it goes by.

use std::time::Duration;

use store::audit::{Nonce, Verdict};
use store::segment::SegmentId;

use super::super::placement::Member;

/// Our own clock: time since some moment that does not change while the program runs.
pub type Time = Duration;

/// How much is asked, and what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Each segment comes up once in this time.
    pub interval: Duration,
    /// Leaves of a usual challenge: it costs both sides the reading of so many.
    pub leaves: usize,
    /// One of so many challenges is about [`LEAVES_MAX`](store::audit::LEAVES_MAX): only these tell who
    /// fetches what he is asked for.
    pub full_every: u32,
    /// Challenges under way at once; one to each member.
    pub in_flight: usize,
    /// An answer that takes longer, and two round trips, is late: enough for a disk of 40 MB/s that seeks
    /// for each leaf.
    pub deadline: Duration,
    /// After this time there is no answer.
    pub patience: Duration,
    /// A member that was silent is left alone for so long, and four times as long after the second time.
    pub rest: Duration,
    /// So long a member gets nothing new after [`WRONGS`] wrong answers, or offers refused for want of room that it tells
    /// of, in as long a time.
    pub refusal: Duration,
    /// What a member does not keep is held against it once in this time: it may be that it has just become full, and
    /// nobody has heard of it yet.
    pub pause: Duration,
    /// So long after a wrong answer a member's word is not taken for a copy: it is to show it.
    pub doubt: Duration,
    /// In this time half of what weighs against a member is forgotten.
    pub half_life: Duration,
}

/// Lies that are too many.
pub const WRONGS: usize = 3;

/// Challenges without an answer after which a member counts as offline.
pub const SILENCES: u8 = 3;

/// A challenge that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChallengeId(pub(super) u64);

/// What the auditor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// An answer came, and was compared.
    Answered {
        /// To which challenge.
        id: ChallengeId,
        /// From the question's last byte to the answer's.
        took: Duration,
        /// The member's usual round trip, measured before.
        round_trip: Duration,
        /// What it is worth.
        verdict: Verdict,
    },
    /// No answer came within [`Settings::patience`], or the member could not be reached.
    Silent {
        /// To which challenge.
        id: ChallengeId,
    },
    /// A member is to show these soon.
    Prove {
        /// Who.
        holder: Member,
        /// What.
        segments: Vec<SegmentId>,
    },
    /// A member did not keep what it says of itself.
    Unkept {
        /// Who.
        member: Member,
        /// What.
        what: Unkept,
    },
    /// It could not be asked, by no fault of the member: our own copy is gone, say.
    Dropped {
        /// Which.
        id: ChallengeId,
    },
}

/// What a member does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// It refused an offer for want of room, and tells of much room.
    Room,
    /// It accepted an offer, and did not get it, or said nothing more.
    Word,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Challenge this member, and say what became of it.
    Ask {
        /// Whose end is to be told.
        id: ChallengeId,
        /// About what.
        segment: SegmentId,
        /// Whom.
        holder: Member,
        /// What determines the leaves.
        nonce: Nonce,
        /// How many, or all.
        leaves: usize,
    },
    /// A challenge has ended so.
    Found {
        /// About what.
        segment: SegmentId,
        /// Of whom.
        holder: Member,
        /// How many leaves were asked for, at most.
        leaves: usize,
        /// How.
        outcome: Outcome,
    },
    /// Tell this member that these leaves of his are wrong: he should look at his disk.
    Tell {
        /// Whom.
        holder: Member,
        /// Of which segment.
        segment: SegmentId,
        /// Numbers within the segment.
        leaves: Vec<u64>,
    },
    /// This member was believed, and has lied: [`Event::Prove`] with what else it is said to have is to follow.
    Suspect {
        /// Who.
        holder: Member,
    },
    /// Our own copy is not whole.
    Scrub {
        /// Of what.
        segment: SegmentId,
    },
    /// This member did not answer [`SILENCES`] times in a row.
    Offline {
        /// Who.
        holder: Member,
    },
}

/// How a challenge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// In time, and right.
    Right,
    /// Right, but late: the bytes are somewhere.
    Late,
    /// It says that it has some of it not.
    Missing,
    /// It says that it has what it has not.
    Wrong,
    /// Nothing came, [`SILENCES`] times.
    Silent,
}

impl Outcome {
    /// Whether the copy counts from now on; `None` where nothing has been learnt about it.
    #[must_use]
    pub const fn counts(self) -> Option<bool> {
        match self {
            Self::Right => Some(true),
            Self::Missing | Self::Wrong => Some(false),
            Self::Late | Self::Silent => None,
        }
    }
}

/// What is held here, and who else holds it.
pub trait Holdings {
    /// Segments that are held here. They have the numbers below this, which may change when one goes.
    fn count(&self) -> usize;
    /// One of them.
    fn segment(&self, number: usize) -> Option<SegmentId>;
    /// The other members that hold it, as far as is known, and are not gone.
    fn others(&self, segment: &SegmentId) -> Vec<Member>;
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            interval: DAY,
            leaves: 8,
            full_every: 8,
            in_flight: 4,
            deadline: Duration::from_millis(1500),
            patience: Duration::from_secs(15),
            rest: Duration::from_secs(60),
            refusal: DAY,
            pause: Duration::from_secs(10 * 60),
            doubt: 7 * DAY,
            half_life: DAY,
        }
    }
}

impl Settings {
    /// All waits divided by `scale`, but those that disks and networks take.
    #[must_use]
    pub fn scaled(self, scale: u32) -> Self {
        let scale = scale.max(1);
        Self {
            interval: self.interval / scale,
            rest: self.rest / scale,
            refusal: self.refusal / scale,
            pause: self.pause / scale,
            doubt: self.doubt / scale,
            half_life: self.half_life / scale,
            ..self
        }
    }
}
