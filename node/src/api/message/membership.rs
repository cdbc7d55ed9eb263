//! Messages about the swarm that a node is of, and about whom it stores for.

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::text;
use crate::swarm_key::SwarmKey;

/// Which swarm, and for whom. None of them needs a network; where there is one, it changes with the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipRequest {
    /// Make a new private swarm. Answered by [`Membership`] with its key.
    Init {
        /// Also in the place of a key that is there.
        force: bool,
    },
    /// Be of the private swarm that has this key, and of no other. Answered by [`Membership`].
    Join {
        /// The key.
        key: SwarmKey,
    },
    /// Be of no private swarm. Answered by [`Membership`].
    Leave,
    /// Which one. Answered by [`Membership`].
    Id,
    /// Its key. Answered by [`Membership`] with it.
    Key,
    /// Store for an owner. Answered by [`AcceptedOwner`].
    Accept(AcceptedOwner),
    /// For whom. Answered by [`AcceptedOwner`]s.
    Accepted,
    /// No longer store for an owner.
    Refuse {
        /// Its peer id.
        #[serde(with = "text")]
        owner: PeerId,
    },
}

/// The swarm that a node is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its name, which stands in all protocols: derived from the key for a private one.
    pub network: String,
    /// Whether it is a private one.
    pub private: bool,
    /// Its key, for who asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SwarmKey>,
}

/// An owner that a node stores for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedOwner {
    /// Its peer id.
    #[serde(with = "text")]
    pub owner: PeerId,
    /// Bytes that it may have here.
    pub quota: u64,
}
