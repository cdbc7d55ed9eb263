use std::sync::mpsc;

use super::*;
use crate::api::client::{Client, ClientError};
use crate::api::conversation::watch;
use crate::api::message::{Event, Phase, StatRequest};

const REQUEST: Request = Request::Stat(StatRequest::Repo { usage: false });
/// Far more than any of this takes.
const LONG: Duration = Duration::from_secs(30);

fn waiting() -> Event {
    Event::Waiting {
        phase: Phase::Connecting,
        detail: String::new(),
    }
}

/// A server whose conversations wait until the client goes; each then says so.
fn waiting_server(repo: &Path) -> (Server, mpsc::Receiver<()>) {
    let (ended, has_ended) = mpsc::sync_channel(MAX_CONVERSATIONS);
    let handler = move |_: Request, conversation: &mut Conversation| {
        conversation.speaker().send(&waiting())?;
        let (cancel, cancelled) = mpsc::sync_channel(1);
        let cancel = move || cancel.send(()).unwrap();
        watch(
            conversation.speaker(),
            || Some(waiting()),
            cancel,
            || cancelled.recv().unwrap(),
        );
        ended.send(()).unwrap();
        Ok(())
    };
    (Server::start(repo, Box::new(handler)).unwrap(), has_ended)
}

fn connected(repo: &Path) -> Client {
    let mut client = Client::connect(repo).unwrap();
    client.send(&REQUEST).unwrap();
    assert_eq!(client.next().unwrap(), Some(waiting()));
    client
}

#[test]
fn a_client_that_goes_away_cancels_its_work() {
    let repo = tempfile::tempdir().unwrap();
    let (server, ended) = waiting_server(repo.path());
    let client = connected(repo.path());
    drop(client);
    ended.recv_timeout(LONG).unwrap();
    assert_eq!(server.shutdown(LONG), 0);
}

#[test]
fn conversations_are_bounded_and_the_next_one_is_told() {
    let repo = tempfile::tempdir().unwrap();
    let (server, ended) = waiting_server(repo.path());
    let clients: Vec<_> = (0..MAX_CONVERSATIONS)
        .map(|_| connected(repo.path()))
        .collect();
    let mut refused = Client::connect(repo.path()).unwrap();
    let Some(Event::Failed(failure)) = refused.next().unwrap() else {
        panic!("not refused")
    };
    assert!(failure.message.contains("64 commands"), "{failure}");
    drop(clients);
    for _ in 0..MAX_CONVERSATIONS {
        ended.recv_timeout(LONG).unwrap();
    }
    server.state.wait_for_none(Instant::now() + LONG);
    drop(connected(repo.path()));
    server.shutdown(LONG);
}

#[test]
fn shutdown_hangs_up_on_those_that_do_not_end() {
    let repo = tempfile::tempdir().unwrap();
    let (server, ended) = waiting_server(repo.path());
    let mut client = connected(repo.path());
    assert_eq!(server.shutdown(Duration::ZERO), 1);
    ended.recv_timeout(LONG).unwrap();
    let last = std::iter::from_fn(|| match client.next() {
        Ok(Some(_)) => Some(None),
        Ok(None) => None,
        Err(error) => Some(Some(error)),
    })
    .find_map(|error| error);
    assert!(matches!(last, Some(ClientError::Lost)), "{last:?}");
    assert!(matches!(
        Client::connect(repo.path()),
        Err(ClientError::Nobody { .. })
    ));
}

#[test]
fn shutdown_waits_for_those_that_end() {
    let repo = tempfile::tempdir().unwrap();
    let (go, may_go) = mpsc::sync_channel::<()>(0);
    let may_go = Mutex::new(may_go);
    let handler = move |_: Request, conversation: &mut Conversation| {
        conversation.speaker().send(&waiting())?;
        may_go.lock().unwrap().recv().unwrap();
        Ok(())
    };
    let server = Server::start(repo.path(), Box::new(handler)).unwrap();
    let mut client = connected(repo.path());
    let stopping = thread::spawn(move || server.shutdown(LONG));
    go.send(()).unwrap();
    assert_eq!(client.next().unwrap(), Some(Event::Done));
    assert_eq!(client.next().unwrap(), None);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn nonsense_is_answered_with_an_error() {
    let repo = tempfile::tempdir().unwrap();
    let (server, _ended) = waiting_server(repo.path());
    let stream = crate::api::socket::connect(repo.path()).unwrap();
    std::io::Write::write_all(&mut &stream, b"\x01\x08\0\0\0{\"sing\":").unwrap();
    let mut client = Client::over(stream).unwrap();
    let Some(Event::Failed(failure)) = client.next().unwrap() else {
        panic!("not refused")
    };
    assert_eq!(failure.kind, FailureKind::Usage);
    assert_eq!(server.shutdown(LONG), 0);
}

#[test]
fn a_panic_gives_its_place_back() {
    let repo = tempfile::tempdir().unwrap();
    let handler = |_: Request, _: &mut Conversation| panic!("as a test");
    let server = Server::start(repo.path(), Box::new(handler)).unwrap();
    let mut client = Client::connect(repo.path()).unwrap();
    client.send(&REQUEST).unwrap();
    assert!(matches!(client.next(), Err(ClientError::Lost)));
    assert_eq!(server.shutdown(LONG), 0);
}
