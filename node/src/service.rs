//! [`Service`]: does what commands ask for, over the repo, and over the network where there is one or
//! one is needed. One file for each group of verbs.
//!
//! Every verb runs on the thread of its conversation and may block there. None goes on for a client
//! that has gone: what takes long runs under [`watch`](crate::api::conversation::watch).

mod failure;
mod pin;
mod stat;

use std::fmt;
use std::sync::Arc;

use store::repo::Repo;
use store_config::Config;

use crate::api::conversation::{Conversation, failure};
use crate::api::message::{Failure, FailureKind, Request};

/// Answers commands.
pub struct Service {
    repo: Arc<Repo>,
    #[expect(dead_code, reason = "the verbs that need a network come next")]
    config: Config,
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
        Self { repo, config }
    }

    /// Does what `request` asks for. Its answers go to the conversation; the caller ends it with the
    /// result.
    pub fn answer(&self, request: Request, conversation: &mut Conversation) -> Result<(), Failure> {
        let speaker = conversation.speaker().clone();
        match request {
            Request::Pin(request) => self.pin(request, &speaker),
            Request::Stat(request) => self.stat(&request, &speaker),
            _ => Err(failure(FailureKind::Error, "this command is not built yet")),
        }
    }
}
