//! What commands and whoever holds the repo say to each other.
//!
//! One connection is one conversation: a [`Request`]; after those that [take](Request::has_steps) them,
//! [`Step`]s with what is to be read (or [`ManyStep`]s); then [`Event`]s until [`Event::Done`] or [`Event::Failed`]. Both
//! sides are processes of one user on one machine, mostly of one version: an unknown message is an
//! error that says so.

mod add;
mod car;
mod care;
mod land;
mod many;
mod member;
mod membership;
mod pin;
mod plumbing;
mod progress;
mod replication;
mod storage;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use store::Cid;
use store::unixfs::data::{self, Metadata};
use store::unixfs::{Name, Piece};

pub use self::add::{AddOptions, Added, Reflink, Shape, ShapeError, Skipped, Step};
pub use self::car::{CarExport, CarExportError, CarFile, CarImport, CarRequest, ImportedRoot};
pub use self::care::{
    Backup, CareItem, CareRequest, Found as CareFound, Hit, ScrubStatus, Verified, Verify,
};
pub use self::land::{Land, LandFile, LandStep};
pub use self::many::{GetMany, MAX_TARGETS, Many, ManyStep};
pub use self::member::{Member, MemberHealth};
pub use self::membership::{AcceptedOwner, Membership, MembershipRequest};
pub use self::pin::{
    Holder, Pin, PinExpiry, PinFilter, PinMarks, PinRequest, PinType, PinVerified, Updated,
};
pub use self::plumbing::{
    BlockPut, BlockRequest, DagProof, DagRequest, DagStat, DagsStat, KuboCopied, KuboRefused,
};
pub use self::progress::{Giver, Phase, Progress};
pub use self::replication::{
    Ailment, Brakes, ContentStatus, CopiesAsked, CopiesMade, CopiesWait, Deficit, DrainChange,
    Drained, LocalCopy, MemberShare, NextRepair, Obstacle, Placed, RepairChange, RepairRate,
    ReplicationRequest, Sight, StuckContent, SwarmStatus, Urgency, Wanted, WantedCopies,
};
pub use self::storage::{Collected, Gc, RepoStat, Usage};

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Add what the [`Step`]s that follow describe. Answered by [`Item::Added`]s.
    Add(AddOptions),
    /// The whole of a content. Answered by [`Event::Found`] and its [`Event::Piece`]s.
    Get(Content),
    /// The whole of a content, into a file of the client's where that is large. See [`Land`].
    Land(Land),
    /// Many contents, which [`ManyStep`]s name. Answered by [`Event::Many`] and pieces.
    GetMany(GetMany),
    /// Bytes of a file. Answered by [`Event::Found`] and data.
    Cat(Cat),
    /// The entries of a directory. Answered by [`Item::Entry`]s.
    Ls(Ls),
    /// A link by which others reach this machine's copy. Answered by [`Item::Link`].
    Share(Share),
    /// What is kept.
    Pin(PinRequest),
    /// Who is there.
    Swarm(SwarmRequest),
    /// Which swarm it is of, and whom it stores for.
    Membership(MembershipRequest),
    /// Copies on other members.
    Replication(ReplicationRequest),
    /// What is on this machine.
    Stat(StatRequest),
    /// Remove what nothing keeps.
    Gc(Gc),
    /// Take care of it.
    Care(CareRequest),
    /// CAR files.
    Car(CarRequest),
    /// Single blocks.
    Block(BlockRequest),
    /// Whole DAGs.
    Dag(DagRequest),
    /// Copy what a stopped Kubo has: the client passes on its directory, and then, if there is one, a
    /// list of its pins. Answered by [`Item::KuboRefused`]s, [`Item::Kubo`] and [`Item::Root`]s.
    ImportKubo,
}

impl Request {
    /// Whether [`Step`]s follow it.
    #[must_use]
    pub const fn has_steps(&self) -> bool {
        matches!(
            self,
            Self::Add(_)
                | Self::Car(CarRequest::Import(_))
                | Self::Block(BlockRequest::Put(_))
                | Self::GetMany(_)
                | Self::ImportKubo
        )
    }
}

/// Which content, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// `CID`, `CID/path/in/dir`, `/ipfs/CID/…`, `ipfs://CID/…`, or a link (`store://…`,
    /// [`crate::link`]).
    pub target: String,
    /// Peers to ask besides those that the swarm tells of.
    pub addresses: Vec<Multiaddr>,
    /// Give up when nothing came for this long.
    pub timeout: Duration,
}

/// Which bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cat {
    /// The file.
    pub content: Content,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; to the end without it. A range that passes the end stops there.
    pub length: Option<u64>,
}

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ls {
    /// The directory.
    pub content: Content,
    /// Look at each entry, for its kind and exact size: one more block each.
    pub resolve: bool,
}

/// Which content to make a link of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// `CID` or `CID/path/in/dir`.
    pub target: String,
}

/// Who is there. All but [`SwarmRequest::Id`] need a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwarmRequest {
    /// Who we are. Answered by [`Item::Id`].
    Id,
    /// The members of the swarm. Answered by [`Item::Member`]s.
    Members,
    /// Connected peers. Answered by [`Item::Peer`]s.
    Peers,
    /// Connect. Answered by [`Item::Connected`].
    Connect {
        /// Where, with or without `/p2p/PEER` at its end.
        address: Multiaddr,
    },
    /// Who says that he has it. Answered by [`Item::Provider`]s as they are found.
    Providers {
        /// The root.
        #[serde(with = "text")]
        cid: Cid,
        /// Stop after this long.
        timeout: Duration,
    },
}

/// What is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatRequest {
    /// The repo. Answered by [`Item::Repo`].
    Repo {
        /// Also what keeps the bytes: goes over all blocks.
        usage: bool,
    },
    /// One block, without asking anybody else. Answered by [`Item::Block`].
    Block {
        /// The block.
        #[serde(with = "text")]
        cid: Cid,
    },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// How far it is. Left out while the client does not read.
    Progress(Progress),
    /// What it waits for. Repeated, and left out while the client does not read.
    Waiting {
        /// For what.
        phase: Phase,
        /// More, for people; may be empty.
        detail: String,
    },
    /// The content has been found; it follows.
    Found(Found),
    /// A piece of a content. [`Piece::Data`] travels as a data frame.
    Piece(Piece),
    /// Which files of the next [`Step::Batch`] have to be read: their numbers among its files, from 0.
    Wanted {
        /// The numbers, ascending.
        files: Vec<u32>,
    },
    /// A file is wanted to write into.
    Land(LandFile),
    /// The file is complete.
    Landed,
    /// Of one of many contents.
    Many(Many),
    /// One answer.
    Item(Item),
    /// The end: all is done, and durable where something was written.
    Done,
    /// The end: it failed.
    Failed(Failure),
}

/// A content that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The CID at the end of the path.
    #[serde(with = "text")]
    pub cid: Cid,
    /// What it is.
    pub kind: Kind,
    /// Bytes that follow, where it is known: exact for a file, as its makers claim for a directory.
    pub size: Option<u64>,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl Kind {
    /// What users call a node of this kind; `None` for metadata, which is no part of a tree.
    #[must_use]
    pub const fn of(kind: data::Kind) -> Option<Self> {
        match kind {
            data::Kind::Raw | data::Kind::File => Some(Self::File),
            data::Kind::Directory | data::Kind::HamtShard => Some(Self::Directory),
            data::Kind::Symlink => Some(Self::Symlink),
            data::Kind::Metadata => None,
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
        })
    }
}

/// One answer. In `--json` output these stand as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// An added root; durable.
    Added(Added),
    /// Something that was left out of an add.
    Skipped(Skipped),
    /// An entry of a directory.
    Entry(DirEntry),
    /// A pin.
    Pin(Pin),
    /// Why a block is kept.
    Holder(Box<Holder>),
    /// A pin in the place of another.
    Updated(Box<Updated>),
    /// A pin that was read through.
    PinVerified(Box<PinVerified>),
    /// This node.
    Id(Id),
    /// A connected peer.
    Peer(Peer),
    /// A member of the swarm.
    Member(Box<Member>),
    /// A peer that was just connected to.
    Connected(Connected),
    /// A peer that says it has the content.
    Provider(Provider),
    /// The swarm that this node is of.
    Membership(Membership),
    /// An owner that this node stores for.
    AcceptedOwner(AcceptedOwner),
    /// Copies that are wanted, or no longer.
    Wanted(Wanted),
    /// What became of copies that were waited for.
    Placed(Placed),
    /// How it is with the copies of a content.
    Status(Box<ContentStatus>),
    /// Whether this node has what it should have of a content.
    Local(LocalCopy),
    /// How replication stands on this node.
    Swarm(Box<SwarmStatus>),
    /// What an operator should look at.
    Ailment(Ailment),
    /// How fast repairs are.
    Rate(RepairRate),
    /// How far a node is that is about to leave.
    Drained(Box<Drained>),
    /// The repo.
    Repo(RepoStat),
    /// What was removed.
    Collected(Collected),
    /// A block.
    Block(BlockStat),
    /// A link.
    Link(Link),
    /// A CAR file that was read.
    CarFile(CarFile),
    /// A root of what was imported.
    Root(ImportedRoot),
    /// What was copied from Kubo.
    Kubo(KuboCopied),
    /// A block of Kubo's that was left out.
    KuboRefused(KuboRefused),
    /// The size of a DAG.
    Dag(DagStat),
    /// The size of several DAGs together.
    Dags(DagsStat),
    /// What takes care of the repo says.
    Care(CareItem),
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEntry {
    /// Its name.
    pub name: Name,
    /// Its CID.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Bytes of all its blocks, as its maker claims.
    pub tsize: u64,
    /// What it is; only with [`Ls::resolve`].
    pub kind: Option<Kind>,
    /// Bytes of the file or of the symlink's target; only with [`Ls::resolve`].
    pub size: Option<u64>,
    /// Permissions and time, where they are stored; only with [`Ls::resolve`].
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// Its peer id.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Where it listens, with `/p2p/PEER`; empty where no node runs.
    pub addresses: Vec<Multiaddr>,
    /// The network's name.
    pub network: String,
    /// Program and version.
    pub agent: String,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its peer id.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Where it is.
    pub addresses: Vec<Multiaddr>,
    /// Whether it came to us.
    pub inbound: bool,
    /// Program and version, as it says.
    pub agent: Option<String>,
    /// The last round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Whether it speaks our chunk protocol.
    pub exchange: bool,
    /// What it did for us, if it did anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reputation: Option<Reputation>,
}

/// What a peer did for us, in all time that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reputation {
    /// Of what was asked of it lately, the share that came and was right, in percent.
    pub ratio: u8,
    /// Bytes per second, lately; 0 where that was not measured.
    pub rate: u64,
    /// Requests that were answered.
    pub done: u64,
    /// Requests that failed in any way.
    pub failed: u64,
    /// Bytes that were right.
    pub good: u64,
    /// Bytes that were wrong.
    pub bad: u64,
    /// Bytes that did not come in time.
    pub late: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Whether it is asked for anything now.
    pub welcome: bool,
    /// In Unix seconds: not asked before then, since it gave wrong bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_until: Option<u64>,
}

/// A peer that was just connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Its peer id.
    #[serde(with = "text")]
    pub peer: PeerId,
}

/// A peer that says it has the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its peer id.
    #[serde(with = "text")]
    pub peer: PeerId,
    /// Where it is.
    pub addresses: Vec<Multiaddr>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockStat {
    /// Its CID.
    #[serde(with = "text")]
    pub cid: Cid,
    /// Its size in bytes; `None` where this machine does not have it.
    pub size: Option<u32>,
}

/// A link to a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link ([`crate::link`]).
    pub link: String,
}

/// Why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which sort of failure.
    pub kind: FailureKind,
    /// One line for people, that names the thing.
    pub message: String,
    /// What they could do about it.
    pub hint: Option<String>,
}

/// Sorts of failures: the exit codes of commands (DESIGN §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Anything else.
    Error,
    /// What was asked makes no sense.
    Usage,
    /// Nobody has it.
    NotFound,
    /// Nothing came for as long as the command was willing to wait.
    Stalled,
    /// Bytes that are not what they should be.
    Corrupt,
    /// Part of it was done.
    Partial,
}

impl FailureKind {
    /// The exit code of the command.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Stalled => 4,
            Self::Corrupt => 5,
            Self::Partial => 6,
        }
    }
}

/// Values that stand in JSON as their text.
mod text {
    use super::{Display, FromStr};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

/// Lists of values that stand in JSON as their texts.
mod texts {
    use super::{Display, FromStr};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        values: &[impl Display],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        let parse = |text: &String| {
            text.parse()
                .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
        };
        texts.iter().map(parse).collect()
    }
}
