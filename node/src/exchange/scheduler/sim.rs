//! A swarm in virtual time: each downloader has its real [`Scheduler`](super::Scheduler), and all share
//! uplinks, downlinks and round trips that are made up. Peers are slow, far, partial, dead, lying,
//! stalled, busy, or take and give nothing; they leave and return. No sockets, no bytes, no clock: the
//! same seed is the same run.

mod answerer;
mod asker;
mod census;
mod dag;
mod matrix;
mod network;
mod node;
mod optimum;
mod outlets;
mod report;
mod scenarios;
mod server;
mod world;

pub(super) use dag::Dag;
pub(super) use node::{Fault, Node};
pub(super) use report::Done;
pub(super) use world::{Setup, World};

use super::{Event, Standing};

/// A peer of which nothing is known.
pub(super) fn appeared(peer: u32) -> Event<u32> {
    let standing = Standing::default();
    Event::Appeared { peer, standing }
}

/// Bytes per second of so many Mbit/s.
pub(super) const fn mbit(rate: u64) -> u64 {
    rate * 125_000
}
