//! One offer to one member, from the question to the receipt.

use std::time::Duration;

use store::segment::{Hold, SegmentId};
use store::wire::member::MemberId;
use store::wire::replica::{MAX_TOLD_HOLDERS, Offer, ReplicaRequest, ReplicaResponse};

use super::context::Context;
use crate::members::peer_of;
use crate::replication::receipt;

/// An offer of which nothing was heard for so long has failed; as the planner has it.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Disks and links are not scaled with the waits: so long a segment of the largest size takes at 2 MiB/s.
const SHORTEST: Duration = Duration::from_secs(30);

/// How an offer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It has it, durably, and has signed that.
    Holds,
    /// It has no room.
    NoRoom,
    /// It stores nothing for the owners, or may not have it.
    Refused,
    /// It could not be reached, or is busy.
    Failed(String),
    /// It accepted, and could not get it, or said nothing more.
    Unkept(String),
}

/// What is offered.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) segment: SegmentId,
    pub(super) bytes: u64,
    /// Where it is in each content that it is known by.
    pub(super) holds: Vec<Hold>,
    /// Others that have it.
    pub(super) holders: Vec<MemberId>,
    pub(super) idle: bool,
}

/// Offers a segment, for the sake of each content that it is known by, and waits until the member has it.
pub(super) async fn offer(context: &Context, to: MemberId, parcel: Parcel) -> Offered {
    let mut ended = Offered::Failed("nothing was offered".to_owned());
    let Parcel {
        segment,
        bytes,
        holds,
        mut holders,
        idle,
    } = parcel;
    holders.truncate(MAX_TOLD_HOLDERS);
    for hold in holds {
        let Some(root) = hold.root().copied() else {
            continue;
        };
        let pins = std::sync::Arc::clone(&context.pins);
        let pins =
            tokio::task::spawn_blocking(move || pins.records_of(&root, store::pin::now())).await;
        let Ok(Ok(pins)) = pins else {
            return Offered::Failed("the pin records cannot be read".to_owned());
        };
        let holders = holders.clone();
        ended = offer_one(
            context,
            to,
            Offer {
                segment,
                hold,
                bytes,
                idle,
                pins,
                holders,
            },
        )
        .await;
        if ended != Offered::Holds {
            break;
        }
    }
    ended
}

async fn offer_one(context: &Context, to: MemberId, offer: Offer) -> Offered {
    let Some(peer) = peer_of(&to) else {
        return Offered::Failed("it has no peer id".to_owned());
    };
    let (segment, bytes) = (offer.segment, offer.bytes);
    // Before it is asked: its word may come before its answer has been looked at.
    let word = context.awaited.expect(segment, to);
    let answer = context.ask(peer, ReplicaRequest::Offer(offer));
    let ended = match answer.await {
        Ok(ReplicaResponse::Receipt(receipt)) => {
            let is_right = receipt.segment == segment
                && receipt.bytes == bytes
                && receipt.holder == to
                && receipt::check(&context.swarm, &receipt);
            if is_right {
                Offered::Holds
            } else {
                Offered::Failed("its receipt is not right".to_owned())
            }
        }
        Ok(ReplicaResponse::Accepted) => {
            match tokio::time::timeout(context.scaled(PATIENCE).max(SHORTEST), word).await {
                Ok(Ok(true)) => return Offered::Holds,
                Ok(_) => return Offered::Unkept("it could not fetch it".to_owned()),
                Err(_) => Offered::Unkept("it said nothing more".to_owned()),
            }
        }
        Ok(ReplicaResponse::NoRoom) => Offered::NoRoom,
        Ok(ReplicaResponse::Refused) => Offered::Refused,
        Ok(ReplicaResponse::Busy) => Offered::Failed("it is busy".to_owned()),
        Ok(_) => Offered::Failed("it answered another question".to_owned()),
        Err(error) => Offered::Failed(error.to_string()),
    };
    context.awaited.settle(segment, to, false);
    ended
}
