//! [`Wishes`]: what this node's owner wants, written by the node where one runs, else into the repo, from
//! where the next `store run` takes it.

use std::sync::Arc;

use libp2p::identity::Keypair;
use store::Cid;
use store::pin::now;
use store::records::Family;
use store::wire::member::MemberId;

use super::Service;
use crate::api::conversation::{Speaker, failure};
use crate::api::message::{Failure, FailureKind, Item, Wanted};
use crate::identity;
use crate::members::member_of;
use crate::node::{Joined, NodeError};
use crate::replication::pins::{Admission, Pins, PublishError};
use crate::replication::{Replication, Wish};

/// Of one command.
pub(in crate::service) struct Wishes<'a> {
    service: &'a Service,
    /// How it is written, once something was to be.
    way: Option<Way>,
}

enum Way {
    Node {
        joined: Arc<Joined>,
        replication: Replication,
        pins: Arc<Pins>,
    },
    Repo(Box<Alone>),
}

/// The records of a repo on which no node runs.
struct Alone {
    key: Keypair,
    pins: Pins,
}

impl<'a> Wishes<'a> {
    pub(in crate::service) const fn of(service: &'a Service) -> Self {
        Self { service, way: None }
    }

    /// Whether this node's owner wants any.
    pub(in crate::service) fn is_wanted(&mut self, root: &Cid) -> Result<bool, Failure> {
        let (me, pins) = match self.way()? {
            Way::Node { joined, pins, .. } => (member_of(&joined.peer_id()), &**pins),
            Way::Repo(alone) => (Some(id_of(&alone.key)?), &alone.pins),
        };
        let owners = pins.owners(root, now())?;
        Ok(me.is_some_and(|me| owners.contains(&me)))
    }

    /// Wants copies. Durable when it returns.
    pub(in crate::service) fn want(&mut self, root: Cid, wish: Wish) -> Result<(), Failure> {
        match self.way()? {
            Way::Node {
                joined,
                replication,
                ..
            } => joined.wait_for(replication.want(root, wish))?,
            Way::Repo(alone) => {
                let wanted = (&wish.policy, wish.expires.unwrap_or(0));
                let Alone { key, pins } = &**alone;
                pins.publish(key, root, Some(wanted), now())?;
            }
        }
        Ok(())
    }

    /// Tells the client that none are wanted any more.
    pub(in crate::service) fn tell_withdrawn(cid: Cid, speaker: &Speaker) -> Result<(), Failure> {
        speaker.item(Item::Wanted(Wanted {
            cid,
            copies: None,
            expires: None,
        }))?;
        Ok(())
    }

    /// Wants none any more; `false` where none were wanted. What a pin here keeps for others is held from now
    /// on, so that the pin can go. Durable when it returns.
    pub(in crate::service) fn withdraw(&mut self, root: Cid) -> Result<bool, Failure> {
        let is_wanted = self.is_wanted(&root)?;
        match self.way()? {
            Way::Node {
                joined,
                replication,
                ..
            } => Ok(joined.wait_for(replication.withdraw(root))?),
            Way::Repo(alone) if is_wanted => {
                alone.pins.publish(&alone.key, root, None, now())?;
                Ok(true)
            }
            Way::Repo(_) => Ok(false),
        }
    }

    fn way(&mut self) -> Result<&Way, Failure> {
        if self.way.is_none() {
            self.way = Some(Way::to(self.service)?);
        }
        Ok(self.way.as_ref().expect("it was just found"))
    }
}

impl Way {
    fn to(service: &Service) -> Result<Self, Failure> {
        if let Some(joined) = service.joining.current()
            && let Some((replication, pins)) = joined.replication().zip(joined.pins())
        {
            return Ok(Self::Node {
                joined,
                replication,
                pins,
            });
        }
        let key = identity::load_or_create(&service.repo).map_err(NodeError::from)?;
        let swarm_key = service.swarm_key()?;
        let swarm = service.network_name(swarm_key.as_ref());
        let admission = Admission::of(&service.repo, swarm_key);
        let records = service.repo.records(Family::PinRecords);
        let pins = Pins::open(records, &swarm, id_of(&key)?, admission, now())?;
        Ok(Self::Repo(Box::new(Alone { key, pins })))
    }
}

fn id_of(key: &Keypair) -> Result<MemberId, Failure> {
    member_of(&key.public().to_peer_id()).ok_or_else(|| PublishError::Key.into())
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Store(error) => error.into(),
            other => failure(FailureKind::Error, other.to_string()),
        }
    }
}
