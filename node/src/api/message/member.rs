//! The members of the swarm.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use store::wire::member::MemberState;

use super::text;
use crate::members;

/// A member of the swarm, as this node sees it. Times are by its own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Whether it is this node.
    pub local: bool,
    /// What is thought of it.
    pub health: MemberHealth,
    /// For how long, in milliseconds, if it is not alive.
    pub since_ms: Option<u64>,
    /// Whether it is about to go.
    pub leaving: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// The last probe's round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// How long ago it last said something itself, in milliseconds.
    pub seen_ms: Option<u64>,
    /// The number of its record: each change has a higher one.
    pub version: u64,
    /// Its program and version.
    pub program: String,
    /// Bytes that it can hold, about.
    pub capacity: u64,
    /// Bytes that may still be placed on it, about.
    pub free: u64,
    /// How busy it is: 0 serves less than 1 MiB/s, one more for each doubling.
    pub load: u8,
    /// Failure domains and more; `host` is the peer id where it is not set.
    pub tags: BTreeMap<String, String>,
    /// Extents that it holds.
    pub holds: u64,
    /// Where it listens.
    pub addresses: Vec<Multiaddr>,
}

/// What is thought of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberHealth {
    /// It is there.
    Alive,
    /// Somebody did not reach it.
    Suspect,
    /// It vanished.
    Gone,
    /// It said goodbye.
    Left,
}

impl MemberHealth {
    /// As users are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Gone => "gone",
            Self::Left => "left",
        }
    }
}

impl Member {
    /// As users see it; `None` if its id is no key, which no signed record has.
    pub(crate) fn of(member: &members::Member) -> Option<Self> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (health, since) = match member.health {
            members::Health::Alive => (MemberHealth::Alive, None),
            members::Health::Suspect(since) => (MemberHealth::Suspect, Some(since)),
            members::Health::Gone(since) => (MemberHealth::Gone, Some(since)),
            members::Health::Left(since) => (MemberHealth::Left, Some(since)),
        };
        let record = &member.record;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let addresses = record.addresses.iter();
        Some(Self {
            peer: member.peer()?,
            local: member.local,
            health,
            since_ms: since.map(ms),
            leaving: record.state == MemberState::Leaving,
            connected: member.connected,
            rtt_us: member.rtt.map(us),
            seen_ms: member.seen.map(ms),
            version: record.version,
            program: record.program.clone(),
            capacity: record.capacity.bytes(),
            free: record.free.bytes(),
            load: record.load,
            tags: record.tags.iter().map(owned).collect(),
            holds: record.holdings.count,
            addresses: addresses
                .filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok())
                .collect(),
        })
    }
}
