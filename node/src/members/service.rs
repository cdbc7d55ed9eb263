//! [`Service`]: the membership in the swarm. Carries what the [`Core`] wants out, and what comes in to it.

mod gossip;
mod memory;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::gossipsub::{IdentTopic, TopicHash};
use libp2p::identity::Keypair;
use libp2p::request_response::{Event, Message, OutboundRequestId, ResponseChannel};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify};
use lru::LruCache;
use store::wire::MAX_ADDRESS_SIZE;
use store::wire::member::{
    Holdings, MAX_RECORD_ADDRESSES, MemberId, MemberRequest, MemberResponse, MemberRole,
};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior};

use self::gossip::{AUTHORS, Allowance};
use self::memory::Memory;
pub(crate) use self::memory::{Loaded, load};
use super::ask::{Action, Ticket, Token};
use super::codec::{answer_in, answer_out, ask_in, ask_out};
use super::core::Core;
use super::record::{Author, Offer, member_of, peer_of};
use super::view::{Member, Sight};
use crate::behaviour::Behaviour;
use crate::network::{NetworkConfig, NetworkError, Role};
use crate::peers::Peers;
use crate::writer::Writer;

/// How long a goodbye may take: one round trip to those who are connected.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// Questions of others that wait for our answer at most: probes through us. Streams are bounded for each
/// connection besides.
const MAX_TICKETS: usize = 256;

/// The service.
pub(crate) struct Service {
    core: Core,
    role: Role,
    network: String,
    protocol: StreamProtocol,
    topic: TopicHash,
    tick: Interval,
    /// Our questions; the core bounds them.
    asked: HashMap<OutboundRequestId, (MemberId, Token)>,
    tickets: HashMap<Ticket, ResponseChannel<MemberResponse>>,
    ticket: u64,
    /// Connected peers that speak our protocol.
    linked: HashSet<PeerId>,
    /// Who waits until the others know that we are about to leave; conversations, which are bounded.
    noted: Vec<oneshot::Sender<()>>,
    /// How much each author may still announce.
    authors: LruCache<PeerId, Allowance>,
    /// What is remembered over a restart; `None` in a client, which is no member.
    memory: Option<Memory>,
}

impl Service {
    /// `remembered` is of an earlier run; what is to be remembered goes to `writer`.
    pub(crate) fn new(
        config: &NetworkConfig,
        key: &Keypair,
        remembered: Loaded,
        writer: Writer,
    ) -> Result<Self, NetworkError> {
        let role = match config.role {
            Role::Storage => MemberRole::Storage,
            Role::Client | Role::Guest => MemberRole::Client,
        };
        // Milliseconds: a restart within one second still counts up. Compared with our own earlier numbers
        // only; where the clock went back the others tell us.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let version = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(0);
        let network = config.network.as_str();
        let author = Author::new(key.clone(), network, role, config.tags.clone(), version);
        let author = author.map_err(|error| NetworkError::Protocol {
            protocol: "member",
            reason: error.to_string(),
        })?;
        let settings = config.members.clone();
        let mut tick = tokio::time::interval(settings.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut core = Core::new(author, settings, rand::random(), Instant::now());
        core.set_leaving(config.leaving, Instant::now());
        let memory = match config.role {
            Role::Storage => Some(Memory::new(remembered, writer, &mut core, Instant::now())),
            Role::Client | Role::Guest => None,
        };
        Ok(Self {
            core,
            role: config.role,
            network: network.to_owned(),
            protocol: config.network.member(),
            topic: IdentTopic::new(config.network.announcements()).hash(),
            tick,
            asked: HashMap::new(),
            tickets: HashMap::new(),
            ticket: 0,
            linked: HashSet::new(),
            noted: Vec::new(),
            authors: LruCache::new(AUTHORS),
            memory,
        })
    }

    /// Waits until [`Service::on_tick`] is due.
    pub(crate) async fn due(&mut self) {
        self.tick.tick().await;
    }

    pub(crate) fn on_tick(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        addresses: &[Multiaddr],
    ) {
        // Nobody can come to a client that does not listen: it has nothing to announce.
        if self.role == Role::Client && addresses.is_empty() {
            return;
        }
        let short = addresses.iter().map(Multiaddr::to_vec);
        let short = short.filter(|bytes| bytes.len() <= MAX_ADDRESS_SIZE);
        let short = short.take(MAX_RECORD_ADDRESSES).map(Into::into);
        self.core.set_addresses(short.collect());
        let now = Instant::now();
        self.core.on_tick(now);
        if let Some(memory) = &mut self.memory {
            memory.tick(&self.core, now);
        }
        self.perform(swarm, peers, None);
    }

    /// A peer has said which protocols it speaks.
    pub(crate) fn on_identify(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: &identify::Event,
    ) {
        let identify::Event::Received { peer_id, info, .. } = event else {
            return;
        };
        let (speaks, local) = (info.protocols.contains(&self.protocol), self.role);
        if local == Role::Client || !speaks || !swarm.is_connected(peer_id) {
            return;
        }
        if let Some(id) = member_of(peer_id)
            && self.linked.insert(*peer_id)
        {
            self.core.on_connected(id, Instant::now());
            self.perform(swarm, peers, None);
        }
    }

    /// A connection to a peer is closed, perhaps the last.
    pub(crate) fn on_closed(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        peer: &PeerId,
    ) {
        if swarm.is_connected(peer) || !self.linked.remove(peer) {
            return;
        }
        if let Some(id) = member_of(peer) {
            self.core.on_disconnected(id, Instant::now());
            self.perform(swarm, peers, None);
        }
    }

    /// A dial led nowhere.
    pub(crate) fn on_dial_error(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        peer: Option<PeerId>,
    ) {
        let member = peer.filter(|peer| !swarm.is_connected(peer));
        if let Some(id) = member.as_ref().and_then(member_of)
            && self.core.record(&id).is_some()
        {
            self.core.on_dial_failed(id, Instant::now());
            self.perform(swarm, peers, None);
        }
    }

    pub(crate) fn on_event(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        event: Event<MemberRequest, MemberResponse>,
    ) {
        let over = match event {
            Event::Message { peer, message, .. } => {
                match message {
                    Message::Request {
                        request, channel, ..
                    } => self.asked_by(swarm, peer, request, channel),
                    Message::Response {
                        request_id,
                        response,
                    } => self.answered_by(peer, request_id, response),
                }
                Some(peer)
            }
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "no answer from a member");
                if let Some((_, token)) = self.asked.remove(&request_id) {
                    self.core.on_no_answer(token, Instant::now());
                }
                Some(peer)
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => None,
        };
        self.perform(swarm, peers, over);
    }

    fn asked_by(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        request: MemberRequest,
        channel: ResponseChannel<MemberResponse>,
    ) {
        let from = member_of(&peer).filter(|_| self.tickets.len() < MAX_TICKETS);
        let ask = ask_in(&self.network, request).inspect_err(|error| {
            tracing::debug!(%peer, %error, "asked by a member");
        });
        let (Some(from), Ok(ask)) = (from, ask) else {
            // Given back when the peer is gone.
            let _ = swarm
                .behaviour_mut()
                .member
                .send_response(channel, MemberResponse::Refused);
            return;
        };
        self.ticket += 1;
        let ticket = Ticket(self.ticket);
        self.tickets.insert(ticket, channel);
        self.core.on_ask(from, ticket, ask, Instant::now());
    }

    fn answered_by(&mut self, peer: PeerId, id: OutboundRequestId, response: MemberResponse) {
        let Some((from, token)) = self.asked.remove(&id) else {
            return;
        };
        let now = Instant::now();
        match answer_in(&self.network, response) {
            Ok(Some(answer)) => self.core.on_answer(from, token, answer, now),
            Ok(None) => self.core.on_no_answer(token, now),
            Err(error) => {
                tracing::debug!(%peer, %error, "answered by a member");
                self.core.on_no_answer(token, now);
            }
        }
    }

    /// Does what the core wants. What it learned came over the connection to `over`, or needs nobody's
    /// word.
    fn perform(&mut self, swarm: &mut Swarm<Behaviour>, peers: &mut Peers, over: Option<PeerId>) {
        let over = over.and_then(|peer| peers.remote(&peer).cloned());
        // What is done may fail at once, and lead to more: not without end, as nothing is tried twice.
        loop {
            let actions = self.core.actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(swarm, peers, over.as_ref(), action);
            }
        }
        if !self.noted.is_empty() && self.core.is_noted() {
            for noted in self.noted.drain(..) {
                // Who has given up waiting needs no answer.
                let _ = noted.send(());
            }
        }
    }

    fn act(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        over: Option<&Multiaddr>,
        action: Action,
    ) {
        let now = Instant::now();
        match action {
            Action::Ask { to, token, ask } => match peer_of(&to) {
                Some(peer) if swarm.is_connected(&peer) => {
                    let member = &mut swarm.behaviour_mut().member;
                    let id = member.send_request(&peer, ask_out(ask));
                    self.asked.insert(id, (to, token));
                }
                _ => self.core.on_no_answer(token, now),
            },
            Action::Answer { ticket, answer } => {
                if let Some(channel) = self.tickets.remove(&ticket) {
                    // Given back when the peer is gone.
                    let member = &mut swarm.behaviour_mut().member;
                    let _ = member.send_response(channel, answer_out(answer));
                }
            }
            Action::Dial(id) => {
                let dialed = peer_of(&id).is_some_and(|peer| {
                    if let Some(record) = self.core.record_to_dial(&id)
                        && let Some(nearest) = peers.nearest().cloned()
                    {
                        let addresses = addresses(&record.record().addresses);
                        peers.heard(peer, &addresses, Some(&nearest));
                    }
                    peers.dial(swarm, peer)
                });
                if !dialed {
                    self.core.on_dial_failed(id, now);
                }
            }
            Action::HangUp(id) => {
                if let Some(peer) = peer_of(&id) {
                    // An error means that there is none.
                    let _ = swarm.disconnect_peer_id(peer);
                }
            }
            Action::Publish(claim) => self.publish(swarm, &claim),
            Action::Heard(record) => {
                if let (Some(peer), Some(over)) = (peer_of(&record.id()), over) {
                    peers.heard(peer, &addresses(&record.record().addresses), Some(over));
                }
            }
        }
    }

    /// Tells the others that this member goes. To be called once; [`Service::is_noted`] says when they know.
    pub(crate) fn leave(&mut self, swarm: &mut Swarm<Behaviour>, peers: &mut Peers) {
        if let Some(memory) = &mut self.memory {
            memory.finish(&self.core, Instant::now());
        }
        if self.role == Role::Storage {
            self.core.leave(Instant::now());
            self.perform(swarm, peers, None);
        }
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.core.is_noted()
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        self.core.members(Instant::now())
    }

    pub(crate) fn sight(&self) -> Sight {
        self.core.sight(Instant::now())
    }

    pub(crate) fn hold(&mut self, holdings: Holdings) {
        self.core.set_holdings(holdings);
    }

    /// `noted` is told when those who are connected know.
    pub(crate) fn set_leaving(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &mut Peers,
        leaving: bool,
        noted: oneshot::Sender<()>,
    ) {
        self.core.set_leaving(leaving, Instant::now());
        self.noted.retain(|it| !it.is_closed());
        self.noted.push(noted);
        self.perform(swarm, peers, None);
    }

    pub(crate) fn offer(&mut self, offer: &Offer) {
        self.core.set_offer(offer);
    }
}

fn addresses(told: &[bytes::Bytes]) -> Vec<Multiaddr> {
    let addresses = told.iter();
    addresses
        .filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok())
        .collect()
}
