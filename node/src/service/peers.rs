//! `id`, `peers`, `connect`, `providers`.

use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use store::Cid;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::api::conversation::{Gone, Speaker, failure, watch};
use crate::api::message::{
    Connected, Event, Failure, FailureKind, Id, Item, Member, Peer, Phase, Provider, SwarmRequest,
};
use crate::network::{Direction, PeerInfo, ProviderRecord};
use crate::node::{AGENT, Joined};
use crate::{identity, node};

impl Service {
    pub(super) fn swarm(&self, request: SwarmRequest, speaker: &Speaker) -> Result<(), Failure> {
        match request {
            SwarmRequest::Id => speaker.item(Item::Id(self.id()?))?,
            SwarmRequest::Peers => {
                let joined = self.running()?;
                for peer in joined.peers() {
                    let reputation = joined.reputation().told(&peer.peer);
                    speaker.item(Item::Peer(Peer {
                        reputation,
                        ..peer.into()
                    }))?;
                }
            }
            SwarmRequest::Members => {
                for member in self.members()? {
                    speaker.item(Item::Member(Box::new(member)))?;
                }
            }
            SwarmRequest::Connect { address } => self.connect(address, speaker)?,
            SwarmRequest::Providers { cid, timeout } => self.providers(cid, timeout, speaker)?,
        }
        Ok(())
    }

    fn id(&self) -> Result<Id, Failure> {
        let joined = self.joining.current();
        let peer = match &joined {
            Some(joined) => joined.peer_id(),
            None => identity::load_or_create(&self.repo)
                .map_err(node::NodeError::from)?
                .public()
                .to_peer_id(),
        };
        Ok(Id {
            peer,
            addresses: joined.map(|joined| joined.addresses()).unwrap_or_default(),
            network: self.network_name(self.swarm_key()?.as_ref()),
            agent: AGENT.into(),
        })
    }

    /// The network, where there is one already: a command's own would know nobody, and end with it.
    fn running(&self) -> Result<Arc<Joined>, Failure> {
        self.joining.current().ok_or_else(no_node)
    }

    /// The members, where a node runs: a command's own network would be no member.
    fn members(&self) -> Result<Vec<Member>, Failure> {
        let joined = self.joining.node().ok_or_else(no_node)?;
        let mut members: Vec<_> = joined.members().iter().filter_map(Member::of).collect();
        members.sort_by_key(|member| (!member.local, member.peer));
        Ok(members)
    }

    fn connect(&self, address: Multiaddr, speaker: &Speaker) -> Result<(), Failure> {
        let joined = self.running()?;
        let waiting = Event::Waiting {
            phase: Phase::Connecting,
            detail: address.to_string(),
        };
        let cancel = CancellationToken::new();
        let connect = || joined.connect(address, &cancel);
        let peer = watch(
            speaker,
            || Some(waiting.clone()),
            || cancel.cancel(),
            connect,
        )
        .ok_or(Gone)?
        .map_err(|error| failure(FailureKind::NotFound, error.to_string()))?;
        speaker.item(Item::Connected(Connected { peer }))?;
        Ok(())
    }

    fn providers(&self, cid: Cid, timeout: Duration, speaker: &Speaker) -> Result<(), Failure> {
        let joined = self.join()?;
        let waiting = Event::Waiting {
            phase: Phase::LookingForProviders,
            detail: String::new(),
        };
        let mut found = 0_usize;
        let each = |ProviderRecord { peer, addresses }| {
            found += 1;
            speaker
                .item(Item::Provider(Provider { peer, addresses }))
                .is_ok()
        };
        let cancel = CancellationToken::new();
        let lookup = || joined.providers(cid, timeout, &cancel, each);
        watch(
            speaker,
            || Some(waiting.clone()),
            || cancel.cancel(),
            lookup,
        );
        if found == 0 {
            return Err(failure(
                FailureKind::NotFound,
                format!("nobody is known who has `{cid}`"),
            ));
        }
        Ok(())
    }
}

pub(super) fn no_node() -> Failure {
    failure(FailureKind::Error, "no node runs on this repo").with_hint("start one with `store run`")
}

impl From<PeerInfo> for Peer {
    fn from(info: PeerInfo) -> Self {
        Self {
            peer: info.peer,
            addresses: info.addresses,
            inbound: info.direction == Direction::Inbound,
            agent: info.agent,
            rtt_us: info
                .rtt
                .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            exchange: info.speaks_chunk,
            reputation: None,
        }
    }
}
