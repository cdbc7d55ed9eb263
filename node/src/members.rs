//! Who is there: the members of the swarm, by SWIM (Das, Gupta, Motivala, *SWIM: Scalable
//! Weakly-consistent Infection-style Process Group Membership*, 2002), with what Lifeguard adds
//! (Dadgar, Phillips, Currey, *Lifeguard: Local Health Awareness for More Accurate Failure Detection*,
//! 2018). docs/replication.md says what is told and concluded, and how long it takes.
//!
//! `Core` decides: it is sans-IO, is given what happens and the time, and says what to do;
//! a simulator drives thousands of them in virtual time, the node one of them in the swarm.

mod ask;
mod awaited;
mod churn;
mod codec;
mod core;
mod gossip;
mod health;
mod marks;
mod neighbours;
mod probes;
mod pulls;
mod record;
mod relay;
mod roster;
mod service;
mod settings;
#[cfg(test)]
pub(crate) mod sim;
mod suspicion;
mod view;

#[cfg(test)]
pub(crate) use self::ask::{Action, Answer, Ask, Claim, Ticket, Token};
#[cfg(test)]
pub(crate) use self::core::Core;
#[cfg(test)]
pub(crate) use self::record::Author;
pub use self::record::Offer;
pub(crate) use self::record::{member_of, peer_of};
pub(crate) use self::service::{GOODBYE, Loaded, Service, load};
pub use self::settings::Settings;
pub use self::view::{Health, Member, Sight};
