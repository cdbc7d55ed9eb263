//! [`Pulls`]: the segments that this member is fetching for itself, and those that wait.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use store::Cid;
use store::segment::{Hold, SegmentId};
use store::wire::member::MemberId;
use store::wire::replica::{Offer, ReplicaRequest};

use super::Replicator;
use super::holdings::Place;
use super::notes::Note;
use super::pull::{self, PullError};
use crate::replication::planner::Event;
use crate::replication::receipt;

/// Segments that are fetched at once: two for each of two peers' links, 256 MiB of promises.
const AT_ONCE: usize = 4;
/// Segments that wait; more offers are answered Busy. An offer fails after half an hour, in which time a link
/// of 100 Mbit/s brings 300 of the largest.
const WAITING: usize = 256;

/// What is told of the rate looks back so far.
const LATELY: Duration = Duration::from_secs(60);

/// A segment to fetch.
struct Job {
    offer: Offer,
    /// Who is to hear of it: who offered it.
    tell: Vec<MemberId>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pulls {
    waiting: VecDeque<Job>,
    running: HashMap<(SegmentId, Hold), Job>,
    /// When copies came, and their bytes; of the last minute.
    came: VecDeque<(Duration, u64)>,
}

impl Pulls {
    /// Fetches this too, and tells `from` about it. Whether there was room for it.
    pub(super) fn push(&mut self, offer: Offer, from: Option<MemberId>) -> bool {
        let same =
            |job: &&mut Job| job.offer.segment == offer.segment && job.offer.hold == offer.hold;
        let all = self.waiting.iter_mut().chain(self.running.values_mut());
        if let Some(job) = all.into_iter().find(same) {
            let is_new = from.is_some_and(|from| !job.tell.contains(&from));
            job.tell.extend(from.filter(|_| is_new));
            return true;
        }
        if self.waiting.len() >= WAITING {
            return false;
        }
        let job = Job {
            offer,
            tell: from.into_iter().collect(),
        };
        // What improves places waits for what repairs.
        if job.offer.idle {
            self.waiting.push_back(job);
        } else {
            let at = self.waiting.iter().position(|it| it.offer.idle);
            self.waiting.insert(at.unwrap_or(self.waiting.len()), job);
        }
        true
    }

    /// Takes nothing more for others: what waits for their sake is dropped, and who offered it is named.
    pub(super) fn drop_waiting(&mut self) -> Vec<(SegmentId, Vec<MemberId>)> {
        let waiting = std::mem::take(&mut self.waiting);
        let (ours, others): (Vec<Job>, Vec<Job>) =
            waiting.into_iter().partition(|it| it.tell.is_empty());
        self.waiting = ours.into();
        let dropped = others.into_iter().map(|it| (it.offer.segment, it.tell));
        dropped.collect()
    }

    /// Whether this one is under way or waits.
    pub(super) fn has(&self, segment: &SegmentId) -> bool {
        self.all().any(|job| job.offer.segment == *segment)
    }

    /// Whether anything of this content is under way or waits.
    pub(super) fn has_root(&self, root: &Cid) -> bool {
        self.all().any(|job| job.offer.hold.root() == Some(root))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Bytes that they claim.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.all().map(|job| job.offer.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// Bytes that came within a minute.
    pub(super) fn lately(&self, now: Duration) -> u64 {
        let lately = self.came.iter().filter(|(at, _)| now < *at + LATELY);
        lately.map(|(_, bytes)| bytes).sum()
    }

    fn came(&mut self, now: Duration, bytes: u64) {
        while self.came.front().is_some_and(|(at, _)| *at + LATELY <= now) {
            self.came.pop_front();
        }
        self.came.push_back((now, bytes));
    }

    fn all(&self) -> impl Iterator<Item = &Job> {
        self.waiting.iter().chain(self.running.values())
    }
}

impl Replicator {
    /// Begins what may be begun.
    pub(super) fn pull_next(&mut self) {
        while self.pulls.running.len() < AT_ONCE
            && let Some(job) = self.pulls.waiting.pop_front()
        {
            let offer = job.offer.clone();
            let key = (offer.segment, offer.hold.clone());
            self.pulls.running.insert(key, job);
            self.task(|context| async move {
                let result = pull::pull(&context, &offer).await;
                Some(Note::Pulled {
                    segment: offer.segment,
                    hold: offer.hold,
                    result,
                })
            });
        }
    }

    pub(super) fn on_pulled(
        &mut self,
        segment: SegmentId,
        hold: &Hold,
        result: Result<(), PullError>,
    ) {
        let job = self.pulls.running.remove(&(segment, hold.clone()));
        self.pull_next();
        let Some(Job { offer, tell }) = job else {
            return;
        };
        match result {
            Ok(()) => {
                tracing::info!(%segment, bytes = offer.bytes, "a copy is here");
                let now = self.now();
                self.pulls.came(now, offer.bytes);
                self.keep_pulled(offer, &tell);
            }
            Err(error) => {
                tracing::warn!(%segment, %error, "a copy could not be fetched");
                for from in tell {
                    self.say(&from, ReplicaRequest::Failed(segment));
                }
                if let PullError::Store(error) = &error {
                    self.on_failed(error);
                }
            }
        }
    }

    fn keep_pulled(&mut self, offer: Offer, tell: &[MemberId]) {
        let Offer {
            segment,
            hold,
            bytes,
            holders,
            ..
        } = offer;
        // One of ours that was not whole is so again, for the sake of all that it was held for.
        if let Some(held) = self.mending.mended(&segment) {
            for place in held.places {
                self.holdings.insert(segment, bytes, place);
            }
            // It was fetched for the sake of this hold, so that is in the repo now.
            self.holdings.insert(segment, bytes, Place::held(hold));
        } else {
            let root = hold.root().copied();
            self.holdings.insert(segment, bytes, Place::held(hold));
            self.task(|context| async move {
                context.network.provide(root?).await;
                None
            });
        }
        self.reconsider(&segment);
        let holders = self.numbers.of_all(&holders);
        self.plan(Event::Heard { segment, holders });
        for from in tell {
            // Whoever offers has it; but who is no member has no copy that counts.
            if let Some(member) = self.numbers.of(from)
                && self.believes(segment, member)
            {
                self.plan(Event::Holds { segment, member });
            }
            self.receipt(segment, bytes, from);
        }
    }

    fn receipt(&self, segment: SegmentId, bytes: u64, to: &MemberId) {
        let context = &self.context;
        // There is one: whose key is no member's is not asked.
        if let Some(receipt) = receipt::sign(&context.key, &context.swarm, segment, bytes) {
            self.say(to, ReplicaRequest::Fetched(receipt));
        }
    }
}
