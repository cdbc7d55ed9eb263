use super::*;
use crate::api::message::{Event, Item, PinFilter, PinRequest, Request, StatRequest};

const LONG: Duration = Duration::from_secs(30);

fn repo_stat(mut client: Client) -> u64 {
    client
        .send(&Request::Stat(StatRequest::Repo { usage: false }))
        .unwrap();
    let Some(Event::Item(Item::Repo(stat))) = client.next().unwrap() else {
        panic!("no stat")
    };
    assert_eq!(client.next().unwrap(), Some(Event::Done));
    stat.blocks
}

#[test]
fn the_first_command_is_the_host_and_the_next_ones_are_its_guests() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default();
    let Reached::Host(host) = reach(dir.path(), &config).unwrap() else {
        panic!("not the host")
    };
    assert_eq!(repo_stat(host.client().unwrap()), 0);
    let Reached::Guest(guest) = reach(dir.path(), &config).unwrap() else {
        panic!("no guest")
    };
    assert_eq!(repo_stat(guest), 0);
    host.shutdown(LONG).unwrap();
    let Reached::Host(host) = reach(dir.path(), &config).unwrap() else {
        panic!("not the host")
    };
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_command_waits_for_a_holder_that_does_not_listen_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let repo = Repo::open(&path, &RepoOptions::default()).unwrap();
    let guest = thread::spawn(move || reach(&path, &Config::default()).unwrap());
    let host = Host::start(Config::default(), repo).unwrap();
    let Reached::Guest(guest) = guest.join().unwrap() else {
        panic!("no guest")
    };
    assert_eq!(repo_stat(guest), 0);
    host.shutdown(LONG).unwrap();
}

#[test]
fn a_pin_that_is_not_there_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::open(dir.path(), &RepoOptions::default()).unwrap();
    let host = Host::start(Config::default(), repo).unwrap();
    let cid = store::cid::parse("bafkqabtimvwgy3yk").unwrap();
    let mut client = host.client().unwrap();
    let rm = PinRequest::Rm {
        cids: vec![cid],
        filter: PinFilter::default(),
    };
    client.send(&Request::Pin(rm)).unwrap();
    let Some(Event::Failed(failure)) = client.next().unwrap() else {
        panic!("removed")
    };
    assert_eq!(failure.kind.exit_code(), 3, "{failure}");
    host.shutdown(LONG).unwrap();
}
