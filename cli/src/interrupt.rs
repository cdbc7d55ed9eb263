//! Ctrl-C, SIGTERM and SIGHUP: the first asks the command to end in order, the second ends it now.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::exit::Error;

/// A wish that the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt = 1,
    /// SIGTERM or SIGHUP: whoever runs the process has no more use for it.
    Terminate = 2,
}

/// What is done at the first signal.
type Ask = Box<dyn FnOnce(Signal) + Send>;

/// The first signal that came; 0 before it.
static CAME: AtomicU8 = AtomicU8::new(0);
/// Whether the first signal ends the process like the second one.
static AT_ONCE: AtomicBool = AtomicBool::new(false);
/// Whether signals are watched already.
static WATCHED: AtomicBool = AtomicBool::new(false);
static ASK: Mutex<Option<Ask>> = Mutex::new(None);

/// Exit code at the second signal.
const INTERRUPTED: i32 = 130;

/// The signal that came, if one did.
pub(crate) fn came() -> Option<Signal> {
    match CAME.load(Ordering::SeqCst) {
        0 => None,
        1 => Some(Signal::Interrupt),
        _ => Some(Signal::Terminate),
    }
}

/// The command's own work is done and safe: from now on a signal need not be polite.
pub(crate) fn end_at_once() {
    AT_ONCE.store(true, Ordering::SeqCst);
}

/// Calls `ask` at the first signal, in place of what was to be called before. From now on signals do not
/// end the process by themselves.
pub(crate) fn on_signal(ask: impl FnOnce(Signal) + Send + 'static) -> Result<(), Error> {
    *asked() = Some(Box::new(ask));
    if WATCHED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    watch().map_err(Error::io("watch for signals"))
}

fn asked() -> std::sync::MutexGuard<'static, Option<Ask>> {
    ASK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that waits for signals, with a runtime of its own: commands to a node have no other.
fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut streams = runtime.block_on(async {
        io::Result::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ))
    })?;
    let wait = move || {
        let first = runtime.block_on(next(&mut streams));
        if AT_ONCE.load(Ordering::SeqCst) {
            std::process::exit(INTERRUPTED);
        }
        CAME.store(first as u8, Ordering::SeqCst);
        if let Some(ask) = asked().take() {
            ask(first);
        }
        runtime.block_on(next(&mut streams));
        std::process::exit(INTERRUPTED);
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)?;
    Ok(())
}

async fn next((interrupt, terminate, hangup): &mut (Stream, Stream, Stream)) -> Signal {
    tokio::select! {
        _ = interrupt.recv() => Signal::Interrupt,
        _ = terminate.recv() => Signal::Terminate,
        _ = hangup.recv() => Signal::Terminate,
    }
}
