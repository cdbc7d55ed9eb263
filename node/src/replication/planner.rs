//! [`Planner`]: what one member does so that every segment that it has keeps its copies. Sans-IO: clock
//! and seed are arguments; the simulator drives hundreds of these, the node drives one.
//!
//! A member decides about segments that it has, and about no others: it offers them to those that
//! should have them, and gives up its own copy where there are too many. So nobody knows everything,
//! and what nobody has cannot be repaired by anybody.
//!
//! * Copies in sight are counted: those of members that are here, on distinct hosts, which have said
//!   so themselves since they were last away. Too few of them are a need, and it is due after a wait
//!   that is the shorter the fewer there are; it never becomes later by getting worse.
//! * Of the holders each has a rank, the order of their lots; each rank waits a minute longer. Who acts says so
//!   (a lease), and the others wait. If that is lost there is a copy more, for a while.
//! * Once it is due, all missing copies are offered, within the brakes.
//! * A copy is given up by its holder alone, when the others are enough, and each of them has shown its own and
//!   promised to keep it meanwhile. So whatever two members believe, they never give up the same last copies (I6).

mod brakes;
pub mod event;
mod ledger;
mod repair;
mod trim;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use store::segment::SegmentId;

use self::brakes::Brakes;
pub use self::event::{Action, Declined, Event, Level, Settings, Sight, Time};
use self::ledger::{Entry, Ledger};
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
    waking: HashMap<SegmentId, Time>,
    /// Segments whose turn it is and that wait for the brakes, the most urgent first.
    ready: BTreeSet<(Level, u8, SegmentId)>,
    /// Offers under way.
    offers: usize,
    full: bool,
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
            waking: HashMap::new(),
            ready: BTreeSet::new(),
            offers: 0,
            full: false,
            actions: Vec::new(),
        }
    }

    /// Takes an event; says what is to be done.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.take(now, event);
        self.wake(now);
        self.spend(now);
        std::mem::take(&mut self.actions)
    }

    /// When it wants an [`Event::Tick`] next.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let wake = self.wakes.first().map(|(time, _)| *time);
        let is_waiting = !self.ready.is_empty() && self.offers < self.settings.at_once;
        let brakes = is_waiting.then(|| self.brakes.next()).flatten();
        wake.into_iter().chain(brakes).min()
    }

    fn take(&mut self, now: Time, event: Event) {
        match event {
            Event::Roster { roster, returned } => self.on_roster(now, roster, &returned),
            Event::Sight(sight) => {
                let was = self.brakes.is_blind();
                self.brakes.see(sight);
                if was != self.brakes.is_blind() {
                    self.look_at_all(now);
                }
            }
            Event::Have {
                segment,
                bytes,
                policy,
                holders,
            } => {
                self.ledger.put(segment, bytes, policy);
                let me = self.me;
                for member in holders.into_iter().filter(|it| *it != me) {
                    self.ledger.note(&segment, member, false);
                    self.check(segment, member);
                }
                self.look(now, &segment);
            }
            Event::Lost { segment } | Event::Unwanted { segment } => self.forget(&segment),
            Event::Holds { segment, member } if member != self.me => {
                self.ledger.note(&segment, member, true);
                self.settle_offer(&segment, member);
                if let Some(entry) = self.ledger.get_mut(&segment) {
                    entry.failures = 0;
                }
                self.look(now, &segment);
            }
            Event::HoldsNot { segment, member } => {
                self.ledger.strike(&segment, member);
                self.look(now, &segment);
            }
            Event::Declined {
                segment,
                member,
                why,
            } => self.on_declined(now, &segment, member, why),
            Event::Lease { segment, lasts } => self.on_lease(now, &segment, lasts),
            Event::TrimAsked { segment, by } => self.on_trim_asked(now, segment, by),
            Event::TrimGranted { segment, by } => self.on_trim_granted(now, &segment, by),
            Event::TrimRefused { segment, .. } => self.on_trim_refused(now, &segment),
            Event::Full(full) => {
                if std::mem::replace(&mut self.full, full) != full {
                    self.look_at_all(now);
                }
            }
            Event::Rate(rate) => self.brakes.set_rate(rate, now),
            Event::Holds { .. } | Event::Tick => {}
        }
    }

    fn on_roster(&mut self, now: Time, roster: Arc<Roster>, returned: &[Member]) {
        let old = std::mem::replace(&mut self.roster, roster);
        for member in returned {
            for segment in self.ledger.common(*member) {
                self.ledger.doubt(&segment, *member);
                self.check(segment, *member);
            }
        }
        // Who came may be the right place for any segment. Who went concerns those that it has.
        if self.roster.is_more_than(&old) {
            self.look_at_all(now);
            return;
        }
        let mut concerned = BTreeSet::new();
        for member in old.members() {
            if !self.roster.has(member) {
                concerned.extend(self.ledger.common(member));
            }
        }
        for segment in concerned {
            self.look(now, &segment);
        }
    }

    fn check(&mut self, segment: SegmentId, member: Member) {
        if self.roster.has(member) {
            self.actions.push(Action::Check { segment, member });
        }
    }

    fn look_at_all(&mut self, now: Time) {
        let all: Vec<_> = self.ledger.segments().collect();
        for segment in all {
            self.look(now, &segment);
        }
    }

    /// Finds out what a segment needs now, and when to come back to it.
    fn look(&mut self, now: Time, segment: &SegmentId) {
        let Some(state) = self.ledger.get(segment).map(|it| self.state(segment, it)) else {
            return;
        };
        let act = self.plan_repair(now, segment, &state);
        let trim = self.plan_trim(now, segment, &state);
        self.wake_at(segment, act.into_iter().chain(trim).min());
    }

    /// How it is with a segment, as far as is known here.
    fn state(&self, segment: &SegmentId, entry: &Entry) -> State {
        let field = self.roster.under(&entry.policy);
        let verified = entry.copies.iter().filter(|it| it.verified);
        let here = verified
            .map(|it| it.member)
            .filter(|it| self.roster.has(*it));
        let holders: Vec<_> = here.chain([self.me]).collect();
        let stays = |member: &Member| match self.roster.candidate(*member) {
            Some(candidate) => candidate.stays,
            // Ourselves, while we are alone.
            None => true,
        };
        let ranked = field.ranked(segment, &holders);
        let mut hosts = BTreeSet::new();
        let counted: Vec<_> = ranked
            .iter()
            .copied()
            .filter(|it| stays(it) && hosts.insert(self.host(*it)))
            .collect();
        let leaves = holders.iter().any(|it| !stays(it));
        let belongs = field.place(segment, &counted, &[]);
        let target = field.target();
        let min = usize::from(entry.policy.copies.min);
        let level = match counted.len() {
            count if count >= target => {
                let misplaced = belongs.iter().any(|it| !counted.contains(it));
                misplaced.then_some(Level::Place)
            }
            0 | 1 => Some(Level::Last),
            count if count <= min => Some(Level::Minimum),
            _ => Some(Level::Below),
        };
        // Those that belong here stay longest, and then those with the best lots.
        let (mut order, others): (Vec<_>, Vec<_>) =
            counted.iter().partition(|it| belongs.contains(it));
        order.extend(others);
        let max = usize::from(entry.policy.copies.max).max(target);
        let enough = if self.full { target } else { max };
        State {
            level,
            rank: ranked.iter().position(|it| *it == self.me).unwrap_or(0),
            is_surplus: counted.len() > enough && order.last() == Some(&self.me),
            target,
            leaves: leaves && counted.len() < target,
        }
    }

    fn host(&self, member: Member) -> (Option<u32>, Member) {
        match self.roster.host(member) {
            Some(host) => (Some(host), Member(0)),
            None => (None, member),
        }
    }

    fn forget(&mut self, segment: &SegmentId) {
        self.wake_at(segment, None);
        self.unready(segment);
        if let Some(entry) = self.ledger.remove(segment) {
            self.offers -= entry.offered.len();
        }
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
        while let Some((time, segment)) = self.wakes.first().copied()
            && time <= now
        {
            self.wake_at(&segment, None);
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
            offered: entry.offered.clone(),
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

/// How it is with a segment.
struct State {
    level: Option<Level>,
    /// Ours among the holders, 0 for the first.
    rank: usize,
    /// Ours is the one too many.
    is_surplus: bool,
    target: usize,
    /// A holder is on its way out, and its copy is needed.
    leaves: bool,
}
