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
use super::request::Kind;
use super::tree::{DONE, State};
use super::{Action, HAVE_NODES, Held, Page, PeerName, RequestId, Scheduler, Time};

/// The wait between two questions for what a peer has, while there is news.
const POLL: Duration = Duration::from_millis(500);
/// The longest, after it has doubled each time without news.
const LONGEST_POLL: Duration = Duration::from_secs(4);
/// The wait between two questions for other peers, doubled each time.
const AROUND: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_AROUND: Duration = Duration::from_secs(30);

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
        if !self.asks_around() {
            return;
        }
        let due = |peer: &Peer| peer.poll.is_due(now) && peer.not_before <= now && peer.can_tell();
        let all = self.peers.all.iter();
        let due: Vec<P> = all
            .filter_map(|(name, peer)| due(peer).then_some(*name))
            .collect();
        for name in due {
            let (nodes, last) = self.next_page(name);
            let request = self.begin(now, name, Kind::Have(nodes.clone()), 0);
            if let Some(peer) = self.peers.all.get_mut(&name) {
                peer.poll.last = last;
            }
            actions.push(Action::Have {
                request,
                peer: name,
                nodes,
            });
        }
        if self.around.at <= now && self.peers.all.len() < super::peers::MAX_PEERS {
            let proven = self.peers.all.iter().filter(|(_, peer)| peer.proven);
            let Some((&peer, _)) = proven.choose(&mut self.rng) else {
                return;
            };
            self.around.at = now + self.around.wait;
            self.around.wait = (self.around.wait * 2).min(LONGEST_AROUND);
            actions.push(Action::AskPeers { peer });
        }
    }

    /// Whether it matters who has what: something is needed, and some node is known.
    pub(super) fn asks_around(&self) -> bool {
        self.tree.nodes.len() > 0 && self.waits()
    }

    /// The next nodes to ask a peer about, and where to go on if there are more.
    fn next_page(&self, name: P) -> (Vec<Cid>, Option<(super::place::Path, u32)>) {
        let last = self.peers.all[&name].poll.last.clone();
        let lower = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut nodes: Vec<_> = self
            .tree
            .ready
            .range((lower, Bound::Unbounded))
            .take(HAVE_NODES + 1)
            .collect();
        if nodes.is_empty() {
            nodes = self.tree.ready.iter().take(HAVE_NODES + 1).collect();
        }
        if nodes.is_empty() {
            // All is asked for: somebody may take over from a slow peer.
            let open = self.tree.nodes.values().take(HAVE_NODES);
            return (open.map(|node| node.cid).collect(), None);
        }
        let more = nodes.len() > HAVE_NODES;
        nodes.truncate(HAVE_NODES);
        let last = nodes.last().filter(|_| more).map(|key| (*key).clone());
        let cids = nodes.iter().map(|(_, node)| self.tree.nodes[*node].cid);
        (cids.collect(), last)
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
        let complete = all && pages.len() == asked.len() && peer.poll.last.is_none();
        let holds = match before {
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
