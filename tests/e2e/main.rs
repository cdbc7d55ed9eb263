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

#[allow(
    dead_code,
    clippy::cast_precision_loss,
    reason = "the benchmarks need all of it, and figures are for people"
)]
mod fleet;
#[allow(dead_code, reason = "the benchmarks need all of it")]
mod net;
mod support;

mod again;
mod car;
mod care;
mod copies;
mod drain;
mod errors;
mod gc;
mod histories;
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
mod rot;
mod shown;
mod swarm;
mod vectors;
