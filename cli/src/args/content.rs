//! Verbs about content.

use std::path::PathBuf;

use clap::Args;
use store_config::{ByteSize, Duration};
use store_node::api::message;

use super::described::Described;
use super::pin::Marks;
use super::replication::Copies;
use super::shape::Shape;
use super::swarm::Network;

/// Add files and directories, and print their CIDs
///
/// A CID is printed when its bytes are safe on disk. Without a path, or with `-`, standard input is
/// added. Directories are added with all that is in them, hidden entries aside; what cannot be read is
/// named at the end (exit code 6), and the rest is added. Files that were added before and have not
/// changed are not read again.
///
/// In a private swarm copies are made on other members, as many as `replication.replicas` says; in an open
/// one where they are asked for. With --wait the command ends when they are there (exit code 6 if not all are).
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Add {
    /// Files and directories; `-` is standard input
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Put everything into one directory, so that names are kept
    #[arg(short, long = "wrap-with-directory", visible_alias = "wrap")]
    pub(crate) wrap: bool,
    /// Leave out what matches, as .gitignore has it; may be given many times
    #[arg(long, value_name = "PATTERN")]
    pub(crate) ignore: Vec<String>,
    /// Leave out what matches the rules in this file, which is like a .gitignore
    #[arg(long, value_name = "FILE")]
    pub(crate) ignore_rules_path: Option<PathBuf>,
    /// Read all files, also those that were added before and have not changed since
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Add hidden entries, too: those whose name begins with a dot
    #[arg(short = 'H', long)]
    pub(crate) hidden: bool,
    /// Add directories without entries
    #[arg(short = 'E', long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) empty_dirs: bool,
    /// Add what symlinks point to instead of the symlinks
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) dereference_symlinks: bool,
    #[command(flatten)]
    pub(crate) shape: Shape,
    #[command(flatten)]
    pub(crate) described: Described,
    /// Leave the bytes of files where they are, and read them from there: needs no room, and the files
    /// must stay
    #[arg(long, visible_alias = "nocopy", conflicts_with = "only_hash")]
    pub(crate) no_copy: bool,
    /// Keep clones of files instead of copies, which take no room until the files change: always, or
    /// auto, which stores what cannot be cloned
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "always", conflicts_with_all = ["no_copy", "only_hash"])]
    pub(crate) reflink: Option<Reflink>,
    /// Print the CIDs and store nothing
    #[arg(short = 'n', long, conflicts_with_all = ["name", "labels", "expire_in", "expire_at", "Copies"])]
    pub(crate) only_hash: bool,
    /// Store without pinning: what is not pinned may be removed when space is needed
    #[arg(long, conflicts_with_all = ["name", "labels", "expire_in", "expire_at", "Copies"])]
    pub(crate) no_pin: bool,
    #[command(flatten)]
    pub(crate) marks: Marks,
    #[command(flatten)]
    pub(crate) copies: Copies,
    /// Print the CID alone
    #[arg(
        short,
        long,
        visible_alias = "quieter",
        short_alias = 'Q',
        conflicts_with = "json"
    )]
    pub(crate) quiet: bool,
}

/// When files are cloned, as in `cp`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Reflink {
    /// Where the file system can; all else is stored
    Auto,
    /// What cannot be cloned is an error
    Always,
}

impl From<Reflink> for message::Reflink {
    fn from(when: Reflink) -> Self {
        match when {
            Reflink::Auto => Self::Auto,
            Reflink::Always => Self::Always,
        }
    }
}

/// Write content to disk, from this machine or from whoever has it
///
/// Started again after it was ended, it fetches what it does not have yet. It never writes over a file
/// without --force, and never outside of the target.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK", required_unless_present = "stdin")]
    pub(crate) target: Option<String>,
    /// Read what to get from standard input, one a line, and write each into the directory that -o
    /// names [default: .]; what cannot be had is named (exit code 6), and the rest is written
    #[arg(long, conflicts_with_all = ["target", "pin"])]
    pub(crate) stdin: bool,
    /// Where to write to [default: ./<name or CID>]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replace what is there already
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Store it as well, and keep it: else a large file is not stored twice, but served from where it
    /// is written
    #[arg(long)]
    pub(crate) pin: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Print a file, or a range of it
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    /// Begin at this byte: 1048576 or 1MiB
    #[arg(
        short,
        long,
        value_name = "SIZE",
        default_value = "0",
        hide_default_value = true
    )]
    pub(crate) offset: ByteSize,
    /// Print so many bytes [default: to the end]
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) length: Option<ByteSize>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// List a directory
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// A CID, CID/path/in/it, or a link of `store share`
    #[arg(value_name = "CID|LINK")]
    pub(crate) target: String,
    /// Look at each entry, for its kind and exact size: one more block each
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// Print a link by which others reach this node's copy
///
/// `store get LINK` needs nothing else: the link carries this node's addresses.
#[derive(Debug, Args)]
pub(crate) struct Share {
    /// A CID, or CID/path/in/it
    #[arg(value_name = "CID")]
    pub(crate) target: String,
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Give up when nothing new came for this long
    #[arg(
        help = "Give up when nothing new came for this long: 30s, 5m [default: exchange.stall_timeout, 1m]"
    )]
    #[arg(short, long, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
}
