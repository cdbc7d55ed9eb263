//! [`Core`]: what a member knows of the others, and what it does next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::wire::member::{Accusation, Holdings, MemberId, MemberState, Record};

use super::ask::{Action, Answer, Ask, Claim, Known, Ticket, Token};
use super::awaited::Awaited;
use super::gossip::Pace;
use super::health::LocalHealth;
use super::marks::{Link, Marks, Standing};
use super::neighbours::Neighbours;
use super::probes::Probes;
use super::pulls::Pulls;
use super::record::{Author, Offer, Verified};
use super::relay::Relays;
use super::roster::Roster;
use super::settings::Settings;
use crate::reconcile;

/// Looks (in probe intervals) between two cleanings of what has been remembered for long enough.
const TIDY: u32 = 60;

/// One member's side of it all. Everything that happens is told to it by its methods, with the time;
/// what it wants done is taken from it by [`Core::actions`].
pub(crate) struct Core {
    pub(super) settings: Settings,
    pub(super) author: Author,
    pub(super) rng: StdRng,
    pub(super) roster: Roster,
    pub(super) marks: Marks,
    /// Who was here when this node last ran.
    pub(super) awaited: Awaited,
    /// Whoever is suspected now; each has a mark.
    pub(super) suspects: BTreeSet<MemberId>,
    pub(super) neighbours: Neighbours,
    pub(super) health: LocalHealth,
    pub(super) probes: Probes,
    pub(super) relays: Relays,
    pub(super) pulls: Pulls,
    pub(super) pace: Pace,
    /// Questions under way, and when they are forgotten. Bounded by those who ask: probes, relays, one
    /// pull, and a goodbye.
    asked: BTreeMap<Token, (Purpose, Instant)>,
    tokens: u64,
    tidy: Instant,
    revive: Instant,
    out: Vec<Action>,
}

/// What a question of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A probe of this member.
    Probe(MemberId, Instant),
    /// A probe of this member through another.
    Through(MemberId),
    /// Somebody else's probe.
    Relay(Ticket),
    /// The pull under way.
    Pull,
    /// What others should not act without: that we go, or are about to.
    Notice,
}

impl Core {
    pub(crate) fn new(author: Author, settings: Settings, seed: u64, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut roster = Roster::default();
        roster.put(Arc::clone(author.current()));
        Self {
            neighbours: Neighbours::new(author.id(), rng.random()),
            probes: Probes::new(now),
            pulls: Pulls::new(now),
            pace: Pace::new(now),
            relays: Relays::default(),
            marks: Marks::default(),
            awaited: Awaited::default(),
            suspects: BTreeSet::new(),
            health: LocalHealth::default(),
            asked: BTreeMap::new(),
            tokens: 0,
            tidy: now,
            revive: now + settings.revive,
            out: Vec::new(),
            settings,
            author,
            rng,
            roster,
        }
    }

    /// What is to be done; to be taken after each call.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    pub(crate) const fn id(&self) -> MemberId {
        self.author.id()
    }

    /// The newest record of a member.
    pub(crate) fn record(&self, id: &MemberId) -> Option<&Arc<Verified>> {
        self.roster.get(id)
    }

    /// The newest record of a member that is known, or was when this node last ran: for its addresses.
    pub(crate) fn record_to_dial(&self, id: &MemberId) -> Option<&Arc<Verified>> {
        self.roster.get(id).or_else(|| self.awaited.get(id))
    }

    /// To be called each [`Settings::tick`].
    pub(crate) fn on_tick(&mut self, now: Instant) {
        if self.author.record().state == MemberState::Left {
            return;
        }
        self.judge(now);
        self.probe_tick(now);
        self.relay_tick(now);
        self.pull_tick(now);
        self.publish_tick(now);
        self.call_awaited(now);
        if now >= self.revive {
            self.revive = now + self.settings.revive;
            self.try_the_gone();
        }
        if now >= self.tidy {
            self.tidy = now + self.settings.probe * TIDY;
            self.asked.retain(|_, (_, until)| *until > now);
            self.forget_the_gone(now);
        }
    }

    /// A member is connected, and speaks our protocol.
    pub(crate) fn on_connected(&mut self, id: MemberId, now: Instant) {
        if id == self.id() {
            return;
        }
        let mark = self.marks.of(id);
        mark.link = Some(Link::default());
        mark.redial = super::marks::Redial::default();
        if !self.roster.is_in(&id) {
            // A stranger, or one who has returned: it tells its record.
            self.start_probe(id, now);
        }
        self.probe_connected(id, now);
        self.relay_connected(id, now);
        self.pull_connected(now);
    }

    /// The last connection to a member is closed.
    pub(crate) fn on_disconnected(&mut self, id: MemberId, now: Instant) {
        let Some(mark) = self.marks.existing(&id) else {
            return;
        };
        mark.link = None;
        // It may have gone, or only the link: whoever was connected looks, not all at one moment.
        if self.roster.is_in(&id) {
            self.verify_soon(id, now);
        }
    }

    /// A dial that we asked for led nowhere.
    pub(crate) fn on_dial_failed(&mut self, id: MemberId, now: Instant) {
        if self.awaited.get(&id).is_some() {
            // It is dialled again now and then, like the gone.
            return;
        }
        let jitter = self.rng.random_range(0.75..1.25);
        let wait = self.settings.redial.mul_f64(jitter);
        let redial = &mut self.marks.of(id).redial;
        redial.until = None;
        redial.not_before = Some(now + wait * (1 << redial.failures.min(4)));
        redial.failures = redial.failures.saturating_add(1);
        self.probe_unconnected(id, now);
        self.relay_unconnected(id);
    }

    /// Somebody asks; the answer comes as an action, perhaps later.
    pub(crate) fn on_ask(&mut self, from: MemberId, ticket: Ticket, ask: Ask, now: Instant) {
        self.seen(from, now);
        let answer = match ask {
            Ask::Probe {
                version,
                known,
                suspected,
            } => {
                if suspected && known == self.author.record().version {
                    self.refute(known);
                }
                let news = self
                    .roster
                    .get(&from)
                    .is_none_or(|it| it.version() < version);
                if news || !self.roster.is_in(&from) {
                    self.start_probe(from, now);
                }
                self.alive(known)
            }
            Ask::Reach(subject) => return self.relay(ticket, subject, now),
            Ask::Compare(questions) => {
                let roster = &self.roster;
                let verdict = |question| {
                    let Ok(verdict) = reconcile::answer(roster, question);
                    verdict
                };
                Answer::Compared(questions.iter().map(verdict).collect())
            }
            Ask::Fetch(members) => {
                Answer::Records(members.iter().filter_map(|id| self.known(id)).collect())
            }
            Ask::Tell(record) => {
                self.learn(record, now);
                self.alive(self.author.record().version)
            }
        };
        self.act(Action::Answer { ticket, answer });
    }

    fn alive(&self, known: u64) -> Answer {
        let own = self.author.current();
        Answer::Alive((own.version() > known).then(|| Arc::clone(own)))
    }

    fn known(&self, id: &MemberId) -> Option<Known> {
        let record = Arc::clone(self.roster.get(id)?);
        let mark = self.marks.get(id);
        let gone = mark.is_some_and(|mark| matches!(mark.standing, Standing::Gone(_)));
        Some(Known { record, gone })
    }

    /// The answer to a question of ours.
    pub(crate) fn on_answer(&mut self, from: MemberId, token: Token, answer: Answer, now: Instant) {
        self.seen(from, now);
        let Some((purpose, _)) = self.asked.remove(&token) else {
            return;
        };
        match (purpose, answer) {
            (Purpose::Probe(subject, asked), Answer::Alive(record)) => {
                self.probe_answered(subject, record, asked, now);
            }
            (Purpose::Through(subject), Answer::Reached(true)) => self.probe_reached(subject),
            (Purpose::Through(subject), _) => self.probe_not_reached(subject, true, now),
            (Purpose::Relay(ticket), Answer::Alive(_)) => self.relay_done(ticket, true),
            (Purpose::Pull, answer) => self.pull_answered(from, answer, now),
            (Purpose::Probe(..) | Purpose::Relay(_) | Purpose::Notice, _) => {}
        }
    }

    /// No answer will come: the connection is closed, or the peer does not understand us.
    pub(crate) fn on_no_answer(&mut self, token: Token, now: Instant) {
        let Some((purpose, _)) = self.asked.remove(&token) else {
            return;
        };
        match purpose {
            Purpose::Probe(subject, _) => self.probe_unconnected(subject, now),
            Purpose::Through(subject) => self.probe_not_reached(subject, false, now),
            Purpose::Relay(ticket) => self.relay_done(ticket, false),
            Purpose::Pull => self.pulls.give_up(),
            Purpose::Notice => {}
        }
    }

    /// An announcement of `author`, who has signed it. Says whether any of it is news, and worth passing on.
    pub(crate) fn on_claim(&mut self, author: MemberId, claim: Claim, now: Instant) -> bool {
        let mut news = false;
        for record in claim.records {
            news |= self.learn(record, now);
        }
        for Accusation { member, version } in claim.accusations {
            news |= self.accused(author, member, version, now);
        }
        news
    }

    /// Where we listen.
    pub(crate) fn set_addresses(&mut self, addresses: Vec<bytes::Bytes>) {
        if self.author.record().addresses != addresses {
            self.change(|record| record.addresses = addresses);
        }
    }

    /// What we hold.
    pub(crate) fn set_holdings(&mut self, holdings: Holdings) {
        if self.author.record().holdings != holdings {
            self.author.change(0, |record| record.holdings = holdings);
            self.own_changed();
            self.pace.soft();
        }
    }

    /// What we offer.
    pub(crate) fn set_offer(&mut self, offer: &Offer) {
        if self.author.offer(offer) {
            self.own_changed();
            self.pace.soft();
        }
    }

    /// We are about to leave, or stay after all: tells all, and those who are connected besides.
    pub(crate) fn set_leaving(&mut self, leaving: bool, now: Instant) {
        let state = if leaving {
            MemberState::Leaving
        } else {
            MemberState::Up
        };
        let told = self.author.record().state;
        if told != state && told != MemberState::Left {
            self.change(|record| record.state = state);
        }
        self.notify(now);
    }

    /// Tells the own record to those who are connected, at most as many as are in a full mesh.
    /// [`Core::is_noted`] says when they know.
    fn notify(&mut self, now: Instant) {
        let own = Arc::clone(self.author.current());
        let linked: Vec<_> = self.marks.linked().take(super::settings::FULL).collect();
        for to in linked {
            self.ask(to, Purpose::Notice, Ask::Tell(Arc::clone(&own)), now);
        }
    }

    /// Whether everybody who was told that we go, or are about to, has taken note or cannot be reached.
    pub(crate) fn is_noted(&self) -> bool {
        let mut purposes = self.asked.values().map(|(purpose, _)| *purpose);
        !purposes.any(|purpose| purpose == Purpose::Notice)
    }

    fn change(&mut self, change: impl FnOnce(&mut Record)) {
        self.author.change(0, change);
        self.own_changed();
        self.pace.hard();
    }

    pub(super) fn own_changed(&mut self) {
        self.roster.put(Arc::clone(self.author.current()));
    }

    /// We go: tells all, and those who are connected besides.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.author
            .change(0, |record| record.state = MemberState::Left);
        self.own_changed();
        self.notify(now);
        let claim = Claim {
            records: vec![Arc::clone(self.author.current())],
            accusations: Vec::new(),
        };
        self.act(Action::Publish(claim));
    }

    pub(super) fn ask(&mut self, to: MemberId, purpose: Purpose, ask: Ask, now: Instant) {
        self.tokens += 1;
        let token = Token(self.tokens);
        // The swarm says before that no answer comes; this is for one that does not.
        let forget = now + self.settings.indirect * 8;
        self.asked.insert(token, (purpose, forget));
        self.act(Action::Ask { to, token, ask });
    }

    fn seen(&mut self, id: MemberId, now: Instant) {
        if let Some(mark) = self.marks.existing(&id) {
            mark.seen = Some(now);
        }
    }
}

#[cfg(test)]
impl Core {
    /// Knows these members from the start.
    pub(super) fn knows(&mut self, roster: Roster) {
        self.roster = roster;
        self.own_changed();
        self.neighbours.parted(&self.roster, &self.author.id());
    }

    /// Has announced itself some time ago.
    pub(super) fn is_settled_in(&mut self, now: Instant) {
        let repeat = self.settings.repeat(self.roster.members());
        self.pace
            .announced(now, now + repeat.mul_f64(self.rng.random_range(0.0..1.0)));
    }
}
