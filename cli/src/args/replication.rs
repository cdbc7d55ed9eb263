//! Which copies are wanted on other members, how it is with them, and what holds them back.

use clap::{Args, ValueEnum};
use store_config::{Duration, PlaceTag, RateLimit, Replicas};
use store_node::api::message;

/// Which copies are wanted.
#[derive(Debug, Args)]
#[group(id = "Copies")]
#[command(next_help_heading = "Copies on other members")]
pub(crate) struct Copies {
    /// How many copies, this machine's among them
    #[arg(
        help = "How many copies, this machine's among them: 3, or 2/3/5 (at least, wanted, at most), `everywhere`, or 0"
    )]
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<Replicas>,
    /// Only on members with this tag: zone=eu; of one key given several times any
    #[arg(long = "where", value_name = "KEY=VALUE")]
    pub(crate) wanted: Vec<PlaceTag>,
    /// Not on members with this tag
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) avoid: Vec<PlaceTag>,
    /// Repaired before others that are as urgent, the higher the sooner: 0 to 255
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<u8>,
    /// Wait for copies: none, a quorum (more than half of them), or all; needs a running node
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "none",
        hide_default_value = true
    )]
    #[arg(hide_possible_values = true)]
    pub(crate) wait: WaitFor,
    /// Wait for so long, then say what is missing (exit code 6)
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) wait_timeout: Duration,
}

/// Which copies are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    None,
    Quorum,
    All,
}

impl From<WaitFor> for message::CopiesWait {
    fn from(wait: WaitFor) -> Self {
        match wait {
            WaitFor::None => Self::None,
            WaitFor::Quorum => Self::Quorum,
            WaitFor::All => Self::All,
        }
    }
}

/// How it is with the copies: of one content, or of all that this node looks after
///
/// With a CID: exit code 0 where as many copies as are wanted were shown to be there, 6 where not, 3 where
/// nobody wants any. Needs a running node.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// A CID [default: all that this node holds]
    #[arg(value_name = "CID")]
    pub(crate) cid: Option<String>,
    /// Only whether this node has all of it that belongs here, or the whole (exit code 6 if not)
    #[arg(long, requires = "cid")]
    pub(crate) local: bool,
}

/// What an operator should look at, the worst first, and what to do about each
///
/// Exit code 6 where something is wrong.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// How fast missing copies are made again; slow that down, pause or resume it
///
/// For the running node, until it ends; `replication.rate` is for good.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Offer others so many bytes a second: 64MiB, or off for no limit
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    #[arg(conflicts_with_all = ["pause", "resume"])]
    pub(crate) rate: Option<RateLimit>,
    /// Offer nothing from now on
    #[arg(long, conflicts_with = "resume")]
    pub(crate) pause: bool,
    /// As fast again as the settings say
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Make this node needless, so that it can be taken out: the others copy what it has
///
/// It takes nothing new from now on, serves what it has, and tells the others that its copies do not count any
/// more. Waits until there are enough without it: exit code 0 when nothing on it is needed any more, and it can be
/// stopped; 6 where that cannot be reached, and why (too few other members, say). Ctrl-C ends the waiting and not the
/// drain, which also goes on when the node is started again.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Wait for so long, then say what is missing (exit code 6) [default: however long it takes]
    #[arg(long, value_name = "DURATION")]
    pub(crate) wait_timeout: Option<Duration>,
    /// Only say how far it is (exit code 6 if it is not complete, 3 if the node is not draining)
    #[arg(long, conflicts_with_all = ["cancel", "wait_timeout"])]
    pub(crate) status: bool,
    /// Let the node stay after all
    #[arg(long, conflicts_with = "wait_timeout")]
    pub(crate) cancel: bool,
}

/// `64MiB` as well as `64MiB/s`.
fn rate(text: &str) -> Result<RateLimit, store_config::InvalidRate> {
    if text == "off" || text.ends_with("/s") {
        return text.parse();
    }
    format!("{text}/s").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_may_leave_out_what_they_are_per() {
        for text in ["64MiB", "64MiB/s", "64 MiB"] {
            assert_eq!(
                rate(text).unwrap().bytes_per_second(),
                Some(64 << 20),
                "{text}"
            );
        }
        assert_eq!(rate("off").unwrap().bytes_per_second(), None);
        assert!(rate("0").is_err() && rate("fast").is_err());
    }
}
