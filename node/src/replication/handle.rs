//! [`Replication`]: what the rest of the node can ask of replication. Cheap to clone; every method sends a
//! command to the one task that decides ([`Replicator`](super::replicator)).

use store::Cid;
use store::cid::Key;
use tokio::sync::{mpsc, oneshot, watch};

use super::policy::Policy;
use super::report::{Draining, Placed, RootStatus, Summary};

/// Commands that wait at most: one for each conversation that goes on.
const COMMANDS: usize = 64;

/// The handle.
#[derive(Clone, Debug)]
pub struct Replication {
    commands: mpsc::Sender<Command>,
}

/// What is asked of it.
pub(super) enum Command {
    Want {
        root: Cid,
        wish: Wish,
        reply: oneshot::Sender<Result<(), ReplicationError>>,
    },
    Withdraw {
        root: Cid,
        reply: oneshot::Sender<Result<bool, ReplicationError>>,
    },
    Place {
        root: Cid,
        placed: watch::Sender<Placed>,
    },
    Status {
        root: Cid,
        reply: oneshot::Sender<Result<RootStatus, ReplicationError>>,
    },
    Summary {
        reply: oneshot::Sender<Summary>,
    },
    SetRate {
        rate: u64,
    },
    Rotten {
        keys: Vec<Key>,
    },
    Drain {
        anew: bool,
        reply: oneshot::Sender<Draining>,
    },
    Assigned {
        root: Cid,
        reply: oneshot::Sender<Result<Assigned, ReplicationError>>,
    },
}

impl Command {
    /// Whether what it does, or says, is about who is here now, and not a second ago.
    pub(super) const fn looks(&self) -> bool {
        matches!(
            self,
            Self::Place { .. }
                | Self::Status { .. }
                | Self::Summary { .. }
                | Self::Drain { .. }
                | Self::Assigned { .. }
        )
    }
}

/// What an owner wants of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How many copies, and where.
    pub policy: Policy,
    /// Unix seconds; `None` for no end.
    pub expires: Option<u64>,
}

/// How it is with what this member should have of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Segments that belong here, or are held here.
    pub segments: usize,
    /// Those of them that are not whole here.
    pub missing: usize,
    /// Whether the whole content is here.
    pub whole: bool,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationError {
    /// The repo.
    #[error(transparent)]
    Store(#[from] store::blockstore::StoreError),
    /// The node is ending.
    #[error("the node is ending")]
    Ending,
    /// Nobody wants copies of it.
    #[error("nobody wants copies of `{0}`")]
    NotWanted(Cid),
    /// It was to be placed, and is not whole on this machine.
    #[error("`{0}` is not whole on this machine")]
    NotHere(Cid),
    /// The record cannot be made.
    #[error("{0}")]
    Record(String),
}

impl Replication {
    /// The handle, and where its commands come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, queue) = mpsc::channel(COMMANDS);
        (Self { commands }, queue)
    }

    /// Wants copies of `root`, under this node's own key: durable, and on its way to the other members, when
    /// this returns.
    ///
    /// # Errors
    /// If the repo fails.
    pub async fn want(&self, root: Cid, wish: Wish) -> Result<(), ReplicationError> {
        self.ask(|reply| Command::Want { root, wish, reply })
            .await?
    }

    /// Wants copies no more. `false` where this node's key did not want any. What others want stays, also on
    /// this machine.
    ///
    /// # Errors
    /// If the repo fails.
    pub async fn withdraw(&self, root: Cid) -> Result<bool, ReplicationError> {
        self.ask(|reply| Command::Withdraw { root, reply }).await?
    }

    /// Has copies of `root`, which is whole here and wanted, made now, without the waits of repairs, and tells
    /// how far that is. Whoever drops the receiver changes nothing.
    pub async fn place(&self, root: Cid) -> watch::Receiver<Placed> {
        let (placed, watch) = watch::channel(Placed::default());
        // When the node ends the sender is dropped, which the receiver sees.
        let _ = self.commands.send(Command::Place { root, placed }).await;
        watch
    }

    /// What is known of the copies of `root`.
    ///
    /// # Errors
    /// If the repo fails.
    pub async fn status(&self, root: Cid) -> Result<RootStatus, ReplicationError> {
        self.ask(|reply| Command::Status { root, reply }).await?
    }

    /// How it stands on this member.
    ///
    /// # Errors
    /// If the node is ending.
    pub async fn summary(&self) -> Result<Summary, ReplicationError> {
        self.ask(|reply| Command::Summary { reply }).await
    }

    /// Offers so many bytes a second from now on; 0 pauses repairs.
    pub async fn set_rate(&self, rate: u64) {
        let _ = self.commands.send(Command::SetRate { rate }).await;
    }

    /// The blocks of these keys were found to be rotten: the copies that they are of are fetched again.
    pub async fn rotten(&self, keys: Vec<Key>) {
        let _ = self.commands.send(Command::Rotten { keys }).await;
    }

    /// How far this member is that is about to leave. `anew`: also those who have confirmed before that they have their
    /// copies are asked once more.
    ///
    /// # Errors
    /// If the node is ending.
    pub async fn drain(&self, anew: bool) -> Result<Draining, ReplicationError> {
        self.ask(|reply| Command::Drain { anew, reply }).await
    }

    /// Whether this member has what it should have of `root`.
    ///
    /// # Errors
    /// If the repo fails, or nobody wants copies of it.
    pub async fn assigned(&self, root: Cid) -> Result<Assigned, ReplicationError> {
        self.ask(|reply| Command::Assigned { root, reply }).await?
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ReplicationError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| ReplicationError::Ending)?;
        answer.await.map_err(|_| ReplicationError::Ending)
    }
}
