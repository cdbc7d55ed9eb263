//! What is known of the copies, for whoever asks.

use std::sync::Arc;

use store::Cid;
use store::dag::walk::missing;
use store::pin;
use store::segment::{Hold, Segment, SegmentId};
use tokio::sync::oneshot;

use super::Replicator;
use super::context::Context;
use super::cut::cut;
use super::notes::Note;
use crate::members::peer_of;
use crate::replication::handle::{Assigned, ReplicationError};
use crate::replication::placement::Member;
use crate::replication::policy::Policy;
use crate::replication::report::{CopyStatus, Doubted, RootStatus, SegmentStatus, Summary};

/// Doubted members that are named: of more an operator learns no more.
const DOUBTED_MAX: usize = 16;

/// What the disk says of a root, for who asked.
pub(super) struct Cut {
    looked: Looked,
    asker: Asker,
}

/// What the disk says of a root.
struct Looked {
    root: Cid,
    policy: Option<Arc<Policy>>,
    owners: Vec<libp2p::PeerId>,
    /// `None` where too little is here to cut it.
    segments: Option<Vec<Segment>>,
    /// Whether all blocks are here; looked at only for [`Asker::Assigned`].
    is_whole: bool,
}

/// Who asked.
enum Asker {
    Status(oneshot::Sender<Result<RootStatus, ReplicationError>>),
    Assigned(oneshot::Sender<Result<Assigned, ReplicationError>>),
}

impl Asker {
    fn fail(self, error: ReplicationError) {
        // Who no longer waits does not care.
        match self {
            Self::Status(reply) => drop(reply.send(Err(error))),
            Self::Assigned(reply) => drop(reply.send(Err(error))),
        }
    }
}

impl Replicator {
    pub(super) fn summary(&self) -> Summary {
        let (mending, rotten) = self.mending.sum();
        let doubted = self.auditor.doubted(self.now()).into_iter();
        let doubted = doubted.filter_map(|(member, trust, takes)| {
            let peer = self.peer(member)?;
            Some(Doubted { peer, trust, takes })
        });
        Summary {
            held: self.holdings.sum(),
            pins: self.policies.len(),
            deficits: self.planner.deficits(),
            offers: self.offers.len(),
            pulls: self.pulls.len(),
            pulled_lately: self.pulls.lately(self.now()),
            rate: self.rate,
            blind: self.is_blind,
            draining: !self.stays(self.me),
            read_only: self.read_only.clone(),
            mending,
            rotten,
            doubted: doubted.take(DOUBTED_MAX).collect(),
        }
    }

    pub(super) fn cut_for_status(
        &self,
        root: Cid,
        reply: oneshot::Sender<Result<RootStatus, ReplicationError>>,
    ) {
        self.cut_for(root, Asker::Status(reply));
    }

    pub(super) fn cut_for_assigned(
        &self,
        root: Cid,
        reply: oneshot::Sender<Result<Assigned, ReplicationError>>,
    ) {
        self.cut_for(root, Asker::Assigned(reply));
    }

    fn cut_for(&self, root: Cid, asker: Asker) {
        self.work(move |context| match Looked::at(context, root, &asker) {
            Ok(looked) => Some(Note::Cut(Cut { looked, asker })),
            Err(error) => {
                asker.fail(error);
                None
            }
        });
    }

    pub(super) fn on_cut(&mut self, cut: Cut) {
        let Cut { looked, asker } = cut;
        let Looked {
            root,
            policy,
            owners,
            segments,
            is_whole,
        } = looked;
        let known = segments.map(|all| all.into_iter().map(|it| (it.id, it.bytes)).collect());
        let known: Vec<(SegmentId, u64)> = known.unwrap_or_else(|| {
            let held = self.holdings.of_root(&root).into_iter();
            held.filter_map(|id| Some((id, self.holdings.get(&id)?.bytes)))
                .collect()
        });
        match asker {
            Asker::Status(reply) => {
                let status = |(id, bytes): &(SegmentId, u64)| self.status_of(*id, *bytes);
                let status = RootStatus {
                    root,
                    policy: policy.map(|policy| (*policy).clone()),
                    owners,
                    segments: known.iter().map(status).collect(),
                };
                let _ = reply.send(Ok(status));
            }
            Asker::Assigned(reply) => {
                let assigned = match policy {
                    Some(policy) => Ok(self.assigned(&known, &policy, is_whole)),
                    None => Err(ReplicationError::NotWanted(root)),
                };
                let _ = reply.send(assigned);
            }
        }
    }

    fn status_of(&self, segment: SegmentId, bytes: u64) -> SegmentStatus {
        let now = self.now();
        let here = self.holdings.get(&segment).is_some();
        let status = self.planner.status(&segment);
        let mine = here.then(|| self.copy(self.me, true));
        let others = status.iter().flat_map(|it| &it.copies);
        let others = others.filter_map(|(member, _, verified)| self.copy(*member, *verified));
        let copies = mine.flatten().into_iter().chain(others).collect();
        let need = status.as_ref().and_then(|it| it.need);
        let offered = self.offers.iter().filter(|(id, _)| *id == segment);
        SegmentStatus {
            segment,
            bytes,
            here,
            copies,
            need: need.map(|(level, due)| (level, due.saturating_sub(now))),
            offered: offered.filter_map(|(_, to)| self.peer(*to)).collect(),
            audited: self.audited.get(&segment).map(|at| now.saturating_sub(*at)),
        }
    }

    fn peer(&self, member: Member) -> Option<libp2p::PeerId> {
        self.numbers.id(member).as_ref().and_then(peer_of)
    }

    fn copy(&self, member: Member, verified: bool) -> Option<CopyStatus> {
        let peer = self.peer(member)?;
        let candidate = self.roster.candidate(member);
        let told = candidate.and_then(|it| it.tags.get("host").cloned());
        let local = member == self.me;
        let stays = self.stays(member);
        Some(CopyStatus {
            peer,
            host: told.unwrap_or_else(|| peer.to_string()),
            local,
            live: stays && (local || candidate.is_some()),
            leaving: !stays,
            verified,
        })
    }

    /// What belongs on this member, by the places that it computes, or is here.
    fn assigned(&self, known: &[(SegmentId, u64)], policy: &Policy, is_whole: bool) -> Assigned {
        let field = self.roster.under(policy);
        let mut assigned = Assigned {
            segments: 0,
            missing: 0,
            whole: is_whole,
        };
        for (id, _) in known {
            let is_here = self.holdings.get(id).is_some();
            let belongs = || field.place(id, &[self.me], &[]).contains(&self.me);
            if is_here || belongs() {
                assigned.segments += 1;
                assigned.missing += usize::from(!is_here);
            }
        }
        assigned
    }

    /// Where the copies of one of ours belong, for who has nobody else to ask.
    pub(super) fn right_places(
        &self,
        hold: &Hold,
        segment: &SegmentId,
    ) -> Vec<store::wire::member::MemberId> {
        let policy = hold.root().and_then(|root| self.policies.get(root));
        let policy = policy.map(|it| (**it).clone()).unwrap_or_default();
        let places = self.roster.under(&policy).place(segment, &[], &[]);
        let others = places.into_iter().filter(|member| *member != self.me);
        others
            .filter_map(|member| self.numbers.id(member))
            .collect()
    }
}

impl Looked {
    /// Blocks its caller.
    fn at(context: &Context, root: Cid, asker: &Asker) -> Result<Self, ReplicationError> {
        let repo = context.repo.upgrade().ok_or(ReplicationError::Ending)?;
        let now = pin::now();
        let owners = context.pins.owners(&root, now)?;
        let segments = cut(&**repo.blocks(), &root);
        let segments = segments.map_err(|error| ReplicationError::Record(error.to_string()))?;
        let is_asked = matches!(asker, Asker::Assigned(_));
        let is_whole = is_asked
            && missing(&**repo.blocks(), &root, 1)
                .map_err(|error| ReplicationError::Record(error.to_string()))?
                .is_empty();
        Ok(Self {
            root,
            policy: context.pins.policy(&root, now)?,
            owners: owners.iter().filter_map(peer_of).collect(),
            segments,
            is_whole,
        })
    }
}
