//! Verbs about the swarm, and the flags that say how to join it.

use clap::Args;
use store_config::{Duration, Flag, Multiaddr};

/// Run a storage node until it is told to end
///
/// Prints each address that it listens on, with its peer id, and then `ready`. SIGTERM and Ctrl-C end
/// it in order.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) network: Network,
    /// Serve /metrics and /healthz over HTTP: 127.0.0.1:9170
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<String>,
    /// What tells this node from others: zone=eu-1, rack=7
    #[arg(long = "tag", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub(crate) tags: Vec<String>,
}

/// How to join the swarm. Where a node runs on the repo, it has joined already.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct Network {
    /// Listen here: /ip4/0.0.0.0/tcp/4170; port 0 is any
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Dial this node first: /ip4/192.0.2.7/tcp/4170/p2p/12D3KooW…
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) bootstrap: Vec<String>,
    /// Do not look for nodes on the LAN, and do not be found there
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// The name of the swarm
    #[arg(long = "network", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Print the peers that the node is connected to
#[derive(Debug, Args)]
pub(crate) struct Peers {
    /// Print what each did for us, too: answered requests, right and wrong bytes, rate
    #[arg(short, long)]
    pub(crate) long: bool,
}

/// Have the node connect to a peer
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Where it is: /ip4/192.0.2.7/tcp/4170/p2p/12D3KooW…
    #[arg(value_name = "ADDR")]
    pub(crate) address: Multiaddr,
}

/// Print the peers that say they have a content, as they are found
#[derive(Debug, Args)]
pub(crate) struct Providers {
    /// The CID
    #[arg(value_name = "CID")]
    pub(crate) cid: String,
    /// Stop looking after this long
    #[arg(short, long, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) network: Network,
}

impl Network {
    /// As settings.
    pub(crate) fn settings(&self) -> Vec<Flag> {
        let flag = |name, key, values: &[String]| {
            (!values.is_empty()).then(|| Flag {
                name,
                key,
                values: values.to_vec(),
            })
        };
        let off = self.no_mdns.then(|| "false".to_owned());
        [
            flag("--listen", "network.listen", &self.listen),
            flag("--bootstrap", "network.bootstrap", &self.bootstrap),
            flag("--no-mdns", "network.mdns", off.as_slice()),
            flag("--network", "network.name", self.name.as_slice()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Run {
    /// As settings.
    pub(crate) fn settings(&self) -> Vec<Flag> {
        let mut flags = self.network.settings();
        if let Some(address) = &self.metrics {
            let values = vec![address.clone()];
            flags.push(Flag {
                name: "--metrics",
                key: "metrics.address",
                values,
            });
        }
        if !self.tags.is_empty() {
            flags.push(Flag {
                name: "--tag",
                key: "members.tags",
                values: self.tags.clone(),
            });
        }
        flags
    }
}
