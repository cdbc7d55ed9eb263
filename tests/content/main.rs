//! Content, from bytes to blocks and back: every test of the library as a whole.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes here are small, and usize has 64 bits"
)]

mod car;
mod car_fixtures;
mod corpus;
#[cfg(feature = "rocksdb")]
mod crash;
mod fixture;
mod hostile;
mod ipip499;
mod ranges;
mod roundtrip;
mod specified;
mod vectors;
