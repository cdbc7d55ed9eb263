//! [`Conversation`]: the server's side of one command.
//!
//! What is sent is of two kinds: answers, which wait while the client does not read, and how far it is
//! ([`Speaker::offer`]), which is left out then. Whoever sends learns that the client is gone, and
//! [`watch`] looks for it while nothing is sent, so that no work goes on for nobody.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rustix::net::RecvFlags;
use serde::de::DeserializeOwned;
use store::unixfs::Piece;

use super::frame::{self, FrameError, FrameReader, FrameWriter};
use super::message::{Event, Failure, FailureKind, Item, LandStep, ManyStep, Request, Step};

/// How long a client may take for its request: it has it at hand when it connects, and a silent one
/// must not hold a place.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// How often a command is told how far it is, and whether it is still there is looked at: ten times a
/// second look fluent to people and cost nothing.
pub const TICK: Duration = Duration::from_millis(100);

/// One command, as the server sees it.
#[derive(Debug)]
pub struct Conversation {
    frames: FrameReader,
    speaker: Speaker,
}

/// Speaks to the client; a handle that several threads may hold.
#[derive(Debug, Clone)]
pub struct Speaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    frames: Mutex<FrameWriter>,
    /// For looking whether the client is there, without waiting for `frames`.
    socket: UnixStream,
    gone: AtomicBool,
}

/// The client is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command went away")]
pub struct Gone;

impl Conversation {
    /// The conversation over `stream`.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let socket = stream.try_clone()?;
        let (frames, writer) = frame::split(stream)?;
        let shared = Shared {
            frames: Mutex::new(writer),
            socket,
            gone: AtomicBool::new(false),
        };
        Ok(Self {
            frames,
            speaker: Speaker(Arc::new(shared)),
        })
    }

    /// What the client asks for.
    pub fn request(&mut self) -> Result<Request, Failure> {
        let misunderstood = |error: FrameError| {
            failure(
                FailureKind::Usage,
                format!("cannot understand the command: {error}"),
            )
            .with_hint("the node and the command may be of different versions")
        };
        self.frames
            .set_timeout(Some(REQUEST_WITHIN))
            .map_err(|e| misunderstood(e.into()))?;
        let (frame, _) = self.frames.receive().map_err(misunderstood)?.ok_or(Gone)?;
        let request = frame.message().map_err(misunderstood)?;
        self.frames
            .set_timeout(None)
            .map_err(|e| misunderstood(e.into()))?;
        Ok(request)
    }

    /// The next step of what is added, and its open file. After [`Step::Finish`] none comes.
    pub fn step(&mut self) -> Result<(Step, Option<OwnedFd>), FrameError> {
        let lost = || FrameError::Io(io::ErrorKind::UnexpectedEof.into());
        let (frame, descriptor) = self.frames.receive()?.ok_or_else(lost)?;
        Ok((frame.message()?, descriptor))
    }

    /// What the client does about the file that it was asked for, and the file.
    pub fn land_step(&mut self) -> Result<(LandStep, Option<OwnedFd>), Gone> {
        self.next()
    }

    /// What else is asked for.
    pub fn many_step(&mut self) -> Result<ManyStep, Gone> {
        self.next().map(|(step, _)| step)
    }

    fn next<T: DeserializeOwned>(&mut self) -> Result<(T, Option<OwnedFd>), Gone> {
        match self.frames.receive() {
            Ok(Some((frame, descriptor))) => {
                let step = frame.message().map_err(|error| {
                    tracing::warn!(%error, "cannot understand a command");
                    Gone
                })?;
                Ok((step, descriptor))
            }
            Ok(None) | Err(_) => Err(Gone),
        }
    }

    /// The voice of this side.
    #[must_use]
    pub const fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// Ends the conversation.
    pub fn end(self, result: Result<(), Failure>) {
        let event = match result {
            Ok(()) => Event::Done,
            Err(failure) => {
                // A client that is still sending steps must stop before it can read why (see
                // `client`).
                self.speaker.stop_hearing();
                Event::Failed(failure)
            }
        };
        if self.speaker.send(&event).is_err() {
            tracing::debug!("the command went away before its end");
        }
    }
}

impl Speaker {
    /// Sends an event; waits while the client does not read.
    pub fn send(&self, event: &Event) -> Result<(), Gone> {
        let mut frames = self.0.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match event {
            Event::Piece(Piece::Data(data)) => frames.data(data),
            event => frames.message(event, None),
        };
        self.note(sent)
    }

    /// Sends one answer.
    pub fn item(&self, item: Item) -> Result<(), Gone> {
        self.send(&Event::Item(item))
    }

    /// Sends an event unless that would wait.
    pub fn offer(&self, event: &Event) {
        if let Ok(mut frames) = self.0.frames.try_lock() {
            let _ = self.note(frames.try_message(event).map(drop));
        }
    }

    /// From now on nothing more is heard of the client; whoever waits for that stops.
    pub fn stop_hearing(&self) {
        // It fails only where the client has gone.
        let _ = self.0.socket.shutdown(std::net::Shutdown::Read);
    }

    /// Whether the client was still there when last something was sent, or looked at.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Relaxed)
    }

    /// Looks whether the client has closed its end; says what it saw.
    #[must_use]
    pub fn look(&self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let ended = match rustix::net::recv(&self.0.socket, &mut byte[..], flags) {
            Ok((read, _)) => read == 0,
            Err(error) => !matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        };
        if ended {
            self.0.gone.store(true, Ordering::Relaxed);
        }
        self.is_gone()
    }

    fn note(&self, sent: Result<(), FrameError>) -> Result<(), Gone> {
        sent.map_err(|error| {
            if !error.is_gone() {
                tracing::warn!(%error, "could not answer a command");
            }
            self.0.gone.store(true, Ordering::Relaxed);
            Gone
        })
    }
}

/// Does `work` while a second thread offers the client an event from `tick` every [`TICK`], and calls
/// `cancel`, once, when the client has gone: `work` must then end soon.
pub fn watch<T>(
    speaker: &Speaker,
    tick: impl Fn() -> Option<Event> + Send,
    cancel: impl FnOnce() + Send,
    work: impl FnOnce() -> T,
) -> T {
    /// Ends the watch also when `work` panics: the scope waits for its threads.
    struct Finish<'a>(&'a Mutex<bool>, &'a Condvar);
    impl Drop for Finish<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.1.notify_all();
        }
    }

    let (finished, changed) = (Mutex::new(false), Condvar::new());
    let (is_finished, has_changed) = (&finished, &changed);
    thread::scope(|scope| {
        let _finish = Finish(is_finished, has_changed);
        scope.spawn(move || {
            loop {
                let guard = is_finished.lock().unwrap_or_else(PoisonError::into_inner);
                let (guard, _) = has_changed
                    .wait_timeout_while(guard, TICK, |finished| !*finished)
                    .unwrap_or_else(PoisonError::into_inner);
                if *guard {
                    return;
                }
                drop(guard);
                if let Some(event) = tick() {
                    speaker.offer(&event);
                }
                if speaker.look() {
                    return cancel();
                }
            }
        });
        work()
    })
}

/// A failure without a hint.
pub fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
        hint: None,
    }
}

impl Failure {
    /// The same, with something that people could do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Gone> for Failure {
    /// What is "answered" to a client that is not there.
    fn from(gone: Gone) -> Self {
        failure(FailureKind::Error, gone.to_string())
    }
}
