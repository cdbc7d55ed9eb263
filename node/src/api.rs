//! The one way in for commands: a conversation over a Unix socket ([`message`], [`frame`]).

pub mod frame;
pub mod message;
