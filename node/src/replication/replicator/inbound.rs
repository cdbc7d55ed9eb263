//! What other members ask and tell.

use std::sync::Arc;
use std::time::Duration;

use store::audit::Challenge;
use store::pin;
use store::wire::member::MemberId;
use store::wire::reconcile::Question;
use store::wire::replica::{
    Checked, Offer, Receipt, ReplicaRequest, ReplicaResponse, Told, holders_each,
};

use super::Replicator;
use super::context::Context;
use super::notes::{Note, Verdict, Weighed, Weight};
use crate::members::{member_of, peer_of};
use crate::network::{ReplicaInbound, ReplyChannel};
use crate::owners::Owners;
use crate::reconcile;
use crate::replication::placement::Member;
use crate::replication::planner::Event;
use crate::replication::receipt;

/// Of a hundred parts so many stay free.
const FREE: u64 = 15;

impl Replicator {
    pub(super) fn on_inbound(&mut self, inbound: ReplicaInbound) {
        let ReplicaInbound {
            peer,
            request,
            reply,
        } = inbound;
        let Some(id) = member_of(&peer) else {
            return self.respond(reply, ReplicaResponse::Busy);
        };
        match (request, self.numbers.of(&id)) {
            // Also of a guest, who is no member: it is judged by the records that come with it.
            (ReplicaRequest::Offer(offer), _) => self.weigh(id, offer, reply),
            // Its record is on its way, or it has none.
            (_, None) => self.respond(reply, ReplicaResponse::Busy),
            (ReplicaRequest::Fetched(receipt), Some(member)) => {
                self.on_receipt(id, member, &receipt);
                self.respond(reply, ReplicaResponse::Noted);
            }
            (ReplicaRequest::Failed(segment), Some(_)) => {
                self.context.awaited.settle(segment, id, false);
                self.respond(reply, ReplicaResponse::Noted);
            }
            (ReplicaRequest::Check(told), Some(member)) => {
                let named = holders_each(told.len());
                let answer = told.into_iter().map(|it| self.checked(member, it, named));
                let answer = ReplicaResponse::Checked(answer.collect());
                self.respond(reply, answer);
            }
            (ReplicaRequest::Lease { segments, lasts }, Some(_)) => {
                let lasts = Duration::from_millis(lasts);
                for segment in segments {
                    self.plan(Event::Lease { segment, lasts });
                }
                self.respond(reply, ReplicaResponse::Noted);
            }
            (ReplicaRequest::Retract(segments), Some(member)) => {
                for segment in segments {
                    self.plan(Event::HoldsNot { segment, member });
                }
                self.respond(reply, ReplicaResponse::Noted);
            }
            (ReplicaRequest::Trim { ask, challenge }, Some(member)) => {
                let (segment, by) = (challenge.segment, member);
                self.trims.insert((segment, by, ask), (reply, challenge));
                self.plan(Event::TrimAsked { segment, by, ask });
            }
            (ReplicaRequest::Challenge(challenge), Some(_)) => {
                self.answer_challenge(challenge, reply);
            }
            (ReplicaRequest::Wrong { segment, .. }, Some(_)) => {
                self.doubt(segment);
                self.respond(reply, ReplicaResponse::Noted);
            }
            (ReplicaRequest::Compare(questions), Some(_)) => self.answer_compare(questions, reply),
            (ReplicaRequest::Shared(questions), Some(member)) => {
                self.answer_shared(member, questions, reply);
            }
            (ReplicaRequest::Fetch(keys), Some(_)) => {
                self.answer_with(reply, move |context| {
                    let records = context.pins.fetch(&keys);
                    records.map_or(ReplicaResponse::Busy, ReplicaResponse::Pins)
                });
            }
            (ReplicaRequest::Pins(records), Some(member)) => {
                self.respond(reply, ReplicaResponse::Noted);
                self.on_records(member, records);
            }
        }
    }

    pub(super) fn respond(&self, reply: ReplyChannel<ReplicaResponse>, answer: ReplicaResponse) {
        self.task(|context| async move {
            context.network.respond_replica(reply, answer).await;
            None
        });
    }

    /// Answers another's comparison of pin records.
    fn answer_compare(&self, questions: Vec<Question>, reply: ReplyChannel<ReplicaResponse>) {
        self.answer_with(reply, move |context| {
            if context.pins.needs_resync() {
                return ReplicaResponse::Busy;
            }
            let verdict = |question| reconcile::answer(&*context.pins, question);
            let verdicts = questions.iter().map(verdict).collect::<Result<_, _>>();
            verdicts.map_or(ReplicaResponse::Busy, ReplicaResponse::Verdicts)
        });
    }

    /// Answers with what has to be looked up.
    pub(super) fn answer_with(
        &self,
        reply: ReplyChannel<ReplicaResponse>,
        work: impl FnOnce(&Context) -> ReplicaResponse + Send + 'static,
    ) {
        self.task(|context| async move {
            let shared = Arc::clone(&context);
            let answer = tokio::task::spawn_blocking(move || work(&shared))
                .await
                .ok()?;
            context.network.respond_replica(reply, answer).await;
            None
        });
    }

    fn on_receipt(&mut self, from: MemberId, member: Member, receipt: &Receipt) {
        let segment = receipt.segment;
        if receipt.holder != from || !receipt::check(&self.context.swarm, receipt) {
            tracing::warn!(holder = ?from, "a receipt is not right");
            return;
        }
        let is_awaited = self.context.awaited.settle(segment, from, true);
        if !is_awaited && self.believes(segment, member) {
            self.plan(Event::Holds { segment, member });
        }
    }

    fn checked(&mut self, member: Member, told: Told, named: usize) -> Checked {
        let Told {
            segment,
            is_pinned,
            holders,
        } = told;
        if self.holdings.get(&segment).is_none() {
            return Checked {
                has: false,
                is_pinned: false,
                holders: Vec::new(),
            };
        }
        if self.believes_word(segment, member) {
            self.plan(Event::Says {
                segment,
                member,
                is_pinned,
            });
        }
        let holders = self.numbers.of_all(&holders);
        self.plan(Event::Heard { segment, holders });
        Checked {
            has: true,
            is_pinned: self.is_pinned(&segment),
            holders: self.holders(&segment).into_iter().take(named).collect(),
        }
    }

    fn answer_challenge(&self, challenge: Challenge, reply: ReplyChannel<ReplicaResponse>) {
        let known = self.holdings.get(&challenge.segment).is_some();
        let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned() else {
            return self.respond(reply, ReplicaResponse::Busy);
        };
        if !known {
            return self.respond(reply, ReplicaResponse::Answer(None));
        }
        let segment = challenge.segment;
        let notes = self.notes.clone();
        self.answer_with(reply, move |context| {
            let answer = context.blocks().map(|blocks| challenge.answer(&*blocks));
            drop(permit);
            match answer {
                Some(Ok(answer)) => {
                    if answer.leaves.iter().any(Option::is_none) {
                        let _ = notes.blocking_send(Note::Doubted(vec![segment]));
                    }
                    ReplicaResponse::Answer(Some(answer))
                }
                Some(Err(error)) => {
                    let _ = notes.blocking_send(Note::Failed(error));
                    ReplicaResponse::Busy
                }
                None => ReplicaResponse::Busy,
            }
        });
    }

    /// Looks whether an offer is to be taken.
    fn weigh(&self, from: MemberId, offer: Offer, reply: ReplyChannel<ReplicaResponse>) {
        if self.read_only.is_some() || !self.stays(self.me) {
            return self.respond(reply, ReplicaResponse::NoRoom);
        }
        let promised = self.pulls.bytes();
        let me = self.crew.iter().find(|member| member.local);
        let tags = me.map(|me| me.record.tags.iter().map(owned).collect());
        // What is here for whom: in an open swarm it has a bound.
        let by_root = if self.context.is_private {
            Vec::new()
        } else {
            let held = self.holdings.iter().filter(|(_, held)| !held.is_pinned());
            let by_root = held.filter_map(|(_, it)| Some((*it.roots().next()?, it.bytes)));
            by_root.collect()
        };
        self.work(move |context| {
            let weighed = weigh(
                context,
                &offer,
                promised,
                &tags.unwrap_or_default(),
                &by_root,
            );
            let weight = weighed.unwrap_or_else(|error| {
                tracing::warn!(%error, "an offer cannot be weighed");
                Weight {
                    verdict: Verdict::NoRoom,
                    policy: None,
                    changed: Vec::new(),
                }
            });
            Some(Note::Weighed(Weighed {
                from,
                offer,
                reply,
                weight,
            }))
        });
    }

    pub(super) fn on_weighed(&mut self, weighed: Weighed) {
        let Weighed {
            from,
            offer,
            reply,
            weight,
        } = weighed;
        let Weight {
            verdict,
            policy,
            changed,
        } = weight;
        if !changed.is_empty() {
            self.on_changed(changed);
        }
        let (segment, bytes) = (offer.segment, offer.bytes);
        let answer = match verdict {
            Verdict::NoRoom => ReplicaResponse::NoRoom,
            Verdict::Refuse => ReplicaResponse::Refused,
            Verdict::Take => {
                if let (Some(root), Some(policy)) = (offer.hold.root(), policy) {
                    self.policies.insert(*root, policy);
                }
                if self.holdings.has(&segment, &offer.hold) {
                    if let Some(member) = self.numbers.of(&from)
                        && self.believes(segment, member)
                    {
                        self.plan(Event::Holds { segment, member });
                        if self.is_pinned(&segment) {
                            // The receipt does not say so.
                            self.check(member, &[segment], true);
                        }
                    }
                    let context = &self.context;
                    let bytes = self.holdings.get(&segment).map_or(bytes, |it| it.bytes);
                    let receipt = receipt::sign(&context.key, &context.swarm, segment, bytes);
                    receipt.map_or(ReplicaResponse::Refused, ReplicaResponse::Receipt)
                } else {
                    let mut offer = offer;
                    offer.holders.push(from);
                    if self.pulls.push(offer, Some(from)) {
                        self.pull_next();
                        ReplicaResponse::Accepted
                    } else {
                        ReplicaResponse::Busy
                    }
                }
            }
        };
        self.respond(reply, answer);
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Whether this member takes a segment: it must be wanted, by somebody for whom it stores, where it is, and
/// have room.
fn weigh(
    context: &Context,
    offer: &Offer,
    promised: u64,
    tags: &crate::replication::policy::Tags,
    by_root: &[(store::Cid, u64)],
) -> Result<Weight, Box<dyn std::error::Error + Send + Sync>> {
    let repo = context.repo.upgrade().ok_or("the node is ending")?;
    let root = offer.hold.root().ok_or("a segment of nothing")?;
    let taken = context.pins.take(offer.pins.clone(), pin::now())?;
    let changed = taken.roots;
    let policy = context.pins.policy(root, pin::now())?;
    let refuse = |changed| {
        Ok(Weight {
            verdict: Verdict::Refuse,
            policy: None,
            changed,
        })
    };
    let Some(policy) = policy.filter(|policy| policy.allows(tags)) else {
        return refuse(changed);
    };
    if !context.is_private {
        let owners = Owners::of(Arc::clone(&repo));
        let mut is_accepted = false;
        for owner in context.pins.owners(root, pin::now())? {
            let Some(peer) = peer_of(&owner) else {
                continue;
            };
            let mut bytes = offer.bytes.saturating_add(promised);
            for (root, held) in by_root {
                if context.pins.owners(root, pin::now())?.contains(&owner) {
                    bytes = bytes.saturating_add(*held);
                }
            }
            is_accepted |= owners.accepts(&peer, bytes)?;
        }
        if !is_accepted {
            return refuse(changed);
        }
    }
    let (capacity, free) = context.room.look(&repo)?;
    let needed = offer.bytes.saturating_add(promised);
    let verdict = if free.saturating_sub(needed) < capacity / 100 * FREE {
        Verdict::NoRoom
    } else {
        Verdict::Take
    };
    Ok(Weight {
        verdict,
        policy: Some(policy),
        changed,
    })
}
