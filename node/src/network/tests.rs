//! Whole nodes in one process, over the memory transport and over loopback sockets.

mod discovery;
mod exchange;
mod fixture;
mod lifecycle;
mod members;
mod membership;
mod replica;
