//! `pin`, and what `add` says of its pins.

use clap::{Args, Subcommand, ValueEnum};
use store::pin::Label;
use store_config::{Date, Duration};

use super::content::Wait;
use super::replication::Copies;
use super::swarm::Network;

/// What is kept
#[derive(Debug, Subcommand)]
pub(crate) enum Pin {
    Add(PinAdd),
    Set(PinSet),
    Rm(PinRm),
    Ls(PinLs),
    Update(PinUpdate),
    Why(PinWhy),
    Verify(PinVerify),
}

/// Read all that pins keep, and say whether it is here and whole
///
/// Asks nobody else. A line for each pin, after one for each block that is missing or rotten; exit code 5
/// if there is one. `store verify CID --repair` fetches such blocks from others.
#[derive(Debug, Args)]
pub(crate) struct PinVerify {
    /// Only these pins; without it, all
    #[arg(value_name = "CID")]
    pub(crate) cids: Vec<String>,
}

/// What is said of a pin.
#[derive(Debug, Args)]
pub(crate) struct Marks {
    /// A name for the pin, to find it again in `store pin ls`
    #[arg(long, visible_alias = "pin-name", value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// A label for the pin; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
    /// Keep it for so long: 12h, 30d
    #[arg(long, value_name = "DURATION", conflicts_with = "expire_at")]
    pub(crate) expire_in: Option<Duration>,
    /// Keep it until then: 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expire_at: Option<Date>,
}

/// Fetch all of it, and keep it
///
/// Pinning again changes name, labels and expiry where they are given, and leaves them where not; an empty
/// value (`--label key=`) takes a label away.
#[derive(Debug, Args)]
pub(crate) struct PinAdd {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    /// Keep this one block, and nothing that it links to
    #[arg(long)]
    pub(crate) direct: bool,
    #[command(flatten)]
    pub(crate) marks: Marks,
    /// Keep for good what was to expire
    #[arg(long, conflicts_with_all = ["expire_in", "expire_at"])]
    pub(crate) no_expire: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Want copies of it on other members
///
/// This node's key asks for them, in the place of what it asked for before; `--replicas 0` asks for none.
/// Whether this node keeps a copy itself is another question: `store pin add`.
#[derive(Debug, Args)]
pub(crate) struct PinSet {
    /// The CID
    #[arg(value_name = "CID")]
    pub(crate) cid: String,
    #[command(flatten)]
    pub(crate) copies: Copies,
    /// Want them for so long: 12h, 30d
    #[arg(long, value_name = "DURATION", conflicts_with = "expire_at")]
    pub(crate) expire_in: Option<Duration>,
    /// Want them until then: 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expire_at: Option<Date>,
}

/// Keep it no longer
///
/// What was pinned stays as cache: it is removed when its room is needed, by age, not at once. Copies on
/// other members that this node asked for are no longer wanted either.
#[derive(Debug, Args)]
pub(crate) struct PinRm {
    /// CIDs
    #[arg(value_name = "CID", required_unless_present_any = ["name", "labels"])]
    #[arg(conflicts_with_all = ["name", "labels"])]
    pub(crate) cids: Vec<String>,
    /// All pins of exactly this name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// All pins with this label; of several labels they must have all
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
}

/// List the pins, or say how blocks are kept
///
/// Pins come as they are found, in no order that means anything. With CIDs: how each is kept, and below
/// which root if it is no root itself; exit code 3 if one is not.
#[derive(Debug, Args)]
pub(crate) struct PinLs {
    /// Only these
    #[arg(value_name = "CID")]
    pub(crate) cids: Vec<String>,
    /// Pins whose name has this text in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Pins with this label; of several labels they must have all
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
    /// How it is kept; indirect (below a pin) needs CIDs
    #[arg(short, long = "type", value_name = "TYPE", default_value = "all")]
    pub(crate) kind: PinType,
}

/// How a block is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinType {
    Recursive,
    Direct,
    Indirect,
    All,
}

/// Pin a new version in the place of an old one
///
/// Reads and fetches only what the old one has not. Name, labels and expiry pass on.
#[derive(Debug, Args)]
pub(crate) struct PinUpdate {
    /// The CID that is pinned
    #[arg(value_name = "OLD")]
    pub(crate) old: String,
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "NEW")]
    pub(crate) new: String,
    /// Keep the old one, too
    #[arg(long)]
    pub(crate) keep_old: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Say what keeps a block: pins of it, and pins that it is below
#[derive(Debug, Args)]
pub(crate) struct PinWhy {
    /// The CID
    #[arg(value_name = "CID")]
    pub(crate) cid: String,
    /// Say so many at most
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
    /// Say all
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}
