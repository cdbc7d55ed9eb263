//! End to end: real `store` processes, real repos, real sockets. Free ports and loopback only, or
//! namespaces of the test's own.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has said what is wrong"
)]

mod support;

mod hostile;
mod kill;
mod limits;
mod mdns;
mod resume;
mod swarm;
mod vectors;
