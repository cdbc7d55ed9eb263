//! [`Server`]: takes conversations from the repo's socket, each on a thread of its own.
//!
//! Only processes of the same user, and root, are heard. At its end it takes no more, gives those that
//! run a while to finish, then hangs up, which cancels their work.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::conversation::{Conversation, failure};
use super::message::{Failure, FailureKind, Request};
use super::socket::Socket;

/// Conversations at once. Each holds a thread, and an add up to a hundred MiB of chunks in flight:
/// more would be slower for all of them.
pub const MAX_CONVERSATIONS: usize = 64;
/// How long cancelled conversations may take to end: the disk may be in the middle of a flush.
const CANCEL_WITHIN: Duration = Duration::from_secs(3);
/// A failed `accept` (too many open files) is tried again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a conversation is answered with.
pub type Handler = dyn Fn(Request, &mut Conversation) -> Result<(), Failure> + Send + Sync;

/// Listens and answers.
pub struct Server {
    state: Arc<State>,
    socket: Option<Socket>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    handler: Box<Handler>,
    stopping: AtomicBool,
    running: Mutex<Running>,
    ended: Condvar,
}

/// The conversations that run, by number, with their sockets for hanging up.
#[derive(Default)]
struct Running {
    next: u64,
    sockets: HashMap<u64, UnixStream>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens for commands on the repo at `repo`, whose lock the caller holds.
    pub fn start(repo: &Path, handler: Box<Handler>) -> io::Result<Self> {
        let socket = Socket::listen(repo)?;
        let listener = socket.listener().try_clone()?;
        let state = Arc::new(State {
            handler,
            stopping: AtomicBool::new(false),
            running: Mutex::default(),
            ended: Condvar::new(),
        });
        let shared = Arc::clone(&state);
        let accepting = thread::Builder::new()
            .name("api-accept".into())
            .spawn(move || accept(&shared, &listener))?;
        Ok(Self {
            state,
            socket: Some(socket),
            accepting: Some(accepting),
        })
    }

    /// Answers a conversation with this same process, over one end of a pair.
    pub fn serve(&self, stream: UnixStream) -> io::Result<()> {
        spawn(&self.state, stream)
    }

    /// How many conversations run.
    #[must_use]
    pub fn conversations(&self) -> usize {
        self.state.running().sockets.len()
    }

    /// Takes no more conversations and waits until all have ended, `grace` at most; then hangs up on
    /// those that are left. Says how many those were.
    pub fn shutdown(mut self, grace: Duration) -> usize {
        self.stop_accepting();
        let left = self.state.wait_for_none(Instant::now() + grace);
        if left > 0 {
            for socket in self.state.running().sockets.values() {
                let _ = socket.shutdown(Shutdown::Both);
            }
            let stuck = self.state.wait_for_none(Instant::now() + CANCEL_WITHIN);
            if stuck > 0 {
                tracing::warn!(
                    conversations = stuck,
                    "commands did not end when hung up on"
                );
            }
        }
        left
    }

    fn stop_accepting(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        if let Some(socket) = self.socket.take() {
            // Wakes the thread that waits in `accept`.
            let _ = rustix::net::shutdown(socket.listener(), rustix::net::Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

impl State {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no conversation runs; says how many do at `deadline`.
    fn wait_for_none(&self, deadline: Instant) -> usize {
        let wait = deadline.saturating_duration_since(Instant::now());
        let busy = |running: &mut Running| !running.sockets.is_empty();
        let (running, _) = self
            .ended
            .wait_timeout_while(self.running(), wait, busy)
            .unwrap_or_else(PoisonError::into_inner);
        running.sockets.len()
    }
}

fn accept(state: &Arc<State>, listener: &UnixListener) {
    while !state.stopping.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(failure) = take(state, &stream) {
                    turn_away(stream, failure);
                }
            }
            Err(_) if state.stopping.load(Ordering::SeqCst) => return,
            Err(error) => {
                tracing::warn!(%error, "could not accept a command");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Hears the client, if it is one that is heard and there is room.
fn take(state: &Arc<State>, stream: &UnixStream) -> Result<(), Failure> {
    admit(state, stream)?;
    stream
        .try_clone()
        .and_then(|stream| spawn(state, stream))
        .map_err(|error| refused(&error))
}

fn refused(error: &io::Error) -> Failure {
    failure(
        FailureKind::Error,
        format!("the node cannot take another command: {error}"),
    )
}

/// Whether this client is heard.
fn admit(state: &State, stream: &UnixStream) -> Result<(), Failure> {
    let credentials =
        rustix::net::sockopt::socket_peercred(stream).map_err(|error| refused(&error.into()))?;
    let us = rustix::process::geteuid();
    if credentials.uid != us && !credentials.uid.is_root() {
        let message = format!("this repo belongs to user {}", us.as_raw());
        return Err(failure(FailureKind::Error, message));
    }
    if state.running().sockets.len() >= MAX_CONVERSATIONS {
        let message = format!("{MAX_CONVERSATIONS} commands are using this repo already");
        return Err(
            failure(FailureKind::Error, message).with_hint("try again when some have ended")
        );
    }
    Ok(())
}

/// Says why not. A fresh socket has room for that, so it does not wait.
fn turn_away(stream: UnixStream, failure: Failure) {
    if let Ok(conversation) = Conversation::new(stream) {
        conversation.end(Err(failure));
    }
}

fn spawn(state: &Arc<State>, stream: UnixStream) -> io::Result<()> {
    let number = {
        let mut running = state.running();
        running.next += 1;
        let number = running.next;
        running.sockets.insert(number, stream.try_clone()?);
        number
    };
    let place = Place {
        state: Arc::clone(state),
        number,
    };
    thread::Builder::new()
        .name(format!("api-{number}"))
        .spawn(move || {
            let place = place;
            match Conversation::new(stream) {
                Ok(conversation) => converse(&place.state, conversation),
                Err(error) => tracing::warn!(%error, "could not begin a conversation"),
            }
        })?;
    Ok(())
}

fn converse(state: &State, mut conversation: Conversation) {
    let result = conversation
        .request()
        .and_then(|request| (state.handler)(request, &mut conversation));
    conversation.end(result);
}

/// A conversation's place among those that run; given back also when its thread panics.
struct Place {
    state: Arc<State>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.running().sockets.remove(&self.number);
        self.state.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
