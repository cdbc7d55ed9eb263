//! Where a session stands, in numbers and in words; and when it gives up.

use std::time::Duration;

use super::{Action, Defeat, Mode, PeerName, Scheduler, Search, Time};

/// With nobody to ask, providers are looked for again after this long.
const SEARCH_AGAIN: Duration = Duration::from_secs(10);
/// Without anything new for this long, a session says that it waits.
const QUIET: Duration = Duration::from_secs(2);

/// What a session does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is known who may have it.
    #[default]
    LookingForProviders,
    /// Peers are known, none has answered.
    Connecting,
    /// Peers have answered, nothing comes at the moment.
    WaitingForBlocks,
    /// Blocks are coming, or are being read here.
    Downloading,
    /// Everything is here.
    Done,
}

/// Numbers of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub phase: Phase,
    /// Peers that may be asked.
    pub peers: usize,
    /// Blocks of the content that are here, as far as it has been walked.
    pub blocks_done: u64,
    /// Their bytes.
    pub bytes_done: u64,
    /// Blocks that came from peers.
    pub blocks_fetched: u64,
    /// Their bytes.
    pub bytes_fetched: u64,
}

impl<P: PeerName> Scheduler<P> {
    /// Where it stands.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        Status {
            phase: self.phase(now),
            peers: self.peers.all.len(),
            blocks_done: self.tree.done_blocks,
            bytes_done: self.tree.done_bytes,
            blocks_fetched: self.fetched_blocks,
            bytes_fetched: self.fetched_bytes,
        }
    }

    /// Per cent of each part of the content, in its order, that are here; empty while nothing of it is
    /// known.
    #[must_use]
    pub fn strip(&self) -> Vec<u8> {
        if self.tree.done_blocks == 0 {
            return Vec::new();
        }
        self.tree.strip.percent()
    }

    fn phase(&self, now: Time) -> Phase {
        let answered = self.peers.all.values().any(|peer| peer.answered);
        let quiet = self.last_progress.is_none_or(|at| at + QUIET < now);
        if self.over && self.tree.finished {
            Phase::Done
        } else if !quiet || !self.waits() {
            Phase::Downloading
        } else if self.peers.all.is_empty() {
            Phase::LookingForProviders
        } else if !answered {
            Phase::Connecting
        } else {
            Phase::WaitingForBlocks
        }
    }

    /// Whether something is needed from others.
    pub(super) fn waits(&self) -> bool {
        self.tree.queued > 0 || !self.requests.is_empty()
    }

    /// Looks for providers once something is needed, and again while nobody has it.
    pub(super) fn search(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        let due = match self.search {
            Search::NotYet => true,
            Search::Running => false,
            Search::Ended(at) => at + SEARCH_AGAIN <= now && self.requests.is_empty(),
        };
        if due && self.waits() {
            self.search = Search::Running;
            actions.push(Action::FindPeers);
        }
    }

    /// Gives up when nothing has come for too long.
    pub(super) fn watch(&mut self, now: Time, actions: &mut Vec<Action<P>>) {
        if !self.waits() {
            self.waiting_since = None;
            return;
        }
        let since = *self.waiting_since.get_or_insert(now);
        let waited = now.saturating_sub(since);
        if waited < self.task.stall {
            return;
        }
        let cid = self.first_missing();
        let state = self.state();
        let nothing_known = self.fetched_blocks == 0
            && self
                .peers
                .all
                .values()
                .all(|peer| peer.answered && peer.strikes == 0);
        let defeat = if nothing_known {
            Defeat::NotFound { cid, tried: state }
        } else {
            Defeat::Stalled { waited, state }
        };
        self.end(Action::Fail(defeat), actions);
    }

    fn first_missing(&self) -> store::Cid {
        let wanted = self.wants.iter().find(|cid| self.tree.find(cid).is_some());
        *wanted
            .filter(|_| self.task.mode == Mode::OnDemand)
            .unwrap_or(&self.task.root)
    }

    /// What it waits for, for people.
    #[must_use]
    pub fn state(&self) -> String {
        let peers = &self.peers.all;
        let count = |n: usize| match n {
            1 => "1 provider".to_owned(),
            n => format!("{n} providers"),
        };
        let all = count(peers.len());
        if peers.is_empty() {
            return match (self.peers.seen, self.search) {
                (0, Search::Ended(_)) => "no provider was found".to_owned(),
                (0, _) => "looking for providers".to_owned(),
                (seen, _) => format!("none of {seen} providers is left"),
            };
        }
        if !peers.values().any(|peer| peer.answered) {
            return format!("{all}, none answered");
        }
        if !peers.values().any(|peer| peer.proven) {
            return format!("{all} asked, none has it");
        }
        if self.requests.is_empty() {
            return format!("{all}, none has the {} missing blocks", self.tree.queued);
        }
        let late = self
            .requests
            .values()
            .filter(|request| request.overdue)
            .count();
        let late = late + peers.values().filter(|peer| peer.snubbed.is_some()).count();
        format!(
            "{all}, {} requests under way, {late} of them late",
            self.requests.len()
        )
    }

    /// The next time at which something changes by itself.
    pub(super) fn next_change(&self, now: Time) -> Time {
        if self.over {
            return Time::MAX;
        }
        let questions = Some(self.questions_due).filter(|at| *at < Time::MAX);
        let peers = self.peers.all.values();
        let peers = peers.filter_map(|peer| self.changes(now, peer)).min();
        let around = self.around_at().filter(|at| *at > now);
        // Leaves in flight are looked after more often where little else happens.
        let late = self.peers.all.values().any(|peer| peer.gets > 0);
        let few = self.tree.queued == 0 || !self.wants.is_empty();
        let steal = (late && few).then(|| now + 2 * super::steal::PAUSE);
        let search = match self.search {
            Search::Ended(at) if self.waits() => Some(at + SEARCH_AGAIN).filter(|at| *at > now),
            _ => None,
        };
        let stall = self.waiting_since.map(|since| since + self.task.stall);
        let all = [questions, peers, around, steal, search, stall];
        all.into_iter().flatten().min().unwrap_or(Time::MAX)
    }

    /// The next time at which something changes by itself as to this peer.
    fn changes(&self, now: Time, peer: &super::peers::Peer) -> Option<Time> {
        let stalls = peer.stalls_at();
        let patience = Some(peer.not_before).filter(|at| *at > now);
        let poll = &peer.poll;
        let polled = self.asks_around() && !poll.under_way && !poll.never;
        let poll = polled
            .then_some(poll.at)
            .filter(|at| *at > now && *at < Time::MAX);
        // When so much of what it owes will have been sent that it is to be asked for more.
        let idle = peer.nothing_at == Some(self.tree.generation);
        let thirst = (peer.gets > 0 && !idle && self.tree.queued > 0)
            .then(|| peer.thirsts_at(now))
            .flatten();
        [stalls, patience, poll, thirst].into_iter().flatten().min()
    }
}
