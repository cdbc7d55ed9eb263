//! Commands that send what they read while they hear the answers.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::sync_channel;
use std::thread;

use store_node::api::client::Sender;

use crate::backend::Conversation;
use crate::exit::Error;
use crate::progress::Total;

/// Sends by `send`, on a thread of its own, while `answers` hears what comes of it. `stdin` is the socket
/// that standard input goes through, where it does.
pub(super) fn converse(
    mut conversation: Conversation,
    stdin: Option<UnixStream>,
    send: impl FnOnce(Sender, &Total) -> Result<(), Error> + Send + 'static,
    answers: impl FnOnce(&mut Conversation) -> Result<(), Error>,
) -> Result<(), Error> {
    let sender = conversation.take_sender();
    let total = conversation.display().total();
    let (report, reported) = sync_channel(1);
    // Not waited for where the command fails: it may be waiting for standard input.
    thread::spawn(move || {
        let result = send(sender, &total);
        // Nobody asks where all went well.
        let _ = report.send(result);
    });
    let answered = answers(&mut conversation);
    if answered.is_err() {
        conversation.hang_up();
        if let Some(stdin) = stdin {
            // Whoever reads it stops waiting.
            let _ = stdin.shutdown(Shutdown::Both);
        }
        // What could not be read is the reason; the answer only repeats it.
        if let Ok(Err(unreadable)) = reported.try_recv() {
            return Err(unreadable);
        }
    }
    answered
}
