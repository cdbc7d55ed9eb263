//! [`Server`]: a serving peer's queues, one for each asker, served in turn.

use std::collections::{BTreeMap, VecDeque};

use super::super::RequestId;
use super::dag::{Block, Dag};
use super::world::{Given, Part};

/// An answer under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: RequestId,
    pub(super) epoch: u32,
    pub(super) what: What,
    /// Bytes of what is being sent that have left.
    pub(super) sent: u64,
}

#[derive(Debug)]
pub(super) enum What {
    Manifest {
        blocks: Vec<Block>,
        bytes: u64,
        more: bool,
    },
    Leaves {
        leaves: Vec<Block>,
        next: usize,
        end: usize,
        /// Bytes that may still be given.
        room: u64,
        gave: bool,
    },
}

impl Job {
    /// Passes over what is not to be sent, and says so. Bytes of what is to be sent next; `None` if
    /// nothing is left.
    pub(super) fn next_size(
        &mut self,
        dag: &Dag,
        may: impl Fn(Block) -> bool,
        part: &mut Part,
    ) -> Option<u64> {
        let (leaves, next, end, room, gave) = match &mut self.what {
            What::Manifest { bytes, .. } => return Some((*bytes).max(1)),
            What::Leaves {
                leaves,
                next,
                end,
                room,
                gave,
            } => (leaves, next, end, room, gave),
        };
        while let Some(&block) = leaves.get(*next) {
            let size = u64::from(dag.size(block));
            let given = if *next >= *end || (size > *room && *gave && self.sent == 0) {
                *end = (*end).min(*next);
                Given::Cut
            } else if may(block) {
                return Some(size);
            } else {
                Given::Missing
            };
            part.blocks.push((block, given));
            *next += 1;
        }
        part.over = true;
        None
    }

    /// What was being sent has left.
    pub(super) fn sent_whole(&mut self, size: u64, lies: bool, part: &mut Part) {
        self.sent = 0;
        match &mut self.what {
            What::Manifest {
                blocks,
                bytes,
                more,
            } => {
                let given = blocks.iter().map(|block| (*block, Given::Right));
                part.blocks.extend(given);
                (part.bytes, part.more, part.over) = (*bytes, *more, true);
            }
            What::Leaves {
                leaves,
                next,
                room,
                gave,
                ..
            } => {
                let given = if lies { Given::Wrong } else { Given::Right };
                part.blocks.push((leaves[*next], given));
                part.bytes = size;
                *next += 1;
                *gave = true;
                *room = room.saturating_sub(size);
                part.over = *next == leaves.len() || lies;
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Server {
    queues: BTreeMap<u32, VecDeque<Job>>,
    /// Whose turn is next.
    turn: VecDeque<u32>,
    pub(super) busy: bool,
}

impl Server {
    pub(super) fn push(&mut self, asker: u32, job: Job) {
        let queue = self.queues.entry(asker).or_default();
        if queue.is_empty() {
            self.turn.push_back(asker);
        }
        // Inner nodes go ahead of leaves.
        match job.what {
            What::Manifest { .. } => {
                let at = usize::from(queue.front().is_some_and(|job| job.sent > 0));
                let at = queue
                    .iter()
                    .skip(at)
                    .take_while(|job| matches!(job.what, What::Manifest { .. }))
                    .count()
                    + at;
                queue.insert(at, job);
            }
            What::Leaves { .. } => queue.push_back(job),
        }
    }

    /// The next asker in turn of those that may be sent to.
    pub(super) fn next(&mut self, may: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.turn.iter().position(|asker| may(*asker))?;
        let asker = self.turn.remove(at)?;
        self.turn.push_back(asker);
        Some(asker)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = u32> + '_ {
        self.turn.iter().copied()
    }

    pub(super) fn front(&mut self, asker: u32) -> Option<&mut Job> {
        self.queues.get_mut(&asker)?.front_mut()
    }

    pub(super) fn pop(&mut self, asker: u32) {
        let Some(queue) = self.queues.get_mut(&asker) else {
            return;
        };
        queue.pop_front();
        if queue.is_empty() {
            self.forget(asker);
        }
    }

    pub(super) fn forget(&mut self, asker: u32) {
        self.queues.remove(&asker);
        self.turn.retain(|other| *other != asker);
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
        self.turn.clear();
    }

    pub(super) fn cancel(&mut self, asker: u32, request: RequestId, from: usize) {
        let queue = self.queues.get_mut(&asker).into_iter().flatten();
        for job in queue.filter(|job| job.request == request) {
            if let What::Leaves { end, next, .. } = &mut job.what {
                // What is being sent is sent to its end.
                let least = *next + usize::from(job.sent > 0);
                *end = (*end).min(from.max(least));
            }
        }
    }
}
