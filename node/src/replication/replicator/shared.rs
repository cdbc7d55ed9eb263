//! [`Shared`]: what this member believes that it and another both have, compared with what the other believes.
//! What was said once and lost is found by it, whatever it was: that a copy came or went, that it is pinned, who
//! else has it.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libp2p::PeerId;
use rand::seq::IteratorRandom as _;
use store::segment::SegmentId;
use store::wire::reconcile::{Item, Prefix, Question};
use store::wire::replica::{MAX_SEGMENTS, ReplicaRequest, ReplicaResponse, holder_print};

use super::Replicator;
use super::context::Context;
use super::notes::Note;
use crate::members::peer_of;
use crate::reconcile::{self, Comparison, Difference, Set, Tree, fingerprint};
use crate::replication::placement::Member;

/// Between two comparisons, each with a member by chance that has something that is here, too.
const PAUSE: Duration = Duration::from_secs(30);
/// However short a day is.
const SHORTEST: Duration = Duration::from_millis(500);
/// Segments that are asked about after one comparison; the rest is found by the next. With their holders they are
/// 280 KiB.
const ASKED: usize = 512;
/// Messages of one comparison, of 1.2 KiB, with answers of 17 KiB at most: with those below what [`ASKED`] takes, 10 KiB/s.
const ROUNDS: usize = 8;
/// What was gathered to answer one message answers the next ones of the same member.
const FRESH: Duration = Duration::from_secs(5);

/// What both have, as one of them believes.
#[derive(Debug)]
pub(super) struct Shared {
    /// By segment; the stamp is the sum of [`holder_print`] over all holders.
    items: Vec<Item>,
    tree: OnceLock<Tree>,
}

/// The state of comparisons.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    is_under_way: bool,
    next: Duration,
    /// With whom, since when, and what.
    answered: Option<(Member, Duration, Arc<Shared>)>,
}

impl Shared {
    /// Of items in the order of their keys.
    const fn new(items: Vec<Item>) -> Self {
        Self {
            items,
            tree: OnceLock::new(),
        }
    }

    fn below(&self, place: Prefix) -> &[Item] {
        let first = place.first();
        let start = self.items.partition_point(|item| item.key < first);
        let rest = &self.items[start..];
        &rest[..rest.partition_point(|item| place.contains(&item.key))]
    }
}

impl Set for Shared {
    type Error = Infallible;

    fn sum(&self, place: Prefix) -> Result<u128, Infallible> {
        let tree = self.tree.get_or_init(|| {
            let mut tree = Tree::new(self.items.len());
            self.items.iter().for_each(|item| tree.insert(item));
            tree
        });
        let add = |sum: u128, item: &Item| sum.wrapping_add(fingerprint(item));
        let sum = tree.sum(place);
        Ok(sum.unwrap_or_else(|| self.below(place).iter().fold(0, add)))
    }

    fn list(&self, place: Prefix, limit: usize) -> Result<Vec<Item>, Infallible> {
        let below = self.below(place);
        Ok(below[..below.len().min(limit)].to_vec())
    }
}

impl Replicator {
    /// Compares with somebody, if it is time to.
    pub(super) fn compare(&mut self, now: Duration) {
        if self.comparing.is_under_way || now < self.comparing.next {
            return;
        }
        self.comparing.next = now + self.context.scaled(PAUSE).max(SHORTEST);
        let here = self.planner.partners();
        let here = here.filter(|it| self.roster.has(*it));
        let Some(member) = here.choose(&mut rand::rng()) else {
            return;
        };
        let Some(peer) = self.numbers.id(member).as_ref().and_then(peer_of) else {
            return;
        };
        self.comparing.is_under_way = true;
        let ours = Shared::new(self.items(member));
        self.task(|context| async move {
            let differ = differing(&context, peer, ours).await;
            Some(Note::Compared { member, differ })
        });
    }

    /// Asks about what differs, and says what is not here.
    pub(super) fn on_compared(&mut self, member: Member, differ: &BTreeSet<SegmentId>) {
        self.comparing.is_under_way = false;
        let all = differ.iter().copied();
        let (here, gone): (Vec<_>, Vec<_>) = all.partition(|it| self.holdings.get(it).is_some());
        self.check(member, &here, false);
        for gone in gone.chunks(MAX_SEGMENTS) {
            self.tell(member, ReplicaRequest::Retract(gone.to_vec()));
        }
    }

    /// Answers another's comparison.
    pub(super) fn answer_shared(
        &mut self,
        member: Member,
        questions: Vec<Question>,
        reply: crate::network::ReplyChannel<ReplicaResponse>,
    ) {
        let now = self.now();
        let known = self.comparing.answered.as_ref();
        let known = known.filter(|(of, at, _)| *of == member && now < *at + FRESH);
        let ours = known.map(|(_, _, ours)| Arc::clone(ours));
        let ours = ours.unwrap_or_else(|| {
            let ours = Arc::new(Shared::new(self.items(member)));
            self.comparing.answered = Some((member, now, Arc::clone(&ours)));
            ours
        });
        self.answer_with(reply, move |_| {
            let verdict = |question| match reconcile::answer(&*ours, question) {
                Ok(verdict) => verdict,
            };
            ReplicaResponse::Verdicts(questions.iter().map(verdict).collect())
        });
    }

    /// What both have: those that the other has said itself to have.
    fn items(&self, member: Member) -> Vec<Item> {
        let mut prints = HashMap::new();
        let mut print = |holder: Member, is_pinned: bool| {
            let print = prints.entry((holder, is_pinned)).or_insert_with(|| {
                let id = self.numbers.id(holder);
                id.map_or(0, |id| holder_print(&id, is_pinned))
            });
            *print
        };
        let shared = self.planner.shared(member);
        let items = shared.map(|(segment, holders)| Item {
            key: segment.0,
            stamp: holders
                .map(|(holder, is_pinned)| print(holder, is_pinned))
                .fold(0, u64::wrapping_add),
        });
        items.collect()
    }
}

/// Segments of which the other member does not believe the same, [`ASKED`] at most; none where it cannot be asked.
async fn differing(context: &Context, peer: PeerId, ours: Shared) -> BTreeSet<SegmentId> {
    let mut comparison = Comparison::of_all();
    let mut differ = BTreeSet::new();
    for _ in 0..ROUNDS {
        let Ok(questions) = comparison.questions(&ours);
        if questions.is_empty() || differ.len() >= ASKED {
            break;
        }
        let request = ReplicaRequest::Shared(questions);
        let answer = context.ask(peer, request).await;
        let Ok(ReplicaResponse::Verdicts(verdicts)) = answer else {
            break;
        };
        let Ok(Ok(found)) = comparison.answers(&ours, verdicts) else {
            tracing::debug!(%peer, "a member answers what was not asked");
            break;
        };
        for difference in found {
            match difference {
                Difference::Theirs(item) | Difference::Ours(item) => {
                    differ.insert(SegmentId(item.key));
                }
                Difference::OursBelow(place) => {
                    let below = ours.below(place).iter().take(ASKED);
                    differ.extend(below.map(|item| SegmentId(item.key)));
                }
            }
        }
    }
    while differ.len() > ASKED {
        differ.pop_last();
    }
    differ
}
