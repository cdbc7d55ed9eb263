//! Whole swarms in virtual time over the real planner and the real placement. What each member really has is kept
//! apart from what anybody believes. Messages are late or lost, links are shared, members crash, flap, come back,
//! lie, fill up, leave and are cut off. No sockets, no bytes, no clock: the same seed is the same run.
//!
//! Who is here is seen after a while ([`World::view`]): the place where the real membership comes in.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "bytes and members are few here"
)]

mod act;
mod big;
mod fault;
mod letter;
mod losses;
mod matrix;
mod member;
mod scenarios;
mod truth;
mod view;
mod world;

pub(super) use fault::Fault;
pub(super) use member::Node;
pub(super) use world::{Setup, World};

use std::time::Duration;

pub(super) const MIB: u64 = 1 << 20;

pub(super) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}
