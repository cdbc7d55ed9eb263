//! The driver: tells the scheduler what happens and does what it says. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use store::blockstore::Blockstore;
use store::wire::{Request, Response, Urgency};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::candidates::search;
use super::intake::{Intake, Job, look_up};
use super::rate::Rate;
use super::shared::{End, Shared};
use super::sort::Claims;
use super::{Mode, Phase, SessionProgress};
use crate::exchange::landing::Landing;
use crate::exchange::outbound::Outbound;
use crate::exchange::scheduler::{
    Action, Answer, Event, Failure, Outcome, Reason, RequestId, Scheduler, Standing, Task, Time,
};
use crate::network::{NetworkEvent, RequestError};

/// Notes to the driver that wait at most; their senders wait beyond.
const NOTES: usize = 256;
/// Answers that wait for the intake at most: as many as there can be requests, whose bytes the
/// scheduler bounds, so that handing one over never waits.
const JOBS: usize = 64 * 16;
/// How often progress is told.
const REPORT: Duration = Duration::from_millis(200);

/// What the driver hears.
#[derive(Debug)]
pub(super) enum Note {
    /// For the scheduler.
    Event(Event<PeerId>),
    /// A request is over.
    Reply {
        request: RequestId,
        result: Result<Response, RequestError>,
    },
    /// Bytes of the whole content, as its root claims.
    Total(u64),
    /// The session is over.
    End(End),
}

pub(super) struct Driver {
    outbound: Arc<dyn Outbound>,
    store: Arc<dyn Blockstore>,
    shared: Arc<Shared>,
    task: Task,
    addresses: Vec<Multiaddr>,
    scheduler: Scheduler<PeerId>,
    began: Instant,
    /// When the scheduler wants to be woken.
    wake: Time,
    notes: mpsc::Sender<Note>,
    heard: mpsc::Receiver<Note>,
    jobs: mpsc::Sender<Job>,
    /// Where its answer goes, for each request under way.
    asked: HashMap<RequestId, Asked>,
    /// All that runs for the session, and ends with it.
    tasks: JoinSet<()>,
    searching: bool,
    total: Option<u64>,
    rate: Rate,
}

struct Asked {
    peer: PeerId,
    cids: Vec<store::Cid>,
    manifest: bool,
    task: AbortHandle,
}

impl Driver {
    pub(super) fn new(
        outbound: Arc<dyn Outbound>,
        store: Arc<dyn Blockstore>,
        task: Task,
        addresses: Vec<Multiaddr>,
        landing: Option<Arc<Landing>>,
        shared: &Arc<Shared>,
    ) -> Self {
        let (notes, heard) = mpsc::channel(NOTES);
        let (jobs, queue) = mpsc::channel(JOBS);
        let shared = Arc::clone(shared);
        let intake = Intake::new(
            Arc::clone(&store),
            Arc::clone(&shared),
            task.root,
            notes.clone(),
            landing,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn_blocking(move || intake.run(queue));
        Self {
            outbound,
            store,
            shared,
            task,
            addresses,
            scheduler: Scheduler::new(task),
            began: Instant::now(),
            wake: Time::MAX,
            notes,
            heard,
            jobs,
            asked: HashMap::new(),
            tasks,
            searching: false,
            total: None,
            rate: Rate::default(),
        }
    }

    /// Runs to the end of the session.
    pub(super) async fn run(mut self, report: watch::Sender<SessionProgress>) {
        let end = self.drive(&report).await;
        let end = match end {
            // Nobody may be told that all is here before it is durable.
            End::Finished => {
                let store = Arc::clone(&self.store);
                match tokio::task::spawn_blocking(move || store.commit()).await {
                    Ok(Ok(())) => End::Finished,
                    Ok(Err(error)) => error.into(),
                    Err(panic) => End::Database(panic.to_string()),
                }
            }
            end => end,
        };
        tracing::debug!(root = %self.task.root, ?end, "session over");
        self.shared.end(end);
        self.report(&report);
    }

    async fn drive(&mut self, report: &watch::Sender<SessionProgress>) -> End {
        let mut events = self.outbound.events();
        let mut reports = tokio::time::interval(REPORT);
        reports.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let shared = Arc::clone(&self.shared);
        let mut next = Some(Event::Tick);
        loop {
            if let Some(event) = next.take()
                && let Some(end) = self.step(event)
            {
                return end;
            }
            let wake = tokio::time::Instant::from_std(self.began)
                .checked_add(self.wake.min(Duration::from_secs(3600)));
            let wake = wake.unwrap_or_else(tokio::time::Instant::now);
            next = tokio::select! {
                Some(note) = self.heard.recv() => match self.note(note) {
                    Ok(event) => event,
                    Err(end) => return end,
                },
                () = shared.wants_changed.notified() => Some(Event::Wants(shared.wants())),
                event = events.recv() => match event {
                    // A lost connection shows by its requests; the next one is dialed again.
                    Ok(NetworkEvent::Connected(peer)) if self.searching => Some(Event::Appeared {
                        peer,
                        standing: Standing::default(),
                    }),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => None,
                    // The node is shutting down.
                    Err(broadcast::error::RecvError::Closed) => return End::Cancelled,
                },
                _ = reports.tick() => {
                    self.report(report);
                    None
                }
                () = tokio::time::sleep_until(wake) => Some(Event::Tick),
            };
            while self.tasks.try_join_next().is_some() {}
        }
    }

    fn note(&mut self, note: Note) -> Result<Option<Event<PeerId>>, End> {
        match note {
            Note::Event(event) => Ok(Some(event)),
            Note::Reply { request, result } => Ok(self.reply(request, result)),
            Note::Total(total) => {
                self.total = (self.task.mode == Mode::Whole).then_some(total);
                Ok(None)
            }
            Note::End(end) => Err(end),
        }
    }

    /// An answer goes to the intake; everything else is for the scheduler at once.
    fn reply(
        &mut self,
        request: RequestId,
        result: Result<Response, RequestError>,
    ) -> Option<Event<PeerId>> {
        let Asked {
            peer,
            cids: asked,
            manifest,
            ..
        } = self.asked.remove(&request)?;
        let failed = |failure| Some(Event::Failed { request, failure });
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%peer, %error, "a request failed");
                return failed(failure(error));
            }
        };
        let bytes = response.payload_size() as u64;
        let claims = match response {
            Response::Manifest { nodes, more } if manifest => Claims::Nodes { asked, nodes, more },
            Response::Leaves(leaves) if !manifest => Claims::Leaves { asked, leaves },
            Response::NotFound => {
                let blocks = asked.into_iter().map(Outcome::NotFound).collect();
                let answer = Answer {
                    request,
                    blocks,
                    more: false,
                    lie: None,
                    over: true,
                };
                return Some(Event::Answer(answer));
            }
            Response::Busy { retry_ms } => {
                let retry = Duration::from_millis(retry_ms.into());
                return Some(Event::Busy { request, retry });
            }
            Response::Refused(why) => return failed(Failure::Refused(format!("{why:?}"))),
            Response::Manifest { .. }
            | Response::Leaves(_)
            | Response::Have(_)
            | Response::Peers(_) => {
                return failed(Failure::Violation(
                    "it answered another question".to_owned(),
                ));
            }
        };
        // The queue has room for all requests; it is closed only when the intake has failed, which
        // says so by itself.
        let _ = self.jobs.try_send(Job { request, claims });
        Some(Event::Received {
            request,
            bytes,
            over: true,
        })
    }

    fn step(&mut self, event: Event<PeerId>) -> Option<End> {
        let mut end = None;
        for action in self.scheduler.step(self.began.elapsed(), event) {
            match action {
                Action::FindPeers => self.find_peers(),
                Action::LookUp(cid) => self.look_up(cid),
                Action::Manifest {
                    request,
                    peer,
                    nodes,
                    max_bytes,
                } => {
                    let (root, cids) = (self.task.root, nodes.clone());
                    let message = Request::Manifest {
                        root,
                        nodes,
                        max_bytes,
                    };
                    self.ask(request, peer, cids, true, message);
                }
                Action::Get {
                    request,
                    peer,
                    extents,
                    leaves,
                    max_bytes,
                    ..
                } => {
                    let message = Request::Get {
                        root: self.task.root,
                        extents,
                        max_bytes,
                        urgency: Urgency::default(),
                    };
                    self.ask(request, peer, leaves, false, message);
                }
                // Not asked for yet.
                Action::Have { .. } | Action::AskPeers { .. } | Action::Cancel { .. } => {}
                Action::Drop { peer, reason } => self.drop_peer(peer, &reason),
                Action::Finished => end = Some(End::Finished),
                Action::Fail(defeat) => end = Some(End::Defeat(defeat)),
                Action::WaitUntil(time) => self.wake = time,
            }
        }
        end
    }

    fn find_peers(&mut self) {
        self.searching = true;
        let (outbound, notes) = (Arc::clone(&self.outbound), self.notes.clone());
        self.tasks.spawn(search(
            outbound,
            self.task.root,
            self.addresses.clone(),
            notes,
        ));
    }

    fn look_up(&mut self, cid: store::Cid) {
        let (store, shared, notes) = (
            Arc::clone(&self.store),
            Arc::clone(&self.shared),
            self.notes.clone(),
        );
        let root = self.task.root;
        self.tasks.spawn_blocking(move || {
            let (event, total) = match look_up(&*store, &shared, root, cid) {
                Ok(found) => found,
                Err(end) => return drop(notes.blocking_send(Note::End(end))),
            };
            if let Some(total) = total {
                let _ = notes.blocking_send(Note::Total(total));
            }
            let _ = notes.blocking_send(Note::Event(event));
        });
    }

    fn ask(
        &mut self,
        request: RequestId,
        peer: PeerId,
        cids: Vec<store::Cid>,
        manifest: bool,
        message: Request,
    ) {
        let notes = self.notes.clone();
        let answer = self.outbound.request(peer, message);
        let task = self.tasks.spawn(async move {
            let result = answer.await;
            let _ = notes.send(Note::Reply { request, result }).await;
        });
        self.asked.insert(
            request,
            Asked {
                peer,
                cids,
                manifest,
                task,
            },
        );
    }

    fn drop_peer(&mut self, peer: PeerId, reason: &Reason) {
        let root = self.task.root;
        if reason.is_hostile() {
            tracing::warn!(%peer, %root, %reason, "peer dropped");
        } else {
            tracing::info!(%peer, %root, %reason, "peer dropped");
        }
        self.asked.retain(|_, asked| {
            if asked.peer == peer {
                asked.task.abort();
            }
            asked.peer != peer
        });
    }

    fn report(&mut self, report: &watch::Sender<SessionProgress>) {
        let now = self.began.elapsed();
        let status = self.scheduler.status(now);
        let rate = self.rate.note(now, status.bytes_fetched);
        let progress = SessionProgress {
            phase: status.phase,
            peers: status.peers,
            bytes_done: status.bytes_done,
            bytes_total_hint: self.total,
            blocks_done: status.blocks_done,
            bytes_fetched: status.bytes_fetched,
            rate: if status.phase == Phase::Done { 0 } else { rate },
        };
        report.send_if_modified(|told| std::mem::replace(told, progress) != progress);
    }
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
