//! End to end: real `store` processes, real repos, real sockets. Free ports and loopback only, or
//! namespaces of the test's own.

#![allow(
    unreachable_pub,
    reason = "a crate of its own, whose parts use each other"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has said what is wrong"
)]

mod support;

mod again;
mod car;
mod care;
mod copies;
mod errors;
mod gc;
mod hostile;
mod kill;
mod limits;
mod many;
mod mdns;
mod members;
mod membership;
mod million;
mod parts;
mod pins;
mod plumbing;
mod proof;
mod references;
mod reflink;
mod resume;
mod shown;
mod swarm;
mod vectors;
