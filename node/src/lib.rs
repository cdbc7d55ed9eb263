//! A running peer of `store`: swarm, discovery, exchange, and the conversations by which commands
//! use them.

pub mod api;
pub mod exchange;
pub mod link;
pub mod node;
pub mod service;

pub use libp2p::{Multiaddr, PeerId};
