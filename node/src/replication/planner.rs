//! [`Planner`]: what one member does so that every segment that it has keeps its copies. Sans-IO: clock
//! and seed are arguments; the simulator drives hundreds of these, the node drives one.
//!
//! A member decides about segments that it has, and about no others: it offers them to those that
//! should have them, and gives up its own copy where there are too many. So nobody knows everything,
//! and what nobody has cannot be repaired by anybody.
//!
//! * Copies in sight are counted: those of members that are here and stay, on distinct hosts, which have
//!   said so themselves since they were last away. Who is here and has not said so is asked, and given half
//!   a minute. Holders exchange their lists of holders whenever they ask.
//! * Too few copies are a need, and it is due after a wait that is the shorter the fewer there are; it never
//!   becomes later by getting worse. If a holder is on its way out it is due at once.
//! * Of the holders each has a rank, the order of their lots; each rank waits a minute longer. Who acts says
//!   so (a lease), and the others wait. If that is lost there is a copy more, for a while, never one fewer.
//! * Once it is due, all missing copies are offered, within the brakes: bytes a second, and segments at once.
//!   An offer that fails, is never answered, or whose target is gone, frees its place; its segment rests for
//!   a while, twice as long each time, and its target is passed over.
//! * Copies that are enough but not where they belong are mended by the first holder alone, behind all
//!   repairs, and only by a copy in the right place.
//! * A copy that a member's own owner has pinned is told of as such. It stays, so it takes the place of the one that
//!   belongs least.
//! * A copy is given up by its holder alone, when the others are enough, and each of them has shown its own and
//!   promised to keep it meanwhile. So whatever two members believe, they never give up the same last copies (I6).
//! * While so much of the swarm is gone at once that it may be we who are cut off, only what has no other
//!   copy in sight is repaired, and nothing is given up.

mod brakes;
mod drain;
pub mod event;
mod ledger;
mod repair;
mod state;
mod trim;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use store::segment::SegmentId;

use self::brakes::Brakes;
pub use self::drain::{Drain, Obstacle, Stuck};
pub use self::event::{Action, Answer, Declined, Event, Level, Settings, Sight, Time};
use self::ledger::Ledger;
use self::repair::Offer;
use super::placement::{Member, Roster};

/// The planner of one member. See the module's documentation.
#[derive(Debug)]
pub struct Planner {
    me: Member,
    settings: Settings,
    roster: Arc<Roster>,
    ledger: Ledger,
    brakes: Brakes,
    rng: StdRng,
    /// When to look at which segment again.
    wakes: BTreeSet<(Time, SegmentId)>,
    /// The place of each segment in `wakes`.
    waking: BTreeMap<SegmentId, Time>,
    /// Segments whose turn it is and that wait for the brakes, the most urgent first.
    ready: BTreeSet<(Level, u8, SegmentId)>,
    /// Offers under way, [`Settings::at_once`] at most.
    offers: Vec<Offer>,
    /// Segments whose holders were asked for leave to give ours up, and when.
    trims: Vec<(SegmentId, Time)>,
    full: bool,
    /// We are about to go, and the holders of the copies that stay are asked to confirm them.
    confirming: bool,
    actions: Vec<Action>,
}

impl Planner {
    /// Of the member `me`. Of two with the same seed and the same events each does the same.
    #[must_use]
    pub fn new(me: Member, settings: Settings, seed: u64) -> Self {
        Self {
            me,
            brakes: Brakes::new(settings.rate),
            settings,
            roster: Arc::new(Roster::new([])),
            ledger: Ledger::default(),
            rng: StdRng::seed_from_u64(seed),
            wakes: BTreeSet::new(),
            waking: BTreeMap::new(),
            ready: BTreeSet::new(),
            offers: Vec::new(),
            trims: Vec::new(),
            full: false,
            confirming: false,
            actions: Vec::new(),
        }
    }

    /// Takes an event; says what is to be done.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.take(now, event);
        self.expire_offers(now);
        self.wake(now);
        self.spend(now);
        std::mem::take(&mut self.actions)
    }

    /// When it wants an [`Event::Tick`] next.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let wake = self.wakes.first().map(|(time, _)| *time);
        let brakes = self.may_offer().then(|| self.brakes.next()).flatten();
        let offer = self.offers.iter().map(|it| it.until).min();
        wake.into_iter().chain(brakes).chain(offer).min()
    }

    fn take(&mut self, now: Time, event: Event) {
        match event {
            Event::Roster { roster, returned } => self.on_roster(now, roster, &returned),
            Event::Sight(sight) => {
                let was = self.brakes.is_blind();
                self.brakes.see(now, sight);
                if was != self.brakes.is_blind() {
                    self.look_at_all(now);
                }
            }
            Event::Have {
                segment,
                bytes,
                policy,
                holders,
                is_pinned,
            } => {
                // Its place in the queue depends on the policy.
                self.unready(&segment);
                if self.ledger.put(segment, bytes, policy, is_pinned) {
                    self.tell_holders(&segment);
                }
                self.on_heard(now, segment, &holders);
            }
            Event::Heard { segment, holders } => self.on_heard(now, segment, &holders),
            Event::Lost { segment } => self.give_up(&segment, None),
            Event::Unwanted { segment } => {
                self.unready(&segment);
                if let Some(entry) = self.ledger.get_mut(&segment) {
                    entry.unwanted = true;
                    entry.need = None;
                }
                self.look(now, &segment);
            }
            Event::Holds { segment, member } if member != self.me => {
                self.on_holds(now, &segment, member, None);
            }
            Event::Says {
                segment,
                member,
                is_pinned,
            } if member != self.me => self.on_word(now, &segment, member, is_pinned),
            Event::HoldsNot { segment, member } => {
                self.on_holds_not(now, &segment, member, false);
            }
            Event::Broke { segment, member } => self.on_holds_not(now, &segment, member, true),
            Event::Declined {
                segment,
                member,
                why,
            } => self.on_declined(now, &segment, member, why),
            Event::Lease { segment, lasts } => self.on_lease(now, &segment, lasts),
            Event::TrimAsked { segment, by, ask } => self.on_trim_asked(now, segment, by, ask),
            Event::TrimAnswered {
                segment,
                by,
                ask,
                answer,
            } => self.on_trim_answered(now, &segment, (by, ask), answer),
            Event::Full(full) => {
                if std::mem::replace(&mut self.full, full) != full {
                    self.look_at_all(now);
                }
            }
            Event::Drain { anew } => self.on_drain(now, anew),
            Event::Rate(rate) => self.brakes.set_rate(rate, now),
            Event::Holds { .. } | Event::Says { .. } | Event::Tick => {}
        }
    }

    fn on_roster(&mut self, now: Time, roster: Arc<Roster>, returned: &[Member]) {
        let old = std::mem::replace(&mut self.roster, roster);
        let new = self.roster.members().filter(|it| !old.has(*it));
        let new: BTreeSet<_> = new.chain(returned.iter().copied()).collect();
        let mut concerned = BTreeSet::new();
        for member in new {
            for segment in self.ledger.common(member) {
                self.ledger.doubt(&segment, member);
                concerned.insert(segment);
            }
        }
        // Who came may be the right place for any segment. Who went concerns those that it has.
        if self.roster.is_more_than(&old) {
            self.look_at_all(now);
            return;
        }
        for member in old.members().filter(|it| !self.roster.has(*it)) {
            concerned.extend(self.ledger.common(member));
        }
        for segment in concerned {
            self.look(now, &segment);
        }
    }

    /// The others hear that it is pinned here now, or that it is so no more.
    fn tell_holders(&mut self, segment: &SegmentId) {
        let holders = self.holders(segment).filter(|it| self.roster.has(*it));
        let checks = holders.map(|member| Action::Check {
            segment: *segment,
            member,
        });
        let checks: Vec<_> = checks.collect();
        self.actions.extend(checks);
    }

    /// These are said to have it.
    fn on_heard(&mut self, now: Time, segment: SegmentId, holders: &[Member]) {
        for member in holders.iter().filter(|it| **it != self.me) {
            if self.distrusts(now, &segment, *member) {
                continue;
            }
            self.ledger.note(&segment, *member, false, &self.roster);
        }
        self.look(now, &segment);
    }

    /// A member says that it has it.
    fn on_word(&mut self, now: Time, segment: &SegmentId, member: Member, is_pinned: bool) {
        let entry = self.ledger.get(segment);
        if entry.is_some_and(|it| !it.distrusts(now, member)) {
            self.on_holds(now, segment, member, Some(is_pinned));
        }
    }

    /// A member has it; and keeps it in any case or not, where that was said.
    fn on_holds(
        &mut self,
        now: Time,
        segment: &SegmentId,
        member: Member,
        is_pinned: Option<bool>,
    ) {
        let is_new = self.settle_offer(segment, member);
        self.ledger.note(segment, member, true, &self.roster);
        if let Some(is_pinned) = is_pinned {
            self.ledger.pin(segment, member, is_pinned);
        }
        if is_new && let Some(entry) = self.ledger.get_mut(segment) {
            entry.failures = 0;
            entry.leases = 0;
        }
        self.look(now, segment);
    }

    fn look_at_all(&mut self, now: Time) {
        let all: Vec<_> = self.ledger.segments().collect();
        for segment in all {
            self.look(now, &segment);
        }
    }

    /// Finds out what a segment needs now, and when to come back to it.
    fn look(&mut self, now: Time, segment: &SegmentId) {
        let Some(entry) = self.ledger.get(segment) else {
            return;
        };
        if entry.unwanted {
            let again = self.plan_release(now, segment);
            self.wake_at(segment, again);
            return;
        }
        let state = self.state(segment, entry);
        let ask = self.plan_questions(now, segment);
        let act = self.plan_repair(now, segment, &state);
        let trim = self.plan_trim(now, segment, &state);
        self.wake_at(segment, ask.into_iter().chain(act).chain(trim).min());
    }

    fn forget(&mut self, segment: &SegmentId) {
        self.wake_at(segment, None);
        self.unready(segment);
        self.ledger.remove(segment);
        self.offers.retain(|it| it.segment != *segment);
        self.trims.retain(|(other, _)| other != segment);
    }

    /// Comes back to it then, or sooner.
    fn wake_by(&mut self, segment: &SegmentId, time: Option<Time>) {
        let sooner = self.waking.get(segment).copied();
        self.wake_at(segment, sooner.into_iter().chain(time).min());
    }

    /// Comes back to it then, and not before.
    fn wake_at(&mut self, segment: &SegmentId, time: Option<Time>) {
        if let Some(old) = self.waking.remove(segment) {
            self.wakes.remove(&(old, *segment));
        }
        if let Some(time) = time {
            self.waking.insert(*segment, time);
            self.wakes.insert((time, *segment));
        }
    }

    /// Looks at those whose time has come.
    fn wake(&mut self, now: Time) {
        // Each once, however short the waits are.
        let later = self.wakes.split_off(&(now, SegmentId([u8::MAX; 32])));
        let due = std::mem::replace(&mut self.wakes, later);
        for (_, segment) in due {
            self.waking.remove(&segment);
            self.look(now, &segment);
        }
    }

    /// What is missing, by how urgent it is: segments and their bytes.
    #[must_use]
    pub fn deficits(&self) -> [(usize, u64); 4] {
        let mut deficits = [(0, 0); 4];
        for (_, entry) in self.ledger.iter() {
            if let Some(need) = entry.need {
                let (segments, bytes) = &mut deficits[need.level as usize];
                *segments += 1;
                *bytes += entry.bytes;
            }
        }
        deficits
    }

    /// Segments of this member.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ledger.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Other members that are known to have a segment that this member has: those that said so themselves.
    /// What [`Action::Check`] tells.
    pub fn holders(&self, segment: &SegmentId) -> impl Iterator<Item = Member> {
        let copies = self.ledger.get(segment).map(|it| it.copies.iter());
        let verified = copies.into_iter().flatten().filter(|it| it.verified);
        verified.map(|it| it.member)
    }

    /// Whether a member has failed an audit of this segment lately, so that its word on it is passed over.
    #[must_use]
    pub fn distrusts(&self, now: Time, segment: &SegmentId, member: Member) -> bool {
        let entry = self.ledger.get(segment);
        entry.is_some_and(|it| it.distrusts(now, member))
    }

    /// Segments of this member that another is believed to have, too.
    #[must_use]
    pub fn common(&self, member: Member) -> Vec<SegmentId> {
        self.ledger.common(member)
    }

    /// Members that are believed to have something that this member has.
    pub fn partners(&self) -> impl Iterator<Item = Member> {
        self.ledger.partners()
    }

    /// Segments that this member and another have, as far as that one has said so itself, in their order; each with
    /// its holders that are here and have said so, these two among them, and whether they keep it in any case.
    pub fn shared(
        &self,
        member: Member,
    ) -> impl Iterator<Item = (SegmentId, impl Iterator<Item = (Member, bool)>)> {
        let common = self.ledger.common(member).into_iter();
        let entries = common.filter_map(|segment| Some((segment, self.ledger.get(&segment)?)));
        let said = entries.filter(move |(_, entry)| {
            let mut copies = entry.copies.iter();
            !entry.unwanted && copies.any(|it| it.member == member && it.verified)
        });
        said.map(|(segment, entry)| {
            let copies = entry.copies.iter();
            let here = copies.filter(|it| it.verified && self.roster.has(it.member));
            let holders = here.map(|it| (it.member, it.is_pinned));
            (segment, holders.chain([(self.me, entry.is_pinned)]))
        })
    }

    /// What is known of a segment of this member.
    #[must_use]
    pub fn status(&self, segment: &SegmentId) -> Option<Status> {
        let entry = self.ledger.get(segment)?;
        let copies = entry.copies.iter().map(|it| {
            let is_here = self.roster.has(it.member);
            (it.member, is_here, it.verified)
        });
        Some(Status {
            copies: copies.collect(),
            need: entry.need.map(|need| (need.level, need.due)),
            offered: self.offered(segment).collect(),
        })
    }
}

/// What is known of one segment, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The other holders: whether each is here, and whether it has shown its copy.
    pub copies: Vec<(Member, bool, bool)>,
    /// What is to be done, and when.
    pub need: Option<(Level, Time)>,
    /// Who is fetching it.
    pub offered: Vec<Member>,
}
