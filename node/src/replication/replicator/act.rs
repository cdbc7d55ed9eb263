//! What the planner wants done.

use std::collections::BTreeMap;
use std::time::Duration;

use store::audit::Verdict;
use store::segment::SegmentId;
use store::wire::member::MemberId;
use store::wire::replica::{Leave, MAX_TOLD_HOLDERS, ReplicaRequest, ReplicaResponse, Told};

use super::notes::Note;
use super::offers::{self, Offered, Parcel};
use super::{Held, Replicator, audits};
use crate::members::peer_of;
use crate::replication::placement::Member;
use crate::replication::planner::{Action, Answer, Event, Level};

/// Leaves of a copy that a holder shows who wants to give up its own.
const SHOWN: usize = 8;
/// Segments in one Check, and holders of each that are told: 35 KiB. Further ones are heard of from these.
const TOGETHER: usize = 64;
const NAMED: usize = 16;

impl Replicator {
    /// Tells the planner what happened, and does what it wants.
    pub(super) fn plan(&mut self, event: Event) {
        let actions = self.planner.step(self.now(), event);
        let mut checks: BTreeMap<Member, Vec<SegmentId>> = BTreeMap::new();
        for action in actions {
            match action {
                Action::Offer { segment, to, level } => {
                    self.offer(segment, to, level == Level::Place);
                }
                Action::Lease { segment, lasts } => self.lease(segment, lasts),
                Action::AskToTrim { segment, of, ask } => self.ask_to_trim(segment, of, ask),
                Action::AnswerTrim {
                    segment,
                    to,
                    ask,
                    answer,
                } => self.answer_trim((segment, to, ask), answer),
                Action::Trim { segment } | Action::Release { segment } => self.give_up(&segment),
                Action::Retract { segment, to } => {
                    for member in to {
                        self.tell(member, ReplicaRequest::Retract(vec![segment]));
                    }
                }
                Action::Check { segment, member } => {
                    checks.entry(member).or_default().push(segment);
                }
            }
        }
        for (member, segments) in checks {
            self.check(member, &segments, false);
        }
    }

    /// Tells a member something, and does not wait for its answer.
    pub(super) fn tell(&self, member: Member, request: ReplicaRequest) {
        let peer = self.numbers.id(member).as_ref().and_then(peer_of);
        if let Some(peer) = peer {
            self.task(|context| async move {
                if let Err(error) = context.ask(peer, request).await {
                    tracing::debug!(%peer, %error, "a member could not be told");
                }
                None
            });
        }
    }

    /// Tells a member, or a guest, what it waits for.
    pub(super) fn say(&self, to: &MemberId, word: ReplicaRequest) {
        if let Some(peer) = peer_of(to) {
            self.task(|context| async move {
                context.say(peer, word).await;
                None
            });
        }
    }

    /// Offers a segment; the planner and the placings hear how that ends. One offer of one segment to one
    /// member at a time.
    pub(super) fn offer(&mut self, segment: SegmentId, to: Member, idle: bool) {
        if !self.offers.insert((segment, to)) {
            return;
        }
        let parcel = self.holdings.get(&segment).map(|held| Parcel {
            segment,
            bytes: held.bytes,
            holds: held.places.iter().map(|place| place.hold.clone()).collect(),
            holders: self.holders(&segment),
            idle,
        });
        let id = self.numbers.id(to);
        self.task(|context| async move {
            let ended = match (parcel, id) {
                (Some(parcel), Some(id)) => offers::offer(&context, id, parcel).await,
                _ => Offered::Failed("it is not here any more".to_owned()),
            };
            Some(Note::Offered { segment, to, ended })
        });
    }

    /// Those that have said themselves that they have it.
    pub(super) fn holders(&self, segment: &SegmentId) -> Vec<MemberId> {
        let holders = self.planner.holders(segment);
        let ids = holders.filter_map(|member| self.numbers.id(member));
        ids.take(MAX_TOLD_HOLDERS).collect()
    }

    /// Whether a pin of this machine's own keeps it.
    pub(super) fn is_pinned(&self, segment: &SegmentId) -> bool {
        self.holdings.get(segment).is_some_and(Held::is_pinned)
    }

    fn lease(&self, segment: SegmentId, lasts: Duration) {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let others: Vec<Member> = self.planner.holders(&segment).collect();
        for member in others {
            let segments = vec![segment];
            self.tell(member, ReplicaRequest::Lease { segments, lasts });
        }
    }

    /// Asks a member which of these it has.
    pub(super) fn check(&self, member: Member, segments: &[SegmentId], only_yes: bool) {
        let Some(peer) = self.numbers.id(member).as_ref().and_then(peer_of) else {
            return;
        };
        for asked in segments.chunks(TOGETHER) {
            let told = asked.iter().map(|segment| Told {
                segment: *segment,
                is_pinned: self.is_pinned(segment),
                holders: self.holders(segment).into_iter().take(NAMED).collect(),
            });
            let request = ReplicaRequest::Check(told.collect());
            let asked = asked.to_vec();
            self.task(|context| async move {
                match context.ask(peer, request).await {
                    Ok(ReplicaResponse::Checked(answer)) => Some(Note::Checked {
                        member,
                        asked,
                        answer,
                        only_yes,
                    }),
                    // The planner asks again.
                    Ok(_) | Err(_) => None,
                }
            });
        }
    }

    fn ask_to_trim(&self, segment: SegmentId, of: Member, ask: u64) {
        let peer = self.numbers.id(of).as_ref().and_then(peer_of);
        let hold = self.holdings.get(&segment).map(|it| it.hold().clone());
        let (Some(peer), Some(hold)) = (peer, hold) else {
            return;
        };
        self.task(|context| async move {
            let made = context.with_blocks(move |blocks| {
                audits::draw(blocks, segment, hold, rand::random(), SHOWN)
            });
            let (challenge, own) = made.await??;
            let request = ReplicaRequest::Trim {
                ask,
                challenge: challenge.clone(),
            };
            let answer = context.ask(peer, request).await.ok()?;
            let ReplicaResponse::Trim { leave, shown } = answer else {
                return None;
            };
            let answer = match (leave, shown) {
                (Leave::Keeps, Some(shown)) if challenge.judge(&own, &shown) == Verdict::Right => {
                    Answer::Keeps
                }
                (Leave::Keeps | Leave::Refuses, _) => Answer::Refuses,
                (Leave::HasNot, _) => Answer::HasNot,
            };
            Some(Note::TrimAnswered {
                segment,
                by: of,
                ask,
                answer,
            })
        });
    }

    fn answer_trim(&mut self, question: (SegmentId, Member, u64), answer: Answer) {
        let Some((reply, challenge)) = self.trims.remove(&question) else {
            return;
        };
        let leave = match answer {
            Answer::Keeps => Leave::Keeps,
            Answer::Refuses => Leave::Refuses,
            Answer::HasNot => Leave::HasNot,
        };
        self.task(|context| async move {
            let shown = if leave == Leave::Keeps {
                let shown = context.with_blocks(move |blocks| challenge.answer(blocks).ok());
                shown.await.flatten()
            } else {
                None
            };
            let answer = ReplicaResponse::Trim { leave, shown };
            context.network.respond_replica(reply, answer).await;
            None
        });
    }

    /// Keeps a segment no more: its holds go, its blocks stay as cache.
    fn give_up(&mut self, segment: &SegmentId) {
        self.audited.remove(segment);
        if let Some(held) = self.holdings.remove(segment) {
            tracing::info!(%segment, bytes = held.bytes, "a copy is given up");
            self.let_go(held);
        }
    }

    /// Releases these holds, and no longer offers what is not here any more.
    pub(super) fn let_go(&mut self, held: Held) {
        let (mut holds, mut roots) = (Vec::new(), Vec::new());
        for place in held.places.into_iter().filter(|place| place.is_held) {
            let gone = place.hold.root().filter(|root| !self.holdings.knows(root));
            roots.extend(gone.copied());
            holds.push(place.hold);
        }
        self.work(move |context| {
            let repo = context.repo.upgrade()?;
            let keep = repo.keep();
            let released = holds
                .iter()
                .try_for_each(|hold| keep.release(hold).map(drop));
            released.err().map(Note::Failed)
        });
        for root in roots {
            self.policies.remove(&root);
            self.task(|context| async move {
                context.network.stop_providing(root).await;
                None
            });
        }
    }
}
