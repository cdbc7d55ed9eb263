//! The one way in for commands: a conversation over a Unix socket ([`message`], [`frame`]), between a
//! [`client::Client`] and the [`server::Server`] of whoever holds the repo's lock.
//!
//! Threads and blocking calls on both sides: a conversation mostly waits for disk and for its peer,
//! there are few of them, and descriptors pass most simply so.

pub mod client;
pub mod conversation;
pub mod frame;
pub mod message;
pub mod server;
pub mod socket;
