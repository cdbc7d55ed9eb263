//! Every setting of `store`: its type, its default and its reason, one file for each section.
//!
//! Values come from, later over earlier: the defaults, the config file, the environment
//! (`STORE_NETWORK_NAME`), flags. [`Loaded`] remembers which of them each value came from. Whatever is
//! no setting, or no value for it, is refused and named with its place; but for variables that do not
//! look like settings, which are others' (`STORE_BIN`).

mod exchange;
mod load;
mod log;
mod members;
mod metrics;
mod network;
mod paths;
mod rate;
mod replicas;
mod replication;
mod storage;
mod units;

use serde::{Deserialize, Serialize};

pub use exchange::Exchange;
pub use load::{ConfigError, Flag, Loaded, Origin, Sources};
pub use log::{Format, Log};
pub use members::{MemberTags, Members};
pub use metrics::{Metrics, MetricsAddress};
pub use multiaddr::Multiaddr;
pub use network::{InvalidName, Network, NetworkName};
pub use paths::{CONFIG_FILE, NoHome, PATH_VARIABLE, repo_path};
pub use rate::{Direction, InvalidRate, RateLimit, TimedLimit};
pub use replicas::{InvalidPlace, InvalidReplicas, MAX_REPLICAS, PlaceTag, Replicas};
pub use replication::{InvalidPattern, InvalidScale, NamedCopies, Pattern, Replication, TimeScale};
pub use storage::Storage;
pub use units::{ByteSize, Date, Duration, InvalidUnit, OrOff};

/// The commented default file; a test holds it to [`Config::default`].
pub const DEFAULT_FILE: &str = include_str!("../store.toml");

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The blocks on disk.
    pub storage: Storage,
    /// The swarm.
    pub network: Network,
    /// What this node tells the other members.
    pub members: Members,
    /// Blocks from others, and ours to them.
    pub exchange: Exchange,
    /// Copies on other members.
    pub replication: Replication,
    /// Metrics over HTTP.
    pub metrics: Metrics,
    /// What is written to stderr.
    pub log: Log,
}

impl Config {
    /// The settings in effect; see [`Loaded::load`].
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Ok(Loaded::load(sources)?.config)
    }
}
