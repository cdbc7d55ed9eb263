//! What the core is told and what it says: the messages of `store::wire::member` with records that have
//! been checked, and the actions.

use std::sync::Arc;

use store::wire::member::{Accusation, MemberId};
use store::wire::reconcile::{Question, Verdict};

use super::record::Verified;

/// Names a question of ours until its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u64);

/// Names a question of somebody else until our answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// A question.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Probe {
        version: u64,
        known: u64,
        suspected: bool,
    },
    Reach(MemberId),
    Compare(Vec<Question>),
    Fetch(Vec<MemberId>),
    Tell(Arc<Verified>),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Alive(Option<Arc<Verified>>),
    Reached(bool),
    Compared(Vec<Verdict>),
    Records(Vec<Known>),
}

/// What another knows of a member.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) record: Arc<Verified>,
    pub(crate) gone: bool,
}

/// An announcement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    pub(crate) records: Vec<Arc<Verified>>,
    pub(crate) accusations: Vec<Accusation>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Ask a connected member; say by the token what came of it.
    Ask {
        to: MemberId,
        token: Token,
        ask: Ask,
    },
    /// Answer what was asked.
    Answer { ticket: Ticket, answer: Answer },
    /// Connect to a member; say if it fails.
    Dial(MemberId),
    /// Close the connections to a member, if there are any.
    HangUp(MemberId),
    /// Announce to all; say if nobody could hear it.
    Publish(Claim),
    /// A member told where it is.
    Heard(Arc<Verified>),
}
