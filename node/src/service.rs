//! [`Service`]: does what commands ask for, over the repo, and over the network where there is one or
//! one is needed. One file for each group of verbs.
//!
//! Every verb runs on the thread of its conversation and may block there. None goes on for a client
//! that has gone: what takes long runs under [`watch`](crate::api::conversation::watch).

mod add;
mod block;
mod car;
mod care;
mod dag;
mod failure;
mod gc;
mod get;
mod kubo;
mod land;
mod many;
mod membership;
mod passed;
mod peers;
mod pin;
mod replication;
mod share;
mod source;
mod stat;
mod target;
mod verify;

use std::fmt;
use std::sync::Arc;

use store::Cid;
use store::records::Family;
use store::repo::Repo;
use store_config::Config;

use crate::api::conversation::Conversation;
use crate::api::message::{Failure, Request};
use crate::node::{Joined, Joining};
use crate::owners::Owners;

/// Answers commands.
pub struct Service {
    repo: Arc<Repo>,
    config: Config,
    joining: Joining,
    owners: Owners,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("repo", &self.repo.path())
            .finish_non_exhaustive()
    }
}

impl Service {
    /// For a command without a node: joins the network, as a client, when a verb needs it.
    #[must_use]
    pub fn local(repo: Arc<Repo>, config: Config) -> Self {
        Self {
            owners: Owners::of(Arc::clone(&repo)),
            repo,
            config,
            joining: Joining::when_needed(),
        }
    }

    /// For a node that has joined the network.
    #[must_use]
    pub fn with_node(repo: Arc<Repo>, config: Config, joined: Arc<Joined>) -> Self {
        Self {
            owners: Owners::of(Arc::clone(&repo)),
            repo,
            config,
            joining: Joining::already(joined),
        }
    }

    /// Does what `request` asks for. Its answers go to the conversation; the caller ends it with the
    /// result.
    pub fn answer(&self, request: Request, conversation: &mut Conversation) -> Result<(), Failure> {
        let speaker = conversation.speaker().clone();
        match request {
            Request::Add(options) => self.add(&options, conversation),
            Request::Get(content) => self.get(&content, &speaker),
            Request::GetMany(many) => self.get_many(&many, conversation),
            Request::Land(land) => self.land(&land, conversation),
            Request::Cat(cat) => self.cat(&cat, &speaker),
            Request::Ls(ls) => self.ls(&ls, &speaker),
            Request::Share(share) => self.share(&share, &speaker),
            Request::Pin(request) => self.pin(request, &speaker),
            Request::Swarm(request) => self.swarm(request, &speaker),
            Request::Membership(request) => self.membership(request, &speaker),
            Request::Replication(request) => self.replication(request, &speaker),
            Request::Stat(request) => self.stat(&request, &speaker),
            Request::Gc(request) => self.gc(request, &speaker),
            Request::Car(request) => self.car(&request, conversation),
            Request::Block(request) => self.block(&request, conversation),
            Request::Dag(request) => self.dag(&request, &speaker),
            Request::ImportKubo => self.import_kubo(conversation),
            Request::Care(request) => self.care(request, &speaker),
        }
    }

    /// Leaves the network, if a verb has joined it. Bounded.
    pub fn leave(&self) {
        self.joining.leave();
    }

    /// The network, joining it if need be.
    fn join(&self) -> Result<Arc<Joined>, Failure> {
        Ok(self.joining.join(&self.config, &self.repo)?)
    }

    /// Lets others find `root` here, which is kept: from now on where a node runs, else from the next
    /// `store run` on. A command would be gone before anybody comes.
    fn offer(&self, root: Cid) -> Result<(), Failure> {
        if let Some(joined) = self.joining.node() {
            joined.provide(root);
        } else {
            self.repo
                .records(Family::Roots)
                .put(&root.to_bytes(), &[])?;
        }
        Ok(())
    }

    /// Notes that all of `root` is here and was used now. What nobody keeps is offered for a time after
    /// that, if at all ([`announced`](crate::announced)).
    fn note_whole(&self, root: &Cid) -> Result<(), Failure> {
        if self.repo.pins().get(root)?.is_some() {
            return Ok(());
        }
        self.repo.cached().touch(root)?;
        let is_announced = || self.repo.records(Family::Roots).get(&root.to_bytes());
        if self.config.exchange.announce_cached.get().is_none() || is_announced()?.is_some() {
            return Ok(());
        }
        self.offer(*root)
    }
}

#[cfg(test)]
mod tests;
