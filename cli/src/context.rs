//! [`Context`]: what every verb needs: the settings, the repo's place, and where results go.

use std::path::PathBuf;

use store_config::{Config, Loaded, Sources, repo_path};

use crate::args::{Args, Network};
use crate::exit::Error;
use crate::output::Output;

/// What a verb runs in.
pub(crate) struct Context {
    /// The repo's directory; perhaps not made yet.
    pub(crate) repo: PathBuf,
    /// The settings, and where they come from.
    pub(crate) settings: Loaded,
    /// Results.
    pub(crate) output: Output,
}

impl Context {
    /// Finds the repo and reads the settings.
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        let repo = repo_path(args.global.repo.as_deref(), |name| std::env::var_os(name))?;
        let mut flags = args.global.settings();
        flags.extend(args.command.settings());
        let env = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into(),
                    value.to_string_lossy().into(),
                )
            })
            .collect();
        let file = args.global.config.clone();
        let settings = Loaded::load(&Sources {
            file,
            repo: Some(repo.clone()),
            env,
            flags,
        })?;
        Ok(Self {
            repo,
            settings,
            output: Output::new(args.global.json),
        })
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.settings.config
    }

    /// The settings for a command that may have to be a node for a while: not on the ports of the node
    /// that the settings are meant for, unless it was told so.
    pub(crate) fn brief_config(&self, flags: Option<&Network>) -> Config {
        let mut config = self.settings.config.clone();
        if flags.is_none_or(|flags| flags.listen.is_empty()) {
            config.network.listen_on_any_port();
        }
        config
    }
}
