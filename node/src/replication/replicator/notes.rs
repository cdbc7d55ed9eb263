//! [`Note`]: how a task ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use store::Cid;
use store::blockstore::StoreError;
use store::segment::{Hold, Segment, SegmentId};
use store::wire::member::MemberId;
use store::wire::replica::{Checked, Offer, ReplicaResponse};
use tokio::sync::oneshot;

use super::offers::Offered;
use super::pull::PullError;
use super::report::Cut;
use super::{Replicator, crew};
use crate::network::ReplyChannel;
use crate::replication::audit;
use crate::replication::handle::ReplicationError;
use crate::replication::placement::Member;
use crate::replication::planner::{self, Declined, Event};
use crate::replication::policy::Policy;

/// Notes that wait to be taken; a task whose note finds no place waits.
pub(super) const WAITING: usize = 256;

/// The end of a task.
pub(super) enum Note {
    /// These holds were here when we began.
    Held(Vec<HeldHere>),
    /// All that was here when we began has been told.
    Loaded,
    /// How it is with these roots, now that what is wanted of them may have changed.
    Roots(Vec<RootHere>),
    /// What this node's owner wants of a root is on disk.
    Wished {
        root: RootHere,
        reply: oneshot::Sender<Result<(), ReplicationError>>,
    },
    /// What others want of this root is held here, so that its pin can go.
    Withdrawn {
        root: RootHere,
        was: bool,
        reply: oneshot::Sender<Result<bool, ReplicationError>>,
    },
    /// What is wanted of these roots has changed.
    Changed(Vec<Cid>),
    Offered {
        segment: SegmentId,
        to: Member,
        ended: Offered,
    },
    Checked {
        member: Member,
        asked: Vec<SegmentId>,
        answer: Vec<Checked>,
        /// Whether only those count that have it.
        only_yes: bool,
    },
    /// Of these segments another does not believe what we believe.
    Compared {
        member: Member,
        differ: BTreeSet<SegmentId>,
    },
    TrimAnswered {
        segment: SegmentId,
        by: Member,
        ask: u64,
        answer: planner::Answer,
    },
    Audited(audit::Event),
    /// Our own copies of these are not whole, as far as one has looked.
    Doubted(Vec<SegmentId>),
    /// Where rotten blocks are, each by the way to it from a root.
    Rotten(Vec<Vec<Cid>>),
    Weighed(Weighed),
    Pulled {
        segment: SegmentId,
        hold: Hold,
        result: Result<(), PullError>,
    },
    Scrubbed {
        segment: SegmentId,
        is_whole: bool,
    },
    /// The disk does not do what it should.
    Failed(StoreError),
    Cut(Cut),
}

/// A hold that is here.
pub(super) struct HeldHere {
    pub(super) segment: SegmentId,
    pub(super) hold: Hold,
    pub(super) bytes: u64,
}

/// How it is with a root.
pub(super) struct RootHere {
    pub(super) root: Cid,
    /// What is wanted of it.
    pub(super) policy: Option<Arc<Policy>>,
    /// Its segments, where it is pinned here.
    pub(super) pinned: Option<Vec<Segment>>,
    /// Whether these are held now instead.
    pub(super) is_held: bool,
}

/// What becomes of another's offer.
pub(super) struct Weighed {
    pub(super) from: MemberId,
    pub(super) offer: Offer,
    pub(super) reply: ReplyChannel<ReplicaResponse>,
    pub(super) weight: Weight,
}

/// What is found of it.
pub(super) struct Weight {
    pub(super) verdict: Verdict,
    /// What is wanted of its root, and of others that its pin records changed.
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) changed: Vec<Cid>,
}

/// Whether an offer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Take,
    NoRoom,
    Refuse,
}

impl Replicator {
    pub(super) fn on_note(&mut self, note: Note) {
        match note {
            Note::Held(holds) => self.on_held(holds),
            Note::Roots(roots) => roots.into_iter().for_each(|root| self.on_root(root)),
            Note::Wished { root, reply } => self.on_wished(root, reply),
            Note::Withdrawn { root, was, reply } => {
                self.on_root(root);
                // Who no longer waits does not care.
                let _ = reply.send(Ok(was));
            }
            Note::Changed(roots) => self.on_changed(roots),
            Note::Offered { segment, to, ended } => self.on_offered(segment, to, &ended),
            Note::Checked {
                member,
                asked,
                answer,
                only_yes,
            } => self.on_checked(member, &asked, answer, only_yes),
            Note::Compared { member, differ } => self.on_compared(member, &differ),
            Note::TrimAnswered {
                segment,
                by,
                ask,
                answer,
            } => self.plan(Event::TrimAnswered {
                segment,
                by,
                ask,
                answer,
            }),
            Note::Audited(event) => self.audit(event),
            Note::Doubted(segments) => segments.into_iter().for_each(|it| self.doubt(it)),
            Note::Rotten(chains) => self.on_rotten(chains),
            Note::Weighed(weighed) => self.on_weighed(weighed),
            Note::Pulled {
                segment,
                hold,
                result,
            } => self.on_pulled(segment, &hold, result),
            Note::Scrubbed { segment, is_whole } => self.on_scrubbed(segment, is_whole),
            Note::Loaded => self.is_loaded = true,
            Note::Failed(error) => self.on_failed(&error),
            Note::Cut(cut) => self.on_cut(cut),
        }
    }

    fn on_offered(&mut self, segment: SegmentId, member: Member, ended: &Offered) {
        self.offers.remove(&(segment, member));
        tracing::debug!(%segment, ?member, ?ended, "an offer has ended");
        let unshown = Offered::Failed("it has lied before, and is to show its copy first".into());
        let ended = match ended {
            Offered::Holds if !self.believes(segment, member) => &unshown,
            ended => ended,
        };
        let declined = |why| Event::Declined {
            segment,
            member,
            why,
        };
        self.plan(match ended {
            Offered::Holds => Event::Holds { segment, member },
            Offered::NoRoom | Offered::Refused => declined(Declined::NoRoom),
            Offered::Failed(_) | Offered::Unkept(_) => declined(Declined::Failed),
        });
        if let Some(what) = self.unkept(member, ended) {
            self.audit(audit::Event::Unkept { member, what });
        }
        self.placed(segment, member, ended);
    }

    /// What a member that is here and stays did not keep of what it says of itself.
    fn unkept(&self, member: Member, ended: &Offered) -> Option<audit::Unkept> {
        if !self.roster.has(member) || !self.stays(member) {
            return None;
        }
        match ended {
            Offered::Unkept(_) => Some(audit::Unkept::Word),
            Offered::NoRoom => {
                let id = self.numbers.id(member)?;
                let tells_of_room =
                    |it: &crate::members::Member| it.record.id == id && crew::has_plenty(it);
                let is_told = self.crew.iter().any(tells_of_room);
                is_told.then_some(audit::Unkept::Room)
            }
            Offered::Holds | Offered::Refused | Offered::Failed(_) => None,
        }
    }

    fn on_checked(
        &mut self,
        member: Member,
        asked: &[SegmentId],
        answer: Vec<Checked>,
        only_yes: bool,
    ) {
        if answer.len() != asked.len() {
            return;
        }
        for (segment, checked) in asked.iter().copied().zip(answer) {
            let Checked {
                has,
                is_pinned,
                holders,
            } = checked;
            if has {
                if self.believes_word(segment, member) {
                    self.plan(Event::Says {
                        segment,
                        member,
                        is_pinned,
                    });
                }
                let holders = self.numbers.of_all(&holders);
                self.plan(Event::Heard { segment, holders });
            } else if !only_yes {
                self.plan(Event::HoldsNot { segment, member });
            }
        }
    }

    /// The disk fails: what is here stays and is served as far as it can be read, and nothing new is taken.
    pub(super) fn on_failed(&mut self, error: &StoreError) {
        if !matches!(
            error,
            StoreError::Database { .. } | StoreError::Damaged { .. }
        ) {
            tracing::warn!(%error, "a copy could not be taken, or looked at");
        } else if self.read_only.is_none() {
            tracing::error!(%error, "the repo failed: no copies are taken from now on");
            self.read_only = Some(error.to_string());
        }
    }
}
