//! [`Outlets`]: what waits for the connections of a peer's askers, and whose chunk is next on its uplink.
//! Connections share an uplink evenly, as TCP's and QUIC's congestion control would have it.

use std::collections::{BTreeMap, VecDeque};

use super::super::Time;
use super::network::CHUNK;
use super::world::Part;

/// What waits for an asker's connection.
#[derive(Debug)]
struct Out {
    part: Part,
    /// Bytes of it that have not left.
    left: u64,
    whole: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outlets {
    outlets: BTreeMap<u32, VecDeque<Out>>,
    /// Those with something to send, in turn.
    round: VecDeque<u32>,
}

/// Who may send.
pub(super) enum Turn {
    Of(u32),
    /// Nobody before this time.
    AllFull(Time),
    Nobody,
}

/// What is sent at once.
pub(super) struct Chunk {
    pub(super) bytes: u64,
    /// The part that it completes.
    pub(super) part: Option<Part>,
}

impl Outlets {
    /// Hands a part of an answer, or all of it, to its asker's connection. An answer that is `whole` has a
    /// stream of its own and overtakes leaves.
    pub(super) fn put(&mut self, asker: u32, part: Part, whole: bool) {
        let outlet = self.outlets.entry(asker).or_default();
        if outlet.is_empty() {
            self.round.push_back(asker);
        }
        let left = part.bytes;
        let out = Out { part, left, whole };
        if whole {
            let ahead = |out: &&Out| out.whole || out.left < out.part.bytes;
            let at = outlet.iter().take_while(ahead).count();
            outlet.insert(at, out);
        } else {
            outlet.push_back(out);
        }
    }

    /// Whose chunk is next, of those that are not `full`; else until when all are.
    pub(super) fn turn(&mut self, full: impl Fn(u32) -> Option<Time>) -> Turn {
        let mut soonest: Option<Time> = None;
        for _ in 0..self.round.len() {
            let Some(asker) = self.round.pop_front() else {
                break;
            };
            let Some(until) = full(asker) else {
                return Turn::Of(asker);
            };
            soonest = Some(soonest.map_or(until, |time| until.min(time)));
            self.round.push_back(asker);
        }
        soonest.map_or(Turn::Nobody, Turn::AllFull)
    }

    /// Takes the next chunk of whose turn it is.
    pub(super) fn chunk(&mut self, asker: u32) -> Option<Chunk> {
        let outlet = self.outlets.get_mut(&asker)?;
        let first = outlet.front_mut()?;
        let bytes = CHUNK.min(first.left);
        first.left -= bytes;
        let done = first.left == 0;
        let out = if done { outlet.pop_front() } else { None };
        if outlet.is_empty() {
            self.outlets.remove(&asker);
        } else {
            self.round.push_back(asker);
        }
        let part = out.map(|out| out.part);
        Some(Chunk { bytes, part })
    }

    /// Drops all that waits for an asker.
    pub(super) fn forget(&mut self, asker: u32) {
        if self.outlets.remove(&asker).is_some() {
            self.round.retain(|other| *other != asker);
        }
    }
}
