//! [`Asked`]: the session's requests under way, and what their answers come to: work for the intake, or
//! an event for the scheduler.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::PeerId;
use lru::LruCache;
use store::Cid;
use store::wire::{self, Known, Leaf, Response};
use tokio::task::AbortHandle;

use super::intake::Job;
use super::sort::Claims;
use crate::exchange::bulk::Cancel;
use crate::exchange::scheduler::{Answer, Event, Failure, Outcome, Page, RequestId};
use crate::network::RequestError;

/// Pages whose versions are remembered: sixty-four nodes of each of sixty-four peers. One that is
/// forgotten is sent again.
const PAGES: NonZeroUsize = NonZeroUsize::new(64 * 64).expect("not zero");

/// A question under way.
pub(super) enum Question {
    Manifest(Vec<Cid>),
    Get {
        leaves: Vec<Cid>,
        /// How many of them have been answered.
        answered: usize,
        cancel: Cancel,
    },
    Have(Vec<Cid>),
}

struct Open {
    peer: PeerId,
    question: Question,
    task: AbortHandle,
}

/// See the module.
pub(super) struct Asked {
    open: HashMap<RequestId, Open>,
    /// The version of the page that each peer gave of each node.
    versions: LruCache<(PeerId, Cid), u64>,
}

/// What an answer comes to.
pub(super) struct Reply {
    pub(super) event: Event<PeerId>,
    /// What is to be verified first.
    pub(super) job: Option<Job>,
}

impl From<Event<PeerId>> for Reply {
    fn from(event: Event<PeerId>) -> Self {
        Self { event, job: None }
    }
}

impl Asked {
    pub(super) fn new() -> Self {
        Self {
            open: HashMap::new(),
            versions: LruCache::new(PAGES),
        }
    }

    /// `task` waits for the answer.
    pub(super) fn insert(
        &mut self,
        request: RequestId,
        peer: PeerId,
        question: Question,
        task: AbortHandle,
    ) {
        let open = Open {
            peer,
            question,
            task,
        };
        self.open.insert(request, open);
    }

    /// Who was asked.
    pub(super) fn peer(&self, request: RequestId) -> Option<PeerId> {
        self.open.get(&request).map(|open| open.peer)
    }

    /// What is to be named in a question about the children of `nodes`.
    pub(super) fn known(&mut self, peer: PeerId, nodes: &[Cid]) -> Vec<Known> {
        let known = |&node: &Cid| Known {
            node,
            version: self.versions.get(&(peer, node)).copied().unwrap_or(0),
        };
        nodes.iter().map(known).collect()
    }

    /// The leaves of a Get from `from` on are not wanted any more.
    pub(super) fn cancel(&self, request: RequestId, from: u32) {
        if let Some(Open {
            question: Question::Get { cancel, .. },
            ..
        }) = self.open.get(&request)
        {
            cancel.from(from);
        }
    }

    /// Nothing of what this peer still answers is wanted.
    pub(super) fn drop_peer(&mut self, peer: PeerId) {
        self.open.retain(|_, open| {
            if open.peer == peer {
                open.task.abort();
            }
            open.peer != peer
        });
        // If it comes back, it is asked anew for all that it holds.
        let known = self.versions.iter().map(|(key, _)| *key);
        let of_peer: Vec<_> = known.filter(|(owner, _)| *owner == peer).collect();
        for key in of_peer {
            self.versions.pop(&key);
        }
    }

    /// What an answer, or a part of one, comes to; `None` if nobody asked.
    pub(super) fn reply(
        &mut self,
        request: RequestId,
        result: Result<Response, RequestError>,
    ) -> Option<Reply> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let peer = self.open.remove(&request)?.peer;
                tracing::debug!(%peer, %error, "a request failed");
                return Some(failed(request, failure(error)));
            }
        };
        let bytes = response.payload_size() as u64;
        if let Response::Leaves(leaves) = response {
            return self.part(request, leaves, bytes);
        }
        let Open { peer, question, .. } = self.open.remove(&request)?;
        Some(match (question, response) {
            (Question::Manifest(asked), Response::Manifest { nodes, more }) => {
                let claims = Claims::Nodes { asked, nodes, more };
                verify(request, claims, bytes, true)
            }
            (Question::Have(asked), Response::Have(pages)) => {
                self.pages(request, peer, &asked, pages)
            }
            // It does not tell.
            (Question::Have(_), Response::NotFound) => {
                let pages = Vec::new();
                Event::Have { request, pages }.into()
            }
            (Question::Manifest(asked), Response::NotFound) => not_found(request, &asked),
            (
                Question::Get {
                    leaves, answered, ..
                },
                Response::NotFound,
            ) => not_found(request, &leaves[answered..]),
            (_, Response::Busy { retry_ms }) => {
                let retry = Duration::from_millis(retry_ms.into());
                Event::Busy { request, retry }.into()
            }
            (_, Response::Refused(why)) => failed(request, Failure::Refused(format!("{why:?}"))),
            _ => other_question(request),
        })
    }

    /// The next leaves of a Get, of so many bytes.
    fn part(&mut self, request: RequestId, leaves: Vec<Leaf>, bytes: u64) -> Option<Reply> {
        let open = self.open.get_mut(&request)?;
        let Question::Get {
            leaves: asked,
            answered,
            ..
        } = &mut open.question
        else {
            self.open.remove(&request);
            return Some(other_question(request));
        };
        let first = *answered;
        *answered = asked.len().min(first + leaves.len());
        // Too many leaves are found to be a lie when they are sorted.
        let part = asked[first..*answered].to_vec();
        let over = *answered == asked.len();
        if over {
            self.open.remove(&request);
        }
        let claims = Claims::Leaves {
            asked: part,
            leaves,
        };
        Some(verify(request, claims, bytes, over))
    }

    fn pages(
        &mut self,
        request: RequestId,
        peer: PeerId,
        asked: &[Cid],
        pages: Vec<wire::Page>,
    ) -> Reply {
        let mut told = Vec::with_capacity(pages.len());
        for page in pages {
            let Some(&node) = asked.get(page.node as usize) else {
                return other_question(request);
            };
            self.versions.put((peer, node), page.version);
            let held = page.held;
            told.push(Page { node, held });
        }
        Event::Have {
            request,
            pages: told,
        }
        .into()
    }
}

fn verify(request: RequestId, claims: Claims, bytes: u64, over: bool) -> Reply {
    Reply {
        event: Event::Received {
            request,
            bytes,
            over,
        },
        job: Some(Job {
            request,
            claims,
            over,
        }),
    }
}

fn not_found(request: RequestId, asked: &[Cid]) -> Reply {
    let answer = Answer {
        request,
        blocks: asked.iter().copied().map(Outcome::NotFound).collect(),
        more: false,
        lie: None,
        over: true,
    };
    Event::Answer(answer).into()
}

fn failed(request: RequestId, failure: Failure) -> Reply {
    Event::Failed { request, failure }.into()
}

fn other_question(request: RequestId) -> Reply {
    let what = "it answered another question".to_owned();
    failed(request, Failure::Violation(what))
}

fn failure(error: RequestError) -> Failure {
    let text = error.to_string();
    match error {
        RequestError::Unreachable { .. } => Failure::Unreachable(text),
        RequestError::Timeout { .. } => Failure::TimedOut,
        RequestError::Unsupported { .. } => Failure::Refused(text),
        RequestError::Malformed { reason, .. } => Failure::Violation(reason),
        _ => Failure::Broken(text),
    }
}
