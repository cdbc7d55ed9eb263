//! Who has what: peers are asked for pages of bits, and for other peers.
//!
//! Until a peer has answered, it may have anything. One that has all it was asked about is not asked
//! again. One that has a part is another downloader: it has what it says, and is asked again and again,
//! twice a second while there is news.

use std::ops::Bound;
use std::time::Duration;

use rand::seq::IteratorRandom;
use store::Cid;

use super::peers::{Holds, Peer};
use super::place::Path;
use super::request::Kind;
use super::tree::{DONE, State};
use super::{Action, HAVE_NODES, Held, Page, PeerName, RequestId, Scheduler, Time};

/// The wait between two questions for what a peer has, while there is news.
const POLL: Duration = Duration::from_millis(500);
/// The longest, after it has doubled each time without news.
const LONGEST_POLL: Duration = Duration::from_secs(4);
/// The wait between two questions for other peers, doubled each time.
const AROUND: Duration = Duration::from_secs(1);
/// An answer that takes longer waits behind others' answers.
const SOON: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_AROUND: Duration = Duration::from_secs(30);

/// A question for what a peer has.
struct Question {
    nodes: Vec<Cid>,
    /// Where to go on if there are more.
    last: Option<(Path, u32)>,
    round: Round,
}

/// Going through the nodes of which leaves are to be asked for, a question for each page of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Something was not there.
    lacking: bool,
    /// Nodes are left out whose leaves are all asked for.
    partly: bool,
}

/// When somebody is asked next for other peers.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) at: Time,
    wait: Duration,
}

impl Around {
    pub(super) const fn new() -> Self {
        Self {
            at: Time::ZERO,
            wait: AROUND,
        }
    }
}

impl<P: PeerName> Scheduler<P> {
    /// Asks who has what, and who else there is.
    pub(super) fn ask_around(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        self.ask_for_others(now, actions);
        if !self.asks_around() {
            return;
        }
        let due = |peer: &Peer| peer.poll.is_due(now) && peer.not_before <= now && peer.can_tell();
        let all = self.peers.all.iter();
        let due: Vec<P> = all
            .filter_map(|(name, peer)| due(peer).then_some(*name))
            .collect();
        for name in due {
            let Question { nodes, last, round } = self.next_page(name);
            let request = self.begin(now, name, Kind::Have(nodes.clone()), 0);
            if let Some(peer) = self.peers.all.get_mut(&name) {
                (peer.poll.last, peer.poll.round) = (last, round);
            }
            actions.push(Action::Have {
                request,
                peer: name,
                nodes,
            });
        }
    }

    /// When somebody is asked who else there is: one of those that gave something; while nobody has, one
    /// that is busy or takes its time, for then there are others.
    pub(super) fn around_at(&self) -> Option<Time> {
        if self.peers.any_proven() {
            return self.asks_around().then_some(self.around.at);
        }
        let peers = self.peers.all.values();
        let slow = peers.filter_map(|peer| self.is_slow_at(peer)).min();
        slow.map(|at| at.max(self.around.at))
    }

    /// From when on a peer that gave nothing is known to be busy.
    fn is_slow_at(&self, peer: &Peer) -> Option<Time> {
        let was_put_off = peer.not_before > Time::ZERO;
        if was_put_off && peer.strikes == 0 && peer.empty == 0 && peer.open.is_empty() {
            return Some(Time::ZERO);
        }
        let first = self.requests.get(peer.open.first()?)?;
        Some(first.sent_at + SOON)
    }

    fn ask_for_others(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        let is_due = self.around_at().is_some_and(|at| at <= now);
        if !is_due || self.peers.all.len() >= super::peers::MAX_PEERS {
            return;
        }
        let any_proven = self.peers.any_proven();
        let is_slow = |peer: &Peer| self.is_slow_at(peer).is_some_and(|at| at <= now);
        let knows = |peer: &Peer| peer.proven || (!any_proven && is_slow(peer));
        let all = self.peers.all.iter().filter(|(_, peer)| knows(peer));
        let all: Vec<P> = all.map(|(name, _)| *name).collect();
        let Some(&peer) = all.iter().choose(&mut self.rng) else {
            return;
        };
        self.around.at = now + self.around.wait;
        self.around.wait = (self.around.wait * 2).min(LONGEST_AROUND);
        actions.push(Action::AskPeers { peer });
    }

    /// Whether it matters who has what: something is needed, and some node is known.
    pub(super) fn asks_around(&self) -> bool {
        self.tree.nodes.len() > 0 && self.waits()
    }

    /// The next nodes to ask a peer about.
    fn next_page(&self, name: P) -> Question {
        let poll = &self.peers.all[&name].poll;
        let (tree, mut round) = (&self.tree, poll.round);
        let lower = poll.last.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut keys: Vec<_> = tree
            .ready
            .range((lower, Bound::Unbounded))
            .take(HAVE_NODES + 1)
            .collect();
        if poll.last.is_none() || keys.is_empty() {
            round = Round::default();
            keys = tree.ready.iter().take(HAVE_NODES + 1).collect();
        }
        if keys.is_empty() {
            // All is asked for: somebody may take over from a slow peer.
            let open = tree.nodes.values().take(HAVE_NODES);
            round.partly = tree.nodes.len() > HAVE_NODES;
            return Question {
                nodes: open.map(|node| node.cid).collect(),
                last: None,
                round,
            };
        }
        let more = keys.len() > HAVE_NODES;
        keys.truncate(HAVE_NODES);
        round.partly |= tree.ready.len() < tree.nodes.len();
        let cids = keys.iter().map(|(_, node)| tree.nodes[*node].cid);
        Question {
            nodes: cids.collect(),
            last: keys.last().filter(|_| more).map(|key| (*key).clone()),
            round,
        }
    }

    /// Whether a peer is to say first what it has: others are there who have given something.
    pub(super) fn waits_for_pages(&self, peer: &Peer) -> bool {
        let unknown = peer.holds == Holds::Unknown && !peer.poll.never;
        unknown && !peer.proven && self.peers.any_proven()
    }

    pub(super) fn have(&mut self, now: Time, id: RequestId, pages: Vec<Page>) {
        let Some(request) = self.close(id) else {
            return;
        };
        let Kind::Have(asked) = request.kind else {
            return;
        };
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.pace.received(now, request.sent, 0);
        (peer.answered, peer.strikes) = (true, 0);
        let (slot, before) = (peer.slot, peer.holds);
        if before == Holds::Unknown && pages.is_empty() {
            // It answers, and tells nothing.
            return self.never_tells(request.peer);
        }
        let all = pages.iter().all(|page| page.held == Held::All);
        let round = &mut peer.poll.round;
        round.lacking |= !all || pages.len() < asked.len();
        let complete = !round.lacking && peer.poll.last.is_none();
        let holds = match before {
            // What it had not, and was not asked about again, it has not.
            Holds::Part if complete && round.partly => before,
            _ if complete => Holds::All,
            Holds::Unknown | Holds::All if all && !pages.is_empty() => before,
            Holds::All if pages.is_empty() => before,
            _ => Holds::Part,
        };
        match holds {
            Holds::Part if before != Holds::Part => self.tree.presume(slot, true),
            Holds::All if before == Holds::Part => self.tree.presume(slot, false),
            _ => {}
        }
        let mut news = false;
        for page in pages {
            news |= self.tree.take_page(slot, &page);
        }
        let Some(peer) = self.peers.all.get_mut(&request.peer) else {
            return;
        };
        peer.holds = holds;
        if news || before != holds {
            peer.nothing_at = None;
        }
        let poll = &mut peer.poll;
        poll.wait = if news {
            POLL
        } else {
            (poll.wait * 2).clamp(POLL, LONGEST_POLL)
        };
        poll.at = match holds {
            Holds::All => Time::MAX,
            _ if poll.last.is_some() => now,
            _ => now + poll.wait,
        };
    }

    /// A peer that does not say what it has may have anything.
    pub(super) fn never_tells(&mut self, name: P) {
        let Some(peer) = self.peers.all.get_mut(&name) else {
            return;
        };
        peer.poll.never = true;
        (peer.holds, peer.nothing_at) = (Holds::Unknown, None);
        self.tree.presume(peer.slot, false);
    }
}

impl super::peers::Poll {
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.at <= now && !self.under_way && !self.never
    }
}

impl Peer {
    fn can_tell(&self) -> bool {
        self.snubbed.is_none() && self.overdue == 0
    }
}

impl super::tree::Tree {
    /// What is not known of the peer in `slot` it is presumed to lack, or to have.
    pub(super) fn presume(&mut self, slot: u8, lacks: bool) {
        let bit = 1_u64 << slot;
        self.doubt = if lacks {
            self.doubt | bit
        } else {
            self.doubt & !bit
        };
        for item in self.items.values_mut() {
            item.lacks = if lacks {
                item.lacks | bit
            } else {
                item.lacks & !bit
            };
        }
    }

    /// Notes what the peer in `slot` has of a node's children. Returns whether it has something new
    /// that is to be asked for.
    fn take_page(&mut self, slot: u8, page: &Page) -> bool {
        let Some(State::Open(node)) = self.find(&page.node).map(|ix| self.items[ix].state) else {
            return false;
        };
        let mut news = false;
        for (i, &child) in self.nodes[node].children.iter().enumerate() {
            if child == DONE {
                continue;
            }
            let has = match &page.held {
                Held::All => true,
                Held::Some(bits) => bits.get(i),
                Held::Nothing => false,
            };
            let item = &mut self.items[child];
            let lacked = item.lacks >> slot & 1 == 1;
            news |= lacked && has;
            item.lacks = item.lacks & !(1 << slot) | u64::from(!has) << slot;
        }
        news
    }
}
