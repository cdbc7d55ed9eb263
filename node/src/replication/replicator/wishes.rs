//! What this node's owner wants, and the commands of the handle.

use std::sync::Arc;

use libp2p::PeerId;
use rand::seq::IteratorRandom as _;
use store::Cid;
use store::pin;
use store::wire::member::Signed;
use store::wire::replica::ReplicaRequest;
use tokio::sync::oneshot;

use super::Replicator;
use super::context::Context;
use super::load::look_up;
use super::notes::{Note, RootHere};
use crate::replication::handle::{Command, ReplicationError, Wish};
use crate::replication::placement::Member;

/// Members that one who learned of a record tells of it. The others hear it from these, or when they compare.
const TELLS: usize = 8;
/// Records in one message: of the largest they fill half of it.
const TOGETHER: usize = 8;

impl Replicator {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Want { root, wish, reply } => self.want(root, wish, reply),
            Command::Withdraw { root, reply } => self.withdraw(root, reply),
            Command::Place { root, placed } => self.place(root, Some(placed)),
            Command::Status { root, reply } => self.cut_for_status(root, reply),
            Command::Assigned { root, reply } => self.cut_for_assigned(root, reply),
            // Who no longer waits does not care.
            Command::Summary { reply } => drop(reply.send(self.summary())),
            Command::Drain { anew, reply } => drop(reply.send(self.drain(anew))),
            Command::Rotten { keys } => self.rotten(keys),
            Command::SetRate { rate } => {
                self.rate = rate;
                self.plan(crate::replication::planner::Event::Rate(rate));
            }
        }
    }

    fn want(&self, root: Cid, wish: Wish, reply: oneshot::Sender<Result<(), ReplicationError>>) {
        let tells = self.some_members(None);
        self.publish(root, Some(wish), tells, |here, _| match here {
            Ok(root) => Some(Note::Wished { root, reply }),
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        });
    }

    fn withdraw(&self, root: Cid, reply: oneshot::Sender<Result<bool, ReplicationError>>) {
        let tells = self.some_members(None);
        self.publish(root, None, tells, |here, was| match here {
            Ok(root) => Some(Note::Withdrawn { root, was, reply }),
            Err(error) => {
                let _ = reply.send(Err(error));
                None
            }
        });
    }

    /// Writes a record, tells some members of it, and says how it is with the root then.
    fn publish(
        &self,
        root: Cid,
        wish: Option<Wish>,
        tells: Vec<PeerId>,
        then: impl FnOnce(Result<RootHere, ReplicationError>, bool) -> Option<Note> + Send + 'static,
    ) {
        self.task(|context| async move {
            let shared = Arc::clone(&context);
            let write = move || write(&shared, &root, wish.as_ref());
            let written = tokio::task::spawn_blocking(write).await;
            let written = written.unwrap_or(Err(ReplicationError::Ending));
            match written {
                Ok((here, signed)) => {
                    let was = signed.is_some();
                    if let Some(record) = signed {
                        tell_records(&context, &tells, &[record]);
                    }
                    then(Ok(here), was)
                }
                Err(error) => then(Err(error), false),
            }
        });
    }

    pub(super) fn on_wished(
        &mut self,
        here: RootHere,
        reply: oneshot::Sender<Result<(), ReplicationError>>,
    ) {
        let root = here.root;
        let is_here = here.pinned.is_some();
        let before = self.unasked.len();
        self.on_root(here);
        // It is being placed: whoever should have it is offered it at once.
        self.unasked.truncate(before);
        let _ = reply.send(Ok(()));
        if is_here {
            self.place(root, None);
        }
    }

    /// Records that another member told of.
    pub(super) fn on_records(&self, from: Member, records: Vec<Signed>) {
        let tells = self.some_members(Some(from));
        let teller = self.roster.candidate(from).map(|it| it.peer);
        self.task(|context| async move {
            let (shared, brought) = (Arc::clone(&context), records.clone());
            let take = move || shared.pins.take(brought, pin::now()).ok();
            let taken = tokio::task::spawn_blocking(take).await.ok()??;
            if taken.new > 0 {
                tell_records(&context, &tells, &records);
            }
            tell_records(&context, teller.as_slice(), &taken.newer);
            (!taken.roots.is_empty()).then_some(Note::Changed(taken.roots))
        });
    }

    /// A few of the others, by chance.
    fn some_members(&self, except: Option<Member>) -> Vec<PeerId> {
        let others = self.roster.members();
        let others = others.filter(|it| *it != self.me && Some(*it) != except);
        let some = others.choose_multiple(&mut rand::rng(), TELLS);
        let candidates = some.into_iter().filter_map(|it| self.roster.candidate(it));
        candidates.map(|it| it.peer).collect()
    }
}

/// Tells these members of records, and does not wait for it.
pub(super) fn tell_records(context: &Arc<Context>, to: &[PeerId], records: &[Signed]) {
    for &peer in to {
        for some in records.chunks(TOGETHER) {
            let (context, some) = (Arc::clone(context), some.to_vec());
            tokio::spawn(async move {
                // Who does not hear it learns of it when it compares.
                let _ = context.ask(peer, ReplicaRequest::Pins(some)).await;
            });
        }
    }
}

/// Writes what is wanted of a root, or that it is wanted no more; the record, if one was needed. What others
/// want of it, and a pin of ours has kept, is held then.
fn write(
    context: &Context,
    root: &Cid,
    wish: Option<&Wish>,
) -> Result<(RootHere, Option<Signed>), ReplicationError> {
    let repo = context.repo.upgrade().ok_or(ReplicationError::Ending)?;
    let is_withdrawn = wish.is_none();
    let owners = context.pins.owners(root, pin::now())?;
    let signed = if is_withdrawn && !owners.contains(&context.me) {
        None
    } else {
        let wish = wish.map(|wish| (&wish.policy, wish.expires.unwrap_or(0)));
        let signed = context.pins.publish(&context.key, *root, wish, pin::now());
        Some(signed.map_err(|error| ReplicationError::Record(error.to_string()))?)
    };
    let mut here = look_up(context, &repo, root)?;
    if is_withdrawn && here.policy.is_some() {
        let keep = repo.keep();
        for segment in here.pinned.iter().flatten() {
            keep.hold(&segment.hold)?;
        }
        here.is_held = here.pinned.is_some();
    }
    Ok((here, signed))
}
