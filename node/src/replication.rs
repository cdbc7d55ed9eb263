//! Replication: the wanted copies of everything, by itself (docs/replication.md).
//!
//! No coordinator and no log: every member computes the same answer from what it has heard, and acts only
//! when it is its turn. What decides is sans-IO: clock and randomness are arguments.

pub mod audit;
mod handle;
pub mod pins;
pub mod placement;
pub mod planner;
pub mod policy;
pub mod receipt;
pub(crate) mod replicator;
pub mod report;

pub use self::handle::{Assigned, Replication, ReplicationError, Wish};

#[cfg(test)]
mod sim;
