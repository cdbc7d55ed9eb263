//! How far a command is, and what it waits for.

use std::fmt::Display;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{CopiesMade, text};

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes read (add) or there (get, pin).
    pub bytes: u64,
    /// Bytes in all, where it is known.
    pub total: Option<u64>,
    /// Files completed; 0 where they are not counted.
    pub files: u64,
    /// Peers that blocks come from.
    pub peers: usize,
    /// Bytes per second from peers, as the session measures it.
    pub rate: u64,
    /// Peers that gave something, who gave most first; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub givers: Vec<Giver>,
    /// How far copies on other members are that are waited for; bytes are those of copies then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesMade>,
    /// Per cent of each 64th of the content, in its order, that are here; empty where that is not
    /// known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strip: Vec<u8>,
}

/// A peer that gave something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Giver {
    /// Who.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Bytes of blocks that came from it.
    pub bytes: u64,
    /// Bytes per second from it, over the last seconds.
    pub rate: u64,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody is known yet who has it.
    LookingForProviders,
    /// Somebody is known, none is connected.
    Connecting,
    /// Blocks have been asked for.
    WaitingForBlocks,
    /// The disk makes it durable.
    Committing,
    /// What nothing keeps is looked for and removed.
    Collecting,
    /// Copies are offered to others.
    Copying,
    /// What this node has is copied to others, so that it can go.
    Draining,
}

impl Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LookingForProviders => "looking for providers",
            Self::Connecting => "connecting",
            Self::WaitingForBlocks => "waiting for blocks",
            Self::Committing => "writing to disk",
            Self::Collecting => "removing what nothing keeps",
            Self::Copying => "waiting for copies",
            Self::Draining => "draining",
        })
    }
}
