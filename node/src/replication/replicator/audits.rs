//! Audits: what the auditor wants done.

use std::time::{Duration, Instant};

use rand::seq::IteratorRandom as _;
use store::audit::{Challenge, Nonce, SegmentLeaves};
use store::blockstore::Blockstore;
use store::segment::{Hold, SegmentId};
use store::wire::replica::{ReplicaRequest, ReplicaResponse};

use super::Replicator;
use super::holdings::Holdings;
use super::notes::Note;
use crate::members::peer_of;
use crate::replication::audit::{self, Action, ChallengeId, Event};
use crate::replication::placement::{Member, Roster};
use crate::replication::planner::{self, Planner};

/// Copies that who has lied is to show at once, drawn by lot: both sides read 4 GiB for so many.
const PROOFS: usize = 512;

/// What the auditor sees.
struct View<'a> {
    holdings: &'a Holdings,
    planner: &'a Planner,
    roster: &'a Roster,
}

impl audit::Holdings for View<'_> {
    fn count(&self) -> usize {
        self.holdings.sum().0
    }

    fn segment(&self, number: usize) -> Option<SegmentId> {
        self.holdings.numbered(number)
    }

    fn others(&self, segment: &SegmentId) -> Vec<Member> {
        let holders = self.planner.holders(segment);
        holders.filter(|member| self.roster.has(*member)).collect()
    }
}

impl Replicator {
    /// Tells the auditor what happened, and does what it wants.
    pub(super) fn audit(&mut self, event: Event) {
        let view = View {
            holdings: &self.holdings,
            planner: &self.planner,
            roster: &self.roster,
        };
        let now = self.began.elapsed();
        for action in self.auditor.step(now, event, &view) {
            match action {
                Action::Ask {
                    id,
                    segment,
                    holder,
                    nonce,
                    leaves,
                } => self.challenge(id, (segment, holder), nonce, leaves),
                Action::Found {
                    segment,
                    holder,
                    leaves,
                    outcome,
                } => {
                    let peer = self.numbers.id(holder).as_ref().and_then(peer_of);
                    tracing::debug!(%segment, ?peer, leaves, ?outcome, "audited");
                    self.on_audited(now, segment, holder, outcome);
                }
                Action::Tell {
                    holder,
                    segment,
                    leaves,
                } => self.tell(holder, ReplicaRequest::Wrong { segment, leaves }),
                Action::Suspect { holder } => {
                    let all = self.planner.common(holder).into_iter();
                    let segments = all.choose_multiple(&mut rand::rng(), PROOFS);
                    self.audit(Event::Prove { holder, segments });
                }
                Action::Scrub { segment } => self.doubt(segment),
                // The membership knows better whether it is here.
                Action::Offline { holder } => {
                    tracing::debug!(?holder, "a member answers no challenges");
                }
            }
        }
    }

    /// Whether a member's word that it has this is to be taken. Who has lied is to show it; then it counts.
    pub(super) fn believes(&mut self, segment: SegmentId, holder: Member) -> bool {
        if self.auditor.believes(holder, self.now()) {
            return true;
        }
        let (segments, holders) = (vec![segment], vec![holder]);
        self.plan(planner::Event::Heard { segment, holders });
        self.audit(Event::Prove { holder, segments });
        false
    }

    /// The same for its mere word. Of what it has failed to show within a day it is not asked again for it.
    pub(super) fn believes_word(&mut self, segment: SegmentId, holder: Member) -> bool {
        let has_failed = self.planner.distrusts(self.now(), &segment, holder);
        // The planner passes it over.
        has_failed || self.believes(segment, holder)
    }

    fn on_audited(
        &mut self,
        now: Duration,
        segment: SegmentId,
        member: Member,
        outcome: audit::Outcome,
    ) {
        match outcome {
            audit::Outcome::Right => {
                self.audited.insert(segment, now);
                self.plan(planner::Event::Holds { segment, member });
            }
            audit::Outcome::Missing => self.plan(planner::Event::HoldsNot { segment, member }),
            audit::Outcome::Wrong => {
                let holder = self.numbers.id(member);
                tracing::warn!(%segment, ?holder, "a member says that it has what it has not");
                self.plan(planner::Event::Broke { segment, member });
            }
            audit::Outcome::Late | audit::Outcome::Silent => {}
        }
    }

    fn challenge(&self, id: ChallengeId, about: (SegmentId, Member), nonce: Nonce, leaves: usize) {
        let (segment, holder) = about;
        let peer = self.numbers.id(holder).as_ref().and_then(peer_of);
        let hold = self.holdings.get(&segment).map(|held| held.hold().clone());
        let known = self.crew.iter().find(|it| it.peer() == peer);
        let round_trip = known.and_then(|it| it.rtt).unwrap_or_default();
        let notes = self.notes.clone();
        self.task(|context| async move {
            let dropped = Some(Note::Audited(Event::Dropped { id }));
            let (Some(peer), Some(hold)) = (peer, hold) else {
                return dropped;
            };
            let made =
                context.with_blocks(move |blocks| draw(blocks, segment, hold, nonce, leaves));
            let Some((challenge, own)) = made.await.flatten() else {
                let _ = notes.send(Note::Doubted(vec![segment])).await;
                return dropped;
            };
            if own.leaves.iter().any(Option::is_none) {
                let _ = notes.send(Note::Doubted(vec![segment])).await;
            }
            let asked = Instant::now();
            let request = ReplicaRequest::Challenge(challenge.clone());
            let answer = context.network.ask_replica(peer, request).await;
            let took = asked.elapsed();
            Some(Note::Audited(match answer {
                Ok(ReplicaResponse::Answer(theirs)) => {
                    let nothing = || store::audit::Answer {
                        leaves: vec![None; challenge.leaves.len()],
                    };
                    let theirs = theirs.unwrap_or_else(nothing);
                    Event::Answered {
                        id,
                        took,
                        round_trip,
                        verdict: challenge.judge(&own, &theirs),
                    }
                }
                Ok(ReplicaResponse::Busy) => Event::Dropped { id },
                Ok(_) | Err(_) => Event::Silent { id },
            }))
        });
    }
}

/// A challenge about so many leaves of a segment that is here, and our own answer; `None` where ours is not
/// whole enough to draw one.
pub(super) fn draw(
    blocks: &dyn Blockstore,
    segment: SegmentId,
    hold: Hold,
    nonce: Nonce,
    leaves: usize,
) -> Option<(Challenge, store::audit::Answer)> {
    let total = SegmentLeaves::open(blocks, &segment, &hold).ok()??.total();
    let challenge = Challenge::draw(segment, hold, nonce, total, leaves);
    let own = challenge.answer(blocks).ok()?;
    Some((challenge, own))
}
