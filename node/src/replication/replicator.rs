//! [`Replicator`]: the one task that drives planner and auditor in a node. It keeps what they decide by, does
//! what they want done, and answers the other members; what takes disk or network is done by tasks of its
//! own, whose ends come back as notes. It never waits for any of them.

mod act;
mod audits;
mod context;
mod crew;
mod cut;
mod drain;
mod holdings;
mod inbound;
mod load;
mod mend;
mod notes;
mod numbers;
mod offers;
mod places;
mod pull;
mod pulls;
mod report;
mod shared;
mod sync;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use store::Cid;
use store::audit::Challenge;
use store::repo::Repo;
use store::segment::SegmentId;
use store::wire::member;
use store::wire::replica::ReplicaResponse;
use tokio::sync::{Semaphore, mpsc};

use self::context::{Awaited, Context, Turns};
use self::holdings::{Held, Holdings};
use self::mend::Mending;
use self::notes::Note;
use self::numbers::Numbers;
use self::places::Placings;
use self::pulls::Pulls;
use self::shared::Comparing;
use super::audit::{self, Auditor};
use super::handle::{Command, Replication};
use super::pins::Pins;
use super::placement::{Candidate, Member, Roster};
use super::planner::{self, Planner};
use super::policy::Policy;
use crate::exchange::Exchange;
use crate::members::{self, member_of};
use crate::network::{Network, ReplicaInbound, ReplyChannel};
use crate::node::Room;

/// Between two looks at who is here.
const LOOK: Duration = Duration::from_secs(1);
/// Members are told of a change of what is held so often at most: it goes on while contents come in.
const TELL: Duration = Duration::from_secs(5);
/// Whoever has just begun may not have heard of the latest wishes: so long nothing is taken for unwanted.
const SETTLE: Duration = Duration::from_secs(5 * 60);
/// Challenges that are answered at once, and copies that are read at once for other comparisons: a few MiB each.
const READS: usize = 4;

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) network: Network,
    pub(crate) exchange: Exchange,
    pub(crate) repo: Weak<Repo>,
    pub(crate) pins: Arc<Pins>,
    pub(crate) key: Keypair,
    /// The name of the swarm.
    pub(crate) swarm: String,
    /// Whether its members store for each other.
    pub(crate) is_private: bool,
    /// By what all waits are divided.
    pub(crate) time_scale: f64,
    /// Bytes a second that repairs offer.
    pub(crate) rate: u64,
    /// What may be placed here.
    pub(crate) room: Arc<Room>,
    /// Whether it stays, and keeps copies for others. Who comes for one command has others make copies, and does
    /// not count as a holder: its bytes go with it.
    pub(crate) is_member: bool,
    /// What other members ask.
    pub(crate) arrivals: mpsc::Receiver<ReplicaInbound>,
}

/// See the module.
pub(super) struct Replicator {
    context: Arc<Context>,
    began: Instant,
    me: Member,
    planner: Planner,
    auditor: Auditor,
    numbers: Numbers,
    holdings: Holdings,
    /// What is wanted of the roots that the holdings are known by.
    policies: HashMap<Cid, Arc<Policy>>,
    roster: Arc<Roster>,
    /// What it was made of: a roster of thousands is not made anew each second.
    candidates: Vec<Candidate>,
    /// The members as they were at the last look.
    crew: Vec<members::Member>,
    is_blind: bool,
    /// Whose copies those here count as; nobody's at a guest.
    ours: Option<Member>,
    rate: u64,
    /// Offers under way: the planner's few, and those of placings.
    offers: HashSet<(SegmentId, Member)>,
    /// Questions for leave to trim, until the planner has answered them: within the same step.
    trims: HashMap<(SegmentId, Member, u64), (ReplyChannel<ReplicaResponse>, Challenge)>,
    pulls: Pulls,
    /// Copies of ours that are not whole, or may not be.
    mending: Mending,
    placings: Placings,
    /// Segments that were found here, and whose places have not been asked whether they have them.
    unasked: Vec<SegmentId>,
    /// When another's copy of a segment last passed an audit.
    audited: HashMap<SegmentId, Duration>,
    /// Why it takes nothing new, if it does not.
    read_only: Option<String>,
    /// Whether what was here when it began is known.
    is_loaded: bool,
    /// Whether it has been here for so long that what nobody wants is believed to be unwanted.
    is_settled: bool,
    reads: Arc<Semaphore>,
    comparing: Comparing,
    told: Option<(Duration, member::Holdings)>,
    notes: mpsc::Sender<Note>,
    heard: mpsc::Receiver<Note>,
}

/// Begins to keep copies in this swarm, until it ends. Must be called within a tokio runtime.
pub(crate) fn start(parts: Parts) -> Replication {
    let (handle, commands) = Replication::new();
    let Some((replicator, arrivals)) = Replicator::new(parts) else {
        // Its key is no member's: nobody could name it as a holder. The commands' end is dropped.
        tracing::warn!("this node's key is not Ed25519: it keeps no copies for others");
        return handle;
    };
    tokio::spawn(replicator.run(commands, arrivals));
    handle
}

impl Replicator {
    #[allow(clippy::too_many_lines, reason = "a list of its fields")]
    fn new(parts: Parts) -> Option<(Self, mpsc::Receiver<ReplicaInbound>)> {
        let Parts {
            network,
            exchange,
            repo,
            pins,
            key,
            swarm,
            is_private,
            time_scale,
            rate,
            room,
            is_member,
            arrivals,
        } = parts;
        let id = member_of(&network.peer_id())?;
        let mut numbers = Numbers::default();
        let me = numbers.assign(id);
        let time_scale = time_scale.max(1.0);
        let plan = planner::Settings {
            rate,
            ..planner::Settings::default()
        };
        let (notes, heard) = mpsc::channel(notes::WAITING);
        let context = Context {
            network,
            exchange,
            repo,
            pins,
            key,
            me: id,
            swarm,
            is_private,
            time_scale,
            room,
            awaited: Awaited::default(),
            turns: Turns::default(),
            reads: Semaphore::new(READS),
        };
        let replicator = Self {
            context: Arc::new(context),
            began: Instant::now(),
            me,
            planner: Planner::new(me, plan.scaled(time_scale), rand::random()),
            auditor: Auditor::new(
                audit::Settings::default().scaled(whole(time_scale)),
                StdRng::from_os_rng(),
            ),
            numbers,
            holdings: Holdings::default(),
            policies: HashMap::new(),
            roster: Arc::new(Roster::new([])),
            candidates: Vec::new(),
            crew: Vec::new(),
            is_blind: false,
            ours: is_member.then_some(me),
            rate,
            offers: HashSet::new(),
            trims: HashMap::new(),
            pulls: Pulls::default(),
            mending: Mending::default(),
            placings: Placings::default(),
            unasked: Vec::new(),
            audited: HashMap::new(),
            read_only: None,
            is_loaded: false,
            is_settled: false,
            reads: Arc::new(Semaphore::new(READS)),
            comparing: Comparing::default(),
            told: None,
            notes,
            heard,
        };
        Some((replicator, arrivals))
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut arrivals: mpsc::Receiver<ReplicaInbound>,
    ) {
        let network = self.context.network.clone();
        let sync = self.ours.map(|_| {
            self.load();
            let sync = sync::run(Arc::clone(&self.context), self.notes.clone());
            tokio::spawn(sync)
        });
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = tokio::time::Instant::from_std(self.began) + self.wake();
            tokio::select! {
                Some(inbound) = arrivals.recv() => self.on_inbound(inbound),
                Some(command) = commands.recv() => {
                    if command.looks() {
                        let (crew, sight) = network.members().await;
                        self.look_at(crew, sight);
                    }
                    self.on_command(command);
                }
                Some(note) = self.heard.recv() => self.on_note(note),
                _ = look.tick() => {
                    let (crew, sight) = network.members().await;
                    self.look_at(crew, sight);
                }
                () = tokio::time::sleep_until(wake) => self.tick(),
                () = network.closed() => break,
            }
        }
        sync.inspect(tokio::task::JoinHandle::abort);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// When planner or auditor want to be woken; within the hour.
    fn wake(&self) -> Duration {
        let wakes = [self.planner.next(), self.auditor.wake()];
        let latest = self.now() + Duration::from_secs(3600);
        wakes
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(latest)
            .min(latest)
    }

    fn tick(&mut self) {
        self.plan(planner::Event::Tick);
        self.audit(audit::Event::Tick);
    }

    /// Takes in who is here.
    fn look_at(&mut self, crew: Vec<members::Member>, sight: members::Sight) {
        let now = self.now();
        let auditor = &self.auditor;
        let trust = |member| (auditor.score(member, now), auditor.takes(member, now));
        let candidates = crew::candidates(&crew, &mut self.numbers, trust);
        self.is_blind = sight.is_eclipsed();
        self.plan(planner::Event::Sight(crew::sight(sight)));
        if let Some(me) = crew.iter().find(|member| member.local) {
            self.plan(planner::Event::Full(crew::is_full(me)));
        }
        self.crew = crew;
        if candidates != self.candidates {
            self.candidates.clone_from(&candidates);
            self.change_roster(Roster::new(candidates));
        }
        self.place_later();
        if !self.is_settled && now > self.context.scaled(SETTLE) {
            self.is_settled = true;
            self.release_unwanted();
        }
        // What is held may have become more: without this an auditor that held nothing would sleep on.
        self.audit(audit::Event::Tick);
        self.mend_broken();
        self.compare(now);
        self.tell_holdings(now);
    }

    fn change_roster(&mut self, roster: Roster) {
        let has_more = roster.is_more_than(&self.roster);
        if !has_more && !self.roster.is_more_than(&roster) {
            return;
        }
        self.roster = Arc::new(roster);
        if !self.stays(self.me) {
            self.take_nothing_more();
        }
        let returned = Vec::new();
        let roster = Arc::clone(&self.roster);
        self.plan(planner::Event::Roster { roster, returned });
        self.fail_offers_to_the_gone();
        self.retry_placings();
        if has_more {
            self.ask_places();
        }
    }

    /// Who is gone says nothing more, and who is about to go keeps nothing: whoever waits for its word is told now,
    /// and asks another.
    fn fail_offers_to_the_gone(&self) {
        let stays = |to: Member| self.roster.has(to) && self.stays(to);
        let gone = self.offers.iter().filter(|(_, to)| !stays(*to));
        for (segment, to) in gone {
            if let Some(id) = self.numbers.id(*to) {
                self.context.awaited.settle(*segment, id, false);
            }
        }
    }

    fn tell_holdings(&mut self, now: Duration) {
        let holdings = self.holdings.digest();
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|(at, told)| *told == holdings || now < *at + TELL);
        if !is_told {
            self.told = Some((now, holdings));
            let network = self.context.network.clone();
            tokio::spawn(async move { network.hold(holdings).await });
        }
    }

    /// Does something that blocks, elsewhere; its note comes back.
    fn work(&self, work: impl FnOnce(&Context) -> Option<Note> + Send + 'static) {
        let (context, notes) = (Arc::clone(&self.context), self.notes.clone());
        tokio::spawn(async move {
            let done = tokio::task::spawn_blocking(move || work(&context)).await;
            if let Ok(Some(note)) = done {
                // Nobody takes it once the swarm has ended.
                let _ = notes.send(note).await;
            }
        });
    }

    /// Does something that waits, elsewhere; its note comes back.
    fn task<F>(&self, task: impl FnOnce(Arc<Context>) -> F)
    where
        F: Future<Output = Option<Note>> + Send + 'static,
    {
        let (task, notes) = (task(Arc::clone(&self.context)), self.notes.clone());
        tokio::spawn(async move {
            if let Some(note) = task.await {
                let _ = notes.send(note).await;
            }
        });
    }
}

/// The scale as the auditor has it.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is at least one, and what is beyond 32 bits is the largest"
)]
const fn whole(time_scale: f64) -> u32 {
    time_scale as u32
}
