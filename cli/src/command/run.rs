//! `store run`.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use store::repo::{Repo, RepoError, RepoOptions};
use store_config::Multiaddr;
use store_node::api::client::Client;
use store_node::api::message::{Event, Item, Request, SwarmRequest};
use store_node::node::{Node, NodeError, repo_options};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::exit::Error;
use crate::interrupt::{self, Signal};

/// A command that holds the repo, or a node that is about to end, gets this long to let go of it.
const HOLDER_WITHIN: Duration = Duration::from_secs(5);
/// How often that is looked at.
const HOLDER_PAUSE: Duration = Duration::from_millis(20);

/// No new address for this long: the system has told all.
const INTERFACES_PAUSE: Duration = Duration::from_millis(50);
/// A machine whose interfaces change all the time is not waited for longer than a second.
const INTERFACES_TRIES: u32 = 20;

/// What is printed, for programs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Address(Multiaddr),
    Metrics(String),
    Ready(bool),
}

pub(crate) fn run(context: &mut Context) -> Result<(), Error> {
    let (end, ended) = oneshot::channel();
    interrupt::on_signal(move |signal| {
        // Nobody waits for it where the node could not start.
        let _ = end.send(signal);
    })?;
    let repo = open(&context.repo, &repo_options(context.config()))?;
    let node = Node::start(context.config().clone(), repo)?;
    announce(&node, context);
    let signal = node.run_until(ended);
    tracing::info!("ending");
    interrupt::end_at_once();
    node.shutdown()?;
    match signal {
        Some(Ok(Signal::Terminate)) => Ok(()),
        Some(_) => Err(Error::Interrupted),
        None => Err(Error::SwarmEnded),
    }
}

/// Says where the node is, and that it is. A node whose output nobody reads runs on.
fn announce(node: &Node, context: &mut Context) {
    let metrics = node
        .metrics_address()
        .map(|address| format!("http://{address}/metrics"));
    let lines = settled_addresses(node)
        .into_iter()
        .map(Line::Address)
        .chain(metrics.map(Line::Metrics))
        .chain([Line::Ready(true)]);
    for line in lines {
        let shown = context.output.result(&line, |line| match line {
            Line::Address(address) => address.to_string(),
            Line::Metrics(address) => format!("metrics {address}"),
            Line::Ready(_) => "ready".into(),
        });
        if let Err(error) = shown {
            tracing::debug!(%error, "nobody reads where the node is");
        }
    }
}

/// The addresses, those first that reach furthest. Interfaces are found one by one: this waits until no
/// new one came for a while.
fn settled_addresses(node: &Node) -> Vec<Multiaddr> {
    let mut addresses = node.addresses();
    for _ in 0..INTERFACES_TRIES {
        thread::sleep(INTERFACES_PAUSE);
        let now = node.addresses();
        if now.len() == addresses.len() {
            break;
        }
        addresses = now;
    }
    addresses.sort_by_key(|address| {
        let text = address.to_string();
        let local = ["/ip4/127.", "/ip6/::1/"]
            .iter()
            .any(|near| text.starts_with(near));
        let link = text.starts_with("/ip6/fe80:");
        (
            local,
            link,
            text.starts_with("/ip6/"),
            text.contains("/udp/"),
        )
    });
    addresses
}

/// Takes the repo, which at most one process has.
fn open(path: &Path, options: &RepoOptions) -> Result<Repo, Error> {
    let deadline = Instant::now() + HOLDER_WITHIN;
    loop {
        let locked = match Repo::open(path, options) {
            Err(locked @ RepoError::Locked { .. }) => locked,
            other => return Ok(other.map_err(NodeError::from)?),
        };
        if node_runs(path) {
            return Err(Error::AlreadyRuns {
                repo: path.to_owned(),
            });
        }
        if interrupt::came().is_some() {
            return Err(Error::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(NodeError::from(locked).into());
        }
        thread::sleep(HOLDER_PAUSE);
    }
}

/// Whether the repo's holder is a node: only nodes have addresses.
fn node_runs(repo: &Path) -> bool {
    let ask = || -> Result<bool, Error> {
        let mut client = Client::connect(repo)?;
        client.send(&Request::Swarm(SwarmRequest::Id))?;
        while let Some(event) = client.next()? {
            if let Event::Item(Item::Id(id)) = event {
                return Ok(!id.addresses.is_empty());
            }
        }
        Ok(false)
    };
    ask().unwrap_or(false)
}
