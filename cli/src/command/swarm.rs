//! `store id`, `peers`, `connect`, `providers`.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use store_config::Multiaddr;
use store_node::api::message::{Id, Item, Peer, Provider, Request, SwarmRequest};

use super::target;
use crate::args::{Connect, Network, Peers, Providers};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn id(context: &mut Context) -> Result<(), Error> {
    ask(&SwarmRequest::Id, None, "asking", context)
}

pub(crate) fn peers(args: &Peers, context: &mut Context) -> Result<(), Error> {
    let request = Request::Swarm(SwarmRequest::Peers);
    let mut conversation = Conversation::open(context, None, &request, "asking")?;
    let output = &mut context.output;
    while let Some(answer) = conversation.next()? {
        if let Answer::Item(Item::Peer(peer)) = answer {
            output.result(&peer, if args.long { connected_long } else { connected })?;
        }
    }
    Ok(())
}

pub(crate) fn connect(args: &Connect, context: &mut Context) -> Result<(), Error> {
    let request = SwarmRequest::Connect {
        address: args.address.clone(),
    };
    ask(&request, None, "connecting", context)
}

pub(crate) fn providers(args: &Providers, context: &mut Context) -> Result<(), Error> {
    let request = SwarmRequest::Providers {
        cid: target::bare(&args.cid)?,
        timeout: args.timeout.get(),
    };
    ask(&request, Some(&args.network), "looking", context)
}

fn ask(
    request: &SwarmRequest,
    network: Option<&Network>,
    doing: &'static str,
    context: &mut Context,
) -> Result<(), Error> {
    let request = Request::Swarm(request.clone());
    let mut conversation = Conversation::open(context, network, &request, doing)?;
    let output = &mut context.output;
    while let Some(answer) = conversation.next()? {
        let Answer::Item(item) = answer else { continue };
        match item {
            Item::Id(id) => output.result(&id, identity)?,
            Item::Connected(peer) => {
                output.result(&peer, |peer| format!("connected to {}", peer.peer))?;
            }
            Item::Provider(provider) => output.result(&provider, provides)?,
            _ => {}
        }
    }
    Ok(())
}

fn identity(id: &Id) -> String {
    let addresses = if id.addresses.is_empty() {
        "none: no node runs on this repo".into()
    } else {
        lines(&id.addresses)
    };
    output::table(&[
        ("peer", id.peer.to_string()),
        ("network", id.network.clone()),
        ("agent", id.agent.clone()),
        ("addresses", addresses),
    ])
}

fn connected(peer: &Peer) -> String {
    let rtt = peer.rtt_us.map_or_else(
        || "-".into(),
        |rtt| milliseconds(Duration::from_micros(rtt)),
    );
    let direction = if peer.inbound { "in " } else { "out" };
    let agent = peer.agent.as_deref().unwrap_or("-").escape_debug();
    let address = peer
        .addresses
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{}  {direction}  {rtt:>8}  {agent}  {address}", peer.peer)
}

/// With what it did for us in a second line.
fn connected_long(peer: &Peer) -> String {
    let first = connected(peer);
    let Some(told) = &peer.reputation else {
        return format!("{first}\n  nothing was asked of it yet");
    };
    let mut second = format!(
        "  {} % of requests answered lately ({} in all, {} failed)  {} right  {} wrong  {} late",
        told.ratio,
        told.done,
        told.failed,
        output::size(told.good),
        output::size(told.bad),
        output::size(told.late),
    );
    if told.rate > 0 {
        let _ = write!(second, "  {}/s", output::size(told.rate));
    }
    if told.refused > 0 {
        let _ = write!(second, "  {} refused", told.refused);
    }
    match told.excluded_until {
        Some(until) => {
            let until = UNIX_EPOCH + Duration::from_secs(until);
            let until = humantime::format_rfc3339_seconds(until);
            let _ = write!(second, "  not asked before {until}: it gave wrong bytes");
        }
        None if !told.welcome => second.push_str("  not asked for now: most requests failed"),
        None => {}
    }
    format!("{first}\n{second}")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn provides(provider: &Provider) -> String {
    let addresses: Vec<String> = provider.addresses.iter().map(ToString::to_string).collect();
    format!("{}  {}", provider.peer, addresses.join(" "))
        .trim_end()
        .to_owned()
}

fn lines(addresses: &[Multiaddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
