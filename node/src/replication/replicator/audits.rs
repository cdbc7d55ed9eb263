//! Audits: what the auditor wants done, and copies of our own that are not whole.

use std::time::{Duration, Instant};

use store::audit::{Challenge, Nonce, SegmentLeaves};
use store::dag::source::Local;
use store::segment::SegmentId;
use store::wire::replica::{Offer, ReplicaRequest, ReplicaResponse};

use super::Replicator;
use super::holdings::{Held, Holdings};
use super::notes::Note;
use super::pull;
use crate::members::peer_of;
use crate::replication::audit::{self, Action, ChallengeId, Event};
use crate::replication::placement::{Member, Roster};
use crate::replication::planner::{self, Planner};

/// Own copies that are being mended at most; of others the audits tell again.
const BROKEN_MAX: usize = 64;

/// Between two tries to fetch one of them.
const AGAIN: Duration = Duration::from_secs(5 * 60);

/// A copy of ours that is not whole.
pub(super) struct Broken {
    pub(super) held: Held,
    /// When it is to be fetched again, if it does not come before.
    again: Duration,
}

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
                    outcome,
                } => self.on_audited(now, segment, holder, outcome),
                Action::Tell {
                    holder,
                    segment,
                    leaves,
                } => self.tell(holder, ReplicaRequest::Wrong { segment, leaves }),
                Action::Scrub { segment } => self.scrub(segment),
                // The membership knows better whether it is here.
                Action::Offline { holder } => {
                    tracing::debug!(?holder, "a member answers no challenges");
                }
            }
        }
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
            let made = context.with_blocks(move |blocks| {
                let total = SegmentLeaves::open(blocks, &segment, &hold).ok()??.total();
                let challenge = Challenge::draw(segment, hold, nonce, total, leaves);
                let own = challenge.answer(blocks).ok()?;
                Some((challenge, own))
            });
            let Some((challenge, own)) = made.await.flatten() else {
                let _ = notes.send(Note::Doubted(segment)).await;
                return dropped;
            };
            if own.leaves.iter().any(Option::is_none) {
                let _ = notes.send(Note::Doubted(segment)).await;
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

    /// Reads our own copy through, if there is time for it.
    pub(super) fn scrub(&mut self, segment: SegmentId) {
        let known = self.holdings.get(&segment);
        let Some((hold, bytes)) = known.map(|it| (it.hold().clone(), it.bytes)) else {
            return;
        };
        let Ok(permit) = std::sync::Arc::clone(&self.reads).try_acquire_owned() else {
            return;
        };
        self.work(move |context| {
            let blocks = context.blocks()?;
            let read = pull::fetch(&Local(&*blocks), &hold, &segment, bytes);
            drop(permit);
            if let Err(error) = &read {
                tracing::warn!(%segment, %error, "a copy here is not whole");
            }
            let is_whole = read.is_ok();
            Some(Note::Scrubbed { segment, is_whole })
        });
    }

    /// A copy that is not whole does not count, here or anywhere, until it has been fetched again.
    pub(super) fn on_scrubbed(&mut self, segment: SegmentId, is_whole: bool) {
        if is_whole || self.broken.len() >= BROKEN_MAX {
            return;
        }
        let holders = self.holders(&segment);
        let Some(held) = self.holdings.remove(&segment) else {
            return;
        };
        self.plan(planner::Event::Lost { segment });
        self.fetch_again(segment, &held, holders);
        let again = self.now() + self.context.scaled(AGAIN);
        self.broken.insert(segment, Broken { held, again });
    }

    fn fetch_again(
        &mut self,
        segment: SegmentId,
        held: &Held,
        holders: Vec<store::wire::member::MemberId>,
    ) {
        let offer = Offer {
            segment,
            hold: held.hold().clone(),
            bytes: held.bytes,
            idle: false,
            pins: Vec::new(),
            holders,
        };
        self.pulls.push(offer, None);
        self.pull_next();
    }

    /// Tries those again that could not be fetched.
    pub(super) fn mend_broken(&mut self) {
        let now = self.now();
        let due = |it: &(&SegmentId, &Broken)| it.1.again <= now && !self.pulls.has(it.0);
        let broken = self.broken.iter().filter(due);
        let broken: Vec<_> = broken
            .map(|(segment, it)| (*segment, it.held.clone()))
            .collect();
        for (segment, held) in broken {
            let holders = self.right_places(held.hold(), &segment);
            self.fetch_again(segment, &held, holders);
            if let Some(broken) = self.broken.get_mut(&segment) {
                broken.again = now + self.context.scaled(AGAIN);
            }
        }
    }
}
