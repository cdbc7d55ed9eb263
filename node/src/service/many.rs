//! `get --stdin`: many contents in one conversation.
//!
//! Most of them are small, so all share one session, the *fast lane*: it asks for their roots by name,
//! some hundreds at once, of the peers that are connected. Contents of one block are complete by that.
//! What is larger, has a path, or is not had by those peers, takes the *slow lane*: a session for each,
//! a few at a time, with all that a `get` does to find it.

mod fast;
mod slow;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use store::Cid;
use store::dag::BlockSource;

use self::fast::Open;
use super::Service;
use super::get::deliver;
use super::target::{self, Named};
use crate::api::conversation::{Conversation, Gone, Speaker, failure, watch};
use crate::api::message::{
    Event, Failure, FailureKind, GetMany, MAX_TARGETS, Many as Answer, ManyStep, Phase, Progress,
};
use crate::exchange::session;

/// Targets that were named and are not looked at yet; whoever names more waits.
const NAMED: usize = 1024;
/// Targets that wait for the slow lane: some hundred bytes each. The fast lane waits beyond.
const LATER: usize = 1 << 14;
/// Contents in the slow lane at once: each is a session, with its share of the memory.
const SLOW: usize = 8;

/// A target that is not answered yet.
struct Wanted {
    text: String,
    named: Named,
}

/// One such conversation.
struct Many<'a> {
    service: &'a Service,
    speaker: &'a Speaker,
    request: &'a GetMany,
    /// The fast lane's session, while it has one.
    open: Mutex<Option<Open>>,
    /// Held while a content's pieces are sent.
    speaking: Mutex<()>,
    /// Contents that were sent.
    files: AtomicU64,
    /// Their bytes.
    bytes: AtomicU64,
    stopped: AtomicBool,
    /// Why nothing more can be done.
    failure: Mutex<Option<Failure>>,
}

impl Service {
    pub(super) fn get_many(
        &self,
        request: &GetMany,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let speaker = conversation.speaker().clone();
        let many = Many {
            service: self,
            speaker: &speaker,
            request,
            open: Mutex::default(),
            speaking: Mutex::default(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            failure: Mutex::default(),
        };
        let work = || {
            thread::scope(|scope| {
                let (feed, wanted) = sync_channel(NAMED);
                let (later, slow) = sync_channel(LATER);
                let (many, slow) = (&many, Mutex::new(slow));
                let slow = Arc::new(slow);
                scope.spawn(move || many.fast_lane(&wanted, &later));
                for _ in 0..SLOW {
                    let queue = Arc::clone(&slow);
                    scope.spawn(move || many.slow_lane(&queue));
                }
                many.hear(conversation, &feed)
            })
        };
        let heard = watch(&speaker, || many.tick(), || many.stop(), work);
        let reason = locked(&many.failure).take();
        reason.map_or(heard, Err)
    }
}

impl Many<'_> {
    /// Hears what is asked for, to the end.
    fn hear(
        &self,
        conversation: &mut Conversation,
        feed: &SyncSender<Wanted>,
    ) -> Result<(), Failure> {
        while !self.is_stopped() {
            let targets = match conversation.many_step()? {
                ManyStep::Finish => break,
                ManyStep::Targets(targets) => targets,
            };
            if targets.len() > MAX_TARGETS {
                let message = format!("{} targets at once, at most {MAX_TARGETS}", targets.len());
                self.fail(failure(FailureKind::Usage, message));
                break;
            }
            for text in targets {
                match target::parse_text(&text) {
                    Ok(mut named) => {
                        named
                            .addresses
                            .extend(self.request.addresses.iter().cloned());
                        // Fails where the lane has ended, which has said why.
                        if feed.send(Wanted { text, named }).is_err() {
                            return Ok(());
                        }
                    }
                    Err(failure) => self.missing(text, failure)?,
                }
            }
        }
        Ok(())
    }

    /// Sends one content, all of which is at hand.
    fn send(&self, wanted: &Wanted, root: &Cid, source: &dyn BlockSource) -> Result<(), Failure> {
        let _speaking = locked(&self.speaking);
        self.speaker.send(&Event::Many(Answer::Next {
            target: wanted.text.clone(),
            cid: *root,
        }))?;
        let sent = deliver(source, root, self.speaker)?;
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(sent, Ordering::Relaxed);
        Ok(())
    }

    fn missing(&self, target: String, failure: Failure) -> Result<(), Gone> {
        let _speaking = locked(&self.speaking);
        let missing = Answer::Missing { target, failure };
        self.speaker.send(&Event::Many(missing))
    }

    /// Says that nothing more follows at once.
    fn pause(&self) {
        let _speaking = locked(&self.speaking);
        // Who has gone is noticed by whoever watches.
        let _ = self.speaker.send(&Event::Many(Answer::Pause));
    }

    /// Nothing more can be done, and this is why.
    fn fail(&self, failure: Failure) {
        locked(&self.failure).get_or_insert(failure);
        self.stop();
        self.speaker.stop_hearing();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        locked(&self.open).take();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.speaker.is_gone()
    }

    fn tick(&self) -> Option<Event> {
        let told = locked(&self.open).as_ref()?.progress();
        let files = self.files.load(Ordering::Relaxed);
        if files == 0 && told.bytes_fetched == 0 {
            let phase = match told.phase {
                session::Phase::LookingForProviders => Phase::LookingForProviders,
                session::Phase::Connecting => Phase::Connecting,
                _ => Phase::WaitingForBlocks,
            };
            let detail = String::new();
            return Some(Event::Waiting { phase, detail });
        }
        let bytes = self.bytes.load(Ordering::Relaxed);
        Some(Event::Progress(Progress {
            bytes,
            files,
            total: None,
            // There is no order among them.
            strip: Vec::new(),
            ..told.into()
        }))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
