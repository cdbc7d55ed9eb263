//! [`World`]: members, the links between them, and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::wire::member::{MemberId, MemberRole, Tags};

use super::traffic;
use crate::members::awaited::Remembered;
use crate::members::roster::Roster;
use crate::members::{Action, Answer, Ask, Author, Claim, Core, Health, Settings, Ticket, Token};

/// What the links do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    /// Part of the packets that are lost.
    pub(super) loss: f64,
    /// Whether they are sent again, as TCP and QUIC do after 200 ms, 400 ms, …; if not, the message is
    /// lost.
    pub(super) again: bool,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    pub(super) links: Links,
    pub(super) nodes: Vec<Node>,
    pub(super) index: HashMap<MemberId, usize>,
    pub(super) settings: Settings,
    events: BinaryHeap<Reverse<(Instant, u64, Box<Event>)>>,
    sequence: u64,
    pub(super) linked: HashSet<(usize, usize)>,
    /// Those of them over which nothing comes any more.
    pub(super) silent: HashSet<(usize, usize)>,
    /// Who asked what, by our number.
    tickets: BTreeMap<Ticket, (usize, Token)>,
    pub(super) claims: usize,
}

pub(super) struct Node {
    pub(super) core: Core,
    key: Keypair,
    pub(super) life: Life,
    /// Raised by each start, so that events of an earlier life are dropped.
    lives: u32,
    /// Reaches only those of the same side.
    pub(super) side: u8,
    /// Added to each message from and to it.
    pub(super) slow: Duration,
    pub(super) sent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Up,
    /// Its process ended: connections to it are refused.
    Ended,
    /// Without power: silent.
    Silent,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct To(usize, u32);

#[derive(Debug)]
enum Event {
    Tick(To),
    Ask(To, MemberId, Ticket, Ask),
    Answer(To, MemberId, Token, Answer),
    NoAnswer(To, Token),
    Link(usize, usize),
    Linked(To, MemberId),
    Unlinked(To, MemberId),
    DialFailed(To, MemberId),
    Claim(To, MemberId, Arc<Claim>),
}

impl PartialEq for Event {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Events are ordered by time and number alone.
impl Ord for Event {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: Instant::now(),
            rng: StdRng::seed_from_u64(seed),
            links: Links {
                loss: 0.0,
                again: true,
            },
            nodes: Vec::new(),
            index: HashMap::new(),
            settings: Settings::default(),
            events: BinaryHeap::new(),
            sequence: 0,
            linked: HashSet::new(),
            silent: HashSet::new(),
            tickets: BTreeMap::new(),
            claims: 0,
        }
    }

    /// So many members that have known each other for long, and are not connected yet.
    pub(super) fn settled(seed: u64, members: usize) -> Self {
        let mut world = Self::new(seed);
        for _ in 0..members {
            world.create();
        }
        let mut all = Roster::default();
        for node in &world.nodes {
            let own = node.core.record(&node.core.id());
            all.put(Arc::clone(own.expect("one knows oneself")));
        }
        let now = world.now;
        for at in 0..members {
            let core = &mut world.nodes[at].core;
            core.knows(all.clone());
            core.is_settled_in(now);
            world.begin(at);
        }
        world
    }

    fn create(&mut self) -> usize {
        let mut secret: [u8; 32] = self.rng.random();
        let key = Keypair::ed25519_from_bytes(&mut secret).expect("any 32 bytes are a key");
        let core = self.core(&key, 1);
        self.index.insert(core.id(), self.nodes.len());
        self.nodes.push(Node {
            core,
            key,
            life: Life::Up,
            lives: 0,
            side: 0,
            slow: Duration::ZERO,
            sent: 0,
        });
        self.nodes.len() - 1
    }

    fn core(&mut self, key: &Keypair, version: u64) -> Core {
        let tags = Tags::new([("zone".to_owned(), "a".to_owned())]).expect("a tag");
        let author = Author::new(key.clone(), "sim", MemberRole::Storage, tags, version);
        let author = author.expect("an Ed25519 key");
        let mut core = Core::new(author, self.settings.clone(), self.rng.random(), self.now);
        // As long as two addresses, over TCP and QUIC.
        core.set_addresses(vec![
            vec![4; 8].into(),
            vec![6; 20].into(),
            vec![4; 10].into(),
        ]);
        core
    }

    fn begin(&mut self, at: usize) {
        let wait = self
            .settings
            .tick()
            .mul_f64(self.rng.random_range(0.0..1.0));
        let to = self.to(at);
        self.push(wait, Event::Tick(to));
    }

    /// A new member that knows `via` only.
    pub(super) fn join(&mut self, via: Option<usize>) -> usize {
        let at = self.create();
        self.begin(at);
        if let Some(via) = via {
            self.push(Duration::from_millis(20), Event::Link(at, via));
        }
        at
    }

    /// Its process is started again, and finds the swarm by `via`.
    pub(super) fn restart(&mut self, at: usize, via: usize) {
        // The machine's clock went on.
        let own = self.nodes[at].core.id();
        let version = self.nodes[at]
            .core
            .record(&own)
            .map_or(0, |own| own.version());
        self.restart_at(at, via, version + 1000);
    }

    /// The same, with a version of its record to begin with.
    pub(super) fn restart_at(&mut self, at: usize, via: usize, version: u64) {
        self.start_again(at, version, Vec::new());
        self.push(Duration::from_millis(20), Event::Link(at, via));
    }

    /// Its process is started again, and remembers whom it knew; nobody is named to it.
    pub(super) fn restart_remembering(&mut self, at: usize) {
        let old = &self.nodes[at].core;
        let own = old.record(&old.id()).map_or(0, |own| own.version());
        let remembered = old.to_remember(self.now);
        self.start_again(at, own + 1000, remembered);
    }

    fn start_again(&mut self, at: usize, version: u64, remembered: Vec<Remembered>) {
        let key = self.nodes[at].key.clone();
        let mut core = self.core(&key, version);
        core.remembers(remembered, self.now);
        let node = &mut self.nodes[at];
        (node.core, node.life, node.lives) = (core, Life::Up, node.lives + 1);
        self.begin(at);
    }

    pub(super) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].life == Life::Up
    }

    fn to(&self, at: usize) -> To {
        To(at, self.nodes[at].lives)
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events
            .push(Reverse((self.now + after, self.sequence, Box::new(event))));
    }

    /// Closes all links of a node that `which` names; both sides hear of it.
    pub(super) fn unlink(&mut self, which: impl Fn(usize, usize) -> bool) {
        let mut cut: Vec<_> = self
            .linked
            .iter()
            .copied()
            .filter(|&(a, b)| which(a, b))
            .collect();
        cut.sort_unstable();
        for (a, b) in cut {
            self.linked.remove(&(a, b));
            self.silent.remove(&(a, b));
            for (to, from) in [(a, b), (b, a)] {
                let (to, from) = (self.to(to), self.nodes[from].core.id());
                self.push(Duration::from_millis(5), Event::Unlinked(to, from));
            }
        }
    }

    /// Whether what one sends over their link comes to the other.
    fn carries(&self, a: usize, b: usize) -> bool {
        !self.silent.contains(&pair(a, b)) && self.reaches(a, b)
    }

    pub(super) fn reaches(&self, a: usize, b: usize) -> bool {
        self.is_up(a) && self.is_up(b) && self.nodes[a].side == self.nodes[b].side
    }

    /// How long a message takes from `a` to `b`; `None` if it does not arrive.
    fn latency(&mut self, a: usize, b: usize) -> Option<Duration> {
        let slow = self.nodes[a].slow + self.nodes[b].slow;
        let mut time = Duration::from_millis(self.rng.random_range(1..50)) + slow;
        let mut wait = Duration::from_millis(200);
        while self.rng.random_bool(self.links.loss) {
            if !self.links.again {
                return None;
            }
            time += wait;
            wait *= 2;
        }
        Some(time)
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, _, _))) = self.events.peek() {
            if *at > end {
                break;
            }
            let Some(Reverse((at, _, event))) = self.events.pop() else {
                break;
            };
            self.now = at;
            self.happen(*event);
        }
        self.now = end;
    }

    /// Lets time pass until `fact`, looked at each second; how long it took.
    pub(super) fn until(&mut self, limit: Duration, fact: impl Fn(&Self) -> bool) -> Duration {
        let began = self.now;
        while !fact(self) {
            let took = self.now - began;
            assert!(took < limit, "not within {limit:?}");
            self.run(Duration::from_secs(1));
        }
        self.now - began
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        if let Event::Link(a, b) = event {
            return self.link(a, b);
        }
        let To(at, life) = match &event {
            Event::Tick(to)
            | Event::Ask(to, ..)
            | Event::Answer(to, ..)
            | Event::NoAnswer(to, ..)
            | Event::Linked(to, ..)
            | Event::Unlinked(to, ..)
            | Event::DialFailed(to, ..)
            | Event::Claim(to, ..) => to.clone(),
            Event::Link(..) => return,
        };
        let node = &mut self.nodes[at];
        if node.life != Life::Up || node.lives != life {
            return;
        }
        let core = &mut node.core;
        let mut again = false;
        match event {
            Event::Tick(_) => {
                core.on_tick(now);
                again = true;
            }
            Event::Ask(_, from, ticket, ask) => core.on_ask(from, ticket, ask, now),
            Event::Answer(_, from, token, answer) => core.on_answer(from, token, answer, now),
            Event::NoAnswer(_, token) => core.on_no_answer(token, now),
            Event::Linked(_, id) => core.on_connected(id, now),
            Event::Unlinked(_, id) => core.on_disconnected(id, now),
            Event::DialFailed(_, id) => core.on_dial_failed(id, now),
            Event::Claim(_, author, claim) => drop(core.on_claim(author, (*claim).clone(), now)),
            Event::Link(..) => {}
        }
        for action in core.actions() {
            self.act(at, action);
        }
        if again {
            let to = self.to(at);
            self.push(self.settings.tick(), Event::Tick(to));
        }
    }

    pub(super) fn act(&mut self, at: usize, action: Action) {
        let own = self.nodes[at].core.id();
        match action {
            Action::Ask { to, token, ask } => {
                let to = self.index[&to];
                self.nodes[at].sent += traffic::of_ask(&ask) + traffic::EXCHANGE / 2;
                if !self.linked.contains(&pair(at, to)) {
                    let asker = self.to(at);
                    return self.push(Duration::ZERO, Event::NoAnswer(asker, token));
                }
                let carries = self.carries(at, to);
                let Some(latency) = self.latency(at, to).filter(|_| carries) else {
                    return;
                };
                self.sequence += 1;
                let ticket = Ticket(self.sequence);
                self.tickets.insert(ticket, (at, token));
                let to = self.to(to);
                self.push(latency, Event::Ask(to, own, ticket, ask));
            }
            Action::Answer { ticket, answer } => {
                self.nodes[at].sent += traffic::of_answer(&answer) + traffic::EXCHANGE / 2;
                let Some((to, token)) = self.tickets.remove(&ticket) else {
                    return;
                };
                if let Some(latency) = self.latency(at, to)
                    && self.reaches(at, to)
                {
                    let to = self.to(to);
                    self.push(latency, Event::Answer(to, own, token, answer));
                }
            }
            Action::Dial(id) => {
                let to = self.index[&id];
                let wait = Duration::from_millis(self.rng.random_range(10..200));
                self.push(wait + self.nodes[to].slow, Event::Link(at, to));
            }
            Action::HangUp(id) => {
                let to = self.index[&id];
                self.unlink(|a, b| pair(a, b) == pair(at, to));
            }
            Action::Publish(claim) => self.publish(at, claim),
            Action::Heard(_) => {}
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if !self.is_up(a) || a == b || self.linked.contains(&pair(a, b)) {
            return;
        }
        let (to, other) = (self.to(a), self.nodes[b].core.id());
        if self.reaches(a, b) {
            self.linked.insert(pair(a, b));
            let (of, own) = (self.to(b), self.nodes[a].core.id());
            self.push(Duration::ZERO, Event::Linked(to, other));
            self.push(Duration::from_millis(5), Event::Linked(of, own));
            self.nodes[a].sent += traffic::DIAL / 2;
            self.nodes[b].sent += traffic::DIAL / 2;
        } else {
            let refused =
                self.nodes[b].life == Life::Ended && self.nodes[b].side == self.nodes[a].side;
            let wait = Duration::from_secs(if refused { 0 } else { 10 });
            self.push(wait, Event::DialFailed(to, other));
        }
    }

    /// Everybody on the same side hears it within a second and a half, if somebody is there to pass it on.
    fn publish(&mut self, at: usize, claim: Claim) {
        let heard = self
            .linked
            .iter()
            .any(|&(a, b)| (a == at || b == at) && self.carries(a, b));
        if !heard {
            let now = self.now;
            return self.nodes[at].core.on_unpublished(&claim, now);
        }
        self.claims += 1;
        let size = traffic::of_claim(&claim) * traffic::COPIES;
        let (own, claim) = (self.nodes[at].core.id(), Arc::new(claim));
        let slow = self.nodes[at].slow;
        self.nodes[at].sent += size;
        for to in 0..self.nodes.len() {
            if to == at || !self.reaches(at, to) {
                continue;
            }
            self.nodes[to].sent += size;
            // Six ways lead to each: all of them are lost once in 64 million at five of a hundred.
            if !self.links.again && self.rng.random_bool(self.links.loss.powi(6)) {
                continue;
            }
            let wait = Duration::from_millis(self.rng.random_range(50..1500));
            let to = self.to(to);
            let slow = slow + self.nodes[to.0].slow;
            self.push(wait + slow, Event::Claim(to, own, Arc::clone(&claim)));
        }
    }

    /// What `by` thinks of `of`; `None` if it does not know it.
    pub(super) fn opinion(&self, by: usize, of: usize) -> Option<Health> {
        let (core, id) = (&self.nodes[by].core, self.nodes[of].core.id());
        core.record(&id)?;
        Some(core.health_of(&id, self.now))
    }

    /// Whether each member that is up thinks so of `of`.
    pub(super) fn all_think(&self, of: usize, what: impl Fn(Option<Health>) -> bool) -> bool {
        let up = (0..self.nodes.len()).filter(|&by| by != of && self.is_up(by));
        up.into_iter().all(|by| what(self.opinion(by, of)))
    }

    /// Whether each member that is up knows each other, and nobody else, as there.
    pub(super) fn agrees(&self) -> bool {
        let up = (0..self.nodes.len()).filter(|&at| self.is_up(at));
        let mut there: Vec<_> = up.clone().map(|at| self.nodes[at].core.id()).collect();
        there.sort_unstable();
        up.into_iter().all(|at| {
            let core = &self.nodes[at].core;
            core.inside().map(|it| it.id()).eq(there.iter().copied())
        })
    }

    /// Bytes that a member has sent since the last look, on average; as many were received.
    pub(super) fn sent(&mut self) -> usize {
        let sum: usize = self
            .nodes
            .iter_mut()
            .map(|node| std::mem::take(&mut node.sent))
            .sum();
        sum / self.nodes.len()
    }
}

const fn pair(a: usize, b: usize) -> (usize, usize) {
    if a < b { (a, b) } else { (b, a) }
}
