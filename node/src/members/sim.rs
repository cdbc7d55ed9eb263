//! The real [`Core`](super::Core) of thousands of members in virtual time, with faults, from a seed.

mod big;
mod faults;
mod scenarios;
mod traffic;
mod world;

pub(crate) use big::one_dies;
