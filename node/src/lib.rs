//! A running peer of `store`: swarm, discovery, exchange, and the conversations by which commands
//! use them.

mod address;
mod announced;
pub mod api;
mod behaviour;
mod blocking;
mod command;
mod discovery;
mod draining;
mod driver;
pub mod exchange;
mod framing;
pub mod identity;
pub mod link;
mod listen;
pub mod members;
pub mod metrics;
pub mod network;
pub mod node;
pub mod owners;
mod peers;
pub mod reconcile;
pub mod replication;
mod requests;
mod scrub;
pub mod service;
mod streams;
pub mod swarm_key;
pub mod transport;
mod upkeep;
mod writer;

pub use libp2p::{Multiaddr, PeerId};
