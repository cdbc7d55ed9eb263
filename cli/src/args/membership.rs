//! `swarm`: which swarm this machine is of, and whom it stores for.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};
use store_config::ByteSize;

/// Which swarm this machine is of: an open one, or a private one, whose members have its key
///
/// With or without a running node; a running one leaves the old swarm and joins the new one at once.
#[derive(Debug, Subcommand)]
pub(crate) enum Swarm {
    Init(SwarmInit),
    Join(SwarmJoin),
    /// Be of no private swarm any more: the key is removed from this machine (`store drain` first, so that the others
    /// have what it has)
    Leave,
    /// Print the name of the swarm; that of a private one begins with `p-`, and is no secret
    Id,
    /// Print the key of the private swarm
    Key,
    Accept(SwarmAccept),
    Refuse(SwarmRefuse),
}

/// Make a private swarm, and print its key for the other members
#[derive(Debug, Args)]
pub(crate) struct SwarmInit {
    /// Print the key alone
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Also if this machine is of a private swarm; it leaves that one
    #[arg(long)]
    pub(crate) force: bool,
}

/// Be a member of a private swarm, and of no other
#[derive(Debug, Args)]
pub(crate) struct SwarmJoin {
    /// Its key, as `store swarm init` printed it; `-` reads it from standard input, so that it does not stand
    /// in the list of processes
    #[arg(value_name = "KEY")]
    pub(crate) key: Secret,
}

/// Store for an owner, in an open swarm; nobody is stored for unless told here
#[derive(Debug, Args)]
pub(crate) struct SwarmAccept {
    /// The owner: a peer id, as `store id` prints it there, or a public key in base64
    #[arg(
        value_name = "OWNER",
        required_unless_present = "list",
        requires = "quota"
    )]
    pub(crate) owner: Option<String>,
    /// How much it may have here: 50GiB
    #[arg(long, value_name = "SIZE", requires = "owner")]
    pub(crate) quota: Option<ByteSize>,
    /// Print who is accepted, with quotas
    #[arg(long, conflicts_with_all = ["owner", "quota"])]
    pub(crate) list: bool,
}

/// No longer store for an owner
#[derive(Debug, Args)]
pub(crate) struct SwarmRefuse {
    /// The owner, as for `accept`
    #[arg(value_name = "OWNER")]
    pub(crate) owner: String,
}

/// What must stand in no log and in no message.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
