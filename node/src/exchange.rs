//! The exchange: contents from all who have them, and ours to all who ask (docs/protocol.md).

pub mod codec;
pub mod scheduler;
pub(crate) mod server;
