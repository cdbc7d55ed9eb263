//! `pin set`, `status`, `doctor`, `repair`: the copies on other members.

mod doctor;
mod drain;
mod placed;
mod policy;
mod wishes;

use std::sync::Arc;

use store::Cid;

use super::Service;
use super::peers::no_node;
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{
    ContentStatus, CopiesAsked, CopiesWait, Failure, FailureKind, Item, LocalCopy, PinExpiry,
    RepairChange, RepairRate, ReplicationRequest, SwarmStatus, Wanted,
};
use crate::network::Role;
use crate::node::Joined;
use crate::replication::{Replication, ReplicationError, Wish};

pub(super) use self::policy::{expires, of_added};
pub(super) use self::wishes::Wishes;

impl Service {
    pub(super) fn replication(
        &self,
        request: ReplicationRequest,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        match request {
            ReplicationRequest::Want {
                cid,
                copies,
                expiry,
            } => self.want(cid, &copies, expiry, speaker),
            ReplicationRequest::Status { cid } => self.status(cid, speaker),
            ReplicationRequest::Local { cid } => self.local_copy(cid, speaker),
            ReplicationRequest::Summary => self.summary(speaker),
            ReplicationRequest::Doctor => self.doctor(speaker),
            ReplicationRequest::Repair(change) => self.repair(change, speaker),
            ReplicationRequest::Drain(change) => self.drain(change, speaker),
        }
    }

    /// The node, where one runs: nobody else knows of copies.
    fn member(&self) -> Result<(Arc<Joined>, Replication), Failure> {
        let joined = self.joining.node().ok_or_else(no_node)?;
        let replication = joined.replication().ok_or_else(no_node)?;
        Ok((joined, replication))
    }

    /// Comes where copies are made, if they are to be waited for: without a node as a guest, who serves until
    /// they are.
    pub(super) fn join_to_wait(&self, copies: &CopiesAsked) -> Result<(), Failure> {
        if copies.wait == CopiesWait::None {
            return Ok(());
        }
        let joined = self
            .joining
            .join_as(Role::Guest, &self.config, &self.repo)?;
        if joined.replication().is_some() {
            return Ok(());
        }
        let wait = copies.wait.name();
        Err(failure(
            FailureKind::Error,
            format!("`--wait {wait}` cannot begin while another command without a node is in the network"),
        )
        .with_hint("wait for its end, or start a node with `store run`"))
    }

    fn want(
        &self,
        cid: Cid,
        copies: &CopiesAsked,
        expiry: PinExpiry,
        speaker: &Speaker,
    ) -> Result<(), Failure> {
        self.join_to_wait(copies)?;
        let policy = policy::policy(&self.config.replication, None, copies)?;
        let mut wishes = Wishes::of(self);
        let Some(policy) = policy else {
            wishes.withdraw(cid)?;
            speaker.item(Item::Wanted(Wanted {
                cid,
                copies: None,
                expires: None,
            }))?;
            return Ok(());
        };
        let expires = expires(expiry);
        let told = Wanted {
            cid,
            copies: Some((&policy).into()),
            expires,
        };
        wishes.want(cid, Wish { policy, expires })?;
        speaker.item(Item::Wanted(told))?;
        self.wait_for_copies(&[cid], copies, speaker)
    }

    fn status(&self, cid: Cid, speaker: &Speaker) -> Result<(), Failure> {
        let (joined, replication) = self.member()?;
        let status = joined.wait_for(replication.status(cid))?;
        let told = ContentStatus::of(&status);
        let Some(wanted) = &told.wanted else {
            return Err(not_wanted(&cid));
        };
        let what = if told.segments == 0 || told.unknown_segments > 0 {
            let (unknown, all) = (told.unknown_segments, told.segments);
            let parts = if all == 0 {
                "its parts".to_owned()
            } else {
                format!("the copies of {unknown} of its {all} parts")
            };
            Some((
                format!("this node has too little of `{cid}` to know {parts}"),
                "ask a node that holds it: `store providers` says who does".to_owned(),
            ))
        } else if told.at_target {
            None
        } else {
            let (verified, target) = (told.verified, wanted.target);
            Some((
                format!(
                    "`{cid}` is below its target: {verified} verified copies of {target}, in {} of {} parts \
                     fewer than wanted",
                    told.missing_segments, told.segments
                ),
                "repairs go on by themselves; `store status` and `store doctor` say what holds them back"
                    .to_owned(),
            ))
        };
        speaker.item(Item::Status(Box::new(told)))?;
        match what {
            None => Ok(()),
            Some((message, hint)) => Err(failure(FailureKind::Partial, message).with_hint(hint)),
        }
    }

    fn local_copy(&self, cid: Cid, speaker: &Speaker) -> Result<(), Failure> {
        let (joined, replication) = self.member()?;
        let told = match joined.wait_for(replication.assigned(cid)) {
            Ok(assigned) => LocalCopy {
                cid,
                complete: assigned.whole || assigned.missing == 0,
                whole: assigned.whole,
                segments: assigned.segments,
                missing: assigned.missing,
            },
            // A pin reaches only what is here (I3).
            Err(ReplicationError::NotWanted(_)) if self.repo.pins().is_recursive(&cid)? => {
                LocalCopy {
                    cid,
                    complete: true,
                    whole: true,
                    segments: 0,
                    missing: 0,
                }
            }
            Err(error) => return Err(error.into()),
        };
        let (missing, segments) = (told.missing, told.segments);
        let complete = told.complete;
        speaker.item(Item::Local(told))?;
        if complete {
            return Ok(());
        }
        let message = format!(
            "{missing} of {segments} parts of `{cid}` that belong on this node are not here"
        );
        Err(failure(FailureKind::Partial, message).with_hint(
            "they are offered to it by those that have them; `store status` says what goes on",
        ))
    }

    fn summary(&self, speaker: &Speaker) -> Result<(), Failure> {
        let (joined, replication) = self.member()?;
        let summary = joined.wait_for(replication.summary())?;
        let told = SwarmStatus::of(&summary, joined.sight(), self.configured_rate());
        speaker.item(Item::Swarm(Box::new(told)))?;
        Ok(())
    }

    fn repair(&self, change: RepairChange, speaker: &Speaker) -> Result<(), Failure> {
        let (joined, replication) = self.member()?;
        let configured = self.configured_rate();
        let rate = match change {
            RepairChange::Show => None,
            RepairChange::Rate(rate) => Some(rate.unwrap_or(u64::MAX)),
            RepairChange::Pause => Some(0),
            RepairChange::Resume => Some(configured.unwrap_or(u64::MAX)),
        };
        let summary = joined.wait_for(async {
            if let Some(rate) = rate {
                replication.set_rate(rate).await;
            }
            replication.summary().await
        })?;
        speaker.item(Item::Rate(RepairRate::of(summary.rate, configured)))?;
        Ok(())
    }

    /// Bytes per second; `None`: no limit.
    fn configured_rate(&self) -> Option<u64> {
        self.config.replication.rate.bytes_per_second()
    }
}

fn not_wanted(cid: &Cid) -> Failure {
    failure(
        FailureKind::NotFound,
        format!("nobody wants copies of `{cid}`"),
    )
    .with_hint(format!("`store pin set {cid}` wants them"))
}

impl From<ReplicationError> for Failure {
    fn from(error: ReplicationError) -> Self {
        match error {
            ReplicationError::Store(error) => error.into(),
            ReplicationError::NotWanted(cid) => not_wanted(&cid),
            other => failure(FailureKind::Error, other.to_string()),
        }
    }
}
