//! Pin records of the other members: each compares what it knows with another, now and then.

use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use rand::seq::IteratorRandom;
use store::pin;
use store::wire::member::MemberRole;
use store::wire::replica::{MAX_PINS, ReplicaRequest, ReplicaResponse};
use tokio::sync::mpsc;

use super::context::Context;
use super::notes::Note;
use super::wishes::tell_records;
use crate::members::Health;
use crate::reconcile::{Comparison, Difference};

/// Between two comparisons, with a member by chance.
const PAUSE: Duration = Duration::from_secs(30);
/// While nobody is here, or the first comparison has not succeeded.
const SOON: Duration = Duration::from_millis(500);

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Request(#[from] crate::network::RequestError),
    #[error(transparent)]
    Store(#[from] store::blockstore::StoreError),
    #[error("it answered another question")]
    Misfit,
    #[error("the node is ending")]
    Ending,
}

/// Goes on until the swarm ends.
pub(super) async fn run(context: Arc<Context>, notes: mpsc::Sender<Note>) {
    let mut has_synced = false;
    loop {
        let other = another(&context).await;
        let synced = match other {
            Some(peer) => compare(&context, peer, &notes).await.inspect_err(|error| {
                tracing::debug!(%peer, %error, "pin records could not be compared");
            }),
            None => Err(SyncError::Ending),
        };
        has_synced |= synced.is_ok();
        match expire(&context, &notes).await {
            Ok(()) => {}
            // Which is no news to anybody.
            Err(SyncError::Ending) => return,
            Err(error) => tracing::warn!(%error, "pin records could not be kept up"),
        }
        let pause = if has_synced {
            context.scaled(PAUSE).max(SOON)
        } else {
            SOON
        };
        tokio::select! {
            () = context.network.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A storage member that is here, by chance.
async fn another(context: &Context) -> Option<PeerId> {
    let (members, _) = context.network.members().await;
    let here = members.into_iter().filter(|member| {
        let is_storage = member.record.role == MemberRole::Storage;
        !member.local && is_storage && member.health == Health::Alive
    });
    here.choose(&mut rand::rng())?.peer()
}

/// Learns what `peer` knows and we do not. What it does not know it learns when it compares.
async fn compare(
    context: &Arc<Context>,
    peer: PeerId,
    notes: &mpsc::Sender<Note>,
) -> Result<(), SyncError> {
    let mut comparison = Comparison::of_all();
    loop {
        let shared = Arc::clone(context);
        let (questions, mut state) = blocking(move || {
            let questions = comparison.questions(&*shared.pins)?;
            Ok((questions, comparison))
        })
        .await?;
        if questions.is_empty() {
            let shared = Arc::clone(context);
            return blocking(move || {
                // All that this member wants is known here now.
                if shared.pins.needs_resync() {
                    shared.pins.resynced()?;
                }
                Ok(())
            })
            .await;
        }
        let request = ReplicaRequest::Compare(questions);
        let ReplicaResponse::Verdicts(verdicts) = context.ask(peer, request).await? else {
            return Err(SyncError::Misfit);
        };
        let shared = Arc::clone(context);
        let (found, state) = blocking(move || {
            let found = state.answers(&*shared.pins, verdicts)?;
            Ok((found, state))
        })
        .await?;
        comparison = state;
        let found = found.map_err(|_| SyncError::Misfit)?;
        let theirs = found.into_iter().filter_map(|it| match it {
            Difference::Theirs(item) => Some(item.key),
            Difference::Ours(_) | Difference::OursBelow(_) => None,
        });
        let theirs: Vec<[u8; 32]> = theirs.collect();
        for keys in theirs.chunks(MAX_PINS) {
            fetch(context, peer, keys.to_vec(), notes).await?;
        }
    }
}

/// Lets go what time has made void.
async fn expire(context: &Arc<Context>, notes: &mpsc::Sender<Note>) -> Result<(), SyncError> {
    loop {
        let shared = Arc::clone(context);
        let expired = blocking(move || Ok(shared.pins.expire(pin::now())?)).await?;
        if expired.is_empty() {
            return Ok(());
        }
        let _ = notes.send(Note::Changed(expired)).await;
    }
}

async fn fetch(
    context: &Arc<Context>,
    peer: PeerId,
    keys: Vec<[u8; 32]>,
    notes: &mpsc::Sender<Note>,
) -> Result<(), SyncError> {
    let request = ReplicaRequest::Fetch(keys);
    let ReplicaResponse::Pins(records) = context.ask(peer, request).await? else {
        return Err(SyncError::Misfit);
    };
    let shared = Arc::clone(context);
    let taken = blocking(move || Ok(shared.pins.take(records, pin::now())?)).await?;
    // What it still wants and somebody has withdrawn.
    tell_records(context, &[peer], &taken.newer);
    if !taken.roots.is_empty() {
        let _ = notes.send(Note::Changed(taken.roots)).await;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SyncError> + Send + 'static,
) -> Result<T, SyncError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| SyncError::Ending)?
}
